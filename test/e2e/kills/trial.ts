/** One trial: a phase of a project's life whose process is killed, performed again, and compared with a calm one. */
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import type { Finished } from '../support.js';
import { copyProject, holdings, PHASES, type Phase, perform } from './life.js';

export interface Calm {
  readonly phase: Phase;
  /** The project before the phase. */
  readonly before: string;
  /** What a calm process writes, in order. */
  readonly points: readonly string[];
  readonly holds: Readonly<Record<string, unknown>>;
}

/** Frees what no version names, however young. */
const SWEEP: Phase = {
  name: 'sweep',
  prepare: async () => undefined,
  command: ['gc', '--retention', '3650d'],
  ahead: 60,
};

const inGoodOrder = ({ status, stderr }: Finished, phase: Phase): void => {
  if (status !== 0 && status !== 99) throw new Error(`${phase.name}: exit ${status}\n${stderr}`);
};

/** Lives through all phases without a kill. */
export async function liveCalmly(base: string): Promise<readonly Calm[]> {
  const lived: Calm[] = [];
  let folder = path.join(base, 'new');
  mkdirSync(folder, { recursive: true });
  for (const [i, phase] of PHASES.entries()) {
    await phase.prepare(folder);
    const next = path.join(base, `calm-${i}`);
    copyProject(folder, next);
    const trace = path.join(base, `trace-${i}`);
    inGoodOrder(await perform(phase, next, { trace }), phase);
    const points = readFileSync(trace, 'utf8').trimEnd().split('\n');
    const swept = path.join(base, 'swept');
    copyProject(next, swept);
    inGoodOrder(await perform(SWEEP, swept), SWEEP);
    lived.push({ phase, before: folder, points, holds: await holdings(swept) });
    rmSync(swept, { recursive: true });
    folder = next;
  }
  return lived;
}

/** Performs a phase, killed at each of `kills` in turn, then to its end, and sweeps. */
export async function trial(calm: Calm, kills: readonly string[], folder: string): Promise<TrialResult> {
  const { phase } = calm;
  copyProject(calm.before, folder);
  let hit = 0;
  for (const at of kills) {
    const killed = await perform(phase, folder, { at });
    if (killed.status === null) hit++;
    else inGoodOrder(killed, phase);
  }
  inGoodOrder(await perform(phase, folder), phase);
  // What is done is done.
  if (phase.command[0] === 'run') {
    const again = await perform(phase, folder);
    if (again.status !== 99) throw new Error(`again: exit ${again.status}\n${again.stdout}`);
  }
  inGoodOrder(await perform(SWEEP, folder), SWEEP);
  const holds = await holdings(folder);
  rmSync(folder, { recursive: true, force: true });
  return { hit, holds };
}

export interface TrialResult {
  /** Kills that found the process alive. */
  readonly hit: number;
  readonly holds: Readonly<Record<string, unknown>>;
}
