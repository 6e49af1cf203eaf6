/** What sources promise over time, and whether what depends on them may go on. */
import { MillraceError } from '../core/base/error.js';
import { sourceAncestors } from '../core/dataset/leakage.js';
import type { Source } from '../core/define/types.js';
import { type Arrival, type LevelStatus, serviceLevelStatus } from '../core/quality/index.js';
import type { Project } from './project.js';

/** Every level that a source promises, now; none: no levels. */
export async function sourceLevels(project: Project, source: Source): Promise<readonly LevelStatus[]> {
  if (!source.serviceLevels) return [];
  const log = await project.log();
  const [state, batches] = [await log.state(source), await log.batches(source.name)];
  const arrivals = batches.flatMap(({ status, at, rows, quarantined, dropped, notes }): Arrival[] =>
    status === 'committed'
      ? [{ at, rows, failed: quarantined + dropped, known: notes.facts?.known ?? null }]
      : [],
  );
  return serviceLevelStatus(source.serviceLevels, arrivals, state.maxAvailableAt, project.now());
}

export interface Unavailable {
  readonly source: string;
  readonly level: string;
  readonly reason: string;
}

/** What the named sources, and those that they are computed from, lack now. */
async function unavailableData(project: Project, names: Iterable<string>): Promise<readonly Unavailable[]> {
  const { sources } = project.definitions;
  const all = new Set([...names].flatMap((name) => [name, ...sourceAncestors(project.definitions, name)]));
  const out: Unavailable[] = [];
  for (const name of [...all].sort()) {
    const source = sources.get(name);
    if (!source) continue;
    for (const { level, available, reason } of await sourceLevels(project, source))
      if (available === false) out.push({ source: name, level, reason: reason! });
  }
  return out;
}

/** Gives what is gone past. @throws DATA_NOT_AVAILABLE unless the project is open to ignore it. */
export async function awaitAvailability(
  project: Project,
  what: string,
  names: Iterable<string>,
): Promise<readonly Unavailable[]> {
  const missing = await unavailableData(project, names);
  if (missing.length > 0 && !project.ignoreAvailability)
    throw new MillraceError(
      'DATA_NOT_AVAILABLE',
      `${what} waits: ${missing.map(({ source, level, reason }) => `${source} (${level}): ${reason}`).join('; ')}`,
      { data: { unavailable: missing } },
    );
  return missing;
}
