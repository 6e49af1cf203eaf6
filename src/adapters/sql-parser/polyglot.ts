/** @polyglot-sql/sdk's syntax tree of DuckDB SQL, read into core/lineage's query. The only file that knows the library. */
import { setFlagsFromString } from 'node:v8';
import type {
  Item,
  Join,
  JoinKind,
  NestedQuery,
  Query,
  Relation,
  Role,
  Select,
  Term,
} from '../../core/lineage/query.js';
import type { SqlParser } from '../../ports/sql-parser.js';
import { AGGREGATES, VOLATILE } from './functions.js';
import { rewrite } from './rewrite.js';

type Node = Readonly<Record<string, unknown>>;

const isNode = (value: unknown): value is Node =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const nodeAt = (node: Node, key: string): Node | null => {
  const value = node[key];
  return isNode(value) ? value : null;
};
const listAt = (node: Node, key: string): readonly unknown[] => {
  const value = node[key];
  return Array.isArray(value) ? value : [];
};

/** `{ "select": { ... } }` → ['select', { ... }]; null where the node is none of the tree's variants. */
function variant(node: unknown): readonly [string, Node] | null {
  if (!isNode(node)) return null;
  const keys = Object.keys(node);
  if (keys.length !== 1) return null;
  const payload = node[keys[0]!];
  return isNode(payload) ? [keys[0]!, payload] : payload === null ? [keys[0]!, {}] : null;
}

/** An identifier is `{ name, quoted, ... }`, or a bare text in places. */
const identifier = (value: unknown): string | null =>
  typeof value === 'string'
    ? value
    : isNode(value) && typeof value['name'] === 'string'
      ? value['name']
      : null;
const identifiers = (values: readonly unknown[]): string[] =>
  values.flatMap((value) => identifier(value) ?? []);

const QUERIES: ReadonlySet<string> = new Set(['select', 'union', 'intersect', 'except', 'values', 'pivot']);

/** The path of a column, or of fields within it: `{ dot: { this: { column }, field } }`. */
function columnPath(node: unknown): string[] | null {
  const found = variant(node);
  if (!found) return null;
  const [kind, payload] = found;
  if (kind === 'column') {
    const name = identifier(payload['name']);
    const table = identifier(payload['table']);
    return name === null ? null : table === null ? [name] : [table, name];
  }
  if (kind === 'paren') return columnPath(payload['this']);
  if (kind === 'dot') {
    const inner = columnPath(payload['this']);
    const field = identifier(payload['field']);
    return inner && field !== null ? [...inner, field] : null;
  }
  return null;
}

/** `coalesce(x)` gives a transformation of x whatever its own role; what only decides stays what it is. */
const through = (role: Role): Role => (role === 'identity' ? 'transformation' : role);

/** Window functions that give a value of another row as it is, or a position. */
const NAVIGATION: ReadonlySet<string> = new Set(
  'lag lead first_value last_value nth_value row_number rank dense_rank percent_rank cume_dist n_tile'.split(
    ' ',
  ),
);

interface Collected {
  references: { path: readonly string[]; role: Role }[];
  queries: NestedQuery[];
  volatile: Set<string>;
  unknown: string[];
  aggregates: boolean;
  windows: boolean;
  expands: boolean;
}

interface Context {
  /** Named windows of the query: `WINDOW w AS (...)`. */
  readonly windows: ReadonlyMap<string, Node>;
  print(node: unknown): string;
}

function aggregateName(kind: string, payload: Node): string | null {
  for (const name of [payload['original_name'], payload['name'], kind])
    if (typeof name === 'string' && AGGREGATES.has(name.toLowerCase())) return name.toLowerCase();
  return kind === 'aggregate_function' || kind === 'within_group' ? kind : null;
}

