/** What is left of runs: whole ones without their proof, and those that were asked for under a key. */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { MillraceError } from '../../core/base/error.js';
import type { RunKey } from '../../ports/run-store.js';
import type { Project } from '../project.js';

/** Set while a whole run has yet to prove its values and write its report; a killed run leaves it set. */
export const OPEN_RUN = 'run:open';

export const reportFile = (project: Project): string => path.join(project.stateFolder, 'report.html');

/** Whether a whole run has something left to do when nothing is to be computed. */
export const isUnfinished = async (project: Project): Promise<boolean> =>
  (await project.registry()).getFact(OPEN_RUN) === true || !existsSync(reportFile(project));

/**
 * How what was asked for under a key has ended; undefined: it was not asked for yet, or its process left it.
 * @throws USAGE when the key stands for other assets.
 */
export async function endedUnder(
  project: Project,
  key: string,
  names: readonly string[],
): Promise<RunKey['ended'] | undefined> {
  const store = await project.runs();
  const known = store.key(key);
  if (known === undefined) return undefined;
  if (JSON.stringify(known.scope) !== JSON.stringify([...new Set(names)].sort()))
    throw new MillraceError(
      'USAGE',
      `the key "${key}" stands for ${known.scope.length === 0 ? 'a run of everything' : `a run of ${known.scope.join(', ')}`}`,
      { hint: 'Give another key for other assets.' },
    );
  if (known.ended !== null || known.run === null) return known.ended ?? undefined;
  // Its process ended between the run and the note of its ending.
  const { status, summary } = store.detail(known.run, project.now())!;
  if (status === 'done') return { exit: 0, result: { run: known.run, ...summary } };
  if (status === 'failed') return { exit: 1, result: { run: known.run, ...summary } };
  return status === 'cancelled' ? { exit: 130, result: { run: known.run, ...summary } } : undefined;
}
