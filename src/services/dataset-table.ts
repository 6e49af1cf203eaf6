/** The rows of dataset versions: the one place that knows where they are. */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { MillraceError } from '../core/base/error.js';
import type { DatasetManifest, PartitionEntry } from '../core/dataset/manifest.js';
import { PART_COLUMN } from '../core/define/columns.js';
import type { Dataset } from '../core/define/types.js';
import type { Column } from '../core/engine/types.js';
import { parseType, STRING, type ValueType } from '../core/schema/types.js';
import type { ObservationTable, OfflineStore, OutputFormat, TableFile } from '../ports/offline-store.js';
import type { VersionRecord } from '../ports/registry.js';
import { rowsObject } from './dataset-files.js';

export interface RowsAt {
  /** Of the version; its partitions are beside it. */
  readonly folder: string;
  readonly manifest: DatasetManifest;
}

export const rowsAt = (version: VersionRecord): RowsAt => ({
  folder: version.folder,
  manifest: version.manifest as unknown as DatasetManifest,
});

/** Files with rows of a version, in the order of the rows; of some of its partitions only. */
export function rowFiles({ folder, manifest }: RowsAt, only?: (entry: PartitionEntry) => boolean): string[] {
  if (manifest.partitions === undefined) return [path.join(folder, 'data.parquet')];
  return manifest.partitions.flatMap((entry) =>
    entry.sha256 !== null && (only === undefined || only(entry))
      ? [rowsObject(path.dirname(folder), entry.sha256)]
      : [],
  );
}

export const rowsPresent = (at: RowsAt): boolean => rowFiles(at).every((file) => existsSync(file));

/** Null where that is no row at all. */
export function someRows(at: RowsAt, only: (entry: PartitionEntry) => boolean): TableFile | null {
  const files = rowFiles(at, only);
  if (files.length === 0) return null;
  return at.manifest.part_rule === undefined ? files[0]! : { files, rule: at.manifest.part_rule };
}

/** @throws MillraceError STORE_CORRUPT when files are gone. */
export function rowsOf(version: VersionRecord): TableFile {
  const at = rowsAt(version);
  if (!rowsPresent(at))
    throw new MillraceError('STORE_CORRUPT', `${version.name}@${version.version} has no rows on disk`, {
      hint: `\`millrace dataset reproduce ${version.name}@${version.version} --restore\` builds them again.`,
    });
  return someRows(at, () => true)!;
}

/** The rows of a dataset version as observations again. */
export const datasetTable = (
  store: OfflineStore,
  version: VersionRecord,
  dataset: Dataset,
): Promise<ObservationTable> =>
  store.observationsFromFile(rowsOf(version), {
    time: dataset.observations.time,
    timezone: 'UTC',
    types: new Map(),
  });

/** Columns of all rows of a version, in the order of its rows; the part of each row is one of them. */
export const datasetColumns = (
  store: OfflineStore,
  version: VersionRecord,
  columns: readonly { readonly name: string; readonly type: ValueType }[],
): Promise<ReadonlyMap<string, Column>> => store.readColumns(rowsOf(version), columns);

/** The rows of one part, some columns of them, as a Parquet file of their own. */
export const copyPart = (
  store: OfflineStore,
  version: VersionRecord,
  to: string,
  wanted: { readonly part: string; readonly columns: readonly string[] },
): Promise<void> =>
  store.copyRows(rowsOf(version), to, {
    columns: wanted.columns,
    where: { column: PART_COLUMN, value: wanted.part },
  });

/** What a version adds to its observations, in the order of its columns. */
export const addedColumns = ({
  features,
  label,
}: DatasetManifest): readonly { readonly name: string; readonly type: ValueType }[] => [
  ...features.map(({ name, type }) => ({ name, type: parseType(type)! })),
  ...(label ? [{ name: label.name, type: parseType(label.type)! }] : []),
  { name: PART_COLUMN, type: STRING },
];

/** All rows of a version as one file. */
export async function writeRows(
  store: OfflineStore,
  rows: TableFile,
  manifest: DatasetManifest,
  time: string,
  out: { readonly file: string; readonly format: OutputFormat },
): Promise<{ readonly rows: number; readonly bytes: number }> {
  const table = await store.observationsFromFile(rows, { time, timezone: 'UTC', types: new Map() });
  try {
    const added = addedColumns(manifest);
    const columns = await store.readColumns(rows, added);
    return await store.write(
      table,
      added.map(({ name }) => ({ name, column: columns.get(name)! })),
      out,
    );
  } finally {
    await store.release(table);
  }
}
