import { basename } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterEach, describe, expect, it } from 'vitest';
import type { RowRule } from '../../src/core/define/types.js';
import { contents, source, temporaryPlaces } from './support.js';

const place = temporaryPlaces(afterEach);
const T = '2024-01-01T00:00:00Z';
const range: RowRule = {
  id: 'n.range',
  field: 'n',
  severity: 'error',
  action: 'quarantine',
  check: { kind: 'range', min: 0, minExclusive: false, maxExclusive: false },
};
const look: RowRule = {
  id: 'n.sql',
  field: null,
  severity: 'error',
  action: 'quarantine',
  check: { kind: 'sql', sql: 'SELECT * FROM {batch} WHERE false' },
};
const fields = { id: 'int64', at: 'timestamp', n: 'int64', word: 'string' };
const alone = source('visits', fields, { rows: [range] });
const together = source('visits', fields, { rows: [range, look] });

/** Files whose columns change, with rows that break rules, rows that cannot be split, and none. */
const FILES: readonly string[] = [
  `id,at,n,word\n1,${T},5,a\n2,${T},-1,"b\nc"\n3,${T},7,"say ""x"""\n`,
  `id,at,n,word\n4,${T}\n5,${T},x,\n4,${T},9,d,e\n6,${T},-3,f\n`,
  'id,at,n,word\n',
  `id,at,n,word\r\n7,${T},1,g"h\r\n\r\n8,${T},-1,i\r\n`,
  `word,id,at,n\nk,9,${T},2\nl,10,${T},-2\n`,
  `word,id,at,n\n${'m'.repeat(300_000)},11,${T},3\nn,12,${T},-5\n`,
  `word,id,at,n\no,13,${T},4\np,13,${T},-4\n`,
  `id,at,n,word,more\n14,${T},5,q,r\n15,${T},-6,s,t\n`,
  `id,at,n,word\n1,${T},5,a\n6,${T},-3,f\n16,${T},6,u\n`,
];

describe('small files with the same columns, which are read together', () => {
  it('give what the same files give that are read one by one: records, order, places and reasons of refused rows', async () => {
    for (const from of [alone, together]) {
      const outcomes = [];
      // Compressed files are read by themselves.
      for (const [suffix, pack] of [
        ['', (text: string) => text],
        ['.gz', (text: string) => gzipSync(text)],
      ] as const) {
        const at = place();
        const opened = await at.open([from]);
        const files = FILES.map((text, i) => at.write(`f${i}.csv${suffix}`, pack(text)));
        const plain = (text: string): string =>
          text.replaceAll(at.folder, '').replaceAll(`.csv${suffix}`, '.csv');
        const { batch, ...result } = await opened.log.ingestFiles(from, files);
        const refused = await opened.log.quarantine({ source: 'visits' });
        const [record] = await opened.log.batches('visits');
        outcomes.push({
          result: JSON.parse(plain(JSON.stringify(result))),
          log: await contents(opened, from),
          refused: refused.map(({ file, line, row, reasons }) => ({
            file: plain(basename(file!)),
            line,
            row,
            reasons,
          })),
          files: record!.files.map(({ path, rows }) => [plain(basename(path)), rows]),
        });
        expect(record!.batch).toBe(batch);
        await opened.close();
      }
      expect(outcomes[0]).toEqual(outcomes[1]);
      expect(outcomes[0]!.files.map(([, rows]) => rows)).toEqual([3, 4, 0, 2, 2, 2, 2, 2, 3]);
      expect(outcomes[0]!.refused.map(({ file, line }) => `${file}:${line}`)).toEqual([
        'f0.csv:3',
        'f1.csv:2',
        'f1.csv:4',
        'f1.csv:3',
        'f1.csv:5',
        'f3.csv:4',
        'f4.csv:3',
        'f5.csv:3',
        'f6.csv:3',
        'f7.csv:3',
        'f8.csv:3',
      ]);
    }
  });

  it('are refused together for one of them that lacks a column, and the batch on record names those before it', async () => {
    const at = place();
    const opened = await at.open([alone]);
    const files = [FILES[0]!, FILES[1]!, `id,at\n1,${T}\n`].map((text, i) => at.write(`f${i}.csv`, text));
    await expect(opened.log.ingestFiles(alone, files)).rejects.toMatchObject({
      code: 'BATCH_REFUSED',
      place: { file: files[2], line: 1 },
    });
    const [record] = await opened.log.batches('visits');
    expect(record).toMatchObject({ rows: 7, accepted: 0 });
    expect(record!.files.map(({ rows }) => rows)).toEqual([3, 4]);
  });
});
