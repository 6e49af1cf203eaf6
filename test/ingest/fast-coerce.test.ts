import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type DuckDb, openDuckDb } from '../../src/adapters/duckdb/connection.js';
import { fastCoerce } from '../../src/adapters/lake/fast-coerce.js';
import { coerceSql } from '../../src/core/schema/coerce-sql.js';
import { parseType } from '../../src/core/schema/types.js';
import fc from '../property.js';

const folder = mkdtempSync(join(tmpdir(), 'millrace-fast-'));
let db: DuckDb;
beforeAll(async () => {
  db = await openDuckDb({ temporaryDirectory: folder });
});
afterAll(() => {
  db.close();
  rmSync(folder, { recursive: true, force: true });
});

const digits = fc.stringMatching(/^[0-9]{1,20}$/);
const number = fc
  .tuple(
    fc.constantFrom('', '-', '+', '--'),
    digits,
    fc.constantFrom('', '.', '.0', '.5', '.125', '.10', '.000000000000000000001', 'e3', 'e400'),
    fc.constantFrom('', ' '),
  )
  .map((parts) => parts.join(''));
const two = fc.oneof(
  fc.integer({ min: 0, max: 99 }).map((n) => String(n).padStart(2, '0')),
  fc.constantFrom('1', '001'),
);
const time = fc
  .tuple(
    fc.constantFrom('2024', '1969', '0001', '9999', '1684', '2255', '24'),
    two,
    two,
    fc.constantFrom('T', ' ', 't', ''),
    two,
    two,
    two,
    fc.constantFrom('', '.5', '.123456', '.1234567', ',5', '.'),
    fc.constantFrom('', 'Z', 'z', '+01:00', '-0530', ' Z', 'UTC'),
  )
  .map(
    ([year, month, day, t, h, m, s, f, z]) =>
      `${year}-${month}-${day}${t}${t === '' ? '' : `${h}:${m}:${s}${f}`}${z}`,
  );
const plausible = fc
  .tuple(
    fc.integer({ min: 1, max: 12 }),
    fc.integer({ min: 1, max: 31 }),
    fc.integer({ min: 0, max: 24 }),
    fc.integer({ min: 0, max: 60 }),
    fc.constantFrom('Z', '', '.25Z', '.25'),
  )
  .map(
    ([month, day, h, m, z]) =>
      `2023-${String(month).padStart(2, '0')}-${String(day).padStart(2, '0')}T${String(h).padStart(2, '0')}:${String(m).padStart(2, '0')}:00${z}`,
  );
const text = fc.oneof(
  number,
  time,
  plausible,
  fc.string({ maxLength: 6 }),
  fc.constantFrom('', ' ', '-0', '0', '-', 'NaN', 'inf', '1_000', '0x1F', '٣', null),
);

describe('the short way of reading texts', () => {
  for (const type of [
    'int64',
    'decimal(2)',
    'decimal(0)',
    'float64',
    'timestamp',
    'date',
    'boolean',
    'string',
  ]) {
    for (const options of [
      { timezone: 'UTC', ambiguousTime: 'refuse', nulls: [] },
      { timezone: 'Europe/Berlin', ambiguousTime: 'refuse', nulls: ['0', '-', '2024-01-01'] },
    ] as const) {
      it(`gives the value and the refusal of the general way for ${type} in ${options.timezone}`, async () => {
        const texts = fc.sample(text, { numRuns: 3000, seed: 7 });
        await db.writeTable('t', [
          { name: 'raw', type: 'VARCHAR', data: texts.map((item) => item?.replaceAll('\0', '') ?? null) },
        ]);
        const general = coerceSql(parseType(type)!, 'raw', options);
        const fast = fastCoerce(parseType(type)!, 'raw', general, options);
        const rows = await db.rows(
          `SELECT raw, CAST(a AS VARCHAR) AS a, CAST(b AS VARCHAR) AS b, bad, bad_fast FROM (SELECT raw, ${general.value} AS a, ${fast.value} AS b, ${general.bad} AS bad, ${fast.bad} AS bad_fast FROM t)` +
            ' WHERE CAST(a AS VARCHAR) IS DISTINCT FROM CAST(b AS VARCHAR) OR bad IS DISTINCT FROM bad_fast',
        );
        expect(rows).toEqual([]);
      });
    }
  }
});
