/** A version built again from its recipe, whatever has arrived since, and what is to blame where it differs. */
import { existsSync } from 'node:fs';
import { copyFile, mkdir, rm, symlink } from 'node:fs/promises';
import path from 'node:path';
import { MillraceError } from '../core/base/error.js';
import { VERSION } from '../core/base/version.js';
import { hashColumn } from '../core/dataset/content.js';
import { type DatasetManifest, ENGINE_VERSION } from '../core/dataset/manifest.js';
import { firstDifferentRow } from '../core/dataset/rows.js';
import { columnLength, columnValue } from '../core/engine/columns.js';
import type { Column } from '../core/engine/types.js';
import { toJson } from '../core/schema/coerce-print.js';
import type { ObservationTable, TableFile } from '../ports/offline-store.js';
import type { VersionRecord } from '../ports/registry.js';
import { rebuildDataset, writeManifest } from './build-dataset.js';
import { columnsObject, rowsObject } from './dataset-files.js';
import {
  addedColumns,
  type RowsAt,
  rowFiles,
  rowsAt,
  rowsPresent,
  someRows,
  writeRows,
} from './dataset-table.js';
import { findDatasetVersion, manifestOfDataset, type VersionName } from './dataset-versions.js';
import { keptDefinitions } from './definition-snapshot.js';
import type { StoredState } from './load-model.js';
import { hasObject, objectFile, putFile, sha256File } from './objects.js';
import type { Project } from './project.js';

export interface Difference {
  /** From 0, in the order of the file. */
  readonly row: number;
  readonly column: string;
  readonly key: Readonly<Record<string, unknown>>;
  readonly registered: unknown;
  readonly rebuilt: unknown;
}

/**
 * stored_copy: the files of the version are not what was registered, the rebuild is. code: the definitions give other
 * computations. engine: another millrace or DuckDB. data: the log or the observations are not what they were.
 */
export type DifferenceCause = 'stored_copy' | 'code' | 'engine' | 'data';

export interface Reproduction {
  readonly dataset: string;
  readonly version: number;
  readonly logical: boolean;
  readonly physical: boolean;
  readonly columns_that_differ: readonly string[];
  /** Whose definitions were built: those of the project, or those kept with the version. */
  readonly definitions: 'current' | 'kept';
  readonly stored: StoredState;
  /** The rebuilt files were put in the place of those that were missing or damaged. */
  readonly restored: boolean;
  /** Null when the rebuild and the stored files are what was registered. */
  readonly cause: DifferenceCause | null;
  readonly evidence: readonly string[];
  /** The first row in which the stored file and the rebuilt one differ; null when there is none, or no stored file. */
  readonly first_difference: Difference | null;
}

/** The project as it was when the version was built. */
async function projectThen(
  project: Project,
  version: VersionRecord,
  manifest: DatasetManifest,
): Promise<{ project: Project; definitions: 'current' | 'kept' }> {
  const present = project.definitions.datasets.get(version.name);
  if (present?.fingerprint === manifest.fingerprint) return { project, definitions: 'current' };
  const definitions = manifest.definitions_sha256
    ? await keptDefinitions(project, manifest.definitions_sha256)
    : undefined;
  if (!definitions?.datasets.has(version.name))
    throw new MillraceError(
      'USAGE',
      `the definition of dataset ${version.name} is no longer the one of version ${version.version}, and its definitions are not kept`,
      { hint: 'Check out the definitions of that version and run the command again.' },
    );
  return { project: { ...project, definitions }, definitions: 'kept' };
}

/** The observations that were used, where the file has changed since; under a name with the right extension. */
async function observationsThen(
  project: Project,
  name: string,
  sha256: string | null,
  folder: string,
): Promise<string | undefined> {
  const from = project.definitions.datasets.get(name)!.observations.from;
  if (sha256 === null || from.kind !== 'file') return undefined;
  const now = path.resolve(project.folder, from.path);
  if (existsSync(now) && (await sha256File(now)) === sha256) return undefined;
  if (!(await hasObject(project, sha256))) return undefined;
  const file = path.join(folder, path.basename(from.path));
  await symlink(objectFile(project, sha256), file);
  return file;
}

