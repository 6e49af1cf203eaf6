/** Observations become a training set: audit, labels, splits, features, files, manifest. */
import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, rename, rm, utimes, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { MillraceError } from '../core/base/error.js';
import { fingerprint } from '../core/base/fingerprint.js';
import { nearest } from '../core/base/nearest.js';
import { printDuration, printInstant } from '../core/base/time.js';
import { VERSION } from '../core/base/version.js';
import { hashColumn, hashTable } from '../core/dataset/content.js';
import { auditLeakage, type LeakageFinding, sourceAncestors } from '../core/dataset/leakage.js';
import { type DatasetManifest, ENGINE_VERSION, type PartSummary } from '../core/dataset/manifest.js';
import { splitRows } from '../core/dataset/split.js';
import { columnProblem, PART_COLUMN } from '../core/define/columns.js';
import type { Dataset, Feature, Label } from '../core/define/types.js';
import { profileColumn } from '../core/drift/profile.js';
import { ColumnBuilder, columnValue } from '../core/engine/columns.js';
import { type FeaturePlan, planFeatures } from '../core/engine/feature-plan.js';
import type { Column } from '../core/engine/types.js';
import { areaUnderRoc } from '../core/learn/metrics.js';
import { printType, STRING } from '../core/schema/types.js';
import type { ObservationTable, OfflineStore } from '../ports/offline-store.js';
import type { VersionRecord } from '../ports/registry.js';
import { columnSample } from './column-sample.js';
import { keepDefinitions } from './definition-snapshot.js';
import {
  computeFeatures,
  currentHorizons,
  finishColumn,
  observationTypes,
  outputFormat,
} from './historical.js';
import { datasetRun, recordRun } from './lineage-events.js';
import { putCopy, sha256File } from './objects.js';
import { type Project, stopIfInterrupted } from './project.js';
import { awaitAvailability, type Unavailable } from './service-levels.js';

export interface BuildOptions {
  readonly knowledge?: 'as_of' | 'hindsight';
  /** Source → seq; absent sources are read to their end. */
  readonly horizons?: ReadonlyMap<string, number>;
  /** A copy of the whole set for the user, CSV or Parquet. */
  readonly out?: string;
  /** Where the observations are now; absent: where the definition says. */
  readonly observationFile?: string;
}

export interface BuiltDataset {
  readonly version: VersionRecord;
  readonly manifest: DatasetManifest;
  /** False when an equal version was there already. */
  readonly built: boolean;
}

export { PART_COLUMN };

export function findDataset(project: Project, name: string): Dataset {
  const dataset = project.definitions.datasets.get(name);
  if (dataset) return dataset;
  const near = nearest(name, project.definitions.datasets.keys());
  throw new MillraceError('UNKNOWN_NAME', `there is no dataset named "${name}"`, {
    hint: near ? `Did you mean "${near}"?` : 'Define it under `datasets:`.',
  });
}

/** Refuses (exit 3) when any finding refuses. */
export function enforceAudit(dataset: Dataset, findings: readonly LeakageFinding[]): void {
  const refused = findings.filter((finding) => finding.severity === 'refuse');
  if (refused.length === 0) return;
  throw new MillraceError(
    'LEAKAGE',
    [
      `dataset ${dataset.name} would leak the future into training:`,
      ...refused.map((f) => `  - [${f.rule}] ${f.message}\n    → ${f.remedy}`),
    ].join('\n'),
    { hint: 'Mend the features or the source, then build again.', data: { findings: refused } },
  );
}

/** Every source a build reads. */
export function datasetSources(project: Project, dataset: Dataset, plan: FeaturePlan): readonly string[] {
  const names = new Set(plan.groups.map((group) => group.source.name));
  if (dataset.observations.from.kind === 'source') names.add(dataset.observations.from.source);
  if (dataset.label !== null) names.add(project.definitions.labels.get(dataset.label)!.source);
  return [...names].sort();
}

interface Labelled {
  readonly column: Column;
  readonly keep: Uint8Array;
  readonly immature: number;
  readonly noOutcome: number;
  readonly outsideHorizon: number;
  readonly knownThrough: number | null;
  readonly findings: readonly LeakageFinding[];
}

