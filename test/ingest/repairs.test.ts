import { afterEach, describe, expect, it } from 'vitest';
import type { Imputation, RowAction, RowRule, Source } from '../../src/core/define/types.js';
import { deliveredFields } from '../../src/core/quality/index.js';
import { printValue } from '../../src/core/schema/coerce-print.js';
import type { Value } from '../../src/core/schema/types.js';
import type { IngestResult } from '../../src/ports/record-log.js';
import fc from '../property.js';
import { expression } from '../quality/sources.js';
import { type Opened, openAt, source, temporaryPlaces } from './support.js';

const place = temporaryPlaces(afterEach);

const range = (
  field: string,
  min: Value | undefined,
  max: Value | undefined,
  action: RowAction,
  id = `${field}.range`,
): RowRule => ({
  id,
  field,
  check: {
    kind: 'range',
    ...(min === undefined ? {} : { min }),
    ...(max === undefined ? {} : { max }),
    minExclusive: false,
    maxExclusive: false,
  },
  severity: 'error',
  action,
});
const missing = (field: string, impute: Imputation, id = `${field}.not_null`): RowRule => ({
  id,
  field,
  check: { kind: 'not_null' },
  severity: 'error',
  action: 'impute',
  impute,
});

/** Everything that a reader of the log and of the ledger can see, in one comparable form. */
async function seen(opened: Opened, from: Source) {
  const relation = opened.log.relation(await opened.log.state(from));
  const fields = from.fields.map((field) => `CAST("${field.name}" AS VARCHAR) AS "${field.name}"`).join(', ');
  const records = await opened.query(
    `SELECT "_seq", "_event_time", "_available_at", "_deleted", list_sort("_flags") AS flags, ${fields} FROM (${relation}) ORDER BY "_seq"`,
  );
  const repairs = (await opened.log.repairs(from)).map(
    ({ seq, field, rule, original, repaired, contract }) => {
      const { type } = from.fields.find((item) => item.name === field)!;
      return [seq, field, rule, printValue(type, original), printValue(type, repaired), contract];
    },
  );
  const quarantine = (await opened.log.quarantine({ source: from.name })).map((row) => [
    row.row['id'] ?? null,
    row.reasons.map(({ rule, field, message }) => [rule, field, message]).sort(),
  ]);
  return {
    records,
    repairs: repairs.sort(),
    quarantine: quarantine.map((row) => JSON.stringify(row)).sort(),
  };
}

/** The records of the log as they were delivered. */
async function deliveries(opened: Opened, from: Source): Promise<string[]> {
  const repairs = await opened.log.repairs(from);
  const out: string[] = [];
  for await (const chunk of opened.log.read(from, 0, Number.MAX_SAFE_INTEGER))
    for (const { fields, eventTime, availableAt, deleted, seq } of chunk)
      out.push(
        JSON.stringify(
          [
            deliveredFields(
              fields,
              repairs.filter((repair) => repair.seq === seq),
            ),
            eventTime,
            availableAt,
            deleted,
          ],
          (_key, value) => (typeof value === 'bigint' ? `${value}` : value),
        ),
      );
  return out;
}

const counts = ({
  rows,
  accepted,
  quarantined,
  duplicates,
  dropped,
  corrections,
  repaired,
  reasons,
  repairs,
  drops,
  flags,
}: IngestResult) => ({
  rows,
  accepted,
  quarantined,
  duplicates,
  dropped,
  corrections,
  repaired,
  reasons: Object.entries(reasons).sort(),
  repairs: Object.entries(repairs).sort(),
  drops: Object.entries(drops).sort(),
  flags: Object.entries(flags).sort(),
});

