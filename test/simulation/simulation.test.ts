import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { VERSIONS } from './definitions.js';
import { simulate } from './run.js';
import { openShared, type Shared } from './world.js';

vi.mock('node:fs', async (original) => (await import('./faults.js')).faultyFs(await original()));
vi.mock('node:fs/promises', async (original) =>
  (await import('./faults.js')).faultyPromises(await original()),
);

/** How many seeds, and the first of them: MILLRACE_SEEDS=5000 MILLRACE_FIRST_SEED=1000 npx vitest run test/simulation */
const SEEDS = Number(process.env['MILLRACE_SEEDS'] ?? 200);
const FIRST = Number(process.env['MILLRACE_FIRST_SEED'] ?? 1);

let shared: Shared;
beforeAll(async () => {
  shared = await openShared(VERSIONS);
});
afterAll(() => shared.close());

describe('a world of pushes, files, changed definitions, clocks that step back and processes that die', () => {
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
