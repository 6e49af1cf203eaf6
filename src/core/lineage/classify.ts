/**
 * How a transform may be brought up to date. `stateless`: every row out comes from one row of one parent, so new
 * records are enough. `incremental`: a UNION ALL of such, told apart by a literal in the record key. `full`: all of it
 * again.
 */
import type { Definitions, Source } from '../define/types.js';
import { sameType } from '../schema/types.js';
import { parentColumns } from './graph.js';
import type { Query, Term } from './query.js';
import { type QueryLineage, resolveQuery } from './resolve.js';

export interface TransformKind {
  readonly kind: 'stateless' | 'incremental' | 'full';
  /** Why it is not a simpler kind, in words; empty for `stateless`. */
  readonly reason: string;
  /** Functions that give another value at every run: rows that they once gave are never taken back. */
  readonly volatile: readonly string[];
}

type Ctes = ReadonlyMap<string, Query>;

/** The first thing in a query that needs more than one row at a time, or null. */
function obstacle(query: Query, ctes: Ctes, depth = 0): string | null {
  if (query.kind === 'unknown') return `${query.what} is not followed`;
  if (query.kind === 'values') return 'VALUES gives rows of its own';
  if (query.kind === 'set') return query.operator === 'union' ? 'UNION' : query.operator.toUpperCase();
  if (depth > 50) return 'a query within itself';
  const inner = new Map(ctes);
  for (const cte of query.ctes) inner.set(cte.name.toLowerCase(), cte.query);
  if (query.joins.length > 0) return 'a join needs the other table';
  if (query.grouped) return 'GROUP BY needs the whole group';
  if (query.distinct) return 'DISTINCT needs all rows';
  if (query.qualify) return 'QUALIFY needs a window of rows';
  if (query.having) return 'HAVING needs the whole group';
  if (query.limited) return 'LIMIT needs all rows';
  if (query.sampled) return 'a sample needs all rows';
  for (const item of query.items) {
    const terms =
      item.kind === 'term'
        ? [item.term]
        : item.kind === 'star'
          ? item.replace.map((entry) => entry.term)
          : [];
    if (item.kind === 'unknown') return `${item.what} is not followed`;
    for (const term of terms) {
      const found = termObstacle(term);
      if (found !== null) return found;
    }
  }
  if (query.where) {
    const found = termObstacle(query.where);
    if (found !== null) return found;
  }
  const { from } = query;
  if (!from) return 'it reads no table';
  switch (from.kind) {
    case 'table': {
      const name = from.path.at(-1)!.toLowerCase();
      const cte = inner.get(name);
      if (!cte) return null;
      const outer = new Map(inner);
      outer.delete(name);
      return obstacle(cte, outer, depth + 1);
    }
    case 'query':
      return obstacle(from.query, inner, depth + 1);
    case 'function':
      return `${from.name}(...) makes rows`;
    case 'unknown':
      return from.what;
  }
}

function termObstacle(term: Term): string | null {
  if (term.aggregates) return `${term.text} needs many rows`;
  if (term.windows) return `${term.text} needs a window of rows`;
  if (term.queries.length > 0) return 'a subquery needs another table';
  if (term.expands) return `${term.text} makes several rows of one`;
  if (term.volatile.length > 0) return `${term.volatile[0]} gives another value at every run`;
  if (term.unknown.length > 0) return `${term.unknown[0]} is not followed`;
  return null;
}

/** Every volatile function of a query, wherever it stands. */
function volatileIn(part: unknown, found: Set<string>): void {
  if (Array.isArray(part)) for (const item of part) volatileIn(item, found);
  else if (typeof part === 'object' && part !== null)
    for (const [key, value] of Object.entries(part))
      if (key === 'volatile') for (const name of value as readonly string[]) found.add(name);
      else volatileIn(value, found);
}

/** Whether two rows of the parent never give the same record key: each part of its key passes as it is. */
function passesKey(definitions: Definitions, source: Source, lineage: QueryLineage): string | null {
  const parent = definitions.sources.get(lineage.tables[0] ?? '');
  if (!parent) return 'it reads no source';
  for (const key of parent.recordKey) {
    const type = parent.fields.find((field) => field.name === key)?.type;
    const passed = source.recordKey.some((own) => {
      const field = source.fields.find((item) => item.name === own);
      const output = lineage.outputs.find(
        (item) => item.name.toLowerCase() === (field?.from ?? own).toLowerCase(),
      );
      const [use, more] = output?.uses ?? [];
      return (
        use !== undefined &&
        more === undefined &&
        output!.unresolved.length === 0 &&
        use.field === key &&
        use.roles.length === 1 &&
        use.roles[0] === 'identity' &&
        type !== undefined &&
        field !== undefined &&
        sameType(field.type, type)
      );
    });
    if (!passed)
      return `its record key does not hold \`${key}\` of ${parent.name} as it is, so two records may meet in one`;
  }
  return null;
}

/** The branches of nested UNION ALLs, left to right; null where something else is between. */
function branchesOf(query: Query): readonly Query[] | null {
  if (query.kind !== 'set') return [query];
  if (query.operator !== 'union' || !query.all || query.byName || query.limited || query.ctes.length > 0)
    return null;
  const left = branchesOf(query.left);
  const right = branchesOf(query.right);
  return left && right ? [...left, ...right] : null;
}

export function classifyTransform(definitions: Definitions, source: Source, query: Query): TransformKind {
  const found = new Set<string>();
  volatileIn(query, found);
  const volatile = [...found];
  const full = (reason: string): TransformKind => ({ kind: 'full', reason, volatile });
  if (source.read.kind !== 'transform') return full('it is no transform');
  const tables = source.read.parents.map((name) => ({
    name,
    columns: parentColumns(definitions.sources.get(name)!),
  }));
  const branches = branchesOf(query);
  if (!branches) return full('only UNION ALL joins queries row by row');
  const lineages: QueryLineage[] = [];
  for (const branch of branches) {
    const stops = obstacle(branch, new Map());
    if (stops !== null) return full(stops);
    const lineage = resolveQuery(branch, tables);
    if (lineage.unresolved.length > 0) return full(lineage.unresolved[0]!);
    if (lineage.tables.length !== 1) return full('it does not read exactly one source');
    lineages.push(lineage);
  }
  // Branches of a union have the names of the first.
  const named = lineages.map((lineage, i) =>
    i === 0
      ? lineage
      : {
          ...lineage,
          outputs: lineage.outputs.map((output, at) => ({
            ...output,
            name: lineages[0]!.outputs[at]?.name ?? output.name,
          })),
        },
  );
  for (const lineage of named) {
    const reason = passesKey(definitions, source, lineage);
    if (reason !== null) return full(reason);
  }
  if (named.length === 1) return { kind: 'stateless', reason: '', volatile };
  const told = source.recordKey.some((own) => {
    const name = (source.fields.find((item) => item.name === own)?.from ?? own).toLowerCase();
    const constants = named.map(
      (lineage) => lineage.outputs.find((output) => output.name.toLowerCase() === name)?.constant ?? null,
    );
    return !constants.includes(null) && new Set(constants).size === constants.length;
  });
  return told
    ? { kind: 'incremental', reason: 'a UNION ALL of queries that go row by row', volatile }
    : full('no literal in the record key tells the branches of the UNION ALL apart');
}