/** Shares of observations whose own record is known only later: beyond them the feature is flagged, or refused. */
const OWN_RECORD_FLAGGED = 0.01;
const OWN_RECORD_REFUSED = 0.2;

/** Records that exist once for an observation, yet are written only after it, can never be served. */
async function auditAvailability(
  project: Project,
  store: OfflineStore,
  table: ObservationTable,
  dataset: Dataset,
  plan: FeaturePlan,
  horizons: ReadonlyMap<string, number>,
): Promise<LeakageFinding[]> {
  const findings: LeakageFinding[] = [];
  const label = dataset.label === null ? null : project.definitions.labels.get(dataset.label)!;
  const columns = new Set(table.columns.map((column) => column.name));
  const observed = dataset.observations.from;
  for (const group of plan.groups) {
    const { source } = group;
    const own =
      source.name !== label?.source &&
      !(observed.kind === 'source' && observed.source === source.name) &&
      source.recordKey.length === group.keyFields.length &&
      source.recordKey.every((key) => group.keyFields.includes(key) && columns.has(key));
    if (!own || source.kind === 'states') continue;
    const { found, availableAt } = await store.outcomes(table, source, horizons.get(source.name) ?? 0, null);
    let total = 0;
    let late = 0;
    for (let i = 0; i < table.rows; i++) {
      if (!found[i]) continue;
      total++;
      if (availableAt[i]! > table.at[i]!) late++;
    }
    if (total === 0 || late / total < OWN_RECORD_FLAGGED) continue;
    for (const feature of group.features)
      findings.push({
        rule: 'known_too_late',
        severity: late / total < OWN_RECORD_REFUSED ? 'warn' : 'refuse',
        feature: feature.name,
        message: `feature ${feature.name} reads the observation's own record in ${source.name}, which becomes known only after the observation for ${late} of ${total} observations`,
        remedy: 'leave it out, or move the observation time to when it is known',
      });
  }
  return findings;
}

/** Observation instants at which transforms are held to their word. */
const PROBES = [0.25, 0.5, 0.75];

/**
 * A transform says when each of its records could be known. At an instant, its query over what was known then must
 * give what it claims was known then; where it does not, its features see the future through it.
 */
async function auditTransforms(
  project: Project,
  store: OfflineStore,
  table: ObservationTable,
  plan: FeaturePlan,
  horizons: ReadonlyMap<string, number>,
): Promise<LeakageFinding[]> {
  const { sources } = project.definitions;
  const times = Float64Array.from(table.at).sort();
  const instants = [
    ...new Set(
      times.length === 0 ? [] : PROBES.map((share) => times[Math.floor(share * (times.length - 1))]!),
    ),
  ];
  const folder = path.join(project.stateFolder, 'tmp');
  await mkdir(folder, { recursive: true });
  const scratches: string[] = [];
  const findings: LeakageFinding[] = [];
  const transforms = new Set(
    plan.groups.flatMap((group) => [...sourceAncestors(project.definitions, group.source.name)]),
  );
  try {
    for (const name of transforms) {
      const source = sources.get(name)!;
      if (source.read.kind !== 'transform') continue;
      const parents = source.read.parents.map((parent) => sources.get(parent)!);
      let [lies, wrong, records] = [0, 0, 0];
      let first: number | undefined;
      for (const at of instants) {
        stopIfInterrupted(project);
        // A name used once: DuckDB remembers the statistics of a file by its name and the second of its change.
        const scratch = path.join(folder, `claims-${randomUUID()}.parquet`);
        scratches.push(scratch);
        const claims = await store.claimsAt(source, parents, horizons, at, scratch);
        records += claims.records;
        wrong += claims.wrong;
        if (claims.wrong > 0) first ??= at;
        if (claims.newestWrong * 2 > claims.newest) lies++;
      }
      if (first === undefined) continue;
      const refused = lies * 2 > instants.length;
      for (const group of plan.groups) {
        if (!sourceAncestors(project.definitions, group.source.name).has(name)) continue;
        for (const feature of group.features)
          findings.push({
            rule: 'known_too_early',
            severity: refused ? 'refuse' : 'warn',
            feature: feature.name,
            message: `feature ${feature.name} reads ${name}, of which ${wrong} of ${records} records claim to be known when they were not: at ${printInstant(first)} the query of ${name} gave other values from what was known then`,
            remedy: `let \`available_at\` of ${name} be the instant at which the last of its inputs was known, for example max("_available_at") in its query`,
          });
      }
    }
  } finally {
    for (const scratch of scratches) await rm(scratch, { force: true });
  }
  return findings;
}

