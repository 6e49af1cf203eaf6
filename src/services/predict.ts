/** Predictions of the champion, with the features they were made from, logged. */
import { randomUUID } from 'node:crypto';
import { MillraceError } from '../core/base/error.js';
import { nearest } from '../core/base/nearest.js';
import { type Instant, printInstant } from '../core/base/time.js';
import type { Model, Service } from '../core/define/types.js';
import type { Prediction } from '../core/learn/model.js';
import { toJson } from '../core/schema/coerce-print.js';
import type { Value } from '../core/schema/types.js';
import type { ModelRuntime } from '../ports/model-runtime.js';
import type { LoggedPrediction } from '../ports/prediction-log.js';
import { definitionsOfModel, type FeatureDefinitions } from './feature-versions.js';
import { loadModel } from './load-model.js';
import { CHAMPION, type ModelManifest, manifestOf } from './model-manifest.js';
import type { Project } from './project.js';
import {
  type Applied,
  checkLengths,
  dataAgeSeconds,
  type FeatureReader,
  type FeatureRequest,
  featureReader,
  printPositions,
  type ValueRow,
} from './serve.js';

/** Predictions, and what they were made from. */
export interface PredictAnswer {
  /** One for each entity, in order: `{ probability, label }`, `{ label, probabilities }` or `{ score }` by task. */
  readonly predictions: readonly unknown[];
  /** `name@version` */
  readonly model: string;
  /** Under these the vectors are logged; outcomes name them. */
  readonly prediction_ids: readonly string[];
  readonly as_of: string;
  readonly applied: Readonly<Record<string, Applied>>;
  readonly data_age_seconds: number | null;
}

/** The version of a service's model that is in production, with the definitions that its features had. */
export interface Champion extends FeatureDefinitions {
  readonly service: Service;
  readonly model: Model;
  readonly version: number;
  readonly manifest: ModelManifest;
  readonly compiled: ModelRuntime;
}

/** A champion with its features, ready to answer. */
export interface Predictor extends Champion {
  readonly reader: FeatureReader;
  predictRows(rows: readonly ValueRow[]): readonly Prediction[] | Promise<readonly Prediction[]>;
}

export function findService(project: Project, name: string): Service {
  const service = project.definitions.services.get(name);
  if (service) return service;
  const near = nearest(name, project.definitions.services.keys());
  throw new MillraceError('UNKNOWN_NAME', `there is no service named "${name}"`, {
    hint: near ? `Did you mean "${near}"?` : 'Define it under `services:`.',
  });
}

export async function openChampion(project: Project, service: Service): Promise<Champion> {
  const model = project.definitions.models.get(service.model)!;
  const registry = await project.registry();
  const champion = registry.alias(model.name, CHAMPION);
  const version = champion === undefined ? undefined : registry.version('model', model.name, champion);
  if (!version)
    throw new MillraceError(
      'MODEL_MISSING',
      `service ${service.name} has no model to serve: ${model.name} has no champion`,
      {
        hint: `Run \`millrace train ${model.name}\` and \`millrace promote ${model.name}\`.`,
      },
    );
  const title = `${model.name}@${version.version}`;
  const former = await definitionsOfModel(project, title, manifestOf(version));
  const { manifest, compiled } = await loadModel(project, version);
  return { service, model, version: version.version, manifest, compiled, ...former };
}

export async function openPredictor(project: Project, name: string): Promise<Predictor> {
  const champion = await openChampion(project, findService(project, name));
  const names = champion.manifest.features.map((feature) => feature.name);
  const reader = await featureReader(project, names, champion.kept ? champion.definitions : undefined);
  return {
    ...champion,
    reader,
    predictRows: (rows) =>
      champion.compiled.predictRows(rows.map((row) => names.map((feature) => row.slots[feature] ?? null))),
  };
}

/** The number that monitoring follows: probability of the positive class, the predicted number, or none. */
export const scoreOf = (prediction: Prediction): number | null =>
  'probability' in prediction && prediction.probability !== undefined
    ? prediction.probability
    : 'score' in prediction
      ? (prediction.score ?? null)
      : null;

function logEntry(
  predictor: Predictor,
  given: {
    readonly id: string;
    readonly at: Instant;
    readonly now: Instant;
    readonly origin: LoggedPrediction['origin'];
    readonly entity: Readonly<Record<string, Value>>;
    readonly request: Readonly<Record<string, Value>>;
    readonly row: ValueRow;
    readonly prediction: Prediction;
    readonly applied: Readonly<Record<string, number>>;
  },
): LoggedPrediction {
  const { reader } = predictor;
  const features: Record<string, unknown> = {};
  const statuses: Record<string, string> = {};
  for (const { name, valueType } of reader.plan.outputs) {
    features[name] = toJson(valueType, given.row.slots[name] ?? null);
    statuses[name] = given.row.statuses[name] ?? 'ok';
  }
  return {
    prediction_id: given.id,
    service: predictor.service.name,
    model: `${predictor.model.name}@${predictor.version}`,
    made_at: given.now,
    as_of: given.at,
    origin: given.origin,
    entity: Object.fromEntries(
      reader.plan.joinKeys.map((key) => [key.name, toJson(key.type, given.entity[key.name] ?? null)]),
    ),
    request: Object.fromEntries(
      reader.plan.requestFields.map((field) => [
        field.name,
        toJson(field.type, given.request[`request.${field.name}`] ?? null),
      ]),
    ),
    features,
    statuses,
    applied: given.applied,
    score: scoreOf(given.prediction),
    prediction: given.prediction,
  };
}

/** Which predictions a service logs: all, none, or a share decided by the prediction's own id. */
export function isLogged(service: Service, id: string): boolean {
  if (service.log === 'all') return true;
  if (service.log === 'none') return false;
  return Number.parseInt(id.slice(0, 8), 16) / 0x1_0000_0000 < service.log.sample;
}

export async function predict(
  project: Project,
  predictor: Predictor,
  request: Omit<FeatureRequest, 'features'>,
  options: { readonly origin?: LoggedPrediction['origin'] } = {},
): Promise<PredictAnswer> {
  checkLengths(request);
  const now = project.now();
  const at = request.at ?? now;
  const { reader } = predictor;
  const text = request.text === true;
  const entities = request.entities.map((entity, i) => reader.parseEntity(entity, i, text));
  const requests = request.entities.map((_, i) => reader.parseRequest(request.request?.[i], i, text));
  const { rows, positions } = reader.read(entities, requests, at);
  const seqs = Object.fromEntries([...positions].map(([source, { seq }]) => [source, seq]));
  const predictions = await predictor.predictRows(rows);
  const ids = rows.map(() => randomUUID());
  const entries = rows.flatMap((row, i) =>
    isLogged(predictor.service, ids[i]!)
      ? [
          logEntry(predictor, {
            id: ids[i]!,
            at,
            now,
            origin: options.origin ?? 'online',
            entity: entities[i]!,
            request: requests[i]!,
            row,
            prediction: predictions[i]!,
            applied: seqs,
          }),
        ]
      : [],
  );
  if (entries.length > 0) await project.predictions().append(predictor.service.name, entries);
  return {
    predictions,
    model: `${predictor.model.name}@${predictor.version}`,
    prediction_ids: ids,
    as_of: printInstant(at),
    applied: printPositions(positions),
    data_age_seconds: dataAgeSeconds(positions, at),
  };
}
