/**
 * Partitions of datasets: files named by their content, found by their key. They are written beside what is there, and
 * count only once a version names them.
 */
import { createHash, randomUUID } from 'node:crypto';
import { mkdir, open, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { MillraceError } from '../core/base/error.js';
import { printOptionalInstant } from '../core/base/time.js';
import { columnStatistics, hashTable, takeColumn } from '../core/dataset/content.js';
import type { LeakageFinding } from '../core/dataset/leakage.js';
import type { DatasetManifest, PartitionColumns, PartitionEntry } from '../core/dataset/manifest.js';
import { AT_COLUMN, PLACE_COLUMN, placeOf } from '../core/dataset/split.js';
import { columnProblem } from '../core/define/columns.js';
import type { Dataset, Feature, Label, Source } from '../core/define/types.js';
import { ColumnBuilder, columnValue } from '../core/engine/columns.js';
import { type FeaturePlan, planFeatures } from '../core/engine/feature-plan.js';
import type { Column } from '../core/engine/types.js';
import { FLOAT64, INT64 } from '../core/schema/types.js';
import type { ObservationTable, OfflineStore, Period, TableSlices } from '../ports/offline-store.js';
import {
  auditOutcomes,
  auditOwnRecords,
  auditTransforms,
  findOwnRecords,
  type OwnRecords,
} from './dataset-audits.js';
import { columnsObject, columnsOf, KEYS, keyFile, OBJECTS, rowsObject } from './dataset-files.js';
import { enforceAudit, type PlannedPartition, type Recipe } from './dataset-recipe.js';
import {
  mergeColumn,
  type PartitionSlice,
  slicesOf,
  type Untouched,
  untouchedRows,
} from './dataset-untouched.js';
import { computeFeatures, finishColumn, observationTypes } from './historical.js';
import { putFile, sha256File, takeUpFile } from './objects.js';
import { type Project, stopIfInterrupted } from './project.js';

interface NamedColumn {
  readonly name: string;
  readonly column: Column;
}

interface Labelled {
  readonly column: Column;
  /** Why a row is left out. */
  readonly fate: Uint8Array;
  /** Records: outcomes that were known at or before their observation. */
  readonly knownBefore: Uint8Array | null;
}

const KEPT = 0;
const IMMATURE = 1;
const NO_OUTCOME = 2;
const OUTSIDE = 3;

/** Which observations have a label that is mature. */
async function maturity(
  store: OfflineStore,
  table: ObservationTable,
  source: Source,
  label: Label,
  horizonSeq: number,
): Promise<(row: number) => boolean> {
  const knownThrough = await store.knownThrough(source, horizonSeq);
  return (row) => knownThrough !== null && knownThrough >= table.at[row]! + label.horizon + label.grace;
}

async function labelRecords(
  project: Project,
  store: OfflineStore,
  table: ObservationTable,
  label: Label,
  horizons: ReadonlyMap<string, number>,
): Promise<Labelled> {
  const source = project.definitions.sources.get(label.source)!;
  const horizonSeq = horizons.get(source.name) ?? 0;
  const mature = await maturity(store, table, source, label, horizonSeq);
  const fate = new Uint8Array(table.rows);
  const outcome = await store.outcomes(table, source, horizonSeq, label.expression!);
  const knownBefore = new Uint8Array(table.rows);
  for (let i = 0; i < table.rows; i++) {
    if (!mature(i)) fate[i] = IMMATURE;
    else if (!outcome.found[i] || columnValue(outcome.value, i) === null) fate[i] = NO_OUTCOME;
    else if (outcome.eventTime[i]! >= table.at[i]! + label.horizon) fate[i] = OUTSIDE;
    else if (outcome.availableAt[i]! <= table.at[i]!) knownBefore[i] = 1;
  }
  return { column: outcome.value, fate, knownBefore };
}

async function labelEntities(
  project: Project,
  store: OfflineStore,
  table: ObservationTable,
  label: Label,
  horizons: ReadonlyMap<string, number>,
  observed: readonly Period[] | undefined,
): Promise<Labelled> {
  const source = project.definitions.sources.get(label.source)!;
  const horizonSeq = horizons.get(source.name) ?? 0;
  const mature = await maturity(store, table, source, label, horizonSeq);
  const fate = new Uint8Array(table.rows);
  if (table.rows === 0)
    return { column: new ColumnBuilder(label.valueType, 0).finish(), fate, knownBefore: null };
  const entity = project.definitions.entities.get(label.entity!)!;
  const aggregation = label.aggregation!;
  const entities = await store.entities(table, entity.joinKeys);
  const predicates = new Map(
    [aggregation.where, aggregation.ratioWhere].flatMap((item) =>
      item ? [[item.canonical, item] as const] : [],
    ),
  );
  const fields = [aggregation.field, aggregation.arguments.by, aggregation.groupBy].filter(
    (item): item is string => typeof item === 'string',
  );
  const typeOf = (name: string | null | undefined) =>
    source.fields.find((field) => field.name === name)?.type ?? null;
  // `[t, t + horizon)` is the window of that length that ends `horizon` after t.
  const [swept] = await store.sweep(
    {
      source,
      horizonSeq,
      entities,
      keyFields: entity.joinKeys.map((key) => source.keys[key.name] ?? key.name),
      fields: [...new Set(fields)],
      predicates,
      knowledge: 'hindsight',
      signal: project.signal,
      within: observed?.map(({ from, to }) => ({ from, to: to + label.horizon })),
    },
    table,
    {
      features: [
        {
          name: label.name,
          aggregation: { ...aggregation, window: label.horizon, offset: -label.horizon },
          inputType: typeOf(aggregation.field),
          byType: typeOf(aggregation.arguments.by),
          outputType: label.valueType,
        },
      ],
      lookups: [],
    },
  );
  await store.release(entities);
  const { column } = finishColumn(label, swept!.column, swept!.status);
  for (let i = 0; i < table.rows; i++)
    fate[i] = !mature(i) ? IMMATURE : columnValue(column, i) === null ? NO_OUTCOME : KEPT;
  return { column, fate, knownBefore: null };
}

/** Labels of all observations, from those of the touched ones: what is written of a label was kept. */
function withUntouched(label: Label, made: Labelled, untouched: Untouched | null): Labelled {
  if (untouched === null) return made;
  const fate = new Uint8Array(untouched.rowOf.length).fill(KEPT);
  for (const [i, row] of untouched.touched.entries()) fate[row] = made.fate[i]!;
  return {
    column: mergeColumn(label.name, label.valueType, made.column, untouched),
    fate,
    knownBefore: null,
  };
}

/**
 * What a random or entity split hashes: the entity key, the record key of the observation, or of a file the whole row:
 * rows that are equal must not be on both sides.
 */
async function places(
  project: Project,
  store: OfflineStore,
  table: ObservationTable,
  { split, observations }: Dataset,
): Promise<Float64Array> {
  const found = new Float64Array(table.rows);
  if (split?.by !== 'entity' && split?.by !== 'random') return found;
  const source =
    observations.from.kind === 'source' ? project.definitions.sources.get(observations.from.source)! : null;
  const keys =
    split.by === 'entity'
      ? project.definitions.entities.get(split.entity!)!.joinKeys
      : (source?.recordKey.map((key) => source.fields.find(({ name }) => name === key)!) ?? table.columns);
  const columns = await Promise.all(keys.map((key) => store.column(table, key.name, key.type)));
  for (let row = 0; row < table.rows; row++)
    found[row] = placeOf(
      split.seed,
      JSON.stringify(columns.map((column) => String(columnValue(column, row)))),
    );
  return found;
}

/** The observations of some partitions, of a source in order of time. */
async function observe(
  project: Project,
  store: OfflineStore,
  recipe: Recipe,
  within: readonly Period[] | undefined,
): Promise<ObservationTable> {
  const { definitions } = project;
  const { dataset, plan, horizons } = recipe;
  const observed = dataset.observations.from;
  if (observed.kind === 'source')
    return store.observationsFromSource(
      definitions.sources.get(observed.source)!,
      horizons.get(observed.source)!,
      { time: dataset.observations.time, where: dataset.observations.where, within },
    );
  const table = await store.observationsFromFile(recipe.observationFile!, {
    time: dataset.observations.time,
    timezone: definitions.settings.timezone,
    types: observationTypes(plan),
  });
  for (const { name } of table.columns) {
    const problem = [AT_COLUMN, PLACE_COLUMN].includes(name)
      ? 'that column is kept for the system'
      : columnProblem(name, plan.outputs, dataset.label);
    if (problem === undefined) continue;
    await store.release(table);
    throw new MillraceError(
      'USAGE',
      `dataset ${dataset.name}: ${observed.path} has a column "${name}", and ${problem}`,
      {
        place: { file: observed.path, path: name },
        hint: 'Rename the column in the file, or what the dataset calls by its name.',
      },
    );
  }
  return table;
}

/** Adjoining partitions as one period; undefined where one is everything. */
function periodsOf(partitions: readonly PlannedPartition[]): readonly Period[] | undefined {
  const periods: Period[] = [];
  for (const { from, to } of partitions) {
    if (from === null || to === null) return undefined;
    const last = periods.at(-1);
    if (last?.to === from) periods[periods.length - 1] = { from: last.from, to };
    else periods.push({ from, to });
  }
  return periods;
}

/** Of entries and of what is being made: late and all own records by source, outcomes known before and all. */
export function leakageOf(
  project: Project,
  recipe: Recipe,
  entries: readonly Pick<PartitionEntry, 'own_records' | 'known_before' | 'rows'>[],
): LeakageFinding[] {
  const { dataset, plan } = recipe;
  const own = new Map<string, [number, number]>();
  let [known, total] = [0, 0];
  for (const entry of entries) {
    known += entry.known_before;
    total += entry.rows;
    for (const [source, [late, all]] of Object.entries(entry.own_records)) {
      const sums = own.get(source) ?? [0, 0];
      own.set(source, [sums[0] + late, sums[1] + all]);
    }
  }
  const label = dataset.label === null ? null : project.definitions.labels.get(dataset.label)!;
  return [...auditOwnRecords(plan, own), ...(label ? auditOutcomes(label, known, total) : [])];
}

/** All features of all observations; of those that are kept, only the touched observations are computed. */
async function featureColumns(
  project: Project,
  store: OfflineStore,
  { dataset, plan, horizons }: Recipe,
  given: {
    readonly table: ObservationTable;
    readonly observed: readonly Period[] | undefined;
    readonly touched: ObservationTable;
    readonly touchedAt: readonly Period[] | undefined;
    readonly untouched: Untouched | null;
  },
): Promise<readonly NamedColumn[]> {
  const { table, observed, touched, touchedAt, untouched } = given;
  const told = untouched
    ? `${untouched.kept.length} features at ${touched.rows} of ${table.rows} observations, ${untouched.others.length} at all`
    : `${plan.outputs.length} features at ${table.rows} observations`;
  project.progress({ step: 'dataset', message: `${dataset.name}: computing ${told}` });
  const computed = async (
    at: ObservationTable,
    features: FeaturePlan,
    periods: readonly Period[] | undefined,
  ) =>
    at.rows === 0
      ? []
      : computeFeatures(store, at, features, {
          horizons,
          knowledge: dataset.knowledge,
          project,
          ...(periods ? { observed: periods } : {}),
        });
  const planOf = (features: readonly Feature[]): FeaturePlan => planFeatures(project.definitions, features);
  const columns = new Map<string, Column>();
  for (const { feature, column } of await computed(
    table,
    untouched ? planOf(untouched.others) : plan,
    observed,
  ))
    columns.set(feature.name, column);
  if (untouched !== null) {
    const made = await computed(touched, planOf(untouched.kept), touchedAt);
    for (const { name, valueType } of untouched.kept) {
      const own = made.find(({ feature }) => feature.name === name)?.column;
      columns.set(name, mergeColumn(name, valueType, own, untouched));
    }
  }
  return plan.outputs.flatMap(({ name }) => {
    const column = columns.get(name);
    return column ? [{ name, column }] : [];
  });
}

export interface ComputedPartitions {
  readonly entries: readonly PartitionEntry[];
  /** What the transforms that were read claimed wrongly. */
  readonly findings: readonly LeakageFinding[];
}

/**
 * Computes partitions and writes their files to `folder`. `present` are those that need not be: the audit is over all.
 * Of a version of `before` those rows are taken that no change reaches.
 * @throws MillraceError LEAKAGE before anything is written; INTERRUPTED between two partitions, which are kept.
 */
export async function computePartitions(
  project: Project,
  recipe: Recipe,
  wanted: readonly PlannedPartition[],
  folder: string,
  {
    present,
    before,
  }: { readonly present: readonly PartitionEntry[]; readonly before: DatasetManifest | null },
): Promise<ComputedPartitions> {
  const { dataset, plan, horizons } = recipe;
  const { name } = dataset;
  const label = dataset.label === null ? null : project.definitions.labels.get(dataset.label)!;
  const store = await project.offline();
  project.progress({ step: 'dataset', message: `${name}: reading observations` });
  const observed = periodsOf(wanted);
  const table = await observe(project, store, recipe, observed);
  try {
    const own = await findOwnRecords(project, store, table, dataset, plan, horizons);
    const findings =
      dataset.knowledge === 'as_of' ? await auditTransforms(project, store, table, plan, horizons) : [];
    enforceAudit(dataset, findings);
    const slices = slicesOf(table, wanted);
    const untouched =
      before === null ? null : await untouchedRows(project, store, recipe, table, slices, folder, before);
    const touched = untouched === null ? table : await store.pick(table, untouched.touched);
    const touchedAt =
      untouched === null
        ? observed
        : periodsOf(slices.flatMap(({ from, partition }) => (untouched.whole.has(from) ? [] : [partition])));
    project.progress({ step: 'dataset', message: `${name}: labelling ${touched.rows} observations` });
    const labelled =
      label === null
        ? null
        : label.kind === 'record'
          ? await labelRecords(project, store, table, label, horizons)
          : withUntouched(
              label,
              await labelEntities(project, store, touched, label, horizons, touchedAt),
              untouched,
            );
    const fates = labelled?.fate ?? new Uint8Array(table.rows).fill(KEPT);
    const counts = slices.map((slice) => countRows(slice, fates, labelled?.knownBefore ?? null, own));
    enforceAudit(dataset, leakageOf(project, recipe, [...present, ...counts]));

    const features = await featureColumns(project, store, recipe, {
      table,
      observed,
      touched,
      touchedAt,
      untouched,
    });
    if (untouched !== null) await store.release(touched);
    const added: NamedColumn[] = [
      ...features,
      ...(labelled ? [{ name: label!.name, column: labelled.column }] : []),
      { name: AT_COLUMN, column: { type: INT64, kind: 'numbers', values: table.at, valid: null } },
      {
        name: PLACE_COLUMN,
        column: {
          type: FLOAT64,
          kind: 'numbers',
          values: await places(project, store, table, dataset),
          valid: null,
        },
      },
    ];
    const ownColumns: NamedColumn[] = [];
    for (const column of table.columns)
      if (!added.some((item) => item.name === column.name))
        ownColumns.push({ name: column.name, column: await store.column(table, column.name, column.type) });
    /** Columns that a partition without a touched observation may have otherwise than before. */
    const made = new Set([
      ...(untouched?.others ?? []).map((feature) => feature.name),
      ...(label?.kind === 'record' ? [label.name] : []),
    ]);

    await mkdir(path.join(folder, OBJECTS), { recursive: true });
    await mkdir(path.join(folder, KEYS), { recursive: true });
    const files = await store.slices(
      table,
      added,
      fates.map((fate) => (fate === KEPT ? 1 : 0)),
    );
    const entries: PartitionEntry[] = [];
    try {
      for (const [i, { partition, from, to }] of slices.entries()) {
        stopIfInterrupted(project, 'partitions that were finished are kept');
        const whole = counts[i]!.rows === to - from ? untouched?.whole.get(from) : undefined;
        const known = whole === undefined ? {} : columnsOf(folder, whole);
        const kept = Uint32Array.from({ length: to - from }, (_, k) => from + k).filter(
          (row) => fates[row] === KEPT,
        );
        const columns: PartitionColumns = Object.fromEntries(
          [...ownColumns, ...added].map(({ name: of, column }) => [
            of,
            (made.has(of) ? undefined : known[of]) ?? columnStatistics(of, takeColumn(column, kept)),
          ]),
        );
        const text = `${JSON.stringify(columns)}\n`;
        const columns_sha256 = createHash('sha256').update(text).digest('hex');
        await putFile(columnsObject(folder, columns_sha256), (file) => writeFile(file, text));
        const written =
          kept.length === 0 ? { sha256: null, bytes: 0 } : await putRows(files, { from, to }, folder);
        const entry: PartitionEntry = {
          from: printOptionalInstant(partition.from),
          to: printOptionalInstant(partition.to),
          key: partition.key,
          parents: partition.parents,
          ...counts[i]!,
          ...written,
          logical_sha256: hashTable(Object.values(columns).map(({ sha256 }) => sha256)),
          columns_sha256,
        };
        const file = keyFile(folder, partition.key);
        await writeFile(`${file}.${process.pid}.tmp`, JSON.stringify(entry));
        await rename(`${file}.${process.pid}.tmp`, file);
        entries.push(entry);
        if (wanted.length > 1)
          project.progress({
            step: 'dataset',
            message: `${name}: partition ${i + 1} of ${wanted.length}`,
            fraction: (i + 1) / wanted.length,
          });
      }
    } finally {
      await files.release();
    }
    return { entries, findings };
  } finally {
    await store.release(table);
  }
}

type RowCounts = Pick<
  PartitionEntry,
  | 'observations'
  | 'rows'
  | 'immature_label'
  | 'no_outcome'
  | 'outside_horizon'
  | 'known_before'
  | 'own_records'
>;

/** What became of the observations of a partition. */
function countRows(
  { from, to }: PartitionSlice,
  fates: Uint8Array,
  knownBefore: Uint8Array | null,
  own: OwnRecords,
): RowCounts {
  const count = (codes: Uint8Array): readonly number[] => {
    const sums = [0, 0, 0, 0];
    for (let row = from; row < to; row++) sums[codes[row]!]!++;
    return sums;
  };
  const fate = count(fates);
  return {
    observations: to - from,
    rows: fate[KEPT]!,
    immature_label: fate[IMMATURE]!,
    no_outcome: fate[NO_OUTCOME]!,
    outside_horizon: fate[OUTSIDE]!,
    known_before: knownBefore === null ? 0 : count(knownBefore)[1]!,
    own_records: Object.fromEntries(
      [...own].map(([source, codes]) => {
        const [, inTime, late] = count(codes);
        return [source, [late!, inTime! + late!] as const];
      }),
    ),
  };
}

/** The file of a partition, under the name of its content. */
async function putRows(
  files: TableSlices,
  slice: { readonly from: number; readonly to: number },
  folder: string,
): Promise<{ readonly sha256: string; readonly bytes: number }> {
  const staged = path.join(folder, OBJECTS, `${process.pid}-${randomUUID()}.tmp`);
  try {
    await files.write(slice, staged);
    const handle = await open(staged, 'r+');
    await handle.sync();
    const bytes = (await handle.stat()).size;
    await handle.close();
    const sha256 = await sha256File(staged);
    const file = rowsObject(folder, sha256);
    if (!takeUpFile(file)) await rename(staged, file);
    return { sha256, bytes };
  } finally {
    await rm(staged, { force: true });
  }
}
