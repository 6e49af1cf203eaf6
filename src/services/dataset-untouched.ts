/**
 * Values that no change reaches. A partition is made again because records of some entities came or were corrected, or
 * because some features are new: what it said of all other entities in all other features, it says again. Those values
 * are taken from its file of before.
 */
import type { Fingerprint } from '../core/base/fingerprint.js';
import { printOptionalInstant } from '../core/base/time.js';
import type { DatasetManifest, PartitionEntry } from '../core/dataset/manifest.js';
import { partitionKey, partitionMeaning } from '../core/dataset/partition.js';
import type { Feature, JoinKey, Label, Source } from '../core/define/types.js';
import { ColumnBuilder, columnValue } from '../core/engine/columns.js';
import { planFeatures } from '../core/engine/feature-plan.js';
import type { Column } from '../core/engine/types.js';
import type { ValueType } from '../core/schema/types.js';
import type { ObservationTable, OfflineStore } from '../ports/offline-store.js';
import { rowsObject, takeUpEntry } from './dataset-files.js';
import type { PlannedPartition, Recipe } from './dataset-recipe.js';
import type { Project } from './project.js';

/** Values that a file gives back as they were written. */
const PLAIN: readonly string[] = ['int64', 'float64', 'decimal', 'boolean', 'timestamp', 'date', 'string'];
/** Where more rows than this share are made again, all are. */
const MOST_TOUCHED = 0.8;
/** What is read of before may take this share of the memory limit. */
const MEMORY_SHARE = 1 / 8;

export interface Untouched {
  /** Features of which values are taken over. */
  readonly kept: readonly Feature[];
  /** Features that are computed for all observations. */
  readonly others: readonly Feature[];
  /** Observations that are made again, ascending. */
  readonly touched: Int32Array;
  /** What stood in a column, by observation; null for those that are touched. */
  readonly columns: ReadonlyMap<string, Column>;
  /** Observation → row of `columns`; -1 for those that are touched. */
  readonly rowOf: Int32Array;
  /** First observation of a partition none of which is touched → what the partition was. */
  readonly whole: ReadonlyMap<number, PartitionEntry>;
}

/** A wanted partition and its observations, `[from, to)` of the table. */
export interface PartitionSlice {
  readonly partition: PlannedPartition;
  readonly from: number;
  readonly to: number;
}

/** Observations stand in order of time. */
export function slicesOf(
  table: ObservationTable,
  wanted: readonly PlannedPartition[],
): readonly PartitionSlice[] {
  let row = 0;
  return wanted.map((partition) => {
    const from = row;
    if (partition.to === null) row = table.rows;
    else while (row < table.rows && table.at[row]! < partition.to) row++;
    return { partition, from, to: row };
  });
}

/** A column of all observations, from that of the touched ones (undefined: there are none). */
export function mergeColumn(
  name: string,
  type: ValueType,
  made: Column | undefined,
  { touched, columns, rowOf }: Untouched,
): Column {
  const before = columns.get(name)!;
  const builder = new ColumnBuilder(type, rowOf.length);
  if (before.kind === 'numbers') builder.setNumbers(before, rowOf);
  else
    for (const [row, place] of rowOf.entries()) if (place >= 0) builder.set(row, columnValue(before, place));
  for (const [i, row] of touched.entries()) builder.set(row, columnValue(made!, i));
  return builder.finish();
}

/** What a wanted partition was, and where its observations are now. */
interface Predecessor {
  readonly entry: PartitionEntry;
  readonly from: number;
  readonly to: number;
}

/** Who is asked about, and in which source. */
interface Asked {
  readonly source: Source;
  readonly joinKeys: readonly JoinKey[];
  readonly keyFields: readonly string[];
}

/** Features that are as they were, told from their entity's own records and read back from a file as they were written. */
function keptFeatures(
  { definitions }: Project,
  { plan }: Recipe,
  before: DatasetManifest,
): readonly Feature[] {
  const known = new Map(before.features.map(({ name, fingerprint }) => [name, fingerprint]));
  return plan.outputs.filter(
    (feature) =>
      known.get(feature.name) === feature.fingerprint &&
      PLAIN.includes(feature.valueType.kind) &&
      planFeatures(definitions, [feature]).groups.every(
        ({ searches, joinKeys }) => searches.length === 0 && joinKeys.length > 0,
      ),
  );
}

/** The sources of the features, and that of a label that is told from its entity's records. */
function askedOf(
  { definitions }: Project,
  features: readonly Feature[],
  label: Label | null,
): readonly Asked[] {
  const asked: Asked[] = planFeatures(definitions, features).groups.map(
    ({ source, joinKeys, keyFields }) => ({
      source,
      joinKeys,
      keyFields,
    }),
  );
  if (label?.kind !== 'aggregation') return asked;
  const source = definitions.sources.get(label.source)!;
  const { joinKeys } = definitions.entities.get(label.entity!)!;
  const keyFields = joinKeys.map(({ name }) => source.keys[name] ?? name);
  const known = asked.some(
    (item) => item.source.name === source.name && item.keyFields.join() === keyFields.join(),
  );
  return known ? asked : [...asked, { source, joinKeys, keyFields }];
}