function collect(
  node: unknown,
  role: Role,
  bound: ReadonlySet<string>,
  context: Context,
  into: Collected,
): void {
  if (Array.isArray(node)) {
    for (const item of node) collect(item, role, bound, context, into);
    return;
  }
  if (!isNode(node)) return;
  const found = variant(node);
  if (!found) {
    for (const [key, value] of Object.entries(node))
      if (key !== 'span') collect(value, role, bound, context, into);
    return;
  }
  const [kind, payload] = found;
  const path = columnPath(node);
  if (path) {
    if (!bound.has(path[0]!)) into.references.push({ path, role: kind === 'dot' ? through(role) : role });
    return;
  }
  const inner = (value: unknown, as: Role = through(role), names = bound): void =>
    collect(value, as, names, context, into);
  const within = (query: unknown, as: Role, exists = false): void => {
    into.queries.push({ query: readQuery(query, context), role: as, exists });
  };
  if (QUERIES.has(kind)) {
    within(node, through(role));
    return;
  }
  switch (kind) {
    case 'literal':
    case 'data_type':
      return;
    case 'paren':
      collect(payload['this'], role, bound, context, into);
      return;
    case 'subquery':
      within(payload['this'], through(role));
      return;
    case 'exists':
      within(payload['this'], isRow(role) ? role : 'conditional', true);
      return;
    case 'in':
      inner(payload['this']);
      inner(payload['expressions']);
      if (payload['query']) within(payload['query'], through(role));
      if (payload['unnest']) inner(payload['unnest']);
      return;
    case 'cast':
    case 'try_cast':
    case 'safe_cast':
      inner(payload['this']);
      return;
    case 'case':
      inner(payload['operand'], 'conditional');
      for (const when of listAt(payload, 'whens')) {
        const [condition, value] = when as readonly unknown[];
        inner(condition, 'conditional');
        inner(value);
      }
      inner(payload['else_']);
      return;
    case 'if_func':
      inner(payload['condition'], 'conditional');
      inner(payload['true_value']);
      inner(payload['false_value']);
      return;
    case 'window_function': {
      into.windows = true;
      const before = into.aggregates;
      const [called, held] = variant(payload['this']) ?? ['', {}];
      inner(NAVIGATION.has(called) ? Object.values(held) : payload['this']);
      into.aggregates = before;
      const over = nodeAt(payload, 'over');
      const named = over && identifier(over['window_name']);
      if (named !== null && named !== undefined) {
        const spec = context.windows.get(named.toLowerCase());
        if (spec) inner([spec['partition_by'], spec['order_by']], 'window');
        else into.unknown.push(`window ${named}`);
      }
      if (over) inner([over['partition_by'], over['order_by'], over['frame']], 'window');
      if (payload['keep']) inner(payload['keep'], 'window');
      return;
    }
    case 'lambda': {
      const names = new Set([...bound, ...identifiers(listAt(payload, 'parameters'))]);
      inner(payload['body'], through(role), names);
      return;
    }
    case 'comprehension': {
      const variable = columnPath(payload['expression']);
      const names = new Set([...bound, ...(variable ?? [])]);
      inner(payload['iterator']);
      inner(payload['this'], through(role), names);
      inner(payload['condition'], 'conditional', names);
      return;
    }
    case 'random':
    case 'rand':
      into.volatile.add(kind);
      return;
    case 'unnest':
    case 'explode':
      into.expands = true;
      break;
    case 'star':
      into.unknown.push('* within an expression');
      return;
    default:
  }
  const name = typeof payload['name'] === 'string' ? payload['name'].toLowerCase() : kind;
  for (const candidate of [name, kind]) if (VOLATILE.has(candidate)) into.volatile.add(candidate);
  if (name === 'unnest') into.expands = true;
  if (name === 'columns') {
    into.unknown.push(`${context.print(node)} within an expression`);
    return;
  }
  const aggregate = aggregateName(kind, payload);
  if (aggregate !== null) {
    into.aggregates = true;
    const as = isRow(role) ? role : 'aggregation';
    for (const [key, value] of Object.entries(payload)) {
      if (key === 'span') continue;
      if (key === 'filter') inner(value, 'filter');
      else if (key === 'order_by') inner(value, 'sort');
      else inner(value, as);
    }
    return;
  }
  for (const [key, value] of Object.entries(payload)) {
    // A struct's field, an argument's name, a unit: names that are no columns.
    if (key === 'span' || key === 'to' || (key === 'name' && isNode(value))) continue;
    inner(value);
  }
}

/** Roles that a calculation does not change: what only decides keeps deciding. */
const isRow = (role: Role): boolean =>
  role !== 'identity' && role !== 'transformation' && role !== 'aggregation';

