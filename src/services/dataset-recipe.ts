/** What a version of a dataset is made from, and which partitions that gives. */
import { existsSync } from 'node:fs';
import { mkdir, readFile, rename, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { MillraceError } from '../core/base/error.js';
import { type Fingerprint, fingerprint } from '../core/base/fingerprint.js';
import { nearest } from '../core/base/nearest.js';
import { type Instant, MICROS_PER_DAY, printInstant, printOptionalInstant } from '../core/base/time.js';
import { auditLeakage, type LeakageFinding } from '../core/dataset/leakage.js';
import { type DatasetManifest, ENGINE_VERSION } from '../core/dataset/manifest.js';
import {
  type Bounds,
  type DigestCell,
  EVERYTHING,
  type KeyedPartition,
  maturityOf,
  mergeCells,
  parentReaches,
  partitionKey,
  partitionMeaning,
  partitionsOf,
  reachedDigests,
  reachOf,
} from '../core/dataset/partition.js';
import type { Dataset, Source } from '../core/define/types.js';
import { type FeaturePlan, planFeatures } from '../core/engine/feature-plan.js';
import { printType } from '../core/schema/types.js';
import type { LogSegment } from '../ports/record-log.js';

import { datasetFolder, findEntries } from './dataset-files.js';
import { sha256File } from './objects.js';
import { currentHorizons, type Project } from './project.js';

export interface RecipeOptions {
  readonly knowledge?: 'as_of' | 'hindsight';
  /** Source → seq; absent sources are read to their end. */
  readonly horizons?: ReadonlyMap<string, number>;
  /** Where the observations are now; absent: where the definition says. */
  readonly observationFile?: string;
}

export interface Recipe {
  readonly dataset: Dataset;
  readonly plan: FeaturePlan;
  readonly horizons: ReadonlyMap<string, number>;
  readonly observationFile: string | null;
  readonly observationsHash: string | null;
  /** Name and version of what computes. */
  readonly engine: string;
  /** Equal recipes have equal ones; others may still give the same partitions. */
  readonly inputs: Fingerprint;
}

export interface PlannedPartition extends KeyedPartition {
  readonly key: Fingerprint;
}

export function findDataset(project: Project, name: string): Dataset {
  const dataset = project.definitions.datasets.get(name);
  if (dataset) return dataset;
  const near = nearest(name, project.definitions.datasets.keys());
  throw new MillraceError('UNKNOWN_NAME', `there is no dataset named "${name}"`, {
    hint: near ? `Did you mean "${near}"?` : 'Define it under `datasets:`.',
  });
}

/** Every source a build reads. */
export function datasetSources(project: Project, dataset: Dataset, plan: FeaturePlan): readonly string[] {
  const names = new Set(plan.groups.map((group) => group.source.name));
  if (dataset.observations.from.kind === 'source') names.add(dataset.observations.from.source);
  if (dataset.label !== null) names.add(project.definitions.labels.get(dataset.label)!.source);
  return [...names].sort();
}

export async function recipeOf(project: Project, name: string, options: RecipeOptions): Promise<Recipe> {
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
  const engine = await project.engine();
  const inputs = fingerprint({
    dataset: dataset.fingerprint,
    partition: dataset.partition,
    knowledge: dataset.knowledge,
    horizons: Object.fromEntries(horizons),
    observations: observationsHash,
    folds: ENGINE_VERSION,
    engine,
  });
  return { dataset, plan, horizons, observationFile, observationsHash, engine, inputs };
}

interface KeptDigests {
  readonly meaning: Fingerprint;
  /** Of the sealed segments that are summed, in their order. */
  readonly segments: readonly string[];
  readonly cells: readonly (readonly [known: number, day: number, a: string, b: string])[];
}

const markOf = async ({ file, rows, firstSeq, lastSeq }: LogSegment): Promise<string> => {
  const found = await stat(file);
  return `${path.basename(file)}:${rows}:${firstSeq}:${lastSeq}:${found.size}:${found.mtimeMs}`;
};

/**
 * Digests of a log through a position. Sealed segments never change, so their sums are kept, and only what was appended
 * since is read.
 */
async function logDigests(
  project: Project,
  source: Source,
  through: number,
  time: string | null,
): Promise<readonly DigestCell[]> {
  const store = await project.offline();
  const { segments } = await (await project.log()).state(source);
  const open = segments.findIndex(({ format, lastSeq }) => format !== 'parquet' || lastSeq > through);
  const sealed = open < 0 ? segments : segments.slice(0, open);
  const marks = await Promise.all(sealed.map(markOf));
  const meaning = fingerprint({
    engine: await project.engine(),
    fields: source.fields.map(({ name, type }) => [name, printType(type)]),
    key: source.recordKey,
    time,
  });
  const folder = path.join(project.stateFolder, 'digests');
  const file = path.join(
    folder,
    `${encodeURIComponent(source.name)}${time === null ? '' : `.${encodeURIComponent(time)}`}.json`,
  );
  // A file that a stop of the machine has torn is one that is not there.
  const kept = await readFile(file, 'utf8')
    .then((text) => JSON.parse(text) as KeptDigests)
    .catch(() => undefined);
  const current =
    kept?.meaning === meaning && kept.segments.every((mark, i) => i >= marks.length || mark === marks[i]);
  const usable = current && kept.segments.length <= marks.length;
  let cells: readonly DigestCell[] = usable
    ? kept.cells.map(([known, day, a, b]) => ({ known, day, sums: [BigInt(a), BigInt(b)] }))
    : [];
  const summed = usable ? (sealed[kept.segments.length - 1]?.lastSeq ?? 0) : 0;
  const sealedThrough = sealed.at(-1)?.lastSeq ?? 0;
  if (sealedThrough > summed) {
    cells = mergeCells(
      cells,
      await store.recordDigests(source, { after: summed, through: sealedThrough }, time),
    );
    const next: KeptDigests = {
      meaning,
      segments: marks,
      cells: cells.map(({ known, day, sums: [a, b] }) => [known, day, String(a), String(b)]),
    };
    // An older position that is asked for once does not replace what is kept.
    if (!current || usable) {
      await mkdir(folder, { recursive: true });
      const staged = `${file}.${process.pid}.tmp`;
      await writeFile(staged, JSON.stringify(next));
      await rename(staged, file);
    }
  }
  if (through > sealedThrough)
    cells = mergeCells(cells, await store.recordDigests(source, { after: sealedThrough, through }, time));
  return cells;
}

/** @throws MillraceError STORE_CORRUPT where files are gone that hold what is read. */
async function requireSegments(project: Project, { horizons }: Recipe): Promise<void> {
  const log = await project.log();
  for (const [name, seq] of horizons) {
    const { segments } = await log.state(project.definitions.sources.get(name)!);
    const lost = segments.filter(({ file, firstSeq }) => firstSeq <= seq && !existsSync(file));
    if (lost.length > 0)
      throw new MillraceError(
        'STORE_CORRUPT',
        `the log of ${name} has lost ${lost.map(({ file }) => path.basename(file)).join(', ')}`,
        { hint: 'Put it back from a copy of the project state: its records are nowhere else in it.' },
      );
  }
}

/** The partitions that a recipe gives, in order of time. */
export async function planPartitions(project: Project, recipe: Recipe): Promise<readonly PlannedPartition[]> {
  const { definitions } = project;
  const { dataset, plan, horizons } = recipe;
  await requireSegments(project, recipe);
  const reaches = parentReaches(definitions, dataset, plan);
  const cells: (readonly DigestCell[])[] = [];
  for (const { source, time } of reaches)
    cells.push(await logDigests(project, definitions.sources.get(source)!, horizons.get(source) ?? 0, time));
  const observed = reaches.findIndex(({ role }) => role === 'observations');
  const all: readonly Bounds[] =
    observed < 0
      ? [EVERYTHING]
      : partitionsOf(
          dataset.partition,
          cells[observed]!.map(({ day }) => day),
        );
  const digests = reaches.map((reach, i) =>
    reachedDigests(
      cells[i]!,
      all.map((bounds) => reachOf(reach, bounds)),
    ),
  );
  const label = dataset.label === null ? null : definitions.labels.get(dataset.label)!;
  const known =
    label === null
      ? null
      : await (await project.offline()).knownThrough(
          definitions.sources.get(label.source)!,
          horizons.get(label.source) ?? 0,
        );
  const meaning = partitionMeaning(definitions, dataset, plan.outputs, recipe.engine);
  return all.map(({ from, to }, i) => {
    const parents: Record<string, string> = {};
    if (recipe.observationsHash !== null) parents['observations file'] = recipe.observationsHash;
    for (const [r, { role, source }] of reaches.entries()) parents[`${role} ${source}`] = digests[r]![i]!;
    const partition = { meaning, from, to, parents, maturity: maturityOf({ from, to }, label, known) };
    return { ...partition, key: partitionKey(partition) };
  });
}

/** The key of the version that some partitions make. */
export const versionKey = (recipe: Recipe, partitions: readonly PlannedPartition[]): Fingerprint =>
  fingerprint({
    dataset: recipe.dataset.fingerprint,
    knowledge: recipe.dataset.knowledge,
    partitions: partitions.map(({ key }) => key),
  });

const inputsFact = (name: string): string => `dataset-inputs:${name}`;

/** Which key equal inputs had: then no digest has to be looked at. */
export async function rememberKey(project: Project, recipe: Recipe, key: Fingerprint): Promise<void> {
  (await project.registry()).setFact(inputsFact(recipe.dataset.name), { inputs: recipe.inputs, key });
}

/** The key that these inputs had when they were built last. */
export async function knownKey(project: Project, recipe: Recipe): Promise<Fingerprint | undefined> {
  const known = (await project.registry()).getFact(inputsFact(recipe.dataset.name)) as
    | { readonly inputs: Fingerprint; readonly key: Fingerprint }
    | undefined;
  return known?.inputs === recipe.inputs ? known.key : undefined;
}

/** Changes whenever a build could give something else. */
export const datasetInputs = async (project: Project, name: string): Promise<Fingerprint> =>
  (await recipeOf(project, name, {})).inputs;

const dateText = (at: Instant): string => printInstant(at).slice(0, 10);
/** Days that are named one by one. */
const NAMED = 3;

const spanText = (dates: readonly string[]): string =>
  dates.length <= NAMED ? dates.join(', ') : `${dates[0]} … ${dates.at(-1)}`;

export interface DatasetChange {
  /** Why it is to be built again; null: it is as it was. */
  readonly reason: string | null;
  readonly key: Fingerprint;
  /** Partitions that a build would compute: those that are others now, but for those that were made already. */
  readonly missing: number;
  readonly total: number;
}

/** What of a version would be another one now: which partitions, and the records that did it. */
export async function datasetChange(
  project: Project,
  name: string,
  latest: { readonly key: string; readonly manifest: DatasetManifest },
): Promise<DatasetChange> {
  const recipe = await recipeOf(project, name, {});
  const known = await knownKey(project, recipe);
  const before = latest.manifest.partitions ?? [];
  if (known !== undefined && known === latest.key)
    return { reason: null, key: known, missing: 0, total: before.length };
  const planned = await planPartitions(project, recipe);
  const key = versionKey(recipe, planned);
  const kept = new Set(before.map((entry) => entry.key));
  const changed = planned.filter((partition) => !kept.has(partition.key));
  const made = findEntries(
    datasetFolder(project, name),
    changed.map((partition) => partition.key),
    [],
  );
  const missing = changed.length - made.size;
  const facts = { key, missing, total: planned.length };
  if (key === latest.key) return { ...facts, reason: null };
  if (changed.length === 0)
    return {
      ...facts,
      reason:
        recipe.dataset.fingerprint === latest.manifest.fingerprint
          ? 'observations are gone; no partition is made again'
          : 'its split has changed; no partition is made again',
    };
  const names = changed.flatMap(({ from }) => (from === null ? [] : [dateText(from)]));
  const span = names.length === 0 ? '' : `: ${spanText(names)}`;
  const there = changed.length - missing;
  const head = `${changed.length} of ${planned.length} partition${planned.length === 1 ? '' : 's'}${span}${there === 0 ? '' : `, ${there} of them computed already`}`;
  if (recipe.dataset.fingerprint !== latest.manifest.fingerprint)
    return { ...facts, reason: `${head}; its definition has changed` };
  const entries = new Map(before.map((entry) => [entry.from, entry]));
  const sources = new Set<string>();
  for (const { from, parents } of changed) {
    const entry = entries.get(printOptionalInstant(from));
    for (const [parent, digest] of Object.entries(parents))
      if (entry?.parents[parent] !== digest) sources.add(parent.slice(parent.indexOf(' ') + 1));
  }
  const store = await project.offline();
  const causes: string[] = [];
  for (const source of sources) {
    const after = latest.manifest.horizons[source];
    const through = recipe.horizons.get(source);
    if (after === undefined || through === undefined) {
      causes.push(`the ${source} of observations has changed`);
      continue;
    }
    const fresh = await store.recordDigests(
      project.definitions.sources.get(source)!,
      { after, through },
      null,
    );
    const days = [...new Set(fresh.map(({ day }) => day))].sort((a, b) => a - b);
    const on = days.map((day) => dateText(day * MICROS_PER_DAY));
    causes.push(on.length === 0 ? `${source} has changed` : `${source} changed on ${spanText(on)}`);
  }
  if (causes.length === 0) causes.push('labels have become mature');
  return { ...facts, reason: `${head}; ${causes.join(', ')}` };
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
