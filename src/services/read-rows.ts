/** Stateless transforms over pushed records, in TypeScript: the same rows that their SQL gives. */
import type { Source } from '../core/define/types.js';
import { compileJsRow } from '../core/expression/index.js';
import { readRows } from '../core/lineage/row-reading.js';
import { toJson } from '../core/schema/coerce-print.js';
import type { Value } from '../core/schema/types.js';
import type { LogRecord } from '../ports/record-log.js';
import type { Project } from './project.js';
import { transformKind } from './transform-sql.js';
import { knownTransformKind } from './transform-state.js';

type Row = Readonly<Record<string, unknown>>;

export interface RowReader {
  readonly transform: Source;
  readonly parent: string;
  /** The rows of a transform's SQL over these records, ready for the door. */
  rows(records: readonly Pick<LogRecord, 'fields' | 'deleted'>[]): readonly Row[];
}

/** The reader of a transform, or in words why it waits for SQL. */
export async function rowReader(
  project: Pick<Project, 'definitions' | 'sqlParser'>,
  transform: Source,
): Promise<RowReader | string> {
  if (transform.read.kind !== 'transform') return 'it is no transform';
  const { kind, reason } = await transformKind(project, transform);
  if (kind !== 'stateless') return reason;
  const parsed = (await project.sqlParser()).parse(transform.read.sql);
  if (!parsed.ok) return parsed.message;
  const reading = readRows(project.definitions, transform, parsed.query);
  if (typeof reading === 'string') return reading;
  const keep = reading.keep && compileJsRow(reading.keep);
  const columns = reading.columns.map(({ name, type, value }) => ({
    name,
    type,
    compute: compileJsRow(value),
  }));
  return {
    transform,
    parent: reading.parent,
    rows: (records) => {
      const rows: Row[] = [];
      for (const { fields, deleted } of records) {
        const record = fields as Readonly<Record<string, Value>>;
        if (deleted || (keep && keep(record) !== true)) continue;
        rows.push(
          Object.fromEntries(columns.map(({ name, type, compute }) => [name, toJson(type, compute(record))])),
        );
      }
      return rows;
    },
  };
}

/** What is known to need everything again needs no parser. */
async function readerUnlessFull(project: Project, transform: Source): Promise<RowReader | string> {
  const { kind, reason } = await knownTransformKind(project, transform);
  return kind === 'stateless' ? rowReader(project, transform) : reason;
}

/** The readers of a project's transforms, made once. */
export function rowReaders(project: Project): {
  /** Makes them all: the parser takes a moment to load. */
  warm(): Promise<void>;
  /** Whether a transform may read records of this source here. */
  reads(source: string): boolean;
  read(
    source: string,
    records: readonly LogRecord[],
  ): Promise<readonly { readonly transform: Source; readonly rows: readonly Row[] }[]>;
} {
  const bySource = new Map<string, Source[]>();
  for (const source of project.definitions.sources.values())
    if (source.read.kind === 'transform' && source.read.parents.length === 1)
      bySource.set(source.read.parents[0]!, [...(bySource.get(source.read.parents[0]!) ?? []), source]);
  const made = new Map<string, Promise<RowReader | string>>();
  const readerOf = (transform: Source): Promise<RowReader | string> => {
    const held = made.get(transform.name) ?? readerUnlessFull(project, transform);
    made.set(transform.name, held);
    return held;
  };
  return {
    warm: async () => {
      for (const transforms of bySource.values())
        for (const transform of transforms) await readerOf(transform);
    },
    reads: (source) => bySource.has(source),
    read: async (source, records) => {
      const found: { transform: Source; rows: readonly Row[] }[] = [];
      for (const transform of bySource.get(source) ?? []) {
        const reader = await readerOf(transform);
        if (typeof reader === 'string') continue;
        const rows = reader.rows(records);
        if (rows.length > 0) found.push({ transform, rows });
      }
      return found;
    },
  };
}