describe('the same rows as a file and as a push', () => {
  const types = {
    id: 'string',
    at: 'timestamp',
    known: 'timestamp',
    who: 'string',
    n: 'int64',
    x: 'float64',
    price: 'decimal(2)',
    code: 'string',
    ok: 'boolean',
    day: 'date',
    gone: 'boolean',
  };
  const rules: readonly RowRule[] = [
    range('n', -3, 3, 'cap'),
    range('price', 0, undefined, 'cap'),
    missing('ok', { kind: 'constant', value: false }),
    missing('x', { kind: 'mean' }),
    missing('price', { kind: 'median' }),
    missing('n', { kind: 'last', by: ['who'] }),
    missing('day', { kind: 'last', by: ['id'] }),
    { ...range('x', -50, 50, 'impute', 'x.sane'), impute: { kind: 'mean' } },
    {
      id: 'code.set',
      field: 'code',
      check: { kind: 'set', values: ['a', 'b', 'c'] },
      severity: 'error',
      action: 'quarantine',
    },
    range('price', undefined, 90000, 'quarantine', 'price.high'),
    range('n', -2, 2, 'flag', 'n.edge'),
    range('x', -20, 20, 'warn', 'x.wide'),
    range('day', 19_000, undefined, 'drop', 'day.old'),
    {
      id: 'paid',
      field: null,
      check: { kind: 'expression', expression: expression("code <> 'b' or price > 0.5", types) },
      severity: 'error',
      action: 'quarantine',
    },
    {
      id: 'crowd',
      field: null,
      check: {
        kind: 'sql',
        sql: 'SELECT _row FROM {batch} QUALIFY count(*) OVER (PARTITION BY who, code) > 3 ORDER BY 1',
      },
      severity: 'error',
      action: 'quarantine',
    },
    {
      id: 'one_code',
      field: null,
      check: { kind: 'unique', fields: ['who', 'code'] },
      severity: 'warning',
      action: 'flag',
    },
    {
      id: 'who.reference',
      field: 'who',
      check: { kind: 'reference', source: 'people', field: 'name' },
      severity: 'error',
      action: 'quarantine',
    },
  ];
  const orders = source('orders', types, {
    availableAt: { kind: 'field', field: 'known' },
    deleted: 'gone',
    rows: rules,
  });
  const people = source('people', { name: 'string', at: 'timestamp', gone: 'boolean' }, { deleted: 'gone' });

  const T0 = Date.UTC(2024, 0, 1);
  const hour = (n: number): string => new Date(T0 + n * 3_600_000).toISOString();
  const maybe = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | null> => fc.option(arbitrary, { freq: 3 });
  const row = fc.record({
    id: fc.oneof(
      { weight: 30, arbitrary: fc.integer({ min: 0, max: 40 }).map((n) => `k${n}`) },
      { weight: 1, arbitrary: fc.constant(null) },
    ),
    at: fc.integer({ min: 0, max: 30 }).map(hour),
    known: maybe(fc.integer({ min: 0, max: 40 }).map(hour)),
    who: maybe(fc.constantFrom('ann', 'ann', 'ann', 'ann', 'ann', 'bob', 'cy', 'dee', 'nobody')),
    n: maybe(
      fc.oneof(
        { weight: 30, arbitrary: fc.integer({ min: -6, max: 6 }).map(String) },
        { weight: 1, arbitrary: fc.constant('many') },
      ),
    ),
    x: maybe(fc.integer({ min: -220, max: 220 }).map((n) => String(n / 4))),
    price: maybe(fc.integer({ min: -9_000, max: 92_000 }).map((n) => (n / 100).toFixed(2))),
    code: maybe(fc.constantFrom('a', 'b', 'c', 'a', 'b', 'c', 'a', 'b', 'z')),
    ok: maybe(fc.constantFrom('true', 'false')),
    day: maybe(
      fc.constantFrom('2024-01-01', '2024-01-02', '2024-01-02', '2024-01-03', '2024-01-04', '2010-01-01'),
    ),
    gone: fc.constantFrom(null, null, null, null, null, 'true'),
  });
  type Raw = typeof row extends fc.Arbitrary<infer R> ? R : never;

  const csv = (rows: readonly Raw[]): string =>
    `${Object.keys(types).join(',')}\n${rows
      .map((one) =>
        Object.keys(types)
          .map((name) => one[name as keyof Raw] ?? '')
          .join(','),
      )
      .join('\n')}\n`;

  it('gives the same records, repairs, flags, reasons and counts, batch after batch, and nothing is lost', async () => {
    const samples = fc.sample(
      fc.array(fc.array(row, { minLength: 40, maxLength: 70, size: 'max' }), { minLength: 2, maxLength: 2 }),
      {
        numRuns: 4,
        seed: 21,
      },
    );
    const acted = new Set<string>();
    for (const [run, batches] of samples.entries()) {
      const [asFile, asPush] = [place(), place()];
      const [byFile, byPush] = [await asFile.open([orders, people]), await asPush.open([orders, people])];
      for (const opened of [byFile, byPush])
        await opened.log.ingestRows(
          people,
          [
            { name: 'ann', at: hour(0) },
            { name: 'bob', at: hour(0) },
            { name: 'cy', at: hour(8) },
            { name: 'dee', at: hour(2) },
            { name: 'dee', at: hour(20), gone: true },
          ],
          { now: 0 },
        );
      for (const [index, rows] of batches.entries()) {
        const file = asFile.write(`b${index}.csv`, csv(rows));
        const fromFile = await byFile.log.ingestFiles(orders, [file], { now: index });
        const fromPush = await byPush.log.ingestRows(orders, rows, { now: index });
        const { warnings: _, ...rest } = fromPush;
        expect(counts(fromFile)).toEqual(counts(rest as IngestResult));
        for (const result of [fromFile, fromPush])
          expect(result.rows).toBe(result.accepted + result.quarantined + result.duplicates + result.dropped);
        const { reasons, repairs, drops, flags } = fromFile;
        for (const byRule of [reasons, repairs, drops, flags])
          for (const id of Object.keys(byRule)) acted.add(id);
      }
      const [file, push] = [await seen(byFile, orders), await seen(byPush, orders)];
      expect(file.records).toEqual(push.records);
      expect(file.repairs).toEqual(push.repairs);
      expect(file.quarantine).toEqual(push.quarantine);
      if (run % 3 === 0) {
        // The same deliveries again, in new files: what was refused may pass now, what is there is not there twice.
        for (const [index, rows] of batches.entries()) {
          const file = asFile.write(`again${index}.csv`, `${csv(rows)}\n`);
          await byFile.log.ingestFiles(orders, [file], { now: 9 });
          await byPush.log.ingestRows(orders, rows, { now: 9 });
        }
        for (const opened of [byFile, byPush]) {
          const delivered = await deliveries(opened, orders);
          expect(delivered.length).toBeGreaterThan(10);
          expect(new Set(delivered).size).toBe(delivered.length);
        }
      }
    }
    const silent = rules.map((one) => one.id).filter((id) => !acted.has(id));
    expect(silent).toEqual(['x.wide']);
    expect([...acted]).toEqual(expect.arrayContaining(['n.type', 'id.not_null']));
  }, 120_000);
});

