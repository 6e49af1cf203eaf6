import { mkdirSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { openDuckDb } from '../../src/adapters/duckdb/connection.js';
import { quoteText } from '../../src/adapters/duckdb/text.js';
import { coerceJson } from '../../src/core/schema/coerce.js';
import { inTimeFormat, inTimeFormatSql, isTimeFormat } from '../../src/core/schema/time-format.js';
import { TIMESTAMP } from '../../src/core/schema/types.js';
import { readSource } from '../../src/services/read-source.js';
import fc from '../property.js';
import { folderOf, inProject, recordsOf, removeFolder } from './support.js';

let folder = '';
afterEach(() => removeFolder(folder));

const OPTIONS = { timezone: 'UTC', ambiguousTime: 'refuse' as const, nulls: [] };
const read = (format: string, given: unknown): unknown => {
  const coerced = coerceJson(TIMESTAMP, inTimeFormat({ type: TIMESTAMP, format }, given), OPTIONS);
  return coerced.ok ? coerced.value : coerced.message;
};

describe('a declared time format', () => {
  it.each<[string, unknown, string]>([
    ['%d/%m/%Y %H:%M', '1/12/2010 8:26', '2010-12-01T08:26:00Z'],
    ['%m/%d/%y', '02/29/24', '2024-02-29T00:00:00Z'],
    ['%m/%d/%y', '01/01/69', '1969-01-01T00:00:00Z'],
    ['%b %d, %Y %I:%M %p', 'Mar 3, 2024 12:05 AM', '2024-03-03T00:05:00Z'],
    ['%d-%b-%Y %I.%M.%S.%f %p', '03-MAR-2024 01.02.03.000004 pm', '2024-03-03T13:02:03.000004Z'],
    ['%Y%m%d%H%M%S%z', '20240301120000+0530', '2024-03-01T06:30:00Z'],
    ['%d/%m/%Y %H:%M', '2024-03-01T12:00:00Z', '2024-03-01T12:00:00Z'],
    ['epoch_s', '1700000000', '2023-11-14T22:13:20Z'],
    ['epoch_ms', 1_700_000_000_123, '2023-11-14T22:13:20.123Z'],
    ['epoch_us', '-1', '1969-12-31T23:59:59.999999Z'],
  ])('%s reads %j', (format, given, iso) => {
    expect(read(format, given)).toBe(coerceJson(TIMESTAMP, iso, OPTIONS).ok && read('epoch_us', iso));
  });

  it.each<[string, unknown]>([
    ['%d/%m/%Y', '31/02/2024'],
    ['%d/%m/%Y', '01/13/2024'],
    ['%d/%m/%Y', 'x01/12/2024'],
    ['%d/%m/%Y %H:%M', '01/12/2024 25:00'],
    ['epoch_s', '1700000000.5'],
    ['epoch_s', '99999999999999'],
  ])('%s refuses %j', (format, given) => {
    expect(read(format, given)).toMatch(/is not a valid timestamp/);
  });

  it('has a year, a month and a day, each directive once, and hours that fit', () => {
    for (const good of ['%Y-%m-%d', '%d.%m.%y %H', 'epoch_ms', '%b %d %Y %I %p', '100%% %Y%m%d'])
      expect(isTimeFormat(good), good).toBe(true);
    for (const bad of [
      '%Y-%m',
      '%d/%d/%Y %m',
      '%Y%m%d %I',
      '%Y%m%d %H %p',
      '%q',
      'epoch',
      '%Y %y %m %d',
      '%Y-%m-%d %',
    ])
      expect(isTimeFormat(bad), bad).toBe(false);
  });

  it('is one reading in TypeScript and in SQL', async () => {
    folder = mkdtempSync(path.join(tmpdir(), 'millrace-times-'));
    mkdirSync(path.join(folder, 'tmp'));
    const db = await openDuckDb({ temporaryDirectory: path.join(folder, 'tmp') });
    try {
      const formats = [
        '%d/%m/%Y %H:%M:%S',
        '%b %d, %Y %I:%M %p',
        '%y%m%d',
        '%Y-%m-%d %H.%M.%S.%f %z',
        'epoch_s',
        'epoch_ms',
        'epoch_us',
      ];
      const digits = fc.integer({ min: 0, max: 99 }).map(String);
      const text = fc.oneof(
        fc
          .tuple(digits, digits, fc.integer({ min: 1600, max: 2300 }), digits, digits, digits)
          .map(([d, m, y, h, n, s]) => `${d}/${m}/${y} ${h}:${n}:${s}`),
        fc
          .tuple(
            fc.constantFrom('Jan', 'feb', 'DEC', 'Foo'),
            digits,
            digits,
            digits,
            fc.constantFrom('AM', 'pm', ''),
          )
          .map(([b, d, h, n, p]) => `${b} ${d}, 2024 ${h}:${n} ${p}`),
        fc.bigInt({ min: -(10n ** 17n), max: 10n ** 17n }).map(String),
        fc.tuple(digits, digits, digits).map((parts) => parts.map((part) => part.padStart(2, '0')).join('')),
        fc
          .tuple(digits, fc.constantFrom('Z', '+01:00', '-0930', ''))
          .map(([f, z]) => ` 2024-3-1 1.2.3.${f} ${z}`),
        fc.string({ maxLength: 12 }).filter((found) => !found.includes('\0')),
      );
      const texts = fc.sample(text, { numRuns: 1_500, seed: 11 }).filter((found) => found.isWellFormed());
      for (const format of formats) {
        const rows = await db.rows<{ given: string; found: string }>(
          `SELECT t AS given, ${inTimeFormatSql({ type: TIMESTAMP, format }, 't')} AS found FROM (SELECT unnest([${texts.map(quoteText).join(', ')}]) AS t)`,
        );
        const normal = (value: string): unknown => {
          const coerced = coerceJson(TIMESTAMP, value, OPTIONS);
          return coerced.ok ? coerced.value : value;
        };
        for (const { given, found } of rows)
          expect([given, normal(found)]).toEqual([
            given,
            normal(inTimeFormat({ type: TIMESTAMP, format }, given) as string),
          ]);
      }
    } finally {
      db.close();
    }
  }, 60_000);

  it('holds in every format of file, for pushes, and in the reasons of quarantined rows', async () => {
    folder = folderOf(
      `
sources:
  - name: visits
    kind: events
    read: { files: 'data/*' }
    record_key: id
    event_time: at
    timezone: Europe/Berlin
    fields: { id: int64, at: { type: timestamp, format: '%d.%m.%Y %H:%M' }, seen: { type: timestamp, format: epoch_ms }, day: { type: date, format: '%m/%d/%Y' } }
`,
      {
        'data/a.csv': 'id,at,seen,day\n1,1.7.2024 12:00,1700000000000,2/29/2024\n2,1.13.2024 12:00,5,\n',
        'data/b.ndjson':
          '{"id":3,"at":"1.7.2024 12:00","seen":1700000000000,"day":"2/29/2024"}\n{"id":4,"at":"2024-07-01T10:00:00Z","seen":"x","day":null}\n',
      },
    );
    await inProject(folder, async (project) => {
      const source = project.definitions.sources.get('visits')!;
      expect(await readSource(project, source)).toMatchObject({ accepted: 2, quarantined: 2 });
      const log = await project.log();
      const pushed = [
        { id: 5, at: '1.7.2024 12:00', seen: 1_700_000_000_000, day: '2/29/2024' },
        { id: 6, at: '1.7.2024 12:00', seen: 1.5 },
      ];
      expect(await log.ingestRows(source, pushed, { now: Date.now() * 1000 })).toMatchObject({
        accepted: 1,
        quarantined: 1,
      });
      const records = await recordsOf(project, 'visits');
      for (const record of records)
        expect(record).toMatchObject({
          at: Date.UTC(2024, 6, 1, 10) * 1000,
          seen: 1_700_000_000_000_000,
          day: 19_782,
        });
      expect(records).toHaveLength(3);
      const refused = await log.quarantine({ source: 'visits' });
      expect(refused.map(({ reasons }) => reasons.map(({ field, value }) => [field, value]))).toEqual([
        [['at', '1.13.2024 12:00']],
        [['seen', 'x']],
        [['seen', 1.5]],
      ]);
      for (const { message } of refused.flatMap(({ reasons }) => reasons))
        expect(message).toMatch(/expected the format (%d.%m.%Y %H:%M|epoch_ms)$/);
    });
  });
});
