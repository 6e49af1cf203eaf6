/**
 * Frees what nothing needs. Versions stay registered: what goes are their files, which their recipe makes again.
 * Beside a writer it is safe: what is young stays, and whoever takes up something old makes it young first. What goes is
 * renamed in one step and then removed: a kill leaves it whole, or under a name that the next run removes.
 */
import { type Dirent, existsSync } from 'node:fs';
import { readdir, rename, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { type Duration, MICROS_PER_SECOND } from '../core/base/time.js';
import { type KnownModel, type KnownVersion, keptVersions, versionTitle } from '../core/dataset/retention.js';
import type { VersionRecord } from '../ports/registry.js';
import { KEYS, OBJECTS } from './dataset-files.js';
import { STATISTICS } from './dataset-statistics.js';
import { manifestOfDataset, type RejectedVersion, rejectedVersion } from './dataset-versions.js';
import { manifestOf } from './model-manifest.js';
import { hasObject, objectsFolder } from './objects.js';
import { type Project, stopIfInterrupted } from './project.js';

export interface Garbage {
  readonly kind: 'dataset' | 'model' | 'object' | 'leftover';
  readonly name: string;
  /** Relative to the project where it is inside of it. */
  readonly path: string;
  readonly bytes: number;
  readonly reason: string;
}

export interface GarbageCollection {
  readonly dry_run: boolean;
  readonly removed: readonly Garbage[];
  readonly bytes: number;
  readonly kept: readonly {
    readonly kind: 'dataset' | 'model';
    readonly name: string;
    readonly reason: string;
  }[];
}

const HOUR_MS = 3_600_000;
/** Work under way is younger than this. */
const GRACE_MS = HOUR_MS;
const SCRATCH_MS = 24 * HOUR_MS;
const PIN = 'pin:dataset:';

export async function pinDataset(project: Project, version: VersionRecord, pinned: boolean): Promise<void> {
  (await project.registry()).setFact(`${PIN}${versionTitle(version)}`, pinned);
}

const entries = (folder: string): Promise<Dirent[]> =>
  readdir(folder, { withFileTypes: true }).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw error;
  });

async function bytesOf(target: string): Promise<number> {
  const found = await stat(target).catch(() => undefined);
  if (!found) return 0;
  if (!found.isDirectory()) return found.size;
  let bytes = 0;
  for (const entry of await entries(target)) bytes += await bytesOf(path.join(target, entry.name));
  return bytes;
}

async function predictedModels(project: Project): Promise<ReadonlySet<string>> {
  const found = new Set<string>();
  for (const service of project.definitions.services.keys())
    for await (const prediction of project.predictions().predictions(service)) found.add(prediction.model);
  return found;
}

