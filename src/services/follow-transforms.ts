/** A server's transforms follow their parents: pushed records reach computed sources without anyone asking. */
import type { Source } from '../core/define/types.js';
import type { IngestResult, LogRecord } from '../ports/record-log.js';
import { visible } from './follow.js';
import type { Project } from './project.js';
import { rowReaders } from './read-rows.js';
import { runTransform } from './transform.js';

export interface TransformFollower {
  /**
   * A push to this source was appended. New records pass at once through the transforms that TypeScript reads;
   * resolves when features over them show it, at the latest five seconds after they are durable. All
   * transforms over the source come up to date by SQL at the next turn.
   */
  follow(source: string, result: Pick<IngestResult, 'accepted' | 'corrections'>): Promise<void>;
  /** The last failure by transform, while it lasts. */
  failures(): ReadonlyMap<string, Error>;
  close(): Promise<void>;
}

/** Transforms computed from `source`, directly or not, parents before children. */
export function transformsOf(project: Project, source: string): readonly Source[] {
  const found: Source[] = [];
  const reached = new Set([source]);
  // Definitions have no cycles, so as many rounds as there are sources reach everything.
  for (let more = true; more; ) {
    more = false;
    for (const candidate of project.definitions.sources.values()) {
      if (reached.has(candidate.name) || candidate.read.kind !== 'transform') continue;
      if (!candidate.read.parents.some((parent) => reached.has(parent))) continue;
      reached.add(candidate.name);
      found.push(candidate);
      more = true;
    }
  }
  const depth = (name: string): number => {
    const read = project.definitions.sources.get(name)?.read;
    return read?.kind === 'transform' ? 1 + Math.max(0, ...read.parents.map(depth)) : 0;
  };
  return found.sort((a, b) => depth(a.name) - depth(b.name));
}

/**
 * Recomputes after a pause, one at a time: a burst of pushes costs one recomputation. Only rows that differ are
 * appended; `applied` brings them into the online store.
 */
export function createTransformFollower(
  project: Project,
  applied: (source: Source) => Promise<void>,
  pauseMs = 250,
): TransformFollower {
  const readers = rowReaders(project);
  // A reader that cannot be made is made again, or waits for SQL.
  void readers.warm().catch(() => undefined);
  /** Pushed records of sources that a reader reads, until their push is followed. */
  const pushed = new Map<string, LogRecord[]>();
  const listening = project.log().then((log) =>
    log.onAppend((name, records) => {
      if (closed || !readers.reads(name)) return;
      const held = pushed.get(name) ?? [];
      for (const record of records) held.push(record);
      pushed.set(name, held);
    }),
  );
  const due = new Set<string>();
  const failures = new Map<string, Error>();
  let timer: NodeJS.Timeout | undefined;
  let working: Promise<void> | undefined;
  let closed = false;

  const work = async (): Promise<void> => {
    while (due.size > 0 && !closed) {
      const order = new Map<string, Source>();
      for (const name of due)
        for (const transform of transformsOf(project, name)) order.set(transform.name, transform);
      due.clear();
      for (const transform of order.values()) {
        if (closed) return;
        try {
          await runTransform(project, transform.name);
          await applied(transform);
          failures.delete(transform.name);
        } catch (error) {
          failures.set(transform.name, error as Error);
        }
      }
    }
  };
  const start = (): void => {
    timer = undefined;
    working ??= work().finally(() => {
      working = undefined;
      if (due.size > 0 && !closed) schedule();
    });
  };
  const schedule = (): void => {
    timer ??= setTimeout(start, pauseMs);
  };
  /** What a reader makes of new records is what SQL will say; corrections and deletions wait for SQL. */
  const readPushed = async (name: string, corrections: number): Promise<void> => {
    const records = pushed.get(name) ?? [];
    pushed.delete(name);
    if (corrections > 0 || records.length === 0) return;
    const log = await project.log();
    for (const { transform, rows } of await readers.read(name, records)) {
      const result = await log.ingestRows(transform, rows, { now: project.now() });
      if (result.accepted === 0) continue;
      await visible(applied(transform));
      await readPushed(transform.name, result.corrections);
    }
  };
  return {
    follow: async (source, { accepted, corrections }) => {
      if (closed || accepted === 0 || transformsOf(project, source).length === 0) return;
      try {
        await readPushed(source, corrections);
      } catch (error) {
        // The records are durable, and SQL reads them in its turn.
        project.progress({ step: 'transform', message: `${source}: ${(error as Error).message}` });
      } finally {
        due.add(source);
        if (!closed) schedule();
      }
    },
    failures: () => failures,
    close: async () => {
      closed = true;
      clearTimeout(timer);
      (await listening)();
      await working;
    },
  };
}
