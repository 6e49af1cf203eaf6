import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { shareLimit, suggestPattern, suggestRange, unseenShare } from '../../src/core/quality/suggest.js';
import type { ValueFacts } from '../../src/core/quality/suggest-facts.js';
import { openProject, withFileInspector } from '../../src/open.js';
import { loadProject } from '../../src/services/load-project.js';
import { type SuggestedContract, suggestContract } from '../../src/services/suggest-contract.js';

const folders: string[] = [];
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

async function suggestFrom(
  name: string,
  content: string | Uint8Array,
): Promise<{ folder: string; suggested: SuggestedContract }> {
  const folder = mkdtempSync(path.join(tmpdir(), 'millrace-suggest-'));
  folders.push(folder);
  mkdirSync(path.join(folder, 'definitions'));
  writeFileSync(path.join(folder, name), content);
  const suggested = await withFileInspector((inspector) =>
    suggestContract(inspector, [path.join(folder, name)], { projectFolder: folder }),
  );
  writeFileSync(path.join(folder, 'definitions/suggested.yaml'), suggested.text);
  return { folder, suggested };
}

/** The definition is read without a word, and its own file comes in. */
async function ingestSuggested(folder: string, suggested: SuggestedContract) {
  expect((await loadProject(folder)).diagnostics).toEqual([]);
  const project = await openProject(folder);
  try {
    const source = project.definitions.sources.get(suggested.source)!;
    const log = await project.log();
    return await log.ingestFiles(source, log.expand(source), { now: 1_700_000_000_000_000 });
  } finally {
    await project.close();
  }
}

const lines = (n: number, line: (i: number) => readonly unknown[]): string =>
  Array.from({ length: n }, (_, i) => line(i).join(',')).join('\n');
const day = (i: number): string => new Date(Date.UTC(2024, 0, 1) + i * 3_600_000).toISOString();

const SHOP = `order_id,customer,status,amount,units,zip,rating,note,active,ordered_at,loaded_at,us_date
${lines(600, (i) => [
  `A${1000 + i}`,
  i % 7 === 0 ? 'NA' : (i * 37) % 211,
  ['paid', 'open', 'lost'][i % 3],
  (((i * 7919) % 50_000) / 100).toFixed(2),
  i % 9,
  `0${1000 + (i % 90)}`,
  i % 5 === 0 ? '' : (i % 50) / 7,
  `text ${i} of ${'x'.repeat(i % 5)}`,
  i % 2 === 0 ? 'true' : 'false',
  day(i),
  day(i + 1),
  `${(i % 12) + 1}/${(i % 27) + 1}/2024`,
])}
`;

