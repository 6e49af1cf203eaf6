/** From the names in a query to the fields of the tables it reads, by DuckDB's rules of scope. */
import type { Item, NestedQuery, Query, Relation, Role, Select, Term } from './query.js';
import { isDirect, ROLES } from './query.js';

/** A table that a query may read, with its columns in order. */
export interface TableColumns {
  readonly name: string;
  readonly columns: readonly string[];
}

/** `field` is `*` where the rows of the table count and no field of it: count(*). */
export interface FieldUse {
  readonly source: string;
  readonly field: string;
  readonly roles: readonly Role[];
}

export interface OutputLineage {
  readonly name: string;
  readonly uses: readonly FieldUse[];
  /** What could not be followed, in words. Empty: the uses are all there are. */
  readonly unresolved: readonly string[];
  /** The literal that it always is. */
  readonly constant: string | null;
}

export interface QueryLineage {
  /** In order. */
  readonly outputs: readonly OutputLineage[];
  /** False when there may be outputs that are not listed. */
  readonly complete: boolean;
  /** What decides which rows there are: filters, joins, groups. */
  readonly rows: readonly FieldUse[];
  /** Tables read anywhere in the query. */
  readonly tables: readonly string[];
  readonly unresolved: readonly string[];
}

/** `source\0field` → roles. */
type Origins = Map<string, Set<Role>>;

interface Column {
  readonly name: string;
  readonly origins: Origins;
  readonly unresolved: ReadonlySet<string>;
  readonly constant?: string | null;
}

/** A query's result, or a table. */
interface Bound {
  readonly columns: readonly Column[];
  /** Set when there may be more columns than listed: why. */
  readonly open: string | null;
  readonly rows: Origins;
  readonly tables: ReadonlySet<string>;
  /** Faults outside of single columns. */
  readonly faults: ReadonlySet<string>;
}

interface Named extends Bound {
  readonly alias: string;
}

interface Scope {
  readonly relations: Named[];
  /** Columns of USING and NATURAL, that stand once. */
  readonly merged: Map<string, Column>;
  readonly aliases: Map<string, Column>;
  readonly outer: Scope | null;
}

type Tables = ReadonlyMap<string, Bound>;

const STRENGTH: readonly Role[] = ['identity', 'transformation', 'aggregation'];
const NOTHING: Column = { name: '', origins: new Map(), unresolved: new Set() };
const key = (source: string, field: string): string => `${source}\0${field}`;
const fold = (name: string): string => name.toLowerCase();

/** A role seen through another: the stronger calculation, or the decision. */
const seenThrough = (inner: Role, outer: Role): Role => {
  if (!isDirect(inner)) return inner;
  if (!isDirect(outer)) return outer;
  return STRENGTH[Math.max(STRENGTH.indexOf(inner), STRENGTH.indexOf(outer))]!;
};

function add(into: Origins, from: Origins, role: Role | null = null): void {
  for (const [field, roles] of from) {
    const held = into.get(field) ?? new Set<Role>();
    into.set(field, held);
    for (const inner of roles) held.add(role === null ? inner : seenThrough(inner, role));
  }
}

const size = (column: Column): number =>
  [...column.origins.values()].reduce((sum, roles) => sum + roles.size, 0);

function union(name: string, columns: readonly Column[]): Column {
  const origins: Origins = new Map();
  const unresolved = new Set<string>();
  for (const column of columns) {
    add(origins, column.origins);
    for (const fault of column.unresolved) unresolved.add(fault);
  }
  return { name, origins, unresolved };
}

const rowsOf = (tables: Iterable<string>, role: Role): Origins =>
  new Map([...tables].map((table) => [key(table, '*'), new Set([role])]));

