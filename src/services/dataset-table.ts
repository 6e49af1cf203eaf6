import path from 'node:path';
import type { Dataset } from '../core/define/types.js';
import type { Column } from '../core/engine/types.js';
import type { ValueType } from '../core/schema/types.js';
import type { ObservationTable, OfflineStore } from '../ports/offline-store.js';
import type { VersionRecord } from '../ports/registry.js';
import { PART_COLUMN } from './build-dataset.js';

/** The rows of a dataset version as observations again. */
export const datasetTable = (
  store: OfflineStore,
  version: VersionRecord,
  dataset: Dataset,
): Promise<ObservationTable> =>
  store.observationsFromFile(path.join(version.folder, 'data.parquet'), {
    time: dataset.observations.time,
    timezone: 'UTC',
    types: new Map(),
  });

/** Columns of all rows of a version, in the order of its rows; the part of each row is one of them. */
export const datasetColumns = (
  store: OfflineStore,
  version: VersionRecord,
  columns: readonly { readonly name: string; readonly type: ValueType }[],
): Promise<ReadonlyMap<string, Column>> =>
  store.readColumns(path.join(version.folder, 'data.parquet'), columns);

/** The rows of one part, some columns of them, as a Parquet file of their own. */
export const copyPart = (
  store: OfflineStore,
  version: VersionRecord,
  to: string,
  wanted: { readonly part: string; readonly columns: readonly string[] },
): Promise<void> =>
  store.copyRows(path.join(version.folder, 'data.parquet'), to, {
    columns: wanted.columns,
    where: { column: PART_COLUMN, value: wanted.part },
  });