describe('a contract proposed from a file', () => {
  it('is typed, has reasons, is the same every time, and refuses no row of its own file', async () => {
    const { folder, suggested } = await suggestFrom('orders.csv', SHOP);
    const { form } = suggested;
    expect(form.fields).toEqual({
      order_id: 'string',
      customer: 'int64',
      status: 'string',
      amount: 'decimal(2)',
      units: 'int64',
      zip: 'string',
      rating: 'float64',
      note: 'string',
      active: 'boolean',
      ordered_at: 'timestamp',
      loaded_at: 'timestamp',
      us_date: { type: 'date', format: '%m/%d/%Y' },
    });
    expect(form).toMatchObject({
      name: 'orders',
      read: { files: 'orders.csv', nulls: ['NA'] },
      record_key: 'order_id',
      event_time: 'ordered_at',
      available_at: 'loaded_at',
    });
    expect(form.contract).toMatchObject({
      order_id: { pattern: '^[A-Z]\\d{4}$' },
      status: { not_null: true, in: ['lost', 'open', 'paid'] },
      units: { not_null: true, range: [0, 20] },
      zip: { pattern: '^\\d{5}$' },
    });
    expect(form.contract!['customer']).not.toHaveProperty('not_null');
    expect(form.contract!['note']).not.toHaveProperty('in');
    expect(suggested.text).toMatch(
      /# digits, but 600 begin with 0 or \+: as numbers they would lose it\n\s+zip: string/,
    );
    expect(suggested.text).toContain('"NA" stands for null in customer');
    const again = await suggestFrom('orders.csv', SHOP);
    expect(again.suggested.text).toBe(suggested.text);
    const result = await ingestSuggested(folder, suggested);
    expect(result).toMatchObject({ rows: 600, accepted: 600, quarantined: 0, dropped: 0 });
    expect(result.warnings).toEqual([]);
  });

  it('reads other delimiters and encodings, finds a key of several columns and counts exact repeats', async () => {
    const rows = Array.from({ length: 400 }, (_, i) => [
      i % 20,
      `Zürich ${i % 3}`,
      new Date(Date.UTC(2024, 0, 1 + Math.floor(i / 20))).toISOString().slice(0, 10),
      (i * 13) % 17,
    ]);
    const text = [['shop', 'city', 'day', 'sold'], ...rows, rows[0]!, rows[1]!]
      .map((row) => row.join(';'))
      .join('\n');
    const { folder, suggested } = await suggestFrom('sales.csv', Buffer.from(`${text}\n`, 'latin1'));
    expect(suggested.form).toMatchObject({
      read: { files: 'sales.csv', delimiter: ';', encoding: 'latin-1' },
      record_key: ['shop', 'day'],
      event_time: 'day',
    });
    expect(suggested.text).toContain('2 rows repeat another exactly');
    const result = await ingestSuggested(folder, suggested);
    expect(result).toMatchObject({ rows: 402, accepted: 400, duplicates: 2, quarantined: 0 });
  });

  it('reads JSON by its own types', async () => {
    const text = Array.from({ length: 150 }, (_, i) =>
      JSON.stringify({
        id: `k${i}`,
        n: i,
        x: i / 3,
        on: i % 2 === 0,
        at: day(i),
        ...(i % 3 === 0 ? {} : { opt: 'a' }),
      }),
    ).join('\n');
    const { folder, suggested } = await suggestFrom('events.ndjson', text);
    expect(suggested.form.fields).toEqual({
      at: 'timestamp',
      id: 'string',
      n: 'int64',
      on: 'boolean',
      opt: 'string',
      x: 'float64',
    });
    expect(await ingestSuggested(folder, suggested)).toMatchObject({ accepted: 150, quarantined: 0 });
  });

  it('keeps the type of a column with very few broken values, and says that they will be refused', async () => {
    const text = `id,v,at\n${lines(2000, (i) => [i, i === 700 ? 'broken' : i % 10, day(i)])}\n`;
    const { folder, suggested } = await suggestFrom('t.csv', text);
    expect(suggested.form.fields).toMatchObject({ v: 'int64' });
    expect(suggested.text).toContain('1 row of 2,000 cannot be read and go to quarantine, such as "broken"');
    expect(await ingestSuggested(folder, suggested)).toMatchObject({
      accepted: 1999,
      quarantined: 1,
      reasons: { 'v.type': 1 },
    });
  });

  it('takes codes with letters in a few of them for texts', async () => {
    const text = `id,code,at\n${lines(2000, (i) => [i, `${i % 60 === 0 ? 'C' : ''}${500_000 + i}`, day(i)])}\n`;
    const { suggested } = await suggestFrom('t.csv', text);
    expect(suggested.form.fields).toMatchObject({ code: 'string' });
  });

  it('proposes little from little', async () => {
    const text = `id,kind,v,at\n${lines(30, (i) => [i, ['a', 'b'][i % 2], i, day(i)])}\n`;
    const { folder, suggested } = await suggestFrom('t.csv', text);
    expect(Object.keys(suggested.form.contract!)).toEqual(['batch']);
    expect(suggested.text).toContain('never null, but 30 rows do not rule out 9.5 % of nulls');
    expect(await ingestSuggested(folder, suggested)).toMatchObject({ accepted: 30, quarantined: 0 });
  });

  it('keeps the digits of what is no quantity, and reads times by the one layout that fits', async () => {
    const text = `nr,phone,wide,done,at,either\n${lines(200, (i) => [
      i,
      `+49301234${100 + i}`,
      `${10n ** 24n + BigInt(i)}`,
      i % 2,
      `${String((i % 28) + 1).padStart(2, '0')}.03.2024 10:${10 + (i % 50)}`,
      `0${(i % 9) + 1}/0${(i % 7) + 1}/2024`,
    ])}\n`;
    const { folder, suggested } = await suggestFrom('calls.csv', text);
    expect(suggested.form.fields).toEqual({
      nr: 'int64',
      phone: 'string',
      wide: 'string',
      done: 'int64',
      at: { type: 'timestamp', format: '%d.%m.%Y %H:%M' },
      either: 'string',
    });
    expect(suggested.form).toMatchObject({ event_time: 'at', contract: { done: { in: [0, 1] } } });
    expect(suggested.text).toMatch(/# a time: .*%m\/%d\/%Y' } or .*%d\/%m\/%Y' };/);
    expect(await ingestSuggested(folder, suggested)).toMatchObject({ accepted: 200, quarantined: 0 });
  });

  it('gives names that a definition can have', async () => {
    const text = `_id,rules,batch,Name,name,At Time\n${lines(150, (i) => [`k${i}`, i % 3, 'x', i, i + 1, day(i)])}\n`;
    const { folder, suggested } = await suggestFrom('2024 data.csv', text);
    expect(suggested.source).toBe('source_2024_data');
    expect(suggested.form.fields).toEqual({
      id: { type: 'string', from: '_id' },
      rules_value: { type: 'int64', from: 'rules' },
      batch_value: { type: 'string', from: 'batch' },
      Name: 'int64',
      name_2: { type: 'int64', from: 'name' },
      'At Time': 'timestamp',
    });
    expect(await ingestSuggested(folder, suggested)).toMatchObject({ accepted: 150, quarantined: 0 });
  });

  it('of a file without rows is types that are guesses', async () => {
    const { suggested } = await suggestFrom('t.csv', 'id,at\n');
    expect(suggested).toMatchObject({ complete: false, rows: 0 });
    expect(suggested.form.fields).toEqual({ id: 'string', at: 'string' });
  });

  it('says when a file has no time', async () => {
    const { suggested } = await suggestFrom('t.csv', 'id,v\n1,2\n2,3\n');
    expect(suggested.complete).toBe(false);
    expect(suggested.text).toContain('NOT COMPLETE');
  });
});

describe('bounds', () => {
  it('rule out what was never seen as the rule of three does', () => {
    expect(unseenShare(299)).toBeLessThan(0.01);
    expect(unseenShare(298)).toBeGreaterThan(0.01);
    expect(unseenShare(10_000) * 10_000).toBeCloseTo(3, 1);
  });

  it('of null rates are passed by about one batch in a thousand', () => {
    // Exact binomial tails of a second batch, averaged over the first: n = 1000, p = 5 %.
    const n = 1000;
    const p = 0.05;
    const logs = new Float64Array(n + 2);
    for (let i = 1; i <= n; i++) logs[i] = logs[i - 1]! + Math.log(i);
    const mass = Array.from({ length: n + 1 }, (_, k) =>
      Math.exp(logs[n]! - logs[k]! - logs[n - k]! + k * Math.log(p) + (n - k) * Math.log(1 - p)),
    );
    let alarm = 0;
    for (let k = 1; k <= n; k++) {
      const limit = shareLimit(k, n);
      let tail = 0;
      for (let next = Math.floor(limit * n) + 1; next <= n; next++) tail += mass[next]!;
      alarm += mass[k]! * tail;
    }
    expect(alarm).toBeGreaterThan(0.0001);
    expect(alarm).toBeLessThan(0.002);
  });

  it('of ranges hold what is there, leave room, and stay on the side of zero where values touch it', () => {
    const at = (min: number, q01: number, q50: number, q99: number, max: number, whole = false) =>
      suggestRange({ min, q01, q50, q99, max, whole }, whole);
    expect(at(0, 1, 50, 99, 100)).toMatchObject({ min: 0, max: 250, far: null });
    expect(at(986, 1000, 1017, 1034, 1045)).toMatchObject({ min: 940, max: 1100 });
    expect(at(-5, -4, 0, 4, 5)).toMatchObject({ min: -16, max: 16 });
    expect(at(-9, -8, -5, 0, 0)).toMatchObject({ min: -20, max: 0 });
    const heavy = at(1, 1, 5, 50, 1_000_000, true);
    expect(heavy.max).toBeGreaterThan(1_000_000);
    expect(heavy.far).toContain('1000000');
  });

  it('patterns are proposed for shapes, not for words', () => {
    const facts = (masks: readonly (readonly [string, number])[]): ValueFacts => ({
      name: 'x',
      count: masks.reduce((sum, [, n]) => sum + n, 0),
      nulls: 0,
      unreadable: 0,
      example: null,
      distinct: 500,
      singles: 0,
      rarest: 1,
      values: null,
      numbers: null,
      lengths: [1, 20],
      masks,
    });
    expect(suggestPattern(facts([['AA-9999', 500]]))).toBe('^[A-Z]{2}\\-\\d{4}$');
    expect(
      suggestPattern(
        facts([
          ['A9', 300],
          ['A999', 300],
          ['999', 100],
        ]),
      ),
    ).toBe('^([A-Z]\\d+|\\d{3})$');
    expect(
      suggestPattern(
        facts([
          ['Aaaa', 300],
          ['Aaaaaa', 300],
        ]),
      ),
    ).toBeUndefined();
    expect(suggestPattern(facts([['aaa aaa', 500]]))).toBeUndefined();
    expect(
      suggestPattern(
        facts([
          ['99', 500],
          ['A9', 2],
        ]),
      ),
    ).toBeUndefined();
  });
});