describe('a repaired record', () => {
  const T = '2024-01-01T00:00:00Z';
  const visits = (rows: readonly RowRule[], rest: Parameters<typeof source>[2] = {}) =>
    source(
      'visits',
      { id: 'string', at: 'timestamp', who: 'string', pages: 'int64', score: 'float64' },
      { rows, ...rest },
    );
  const rowsOf = async (opened: Opened, from: Source) => {
    const relation = opened.log.relation(await opened.log.state(from));
    const rows = await opened.query(`SELECT id, pages, score FROM (${relation}) ORDER BY "_seq"`);
    return rows.map((one) => [one['id'], one['pages'], one['score']]);
  };

  it('keeps what was delivered, the rule and the contract, in the tail, in the segment and after both', async () => {
    const capped = visits([range('pages', 0, 10, 'cap'), missing('score', { kind: 'constant', value: 0.5 })]);
    const at = place();
    const opened = await openAt(at.folder, [capped]);
    const pushed = await opened.log.ingestRows(
      capped,
      [
        { id: 'a', at: T, pages: 99, score: null },
        { id: 'b', at: T, pages: 5, score: 1 },
      ],
      { now: 0 },
    );
    expect(pushed).toMatchObject({
      accepted: 2,
      repaired: 1,
      repairs: { 'pages.range': 1, 'score.not_null': 1 },
    });
    const held = [
      { field: 'pages', rule: 'pages.range', original: 99, repaired: 10, recordKey: ['a'] },
      { field: 'score', rule: 'score.not_null', original: null, repaired: 0.5, recordKey: ['a'] },
    ].map((repair) => ({ ...repair, contract: capped.fingerprint, seq: 1 }));
    expect(await opened.log.repairs(capped)).toEqual(held);
    await opened.close();
    const again = await at.open([capped]);
    expect(await again.log.repairs(capped)).toEqual(held);
    expect(await rowsOf(again, capped)).toEqual([
      ['a', 10, 0.5],
      ['b', 5, 1],
    ]);
    // The sealed tail is a batch with its counts and its profile.
    const [batch] = await again.log.batches('visits');
    expect(batch).toMatchObject({
      accepted: 2,
      repaired: 1,
      repairs: { 'pages.range': 1, 'score.not_null': 1 },
    });
    const [kept] = await again.log.profiles('visits');
    expect(kept).toMatchObject({
      batch: batch!.batch,
      profile: { rows: 2, columns: { pages: { mean: 7.5 } } },
    });
    expect(await again.log.repairs(capped, { rule: 'score.not_null' })).toEqual([held[1]]);
  });

  it('is the same record when it is delivered again, whatever it would be repaired to by then', async () => {
    const filled = visits([missing('pages', { kind: 'mean' })]);
    const at = place();
    const opened = await at.open([filled]);
    const first = at.write('1.csv', `id,at,who,pages,score\na,${T},x,1,\nb,${T},x,4,\nc,${T},x,,\n`);
    expect(await opened.log.ingestFiles(filled, [first])).toMatchObject({ accepted: 3, repaired: 1 });
    const more = Array.from({ length: 9 }, (_, i) => `m${i},${T},x,100,`).join('\n');
    await opened.log.ingestFiles(filled, [at.write('2.csv', `id,at,who,pages,score\n${more}\n`)]);
    const again = at.write('3.csv', `id,at,who,pages,score\nc,${T},x,,\nd,${T},x,,\na,${T},x,1,\n`);
    expect(await opened.log.ingestFiles(filled, [again])).toMatchObject({
      accepted: 1,
      duplicates: 2,
      corrections: 0,
    });
    const push = [
      { id: 'c', at: T, who: 'x', pages: null, score: null },
      { id: 'd', at: T, who: 'x', pages: null, score: null },
    ];
    expect(await opened.log.ingestRows(filled, push, { now: 0 })).toMatchObject({ duplicates: 2 });
    // The mean of 1 and 4 is 2.5, rounded half to even; that of the log is taken from what was delivered.
    const rows = await rowsOf(opened, filled);
    expect(rows.filter(([id]) => id === 'c' || id === 'd')).toEqual([
      ['c', 2, null],
      ['d', 82, null],
    ]);
    // What was imputed and what is really so are two contents: the second corrects the first.
    const real = await opened.log.ingestRows(filled, [{ id: 'c', at: T, who: 'x', pages: 2 }], { now: 0 });
    expect(real).toMatchObject({ accepted: 1, corrections: 1, repaired: 0 });
  });

  it('takes means and medians from the log as it was, and anew when the log has doubled', async () => {
    const filled = visits([missing('pages', { kind: 'median' })]);
    const at = place();
    const opened = await at.open([filled]);
    const push = (id: string, pages: number | null) =>
      opened.log.ingestRows(filled, [{ id, at: T, pages }], { now: 0 });
    expect(await push('nothing to take it from', null)).toMatchObject({
      quarantined: 1,
      reasons: { 'pages.not_null': 1 },
    });
    for (const [i, pages] of [1, 5, 9, 9].entries()) await push(`k${i}`, pages);
    await push('first', null);
    await push('high', 1000);
    await push('higher', 1000);
    await push('still', null);
    await push('doubled', null);
    expect((await rowsOf(opened, filled)).map(([id, pages]) => [id, pages]).slice(4)).toEqual([
      ['first', 5],
      ['high', 1000],
      ['higher', 1000],
      ['still', 5],
      ['doubled', 9],
    ]);
  });

  it('takes the last value known then: of the log or of the batch, no later, no correction that came later', async () => {
    const filled = visits([missing('pages', { kind: 'last', by: ['who'] })], {
      availableAt: { kind: 'field', field: 'known' },
    });
    const at = place();
    const opened = await at.open([filled]);
    const day = (n: number): string => `2024-01-0${n}T00:00:00Z`;
    const file = (name: string, lines: readonly (readonly [string, number, number, string, string])[]) =>
      at.write(
        name,
        `id,at,known,who,pages,score\n${lines.map(([id, when, known, who, pages]) => `${id},${day(when)},${day(known)},${who},${pages},`).join('\n')}\n`,
      );
    await opened.log.ingestFiles(filled, [
      file('1.csv', [
        ['a', 1, 1, 'ann', '10'],
        ['b', 2, 7, 'ann', '20'],
        ['c', 3, 3, 'bob', '30'],
        ['a', 1, 4, 'ann', '11'],
      ]),
    ]);
    const result = await opened.log.ingestFiles(filled, [
      file('2.csv', [
        ['before', 1, 1, 'bob', ''],
        ['then', 3, 3, 'ann', ''],
        ['corrected', 5, 5, 'ann', ''],
        ['late', 5, 8, 'ann', ''],
        ['new', 6, 6, 'ann', '60'],
        ['after new', 6, 6, 'ann', ''],
        ['nobody', 6, 6, '', ''],
      ]),
    ]);
    expect(result).toMatchObject({ accepted: 5, quarantined: 2, repaired: 4 });
    expect(
      (await opened.log.repairs(filled)).map(({ recordKey, repaired }) => [recordKey[0], repaired]),
    ).toEqual([
      ['after new', 60],
      ['late', 20],
      ['corrected', 11],
      ['then', 10],
    ]);
  });
});

