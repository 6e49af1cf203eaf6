/** Every phase of a project's life, killed with -9 at any of its writes, ends as if nothing had happened. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { random } from '../world.js';
import { PHASES } from './kills/life.js';
import { type Calm, liveCalmly, trial } from './kills/trial.js';

/** Trials of each phase: MILLRACE_KILLS=50 npx vitest run --project e2e test/e2e/kills.test.ts */
const TRIALS = Number(process.env['MILLRACE_KILLS'] ?? 1);
const SEED = Number(process.env['MILLRACE_FIRST_SEED'] ?? 1);
const AT_ONCE = 2;

let base: string;
let calm: readonly Calm[];
beforeAll(async () => {
  base = await mkdtemp(path.join(tmpdir(), 'millrace-kills-'));
  calm = await liveCalmly(base);
});
afterAll(() => rm(base, { recursive: true, force: true }));

/** One to three kills: before a write, in the midst of it, or a moment after it. */
function draw(next: () => number, points: number): readonly string[] {
  return Array.from({ length: 1 + Math.floor(next() ** 2 * 3) }, () => {
    const at = 1 + Math.floor(next() * points);
    const how = next();
    return how < 0.6 ? `${at}` : how < 0.75 ? `${at}/half` : `${at}+${Math.floor(next() * 60)}`;
  });
}

it.each(PHASES.map(({ name }, i) => [name, i] as const))('%s', { timeout: 3_600_000 }, async (_, i) => {
  const { points, holds } = calm[i]!;
  const next = random(SEED * 1000 + i);
  const trials = Array.from({ length: TRIALS }, (_, n) => [n, draw(next, points.length)] as const);
  let hit = 0;
  const work = async (): Promise<void> => {
    for (let job = trials.shift(); job !== undefined; job = trials.shift()) {
      const [n, kills] = job;
      const where = `killed at ${kills.map((at) => `${at} (${points[Number.parseInt(at, 10) - 1]})`).join(', ')}`;
      const done = await trial(calm[i]!, kills, path.join(base, `${i}-${n}`)).catch((error: Error) => {
        throw new Error(`${where}: ${error.message}`);
      });
      hit += done.hit;
      expect(done.holds, where).toEqual(holds);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  expect(hit).toBeGreaterThanOrEqual(Math.floor(TRIALS / 2));
  if (TRIALS > 1) console.log(`${hit} kills in ${TRIALS} trials`);
});
