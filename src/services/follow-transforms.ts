/** A server's transforms follow their parents: pushed records reach computed sources without anyone asking. */
import type { Source } from '../core/define/types.js';
import type { Project } from './project.js';
import { runTransform } from './transform.js';

export interface TransformFollower {
  /** Records of this source were appended. */
  notify(source: string): void;
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
  return {
    notify: (source) => {
      if (closed || transformsOf(project, source).length === 0) return;
      due.add(source);
      schedule();
    },
    failures: () => failures,
    close: async () => {
      closed = true;
      clearTimeout(timer);
      await working;
    },
  };
}
