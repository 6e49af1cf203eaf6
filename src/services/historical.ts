/** Point-in-time values of features for any table of observations: scan, sweep, derive. */
import { MillraceError } from '../core/base/error.js';
import { featureWindow } from '../core/dataset/partition.js';
import { likeNames } from '../core/define/columns.js';
import type { Definitions, Feature, Source } from '../core/define/types.js';
import { ColumnBuilder, columnValue } from '../core/engine/columns.js';
import {
  deriveRow,
  expandFeatures,
  type FeatureGroup,
  type FeaturePlan,
  finishBase,
  planFeatures,
} from '../core/engine/feature-plan.js';
import { sweepFeature, sweepLookup } from '../core/engine/sweep-plan.js';
import { type Column, STATUS, STATUS_NAMES, type Status } from '../core/engine/types.js';
import type { Expression } from '../core/expression/index.js';
import { sameType, type Value, type ValueType } from '../core/schema/types.js';
import type {
  AddedColumn,
  HeldLookups,
  ObservationTable,
  OfflineStore,
  OutputFormat,
  Period,
} from '../ports/offline-store.js';
import { currentHorizons, type Project, stopIfInterrupted } from './project.js';
import { offlineIndexes } from './vectors.js';

export interface FeatureColumn {
  readonly feature: Feature;
  readonly column: Column;
  /** STATUS codes by observation. */
  readonly status: Uint8Array;
}

export interface ComputeOptions {
  /** Log position of every source beyond which nothing is read. */
  readonly horizons: ReadonlyMap<string, number>;
  readonly knowledge: 'as_of' | 'hindsight';
  /**
   * Where all observations lie, when nothing but values is wanted: records too old for them are not read, and statuses
   * do not tell `never_seen` from `empty`. Absent: everything is read.
   */
  readonly observed?: readonly Period[];
  /** Whose interruption ends the work between two groups, and whose log searches read. */
  readonly project: Pick<Project, 'signal' | 'log'>;
}

/** The fields that a group's features read, and its predicates by canonical text. */
function groupReads(group: FeatureGroup): { fields: string[]; predicates: Map<string, Expression> } {
  const fields = new Set<string>();
  const predicates = new Map<string, Expression>();
  for (const { computation } of group.features) {
    if (computation.kind === 'lookup') fields.add(computation.field);
    if (computation.kind !== 'aggregation') continue;
    if (computation.field !== null) fields.add(computation.field);
    if (computation.arguments.by !== undefined) fields.add(computation.arguments.by);
    if (computation.groupBy !== null) fields.add(computation.groupBy);
    for (const expression of [computation.where, computation.ratioWhere])
      if (expression) predicates.set(expression.canonical, expression);
  }
  return { fields: [...fields], predicates };
}

/** The answers of a group of nothing but lookups, where the engine that scans can give them itself. */
async function holdLookups(
  store: OfflineStore,
  table: ObservationTable,
  group: FeatureGroup,
  options: ComputeOptions,
): Promise<HeldLookups | null> {
  const lookups = group.features.flatMap((feature) => sweepLookup(feature, group.source) ?? []);
  if (lookups.length < group.features.length) return null;
  const { source, joinKeys, keyFields } = group;
  const horizonSeq = options.horizons.get(source.name) ?? 0;
  return store.lookups(table, {
    source,
    horizonSeq,
    joinKeys,
    keyFields,
    lookups,
    knowledge: options.knowledge,
  });
}

/** The event times that windows of a group reach from some observations; undefined: all. */
function recordsWithin(
  group: FeatureGroup,
  observed: readonly Period[] | undefined,
): readonly Period[] | undefined {
  const back = Math.max(...group.features.map(({ computation }) => featureWindow(computation)));
  if (observed === undefined || back === Number.POSITIVE_INFINITY) return undefined;
  return observed.map(({ from, to }) => ({ from: from - back, to }));
}

async function baseColumns(
  store: OfflineStore,
  table: ObservationTable,
  group: FeatureGroup,
  options: ComputeOptions,
): Promise<FeatureColumn[]> {
  const held = await holdLookups(store, table, group, options);
  if (held) {
    const columns = await held.columns();
    await held.release();
    return columns.map(({ column, status }, i) => {
      const feature = group.features[i]!;
      return { feature, ...finishColumn(feature, column, status) };
    });
  }
  const entities = await store.entities(table, group.joinKeys);
  const reads = groupReads(group);
  // `never_seen` needs to know of records older than any window, so an unbounded scan is only narrowed to the keys.
  const swept = await store.sweep(
    {
      source: group.source,
      horizonSeq: options.horizons.get(group.source.name) ?? 0,
      entities,
      keyFields: group.keyFields,
      fields: reads.fields,
      predicates: reads.predicates,
      knowledge: options.knowledge,
      signal: options.project.signal,
      within: recordsWithin(group, options.observed),
    },
    table,
    {
      features: group.features.flatMap((feature) => sweepFeature(feature, group.source) ?? []),
      lookups: group.features.flatMap((feature) => sweepLookup(feature, group.source) ?? []),
    },
  );
  await store.release(entities);
  const byName = new Map(swept.map((item) => [item.name, item]));
  return group.features.map((feature) => {
    const { column, status } = byName.get(feature.name)!;
    return { feature, ...finishColumn(feature, column, status) };
  });
}

