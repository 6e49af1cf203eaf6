/** Batch scoring: the champion over observations, with the same features and the same log as serving. */
import { createHash } from 'node:crypto';
import path from 'node:path';
import type { Service } from '../core/define/types.js';
import { ColumnBuilder, columnValue } from '../core/engine/columns.js';
import { expandFeatures, type FeaturePlan, planFeatures } from '../core/engine/feature-plan.js';
import { type Column, STATUS_NAMES, type Status } from '../core/engine/types.js';
import type { Prediction } from '../core/learn/model.js';
import { toJson } from '../core/schema/coerce-print.js';
import { FLOAT64, STRING, type Value } from '../core/schema/types.js';
import type { ObservationTable, OfflineStore } from '../ports/offline-store.js';
import type { LoggedPrediction } from '../ports/prediction-log.js';
import { computeFeatures, type FeatureColumn, observationTypes, outputFormat } from './historical.js';
import { recordRun, scoreRun } from './lineage-events.js';
import { type Champion, findService, isLogged, openChampion, scoreOf } from './predict.js';
import { currentHorizons, type Project, stopIfInterrupted } from './project.js';

export interface BatchScores {
  readonly champion: Champion;
  readonly plan: FeaturePlan;
  readonly features: readonly FeatureColumn[];
  readonly predictions: readonly Prediction[];
  readonly horizons: ReadonlyMap<string, number>;
}

const SCORED_AT_ONCE = 4096;

/** Features and predictions of every observation, at its own instant and with what was known then. */
export async function scoreTable(
  project: Project,
  store: OfflineStore,
  table: ObservationTable,
  champion: Champion,
): Promise<BatchScores> {
  const names = champion.manifest.features.map((feature) => feature.name);
  const plan = planFeatures(champion.definitions, expandFeatures(champion.definitions, names));
  const horizons = await currentHorizons(
    project,
    plan.groups.map((group) => group.source.name),
  );
  const features = await computeFeatures(store, table, plan, { horizons, knowledge: 'as_of', project });
  const columns = features.map((item) => item.column);
  const predictions: Prediction[] = [];
  for (let from = 0; from < table.rows; from += SCORED_AT_ONCE) {
    const rows = Array.from({ length: Math.min(SCORED_AT_ONCE, table.rows - from) }, (_, i) =>
      columns.map((column): Value => columnValue(column, from + i)),
    );
    for (const prediction of await champion.compiled.predictRows(rows)) predictions.push(prediction);
    stopIfInterrupted(project);
  }
  return { champion, plan, features, predictions, horizons };
}

