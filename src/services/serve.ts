/** Answers as events arrive: feature values and predictions at an instant, with what they were answered from. */
import { randomUUID } from 'node:crypto';
import { MillraceError } from '../core/base/error.js';
import { nearest } from '../core/base/nearest.js';
import { type Instant, MICROS_PER_SECOND, printInstant } from '../core/base/time.js';
import type { Definitions, Feature, JoinKey, Model, Service } from '../core/define/types.js';
import { deriveRow, expandFeatures, type FeatureGroup, type FeaturePlan, finishBase, planFeatures } from '../core/engine/feature-plan.js';
import { type OnlineGroup, planGroup } from '../core/engine/online/plan.js';
import type { Status } from '../core/engine/types.js';
import type { CompiledModel, Prediction } from '../core/learn/model.js';
import { coerceJson, coerceText, type Coerced } from '../core/schema/coerce.js';
import { toJson } from '../core/schema/coerce-print.js';
import { printType, type Value, type ValueType } from '../core/schema/types.js';
import type { OnlineStore } from '../ports/online-store.js';
import type { LoggedPrediction } from '../ports/prediction-log.js';
import type { Project } from './project.js';
import { CHAMPION } from './promote.js';
import { loadModel, type ModelManifest } from './train.js';

export interface FeatureRequest {
  readonly features: readonly string[];
  readonly entities: readonly Readonly<Record<string, unknown>>[];
  readonly request?: readonly Readonly<Record<string, unknown>>[] | undefined;
  readonly at?: Instant | undefined;
  /** Values came from a command line: text in the forms that files use. */
  readonly text?: boolean;
}

export interface Applied {
  readonly seq: number;
  readonly available_at: string | null;
}

export interface FeatureAnswer {
  readonly features: readonly string[];
  readonly rows: readonly { readonly values: readonly unknown[]; readonly statuses: readonly Status[] }[];
  readonly as_of: string;
  readonly applied: Readonly<Record<string, Applied>>;
  readonly data_age_seconds: number | null;
}

/** One row as the engine gives it: typed values by feature name. */
export interface ValueRow {
  readonly slots: Readonly<Record<string, Value>>;
  readonly statuses: Readonly<Record<string, Status>>;
}

interface BoundGroup {
  readonly group: FeatureGroup;
  readonly online: OnlineGroup;
  /** Features with the type the engine gives before widening. */
  readonly outputs: readonly { readonly feature: Feature; readonly type: ValueType }[];
}

/** A prepared list of features: everything that can be decided before a request is decided once. */
export interface FeatureReader {
  readonly plan: FeaturePlan;
  readonly groups: readonly BoundGroup[];
  parseEntity(entity: Readonly<Record<string, unknown>>, row: number, text: boolean): Readonly<Record<string, Value>>;
  parseRequest(request: Readonly<Record<string, unknown>> | undefined, row: number, text: boolean): Readonly<Record<string, Value>>;
  read(entities: readonly Readonly<Record<string, Value>>[], requests: readonly Readonly<Record<string, Value>>[], at: Instant): readonly ValueRow[];
  applied(): Readonly<Record<string, Applied>>;
  dataAgeSeconds(at: Instant): number | null;
}

const OPTIONS = { timezone: 'UTC', ambiguousTime: 'refuse' as const, nulls: [] };

function typed(type: ValueType, given: unknown, text: boolean): Coerced {
  if (given === undefined || given === null) return { ok: true, value: null };
  return text && typeof given === 'string' ? coerceText(type, given, OPTIONS) : coerceJson(type, given, OPTIONS);
}

