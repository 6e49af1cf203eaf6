/** Feature values as events arrive: at an instant, with what they were answered from. */
import { MillraceError } from '../core/base/error.js';
import { nearest } from '../core/base/nearest.js';
import { type Instant, MICROS_PER_SECOND, printInstant } from '../core/base/time.js';
import type { JoinKey } from '../core/define/types.js';
import {
  deriveRow,
  expandFeatures,
  type FeatureGroup,
  type FeaturePlan,
  finishBase,
  planFeatures,
} from '../core/engine/feature-plan.js';
import { type OnlineGroup, type OnlineReader, planReader } from '../core/engine/online/index.js';
import type { Status } from '../core/engine/types.js';
import { type Coerced, coerceJson, coerceText } from '../core/schema/coerce.js';
import { toJson } from '../core/schema/coerce-print.js';
import { printType, type Value, type ValueType } from '../core/schema/types.js';
import type { OnlineStore } from '../ports/online-store.js';
import { catchUp, projectGroups } from './materialize.js';
import type { Project } from './project.js';

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

/** Features of one key space, as this list reads them. */
interface BoundReader {
  readonly group: FeatureGroup;
  /** The store's group, planned over all of the project's features, so that every list reads the same one. */
  readonly online: OnlineGroup;
  readonly reader: OnlineReader;
}

/** A prepared list of features: everything that can be decided before a request is decided once. */
export interface FeatureReader {
  readonly plan: FeaturePlan;
  readonly groups: readonly BoundReader[];
  parseEntity(
    entity: Readonly<Record<string, unknown>>,
    row: number,
    text: boolean,
  ): Readonly<Record<string, Value>>;
  parseRequest(
    request: Readonly<Record<string, unknown>> | undefined,
    row: number,
    text: boolean,
  ): Readonly<Record<string, Value>>;
  read(
    entities: readonly Readonly<Record<string, Value>>[],
    requests: readonly Readonly<Record<string, Value>>[],
    at: Instant,
  ): readonly ValueRow[];
  applied(): Readonly<Record<string, Applied>>;
  dataAgeSeconds(at: Instant): number | null;
}

const OPTIONS = { timezone: 'UTC', ambiguousTime: 'refuse' as const, nulls: [] };

function typed(type: ValueType, given: unknown, text: boolean): Coerced {
  if (given === undefined || given === null) return { ok: true, value: null };
  return text && typeof given === 'string'
    ? coerceText(type, given, OPTIONS)
    : coerceJson(type, given, OPTIONS);
}

/** An object with these names, all null, in V8's fast form, which JSON.parse gives. */
const shapeOf = <T>(names: readonly string[]): Readonly<Record<string, T>> =>
  JSON.parse(JSON.stringify(Object.fromEntries(names.map((name) => [name, null])))) as Record<string, T>;

export function createFeatureReader(store: OnlineStore, plan: FeaturePlan, project: Project): FeatureReader {
  const held = new Map(projectGroups(project).map(({ group, online }) => [group.id, online]));
  const groups = plan.groups.map((group): BoundReader => {
    const online = held.get(group.id)!;
    return { group, online, reader: planReader(online, group.features, group.source) };
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

  // Rows begin as copies of one object with every name in place: adding names one by one makes a slow hash table.
  const slotShape = shapeOf<Value>([
    ...keyNames,
    ...plan.requestFields.map((field) => `request.${field.name}`),
    'as_of',
    ...plan.closure.map((feature) => feature.name),
  ]);
  const statusShape = shapeOf<Status>(plan.closure.map((feature) => feature.name));

  const read: FeatureReader['read'] = (entities, requests, at) => {
    const rows = entities.map((entity, i) => ({
      slots: { ...slotShape, ...entity, ...requests[i] } as Record<string, Value>,
      statuses: { ...statusShape } as Record<string, Status>,
    }));
    for (const { group, reader } of groups) {
      const keys = entities.map((entity) => group.joinKeys.map((key: JoinKey) => entity[key.name] ?? null));
      const answer = store.read(reader, keys, at);
      const { features } = group;
      for (let i = 0; i < rows.length; i++) {
        const { slots, statuses } = rows[i]!;
        const given = answer.rows[i]!;
        for (let j = 0; j < features.length; j++) {
          const feature = features[j]!;
          const finished = finishBase(feature, reader.types[j]!, given.values[j]!, given.statuses[j]!);
          slots[feature.name] = finished.value;
          statuses[feature.name] = finished.status;
        }
      }
    }
    for (const row of rows) deriveRow(plan, row.slots, row.statuses, at);
    return rows;
  };

  const positions = (): Map<string, { seq: number; availableAt: Instant | null }> => {
    const found = new Map<string, { seq: number; availableAt: Instant | null }>();
    for (const { group, online } of groups) {
      const state = store.applied(online) ?? { seq: 0, availableAt: null };
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
        [...positions()].map(([source, state]) => [
          source,
          {
            seq: state.seq,
            available_at: state.availableAt === null ? null : printInstant(state.availableAt),
          },
        ]),
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
  const missing = reader.groups.filter(({ online }) => store.applied(online) === null);
  if (missing.length > 0)
    throw new MillraceError(
      'NOT_MATERIALIZED',
      `the online store does not hold ${missing.map(({ group }) => group.id).join(', ')} yet`,
    );
}

export async function featureReader(project: Project, names: readonly string[]): Promise<FeatureReader> {
  const store = await project.online();
  const plan = planFeatures(project.definitions, expandFeatures(project.definitions, names));
  const reader = createFeatureReader(store, plan, project);
  requireMaterialized(store, reader);
  return reader;
}

export function answerFeatures(
  reader: FeatureReader,
  request: Omit<FeatureRequest, 'features'>,
  now: Instant,
): FeatureAnswer {
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

export function checkLengths(request: Omit<FeatureRequest, 'features'>): void {
  if (request.request !== undefined && request.request.length !== request.entities.length)
    throw new MillraceError(
      'REQUEST_INVALID',
      `there are ${request.entities.length} entities but ${request.request.length} requests`,
      { hint: 'Give one request object for each entity, in the same order.' },
    );
}

/** One answer for a command: the store follows the log first. */
export async function onlineFeatures(
  project: Project,
  request: FeatureRequest,
  command: string,
): Promise<FeatureAnswer> {
  const plan = planFeatures(project.definitions, expandFeatures(project.definitions, request.features));
  await catchUp(
    project,
    plan.groups.map((group) => group.id),
    command,
  );
  return answerFeatures(await featureReader(project, request.features), request, project.now());
}