function term(node: unknown, role: Role, context: Context): Term {
  const into: Collected = {
    references: [],
    queries: [],
    volatile: new Set(),
    unknown: [],
    aggregates: false,
    windows: false,
    expands: false,
  };
  collect(node, role, new Set(), context, into);
  const found = variant(node);
  const literal = found?.[0] === 'literal' ? found[1]['value'] : null;
  return {
    references: into.references,
    queries: into.queries,
    bare: found?.[0] === 'column',
    constant: typeof literal === 'string' ? literal : null,
    aggregates: into.aggregates,
    windows: into.windows,
    expands: into.expands,
    volatile: [...into.volatile],
    text: context.print(node),
    unknown: into.unknown,
  };
}

function readItem(node: unknown, context: Context): Item {
  const [kind, payload] = variant(node) ?? ['', {}];
  if (kind === 'star') {
    const replace = listAt(payload, 'replace').flatMap((entry) =>
      isNode(entry)
        ? [{ name: identifier(entry['alias']) ?? '', term: term(entry['this'], 'identity', context) }]
        : [],
    );
    const rename = listAt(payload, 'rename').flatMap((entry) => {
      const [from, to] = (Array.isArray(entry) ? entry : []).map(identifier);
      return from != null && to != null ? [{ from, to }] : [];
    });
    return {
      kind: 'star',
      relation: identifier(payload['table']),
      exclude: identifiers(listAt(payload, 'except')),
      replace,
      rename,
    };
  }
  if (kind === 'function' && String(payload['name']).toLowerCase() === 'columns') {
    const [argument] = listAt(payload, 'args');
    const [what, inner] = variant(argument) ?? ['', {}];
    if (what === 'star') return { kind: 'star', relation: null, exclude: [], replace: [], rename: [] };
    if (what === 'literal' && typeof inner['value'] === 'string')
      return { kind: 'pattern', pattern: inner['value'] };
    return { kind: 'unknown', what: context.print(node) };
  }
  if (kind === 'alias') {
    const read = term(payload['this'], 'identity', context);
    return { kind: 'term', name: identifier(payload['alias']), term: read };
  }
  const read = term(node, 'identity', context);
  const path = columnPath(node);
  return { kind: 'term', name: path ? path.at(-1)! : read.text, term: read };
}

const JOINS: Readonly<Record<string, JoinKind>> = {
  Inner: 'inner',
  Left: 'outer',
  Right: 'outer',
  Full: 'outer',
  Outer: 'outer',
  AsOf: 'inner',
  AsOfLeft: 'outer',
  AsOfRight: 'outer',
  Semi: 'semi',
  LeftSemi: 'semi',
  Anti: 'anti',
  LeftAnti: 'anti',
  Cross: 'cross',
  Implicit: 'cross',
  Lateral: 'cross',
  LeftLateral: 'outer',
  Natural: 'natural',
  NaturalLeft: 'natural',
  NaturalRight: 'natural',
  NaturalFull: 'natural',
  Positional: 'positional',
};

function readJoin(node: unknown, context: Context): Join {
  const join = node as Node;
  const kind = String(join['kind']);
  const relation = readRelation(join['this'], context);
  const known = JOINS[kind];
  return {
    kind: known ?? 'inner',
    relation:
      known === undefined
        ? { kind: 'unknown', what: `${kind} JOIN`, inputs: [relation], alias: null }
        : relation,
    on: join['on'] ? term(join['on'], 'join', context) : null,
    using: identifiers(listAt(join, 'using')),
  };
}

