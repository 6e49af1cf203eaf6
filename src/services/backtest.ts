/** Dataset parts scored by a new champion as if they had been served, with the outcomes that followed. */
import type { DatasetManifest } from '../core/dataset/manifest.js';
import type { Service } from '../core/define/types.js';
import { columnValue } from '../core/engine/columns.js';
import { parseType, STRING, type Value } from '../core/schema/types.js';
import type { LoggedOutcome } from '../ports/prediction-log.js';
import { PART_COLUMN } from './build-dataset.js';
import { datasetTable } from './dataset-table.js';
import { openChampion } from './predict.js';
import type { Project } from './project.js';
import { backtestKey } from './runs/asset-state.js';
import { batchEntries, batchId, scoreTable } from './score.js';

export interface BacktestResult {
  readonly service: string;
  readonly predictions: number;
  readonly outcomes: number;
}

export async function runBacktest(project: Project, service: Service): Promise<BacktestResult> {
  const key = await backtestKey(project, service);
  const registry = await project.registry();
  const champion = await openChampion(project, service);
  const dataset = project.definitions.datasets.get(champion.model.dataset)!;
  const version = registry.version('dataset', dataset.name, champion.manifest.dataset.version)!;
  const manifest = version.manifest as unknown as DatasetManifest;
  const store = await project.offline();
  const labelType = manifest.label ? parseType(manifest.label.type)! : STRING;
  const table = await datasetTable(store, version, dataset);
  try {
    const part = await store.column(table, PART_COLUMN, STRING);
    const all: number[] = [];
    for (let row = 0; row < table.rows; row++)
      if (service.backtest.includes(columnValue(part, row) as never)) all.push(row);
    const label = manifest.label ? await store.column(table, manifest.label.name, labelType) : null;
    project.progress({
      step: 'backtest',
      message: `${service.name}: scoring ${all.length} rows of ${service.backtest.join(', ')}`,
    });
    const scores = await scoreTable(project, store, table, champion);
    const log = project.predictions();
    // A champion that comes back after a rollback has its history already.
    const logged = new Set<string>();
    for await (const item of log.predictions(service.name, { origin: 'backtest' }))
      logged.add(item.prediction_id);
    const rows = all.filter((row) => !logged.has(batchId([key!, row])));
    const ids = rows.map((row) => batchId([key!, row]));
    const entries = await batchEntries(project, store, table, scores, {
      service: service.name,
      origin: 'backtest',
      rows,
      ids,
    });
    await log.append(service.name, entries);
    const horizon = project.definitions.labels.get(dataset.label ?? '')?.horizon ?? 0;
    const known = await log.outcomes(service.name);
    const outcomes = (label === null ? [] : all).flatMap((row): LoggedOutcome[] => {
      const id = batchId([key!, row]);
      if (known.has(id)) return [];
      return [
        {
          prediction_id: id,
          service: service.name,
          label: plain(columnValue(label!, row)),
          at: table.at[row]! + horizon,
          received_at: project.now(),
        },
      ];
    });
    await log.appendOutcomes(service.name, outcomes);
    registry.setFact(`backtest:${service.name}`, key);
    return { service: service.name, predictions: entries.length, outcomes: outcomes.length };
  } finally {
    await store.release(table);
  }
}

const plain = (value: Value): LoggedOutcome['label'] =>
  value === null
    ? null
    : typeof value === 'boolean'
      ? value
        ? 1
        : 0
      : typeof value === 'bigint'
        ? Number(value)
        : (value as number | string);