async function labelRows(
  project: Project,
  store: OfflineStore,
  table: ObservationTable,
  label: Label,
  horizons: ReadonlyMap<string, number>,
): Promise<Labelled> {
  const source = project.definitions.sources.get(label.source)!;
  const horizonSeq = horizons.get(source.name) ?? 0;
  const knownThrough = await store.knownThrough(source, horizonSeq);
  const keep = new Uint8Array(table.rows).fill(1);
  let immature = 0;
  let noOutcome = 0;
  let outsideHorizon = 0;
  const mature = (i: number): boolean =>
    knownThrough !== null && knownThrough >= table.at[i]! + label.horizon + label.grace;
  const findings: LeakageFinding[] = [];
  let column: Column;
  if (label.kind === 'record') {
    const outcome = await store.outcomes(table, source, horizonSeq, label.expression!);
    column = outcome.value;
    let known = 0;
    let total = 0;
    for (let i = 0; i < table.rows; i++) {
      if (!mature(i)) {
        keep[i] = 0;
        immature++;
      } else if (!outcome.found[i] || columnValue(column, i) === null) {
        keep[i] = 0;
        noOutcome++;
      } else if (outcome.eventTime[i]! >= table.at[i]! + label.horizon) {
        keep[i] = 0;
        outsideHorizon++;
      } else {
        total++;
        if (outcome.availableAt[i]! <= table.at[i]!) known++;
      }
    }
    if (total > 0 && known / total > 0.01)
      findings.push({
        rule: 'outcome_known_before',
        severity: known / total > 0.5 ? 'refuse' : 'warn',
        feature: null,
        message: `${source.name} says that ${known} of ${total} outcomes were known at or before their observation; a feature over it would see the answer`,
        remedy: `declare \`available_at\` on source ${source.name} with the instant at which an outcome is known`,
      });
  } else {
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
    column = finishColumn(label, swept!.column, swept!.status).column;
    for (let i = 0; i < table.rows; i++) {
      if (!mature(i)) {
        keep[i] = 0;
        immature++;
      } else if (columnValue(column, i) === null) {
        keep[i] = 0;
        noOutcome++;
      }
    }
  }
  return { column, keep, immature, noOutcome, outsideHorizon, knownThrough, findings };
}