async function firstDifference(
  project: Project,
  files: { readonly registered: TableFile; readonly rebuilt: TableFile },
  key: { readonly fields: readonly string[]; readonly time: string },
): Promise<Difference | null> {
  const store = await project.offline();
  const options = { time: key.time, timezone: 'UTC', types: new Map() };
  const tables: ObservationTable[] = [];
  try {
    for (const file of [files.registered, files.rebuilt])
      tables.push(await store.observationsFromFile(file, options));
    const [a, b] = tables as [ObservationTable, ObservationTable];
    let found: { row: number; name: string; columns: readonly (Column | null)[] } | null = null;
    for (const name of new Set([...a.columns, ...b.columns].map((column) => column.name))) {
      const columns: (Column | null)[] = [];
      for (const table of [a, b]) {
        const column = table.columns.find((item) => item.name === name);
        columns.push(column ? await store.column(table, name, column.type) : null);
      }
      const [left, right] = columns as [Column | null, Column | null];
      const row = left && right ? firstDifferentRow(left, right) : 0;
      if (row >= 0 && (found === null || row < found.row)) found = { row, name, columns };
    }
    if (found === null) return null;
    const { row, name, columns } = found;
    const print = (column: Column | null): unknown =>
      column && row < columnLength(column) ? toJson(column.type, columnValue(column, row)) : null;
    const side = row < a.rows ? a : b;
    const names: Record<string, unknown> = {};
    for (const field of new Set([...key.fields, key.time])) {
      const type = side.columns.find((column) => column.name === field)?.type;
      if (type && row < side.rows) names[field] = print(await store.column(side, field, type));
    }
    return {
      row,
      column: name,
      key: names,
      registered: print(columns[0]!),
      rebuilt: print(columns[1]!),
    };
  } finally {
    for (const table of tables) await store.release(table);
  }
}

/** What the log no longer has of what the version read. */
async function logFaults(project: Project, manifest: DatasetManifest): Promise<string[]> {
  const log = await project.log();
  const faults: string[] = [];
  for (const [name, seq] of Object.entries(manifest.horizons)) {
    const source = project.definitions.sources.get(name);
    if (!source) continue;
    const { lastSeq } = await log.state(source);
    if (lastSeq < seq) faults.push(`the log of ${name} ends at seq ${lastSeq}, before ${seq}`);
  }
  return faults;
}

const sameBytes = (a: DatasetManifest, b: DatasetManifest): boolean =>
  a.files.length === b.files.length && a.files.every(({ sha256 }, i) => sha256 === b.files[i]!.sha256);

/** Whether the stored files are what was registered. */
async function wholeFiles(at: RowsAt): Promise<boolean> {
  for (const [i, file] of rowFiles(at).entries())
    if ((await sha256File(file)) !== at.manifest.files[i]!.sha256) return false;
  return true;
}

/** A version of format 1 has its rows in one file, and hashes of the columns that were added. */
async function compareWithFile(
  project: Project,
  manifest: DatasetManifest,
  rebuilt: RowsAt,
  file: string,
): Promise<{ readonly columns: readonly string[]; readonly logical: boolean; readonly physical: boolean }> {
  const store = await project.offline();
  const rows = someRows(rebuilt, () => true)!;
  const { time } = rebuilt.manifest.observation_key!;
  await writeRows(store, rows, rebuilt.manifest, time, { file, format: 'parquet' });
  const found = await store.readColumns(rows, addedColumns(rebuilt.manifest));
  const columns = Object.keys(manifest.column_sha256).filter((name) => {
    const column = found.get(name);
    return column === undefined || hashColumn(name, column) !== manifest.column_sha256[name];
  });
  const physical = (await sha256File(file)) === manifest.files[0]!.sha256;
  return { columns, logical: columns.length === 0, physical };
}

/** Of a version, in a folder that is there for as long as it is worked on. */
export interface Rebuilt extends RowsAt {
  /** The project as it was when the version was built. */
  readonly project: Project;
  readonly definitions: Reproduction['definitions'];
  /** For what else is made meanwhile. */
  readonly scratch: string;
}