/** The column that a name means, or undefined when no scope has it. */
function find(path: readonly string[], scope: Scope, aliasesFirst: boolean): Column | undefined {
  const [head, second] = path.map(fold);
  if (aliasesFirst && path.length === 1 && scope.aliases.has(head!)) return scope.aliases.get(head!);
  if (path.length > 1) {
    const relation = scope.relations.find((item) => fold(item.alias) === head);
    if (relation) {
      const column = relation.columns.find((item) => fold(item.name) === second);
      if (column) return path.length === 2 ? column : partOf(column);
      if (relation.open !== null) return openColumn(relation, path.join('.'));
      return { ...NOTHING, unresolved: new Set([`\`${path.join('.')}\` is no column of ${relation.alias}`]) };
    }
  }
  const merged = scope.merged.get(head!);
  if (merged) return path.length === 1 ? merged : partOf(merged);
  const holders = scope.relations.flatMap((relation) =>
    relation.columns.filter((item) => fold(item.name) === head),
  );
  if (holders.length === 1) return path.length === 1 ? holders[0] : partOf(holders[0]!);
  if (holders.length > 1) {
    const all = union(head!, holders);
    return { ...all, unresolved: new Set([...all.unresolved, `\`${path[0]}\` stands in several tables`]) };
  }
  if (path.length === 1 && scope.aliases.has(head!)) return scope.aliases.get(head!);
  const whole = scope.relations.find((item) => fold(item.alias) === head);
  if (whole && path.length === 1) return partOf(union(head!, whole.columns));
  const outer = scope.outer && find(path, scope.outer, false);
  if (outer) return outer;
  const open = scope.relations.filter((relation) => relation.open !== null);
  if (open.length > 0)
    return union(
      head!,
      open.map((relation) => openColumn(relation, path.join('.'))),
    );
  return undefined;
}

/** A field of a struct, or a row as a value: a calculation on it. */
const partOf = (column: Column): Column => {
  const origins: Origins = new Map();
  add(origins, column.origins, 'transformation');
  return { ...column, origins };
};

const openColumn = (relation: Named, name: string): Column => ({
  name,
  origins: rowsOf(relation.tables, 'transformation'),
  unresolved: new Set([`\`${name}\` comes out of ${relation.open}`]),
});

interface Surroundings {
  readonly tables: Tables;
  readonly faults: Set<string>;
  /** Every table that is read. */
  readonly read: Set<string>;
}

function readTerm(
  term: Term,
  name: string,
  scope: Scope,
  around: Surroundings,
  aliasesFirst = false,
): Column {
  const origins: Origins = new Map();
  let { constant } = term;
  const unresolved = new Set<string>(term.unknown.map((what) => `${what} is not followed`));
  for (const reference of term.references) {
    const column = find(reference.path, scope, aliasesFirst);
    if (!column) {
      unresolved.add(`\`${reference.path.join('.')}\` is no column here`);
      continue;
    }
    add(origins, column.origins, reference.role);
    if (term.bare) constant = column.constant ?? null;
    for (const fault of column.unresolved) unresolved.add(fault);
  }
  for (const nested of term.queries) {
    const read = readNested(nested, scope, around);
    add(origins, read.origins);
    for (const fault of read.unresolved) unresolved.add(fault);
  }
  if ((term.aggregates || term.windows) && origins.size === 0) {
    const tables = new Set(scope.relations.flatMap((relation) => [...relation.tables]));
    add(origins, rowsOf(tables, term.windows ? 'window' : 'aggregation'));
  }
  return { name, origins, unresolved, constant };
}

function readNested(nested: NestedQuery, scope: Scope, around: Surroundings): Column {
  const bound = readQuery(nested.query, around, scope);
  const origins: Origins = new Map();
  const unresolved = new Set(bound.faults);
  if (!nested.exists) {
    for (const column of bound.columns) {
      add(origins, column.origins, nested.role);
      for (const fault of column.unresolved) unresolved.add(fault);
    }
    if (bound.open !== null) unresolved.add(`a subquery over ${bound.open}`);
  }
  add(origins, bound.rows, isDirect(nested.role) ? null : nested.role);
  if (origins.size === 0) add(origins, rowsOf(bound.tables, nested.role));
  return { name: '', origins, unresolved };
}

function rename(bound: Bound, columns: readonly string[]): Bound {
  if (columns.length === 0) return bound;
  return {
    ...bound,
    columns: bound.columns.map((column, i) => ({ ...column, name: columns[i] ?? column.name })),
  };
}

