/**
 * The thread that applies pushed records to the online store, so that reading requests and applying use two cores.
 * LMDB lets threads share a database; only positions and records cross, in columns.
 */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { invariant } from '../core/base/error.js';
import type { Applier } from '../services/applier.js';
import { projectGroups } from '../services/materialize.js';
import type { Project } from '../services/project.js';
import { buffersOf, type RecordColumns, toColumns } from '../services/record-columns.js';
import { startThread } from '../thread.js';

export interface ApplyJob {
  readonly id: number;
  readonly source: string;
  readonly records: RecordColumns;
}

export interface ApplyAnswer {
  readonly id: number;
  readonly failure?: string;
  /** In the first answer, whose id is 0: fingerprints of the groups that the thread knows. */
  readonly groups?: readonly string[];
}

const WORKER = new URL('./apply-worker.js', import.meta.url);

/**
 * Undefined where there is no compiled worker (run from sources), and when the definitions were edited while the thread
 * read them: then the follower applies by itself.
 */
export async function startApplyThread(project: Project): Promise<Applier | undefined> {
  if (!existsSync(fileURLToPath(WORKER))) return undefined;
  const store = await project.online();
  const worker = startThread(WORKER, { workerData: { folder: project.folder } });
  const waiting = new Map<number, { resolve(): void; reject(error: Error): void }>();
  let gone: Error | undefined;
  let known: readonly string[] = [];
  let jobs = 0;
  const answered = (id: number): Promise<void> =>
    new Promise((resolve, reject) => {
      if (gone) reject(gone);
      else waiting.set(id, { resolve, reject });
    });
  worker.on('message', ({ id, failure, groups }: ApplyAnswer) => {
    if (groups) known = groups;
    const job = waiting.get(id);
    waiting.delete(id);
    store.refresh();
    if (failure === undefined) job?.resolve();
    else job?.reject(new Error(failure));
  });
  const end = (error: Error): void => {
    gone ??= error;
    for (const { reject } of waiting.values()) reject(gone);
    waiting.clear();
  };
  worker.on('error', end);
  worker.on('exit', (status) => end(new Error(`the thread of the online store ended with status ${status}`)));
  await answered(0);
  worker.unref();
  const close = async (): Promise<void> => {
    invariant(waiting.size === 0, 'the thread of the online store is closed at work');
    if (gone) return;
    const ended = new Promise<void>((resolve) => {
      worker.once('exit', () => resolve());
    });
    worker.ref();
    worker.postMessage(null);
    await ended;
  };
  if (known.join() !== groupsOf(project).join()) {
    await close();
    return undefined;
  }
  return {
    apply: (source, records) => {
      const id = ++jobs;
      const columns = toColumns(
        records,
        source.fields.map((field) => field.name),
      );
      const done = answered(id);
      const job: ApplyJob = { id, source: source.name, records: columns };
      worker.postMessage(job, buffersOf(columns));
      return done;
    },
    close,
  };
}

export const groupsOf = (project: Project): readonly string[] =>
  projectGroups(project).map(({ online }) => online.fingerprint);