/** A numeric reading of a label for balance and single-feature checks: booleans as 0 and 1, others as they are. */
function labelSummary(column: Column, rows: readonly number[]): Readonly<Record<string, number>> {
  const kind = column.type.kind;
  if (kind === 'float64' || kind === 'decimal') {
    let sum = 0;
    for (const row of rows) sum += Number(columnValue(column, row));
    const scale = column.type.kind === 'decimal' ? 10 ** column.type.scale : 1;
    return { mean: rows.length === 0 ? 0 : sum / rows.length / scale };
  }
  const counts: Record<string, number> = {};
  for (const row of rows) {
    const value = columnValue(column, row);
    const name = typeof value === 'boolean' ? (value ? '1' : '0') : String(value);
    counts[name] = (counts[name] ?? 0) + 1;
  }
  return Object.fromEntries(Object.entries(counts).sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** A numeric feature that tells a binary label almost alone is more often a leak than a discovery. */
function suspicious(
  features: readonly { feature: Feature; column: Column }[],
  label: Column,
  rows: readonly number[],
): LeakageFinding[] {
  if (label.type.kind !== 'boolean') return [];
  const findings: LeakageFinding[] = [];
  for (const { feature, column } of features) {
    if (column.kind !== 'numbers') continue;
    const used = rows.filter((row) => columnValue(column, row) !== null);
    if (used.length < 100) continue;
    const labels = Float64Array.from(used, (row) => (columnValue(label, row) === true ? 1 : 0));
    const scores = Float64Array.from(used, (row) => Number(columnValue(column, row)));
    const auc = areaUnderRoc(labels, scores);
    if (auc === null) continue;
    const strength = Math.max(auc, 1 - auc);
    if (strength > 0.95)
      findings.push({
        rule: 'predicts_alone',
        severity: 'warn',
        feature: feature.name,
        message: `feature ${feature.name} alone separates the label with AUC ${strength.toFixed(3)}`,
        remedy: 'check that it is known at the observation time and is no form of the outcome',
      });
  }
  return findings;
}

interface Recipe {
  readonly dataset: Dataset;
  readonly plan: FeaturePlan;
  readonly horizons: ReadonlyMap<string, number>;
  readonly observationFile: string | null;
  readonly observationsHash: string | null;
  /** Object with the texts of the definitions. */
  readonly definitions: string | null;
  readonly key: string;
}

/** Everything a version is made from. Two equal recipes give equal bytes. */
async function recipeOf(project: Project, name: string, options: BuildOptions): Promise<Recipe> {
  const { definitions } = project;
  const declared = findDataset(project, name);
  const dataset: Dataset = options.knowledge ? { ...declared, knowledge: options.knowledge } : declared;
  enforceAudit(dataset, auditLeakage(definitions, dataset));
  const plan = planFeatures(
    definitions,
    dataset.features.map((item) => definitions.features.get(item)!),
  );
  const horizons = await currentHorizons(project, datasetSources(project, dataset, plan));
  for (const [source, seq] of options.horizons ?? [])
    if (horizons.has(source)) horizons.set(source, Math.min(seq, horizons.get(source)!));
  const observed = dataset.observations.from;
  const observationFile =
    observed.kind === 'file'
      ? (options.observationFile ?? path.resolve(project.folder, observed.path))
      : null;
  const observationsHash = observationFile === null ? null : await sha256File(observationFile);
  const key = fingerprint({
    dataset: dataset.fingerprint,
    knowledge: dataset.knowledge,
    horizons: Object.fromEntries(horizons),
    observations: observationsHash,
    engine: ENGINE_VERSION,
  });
  return { dataset, plan, horizons, observationFile, observationsHash, definitions: null, key };
}

/** The key that a build would have now: equal to the latest version's when there is nothing to do. */
export const datasetKey = async (project: Project, name: string): Promise<string> =>
  (await recipeOf(project, name, {})).key;

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
  const present = registry.byKey('dataset', name, recipe.key);
  if (present && !options.out && (await takeUp(present)))
    return { version: present, manifest: present.manifest as unknown as DatasetManifest, built: false };
  return recordRun(project, datasetRun(project, name), async () => {
    const folder = path.join(project.definitions.settings.lake, '_datasets', name, recipe.key.slice(0, 16));
    const definitions = await keepDefinitions(project, name);
    if (recipe.observationFile !== null && recipe.observationsHash !== null)
      await putCopy(project, recipe.observationFile, recipe.observationsHash);
    const manifest = await assembleDataset(
      project,
      { ...recipe, definitions },
      folder,
      options.out,
      unavailable,
    );
    const version = registry.addVersion({
      kind: 'dataset',
      name,
      key: recipe.key,
      folder,
      manifest: manifest as unknown as Record<string, unknown>,
      createdAt: project.now(),
    });
    return { version, manifest, built: present === undefined };
  });
}

/** Whether a version has its rows; `gc` then leaves them alone for a while. */
async function takeUp({ folder }: VersionRecord): Promise<boolean> {
  const now = new Date();
  await utimes(folder, now, now).catch(() => undefined);
  return existsSync(path.join(folder, 'data.parquet'));
}

/** The same recipe again, beside the registered version: what `dataset reproduce` compares. */
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
  return assembleDataset(project, recipe, folder);
}