function readRelation(relation: Relation, around: Surroundings, outer: Scope): Named {
  switch (relation.kind) {
    case 'table': {
      const name = relation.path.at(-1)!;
      const alias = relation.alias ?? name;
      const bound = around.tables.get(fold(name));
      if (bound) {
        for (const table of bound.tables) around.read.add(table);
        return { ...rename(bound, relation.columns), alias };
      }
      const what = `\`${relation.path.join('.')}\`, which is no source of this transform`;
      return { ...NO_ROWS, open: what, faults: new Set([`reads ${what}`]), alias };
    }
    case 'query':
      return {
        ...rename(readQuery(relation.query, around, outer), relation.columns),
        alias: relation.alias ?? '',
      };
    case 'function': {
      const column = readTerm(relation.term, '', outer, around);
      const alias = relation.alias ?? relation.name;
      const values = partOf(column);
      const names = relation.columns.length > 0 ? relation.columns : [relation.alias ?? relation.name];
      if (relation.name === 'unnest' || relation.name === 'range' || relation.name === 'generate_series')
        return {
          ...NO_ROWS,
          columns: names.map((name) => ({ ...values, name })),
          rows: withRole(column.origins, 'join'),
          alias,
        };
      const what = `${relation.name}(...)`;
      return {
        ...NO_ROWS,
        columns: relation.columns.map((name) => ({
          ...values,
          name,
          unresolved: new Set([`\`${name}\` comes out of ${what}`]),
        })),
        open: what,
        faults: new Set([`reads ${what}, which lineage does not see into`]),
        alias,
      };
    }
    case 'unknown': {
      const inputs = relation.inputs.map((input) => readRelation(input, around, outer));
      const tables = new Set(inputs.flatMap((input) => [...input.tables]));
      const rows: Origins = new Map();
      for (const input of inputs) add(rows, input.rows);
      return {
        columns: [],
        open: `${relation.what}${tables.size > 0 ? ` of ${[...tables].join(', ')}` : ''}`,
        rows,
        tables,
        faults: new Set(inputs.flatMap((input) => [...input.faults])),
        alias: relation.alias ?? '',
      };
    }
  }
}

const NO_ROWS: Bound = {
  columns: [],
  open: null,
  rows: new Map(),
  tables: new Set(),
  faults: new Set(),
};

const withRole = (origins: Origins, role: Role): Origins => {
  const given: Origins = new Map();
  add(given, origins, role);
  return given;
};

/** CTEs of a query, each seeing those before it; a recursive one also itself. */
function withCtes(
  query: Exclude<Query, { kind: 'unknown' }>,
  around: Surroundings,
  outer: Scope | null,
): Surroundings {
  if (query.ctes.length === 0) return around;
  const tables = new Map(around.tables);
  const inner = { ...around, tables };
  for (const { name, columns, query: body } of query.ctes) {
    if (body.kind !== 'set' || !mentions(body, fold(name))) {
      tables.set(fold(name), rename(readQuery(body, inner, outer), columns));
      continue;
    }
    let bound = rename(readQuery(body.left, inner, outer), columns);
    for (let grown = true; grown; ) {
      tables.set(fold(name), bound);
      const next = rename(readQuery(body, inner, outer), columns);
      grown =
        next.columns.some((column, i) => size(column) > (bound.columns[i] ? size(bound.columns[i]) : 0)) ||
        next.rows.size > bound.rows.size;
      bound = next;
    }
    tables.set(fold(name), bound);
  }
  return inner;
}

/** Whether a query reads a table of that name anywhere. */
function mentions(query: Query, name: string): boolean {
  const visit = (part: unknown): boolean => {
    if (Array.isArray(part)) return part.some(visit);
    if (typeof part !== 'object' || part === null) return false;
    const { kind, path } = part as { readonly kind?: unknown; readonly path?: readonly string[] };
    if (kind === 'table' && path?.length === 1 && fold(path[0]!) === name) return true;
    return Object.values(part).some(visit);
  };
  return visit(query);
}

function expandStar(
  item: Extract<Item, { kind: 'star' }>,
  scope: Scope,
  around: Surroundings,
): { columns: Column[]; open: string | null } {
  const columns: Column[] = [];
  const relations =
    item.relation === null
      ? scope.relations
      : scope.relations.filter((r) => fold(r.alias) === fold(item.relation!));
  if (item.relation !== null && relations.length === 0) {
    around.faults.add(`\`${item.relation}.*\`: there is no table ${item.relation} here`);
    return { columns, open: `${item.relation}.*` };
  }
  const excluded = new Set(item.exclude.map((name) => fold(name.split('.').at(-1)!)));
  const replaced = new Map(item.replace.map((entry) => [fold(entry.name), entry.term]));
  const renamed = new Map(item.rename.map((entry) => [fold(entry.from), entry.to]));
  const once = new Set<string>();
  for (const relation of relations)
    for (const column of relation.columns) {
      const name = fold(column.name);
      const merged = item.relation === null ? scope.merged.get(name) : undefined;
      if (merged && once.has(name)) continue;
      if (merged) once.add(name);
      if (excluded.has(name)) continue;
      const replacement = replaced.get(name);
      const given = replacement ? readTerm(replacement, column.name, scope, around) : (merged ?? column);
      columns.push({ ...given, name: renamed.get(name) ?? column.name });
    }
  return { columns, open: relations.find((relation) => relation.open !== null)?.open ?? null };
}

