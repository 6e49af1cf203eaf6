/** Pushed records on their way to the log, and from there into the online store as soon as they are durable. */
import { MillraceError } from '../core/base/error.js';
import { nearest } from '../core/base/nearest.js';
import type { Source } from '../core/define/types.js';
import type { OnlineStore } from '../ports/online-store.js';
import type { IngestResult, LogRecord, RecordLog } from '../ports/record-log.js';
import { type Applier, applyToGroups } from './applier.js';
import { type BoundGroup, projectGroups } from './online-groups.js';
import type { Project } from './project.js';

/** Records kept in hand for the groups; beyond this they are read from the log. */
const MAX_QUEUED = 250_000;
/** Records applied in one transaction. The more, the fewer times an entity is read and written; reads wait for it. */
const MAX_APPLIED = 32_768;
/** Of other pushes: when more are durable but not yet applied, a push is answered without waiting for its own. */
const BUSY = 2_000;
/** So many, and pushes wait again, so that features stay near the log. */
const FAR_BEHIND = 100_000;

export interface Follower {
  /** Begins to apply. Before it, `apply` resolves at once: `materialize` is at work, or another process writes. */
  start(): void;
  /** Resolves when what was durable at the call is visible to reads. Calls while one runs share the next. */
  apply(source: Source): Promise<void>;
  /** Records of the source that are durable and in hand, not yet applied. */
  waiting(source: string): number;
  /** The same as `apply` for every source that features read. */
  applyAll(): Promise<void>;
  /** The last failure of an application by source, while it lasts. The log is complete: the next one catches up. */
  failures(): ReadonlyMap<string, Error>;
  close(): Promise<void>;
}

/** One source's records in hand: durable, in seq order, not yet applied to all of its groups. */
class Queue {
  private records: LogRecord[] = [];
  private highest = 0;

  get size(): number {
    return this.records.length;
  }
  add(records: readonly LogRecord[]): void {
    this.highest = Math.max(this.highest, records.at(-1)!.seq);
    const after = this.records.at(-1)?.seq;
    if (
      (after !== undefined && records[0]!.seq !== after + 1) ||
      this.records.length + records.length > MAX_QUEUED
    )
      this.records = [];
    for (const record of records) this.records.push(record);
  }
  /** What follows `seq` without a gap, or undefined when the log has to be read. */
  after(seq: number): readonly LogRecord[] | undefined {
    const first = this.records[0]?.seq;
    if (first === undefined || first > seq + 1 || this.records.at(-1)!.seq < this.highest) return undefined;
    return this.records.slice(seq + 1 - first);
  }
  forget(throughSeq: number): void {
    const first = this.records[0]?.seq;
    if (first !== undefined && first <= throughSeq) this.records = this.records.slice(throughSeq + 1 - first);
  }
}

async function catchUp(
  log: RecordLog,
  store: OnlineStore,
  applier: Applier,
  groups: readonly BoundGroup[],
  source: Source,
  queue: Queue,
  signal: AbortSignal,
): Promise<void> {
  const lowest = (): number =>
    groups.reduce((least, { online }) => Math.min(least, store.applied(online)?.seq ?? least), Infinity);
  const position = lowest();
  // No group is there yet: they are built by `materialize`.
  if (position === Infinity) return;
  const inHand = queue.after(position);
  if (inHand === undefined) {
    const { lastSeq } = await log.state(source);
    for await (const chunk of lastSeq > position ? log.read(source, position, lastSeq) : []) {
      await applier.apply(source, chunk);
      if (signal.aborted) break;
    }
  } else {
    for (let at = 0; at < inHand.length; at += MAX_APPLIED) {
      await applier.apply(source, inHand.slice(at, at + MAX_APPLIED));
      queue.forget(lowest());
    }
  }
  queue.forget(lowest());
}