/** Partitions of before that differ in nothing but the features and the records of features and label. */
function predecessorsOf(
  meaning: Fingerprint,
  slices: readonly PartitionSlice[],
  before: DatasetManifest,
  folder: string,
): { readonly found: readonly Predecessor[]; readonly changed: ReadonlySet<string> } {
  const entries = new Map(
    (before.partitions ?? []).map((entry) => [`${entry.from} ${entry.to}`, entry] as const),
  );
  const found: Predecessor[] = [];
  const changed = new Set<string>();
  for (const { partition, from, to } of slices) {
    const entry = entries.get(
      `${printOptionalInstant(partition.from)} ${printOptionalInstant(partition.to)}`,
    );
    if (entry?.sha256 == null || entry.observations !== to - from) continue;
    const differing = Object.keys(partition.parents).filter(
      (parent) => partition.parents[parent] !== entry.parents[parent],
    );
    if (differing.some((parent) => parent.startsWith('observations '))) continue;
    // Its key then: the same meaning, and the same labels are mature.
    if (partitionKey({ ...partition, meaning, parents: entry.parents }) !== entry.key) continue;
    if (!takeUpEntry(folder, entry)) continue;
    found.push({ entry, from, to });
    for (const parent of differing) changed.add(parent.slice(parent.indexOf(' ') + 1));
  }
  return { found, changed };
}

/**
 * Which observations of some partitions are as they were in a version of before, with what is written of them there.
 * Null: none, or too few.
 */
export async function untouchedRows(
  project: Project,
  store: OfflineStore,
  recipe: Recipe,
  table: ObservationTable,
  slices: readonly PartitionSlice[],
  folder: string,
  before: DatasetManifest,
): Promise<Untouched | null> {
  const { definitions } = project;
  const { dataset, horizons } = recipe;
  const label = dataset.label === null ? null : definitions.labels.get(dataset.label)!;
  const kept = keptFeatures(project, recipe, before);
  const written = [...kept, ...(label?.kind === 'aggregation' ? [label] : [])].map(({ name, valueType }) => ({
    name,
    type: valueType,
  }));
  if (written.length === 0 || !written.every(({ type }) => PLAIN.includes(type.kind))) return null;
  const bytes = 8 * table.rows * written.length;
  if (bytes > MEMORY_SHARE * definitions.settings.memoryLimitBytes) return null;
  const meaning = partitionMeaning(definitions, dataset, before.features, recipe.engine);
  const { found, changed } = predecessorsOf(meaning, slices, before, folder);
  if (found.length === 0) return null;
  const asked = askedOf(project, kept, label).filter(({ source }) => changed.has(source.name));
  for (const { source } of asked)
    if (!((before.horizons[source.name] ?? Number.POSITIVE_INFINITY) <= (horizons.get(source.name) ?? 0)))
      return null;

  const observed = dataset.observations.from;
  const keys =
    observed.kind === 'source' && found.some(({ entry }) => entry.rows < entry.observations)
      ? definitions.sources
          .get(observed.source)!
          .fields.filter(({ name }) => definitions.sources.get(observed.source)!.recordKey.includes(name))
      : [];
  const columns = await store.readColumns(
    {
      files: found.map(({ entry }) => rowsObject(folder, entry.sha256!)),
      rule: { by: 'all', parts: [{ name: 'train' }] },
    },
    [...written, ...keys.map(({ name, type }) => ({ name, type }))],
    { raw: true },
  );
  const rowOf = new Int32Array(table.rows).fill(-1);
  const own = await Promise.all(keys.map(({ name, type }) => store.column(table, name, type)));
  const there = keys.map(({ name }) => columns.get(name)!);
  const same = (row: number, at: number): boolean =>
    own.every((column, i) => columnValue(column, row) === columnValue(there[i]!, at));
  let place = 0;
  for (const { entry, from, to } of found) {
    // What was left out is not in the file; the others stand there in the same order.
    const whole = entry.rows === entry.observations;
    const end = place + entry.rows;
    if (whole || keys.length > 0)
      for (let row = from; row < to && place < end; row++)
        if (whole || same(row, place)) rowOf[row] = place++;
    place = end;
  }
  for (const { source, joinKeys, keyFields } of asked) {
    const after = before.horizons[source.name]!;
    for (const row of await store.touchedRows(table, { source, joinKeys, keyFields, after })) rowOf[row] = -1;
  }
  const touched = Int32Array.from({ length: table.rows }, (_, row) => row).filter((row) => rowOf[row]! < 0);
  if (touched.length > MOST_TOUCHED * table.rows) return null;
  const others = recipe.plan.outputs.filter((feature) => !kept.includes(feature));
  const whole = new Map(
    found.flatMap(({ entry, from, to }) =>
      rowOf.subarray(from, to).includes(-1) ? [] : [[from, entry] as const],
    ),
  );
  return { kept, others, touched, columns, rowOf, whole };
}
