/** Composition root: settings → definitions + ports. The only file that names adapters; each is imported when first used. */
import { mkdirSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { LakeLog } from './adapters/lake/record-log.js';
import type { Diagnostic } from './core/base/error.js';
import type { Definitions } from './core/define/types.js';
import type { FileInspector } from './ports/file-inspector.js';
import type { LineageSink } from './ports/lineage-sink.js';
import type { OnnxRuntime, ProcessRunner } from './ports/model-runtime.js';
import type { OfflineStore } from './ports/offline-store.js';
import type { OnlineStore } from './ports/online-store.js';
import type { PredictionLog } from './ports/prediction-log.js';
import type { Registry } from './ports/registry.js';
import type { RunStore } from './ports/run-store.js';
import type { ScheduleStore } from './ports/schedule-store.js';
import type { DescribeSql, SqlParser } from './ports/sql-parser.js';
import type { TableReader } from './ports/table-reader.js';
import { loadProject, loadValidProject } from './services/load-project.js';
import type { KeptModel, ProgressEvent, Project } from './services/project.js';

/** How a project is opened; every key may be absent. */
export interface OpenOptions {
  readonly command?: string;
  /** Datasets and models are built although sources do not have what they promise. */
  readonly ignoreAvailability?: boolean;
  readonly signal?: AbortSignal;
  progress?(event: ProgressEvent): void;
  /** What goes wrong beside the work. */
  warn?(message: string): void;
  /** Warnings of the definitions. */
  readonly onDiagnostic?: (diagnostic: Diagnostic) => void;
  /** Definitions that are known already; those on disk are not read. */
  readonly definitions?: Definitions;
  /** For what is said of runs alone: definitions with errors are no obstacle. */
  readonly evenInvalid?: boolean;
  /** In a thread beside one that has the project open. */
  readonly beside?: boolean;
  /** Microseconds; the wall clock when absent. */
  readonly now?: () => number;
}

export type OpenedProject = Project & { log(): Promise<LakeLog> };

const lazy = <T>(make: () => Promise<T>): { get(): Promise<T>; opened(): Promise<T> | undefined } => {
  let value: Promise<T> | undefined;
  return { get: () => (value ??= make()), opened: () => value };
};

export async function openProject(folder: string, options: OpenOptions = {}): Promise<OpenedProject> {
  const { definitions, root, diagnostics, texts, digest } = options.definitions
    ? {
        definitions: options.definitions,
        root: path.resolve(folder),
        diagnostics: [],
        texts: undefined,
        digest: undefined,
      }
    : await (options.evenInvalid ? loadProject : loadValidProject)(folder);
  for (const diagnostic of diagnostics) options.onDiagnostic?.(diagnostic);
  const { settings } = definitions;
  const stateFolder = path.join(root, '.millrace');
  const temporaryDirectory = path.join(stateFolder, 'tmp');
  const command = options.command ?? 'millrace';

  const database = lazy(async () => {
    mkdirSync(stateFolder, { recursive: true });
    const { openDatabase } = await import('./adapters/sqlite/database.js');
    const { LOG_MIGRATIONS } = await import('./adapters/sqlite/log-tables.js');
    return openDatabase(settings.registry, LOG_MIGRATIONS);
  });
  const duckdb = lazy(async () => {
    mkdirSync(temporaryDirectory, { recursive: true });
    const { openDuckDb } = await import('./adapters/duckdb/connection.js');
    return openDuckDb({
      temporaryDirectory,
      memoryLimitBytes: settings.memoryLimitBytes,
      threads: settings.threads,
    });
  });
  const log = lazy(async () => {
    const { openRecordLog } = await import('./adapters/lake/record-log.js');
    const { lazyDuckDb } = await import('./adapters/duckdb/lazy.js');
    return openRecordLog({
      db: lazyDuckDb(duckdb.get),
      registry: await database.get(),
      lake: settings.lake,
      stateFolder,
      projectFolder: root,
      sources: definitions.sources,
      command,
      memoryLimitBytes: settings.memoryLimitBytes,
    });
  });
  const offline = lazy<OfflineStore>(async () => {
    const { createOfflineStore } = await import('./adapters/duckdb/offline-store.js');
    return createOfflineStore(await duckdb.get(), await log.get(), {
      threads: settings.threads,
      memoryBytes: settings.memoryLimitBytes,
      temporaryDirectory,
    });
  });
  const engine = lazy(async () => (await import('./adapters/duckdb/version.js')).engineVersion());
  const online = lazy<OnlineStore>(async () => {
    const { openLmdbOnlineStore } = await import('./adapters/lmdb/online-store.js');
    const { lockHolder } = await import('./adapters/files/lock.js');
    // Beside a living writer (a server) this process only reads.
    const writer = lockHolder(path.join(stateFolder, 'lock'));
    const store = openLmdbOnlineStore(settings.online, {
      readOnly: writer !== undefined && writer.pid !== process.pid,
      beside: options.beside === true,
    });
    const { keptModels } = await import('./services/feature-versions.js');
    kept = await keptModels(project);
    return store;
  });
  const registry = lazy<Registry>(async () => {
    const { createRegistry } = await import('./adapters/sqlite/registry.js');
    return createRegistry(await database.get(), { root });
  });
  const runs = lazy<RunStore>(async () => {
    const { createRunStore } = await import('./adapters/sqlite/run-store.js');
    return createRunStore(await database.get(), root);
  });
  const schedules = lazy<ScheduleStore>(async () => {
    const { createScheduleStore } = await import('./adapters/sqlite/schedule-store.js');
    return createScheduleStore(await database.get(), path.join(stateFolder, 'scheduler.lock'));
  });
  const onnx = lazy<OnnxRuntime>(async () => {
    const { createOnnxRuntime } = await import('./adapters/onnx/runtime.js');
    return createOnnxRuntime();
  });
  const processes = lazy<ProcessRunner>(async () => {
    const { createProcessRunner } = await import('./adapters/process-trainer/runner.js');
    return createProcessRunner();
  });
  const sqlParser = lazy<SqlParser>(async () => {
    const { createSqlParser } = await import('./adapters/sql-parser/polyglot.js');
    return createSqlParser();
  });
  const lineageSink = settings.lineage ? await openSink(settings.lineage.openlineage, options) : null;
  let kept: readonly KeptModel[] = [];
  let predictions: PredictionLog | undefined;
  const { openPredictionLog } = await import('./adapters/files/prediction-log.js');
  const lockFile = path.join(stateFolder, 'lock');
  let lock: { release(): void } | undefined;
  let locks: typeof import('./adapters/files/lock.js') | undefined;
  let closed = false;

  const project: OpenedProject = {
    folder: root,
    stateFolder,
    definitions,
    ...(texts ? { texts } : {}),
    ...(digest === undefined ? {} : { digest }),
    log: log.get,
    offline: offline.get,
    engine: engine.get,
    online: online.get,
    keptModels: () => kept,
    registry: registry.get,
    runs: runs.get,
    schedules: schedules.get,
    onnx: onnx.get,
    processes: processes.get,
    sqlParser: sqlParser.get,
    puller: async ({ read }) => {
      if (read.kind === 'postgres') {
        const { createPostgresPuller } = await import('./adapters/postgres/puller.js');
        return createPostgresPuller(process.env);
      }
      const { createSqlPuller } = await import('./adapters/duckdb/puller.js');
      return createSqlPuller(await duckdb.get(), root);
    },
    lineageSink,
    predictions: () => (predictions ??= openPredictionLog(path.join(stateFolder, 'predictions'))),
    lockForWriting: async (purpose, manner = 'asks') => {
      if (lock) return;
      mkdirSync(stateFolder, { recursive: true });
      locks = await import('./adapters/files/lock.js');
      if (manner !== 'asks')
        lock = locks.acquireLock(lockFile, purpose, { givesWay: manner === 'gives_way' });
      else
        lock = await locks.askForLock(lockFile, purpose, {
          onWait: ({ pid, command }) =>
            options.progress?.({ step: 'lock', message: `process ${pid} (${command}) gives way` }),
          ...(options.signal ? { signal: options.signal } : {}),
        });
    },
    lockAsked: () => locks?.lockAsker(lockFile) !== undefined,
    now: options.now ?? (() => Date.now() * 1000),
    ignoreAvailability: options.ignoreAvailability ?? false,
    progress: (event) => options.progress?.(event),
    signal: options.signal ?? new AbortController().signal,
    close: async () => {
      if (closed) return;
      closed = true;
      await lineageSink?.close();
      (await processes.opened())?.close();
      await predictions?.close();
      await (await online.opened())?.close();
      await (await log.opened())?.close();
      (await duckdb.opened())?.close();
      (await database.opened())?.close();
      lock?.release();
      lock = undefined;
    },
  };
  return project;
}

async function openSink(target: string, options: OpenOptions): Promise<LineageSink> {
  const { openLineageSink } = await import('./adapters/openlineage/transports.js');
  return openLineageSink(target, process.env['MILLRACE_OPENLINEAGE_API_KEY'], {
    warn: options.warn ?? ((message) => process.emitWarning(message)),
  });
}

/** What reads SQL outside of a project: the parser, and the engine over tables without records. */
export async function withSqlReader<T>(
  work: (parser: SqlParser, describe: DescribeSql) => Promise<T>,
): Promise<T> {
  const { createSqlParser } = await import('./adapters/sql-parser/polyglot.js');
  const { openDuckDb } = await import('./adapters/duckdb/connection.js');
  const { describeSql } = await import('./adapters/duckdb/transform-sql.js');
  const folder = await mkdtemp(path.join(tmpdir(), 'millrace-'));
  const db = await openDuckDb({ temporaryDirectory: folder });
  try {
    return await work(await createSqlParser(), (sql, parents) => describeSql(db, sql, parents));
  } finally {
    db.close();
    await rm(folder, { recursive: true, force: true });
  }
}

/** Reads any file by its content, outside of a project. */
export async function withTableReader<T>(work: (reader: TableReader) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(path.join(tmpdir(), 'millrace-'));
  const { openDuckDb } = await import('./adapters/duckdb/connection.js');
  const { createTableReader } = await import('./adapters/duckdb/table-reader.js');
  const reader = createTableReader(await openDuckDb({ temporaryDirectory: folder }));
  try {
    return await work(reader);
  } finally {
    await reader.close();
    await rm(folder, { recursive: true, force: true });
  }
}

/** Looks at files as ingest would read them, outside of a project. */
export async function withFileInspector<T>(work: (inspector: FileInspector) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(path.join(tmpdir(), 'millrace-'));
  const { openDuckDb } = await import('./adapters/duckdb/connection.js');
  const { createFileInspector } = await import('./adapters/lake/file-inspector.js');
  const inspector = createFileInspector(await openDuckDb({ temporaryDirectory: folder }), folder);
  try {
    return await work(inspector);
  } finally {
    await inspector.close();
    await rm(folder, { recursive: true, force: true });
  }
}
