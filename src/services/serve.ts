/** Feature values as events arrive: at an instant, with what they were answered from. */
import { MillraceError } from '../core/base/error.js';
import { nearest } from '../core/base/nearest.js';
import { type Instant, MICROS_PER_SECOND, printInstant, printOptionalInstant } from '../core/base/time.js';
import type { Definitions, Feature } from '../core/define/types.js';
import {
  deriveRow,
  expandFeatures,
  type FeatureGroup,
  type FeaturePlan,
  finishBase,
  planFeatures,
} from '../core/engine/feature-plan.js';
import {
  type OnlineGroup,
  type OnlinePosition,
  type OnlineReader,
  type OnlineRow,
  planGroup,
  planReader,
} from '../core/engine/online/index.js';
import type { Status } from '../core/engine/types.js';
import { type Coerced, coerceJson, coerceText } from '../core/schema/coerce.js';
import { toJson } from '../core/schema/coerce-print.js';
import { printType, type Value, type ValueType } from '../core/schema/types.js';
import type { OnlineStore } from '../ports/online-store.js';
import { catchUp } from './materialize.js';
import { projectGroups } from './online-groups.js';
import type { Project } from './project.js';
import { onlineIndexes } from './vectors.js';

export interface FeatureRequest {
  readonly features: readonly string[];
  readonly entities: readonly Readonly<Record<string, unknown>>[];
  readonly request?: readonly Readonly<Record<string, unknown>>[] | undefined;
  readonly at?: Instant | undefined;
  /** Values came from a command line: text in the forms that files use. */
  readonly text?: boolean;
}

/** How far a source was applied when it was answered from. */
export interface Applied {
  /** Position of the last record in the source's log. */
  readonly seq: number;
  /** When it became known; null: there is none. */
  readonly available_at: string | null;
}

export interface AnsweredRow {
  /** As JSON holds them, in the order of `features`: int64 beyond 2^53 and long decimals as text, instants ISO 8601. */
  readonly values: readonly unknown[];
  /** Why a value is null, or that it is a default. */
  readonly statuses: readonly Status[];
}

/** Feature values, and how far the log was known. */
export interface FeatureAnswer {
  readonly features: readonly string[];
  /** One for each entity, in order. */
  readonly rows: readonly AnsweredRow[];
  /** The instant of observation. */
  readonly as_of: string;
  /** By source. */
  readonly applied: Readonly<Record<string, Applied>>;
  /** From the newest record of the source that is furthest behind to the instant; null when nothing was applied. */
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
  /** Of the values of an answer, in order. */
  readonly names: readonly string[];
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
  ): Reading<ValueRow>;
  /** The same, for an answer: the values asked for only, as JSON shows them. */
  answer(
    entities: readonly Readonly<Record<string, Value>>[],
    requests: readonly Readonly<Record<string, Value>>[],
    at: Instant,
  ): Reading<AnsweredRow>;
}

