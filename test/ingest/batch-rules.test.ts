import { afterEach, describe, expect, it } from 'vitest';
import type { BatchRule, RowRule } from '../../src/core/define/types.js';
import { profileColumn } from '../../src/core/drift/profile.js';
import { type Place, source, temporaryPlaces } from './support.js';

const place = temporaryPlaces(afterEach);
const T = Date.UTC(2024, 0, 1);
const TYPES = { id: 'string', at: 'timestamp', amount: 'float64', country: 'string', note: 'string' };
const base = { severity: 'error', action: 'fail' } as const;
const check = (id: string, what: BatchRule['check'], rest: Partial<BatchRule> = {}): BatchRule => ({
  id,
  check: what,
  ...base,
  ...rest,
});
const orders = (batch: readonly BatchRule[], rows: readonly RowRule[] = []) =>
  source('orders', TYPES, { batch, rows });

/** Numbers in [0, 1) that look random and are always the same. */
function* numbers(seed: number): Generator<number> {
  for (let state = seed; ; ) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    yield state / 2 ** 32;
  }
}

interface Shape {
  readonly amount?: (u: number) => number | '';
  readonly country?: (u: number) => string;
}
let made = 0;
function file(at: Place, rows: number, seed: number, shape: Shape = {}): string {
  const { amount = (u) => 100 * u, country = (u) => ['DE', 'FR', 'US'][Math.floor(u * 3)]! } = shape;
  const random = numbers(seed);
  const next = (): number => random.next().value as number;
  const lines = Array.from({ length: rows }, (_, i) => {
    const when = new Date(T + (made * 86_400 + i) * 1000).toISOString();
    return `${made}-${i},${when},${amount(next())},${country(next())},n`;
  });
  return at.write(`${made++}.csv`, `id,at,amount,country,note\n${lines.join('\n')}\n`);
}
const refused = async (work: Promise<unknown>): Promise<string> => {
  try {
    await work;
  } catch (error) {
    return (error as Error).message;
  }
  return 'it was taken';
};

describe('rules in SQL over a batch', () => {
  it('give a number within limits, or rows that must not be; one that cannot be judged is broken', async () => {
    const at = place();
    const rules = orders([
      check('countries', { kind: 'sql', sql: 'SELECT count(DISTINCT country) FROM {batch}', min: 2 }),
      check('heavy', { kind: 'sql', sql: 'SELECT * FROM {batch} WHERE amount > 99.99;' }),
    ]);
    const opened = await at.open([rules]);
    expect(await opened.log.ingestFiles(rules, [file(at, 50, 1)])).toMatchObject({ accepted: 50 });
    expect(await refused(opened.log.ingestFiles(rules, [file(at, 9, 2, { country: () => 'DE' })]))).toBe(
      'The batch for orders is refused: countries is 1, expected at least 2',
    );
    expect(await refused(opened.log.ingestFiles(rules, [file(at, 9, 3, { amount: () => 100 })]))).toBe(
      'The batch for orders is refused: heavy gives 9 rows, expected none',
    );
    const typo = {
      ...rules,
      contract: { rows: [], batch: [check('typo', { kind: 'sql', sql: 'SELECT amuont FROM {batch}' })] },
    };
    expect(await refused(opened.log.ingestFiles(typo, [file(at, 9, 4)]))).toMatch(
      /^The batch for orders is refused: typo could not be judged: .*amuont/,
    );
    const several = {
      ...rules,
      contract: {
        rows: [],
        batch: [check('several', { kind: 'sql', sql: 'SELECT amount FROM {batch}', max: 1 })],
      },
    };
    expect(await refused(opened.log.ingestFiles(several, [file(at, 9, 5)]))).toContain(
      'several could not be judged: it gives 9 rows, expected one number',
    );
  });

  it('over rows send those to quarantine that they name, and all of them when they cannot be judged', async () => {
    const at = place();
    const bySql = (sql: string): RowRule => ({
      id: 'odd',
      field: null,
      check: { kind: 'sql', sql },
      severity: 'error',
      action: 'quarantine',
    });
    const odd = orders(
      [],
      [
        bySql(
          'SELECT _row FROM {batch} AS b JOIN (SELECT country FROM {batch} GROUP BY 1 HAVING count(*) = 1) USING (country)',
        ),
      ],
    );
    const opened = await at.open([odd]);
    const lines = ['DE', 'FR', 'DE', 'XX', 'FR'].map((country, i) => `s${i},2024-01-01,1,${country},n`);
    const one = at.write('single.csv', `id,at,amount,country,note\n${lines.join('\n')}\n`);
    expect(await opened.log.ingestFiles(odd, [one])).toMatchObject({
      accepted: 4,
      quarantined: 1,
      reasons: { odd: 1 },
    });
    expect((await opened.log.quarantine()).map((row) => row.row['country'])).toEqual(['XX']);
    const typo = orders([], [bySql('SELECT _row, nothing FROM {batch}')]);
    expect(await opened.log.ingestFiles(typo, [file(at, 3, 7)])).toMatchObject({
      accepted: 0,
      quarantined: 3,
      reasons: { odd: 3 },
    });
    expect(await opened.log.ingestRows(typo, [{ id: 'p', at: '2024-01-01' }], { now: 0 })).toMatchObject({
      quarantined: 1,
    });
    const messages = (await opened.log.quarantine()).flatMap((row) =>
      row.reasons.map((reason) => reason.message),
    );
    expect(messages.filter((message) => /^odd could not be judged: .*nothing/.test(message)).length).toBe(4);
    // What is let in or left out leaves no reason in the ledger: the result says that the rule failed.
    const dropping = orders([], [{ ...bySql('SELECT _row, nothing FROM {batch}'), action: 'drop' }]);
    const said = {
      dropped: 3,
      warnings: [{ rule: 'odd', rows: 3, message: expect.stringMatching(/^odd could not be judged: /) }],
    };
    expect(await opened.log.ingestFiles(dropping, [file(at, 3, 8)])).toMatchObject(said);
    const rows = ['q', 'r', 's'].map((id) => ({ id, at: '2024-01-01' }));
    expect(await opened.log.ingestRows(dropping, rows, { now: 0 })).toMatchObject(said);
  });
});