function bindJoins(
  query: Select,
  scope: Scope,
  around: Surroundings,
  rows: Origins,
  tables: Set<string>,
): void {
  const bind = (named: Named): void => {
    add(rows, named.rows);
    for (const table of named.tables) tables.add(table);
    for (const fault of named.faults) around.faults.add(fault);
  };
  if (query.from) {
    const first = readRelation(query.from, around, scope);
    bind(first);
    scope.relations.push(first);
  }
  for (const join of query.joins) {
    const named = readRelation(join.relation, around, scope);
    bind(named);
    let shared = join.using;
    if (join.kind === 'natural') {
      const before = new Set(
        scope.relations.flatMap((relation) => relation.columns.map((c) => fold(c.name))),
      );
      shared = named.columns.map((column) => column.name).filter((name) => before.has(fold(name)));
      if (named.open !== null) around.faults.add(`NATURAL JOIN with ${named.open}`);
    }
    for (const name of shared) {
      const left = find([name], scope, false);
      const right = named.columns.find((column) => fold(column.name) === fold(name));
      const both = [left, right].filter((column) => column !== undefined);
      for (const column of both) add(rows, column.origins, 'join');
      if (both.length < 2 && named.open === null)
        around.faults.add(`USING (${name}) names no column of both sides`);
      if (join.kind !== 'semi' && join.kind !== 'anti') scope.merged.set(fold(name), union(name, both));
    }
    scope.relations.push(named);
    if (join.on) {
      const read = readTerm(join.on, '', scope, around);
      add(rows, read.origins, 'join');
      for (const fault of read.unresolved) around.faults.add(fault);
    }
    if (join.kind === 'semi' || join.kind === 'anti') scope.relations.pop();
  }
}

function readSelect(query: Select, outerAround: Surroundings, outer: Scope | null): Bound {
  const around = withCtes(query, { ...outerAround, faults: new Set() }, outer);
  const scope: Scope = { relations: [], merged: new Map(), aliases: new Map(), outer };
  const rows: Origins = new Map();
  const tables = new Set<string>();
  bindJoins(query, scope, around, rows, tables);
  const outputs: Column[] = [];
  const plain: Column[] = [];
  let open: string | null = null;
  for (const item of query.items) {
    if (item.kind === 'term') {
      const column = readTerm(item.term, item.name ?? '', scope, around);
      outputs.push(column);
      if (!item.term.aggregates) plain.push(column);
      if (item.name !== null && !scope.aliases.has(fold(item.name)))
        scope.aliases.set(fold(item.name), column);
    } else if (item.kind === 'star') {
      const star = expandStar(item, scope, around);
      outputs.push(...star.columns);
      plain.push(...star.columns);
      open ??= star.open;
    } else if (item.kind === 'pattern') {
      const all = expandStar(
        { kind: 'star', relation: null, exclude: [], replace: [], rename: [] },
        scope,
        around,
      );
      open ??= all.open;
      let pattern: RegExp | undefined;
      try {
        pattern = new RegExp(item.pattern, 'u');
      } catch {
        around.faults.add(`COLUMNS('${item.pattern}') is not followed`);
        open ??= `COLUMNS('${item.pattern}')`;
      }
      outputs.push(...all.columns.filter((column) => pattern?.test(column.name)));
      plain.push(...all.columns.filter((column) => pattern?.test(column.name)));
    } else {
      around.faults.add(`${item.what} is not followed`);
      open ??= item.what;
    }
  }
  const condition = (term: Term | null, role: Role, aliasesFirst = false): void => {
    if (!term) return;
    const position = term.constant !== null && /^\d+$/.test(term.constant) ? Number(term.constant) : 0;
    if (position > 0 && (role === 'sort' || role === 'group_by')) {
      const output = outputs[position - 1];
      if (output) add(rows, output.origins, role);
      return;
    }
    if (
      (role === 'sort' || role === 'group_by') &&
      term.bare &&
      fold(term.references[0]?.path[0] ?? '') === 'all'
    ) {
      for (const output of role === 'sort' ? outputs : plain) add(rows, output.origins, role);
      return;
    }
    const read = readTerm(term, '', scope, around, aliasesFirst);
    add(rows, read.origins, role);
    for (const fault of read.unresolved) around.faults.add(fault);
  };
  condition(query.where, 'filter');
  for (const term of query.groupBy) condition(term, 'group_by');
  if (query.grouped && query.groupBy.length === 0)
    for (const column of plain) add(rows, column.origins, 'group_by');
  condition(query.having, 'filter');
  condition(query.qualify, 'filter');
  for (const term of query.distinctOn) condition(term, 'group_by', true);
  if (query.distinct && query.distinctOn.length === 0)
    for (const output of outputs) add(rows, output.origins, 'group_by');
  for (const term of query.orderBy) condition(term, 'sort', true);
  return { columns: outputs, open, rows, tables, faults: around.faults };
}

