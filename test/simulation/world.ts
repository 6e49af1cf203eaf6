/** One project over real files, a real log and a real engine, whose process may die at any write. */
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type DuckDb, openDuckDb } from '../../src/adapters/duckdb/connection.js';
import { createOfflineStore } from '../../src/adapters/duckdb/offline-store.js';
import { openRecordLog } from '../../src/adapters/lake/record-log.js';
import { openLmdbOnlineStore } from '../../src/adapters/lmdb/online-store.js';
import { memoryByteEngine, onlineStoreOver } from '../../src/adapters/memory/online-store.js';
import { createSqlParser } from '../../src/adapters/sql-parser/polyglot.js';
import { type Database, openDatabase } from '../../src/adapters/sqlite/database.js';
import { LOG_MIGRATIONS } from '../../src/adapters/sqlite/log-tables.js';
import { createRegistry } from '../../src/adapters/sqlite/registry.js';
import { createRunStore } from '../../src/adapters/sqlite/run-store.js';
import { categoryText } from '../../src/core/algebra/compare.js';
import type { Definitions, Feature, Source } from '../../src/core/define/types.js';
import { finishBase } from '../../src/core/engine/feature-plan.js';
import { type ByteEngine, draftOf } from '../../src/core/engine/online/index.js';
import { sweepFeature, sweepLookup } from '../../src/core/engine/sweep-plan.js';
import { compileJsRow, type Expression } from '../../src/core/expression/index.js';
import type { Value } from '../../src/core/schema/types.js';
import type { OnlineStore } from '../../src/ports/online-store.js';
import type { PredictionLog } from '../../src/ports/prediction-log.js';
import { createFollower, type Follower } from '../../src/services/follow.js';
import { loadValidProject } from '../../src/services/load-project.js';
import { materialize } from '../../src/services/materialize.js';
import { projectGroups } from '../../src/services/online-groups.js';
import type { Project } from '../../src/services/project.js';
import { type OracleAnswer, oracleFeature, oracleLookup, type RawVersion } from '../../src/testing/oracle.js';
import { groupBytes } from '../online/stored-bytes.js';
import { faults, faultyDatabase, faultyEngine } from './faults.js';

const base = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();

export const newFolder = (): string => mkdtempSync(join(base, 'millrace-simulation-'));

export interface Shared {
  readonly db: DuckDb;
  readonly versions: readonly Definitions[];
  close(): void;
}

