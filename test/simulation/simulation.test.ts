import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { VERSIONS } from './definitions.js';
import { simulate } from './run.js';
import { openShared, type Shared } from './world.js';

vi.mock('node:fs', async (original) => (await import('./faults.js')).faultyFs(await original()));
vi.mock('node:fs/promises', async (original) =>
  (await import('./faults.js')).faultyPromises(await original()),
);

/** How many seeds, and the first of them: MILLRACE_SEEDS=5000 MILLRACE_FIRST_SEED=1000 npx vitest run test/simulation */
const SEEDS = Number(process.env['MILLRACE_SEEDS'] ?? 100);
const FIRST = Number(process.env['MILLRACE_FIRST_SEED'] ?? 1);

let shared: Shared;
beforeAll(async () => {
  shared = await openShared(VERSIONS);
});
afterAll(() => shared.close());

/** Seeds that failed once, with what they found. */
const FOUND: readonly (readonly [number, string])[] = [
  [50, 'a lock file was one file with what a killed process of the same id had left'],
  [115, 'the guard of a lock outlived the process that was killed as it took the lock over'],
];

describe('a world of pushes, files, changed definitions, clocks that step back and processes that die', () => {
  it.each(FOUND)('answers as the law says at seed %i: %s', async (seed) => {
    await simulate(shared, seed, true);
  });

  it(`answers as the law says after every step, and holds the bytes of a clean application: ${SEEDS} seeds`, async () => {
    let crashes = 0;
    const failures: string[] = [];
    for (let seed = FIRST; seed < FIRST + SEEDS && failures.length < 5; seed++) {
      try {
        crashes += (await simulate(shared, seed, seed % 20 === 0)).crashes;
      } catch (error) {
        failures.push((error as Error).message);
      }
    }
    expect(failures).toEqual([]);
    expect(crashes).toBeGreaterThan(Math.floor(SEEDS / 4));
  }, 3_600_000);
});