describe('a source that fails fast', () => {
  it('takes nothing of a batch that has one broken record, from files and pushes', async () => {
    const T = '2024-01-01T00:00:00Z';
    const lenient = source(
      'visits',
      { id: 'string', at: 'timestamp', pages: 'int64' },
      { rows: [range('pages', 0, 9, 'quarantine')] },
    );
    const strict: Source = {
      ...lenient,
      fingerprint: 'strict',
      contract: { ...lenient.contract, onError: 'fail' },
    };
    const at = place();
    const opened = await at.open([strict]);
    const file = at.write('a.csv', `id,at,pages\na,${T},1\nb,${T},10\nc,${T},x\nd,${T}\n`);
    await expect(opened.log.ingestFiles(strict, [file])).rejects.toMatchObject({
      code: 'BATCH_REFUSED',
      message:
        'The batch for visits is refused: 1 row breaks pages.range; for example line 3; 1 row breaks pages.type; for example line 4; 1 row breaks parse.columns; for example line 5',
    });
    await expect(
      opened.log.ingestRows(
        strict,
        [
          { id: 'a', at: T, pages: 1 },
          { id: 'b', at: T, pages: 10 },
        ],
        { now: 0 },
      ),
    ).rejects.toMatchObject({ code: 'BATCH_REFUSED' });
    expect((await opened.log.state(strict)).rows).toBe(0);
    expect(await opened.log.quarantineCount()).toBe(0);
    expect(
      await opened.log.ingestFiles(strict, [at.write('b.csv', `id,at,pages\na,${T},1\n`)]),
    ).toMatchObject({ accepted: 1 });
  });
});