/** Widening and defaults over a column, by the same `finishBase` that serving calls for one value. */
export function finishColumn(
  feature: Pick<Feature, 'default' | 'valueType'>,
  column: Column,
  status: Uint8Array,
): { readonly column: Column; readonly status: Uint8Array } {
  const untouched = feature.default === undefined && column.type.kind === feature.valueType.kind;
  if (untouched) return { column: { ...column, type: feature.valueType } as Column, status };
  const builder = new ColumnBuilder(feature.valueType, status.length);
  const codes = new Uint8Array(status.length);
  for (let i = 0; i < status.length; i++) {
    const finished = finishBase(feature, column.type, columnValue(column, i), STATUS_NAMES[status[i]!]!);
    builder.set(i, finished.value);
    codes[i] = STATUS[finished.status];
  }
  return { column: builder.finish(), status: codes };
}

interface WritableFeatures {
  readonly added: readonly AddedColumn[];
  readonly statuses: ReadonlyMap<string, Uint32Array>;
  release(): Promise<void>;
}

/** Nothing but lookups as they are held: they go to a file without passing through JavaScript. Null: they do not. */
export async function heldFeatures(
  store: OfflineStore,
  table: ObservationTable,
  plan: FeaturePlan,
  options: ComputeOptions,
): Promise<WritableFeatures | null> {
  const asHeld = (feature: Feature, source: Source): boolean => {
    const lookup = sweepLookup(feature, source);
    return lookup !== undefined && sameType(lookup.outputType, feature.valueType);
  };
  if (!plan.groups.every(({ features, source }) => features.every((feature) => asHeld(feature, source))))
    return null;
  if (plan.derived.length > 0) return null;
  const helds: HeldLookups[] = [];
  const release = async (): Promise<void> => {
    for (const held of helds) await held.release();
  };
  const added = new Map<string, AddedColumn>();
  const statuses = new Map<string, Uint32Array>();
  for (const group of plan.groups) {
    stopIfInterrupted(options.project);
    const held = await holdLookups(store, table, group, options);
    if (held === null) {
      await release();
      return null;
    }
    helds.push(held);
    if (held.plain) {
      for (const [i, { column, status }] of (await held.columns()).entries()) {
        const feature = group.features[i]!;
        const finished = finishColumn(feature, column, status);
        added.set(feature.name, { name: feature.name, column: finished.column });
        statuses.set(feature.name, countCodes(finished.status));
      }
      continue;
    }
    const counts = await held.statuses();
    for (const feature of group.features) {
      const byCode = counts.get(feature.name)!;
      if (feature.default !== undefined) {
        byCode[STATUS.defaulted] = byCode.reduce((sum, rows) => sum + rows, 0) - byCode[STATUS.ok]!;
        for (const status of [STATUS.empty, STATUS.never_seen, STATUS.expired]) byCode[status] = 0;
      }
      statuses.set(feature.name, byCode);
      added.set(feature.name, { name: feature.name, held, default: feature.default });
    }
  }
  return { added: plan.outputs.map(({ name }) => added.get(name)!), statuses, release };
}

export async function computeFeatures(
  store: OfflineStore,
  table: ObservationTable,
  plan: FeaturePlan,
  options: ComputeOptions,
): Promise<readonly FeatureColumn[]> {
  const computed = new Map<string, FeatureColumn>();
  for (const group of plan.groups) {
    if (group.features.length === 0) continue;
    stopIfInterrupted(options.project);
    for (const item of await baseColumns(store, table, group, options)) computed.set(item.feature.name, item);
  }

  if (plan.derived.length > 0) {
    const inputs: { slot: string; column: Column }[] = [...computed.values()].map((item) => ({
      slot: item.feature.name,
      column: item.column,
    }));
    for (const key of plan.joinKeys)
      inputs.push({ slot: key.name, column: await store.column(table, key.name, key.type) });
    for (const field of plan.requestFields)
      inputs.push({
        slot: `request.${field.name}`,
        column: await store.column(table, field.name, field.type),
      });
    const indexes = await offlineIndexes(options.project, plan, options.horizons, options.knowledge);
    const builders = plan.derived.map(({ feature }) => new ColumnBuilder(feature.valueType, table.rows));
    const status = plan.derived.map(() => new Uint8Array(table.rows));
    const slots: Record<string, Value> = {};
    const statuses: Record<string, Status> = {};
    const failing = [...computed.values()].filter((item) => item.status.includes(STATUS.error));
    for (let row = 0; row < table.rows; row++) {
      for (const { feature, status: codes } of failing) statuses[feature.name] = STATUS_NAMES[codes[row]!]!;
      for (const { slot, column } of inputs) slots[slot] = columnValue(column, row);
      deriveRow(plan, slots, statuses, table.at[row]!, indexes);
      for (const [i, { feature }] of plan.derived.entries()) {
        builders[i]!.set(row, slots[feature.name]!);
        status[i]![row] = STATUS[statuses[feature.name]!];
      }
    }
    for (const [i, { feature }] of plan.derived.entries())
      computed.set(feature.name, { feature, column: builders[i]!.finish(), status: status[i]! });
  }
  return plan.outputs.map((feature) => computed.get(feature.name)!);
}