export async function createFollower(project: Project, thread?: Applier): Promise<Follower> {
  const log = await project.log();
  const store = await project.online();
  const bySource = new Map<string, { source: Source; groups: BoundGroup[]; queue: Queue }>();
  for (const bound of projectGroups(project)) {
    const { source } = bound.group;
    const entry = bySource.get(source.name) ?? { source, groups: [], queue: new Queue() };
    entry.groups.push(bound);
    bySource.set(source.name, entry);
  }
  const applier: Applier = thread ?? {
    apply: (source, records) => applyToGroups(store, bySource.get(source.name)!.groups, records),
    close: async () => undefined,
  };
  const running = new Map<string, Promise<void>>();
  const next = new Map<string, Promise<void>>();
  const failures = new Map<string, Error>();
  let active = false;
  const stop = log.onAppend((source, records) => bySource.get(source)?.queue.add(records));

  const run = async (name: string): Promise<void> => {
    const { source, groups, queue } = bySource.get(name)!;
    try {
      await catchUp(log, store, applier, groups, source, queue, project.signal);
      failures.delete(name);
    } catch (error) {
      failures.set(name, error as Error);
      throw error;
    }
  };

  const apply = (source: Source): Promise<void> => {
    const { name } = source;
    if (!active || !bySource.has(name)) return Promise.resolve();
    const waiting = next.get(name);
    if (waiting) return waiting;
    const before = running.get(name);
    const started = (before ?? Promise.resolve())
      .catch(() => undefined)
      .then(() => {
        next.delete(name);
        running.set(name, started);
        return run(name);
      })
      .finally(() => {
        if (running.get(name) === started) running.delete(name);
      });
    next.set(name, started);
    return started;
  };

  return {
    start: () => {
      active = true;
    },
    apply,
    waiting: (name) => (active ? (bySource.get(name)?.queue.size ?? 0) : 0),
    applyAll: async () => {
      for (const { source } of bySource.values()) await apply(source);
    },
    failures: () => failures,
    close: async () => {
      stop();
      active = false;
      await Promise.allSettled([...running.values(), ...next.values()]);
      await applier.close();
    },
  };
}

export function findSource(project: Project, name: string): Source {
  const source = project.definitions.sources.get(name);
  if (source) return source;
  const near = nearest(name, project.definitions.sources.keys());
  throw new MillraceError('UNKNOWN_NAME', `there is no source named "${name}"`, {
    hint: near ? `Did you mean "${near}"?` : 'Define it under `sources:`.',
  });
}

/** How long an answer to a push waits to be visible: durable it is already. A client that reads next reads its own writes. */
const VISIBLE_WITHIN_MS = 5_000;

/** Pushes that are applied together wait together. */
const waits = new WeakMap<Promise<void>, Promise<void>>();

export function visible(applied: Promise<void>): Promise<void> {
  let wait = waits.get(applied);
  if (wait === undefined) {
    wait = new Promise((resolve) => {
      const timer = setTimeout(resolve, VISIBLE_WITHIN_MS);
      const end = (): void => {
        clearTimeout(timer);
        resolve();
      };
      applied.then(end, end);
    });
    waits.set(applied, wait);
  }
  return wait;
}

/**
 * Appends rows durably, then applies them. The answer comes when features show them, at the latest five seconds
 * after they are durable; while more than 2,000 records of other pushes wait to be applied, as soon as they are
 * durable, so that many are applied at once. BATCH_REFUSED when they break a batch rule; UNKNOWN_NAME; USAGE for a transform.
 */
export async function pushRecords(
  project: Project,
  follower: Follower,
  name: string,
  rows: readonly Readonly<Record<string, unknown>>[],
): Promise<IngestResult> {
  const source = findSource(project, name);
  if (source.read.kind === 'transform')
    throw new MillraceError(
      'USAGE',
      `source ${name} is computed from ${source.read.parents.join(', ')}; nothing can be sent to it`,
      { hint: 'Send records to its parents.' },
    );
  const result = await (await project.log()).ingestRows(source, rows, { now: project.now() });
  if (result.accepted === 0) return result;
  const applied = follower.apply(source);
  const waiting = follower.waiting(name);
  if (waiting - result.accepted > BUSY && waiting < FAR_BEHIND) applied.catch(() => undefined);
  else await visible(applied);
  return result;
}