describe('a value that cannot be read', () => {
  it('is neither repaired nor judged by rules that look at nulls, in files and pushes', async () => {
    const T = '2024-01-01T00:00:00Z';
    const fields = { id: 'string', at: 'timestamp', pages: 'int64', score: 'float64' };
    const check = (id: string, text: string): RowRule => ({
      id,
      field: null,
      check: { kind: 'expression', expression: expression(text, { pages: 'int64', score: 'float64' }) },
      severity: 'error',
      action: 'fail',
    });
    const visits = source('visits', fields, {
      rows: [
        missing('pages', { kind: 'constant', value: 7 }),
        range('pages', 10, undefined, 'fail'),
        { ...missing('pages', { kind: 'constant', value: 7 }, 'pages.not_null#2'), action: 'fail' },
        missing('score', { kind: 'mean' }),
        check('some', 'pages is not null'),
        check('logarithm', 'ln(coalesce(score, 0.5)) > 0'),
      ],
    });
    const rows = [
      { id: 'a', at: T, pages: 'x', score: '2' },
      { id: 'b', at: T, pages: 'x', score: '3' },
      { id: 'c', at: T, pages: '10', score: 'y' },
    ];
    const expected = {
      accepted: 0,
      quarantined: 3,
      repaired: 0,
      reasons: { 'pages.type': 2, 'score.type': 1 },
    };
    const lines = rows.map((row) => Object.values(row).join(','));
    const [filed, pushed] = [place(), place()];
    const file = filed.write('a.csv', `id,at,pages,score\n${lines.join('\n')}\n`);
    const { log } = await filed.open([visits]);
    expect(await log.ingestFiles(visits, [file])).toMatchObject(expected);
    const other = await pushed.open([visits]);
    expect(await other.log.ingestRows(visits, rows, { now: 0 })).toMatchObject(expected);
  });
});
