/**
 * The thread that applies pushed records to the online store, so that reading requests and applying use two cores.
 * LMDB lets threads share a database; only positions and records cross, in columns.
 */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { invariant, MillraceError } from '../core/base/error.js';
import { type Applier, applyToGroups } from '../services/applier.js';
import { projectGroups } from '../services/online-groups.js';
import type { Project } from '../services/project.js';
import { buffersOf, type RecordColumns, toColumns } from '../services/record-columns.js';
import { startThread } from '../thread.js';
import { createTurn, endTurns, type Turn } from './turn.js';

export interface ApplyThreadData {
  readonly folder: string;
  readonly turn: Turn;
}

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

export interface ApplyThreadOptions {
  /** What the operator should know: the thread has ended and what is done about it. */
  onNotice?(text: string): void;
  /** The thread has stood still in its work for so long that only a new process helps. */
  onFatal?(error: MillraceError): void;
}

const WORKER = new URL('./apply-worker.js', import.meta.url);
/** One job takes a second at most; so many looks without an answer, and it is not coming. */
const LOOK_MS = 10_000;
const LOOKS = 12;
/** How long the end of the process waits for the thread to leave its work. */
const LEAVE_MS = 10_000;

interface Thread {
  readonly applier: Applier;
  readonly groups: readonly string[];
  /** Jobs that were answered. */
  readonly done: () => number;
  readonly gone: () => Error | undefined;
}

export const groupsOf = (project: Project): readonly string[] =>
  projectGroups(project).map(({ online }) => online.fingerprint);

async function openThread(project: Project, options: ApplyThreadOptions): Promise<Thread> {
  const store = await project.online();
  const turn = createTurn();
  const workerData: ApplyThreadData = { folder: project.folder, turn };
  const worker = startThread(WORKER, { workerData });
  const waiting = new Map<number, { resolve(): void; reject(error: Error): void }>();
  let gone: Error | undefined;
  let groups: readonly string[] = [];
  let jobs = 0;
  let done = 0;
  let looks = 0;
  const looking = setInterval(() => {
    if (waiting.size === 0) looks = 0;
    else if (++looks === LOOKS)
      options.onFatal?.(
        new MillraceError('INTERNAL', 'the thread of the online store does not come out of its work', {
          hint: 'Start the server again: the log is complete, and what was not applied is applied from it.',
        }),
      );
  }, LOOK_MS);
  looking.unref();
  /** While something is waited for, the thread keeps the process alive. */
  const answered = (id: number): Promise<void> =>
    new Promise((resolve, reject) => {
      if (gone) {
        reject(gone);
        return;
      }
      worker.ref();
      waiting.set(id, { resolve, reject });
    });
  const beforeExit = (): void => {
    if (!endTurns(turn, LEAVE_MS)) process.kill(process.pid, 'SIGKILL');
  };
  process.on('exit', beforeExit);
  worker.on('message', (answer: ApplyAnswer) => {
    if (answer.groups) groups = answer.groups;
    else done++;
    looks = 0;
    const job = waiting.get(answer.id);
    waiting.delete(answer.id);
    if (waiting.size === 0) worker.unref();
    store.refresh();
    if (answer.failure === undefined) job?.resolve();
    else job?.reject(new Error(answer.failure));
  });
  const end = (error: Error): void => {
    if (gone) return;
    gone = error;
    clearInterval(looking);
    process.off('exit', beforeExit);
    for (const { reject } of waiting.values()) reject(gone);
    waiting.clear();
  };
  const ended = new Promise<void>((resolve) => {
    worker.on('exit', (status) => {
      end(new Error(`it ended with status ${status}`));
      resolve();
    });
  });
  worker.on('error', end);
  await answered(0);
  return {
    groups,
    done: () => done,
    gone: () => gone,
    applier: {
      apply: (source, records) => {
        const id = ++jobs;
        const columns = toColumns(
          records,
          source.fields.map((field) => field.name),
        );
        const applied = answered(id);
        const job: ApplyJob = { id, source: source.name, records: columns };
        if (!gone) worker.postMessage(job, buffersOf(columns));
        return applied;
      },
      close: async () => {
        invariant(waiting.size === 0, 'the thread of the online store is closed at work');
        if (gone) return;
        worker.ref();
        worker.postMessage(null);
        await ended;
      },
    },
  };
}

/**
 * Undefined where there is no compiled worker (run from sources), and when the definitions were edited while the thread
 * read them: then the follower applies by itself. A thread that ends is replaced; where that does not help, this
 * thread applies. What was under way is rejected and stays in the log for the next call.
 */
export async function startApplyThread(
  project: Project,
  options: ApplyThreadOptions = {},
): Promise<Applier | undefined> {
  if (!existsSync(fileURLToPath(WORKER))) return undefined;
  const known = groupsOf(project).join();
  let thread: Thread | undefined = await openThread(project, options);
  if (thread.groups.join() !== known) {
    await thread.applier.close();
    return undefined;
  }
  const applyHere: Applier['apply'] = async (source, records) =>
    applyToGroups(
      await project.online(),
      projectGroups(project).filter(({ group }) => group.source.name === source.name),
      records,
    );
  /** Another thread in place of one that has ended; none when that one had not answered a single job. */
  const replace = async (before: Thread): Promise<Thread | undefined> => {
    const reason = `the thread of the online store has ended: ${before.gone()!.message}`;
    try {
      if (before.done() === 0) throw new Error('it had not applied anything');
      const next = await openThread(project, options);
      if (next.groups.join() === known) {
        options.onNotice?.(`${reason}; another one has taken its place`);
        return next;
      }
      await next.applier.close();
      throw new Error('the definitions were edited meanwhile');
    } catch (error) {
      options.onNotice?.(
        `${reason}; the server applies without one, which is slower (${(error as Error).message})`,
      );
      return undefined;
    }
  };
  let replacing: Promise<void> | undefined;
  return {
    apply: async (source, records) => {
      const before = thread;
      if (before?.gone()) {
        replacing ??= replace(before).then((next) => {
          thread = next;
          replacing = undefined;
        });
        await replacing;
      }
      return thread ? thread.applier.apply(source, records) : applyHere(source, records);
    },
    close: async () => thread?.applier.close(),
  };
}
