/** Which tables a query reads, told by where names stand in it. */

export interface TableName {
  /** Without quotes. */
  readonly text: string;
  /** Of its first character in the SQL. */
  readonly offset: number;
}

interface Token {
  /** Words in lower case; signs as they are; other names and texts as what they are. */
  readonly word: string;
  /** The name, where it can be one. */
  readonly name: string | null;
  readonly offset: number;
}

const TOKEN =
  /(--[^\n]*|\/\*[\s\S]*?\*\/)|[eE]'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'|\$(\w*)\$[\s\S]*?\$\2\$|"((?:[^"]|"")*)"|([\p{L}_][\p{L}\p{N}_$]*)|([(),.;])|\S/gu;

function tokens(sql: string): Token[] {
  const found: Token[] = [];
  for (const match of sql.matchAll(TOKEN)) {
    const [text, comment, , quoted, word, sign] = match;
    if (comment !== undefined) continue;
    const offset = match.index;
    if (quoted !== undefined)
      found.push({ word: 'a name', name: quoted.replaceAll('""', '"'), offset: offset + 1 });
    else if (word !== undefined) found.push({ word: word.toLowerCase(), name: word, offset });
    else
      found.push({
        word: sign ?? (text.endsWith("'") || text.endsWith('$') ? 'a text' : text),
        name: null,
        offset,
      });
  }
  return found;
}

/** `expression`: FROM in it, as of `extract(day FROM at)`, names no table. */
type Part = 'query' | 'relations' | 'expression';

const words = (text: string): ReadonlySet<string> => new Set(text.split(' '));
const QUERY = words('select from with values table pivot unpivot describe summarize show');
/** At the start of a query: a relation follows. */
const OF_RELATION = words('from table pivot unpivot describe summarize');
const ENDS_RELATIONS = words(
  'select where group having qualify window order limit offset union intersect except',
);
/** Functions whose arguments have a FROM of their own. */
const WITH_FROM = words('extract substring trim overlay position');

/**
 * Names of tables in the order in which they stand, each as often as it does: what follows FROM and JOIN, and the commas
 * of a FROM clause. Names that WITH defines, columns, aliases and functions are none; those with a schema neither.
 */
export function sqlTables(sql: string): readonly TableName[] {
  const all = tokens(sql);
  const found: TableName[] = [];
  const wordAt = (at: number): string => all[at]?.word ?? '';

  /** Reads from the token after `(` to the one after its `)`. */
  const read = (part: Part, start: number, outer: ReadonlySet<string>): number => {
    let at = start;
    let defined = outer;
    if (wordAt(at) === 'with') [at, defined] = readWith(at + 1, outer);
    let expecting = part === 'relations';
    let listing = expecting;
    for (const first = at; at < all.length && wordAt(at) !== ')'; ) {
      const { word, name, offset } = all[at]!;
      if (word === '(') {
        at = read(partAt(at, expecting), at + 1, defined);
        expecting = false;
      } else if (expecting) {
        at++;
        if (word === 'lateral') continue;
        expecting = false;
        const table = name !== null && wordAt(at) !== '(' && wordAt(at) !== '.';
        if (table && !defined.has(name.toLowerCase())) found.push({ text: name, offset });
      } else {
        if (part !== 'expression' && wordAt(at - 1) !== '.') {
          if (word === 'join' || (word === 'from' && wordAt(at - 1) !== 'distinct'))
            expecting = listing = true;
          else if (at === first && OF_RELATION.has(word)) expecting = true;
          else if (word === ',') expecting = listing;
          else if (ENDS_RELATIONS.has(word)) listing = false;
        }
        at++;
      }
    }
    return at + 1;
  };

  const partAt = (at: number, expecting: boolean): Part =>
    QUERY.has(wordAt(at + 1)) && !(wordAt(at + 1) === 'from' && WITH_FROM.has(wordAt(at - 1)))
      ? 'query'
      : expecting
        ? 'relations'
        : 'expression';

  /** The names of a WITH clause; each is known after its own query, in it only where it is recursive. */
  const readWith = (start: number, outer: ReadonlySet<string>): readonly [number, ReadonlySet<string>] => {
    const recursive = wordAt(start) === 'recursive';
    let at = recursive ? start + 1 : start;
    let defined = outer;
    for (;;) {
      const name = all[at]?.name?.toLowerCase();
      while (at < all.length && wordAt(at) !== 'as') at++;
      while (at < all.length && wordAt(at) !== '(') at++;
      if (name === undefined || at === all.length) return [at, defined];
      const known = new Set([...defined, name]);
      at = read('query', at + 1, recursive ? known : defined);
      defined = known;
      if (wordAt(at) !== ',') return [at, defined];
      at++;
    }
  };

  for (let at = 0; at < all.length; ) at = read('query', at, new Set());
  return found;
}