async function assembleDataset(
  project: Project,
  recipe: Recipe,
  folder: string,
  out?: string,
  unavailable: readonly Unavailable[] = [],
): Promise<DatasetManifest> {
  const { definitions } = project;
  const { dataset, plan, horizons, observationFile } = recipe;
  const { name } = dataset;
  const label = dataset.label === null ? null : definitions.labels.get(dataset.label)!;
  const observed = dataset.observations.from;
  const audit = auditLeakage(definitions, dataset);
  const store = await project.offline();
  project.progress({ step: 'dataset', message: `${name}: reading observations` });
  const table =
    observed.kind === 'source'
      ? await store.observationsFromSource(
          definitions.sources.get(observed.source)!,
          horizons.get(observed.source)!,
          {
            time: dataset.observations.time,
            where: dataset.observations.where,
          },
        )
      : await store.observationsFromFile(observationFile!, {
          time: dataset.observations.time,
          timezone: definitions.settings.timezone,
          types: observationTypes(plan),
        });
  try {
    if (observed.kind === 'file') {
      for (const { name: column } of table.columns) {
        const problem = columnProblem(column, plan.outputs, label?.name ?? null);
        if (problem !== undefined)
          throw new MillraceError(
            'USAGE',
            `dataset ${name}: ${observed.path} has a column "${column}", and ${problem}`,
            {
              place: { file: observed.path, path: column },
              hint: 'Rename the column in the file, or what the dataset calls by its name.',
            },
          );
      }
    }
    const findings: LeakageFinding[] = [
      ...audit,
      ...(await auditAvailability(project, store, table, dataset, plan, horizons)),
    ];
    if (dataset.knowledge === 'as_of')
      findings.push(...(await auditTransforms(project, store, table, plan, horizons)));
    enforceAudit(dataset, findings);
    project.progress({ step: 'dataset', message: `${name}: labelling ${table.rows} observations` });
    const labelled = label === null ? null : await labelRows(project, store, table, label, horizons);
    findings.push(...(labelled?.findings ?? []));
    enforceAudit(dataset, findings);

    const kept: number[] = [];
    for (let i = 0; i < table.rows; i++) if (!labelled || labelled.keep[i]) kept.push(i);
    const identity = await identities(project, store, table, dataset, kept);
    const split = splitRows(dataset.split, {
      at: Float64Array.from(kept, (row) => table.at[row]!),
      horizon: label?.horizon ?? 0,
      identity,
    });
    const included = new Uint8Array(table.rows);
    const partOf = new ColumnBuilder(STRING, table.rows);
    const partRows: number[][] = split.names.map(() => []);
    for (const [i, row] of kept.entries()) {
      const index = split.part[i]!;
      if (index < 0) continue;
      included[row] = 1;
      partRows[index]!.push(row);
      partOf.set(row, split.names[index]!);
    }
    const rows = partRows.reduce((sum, part) => sum + part.length, 0);
    if (rows === 0)
      throw new MillraceError(
        'DATASET_EMPTY',
        `dataset ${name} has no row: ${table.rows} observations, ${labelled?.immature ?? 0} with an immature label, ${labelled?.noOutcome ?? 0} without an outcome, ${split.purged} purged`,
        {
          hint: 'Check the horizon of the label, the record keys and the split.',
        },
      );

    project.progress({
      step: 'dataset',
      message: `${name}: computing ${plan.outputs.length} features at ${table.rows} observations`,
    });
    const features = await computeFeatures(store, table, plan, {
      horizons,
      knowledge: dataset.knowledge,
      project,
    });
    const trainRows = partRows[Math.max(0, split.names.indexOf('train'))]!;
    if (labelled) findings.push(...suspicious(features, labelled.column, trainRows));

    const added = [
      ...features.map(({ feature, column }) => ({ name: feature.name, column })),
      ...(labelled ? [{ name: label!.name, column: labelled.column }] : []),
      { name: PART_COLUMN, column: partOf.finish() },
    ];
    if (out !== undefined)
      await store.write(table, added, { file: path.resolve(out), format: outputFormat(out), rows: included });
    const columnHashes = Object.fromEntries(
      added.map((item) => [item.name, hashColumn(item.name, item.column, included)]),
    );
    const staging = `${folder}.${process.pid}.tmp`;
    await rm(staging, { recursive: true, force: true });
    await mkdir(staging, { recursive: true });
    const file = path.join(staging, 'data.parquet');
    const written = await store.write(table, added, { file, format: 'parquet', rows: included });

    const trainMask = new Uint8Array(table.rows);
    for (const row of trainRows) trainMask[row] = 1;
    const manifest: DatasetManifest = {
      format: 1,
      dataset: name,
      fingerprint: dataset.fingerprint,
      engine_version: ENGINE_VERSION,
      knowledge: dataset.knowledge,
      horizons: Object.fromEntries(horizons),
      observations_sha256: recipe.observationsHash,
      definitions_sha256: recipe.definitions,
      observation_key: { fields: observationKey(project, dataset), time: dataset.observations.time },
      environment: { millrace: VERSION, engine: store.engine },
      counts: {
        observations: table.rows,
        rows,
        immature_label: labelled?.immature ?? 0,
        no_outcome: labelled?.noOutcome ?? 0,
        outside_horizon: labelled?.outsideHorizon ?? 0,
        purged: split.purged,
      },
      parts: split.names.map((part, i): PartSummary => {
        const own = partRows[i]!;
        let first = Number.POSITIVE_INFINITY;
        let last = Number.NEGATIVE_INFINITY;
        for (const row of own) {
          first = Math.min(first, table.at[row]!);
          last = Math.max(last, table.at[row]!);
        }
        return {
          name: part,
          rows: own.length,
          from: own.length === 0 ? null : printInstant(first),
          to: own.length === 0 ? null : printInstant(last),
          label: labelled ? labelSummary(labelled.column, own) : null,
        };
      }),
      label: label && {
        name: label.name,
        type: printType(label.valueType),
        horizon: printDuration(label.horizon),
        grace: printDuration(label.grace),
        known_through: labelled!.knownThrough === null ? null : printInstant(labelled!.knownThrough),
      },
      features: features.map(({ feature }) => ({
        name: feature.name,
        type: printType(feature.valueType),
        fingerprint: feature.fingerprint,
      })),
      profile: Object.fromEntries(
        features.map(({ feature, column }) => [feature.name, profileColumn(columnSample(column, trainMask))]),
      ),
      leakage: findings,
      ...(unavailable.length > 0 ? { unavailable } : {}),
      files: [
        { file: 'data.parquet', rows: written.rows, bytes: written.bytes, sha256: await sha256File(file) },
      ],
      logical_sha256: hashTable(Object.values(columnHashes)),
      column_sha256: columnHashes,
    };
    await writeFile(path.join(staging, 'manifest.json'), `${JSON.stringify(manifest, null, 2)}\n`);
    await rm(folder, { recursive: true, force: true });
    await rename(staging, folder);
    return manifest;
  } finally {
    await store.release(table);
  }
}