export function createFeatureReader(store: OnlineStore, plan: FeaturePlan, definitions: Definitions): FeatureReader {
  const groups = plan.groups.map((group): BoundGroup => {
    const online = planGroup(group, definitions);
    return { group, online, outputs: group.features.map((feature, i) => ({ feature, type: online.outputs[i]!.type })) };
  });
  const keyNames = plan.joinKeys.map((key) => key.name);

  const parseEntity: FeatureReader['parseEntity'] = (entity, row, text) => {
    const keys: Record<string, Value> = {};
    for (const key of plan.joinKeys) {
      if (!Object.hasOwn(entity, key.name)) {
        const near = nearest(key.name, Object.keys(entity));
        throw new MillraceError('ENTITY_KEY_INVALID', `entity ${row + 1} lacks the key "${key.name}"`, {
          place: { path: `entities[${row}].${key.name}` },
          hint: near ? `It has "${near}".` : `These features need ${keyNames.join(', ')}.`,
        });
      }
      const value = typed(key.type, entity[key.name], text);
      if (!value.ok)
        throw new MillraceError('ENTITY_KEY_INVALID', `entity ${row + 1}: ${key.name} ${value.message}`, {
          place: { path: `entities[${row}].${key.name}` },
          hint: `It must be ${value.expected} (${printType(key.type)}).`,
        });
      keys[key.name] = value.value;
    }
    return keys;
  };

  const parseRequest: FeatureReader['parseRequest'] = (request, row, text) => {
    const fields: Record<string, Value> = {};
    for (const field of plan.requestFields) {
      const value = typed(field.type, request?.[field.name], text);
      if (!value.ok)
        throw new MillraceError('REQUEST_INVALID', `request ${row + 1}: ${field.name} ${value.message}`, {
          place: { path: `request[${row}].${field.name}` },
          hint: `It must be ${value.expected} (${printType(field.type)}).`,
        });
      fields[`request.${field.name}`] = value.value;
    }
    return fields;
  };

  const read: FeatureReader['read'] = (entities, requests, at) => {
    const rows = entities.map((entity, i) => ({
      slots: { ...entity, ...requests[i] } as Record<string, Value>,
      statuses: {} as Record<string, Status>,
    }));
    for (const { group, online, outputs } of groups) {
      const keys = entities.map((entity) => group.joinKeys.map((key: JoinKey) => entity[key.name] ?? null));
      const answers = store.read(online, keys, at);
      for (const [i, answer] of answers.entries()) {
        const row = rows[i]!;
        for (const [j, { feature, type }] of outputs.entries()) {
          const finished = finishBase(feature, type, answer.values[j]!, answer.statuses[j]!);
          row.slots[feature.name] = finished.value;
          row.statuses[feature.name] = finished.status;
        }
      }
    }
    for (const row of rows) deriveRow(plan, row.slots, row.statuses, at);
    return rows;
  };

  const positions = (): Map<string, { seq: number; availableAt: Instant | null }> => {
    const found = new Map<string, { seq: number; availableAt: Instant | null }>();
    for (const { group, online } of groups) {
      const state = store.applied(online);
      const present = found.get(group.source.name);
      if (!present || state.seq < present.seq) found.set(group.source.name, state);
    }
    return found;
  };

  return {
    plan,
    groups,
    parseEntity,
    parseRequest,
    read,
    applied: () =>
      Object.fromEntries(
        [...positions()].map(([source, state]) => [source, { seq: state.seq, available_at: state.availableAt === null ? null : printInstant(state.availableAt) }]),
      ),
    dataAgeSeconds: (at) => {
      let oldest: number | null = null;
      for (const { availableAt } of positions().values()) {
        if (availableAt === null) continue;
        const age = Math.max(0, (at - availableAt) / MICROS_PER_SECOND);
        oldest = oldest === null ? age : Math.max(oldest, age);
      }
      return oldest;
    },
  };
}

export function requireMaterialized(store: OnlineStore, reader: FeatureReader): void {
  const missing = reader.groups.filter(({ online }) => !store.has(online));
  if (missing.length > 0)
    throw new MillraceError('NOT_MATERIALIZED', `the online store does not hold ${missing.map(({ group }) => group.id).join(', ')} yet`);
}

export async function featureReader(project: Project, names: readonly string[]): Promise<FeatureReader> {
  const store = await project.online();
  const plan = planFeatures(project.definitions, expandFeatures(project.definitions, names));
  const reader = createFeatureReader(store, plan, project.definitions);
  requireMaterialized(store, reader);
  return reader;
}

export function answerFeatures(reader: FeatureReader, request: Omit<FeatureRequest, 'features'>, now: Instant): FeatureAnswer {
  const at = request.at ?? now;
  const text = request.text === true;
  checkLengths(request);
  const entities = request.entities.map((entity, i) => reader.parseEntity(entity, i, text));
  const requests = request.entities.map((_, i) => reader.parseRequest(request.request?.[i], i, text));
  const rows = reader.read(entities, requests, at);
  const { outputs } = reader.plan;
  return {
    features: outputs.map((feature) => feature.name),
    rows: rows.map(({ slots, statuses }) => ({
      values: outputs.map((feature) => toJson(feature.valueType, slots[feature.name]!)),
      statuses: outputs.map((feature) => statuses[feature.name]!),
    })),
    as_of: printInstant(at),
    applied: reader.applied(),
    data_age_seconds: reader.dataAgeSeconds(at),
  };
}

function checkLengths(request: Omit<FeatureRequest, 'features'>): void {
  if (request.request !== undefined && request.request.length !== request.entities.length)
    throw new MillraceError('REQUEST_INVALID', `there are ${request.entities.length} entities but ${request.request.length} requests`, { hint: 'Give one request object for each entity, in the same order.' });
}