function readRelation(node: unknown, context: Context): Relation {
  const [kind, payload] = variant(node) ?? ['', {}];
  const columns = identifiers(listAt(payload, 'column_aliases'));
  const alias = identifier(payload['alias']);
  switch (kind) {
    case 'table': {
      const path = [payload['catalog'], payload['schema'], payload['name']].flatMap(
        (part) => identifier(part) ?? [],
      );
      if (!payload['table_sample']) return { kind: 'table', path, alias, columns };
      const items: Item[] = [{ kind: 'star', relation: null, exclude: [], replace: [], rename: [] }];
      const from: Relation = { kind: 'table', path, alias: null, columns: [] };
      const query: Query = { kind: 'select', ...EMPTY, items, from, sampled: true };
      return { kind: 'query', query, alias: alias ?? path.at(-1)!, columns };
    }
    // PIVOT names its table where other statements have a column.
    case 'column':
      return { kind: 'table', path: columnPath(node) ?? [], alias: null, columns: [] };
    case 'subquery':
      return { kind: 'query', query: readQuery(payload['this'], context), alias, columns };
    case 'paren':
      return readRelation(payload['this'], context);
    case 'alias':
    case 'lateral': {
      const inner = readRelation(payload['this'], context);
      return inner.kind === 'unknown'
        ? { ...inner, alias: alias ?? inner.alias }
        : { ...inner, alias: alias ?? inner.alias, columns: columns.length > 0 ? columns : inner.columns };
    }
    case 'unnest':
      return {
        kind: 'function',
        name: 'unnest',
        term: term(node, 'transformation', context),
        alias,
        columns,
      };
    case 'function':
      return {
        kind: 'function',
        name: String(payload['name']).toLowerCase(),
        term: term(payload['args'], 'transformation', context),
        alias,
        columns,
      };
    case 'joined_table': {
      const query: Query = {
        kind: 'select',
        ...EMPTY,
        items: [{ kind: 'star', relation: null, exclude: [], replace: [], rename: [] }],
        from: readRelation(payload['left'], context),
        joins: listAt(payload, 'joins').map((join) => readJoin(join, context)),
      };
      if (alias !== null) return { kind: 'query', query, alias, columns };
      return { kind: 'unknown', what: 'a parenthesised join', inputs: inputsOf(query), alias: null };
    }
    case 'values':
    case 'select':
    case 'union':
    case 'intersect':
    case 'except':
      return { kind: 'query', query: readQuery(node, context), alias, columns };
    default:
      return {
        kind: 'unknown',
        what:
          kind === ''
            ? 'a relation of unknown form'
            : payload['unpivot'] === true
              ? 'UNPIVOT'
              : kind.toUpperCase(),
        inputs: payload['this'] ? [readRelation(payload['this'], context)] : [],
        alias,
      };
  }
}

const inputsOf = (query: Select): Relation[] => [
  ...(query.from ? [query.from] : []),
  ...query.joins.map((join) => join.relation),
];

const EMPTY = {
  items: [],
  from: null,
  joins: [],
  where: null,
  groupBy: [],
  grouped: false,
  having: null,
  qualify: null,
  distinct: false,
  distinctOn: [],
  sampled: false,
  ctes: [],
  orderBy: [],
  limited: false,
} as const;

const ordering = (node: Node | null, context: Context): Term[] =>
  node
    ? listAt(node, 'expressions').map((entry) => term(isNode(entry) ? entry['this'] : entry, 'sort', context))
    : [];

function common(payload: Node, context: Context): Pick<Select, 'ctes' | 'orderBy' | 'limited'> {
  const clause = nodeAt(payload, 'with');
  return {
    ctes: (clause ? listAt(clause, 'ctes') : []).map((entry) => {
      const cte = entry as Node;
      return {
        name: identifier(cte['alias']) ?? '',
        columns: identifiers(listAt(cte, 'columns')),
        query: readQuery(cte['this'], context),
      };
    }),
    orderBy: ordering(nodeAt(payload, 'order_by'), context),
    limited: payload['limit'] != null || payload['offset'] != null || payload['fetch'] != null,
  };
}

