import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import type { RowRule } from '../../src/core/define/types.js';
import { contents, type Opened, source, temporaryPlaces } from './support.js';

const place = temporaryPlaces(afterEach);
const T = '2024-01-01T00:00:00Z';
const range: RowRule = {
  id: 'n.range',
  field: 'n',
  severity: 'error',
  action: 'quarantine',
  check: { kind: 'range', min: 0, minExclusive: false, maxExclusive: false },
};
const fields = { id: 'int64', at: 'timestamp', n: 'int64', word: 'string' };
const alone = source('visits', fields, { rows: [range] });
/** The same contract, and a rule that looks at the other rows, so that the rows are held in a table. */
const together = source('visits', fields, {
  rows: [
    range,
    {
      id: 'word.sql',
      field: null,
      severity: 'error',
      action: 'quarantine',
      check: { kind: 'sql', sql: 'SELECT * FROM {batch} WHERE false' },
    },
  ],
});

const parquet = async (opened: Opened, file: string, from: number, to: number): Promise<string> => {
  await opened.query(
    `COPY (SELECT i AS id, TIMESTAMPTZ '${T}' AS at, CASE WHEN i % 97 = 5 THEN -i ELSE i END AS n, 'w' || i AS word FROM range(${from}, ${to}) t(i)) TO '${file}' (FORMAT parquet, ROW_GROUP_SIZE 20480)`,
  );
  return file;
};
const csv = (from: number, to: number): string =>
  `id,at,n,word\n${Array.from({ length: to - from }, (_, i) => `${from + i},${T},${(from + i) % 97 === 5 ? -1 : from + i},"w\n${from + i}"`).join('\n')}\n`;

describe('a batch whose rows are judged alone', () => {
  /** The first input fits into memory, the others are read again; nothing fits; all do. */
  const LIMITS = [30_000_000, 0, 2 ** 31];

  it('stands in the log in the order of files and lines, the refused rows left out, whatever threads read it', async () => {
    for (const limit of LIMITS) {
      const at = place();
      const opened = await at.open([alone], 'test', limit);
      const files = [
        await parquet(opened, join(at.folder, 'a.parquet'), 0, 75_000),
        at.write('b.csv', csv(75_000, 100_000)),
        await parquet(opened, join(at.folder, 'c.parquet'), 100_000, 125_000),
      ];
      const result = await opened.log.ingestFiles(alone, files);
      const refused = Math.ceil((125_000 - 5) / 97);
      expect(result).toMatchObject({
        rows: 125_000,
        quarantined: refused,
        accepted: 125_000 - refused,
        duplicates: 0,
      });
      const [found] = await opened.query<Record<string, number>>(
        `SELECT count(*) AS n, count(*) FILTER (id % 97 = 5) AS bad, count(*) FILTER ("_seq" <> id + 1 - (id + 91) // 97) AS moved` +
          ` FROM (${opened.log.relation(await opened.log.state(alone))})`,
      );
      expect(found).toEqual({ n: 125_000 - refused, bad: 0, moved: 0 });
      const [last] = (await opened.log.quarantine({ source: 'visits' })).slice(-1);
      expect(last).toMatchObject({ file: files[2], row: { n: '-124941' } });
      await opened.close();
    }
  }, 60_000);

  it('gives what a batch held in a table gives, row for row and reason for reason', async () => {
    const outcomes = [];
    for (const [from, limit] of [
      [alone, 0],
      [alone, 2 ** 31],
      [together, 0],
    ] as const) {
      const at = place();
      const opened = await at.open([from], 'test', limit);
      const text = `id,at,n,word\n1,${T},5,a\n2,${T},-1,"b\nc"\n2,${T},7,d\n3,${T},x,\n3,${T},4,e\n1,${T},5,a\n4,${T}\n`;
      const first = at.write('a.csv', text);
      const json = at.write(
        'b.ndjson',
        `{"id":9,"at":"${T}","n":-2,"word":"z"}\n{"id":1,"at":"${T}","n":6}\n`,
      );
      const { batch: _, ...result } = await opened.log.ingestFiles(from, [first, json]);
      const rows = await opened.log.quarantine({ source: 'visits' });
      outcomes.push({
        result,
        log: await contents(opened, from),
        refused: rows.map(({ line, row, reasons }) => ({ line, row, reasons })),
      });
    }
    expect(outcomes[0]!.result).toMatchObject({
      rows: 9,
      accepted: 4,
      quarantined: 4,
      duplicates: 1,
      corrections: 1,
    });
    expect(outcomes[0]).toEqual(outcomes[2]);
    expect(outcomes[1]).toEqual(outcomes[2]);
  });
});

describe('a check of files', () => {
  it('says what the ingest then says, shows the first refused rows and leaves the log alone', async () => {
    for (const from of [alone, together]) {
      const at = place();
      const opened = await at.open([from]);
      const now = Date.now() * 1000;
      const file = at.write('a.csv', csv(0, 500));
      const more = at.write('b.csv', csv(0, 700));
      for (const [files, quarantined] of [
        [[file], 6],
        [[more], 2],
        [[file, more], 0],
      ] as const) {
        const before = await opened.log.state(from);
        const { batch: _, refused, ...verdict } = await opened.log.checkFiles(from, files, { now, show: 3 });
        expect(await opened.log.state(from)).toEqual(before);
        expect(refused.length).toBe(Math.min(3, quarantined));
        const { batch: __, ...result } = await opened.log.ingestFiles(from, files, { now });
        expect(verdict).toEqual({ ...result, seq: before.lastSeq });
        expect(result.quarantined).toBe(quarantined);
      }
    }
  });

  it('refuses what the ingest would refuse, and no batch is on record', async () => {
    const at = place();
    const strict = source('visits', fields, { rows: [{ ...range, action: 'fail' }] });
    const opened = await at.open([strict]);
    const file = at.write('a.csv', csv(0, 20));
    const check = opened.log.checkFiles(strict, [file], { now: Date.now() * 1000, show: 3 });
    await expect(check).rejects.toMatchObject({ code: 'BATCH_REFUSED', exit: 3 });
    expect(await opened.log.batches('visits')).toEqual([]);
    expect(existsSync(join(at.folder, '.millrace/lock'))).toBe(false);
    expect(readdirSync(join(at.folder, '.millrace/tmp')).filter((name) => name.startsWith('stage-'))).toEqual(
      [],
    );
  });
});