/** Builds a version again from its recipe, whatever has arrived since. */
export async function withRebuilt<T>(
  opened: Project,
  version: VersionRecord,
  work: (rebuilt: Rebuilt) => Promise<T>,
): Promise<T> {
  const manifest = manifestOfDataset(version);
  const { project, definitions } = await projectThen(opened, version, manifest);
  const scratch = path.join(project.stateFolder, 'tmp', `reproduce-${process.pid}`);
  await rm(scratch, { recursive: true, force: true });
  await mkdir(scratch, { recursive: true });
  try {
    const { name } = version;
    const observations = await observationsThen(project, name, manifest.observations_sha256, scratch);
    const folder = path.join(scratch, 'partitions', 'built');
    const again = await rebuildDataset(project, name, manifest, folder, observations);
    return await work({ folder, manifest: again, project, definitions, scratch });
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

/** Whether the rows of a version are what was registered. */
export async function storedRows(version: VersionRecord): Promise<StoredState> {
  const at = rowsAt(version);
  if (!rowsPresent(at)) return 'missing';
  return (await wholeFiles(at)) ? 'whole' : 'damaged';
}

/** Files that are missing or damaged, from a rebuild with the same bytes. */
async function putBack(version: VersionRecord, rebuilt: RowsAt): Promise<void> {
  const [from, to] = [path.dirname(rebuilt.folder), path.dirname(version.folder)];
  for (const { sha256, columns_sha256: columns } of rebuilt.manifest.partitions!) {
    const places = [
      ...(sha256 === null ? [] : [[rowsObject(from, sha256), rowsObject(to, sha256)] as const]),
      [columnsObject(from, columns), columnsObject(to, columns)] as const,
    ];
    for (const [made, kept] of places) {
      if (existsSync(kept) && (await sha256File(kept)) === (await sha256File(made))) continue;
      await rm(kept, { force: true });
      await putFile(kept, (file) => copyFile(made, file));
    }
  }
  await writeManifest(version.folder, manifestOfDataset(version));
}

/** Builds a version again and compares; `restore` puts what is missing or damaged back, where it has the same bytes. */
export async function reproduceDataset(
  project: Project,
  wanted: VersionName,
  options: { readonly restore?: boolean } = {},
): Promise<Reproduction> {
  const version = await findDatasetVersion(project, wanted);
  return withRebuilt(project, version, async (rebuilt) => {
    const manifest = manifestOfDataset(version);
    const { manifest: again, project: then } = rebuilt;
    const registered = rowsAt(version);
    const stored = await storedRows(version);
    const proof =
      manifest.format === 1
        ? await compareWithFile(then, manifest, rebuilt, path.join(rebuilt.scratch, 'data.parquet'))
        : {
            columns: Object.keys(manifest.column_sha256).filter(
              (name) => manifest.column_sha256[name] !== again.column_sha256[name],
            ),
            logical: again.logical_sha256 === manifest.logical_sha256,
            physical: sameBytes(manifest, again),
          };
    const { logical, physical } = proof;
    const same = logical && physical;
    const first =
      stored === 'missing' || (same && stored === 'whole')
        ? null
        : await firstDifference(
            then,
            { registered: someRows(registered, () => true)!, rebuilt: someRows(rebuilt, () => true)! },
            manifest.observation_key ?? again.observation_key!,
          ).catch(() => null);
    const blame = same
      ? { cause: stored === 'damaged' ? ('stored_copy' as const) : null, evidence: [] }
      : blamed(manifest, again, logical && first === null, await logFaults(then, manifest));
    const restored = options.restore === true && same && stored !== 'whole' && manifest.format !== 1;
    if (restored) await putBack(version, rebuilt);
    return {
      dataset: version.name,
      version: version.version,
      logical,
      physical,
      columns_that_differ: proof.columns,
      definitions: rebuilt.definitions,
      stored,
      restored,
      cause: blame.cause,
      evidence: blame.evidence,
      first_difference: first,
    };
  });
}

/** Whose fault a difference is. Definitions first, then what they read, then what computes. */
export function blamed(
  then: DatasetManifest,
  now: DatasetManifest,
  sameRows: boolean,
  logFaults: readonly string[],
): { readonly cause: DifferenceCause; readonly evidence: readonly string[] } {
  const code = then.fingerprint === now.fingerprint ? [] : [`dataset ${then.dataset} is defined differently`];
  for (const feature of then.features)
    if (now.features.find(({ name }) => name === feature.name)?.fingerprint !== feature.fingerprint)
      code.push(`feature ${feature.name} is defined differently`);
  const data = [...logFaults];
  if (then.observations_sha256 !== now.observations_sha256) data.push('the file of observations has changed');
  const engine: string[] = [];
  if (then.engine_version !== ENGINE_VERSION)
    engine.push(`fold version ${then.engine_version}, now ${ENGINE_VERSION}`);
  const { environment } = then;
  if (environment && environment.millrace !== VERSION)
    engine.push(`millrace ${environment.millrace}, now ${VERSION}`);
  if (environment && environment.engine !== now.environment!.engine)
    engine.push(`${environment.engine}, now ${now.environment!.engine}`);
  if (code.length > 0) return { cause: 'code', evidence: [...code, ...data, ...engine] };
  if (data.length > 0) return { cause: 'data', evidence: [...data, ...engine] };
  if (sameRows && engine.length === 0) engine.push('the same rows, in a file that was written differently');
  if (engine.length > 0) return { cause: 'engine', evidence: engine };
  return {
    cause: 'data',
    evidence: ['definitions and engine are the same: records of the log are not what they were'],
  };
}
