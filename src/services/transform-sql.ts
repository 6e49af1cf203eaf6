/** What is known of transforms from their SQL alone. */
import type { Definitions, Source } from '../core/define/types.js';
import { classifyTransform, type TransformKind } from '../core/lineage/classify.js';
import { notRead, parentColumns, type TransformLineage } from '../core/lineage/graph.js';
import type { Query } from '../core/lineage/query.js';
import { resolveQuery } from '../core/lineage/resolve.js';
import type { SqlParser } from '../ports/sql-parser.js';
import type { Project } from './project.js';

type Reading = Pick<Project, 'definitions' | 'sqlParser'>;

/** The lineage of every transform's query. Loads the parser only where there is a transform. */
export async function transformLineages(project: Reading): Promise<ReadonlyMap<string, TransformLineage>> {
  const found = new Map<string, TransformLineage>();
  for (const source of project.definitions.sources.values())
    if (source.read.kind === 'transform')
      found.set(source.name, readTransform(project.definitions, source, await project.sqlParser()));
  return found;
}

function readTransform(definitions: Definitions, source: Source, parser: SqlParser): TransformLineage {
  if (source.read.kind !== 'transform') return { failed: 'it has none' };
  const parsed = parser.parse(source.read.sql);
  if (!parsed.ok) return { failed: parsed.message };
  return lineageOfQuery(definitions, source.read.parents, parsed.query);
}

const lineageOfQuery = (
  definitions: Definitions,
  parents: readonly string[],
  query: Query,
): TransformLineage =>
  resolveQuery(
    query,
    parents.map((name) => ({ name, columns: parentColumns(definitions.sources.get(name)!) })),
  );

/** How a transform may be brought up to date; `full`, with the parser's word, where its SQL is not read. */
export async function transformKind(project: Reading, source: Source): Promise<TransformKind> {
  if (source.read.kind !== 'transform') return { kind: 'full', reason: 'it is no transform', volatile: [] };
  const parsed = (await project.sqlParser()).parse(source.read.sql);
  if (!parsed.ok) return { kind: 'full', reason: notRead(parsed.message), volatile: ['what is not read'] };
  return classifyTransform(project.definitions, source, parsed.query);
}