/** The fields that name an observation: the record key of its source, or the join keys of what it is asked about. */
function observationKey(project: Project, dataset: Dataset): readonly string[] {
  const { definitions } = project;
  if (dataset.observations.from.kind === 'source')
    return definitions.sources.get(dataset.observations.from.source)!.recordKey;
  const names = dataset.features.flatMap((name) => definitions.features.get(name)!.joinKeys);
  return [...new Set([...names, dataset.observations.time])];
}

/** What a random or entity split hashes: the entity key, or the observation's own record key and time. */
async function identities(
  project: Project,
  store: OfflineStore,
  table: ObservationTable,
  dataset: Dataset,
  rows: readonly number[],
): Promise<string[]> {
  const split = dataset.split;
  if (split === null || split.by === 'time' || split.by === 'time_cuts') return rows.map(() => '');
  const source =
    dataset.observations.from.kind === 'source'
      ? project.definitions.sources.get(dataset.observations.from.source)!
      : null;
  const keys =
    split.by === 'entity'
      ? project.definitions.entities.get(split.entity!)!.joinKeys
      : (source?.recordKey ?? []).map((name) => ({
          name,
          type: source!.fields.find((field) => field.name === name)!.type,
        }));
  const columns = await Promise.all(keys.map((key) => store.column(table, key.name, key.type)));
  return rows.map((row) =>
    JSON.stringify([
      ...columns.map((column) => String(columnValue(column, row))),
      ...(split.by === 'random' && columns.length === 0 ? [row, table.at[row]] : []),
    ]),
  );
}