describe('the distribution of a field', () => {
  const distribution = (
    field: string,
    against: Extract<BatchRule['check'], { kind: 'distribution' }>['against'],
  ) =>
    check(`${field}.distribution`, {
      kind: 'distribution',
      field,
      against,
      minimumEffect: 0.05,
      minimumRows: 30,
    });

  it('is held against the batches before: a change refuses the batch, chance and too few rows do not', async () => {
    const at = place();
    const rules = orders(
      ['amount', 'country'].map((field) => distribution(field, { kind: 'batches', batches: 10 })),
    );
    const opened = await at.open([rules]);
    for (let day = 0; day < 6; day++)
      expect(await opened.log.ingestFiles(rules, [file(at, 400, 10 + day)])).toMatchObject({ accepted: 400 });
    const [shift, other, nulls] = [
      file(at, 400, 30, { amount: (u) => 100 * u + 20 }),
      file(at, 400, 31, { country: (u) => (u < 0.6 ? 'DE' : u < 0.8 ? 'FR' : 'BR') }),
      file(at, 400, 32, { amount: (u) => (u < 0.1 ? '' : 100 * u) }),
    ];
    expect(await refused(opened.log.ingestFiles(rules, [shift]))).toMatch(
      /^The batch for orders is refused: the values of amount changed: KS D 0\.\d+ \(by chance 0\.\d+\), p \S+; reference: the 6 batches before$/,
    );
    expect(await refused(opened.log.ingestFiles(rules, [other]))).toMatch(
      /the values of country changed: total variation 0\.\d+ \(by chance 0\.\d+\), p \S+;/,
    );
    expect(await refused(opened.log.ingestFiles(rules, [nulls]))).toMatch(
      /amount changed: .*nulls 0 % → \d+(\.\d+)? %/,
    );
    // A handful of rows says nothing, however odd they are.
    const few = await opened.log.ingestFiles(rules, [file(at, 20, 33, { amount: () => 1e6 })]);
    expect(few).toMatchObject({ accepted: 20 });
    const records = await opened.log.batches('orders');
    expect(records[0]!.profile['amount.distribution']).toEqual({
      verdict: 'insufficient_data',
      found: 'there is no batch before',
    });
    expect(records.at(-1)!.profile['amount.distribution']).toMatchObject({ verdict: 'insufficient_data' });
    expect(records.map((record) => record.status)).toEqual([
      ...Array.from({ length: 6 }, () => 'committed'),
      ...Array.from({ length: 3 }, () => 'refused'),
      'committed',
    ]);
  });

  it('does not alarm for a change that many rows make certain and nobody would notice', async () => {
    const at = place();
    const rules = orders([distribution('amount', { kind: 'batches', batches: 10 })]);
    const opened = await at.open([rules]);
    await opened.log.ingestFiles(rules, [file(at, 40_000, 40)]);
    expect(
      await opened.log.ingestFiles(rules, [file(at, 40_000, 41, { amount: (u) => 100 * u + 3 })]),
    ).toMatchObject({ accepted: 40_000 });
    expect(
      await refused(opened.log.ingestFiles(rules, [file(at, 40_000, 42, { amount: (u) => 100 * u + 12 })])),
    ).toContain('changed');
  });

  it('is held against a file or a profile of the project', async () => {
    const at = place();
    file(at, 0, 1);
    const reference = file(at, 500, 50).split('/').at(-1)!;
    const random = numbers(51);
    const sample = Float64Array.from({ length: 500 }, () => 100 * (random.next().value as number));
    at.write(
      'profile.json',
      JSON.stringify({
        rows: 500,
        columns: { amount: profileColumn({ type: 'numeric', values: sample, nulls: 0 }) },
      }),
    );
    const byFile = orders([distribution('amount', { kind: 'file', path: reference })]);
    const byProfile = orders([distribution('amount', { kind: 'profile', path: 'profile.json' })]);
    const opened = await at.open([byFile]);
    for (const rules of [byFile, byProfile]) {
      expect(await opened.log.ingestFiles(rules, [file(at, 300, 52)])).toMatchObject({ accepted: 300 });
      expect(
        await refused(opened.log.ingestFiles(rules, [file(at, 300, 53, { amount: (u) => 130 * u })])),
      ).toContain('the values of amount changed');
    }
    for (const against of [
      { kind: 'file', path: 'gone.csv' },
      { kind: 'profile', path: 'gone.json' },
    ] as const) {
      const lost = orders([distribution('amount', against)]);
      expect(await refused(opened.log.ingestFiles(lost, [file(at, 9, 54)]))).toContain(
        'amount.distribution could not be judged: ',
      );
    }
  });
});

