import path from 'node:path';
import type { Dataset } from '../core/define/types.js';
import type { ObservationTable, OfflineStore } from '../ports/offline-store.js';
import type { VersionRecord } from '../ports/registry.js';

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