/** What costs time to open and holds nothing of a project: once for all seeds. */
export async function openShared(versions: readonly string[]): Promise<Shared> {
  const folder = newFolder();
  const loaded: Definitions[] = [];
  for (const [i, text] of versions.entries()) {
    const at = join(folder, String(i));
    mkdirSync(join(at, 'definitions'), { recursive: true });
    writeFileSync(join(at, 'definitions', 'all.yaml'), text);
    loaded.push((await loadValidProject(at)).definitions);
  }
  const db = await openDuckDb({
    temporaryDirectory: join(folder, 'tmp'),
    threads: 1,
    memoryLimitBytes: 2 ** 30,
  });
  return {
    db,
    versions: loaded,
    close: () => {
      db.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** What outlives a process: its folder, and the online store where that is kept in memory. */
export interface Place {
  readonly folder: string;
  readonly lmdb: boolean;
  engine: ByteEngine;
  boot: number;
}

export interface Process {
  readonly project: Project;
  readonly store: OnlineStore;
  readonly follower: Follower;
  close(): Promise<void>;
  /** Everything that is open is let go as it is. */
  abandon(): Promise<void>;
}

let parser: ReturnType<typeof createSqlParser> | undefined;

export async function start(
  shared: Shared,
  place: Place,
  definitions: Definitions,
  now: () => number,
): Promise<Process> {
  const state = join(place.folder, '.millrace');
  let database: Database | undefined;
  const undo: (() => unknown)[] = [];
  const closeAll = async (): Promise<void> => {
    for (const step of undo.splice(0).reverse()) await step();
  };
  const release = async (): Promise<void> => {
    for (const step of undo.splice(0).reverse()) {
      try {
        await step();
      } catch {
        // What a dead process did not get to do.
      }
    }
  };
  try {
    database = openDatabase(join(state, 'registry.db'), LOG_MIGRATIONS);
    const opened = database;
    undo.push(() => opened.close());
    const registry = faultyDatabase(database);
    const log = await openRecordLog({
      db: shared.db,
      registry,
      lake: join(state, 'lake'),
      stateFolder: state,
      projectFolder: place.folder,
      sources: definitions.sources,
      command: 'simulation',
    });
    undo.push(() => log.close());
    mkdirSync(join(state, 'tmp'), { recursive: true });
    const offline = createOfflineStore(shared.db, log, {
      threads: 1,
      memoryBytes: 2 ** 30,
      temporaryDirectory: join(state, 'tmp'),
    });
    const store = place.lmdb
      ? openLmdbOnlineStore(join(state, 'online'), { bootId: String(place.boot) })
      : onlineStoreOver(faultyEngine(place.engine), {
          condition: 'ready',
          refresh: () => undefined,
          sync: async () => undefined,
          close: async () => undefined,
        });
    undo.push(() => store.close());
    const facts = createRegistry(registry);
    // What nothing here asks for is not there.
    const project = {
      folder: place.folder,
      stateFolder: state,
      definitions,
      log: async () => log,
      offline: async () => offline,
      online: async () => store,
      registry: async () => facts,
      runs: async () => createRunStore(registry),
      sqlParser: () => (parser ??= createSqlParser()),
      lineageSink: null,
      predictions: (): PredictionLog => {
        throw new Error('nothing is predicted here');
      },
      lockForWriting: async () => undefined,
      lockAsked: () => false,
      now,
      progress: () => undefined,
      signal: new AbortController().signal,
      close: closeAll,
    } satisfies Partial<Project> as unknown as Project;
    await materialize(project);
    const follower = await createFollower(project);
    undo.push(() => follower.close());
    follower.start();
    await follower.applyAll();
    return { project, store, follower, close: closeAll, abandon: release };
  } catch (error) {
    await release();
    throw error;
  }
}

/** The next process finds what the last one left, its lock file among it; without power, less. */
export function mourn(place: Place, powerLoss: ((bytes: number) => number) | null): void {
  faults.revive(powerLoss);
  const lock = join(place.folder, '.millrace', 'lock');
  if (existsSync(lock)) writeFileSync(lock, JSON.stringify({ pid: 2 ** 30, started: '', command: 'dead' }));
  if (powerLoss === null) return;
  place.boot++;
  if (!place.lmdb) place.engine = memoryByteEngine();
}

const compiled = new Map<string, (row: Readonly<Record<string, Value>>) => Value>();
const predicate = (expression: Expression, version: RawVersion): boolean | null => {
  let run = compiled.get(expression.canonical);
  if (!run) {
    run = compileJsRow(expression);
    compiled.set(expression.canonical, run);
  }
  return run(version.fields) as boolean | null;
};

/** What docs/reference/semantics.md says of a feature over a log, its default applied. */
export function answer(
  feature: Feature,
  source: Source,
  log: readonly RawVersion[],
  entity: string | null,
  at: number,
): OracleAnswer {
  const lookup = sweepLookup(feature, source);
  if (lookup) {
    const { value, status } = oracleLookup(log, { entity, at }, lookup);
    return finishBase(feature, lookup.outputType, value, status);
  }
  const swept = sweepFeature(feature, source)!;
  const { value, status } = oracleFeature(log, { entity, at }, swept, {
    predicate,
    categoryText,
    groupType: (field) => source.fields.find((item) => item.name === field)!.type,
  });
  return finishBase(feature, swept.outputType, value, status);
}

/** The bytes of one clean application of the whole log, group by group. */
export async function cleanBytes(project: Project): Promise<Map<string, readonly string[]>> {
  const engine = memoryByteEngine();
  const store = onlineStoreOver(engine, {
    condition: 'ready',
    refresh: () => undefined,
    sync: async () => undefined,
    close: async () => undefined,
  });
  const groups = projectGroups(project);
  for (const { online } of groups) {
    await store.drop(draftOf(online).fingerprint);
  }
  await materialize({ ...project, online: async () => store, progress: () => undefined });
  return new Map(groups.map(({ group, online }) => [group.id, groupBytes(engine, online)]));
}