/** How many observations have each STATUS code. */
function countCodes(status: Uint8Array): Uint32Array {
  const byCode = new Uint32Array(STATUS_NAMES.length);
  for (let row = 0; row < status.length; row++) byCode[status[row]!] = byCode[status[row]!]! + 1;
  return byCode;
}

function inHand(columns: readonly FeatureColumn[]): WritableFeatures {
  const statuses = new Map<string, Uint32Array>();
  for (const { feature, status } of columns) statuses.set(feature.name, countCodes(status));
  return {
    added: columns.map(({ feature, column }) => ({ name: feature.name, column })),
    statuses,
    release: async () => undefined,
  };
}

export function outputFormat(file: string): OutputFormat {
  if (/\.parquet$/i.test(file)) return 'parquet';
  if (/\.csv$/i.test(file)) return 'csv';
  throw new MillraceError('FORMAT_UNKNOWN', `cannot tell what to write from the name "${file}"`, {
    place: { file },
    hint: 'End it in .csv or .parquet.',
  });
}

/** Declared types of the columns an observations file may carry: join keys and request fields. */
export function observationTypes(plan: FeaturePlan): Map<string, ValueType> {
  return new Map([
    ...plan.requestFields.map((field) => [field.name, field.type] as const),
    ...plan.joinKeys.map((key) => [key.name, key.type] as const),
  ]);
}

/** Point-in-time values for the rows of a file, written to another. */
export interface HistoricalRequest {
  /** A file of observations (CSV, JSON lines, Parquet): entity keys, the instant, request fields. */
  readonly observations: string;
  /** The column of the instant of each observation. */
  readonly time: string;
  /** Names of features and of feature sets. */
  readonly features: readonly string[];
  /** The file to write: all columns of the observations in their order, then the features. */
  readonly out: string;
  /** `as_of` (the default): what could be known at the instant. `hindsight`: what is known today. */
  readonly knowledge?: 'as_of' | 'hindsight';
  /** The last position of each source's log that is seen. Absent: all of it. */
  readonly horizon?: number;
}

/** What was written. */
export interface HistoricalResult {
  readonly rows: number;
  /** Size of the file. */
  readonly bytes: number;
  readonly out: string;
  /** Columns that were added. */
  readonly features: readonly string[];
  /** By feature: how many values have which status. */
  readonly statuses: Readonly<Record<string, Readonly<Partial<Record<Status, number>>>>>;
}

export async function historicalFeatures(
  project: Project,
  request: HistoricalRequest,
): Promise<HistoricalResult> {
  const definitions: Definitions = project.definitions;
  const format = outputFormat(request.out);
  const plan = planFeatures(definitions, expandFeatures(definitions, request.features));
  const store = await project.offline();
  project.progress({ step: 'observations', message: `reading ${request.observations}` });
  const table = await store.observationsFromFile(request.observations, {
    time: request.time,
    timezone: definitions.settings.timezone,
    types: observationTypes(plan),
  });
  const like = likeNames(
    table.columns.map((column) => column.name),
    plan.outputs.map((feature) => feature.name),
  );
  if (like)
    throw new MillraceError('USAGE', `the columns "${like[0]}" and "${like[1]}" would differ only in case`, {
      place: { file: request.observations, path: like[0] },
      hint: 'Rename the column of the observations, or ask for one of the features at a time.',
    });
  const horizons = await currentHorizons(
    project,
    plan.groups.map((group) => group.source.name),
  );
  if (request.horizon !== undefined)
    for (const [name, seq] of horizons) horizons.set(name, Math.min(seq, request.horizon));
  project.progress({
    step: 'features',
    message: `computing ${plan.outputs.length} features at ${table.rows} observations`,
  });
  const options = { horizons, knowledge: request.knowledge ?? 'as_of', project } as const;
  const features =
    (format === 'parquet' ? await heldFeatures(store, table, plan, options) : null) ??
    inHand(await computeFeatures(store, table, plan, options));
  const written = await store.write(table, features.added, { file: request.out, format });
  const statuses: Record<string, Partial<Record<Status, number>>> = {};
  for (const [name, byCode] of features.statuses) {
    const counts: Partial<Record<Status, number>> = {};
    for (const [code, status] of STATUS_NAMES.entries())
      if (byCode[code]! > 0) counts[status] = byCode[code]!;
    statuses[name] = counts;
  }
  await features.release();
  await store.release(table);
  return { ...written, out: request.out, features: plan.outputs.map(({ name }) => name), statuses };
}
