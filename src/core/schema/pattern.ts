/**
 * Patterns of contracts: a subset of regular expressions that RE2 (DuckDB) and ECMAScript read alike. It is read
 * by an own parser and written anew for ECMAScript, where `.` and `\s` would mean other sets of characters.
 */
const LITERAL_ESCAPES = new Set([...'\\^$.*+?()[]{}|/-"\'#&~,:;<>=!@%_` '].filter((c) => c !== '_'));
const CONTROL_ESCAPES = new Set([...'tnrfv']);
const CLASS_ESCAPES = new Set([...'dDwW']);
const SPACES = '\\t\\n\\f\\r ';
/** RE2 refuses a larger count, alone or multiplied by those around it. */
const MOST_REPEATS = 1000;

interface Reader {
  readonly chars: readonly string[];
  at: number;
  out: string;
}

class PatternProblem extends Error {}

const fail = (message: string): never => {
  throw new PatternProblem(message);
};

const escaped = (char: string): string => (/[\\^$.*+?()[\]{}|/]/.test(char) ? `\\${char}` : char);

/** One class member: its ECMAScript text, and its code point when it is a single character. */
function readMember(reader: Reader): { readonly text: string; readonly code: number | undefined } {
  const char = reader.chars[reader.at++];
  if (char === undefined) return fail('a class [...] is not closed');
  if (char === '[') return fail('write \\[ for a bracket in a class; [[:name:]] is not supported');
  if (char === '&' && reader.chars[reader.at] === '&') return fail('&& in a class is not supported');
  if (char !== '\\') return { text: /[\\\]^-]/.test(char) ? `\\${char}` : char, code: char.codePointAt(0)! };
  const next = reader.chars[reader.at++];
  if (next === undefined) return fail('it ends with a backslash');
  if (CLASS_ESCAPES.has(next)) return { text: `\\${next}`, code: undefined };
  if (next === 's') return { text: SPACES, code: undefined };
  if (CONTROL_ESCAPES.has(next))
    return { text: `\\${next}`, code: '\t\n\r\f\v'.charCodeAt('tnrfv'.indexOf(next)) };
  if (LITERAL_ESCAPES.has(next))
    return { text: /[\\\]^[-]/.test(next) ? `\\${next}` : next, code: next.codePointAt(0)! };
  return fail(`\\${next} in a class is not supported`);
}

function readClass(reader: Reader): void {
  let text = '[';
  if (reader.chars[reader.at] === '^') {
    text += '^';
    reader.at++;
  }
  if (reader.chars[reader.at] === ']') fail('an empty class, or ] without a backslash in a class');
  while (reader.chars[reader.at] !== ']') {
    const low = readMember(reader);
    text += low.text;
    if (reader.chars[reader.at] !== '-' || reader.chars[reader.at + 1] === ']') continue;
    reader.at++;
    const high = readMember(reader);
    if (low.code === undefined || high.code === undefined)
      throw new PatternProblem('a range in a class needs a character at each end');
    if (low.code > high.code) fail('a range in a class runs backwards');
    text += `-${high.text}`;
  }
  reader.at++;
  reader.out += `${text}]`;
}