/** The process that a scratch is of, where its name has it; names drawn by lot say nothing, and only their age counts. */
const OWNER = /^(?:duckdb|sweep)-(\d+)-|[.-](\d+)(?:\.[a-z]+)?$/;
const UUID = /[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/;

const ownerOf = (name: string): number | undefined => {
  const found = UUID.test(name) ? null : OWNER.exec(name);
  return found ? Number(found[1] ?? found[2]) : undefined;
};

/** Another process with that pid now only delays the removal. */
function ofLivingProcess(name: string): boolean {
  const pid = ownerOf(name);
  if (pid === undefined || pid < 1) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** It is built again by the definitions of today, or by those kept with it. */
async function knownDataset(project: Project, version: VersionRecord): Promise<KnownVersion> {
  const { name, version: number, createdAt } = version;
  const { fingerprint, definitions_sha256: kept } = manifestOfDataset(version);
  const repeatable =
    project.definitions.datasets.get(name)?.fingerprint === fingerprint ||
    (typeof kept === 'string' && (await hasObject(project, kept)));
  return { name, version: number, createdAt, repeatable };
}

interface Candidate extends Omit<Garbage, 'bytes' | 'path'> {
  readonly target: string;
  /** Milliseconds that it must have been left alone. */
  readonly age: number;
}

async function candidates(
  project: Project,
  retention: Duration,
): Promise<{ candidates: Candidate[]; kept: GarbageCollection['kept'] }> {
  const registry = await project.registry();
  const sets = registry.versions('dataset');
  const models = registry.versions('model');
  const predicted = await predictedModels(project);
  const pinned = sets.map(versionTitle).filter((title) => registry.getFact(`${PIN}${title}`) === true);
  const datasets = await Promise.all(sets.map((version) => knownDataset(project, version)));
  const repeatable = new Set(datasets.filter((each) => each.repeatable).map(versionTitle));
  const kept = keptVersions({
    now: project.now(),
    retention,
    datasets,
    models: models.map((model): KnownModel => {
      const { dataset, trainer } = manifestOf(model);
      const { name, version, createdAt } = model;
      const own = !['process', 'imported'].includes(trainer.kind);
      return { name, version, createdAt, dataset, repeatable: own && repeatable.has(versionTitle(dataset)) };
    }),
    aliases: registry.aliasHistory(),
    predicted,
    pinned: new Set(pinned),
  });
  const found: Candidate[] = [];
  for (const [versions, keeps, command] of [
    [sets, kept.datasets, 'dataset'],
    [models, kept.models, 'models'],
  ] as const)
    for (const version of versions) {
      const name = versionTitle(version);
      if (keeps.has(name) || !existsSync(version.folder)) continue;
      const reason = `nothing living needs it; \`millrace ${command} reproduce ${name} --restore\` makes it again`;
      found.push({ kind: version.kind, name, target: version.folder, reason, age: GRACE_MS });
    }

  const rejected = await rejectedVersions(project, sets);
  const registered = new Set(
    [...sets, ...models, ...rejected].map((version) => path.resolve(version.folder)),
  );
  const lake = path.join(project.definitions.settings.lake, '_datasets');
  const partitioned = new Set([OBJECTS, KEYS, STATISTICS]);
  for (const root of [lake, path.join(project.stateFolder, 'models')])
    for (const group of await entries(root))
      for (const entry of group.isDirectory() ? await entries(path.join(root, group.name)) : []) {
        if (partitioned.has(entry.name) && root === lake) continue;
        const target = path.join(root, group.name, entry.name);
        if (!registered.has(path.resolve(target)))
          found.push({
            kind: 'leftover',
            name: entry.name,
            target,
            reason: 'no version names it',
            age: entry.name.endsWith('.gone.tmp') ? 0 : GRACE_MS,
          });
      }
  found.push(...(await idlePartitions(project, sets, kept.datasets, lake)));
  const named = new Set(
    sets.flatMap((version) => {
      const { definitions_sha256: definitions, observations_sha256: observations } =
        manifestOfDataset(version);
      return [definitions, observations];
    }),
  );
  const objects = objectsFolder(project);
  for (const group of await entries(objects))
    for (const entry of await entries(path.join(objects, group.name)))
      if (!named.has(entry.name))
        found.push({
          kind: 'object',
          name: entry.name,
          target: path.join(objects, group.name, entry.name),
          reason: 'no version names it',
          age: GRACE_MS,
        });
  found.push(...(await scratch(project, lake)));
  const list = (kind: 'dataset' | 'model', reasons: ReadonlyMap<string, string>) =>
    [...reasons].map(([name, reason]) => ({ kind, name, reason }));
  return { candidates: found, kept: [...list('dataset', kept.datasets), ...list('model', kept.models)] };
}

/** What processes that ended wrote to: all that is in `tmp`, and beside other files those not yet renamed. */
async function scratch(project: Project, lake: string): Promise<readonly Candidate[]> {
  const state = (below: string): string => path.join(project.stateFolder, below);
  const owned = (name: string): boolean => ownerOf(name) !== undefined;
  const unnamed = (name: string): boolean => name !== 'tallies.json' && !name.startsWith('sample-');
  const places: readonly (readonly [string, (name: string) => boolean])[] = [
    [state('tmp'), () => true],
    ...['', 'digests', 'cache'].map((below) => [state(below), owned] as const),
    ...(await entries(lake)).map(({ name }) => [path.join(lake, name, STATISTICS), unnamed] as const),
  ];
  const found: Candidate[] = [];
  for (const [folder, isScratch] of places)
    for (const { name } of await entries(folder))
      if (isScratch(name) && !ofLivingProcess(name))
        found.push({
          kind: 'leftover',
          name,
          target: path.join(folder, name),
          reason: 'left by work that ended',
          age: SCRATCH_MS,
        });
  return found;
}

const rejectedVersions = async (
  project: Project,
  sets: readonly VersionRecord[],
): Promise<readonly RejectedVersion[]> => {
  const names = new Set([...sets.map(({ name }) => name), ...project.definitions.datasets.keys()]);
  const found = await Promise.all([...names].map((name) => rejectedVersion(project, name)));
  return found.filter((item) => item !== undefined);
};

/** Files of partitions that no version that is kept names, and what leads to such files. */
async function idlePartitions(
  project: Project,
  sets: readonly VersionRecord[],
  kept: ReadonlyMap<string, string>,
  root: string,
): Promise<Candidate[]> {
  const manifests = [
    ...sets.filter((version) => kept.has(versionTitle(version))).map(manifestOfDataset),
    ...(await rejectedVersions(project, sets)).map(({ manifest }) => manifest),
  ];
  const parts = manifests.flatMap(({ partitions }) => partitions ?? []);
  const files = new Set(
    parts.flatMap(({ sha256, columns_sha256 }) => [`${sha256}.parquet`, `${columns_sha256}.json`]),
  );
  const keys = new Set(parts.map(({ key }) => `${key}.json`));
  const found: Candidate[] = [];
  for (const group of await entries(root))
    for (const [folder, named] of [
      // What leads to a file goes before it, so that a kill between the two leaves nothing that leads nowhere.
      [KEYS, keys],
      [OBJECTS, files],
    ] as const)
      for (const { name } of await entries(path.join(root, group.name, folder)))
        if (!named.has(name))
          found.push({
            kind: 'object',
            name,
            target: path.join(root, group.name, folder, name),
            reason: 'no version that is kept names it',
            age: name.endsWith('.gone.tmp') ? 0 : GRACE_MS,
          });
  return found;
}

/** Removes what nothing needs, or says what would go. `retention`: how long an alias or a build keeps a version. */
export async function collectGarbage(
  project: Project,
  options: { readonly dryRun: boolean; readonly retention: Duration },
): Promise<GarbageCollection> {
  const { candidates: found, kept } = await candidates(project, options.retention);
  const now = project.now() / (MICROS_PER_SECOND / 1000);
  const removed: Garbage[] = [];
  for (const { target, age, ...what } of found) {
    stopIfInterrupted(project);
    const changed = await stat(target).catch(() => undefined);
    if (!changed || now - changed.mtimeMs < age) continue;
    const bytes = await bytesOf(target);
    if (!options.dryRun) {
      const gone = target.endsWith('.gone.tmp') ? target : `${target}.${process.pid}.gone.tmp`;
      try {
        if (gone !== target) await rename(target, gone);
      } catch (error) {
        // Another collection was faster.
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') continue;
        throw error;
      }
      await rm(gone, { recursive: true, force: true });
    }
    removed.push({ ...what, path: path.relative(project.folder, target), bytes });
  }
  return {
    dry_run: options.dryRun,
    removed,
    bytes: removed.reduce((sum, item) => sum + item.bytes, 0),
    kept,
  };
}