function readQuery(node: unknown, outer: Context): Query {
  const [kind, payload] = variant(node) ?? ['', {}];
  switch (kind) {
    case 'subquery': {
      const inner = readQuery(payload['this'], outer);
      if (payload['order_by'] == null && payload['limit'] == null && payload['offset'] == null) return inner;
      const star: Item = { kind: 'star', relation: null, exclude: [], replace: [], rename: [] };
      const from: Relation = { kind: 'query', query: inner, alias: null, columns: [] };
      return { kind: 'select', ...EMPTY, ...common(payload, outer), items: [star], from };
    }
    case 'paren':
      return readQuery(payload['this'], outer);
    case 'values':
      return {
        kind: 'values',
        rows: listAt(payload, 'expressions').map((row) =>
          listAt(isNode(row) ? row : {}, 'expressions').map((value) => term(value, 'identity', outer)),
        ),
        ...common(payload, outer),
      };
    case 'union':
    case 'intersect':
    case 'except':
      return {
        kind: 'set',
        operator: kind,
        all: payload['all'] === true,
        byName: payload['by_name'] === true,
        left: readQuery(payload['left'], outer),
        right: readQuery(payload['right'], outer),
        ...common(payload, outer),
      };
    case 'select': {
      const windows = new Map(outer.windows);
      for (const entry of listAt(payload, 'windows')) {
        const name = isNode(entry) ? identifier(entry['name']) : null;
        const spec = isNode(entry) ? nodeAt(entry, 'spec') : null;
        if (name !== null && spec) windows.set(name.toLowerCase(), spec);
      }
      const context: Context = { ...outer, windows };
      const clause = (key: string, role: Role): Term | null => {
        const held = nodeAt(payload, key);
        return held ? term(held['this'], role, context) : null;
      };
      const from = nodeAt(payload, 'from');
      const [first, ...more] = from ? listAt(from, 'expressions') : [];
      const group = nodeAt(payload, 'group_by');
      return {
        kind: 'select',
        items: listAt(payload, 'expressions').map((item) => readItem(item, context)),
        from: first === undefined ? null : readRelation(first, context),
        joins: [
          ...more.map(
            (relation): Join => ({
              kind: 'cross',
              relation: readRelation(relation, context),
              on: null,
              using: [],
            }),
          ),
          ...listAt(payload, 'joins').map((join) => readJoin(join, context)),
        ],
        where: clause('where_clause', 'filter'),
        groupBy: group ? listAt(group, 'expressions').map((entry) => term(entry, 'group_by', context)) : [],
        grouped: group !== null,
        having: clause('having', 'filter'),
        qualify: clause('qualify', 'filter'),
        distinct: payload['distinct'] === true,
        distinctOn: listAt(payload, 'distinct_on').map((entry) => term(entry, 'group_by', context)),
        sampled: payload['sample'] != null || listAt(payload, 'lateral_views').length > 0,
        ...common(payload, context),
      };
    }
    case 'pivot':
    case 'unpivot':
      return {
        kind: 'select',
        ...EMPTY,
        items: [{ kind: 'star', relation: null, exclude: [], replace: [], rename: [] }],
        from: readRelation(node, outer),
      };
    default:
      return { kind: 'unknown', what: kind === '' ? 'a statement of unknown form' : kind.toUpperCase() };
  }
}

/**
 * Loads the library (WebAssembly, a fifth of a second): ask for it only when there is SQL to read. V8 must not
 * optimize it: some of its functions are so large that one takes five seconds of processor time, and a thousand queries
 * need one.
 */
export async function createSqlParser(): Promise<SqlParser> {
  for (const flag of ['--no-wasm-tier-up', '--no-wasm-dynamic-tiering']) setFlagsFromString(flag);
  const library = await import('@polyglot-sql/sdk');
  const dialect = library.Dialect.DuckDB;
  const print = (node: unknown): string => {
    try {
      const printed = library.generate([node] as unknown as Parameters<typeof library.generate>[0], dialect);
      return printed.sql?.[0] ?? '';
    } catch {
      return '';
    }
  };
  return {
    parse: (sql) => {
      const query = sql.trim().replace(/;\s*$/, '');
      let result: ReturnType<typeof library.parse>;
      try {
        result = library.parse(query, dialect);
        if (!result.success) {
          const other = library.parse(rewrite(query), dialect);
          if (other.success) result = other;
        }
      } catch (error) {
        return {
          ok: false,
          message: error instanceof Error ? error.message : String(error),
          line: null,
          column: null,
        };
      }
      if (!result.success)
        return {
          ok: false,
          message: String(result.error ?? 'the parser gives no reason'),
          line: result.errorLine ?? null,
          column: result.errorColumn ?? null,
        };
      const statements: readonly unknown[] = Array.isArray(result.ast) ? result.ast : [result.ast];
      if (statements.length !== 1)
        return {
          ok: false,
          message: `${statements.length} statements: expected one query`,
          line: null,
          column: null,
        };
      return { ok: true, query: readQuery(statements[0], { windows: new Map(), print }) };
    },
  };
}