function readQuery(query: Query, around: Surroundings, outer: Scope | null): Bound {
  switch (query.kind) {
    case 'select':
      return readSelect(query, around, outer);
    case 'values': {
      const scope: Scope = { relations: [], merged: new Map(), aliases: new Map(), outer };
      const width = Math.max(0, ...query.rows.map((row) => row.length));
      return {
        ...NO_ROWS,
        columns: Array.from({ length: width }, (_, i) =>
          union(
            `col${i}`,
            query.rows.flatMap((row) => (row[i] ? [readTerm(row[i], '', scope, around)] : [])),
          ),
        ),
      };
    }
    case 'set': {
      const inner = withCtes(query, { ...around, faults: new Set() }, outer);
      const left = readQuery(query.left, inner, outer);
      const right = readQuery(query.right, inner, outer);
      const rows: Origins = new Map();
      add(rows, left.rows);
      add(rows, right.rows);
      const faults = new Set([...inner.faults, ...left.faults, ...right.faults]);
      const columns: Column[] = [];
      if (query.byName) {
        for (const column of [...left.columns, ...right.columns]) {
          const at = columns.findIndex((item) => fold(item.name) === fold(column.name));
          if (at < 0) columns.push(column);
          else columns[at] = union(columns[at]!.name, [columns[at]!, column]);
        }
      } else {
        for (const [i, column] of left.columns.entries()) {
          const other = right.columns[i];
          columns.push(query.operator === 'union' && other ? union(column.name, [column, other]) : column);
        }
      }
      if (query.operator !== 'union') for (const column of right.columns) add(rows, column.origins, 'filter');
      if (!query.all || query.operator !== 'union')
        for (const column of columns) add(rows, column.origins, 'group_by');
      const scope: Scope = {
        relations: [{ ...NO_ROWS, columns, alias: '' }],
        merged: new Map(),
        aliases: new Map(),
        outer: null,
      };
      for (const term of query.orderBy) {
        const position = Number(term.constant ?? 0);
        const column = position > 0 ? columns[position - 1] : readTerm(term, '', scope, inner);
        if (column) add(rows, column.origins, 'sort');
      }
      return {
        columns,
        open: left.open ?? right.open,
        rows,
        tables: new Set([...left.tables, ...right.tables]),
        faults,
      };
    }
    case 'unknown':
      return { ...NO_ROWS, open: query.what, faults: new Set([`${query.what} is not followed`]) };
  }
}

const order = new Map(ROLES.map((role, i) => [role, i]));

const usesOf = (origins: Origins): FieldUse[] =>
  [...origins]
    .map(([field, roles]) => {
      const [source, name] = field.split('\0') as [string, string];
      return { source, field: name, roles: [...roles].sort((a, b) => order.get(a)! - order.get(b)!) };
    })
    .sort((a, b) => (a.source < b.source ? -1 : a.source > b.source ? 1 : a.field < b.field ? -1 : 1));

/** Where every output column of a query comes from. Names are compared without regard to case, as DuckDB does. */
export function resolveQuery(query: Query, tables: readonly TableColumns[]): QueryLineage {
  const known = new Map<string, Bound>(
    tables.map(({ name, columns }) => [
      fold(name),
      {
        ...NO_ROWS,
        columns: columns.map((column) => ({
          name: column,
          origins: new Map([[key(name, column), new Set<Role>(['identity'])]]),
          unresolved: new Set<string>(),
        })),
        tables: new Set([name]),
      },
    ]),
  );
  const read = new Set<string>();
  const bound = readQuery(query, { tables: known, faults: new Set(), read }, null);
  return {
    outputs: bound.columns.map((column) => ({
      name: column.name,
      uses: usesOf(column.origins),
      unresolved: [...column.unresolved].sort(),
      constant: column.constant ?? null,
    })),
    complete: bound.open === null,
    rows: usesOf(bound.rows),
    tables: [...read].sort(),
    unresolved: [...bound.faults, ...(bound.open === null ? [] : [`columns of ${bound.open}`])].sort(),
  };
}