/** Rows, and how far the log of each source had been applied when they were read. */
export interface Reading<Row> {
  readonly rows: readonly Row[];
  readonly positions: ReadonlyMap<string, OnlinePosition>;
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

/** The store's groups by the ids of a plan's. */
type HeldGroups = ReadonlyMap<string, OnlineGroup>;

const heldOf = (project: Project): HeldGroups =>
  new Map(projectGroups(project).map(({ group, online }) => [group.id, online]));

/** How a value of a row becomes a value of an answer. */
interface AnswerStep {
  readonly feature: Feature;
  readonly computed: ValueType;
  /** Place in the row of its group, and in the answer. */
  readonly from: number;
  readonly place: number;
  /** `plain`: as it is; `integer`: as it is while it is no bigint. */
  readonly form: 'plain' | 'integer' | 'any';
}

function answerStep(feature: Feature, computed: ValueType, from: number, place: number): AnswerStep {
  const { kind } = feature.valueType;
  const same = feature.default === undefined && computed.kind === kind;
  const form =
    same && (kind === 'float64' || kind === 'string' || kind === 'boolean')
      ? 'plain'
      : same && kind === 'int64'
        ? 'integer'
        : 'any';
  return { feature, computed, from, place, form };
}

function takeStep(
  { feature, computed, from, place, form }: AnswerStep,
  row: OnlineRow,
  answer: { readonly values: unknown[]; readonly statuses: Status[] },
): void {
  const value = row.values[from]!;
  const status = row.statuses[from]!;
  if (form === 'plain' || (form === 'integer' && typeof value !== 'bigint')) {
    answer.values[place] = value;
    answer.statuses[place] = status;
    return;
  }
  const finished = finishBase(feature, computed, value, status);
  answer.values[place] = toJson(feature.valueType, finished.value);
  answer.statuses[place] = finished.status;
}

export function createFeatureReader(
  store: OnlineStore,
  plan: FeaturePlan,
  project: Project,
  held: HeldGroups = heldOf(project),
): FeatureReader {
  const groups = plan.groups.map((group): BoundReader => {
    const online = held.get(group.id)!;
    return { group, online, reader: planReader(online, group.features, group.source) };
  });
  const indexes = onlineIndexes(store, groups);
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

  /** Reads every group; positions are those of the same snapshots, of two groups of a source the earlier one. */
  const readGroups = (
    entities: readonly Readonly<Record<string, Value>>[],
    at: Instant,
    take: (group: number, rows: readonly OnlineRow[]) => void,
  ): ReadonlyMap<string, OnlinePosition> => {
    const positions = new Map<string, OnlinePosition>();
    for (let i = 0; i < groups.length; i++) {
      const { group, reader } = groups[i]!;
      const { features, joinKeys, source } = group;
      const keys =
        features.length === 0
          ? []
          : entities.map((entity) => joinKeys.map((key) => entity[key.name] ?? null));
      const { rows, applied } = store.read(reader, keys, at);
      const present = positions.get(source.name);
      if (!present || applied.seq < present.seq) positions.set(source.name, applied);
      take(i, rows);
    }
    return positions;
  };

  const read: FeatureReader['read'] = (entities, requests, at) => {
    const rows = entities.map((entity, i) => ({
      slots: { ...slotShape, ...entity, ...requests[i] } as Record<string, Value>,
      statuses: { ...statusShape } as Record<string, Status>,
    }));
    const positions = readGroups(entities, at, (index, found) => {
      const { group, reader } = groups[index]!;
      found.forEach(({ values, statuses }, i) => {
        group.features.forEach((feature, j) => {
          const finished = finishBase(feature, reader.types[j]!, values[j]!, statuses[j]!);
          rows[i]!.slots[feature.name] = finished.value;
          rows[i]!.statuses[feature.name] = finished.status;
        });
      });
    });
    const found = indexes();
    for (const row of rows) deriveRow(plan, row.slots, row.statuses, at, found);
    return { rows, positions };
  };

  const { outputs } = plan;
  const places = new Map(outputs.map((feature, i) => [feature, i]));
  const steps = groups.map(({ group, reader }) =>
    group.features.map((feature, i) => answerStep(feature, reader.types[i]!, i, places.get(feature)!)),
  );
  /** The rows of the only group are the answer as they are, but for values that are printed in another form. */
  const inPlace =
    groups.length === 1 &&
    steps[0]!.length === outputs.length &&
    steps[0]!.every(({ place }, i) => place === i);
  const printed = inPlace ? steps[0]!.filter(({ form }) => form !== 'plain') : [];
  /** Without derived features no value depends on another: they go straight to their places. */
  const answerBase: FeatureReader['answer'] = (entities, _requests, at) => {
    let answer: { values: unknown[]; statuses: Status[] }[] = [];
    if (!inPlace)
      answer = entities.map(() => ({
        values: new Array<unknown>(outputs.length),
        statuses: new Array<Status>(outputs.length),
      }));
    const positions = readGroups(entities, at, (group, rows) => {
      if (inPlace) answer = rows as typeof answer;
      const todo = inPlace ? printed : steps[group]!;
      for (let i = 0; i < rows.length; i++)
        for (let j = 0; j < todo.length; j++) takeStep(todo[j]!, rows[i]!, answer[i]!);
    });
    return { rows: answer, positions };
  };
  const answerDerived: FeatureReader['answer'] = (entities, requests, at) => {
    const { rows, positions } = read(entities, requests, at);
    return {
      rows: rows.map(({ slots, statuses }) => ({
        values: outputs.map((feature) => toJson(feature.valueType, slots[feature.name]!)),
        statuses: outputs.map((feature) => statuses[feature.name]!),
      })),
      positions,
    };
  };

  return {
    plan,
    names: outputs.map((feature) => feature.name),
    groups,
    parseEntity,
    parseRequest,
    read,
    answer: plan.derived.length === 0 ? answerBase : answerDerived,
  };
}

export const printPositions = (
  positions: ReadonlyMap<string, OnlinePosition>,
): Readonly<Record<string, Applied>> =>
  Object.fromEntries(
    [...positions].map(([source, { seq, availableAt }]) => [
      source,
      { seq, available_at: printOptionalInstant(availableAt) },
    ]),
  );

/** Seconds from the newest record of the source that is furthest behind to `at`; null when nothing was applied. */
export function dataAgeSeconds(positions: ReadonlyMap<string, OnlinePosition>, at: Instant): number | null {
  let oldest: number | null = null;
  for (const { availableAt } of positions.values()) {
    if (availableAt === null) continue;
    const age = Math.max(0, (at - availableAt) / MICROS_PER_SECOND);
    oldest = oldest === null ? age : Math.max(oldest, age);
  }
  return oldest;
}

function requireMaterialized(store: OnlineStore, reader: FeatureReader): void {
  const missing = reader.groups.filter(({ online }) => store.applied(online) === null);
  if (missing.length > 0)
    throw new MillraceError(
      'NOT_MATERIALIZED',
      `the online store does not hold ${missing.map(({ group }) => group.id).join(', ')} yet`,
    );
}

/** `kept`: definitions that are not the project's, of which these features alone are held. */
export async function featureReader(
  project: Project,
  names: readonly string[],
  kept?: Definitions,
): Promise<FeatureReader> {
  const store = await project.online();
  const definitions = kept ?? project.definitions;
  const plan = planFeatures(definitions, expandFeatures(definitions, names));
  const held = kept ? new Map(plan.groups.map((group) => [group.id, planGroup(group)])) : heldOf(project);
  const reader = createFeatureReader(store, plan, project, held);
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
  const { rows, positions } = reader.answer(entities, requests, at);
  return {
    features: reader.names,
    rows,
    as_of: printInstant(at),
    applied: printPositions(positions),
    data_age_seconds: dataAgeSeconds(positions, at),
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