export async function onlineFeatures(project: Project, request: FeatureRequest): Promise<FeatureAnswer> {
  return answerFeatures(await featureReader(project, request.features), request, project.now());
}

export interface PredictAnswer {
  readonly predictions: readonly unknown[];
  readonly model: string;
  readonly prediction_ids: readonly string[];
  readonly as_of: string;
  readonly applied: Readonly<Record<string, Applied>>;
  readonly data_age_seconds: number | null;
}

/** The version of a service's model that is in production, checked against the present definitions. */
export interface Champion {
  readonly service: Service;
  readonly model: Model;
  readonly version: number;
  readonly manifest: ModelManifest;
  readonly compiled: CompiledModel;
}

/** A champion with its features, ready to answer. */
export interface Predictor extends Champion {
  readonly reader: FeatureReader;
  predictRow(row: ValueRow): Prediction;
}

export function findService(project: Project, name: string): Service {
  const service = project.definitions.services.get(name);
  if (service) return service;
  const near = nearest(name, project.definitions.services.keys());
  throw new MillraceError('UNKNOWN_NAME', `there is no service named "${name}"`, { hint: near ? `Did you mean "${near}"?` : 'Define it under `services:`.' });
}

export async function openChampion(project: Project, service: Service): Promise<Champion> {
  const model = project.definitions.models.get(service.model)!;
  const registry = await project.registry();
  const champion = registry.alias(model.name, CHAMPION);
  const version = champion === undefined ? undefined : registry.version('model', model.name, champion);
  if (!version)
    throw new MillraceError('MODEL_MISSING', `service ${service.name} has no model to serve: ${model.name} has no champion`, {
      hint: `Run \`millrace train ${model.name}\` and \`millrace promote ${model.name}\`.`,
    });
  const { manifest, compiled } = await loadModel(version);
  for (const feature of manifest.features) {
    const present = project.definitions.features.get(feature.name);
    if (!present || present.fingerprint !== feature.fingerprint)
      throw new MillraceError('MODEL_MISSING', `model ${model.name}@${version.version} was trained with another definition of feature ${feature.name}`, {
        hint: `Run \`millrace run ${service.name}\` to train with the present definitions.`,
      });
  }
  return { service, model, version: version.version, manifest, compiled };
}

export async function openPredictor(project: Project, name: string): Promise<Predictor> {
  const champion = await openChampion(project, findService(project, name));
  const names = champion.manifest.features.map((feature) => feature.name);
  const reader = await featureReader(project, names);
  return { ...champion, reader, predictRow: (row) => champion.compiled.predictRow(names.map((feature) => row.slots[feature] ?? null)) };
}

/** The number that monitoring follows: probability of the positive class, the predicted number, or none. */
export const scoreOf = (prediction: Prediction): number | null => ('probability' in prediction && prediction.probability !== undefined ? prediction.probability : 'score' in prediction ? (prediction.score ?? null) : null);

export function logEntry(
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
  const { reader, manifest } = predictor;
  const features: Record<string, unknown> = {};
  const statuses: Record<string, string> = {};
  for (const { name } of manifest.features) {
    const feature = reader.plan.outputs.find((item) => item.name === name)!;
    features[name] = toJson(feature.valueType, given.row.slots[name] ?? null);
    statuses[name] = given.row.statuses[name] ?? 'ok';
  }
  return {
    prediction_id: given.id,
    service: predictor.service.name,
    model: `${predictor.model.name}@${predictor.version}`,
    made_at: given.now,
    as_of: given.at,
    origin: given.origin,
    entity: Object.fromEntries(reader.plan.joinKeys.map((key) => [key.name, toJson(key.type, given.entity[key.name] ?? null)])),
    request: Object.fromEntries(reader.plan.requestFields.map((field) => [field.name, toJson(field.type, given.request[`request.${field.name}`] ?? null)])),
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
  const rows = reader.read(entities, requests, at);
  const applied = reader.applied();
  const seqs = Object.fromEntries(Object.entries(applied).map(([source, state]) => [source, state.seq]));
  const predictions = rows.map((row) => predictor.predictRow(row));
  const ids = rows.map(() => randomUUID());
  const entries = rows.flatMap((row, i) =>
    isLogged(predictor.service, ids[i]!)
      ? [logEntry(predictor, { id: ids[i]!, at, now, origin: options.origin ?? 'online', entity: entities[i]!, request: requests[i]!, row, prediction: predictions[i]!, applied: seqs })]
      : [],
  );
  if (entries.length > 0) await project.predictions().append(predictor.service.name, entries);
  return {
    predictions,
    model: `${predictor.model.name}@${predictor.version}`,
    prediction_ids: ids,
    as_of: printInstant(at),
    applied,
    data_age_seconds: reader.dataAgeSeconds(at),
  };
}