/** Greatest count of a quantifier (1 when it is none or unbounded). */
function readQuantifier(reader: Reader, repeats: number, mayRepeat: boolean): number {
  const rest = reader.chars.slice(reader.at, reader.at + 12).join('');
  const match = /^(?:[*+?]|\{(\d{1,4})(,(\d{0,4}))?\})/.exec(rest);
  if (!match) return rest.startsWith('{') ? fail('write \\{ for a brace, or a count such as {2,5}') : repeats;
  if (!mayRepeat) fail('a repetition has nothing to repeat');
  reader.at += match[0].length;
  reader.out += match[0];
  const least = Number(match[1] ?? 1);
  const most = match[3] ? Number(match[3]) : least;
  if (least > most) fail(`{${least},${most}} runs backwards`);
  if (Math.max(most, 1) * repeats > MOST_REPEATS) fail(`it repeats more than ${MOST_REPEATS} times`);
  if (reader.chars[reader.at] === '?') {
    reader.at++;
    reader.out += '?';
  }
  if (/^[*+?{]$/.test(reader.chars[reader.at] ?? '')) fail('two repetitions follow each other; use (?:...)');
  return Math.max(most, 1) * repeats;
}

/** Greatest product of nested counts inside. */
function readAlternatives(reader: Reader, depth: number): number {
  if (depth > 50) fail('it is nested too deeply');
  let repeats = 1;
  for (;;) {
    const char = reader.chars[reader.at];
    if (char === undefined || char === ')') return repeats;
    reader.at++;
    let inner = 1;
    let mayRepeat = true;
    if (char === '|') {
      reader.out += '|';
      mayRepeat = false;
    } else if (char === '(') {
      reader.out += '(?:';
      if (reader.chars[reader.at] === '?') {
        if (reader.chars[reader.at + 1] !== ':') fail('(?...) groups other than (?:...) are not supported');
        reader.at += 2;
      }
      inner = readAlternatives(reader, depth + 1);
      if (reader.chars[reader.at] !== ')') fail('a group ( is not closed');
      reader.at++;
      reader.out += ')';
    } else if (char === '[') {
      readClass(reader);
    } else if (char === '.') {
      reader.out += '[^\\n]';
    } else if (char === '^' || char === '$') {
      reader.out += char;
      mayRepeat = false;
    } else if (char === '\\') {
      mayRepeat = readEscape(reader);
    } else if (/[*+?{}\]]/.test(char)) {
      fail(
        /[*+?]/.test(char)
          ? 'a repetition has nothing to repeat'
          : `write \\${char} for the character ${char}`,
      );
    } else {
      reader.out += escaped(char);
    }
    repeats = Math.max(repeats, readQuantifier(reader, inner, mayRepeat));
  }
}

/** True when what was read can be repeated. */
function readEscape(reader: Reader): boolean {
  const next = reader.chars[reader.at++];
  if (next === undefined) return fail('it ends with a backslash');
  if (next === 's' || next === 'S') reader.out += `[${next === 'S' ? '^' : ''}${SPACES}]`;
  else if (CLASS_ESCAPES.has(next) || CONTROL_ESCAPES.has(next)) reader.out += `\\${next}`;
  else if (next === 'b' || next === 'B') reader.out += `\\${next}`;
  else if (LITERAL_ESCAPES.has(next)) reader.out += escaped(next);
  else if (/[1-9k]/.test(next)) return fail('references to groups are not supported');
  else return fail(`\\${next} is not supported`);
  return next !== 'b' && next !== 'B';
}

function translate(pattern: string): string {
  if (/[\ud800-\udfff]/u.test(pattern) || pattern.includes('\0'))
    fail('it has half of a surrogate pair or a NUL');
  const reader: Reader = { chars: [...pattern], at: 0, out: '' };
  readAlternatives(reader, 0);
  if (reader.at < reader.chars.length) fail('a ) closes nothing');
  return reader.out;
}

/** Why a pattern cannot be used in a contract; undefined when it can. */
export function checkPattern(pattern: string): string | undefined {
  try {
    translate(pattern);
    return undefined;
  } catch (error) {
    if (error instanceof PatternProblem) return error.message;
    throw error;
  }
}

/** A search anywhere in a text, as `regexp_matches` of DuckDB. The pattern must have passed `checkPattern`. */
export function compilePattern(pattern: string): (text: string) => boolean {
  const expression = new RegExp(translate(pattern), 'u');
  return (text) => expression.test(text);
}

/** The pattern for DuckDB. The group keeps it from rewriting the search as LIKE, which errs on anchors in the middle. */
export const patternSql = (pattern: string): string => `(${pattern})`;
