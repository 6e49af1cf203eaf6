/** Partitions become a version: computed where they are not there, audited together, published by one row. */
import { existsSync } from 'node:fs';
import { mkdir, rename, rm, utimes, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { MillraceError } from '../core/base/error.js';
import { type Fingerprint, fingerprint } from '../core/base/fingerprint.js';
import { type Instant, printDuration, printOptionalInstant } from '../core/base/time.js';
import { VERSION } from '../core/base/version.js';
import { labelBalance } from '../core/dataset/balance.js';
import { brokenChecks, hasChecks } from '../core/dataset/checks.js';
import { hashTable } from '../core/dataset/content.js';
import { auditLeakage, type LeakageFinding } from '../core/dataset/leakage.js';
import {
  type ColumnStatistics,
  type DatasetManifest,
  ENGINE_VERSION,
  type PartitionEntry,
  type PartSummary,
} from '../core/dataset/manifest.js';
import { AT_COLUMN, PLACE_COLUMN } from '../core/dataset/split.js';
import { PART_COLUMN } from '../core/define/columns.js';
import type { Dataset } from '../core/define/types.js';
import { compareProfiles } from '../core/drift/compare.js';
import { profileColumn } from '../core/drift/profile.js';
import { printType } from '../core/schema/types.js';
import type { VersionRecord } from '../ports/registry.js';
import { columnSample } from './column-sample.js';
import { auditAlone } from './dataset-audits.js';
import { columnsOf, datasetFolder, findEntries, takeUpEntry } from './dataset-files.js';
import { type ComputedPartitions, computePartitions, leakageOf } from './dataset-partitions.js';
import {
  datasetSources,
  enforceAudit,
  knownKey,
  type PlannedPartition,
  planPartitions,
  type Recipe,
  type RecipeOptions,
  recipeOf,
  rememberKey,
  versionKey,
} from './dataset-recipe.js';
import { ruleOf, tallyRows, trainingContent, trainingRows } from './dataset-statistics.js';
import { someRows, writeRows } from './dataset-table.js';
import { manifestOfDataset, rejectVersion } from './dataset-versions.js';
import { keepDefinitions } from './definition-snapshot.js';
import { outputFormat } from './historical.js';
import { datasetRun, recordRun } from './lineage-events.js';
import { putCopy } from './objects.js';
import type { Project } from './project.js';
import { awaitAvailability, type Unavailable } from './service-levels.js';

export interface BuildOptions extends RecipeOptions {
  /** A copy of the whole set for the user, CSV or Parquet. */
  readonly out?: string;
}

/** A version of a dataset, with its manifest. */
export interface BuiltDataset {
  readonly version: VersionRecord;
  readonly manifest: DatasetManifest;
  /** False when an equal version was there already. */
  readonly built: boolean;
  /** Of the partitions of the version, those that had to be computed. */
  readonly partitions: { readonly total: number; readonly computed: number };
}

export { PART_COLUMN };

const keyOf = ({ key }: PlannedPartition): Fingerprint => key;

export async function buildDataset(
  project: Project,
  name: string,
  options: BuildOptions = {},
): Promise<BuiltDataset> {
  const recipe = await recipeOf(project, name, options);
  const unavailable = await awaitAvailability(
    project,
    `dataset ${name}`,
    datasetSources(project, recipe.dataset, recipe.plan),
  );
  const registry = await project.registry();
  const asBefore = async (key: Fingerprint): Promise<BuiltDataset | undefined> => {
    const version = options.out === undefined ? registry.byKey('dataset', name, key) : undefined;
    if (version === undefined || !(await takeUp(version))) return undefined;
    const manifest = manifestOfDataset(version);
    const total = manifest.partitions?.length ?? 1;
    return { version, manifest, built: false, partitions: { total, computed: 0 } };
  };
  const known = await knownKey(project, recipe);
  const unchanged = known === undefined ? undefined : await asBefore(known);
  if (unchanged) return unchanged;
  const planned = await planPartitions(project, recipe);
  const key = versionKey(recipe, planned);
  const remember = () =>
    options.horizons === undefined && options.knowledge === undefined
      ? rememberKey(project, recipe, key)
      : undefined;
  const same = await asBefore(key);
  if (same) {
    await remember();
    return same;
  }
  return recordRun(project, datasetRun(project, name), async () => {
    const partitions = datasetFolder(project, name);
    const folder = path.join(partitions, key.slice(0, 16));
    const definitions = await keepDefinitions(project, name);
    if (recipe.observationFile !== null && recipe.observationsHash !== null)
      await putCopy(project, recipe.observationFile, recipe.observationsHash);
    const latest = registry.version('dataset', name);
    const before = latest ? manifestOfDataset(latest) : null;
    const there = findEntries(partitions, planned.map(keyOf), before?.partitions ?? []);
    const computed = await computeMissing(project, recipe, planned, { there, folder: partitions, before });
    const manifest = await assembleManifest(project, recipe, {
      entries: planned.map((partition) => there.get(partition.key)!),
      findings: computed.findings,
      folder,
      before,
      definitions,
      unavailable,
    });
    if (options.out !== undefined) {
      const rows = someRows({ folder, manifest }, () => true)!;
      const out = { file: path.resolve(options.out), format: outputFormat(options.out) };
      await writeRows(await project.offline(), rows, manifest, recipe.dataset.observations.time, out);
    }
    await auditChecks(project, recipe, { key, folder, manifest, before });
    await writeManifest(folder, manifest);
    const present = registry.byKey('dataset', name, key) !== undefined;
    const version = registry.addVersion({
      kind: 'dataset',
      name,
      key,
      folder,
      manifest: manifest as unknown as Record<string, unknown>,
      createdAt: project.now(),
    });
    await rejectVersion(project, name, null);
    await remember();
    return {
      version,
      manifest,
      built: !present,
      partitions: { total: planned.length, computed: computed.entries.length },
    };
  });
}

/** Computes what is not there and adds it to `there`. */
async function computeMissing(
  project: Project,
  recipe: Recipe,
  planned: readonly PlannedPartition[],
  {
    there,
    folder,
    before,
  }: {
    readonly there: Map<Fingerprint, PartitionEntry>;
    readonly folder: string;
    readonly before: DatasetManifest | null;
  },
): Promise<ComputedPartitions> {
  const missing = planned.filter(({ key }) => !there.has(key));
  if (missing.length === 0) return { entries: [], findings: [] };
  if (planned.length > 1)
    project.progress({
      step: 'dataset',
      message: `${recipe.dataset.name}: ${missing.length} of ${planned.length} partitions`,
      done: true,
    });
  const computed = await computePartitions(project, recipe, missing, folder, {
    present: [...there.values()],
    before,
  });
  for (const entry of computed.entries) there.set(entry.key, entry);
  return computed;
}

export interface PartitionState {
  /** `[from, to)`; null on both sides: all of the set. */
  readonly from: Instant | null;
  readonly to: Instant | null;
  readonly key: Fingerprint;
  /** `missing`: a build would compute it. */
  readonly state: 'present' | 'missing';
  /** Of the latest version's partition with these bounds, or of what is there; null: never built. */
  readonly rows: number | null;
  /** Whether the latest version has it as it is now. */
  readonly published: boolean;
}

/** The partitions that a dataset has now, in order of time. */
export async function datasetPartitions(project: Project, name: string): Promise<readonly PartitionState[]> {
  const recipe = await recipeOf(project, name, {});
  const planned = await planPartitions(project, recipe);
  const latest = (await project.registry()).version('dataset', name);
  const entries = latest ? (manifestOfDataset(latest).partitions ?? []) : [];
  const there = findEntries(datasetFolder(project, name), planned.map(keyOf), entries);
  const published = new Set(entries.map(({ key }) => key));
  const before = new Map(entries.map((entry) => [entry.from, entry]));
  return planned.map(({ from, to, key }) => ({
    from,
    to,
    key,
    state: there.has(key) ? 'present' : 'missing',
    rows: there.get(key)?.rows ?? before.get(printOptionalInstant(from))?.rows ?? null,
    published: published.has(key),
  }));
}

/**
 * Computes the partitions that lie in `[from, to)` in part or whole and are not there. Nothing is published: a build
 * finds them.
 */
export async function buildPartitions(
  project: Project,
  name: string,
  { from, to }: { readonly from: Instant; readonly to: Instant },
): Promise<{ readonly total: number; readonly computed: number }> {
  const recipe = await recipeOf(project, name, {});
  const planned = (await planPartitions(project, recipe)).filter(
    (partition) => partition.from === null || (partition.from < to && partition.to! > from),
  );
  const folder = datasetFolder(project, name);
  const latest = (await project.registry()).version('dataset', name);
  const before = latest ? manifestOfDataset(latest) : null;
  const there = findEntries(folder, planned.map(keyOf), before?.partitions ?? []);
  const { entries } = await computeMissing(project, recipe, planned, { there, folder, before });
  return { total: planned.length, computed: entries.length };
}

/** Whether a version has its rows; `gc` then leaves them alone for a while. */
async function takeUp(version: VersionRecord): Promise<boolean> {
  const { folder } = version;
  const { partitions } = manifestOfDataset(version);
  const now = new Date();
  await utimes(folder, now, now).catch(() => undefined);
  if (partitions === undefined) return existsSync(path.join(folder, 'data.parquet'));
  for (const entry of partitions) if (!takeUpEntry(path.dirname(folder), entry)) return false;
  return existsSync(folder);
}

/** The same recipe again in a folder of its own, whatever is there: what `dataset reproduce` compares. */
export async function rebuildDataset(
  project: Project,
  name: string,
  manifest: DatasetManifest,
  folder: string,
  observationFile?: string,
): Promise<DatasetManifest> {
  const recipe = await recipeOf(project, name, {
    knowledge: manifest.knowledge,
    horizons: new Map(Object.entries(manifest.horizons)),
    ...(observationFile === undefined ? {} : { observationFile }),
  });
  const planned = await planPartitions(project, recipe);
  const { entries, findings } = await computePartitions(project, recipe, planned, path.dirname(folder), {
    present: [],
    before: null,
  });
  return assembleManifest(project, recipe, {
    entries,
    findings,
    folder,
    before: null,
    definitions: null,
    unavailable: [],
  });
}

export async function writeManifest(folder: string, manifest: DatasetManifest): Promise<void> {
  const staging = `${folder}.${process.pid}.tmp`;
  await rm(staging, { recursive: true, force: true });
  await mkdir(staging, { recursive: true });
  await writeFile(path.join(staging, 'manifest.json'), `${JSON.stringify(manifest, null, 2)}\n`);
  await rm(folder, { recursive: true, force: true });
  await rename(staging, folder);
}

/** A version that is not what its checks say is kept aside, and the one before stays the latest. */
async function auditChecks(
  project: Project,
  { dataset }: Recipe,
  built: {
    readonly key: string;
    readonly folder: string;
    readonly manifest: DatasetManifest;
    readonly before: DatasetManifest | null;
  },
): Promise<void> {
  const { manifest, before, folder, key } = built;
  if (!hasChecks(dataset.checks)) return;
  const columns = new Map<string, (ColumnStatistics & { readonly rows: number })[]>();
  for (const entry of manifest.partitions!)
    for (const [column, statistics] of Object.entries(columnsOf(path.dirname(folder), entry))) {
      const known = columns.get(column);
      const part = { ...statistics, rows: entry.rows };
      if (known) known.push(part);
      else columns.set(column, [part]);
    }
  const broken = brokenChecks(dataset.checks, {
    rows: manifest.counts.rows,
    columns,
    label: dataset.label,
    drift: before === null ? new Map() : await driftSince(project, dataset, before, { folder, manifest }),
  });
  if (broken.length === 0) return;
  await writeManifest(folder, manifest);
  await rejectVersion(project, dataset.name, { key, folder, at: project.now(), broken, manifest });
  throw new MillraceError(
    'DATASET_REJECTED',
    [
      `dataset ${dataset.name} was built and is not published:`,
      ...broken.map(({ check, message }) => `  - [${check}] ${message}`),
    ].join('\n'),
    {
      hint: `The last good version stays. See \`millrace dataset show ${dataset.name}@rejected\`; mend the data or the \`checks\` and build again.`,
      data: { broken },
    },
  );
}

/** Features whose checks ask for it → PSI of the training part against that of the version before. */
async function driftSince(
  project: Project,
  dataset: Dataset,
  before: DatasetManifest,
  built: { readonly folder: string; readonly manifest: DatasetManifest },
): Promise<ReadonlyMap<string, number>> {
  const { manifest } = built;
  if (before.profile_of === manifest.profile_of) return new Map();
  const asked = manifest.features.filter(
    ({ name }) => dataset.checks.features.get(name)?.drift != null && before.profile[name] !== undefined,
  );
  if (asked.length === 0) return new Map();
  const { parts } = manifest;
  const train = await trainingRows(await project.offline(), path.dirname(built.folder), {
    definitions: project.definitions,
    dataset,
    rule: manifest.part_rule!,
    parts,
    entries: manifest.partitions!,
  });
  const compared = compareProfiles(
    Object.fromEntries(asked.map(({ name }) => [name, before.profile[name]!])),
    Object.fromEntries(asked.map(({ name }) => [name, columnSample(train.columns.get(name)!, train.mask)])),
  );
  return new Map(
    Object.entries(compared.columns).flatMap(([name, { tests }]) =>
      tests.psi === undefined ? [] : [[name, tests.psi.value] as const],
    ),
  );
}

async function assembleManifest(
  project: Project,
  recipe: Recipe,
  given: ComputedPartitions & {
    readonly folder: string;
    readonly before: DatasetManifest | null;
    readonly definitions: string | null;
    readonly unavailable: readonly Unavailable[];
  },
): Promise<DatasetManifest> {
  const { definitions } = project;
  const { dataset, plan, horizons } = recipe;
  const { name } = dataset;
  const { entries, folder, before } = given;
  const label = dataset.label === null ? null : definitions.labels.get(dataset.label)!;
  const store = await project.offline();
  const sum = (of: (entry: PartitionEntry) => number): number =>
    entries.reduce((total, entry) => total + of(entry), 0);
  const files = entries.flatMap(({ sha256, rows, bytes }) => {
    if (sha256 === null) return [];
    const file = path.posix.join('..', 'objects', `${sha256}.parquet`);
    return [{ file, rows, bytes, sha256 }];
  });
  const counts = {
    observations: sum(({ observations }) => observations),
    immature_label: sum(({ immature_label }) => immature_label),
    no_outcome: sum(({ no_outcome }) => no_outcome),
    outside_horizon: sum(({ outside_horizon }) => outside_horizon),
  };
  const partitions = path.dirname(folder);
  const rule = await ruleOf(store, partitions, dataset, label?.horizon ?? 0, entries);
  const statistics = entries.map((entry) => columnsOf(partitions, entry));
  const tallies = await tallyRows(store, partitions, rule, label, entries, statistics);
  const balance = label
    ? labelBalance(
        label.valueType,
        tallies.map((tally) => tally.label!),
      )
    : null;
  const parts = rule.parts.map(({ name: part }, i): PartSummary => {
    const tally = tallies[i]!;
    return {
      name: part,
      rows: tally.rows,
      from: printOptionalInstant(tally.from),
      to: printOptionalInstant(tally.to),
      label: balance?.[i] ?? null,
    };
  });
  const all = sum(({ rows }) => rows);
  const rows = parts.reduce((total, part) => total + part.rows, 0);
  if (rows === 0)
    throw new MillraceError(
      'DATASET_EMPTY',
      `dataset ${name} has no row: ${counts.observations} observations, ${counts.immature_label} with an immature label, ${counts.no_outcome} without an outcome, ${all} purged`,
      {
        hint:
          counts.observations === 0 && dataset.observations.from.kind === 'source'
            ? `Nothing of source ${dataset.observations.from.source} is read yet, or \`where\` leaves nothing: \`millrace run ${name}\` ingests what a dataset needs and builds it.`
            : 'Check the horizon of the label, the record keys and the split.',
      },
    );

  const profileOf = trainingContent(rule, entries, dataset);
  const findings: LeakageFinding[] = [
    ...auditLeakage(definitions, dataset),
    ...leakageOf(project, recipe, entries),
    ...carried(given.findings, before, dataset),
  ];
  let profile: DatasetManifest['profile'];
  if (before?.profile_of === profileOf) {
    profile = before.profile;
    findings.push(...before.leakage.filter(({ rule: kind }) => kind === 'predicts_alone'));
  } else {
    const train = await trainingRows(store, partitions, { definitions, dataset, rule, parts, entries });
    profile = Object.fromEntries(
      plan.outputs.map((feature) => [
        feature.name,
        profileColumn(columnSample(train.columns.get(feature.name)!, train.mask)),
      ]),
    );
    if (label)
      findings.push(
        ...auditAlone(
          plan.outputs.map((feature) => ({ feature, column: train.columns.get(feature.name)! })),
          train.columns.get(label.name)!,
          train.rows,
        ),
      );
  }
  enforceAudit(dataset, findings);

  const columnHashes: Record<string, Fingerprint> = {};
  for (const column of Object.keys(statistics[0] ?? {})) {
    if (column === AT_COLUMN || column === PLACE_COLUMN) continue;
    columnHashes[column] = hashTable(
      statistics.filter((_, i) => entries[i]!.rows > 0).map((item) => item[column]!.sha256),
    );
  }
  const logical = entries.filter((entry) => entry.rows > 0).map(({ logical_sha256 }) => logical_sha256);
  columnHashes[PART_COLUMN] = fingerprint({
    rule: { ...rule },
    rows: statistics.map((item) => [item[AT_COLUMN]!.sha256, item[PLACE_COLUMN]!.sha256]),
  });
  const knownThrough =
    label === null
      ? null
      : await store.knownThrough(definitions.sources.get(label.source)!, horizons.get(label.source) ?? 0);
  return {
    format: 2,
    dataset: name,
    fingerprint: dataset.fingerprint,
    engine_version: ENGINE_VERSION,
    knowledge: dataset.knowledge,
    horizons: Object.fromEntries(horizons),
    observations_sha256: recipe.observationsHash,
    definitions_sha256: given.definitions,
    observation_key: { fields: observationKey(project, dataset), time: dataset.observations.time },
    environment: { millrace: VERSION, engine: recipe.engine },
    counts: { ...counts, rows, purged: all - rows },
    parts,
    part_rule: rule,
    partitions: entries,
    label: label && {
      name: label.name,
      type: printType(label.valueType),
      horizon: printDuration(label.horizon),
      grace: printDuration(label.grace),
      known_through: printOptionalInstant(knownThrough),
    },
    features: plan.outputs.map((feature) => ({
      name: feature.name,
      type: printType(feature.valueType),
      fingerprint: feature.fingerprint,
    })),
    profile,
    profile_of: profileOf,
    leakage: findings,
    ...(given.unavailable.length > 0 ? { unavailable: given.unavailable } : {}),
    files,
    logical_sha256: hashTable([...logical, columnHashes[PART_COLUMN]!]),
    column_sha256: columnHashes,
  };
}

/** What transforms were found to claim wrongly, in partitions made now or before. */
function carried(
  found: readonly LeakageFinding[],
  before: DatasetManifest | null,
  dataset: Dataset,
): readonly LeakageFinding[] {
  if (before?.fingerprint !== dataset.fingerprint) return found;
  const named = new Set(found.map(({ feature }) => feature));
  return [
    ...found,
    ...before.leakage.filter(({ rule, feature }) => rule === 'known_too_early' && !named.has(feature)),
  ];
}

/** The fields that name an observation: the record key of its source, or the join keys of what it is asked about. */
function observationKey(project: Project, dataset: Dataset): readonly string[] {
  const { definitions } = project;
  if (dataset.observations.from.kind === 'source')
    return definitions.sources.get(dataset.observations.from.source)!.recordKey;
  const names = dataset.features.flatMap((name) => definitions.features.get(name)!.joinKeys);
  return [...new Set([...names, dataset.observations.time])];
}