describe('the profile of a batch', () => {
  it('is kept with the batch: counts and moments over all rows, the rest over an even sample', async () => {
    const at = place();
    const plain = orders([]);
    const opened = await at.open([plain]);
    const small = file(at, 100, 60, { amount: (u) => (u < 0.25 ? '' : Math.floor(100 * u)) });
    const large = file(at, 50_000, 61, { amount: (u) => 100 * u });
    const [one, two] = [
      await opened.log.ingestFiles(plain, [small]),
      await opened.log.ingestFiles(plain, [large]),
    ];
    await refused(
      opened.log.ingestFiles(orders([check('row_count', { kind: 'row_count', min: 9 })]), [file(at, 3, 62)]),
    );
    const [second, first, ...none] = await opened.log.profiles('orders');
    expect(none).toEqual([]);
    expect([first!.batch, second!.batch]).toEqual([one.batch, two.batch]);
    expect(await opened.log.profiles('orders', 1)).toEqual([second]);
    expect(first!.profile).toMatchObject({ rows: 100, sampled: 100 });
    const { amount, country } = second!.profile.columns;
    if (amount?.type !== 'numeric' || country?.type !== 'categorical') throw new Error('unreachable');
    expect(second!.profile.rows).toBe(50_000);
    expect(second!.profile.sampled).toBeGreaterThan(16_000);
    expect(second!.profile.sampled).toBeLessThan(17_000);
    expect(amount.count).toBe(50_000);
    expect(Math.abs(amount.mean! - 50)).toBeLessThan(0.5);
    expect(Math.abs(amount.std! - 100 / Math.sqrt(12))).toBeLessThan(0.3);
    expect(Math.abs(amount.quantiles['0.95']! - 95)).toBeLessThan(1);
    expect(amount.kept.values.length).toBe(100);
    expect(country.top.map(({ value }) => value).sort()).toEqual(['DE', 'FR', 'US']);
    expect(second!.profile.columns['id']!.distinct).toBeGreaterThan(45_000);
    expect(second!.profile.freshness.maxEventTime).toBe((await opened.log.state(plain)).maxEventTime);
    expect(JSON.stringify(second!.profile).length).toBeLessThan(16_000);
  });
});