/** Ids that the same observation gets again: a repeated backtest logs nothing new under another name. */
export function batchId(parts: readonly (string | number)[]): string {
  const hex = createHash('sha256').update(JSON.stringify(parts)).digest('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20, 32)}`;
}

/** Log entries of scored rows, built column by column. */
export async function batchEntries(
  project: Project,
  store: OfflineStore,
  table: ObservationTable,
  scores: BatchScores,
  options: {
    readonly service: string;
    readonly origin: LoggedPrediction['origin'];
    readonly rows: readonly number[];
    readonly ids: readonly string[];
  },
): Promise<LoggedPrediction[]> {
  const { plan, features, champion } = scores;
  const keys = await columnsOf(store, table, plan.joinKeys);
  const fields = await columnsOf(store, table, plan.requestFields);
  const applied = Object.fromEntries(scores.horizons);
  const madeAt = project.now();
  const model = `${champion.model.name}@${champion.version}`;
  const json = (column: Column, row: number): unknown => toJson(column.type, columnValue(column, row));
  return options.rows.map((row, i): LoggedPrediction => {
    const values: Record<string, unknown> = {};
    const statuses: Record<string, Status> = {};
    for (const { feature, column, status } of features) {
      values[feature.name] = json(column, row);
      statuses[feature.name] = STATUS_NAMES[status[row]!]!;
    }
    return {
      prediction_id: options.ids[i]!,
      service: options.service,
      model,
      made_at: madeAt,
      as_of: table.at[row]!,
      origin: options.origin,
      entity: Object.fromEntries(keys.map(({ name, column }) => [name, json(column, row)])),
      request: Object.fromEntries(fields.map(({ name, column }) => [name, json(column, row)])),
      features: values,
      statuses,
      applied,
      score: scoreOf(scores.predictions[row]!),
      prediction: scores.predictions[row]!,
    };
  });
}

async function columnsOf(
  store: OfflineStore,
  table: ObservationTable,
  wanted: readonly { readonly name: string; readonly type: Column['type'] }[],
): Promise<{ name: string; column: Column }[]> {
  const columns: { name: string; column: Column }[] = [];
  for (const { name, type } of wanted) columns.push({ name, column: await store.column(table, name, type) });
  return columns;
}

export interface ScoreRequest {
  readonly service: string;
  readonly observations: string;
  readonly time: string | undefined;
  readonly out: string;
  readonly log: boolean;
}

export interface ScoreResult {
  readonly service: string;
  readonly model: string;
  readonly rows: number;
  readonly logged: number;
  readonly out: string;
}

export async function scoreFile(project: Project, request: ScoreRequest): Promise<ScoreResult> {
  const service = findService(project, request.service);
  return recordRun(project, scoreRun(project, service.name, request), () =>
    scoreObservations(project, service, request),
  );
}

async function scoreObservations(
  project: Project,
  service: Service,
  request: ScoreRequest,
): Promise<ScoreResult> {
  const format = outputFormat(request.out);
  const champion = await openChampion(project, service);
  const store = await project.offline();
  const dataset = project.definitions.datasets.get(champion.model.dataset)!;
  const time = request.time ?? dataset.observations.time;
  const names = champion.manifest.features.map((feature) => feature.name);
  const plan = planFeatures(champion.definitions, expandFeatures(champion.definitions, names));
  const file = path.resolve(request.observations);
  const table = await store.observationsFromFile(file, {
    time,
    timezone: project.definitions.settings.timezone,
    types: observationTypes(plan),
  });
  try {
    project.progress({ step: 'score', message: `${service.name}: ${table.rows} observations` });
    const scores = await scoreTable(project, store, table, champion);
    const all = Array.from({ length: table.rows }, (_, row) => row);
    const ids = await observationIds(store, table, plan, champion, service);
    const log = project.predictions();
    // The same observations scored again are the same predictions: they do not count twice.
    const known = new Set<string>();
    if (request.log)
      for await (const item of log.predictions(service.name, { origin: 'batch' }))
        known.add(item.prediction_id);
    const logged = request.log
      ? all.filter((row) => isLogged(service, ids[row]!) && !known.has(ids[row]!))
      : [];
    if (logged.length > 0) {
      const entries = await batchEntries(project, store, table, scores, {
        service: service.name,
        origin: 'batch',
        rows: logged,
        ids: logged.map((row) => ids[row]!),
      });
      await log.append(service.name, entries);
    }
    await store.write(table, predictionColumns(table, scores, ids), { file: request.out, format });
    return {
      service: service.name,
      model: `${champion.model.name}@${champion.version}`,
      rows: table.rows,
      logged: logged.length,
      out: request.out,
    };
  } finally {
    await store.release(table);
  }
}

/** By service, model version, keys, request fields and instant; rows alike in all of these by how many came before. */
async function observationIds(
  store: OfflineStore,
  table: ObservationTable,
  plan: FeaturePlan,
  champion: Champion,
  service: Service,
): Promise<readonly string[]> {
  const columns = await columnsOf(store, table, [...plan.joinKeys, ...plan.requestFields]);
  const seen = new Map<string, number>();
  return Array.from({ length: table.rows }, (_, row) => {
    const values = columns.map(({ name, column }) => [name, toJson(column.type, columnValue(column, row))]);
    const own = JSON.stringify([service.name, champion.version, table.at[row]!, values]);
    const before = seen.get(own) ?? 0;
    seen.set(own, before + 1);
    return batchId([own, before]);
  });
}

/** What a batch file gains: prediction_id, the prediction, and class probabilities where there are classes. */
function predictionColumns(
  table: ObservationTable,
  scores: BatchScores,
  ids: readonly string[],
): { name: string; column: Column }[] {
  const { champion, predictions } = scores;
  const id = new ColumnBuilder(STRING, table.rows);
  const model = new ColumnBuilder(STRING, table.rows);
  const score = new ColumnBuilder(FLOAT64, table.rows);
  const label = new ColumnBuilder(STRING, table.rows);
  const multiclass = champion.model.task === 'multiclass';
  const classes = new Map<string, ColumnBuilder>();
  for (let row = 0; row < table.rows; row++) {
    const prediction = predictions[row]!;
    if ('probabilities' in prediction)
      for (const [label, probability] of Object.entries(prediction.probabilities)) {
        const builder = classes.get(label) ?? new ColumnBuilder(FLOAT64, table.rows);
        classes.set(label, builder);
        builder.set(row, probability);
      }
    id.set(row, ids[row]!);
    model.set(row, `${champion.model.name}@${champion.version}`);
    score.set(row, scoreOf(predictions[row]!));
    if (multiclass) label.set(row, String((predictions[row] as { label?: unknown }).label ?? ''));
  }
  const name =
    champion.model.task === 'regression' ? 'prediction' : multiclass ? 'predicted_class' : 'probability';
  return [
    { name: 'prediction_id', column: id.finish() },
    { name, column: multiclass ? label.finish() : score.finish() },
    { name: 'model', column: model.finish() },
    ...[...classes].map(([label, builder]) => ({
      name: `probability_${label}`,
      column: builder.finish(),
    })),
  ];
}
