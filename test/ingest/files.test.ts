import { chmodSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterEach, describe, expect, it } from 'vitest';
import { parseInstant } from '../../src/core/base/time.js';
import { contents, source, temporaryPlaces } from './support.js';

const place = temporaryPlaces(afterEach);
const visits = source('visits', { id: 'string', at: 'timestamp', pages: 'int64', note: 'string' });
const HEADER = 'id,at,pages,note\n';
const T = '2024-01-01T00:00:00Z';

async function failure(work: Promise<unknown>): Promise<{
  code: string;
  message: string;
  exit: number;
  hint?: string;
  place?: { file?: string; line?: number };
}> {
  try {
    await work;
  } catch (error) {
    return error as never;
  }
  throw new Error('it did not fail');
}

describe('a delimited file', () => {
  it('is read as RFC 4180 says: quoted delimiters, quotes and line breaks, CRLF, a byte-order mark, no last newline', async () => {
    const at = place();
    const file = at.write(
      'a.csv',
      `\ufeffid,at,pages,note\r\n007,${T},1,"a, ""b""\r\nc"\r\n8,${T},2,\r\n9,${T},,""\r\n10,${T},3,5" pipe`,
    );
    const opened = await at.open([visits]);
    const result = await opened.log.ingestFiles(visits, [file]);
    expect(result).toMatchObject({ rows: 4, accepted: 4, quarantined: 0, seq: 4 });
    expect((await contents(opened, visits)).map((row) => [row.id, row.pages, row.note])).toEqual([
      ['007', 1, 'a, "b"\r\nc'],
      ['8', 2, null],
      ['9', null, ''],
      ['10', 3, '5" pipe'],
    ]);
  });

  it('keeps the order of a file of many buffers, whatever the number of threads', async () => {
    const at = place();
    const lines = Array.from({ length: 150_000 }, (_, i) => `k${i},${T},${i},${'x'.repeat(i % 60)}`);
    const file = at.write('big.csv', HEADER + lines.join('\n'));
    const opened = await at.open([visits]);
    await opened.log.ingestFiles(visits, [file]);
    const rows = await opened.query<{ n: number }>(
      `SELECT count(*) AS n FROM (${opened.log.relation(await opened.log.state(visits))}) WHERE pages = "_seq" - 1 AND id = 'k' || pages`,
    );
    expect(rows[0]!.n).toBe(150_000);
  });

  it('sends rows that do not split to quarantine with file, line and text, and reads on after each', async () => {
    const at = place();
    const text = `${HEADER}a,${T},1,ok\nb,${T},2\nc,${T},3,"open\nd,${T},4,"x"y\n\ne,${T},5,"two\nlines"\nf,${T},6,x,extra\n`;
    const file = at.write(
      'bad.csv',
      Buffer.concat([
        Buffer.from(text),
        Buffer.from(`g,${T},7,caf`),
        Buffer.from([0xe9, 10]),
        Buffer.from(`h,${T},8,\n`),
      ]),
    );
    const opened = await at.open([visits]);
    const result = await opened.log.ingestFiles(visits, [file]);
    expect((await contents(opened, visits)).map((row) => row.id)).toEqual(['a', 'e', 'h']);
    expect(result).toMatchObject({ rows: 8, accepted: 3, quarantined: 5 });
    const held = await opened.log.quarantine();
    expect(held.map((row) => [row.line, row.reasons[0]!.rule, row.row['_text']])).toEqual([
      [3, 'parse.columns', `b,${T},2`],
      [4, 'parse.quotes', `c,${T},3,"open`],
      [5, 'parse.quotes', `d,${T},4,"x"y`],
      [9, 'parse.columns', `f,${T},6,x,extra`],
      [10, 'parse.encoding', `g,${T},7,caf\ufffd`],
    ]);
    expect(held.every((row) => row.file === file)).toBe(true);
  });

  it('names line, field, value and reason of each value that is none, counting lines inside quotes', async () => {
    const at = place();
    const file = at.write(
      'v.csv',
      `${HEADER}a,${T},1,"x\ny"\nb,2024-02-30T00:00:00Z,2,\nc,${T},99999999999999999999,\n,${T},1,\nd,,1,\n`,
    );
    const opened = await at.open([visits]);
    const result = await opened.log.ingestFiles(visits, [file]);
    expect(result.reasons).toEqual({ 'at.type': 1, 'pages.type': 1, 'id.not_null': 1, 'at.not_null': 1 });
    const held = await opened.log.quarantine();
    expect(
      held.map((row) => [row.line, row.reasons[0]!.rule, row.reasons[0]!.field, row.reasons[0]!.value]),
    ).toEqual([
      [4, 'at.type', 'at', '2024-02-30T00:00:00Z'],
      [5, 'pages.type', 'pages', '99999999999999999999'],
      [6, 'id.not_null', 'id', null],
      [7, 'at.not_null', 'at', null],
    ]);
    expect(held[0]!.row).toEqual({ id: 'b', at: '2024-02-30T00:00:00Z', pages: '2', note: null });
    expect(held[0]!.reasons[0]!.message).toContain('this day does not exist');
  });

  it('with another delimiter is told so before anything happens', async () => {
    const at = place();
    const file = at.write('semi.csv', `id;at;pages;note\na;${T};1;x\n`);
    const opened = await at.open([visits]);
    const error = await failure(opened.log.ingestFiles(visits, [file]));
    expect(error).toMatchObject({ code: 'FILE_DELIMITER', exit: 1, place: { file, line: 1 } });
    expect(error.message).toContain('a semicolon');
    const semicolons = source(
      'visits',
      { id: 'string', at: 'timestamp', pages: 'int64', note: 'string' },
      { read: { kind: 'files', patterns: [], delimiter: ';' } },
    );
    expect(await opened.log.ingestFiles(semicolons, [file])).toMatchObject({ accepted: 1 });
  });

  it('with a renamed column is refused whole, naming the column it probably is, and the refusal is recorded', async () => {
    const at = place();
    const file = at.write('renamed.csv', `id,at,page_count,pages_,note\na,${T},1,1,x\n`);
    const opened = await at.open([visits]);
    const error = await failure(opened.log.ingestFiles(visits, [file]));
    expect(error).toMatchObject({ code: 'BATCH_REFUSED', exit: 3, place: { file } });
    expect(error.message).toContain('probably renamed: pages → pages_ (1.00)');
    expect(await opened.log.state(visits)).toMatchObject({ rows: 0, lastSeq: 0 });
    expect(await opened.log.batches('visits')).toMatchObject([{ status: 'refused', accepted: 0 }]);
  });

  it('reads a column under its name in the file, and leaves undeclared columns out with a warning', async () => {
    const at = place();
    const mapped = source('visits', { id: 'string', at: 'timestamp', pages: 'int64 < page count' });
    const file = at.write('m.csv', `extra,page count,at,id\nx,5,${T},a\n`);
    const opened = await at.open([mapped]);
    const result = await opened.log.ingestFiles(mapped, [file]);
    expect(result.warnings).toMatchObject([{ rule: 'extra_columns' }]);
    expect(await contents(opened, mapped)).toMatchObject([{ id: 'a', pages: 5 }]);
  });

  it('in Latin-1 is read when that is declared', async () => {
    const at = place();
    const latin = source(
      'visits',
      { id: 'string', at: 'timestamp', note: 'string' },
      { read: { kind: 'files', patterns: [], encoding: 'latin-1', nulls: ['-'] } },
    );
    const file = at.write('l.csv', Buffer.from(`id,at,note\na,${T},caf\u00e9\nb,${T},-\n`, 'latin1'));
    const opened = await at.open([latin]);
    await opened.log.ingestFiles(latin, [file]);
    expect((await contents(opened, latin)).map((row) => row.note)).toEqual(['café', null]);
  });
});

describe('a file that cannot be meant', () => {
  const cases: readonly (readonly [string, (at: ReturnType<typeof place>) => string, string])[] = [
    ['is missing', (at) => join(at.folder, 'nothing.csv'), 'FILE_NOT_FOUND'],
    ['is matched by no pattern', (at) => join(at.folder, 'none*.csv'), 'FILE_NOT_FOUND'],
    ['is empty', (at) => at.write('e.csv', ''), 'FILE_EMPTY'],
    ['is empty inside its gzip', (at) => at.write('e.csv.gz', gzipSync('')), 'FILE_EMPTY'],
    [
      'is a directory',
      (at) => {
        mkdirSync(join(at.folder, 'd.csv'));
        return join(at.folder, 'd.csv');
      },
      'FILE_UNREADABLE',
    ],
    ['has an unknown format', (at) => at.write('x.bin', 'x'), 'FORMAT_UNKNOWN'],
    ['is no gzip although it says so', (at) => at.write('x.csv.gz', HEADER), 'FILE_UNREADABLE'],
    ['is no Parquet although it says so', (at) => at.write('x.parquet', 'PAR1 nothing'), 'FILE_UNREADABLE'],
    ['is UTF-16', (at) => at.write('x.csv', Buffer.from(`\ufeff${HEADER}`, 'utf16le')), 'FILE_ENCODING'],
    ['is UTF-16 without a mark', (at) => at.write('x.csv', Buffer.from(HEADER, 'utf16le')), 'FILE_ENCODING'],
    [
      'is JSON that ends too early',
      (at) => at.write('x.json', `[{"id":"a","at":"${T}"}, {"id":`),
      'FILE_TORN',
    ],
    ['is broken JSON', (at) => at.write('x.json', `[{"id":"a" "at":1}]`), 'FILE_UNREADABLE'],
  ];
  for (const [what, make, code] of cases) {
    it(`fails with ${code} when it ${what}, and the log stays as it was`, async () => {
      const at = place();
      const opened = await at.open([visits]);
      const good = at.write('good.csv', `${HEADER}a,${T},1,\n`);
      const error = await failure(opened.log.ingestFiles(visits, [good, make(at)]));
      expect(error).toMatchObject({ code });
      expect(await opened.log.state(visits)).toMatchObject({ rows: 0, lastSeq: 0, segments: [] });
      expect(await opened.log.ingestFiles(visits, [good])).toMatchObject({ accepted: 1 });
    });
  }

  it.skipIf(process.getuid?.() === 0)('fails with PERMISSION_DENIED when it may not be read', async () => {
    const at = place();
    const file = at.write('secret.csv', HEADER);
    chmodSync(file, 0o000);
    const opened = await at.open([visits]);
    expect(await failure(opened.log.ingestFiles(visits, [file]))).toMatchObject({
      code: 'PERMISSION_DENIED',
    });
  });

  it('is torn when its gzip ends too early or has a wrong checksum, at any place', async () => {
    const at = place();
    const opened = await at.open([visits]);
    const whole = gzipSync(
      HEADER + Array.from({ length: 5000 }, (_, i) => `k${i},${T},${i},n${i * 7919}\n`).join(''),
    );
    for (const cut of [30, whole.length >> 1, whole.length - 9, whole.length - 1]) {
      const file = at.write(`torn${cut}.csv.gz`, whole.subarray(0, cut));
      expect(await failure(opened.log.ingestFiles(visits, [file])), `cut at ${cut}`).toMatchObject({
        code: 'FILE_TORN',
        exit: 1,
      });
    }
    const flipped = Buffer.from(whole);
    flipped[whole.length - 6]! ^= 1;
    expect(await failure(opened.log.ingestFiles(visits, [at.write('crc.csv.gz', flipped)]))).toMatchObject({
      code: 'FILE_TORN',
    });
    expect(await opened.log.state(visits)).toMatchObject({ rows: 0 });
    expect(readdirSync(join(at.folder, '.millrace/lake/visits'))).toEqual([]);
  });

  it('is torn when its zstd ends too early', async () => {
    const at = place();
    const opened = await at.open([visits]);
    const file = join(at.folder, 'z.csv.zst');
    await opened.query(
      `COPY (SELECT 'k' || range AS id, TIMESTAMPTZ '2024-01-01 00:00:00+00' AS "at", range AS pages, 'n' || hash(range) AS note FROM range(20000)) TO '${file}' (FORMAT csv, COMPRESSION zstd)`,
    );
    const { readFileSync } = await import('node:fs');
    const whole = readFileSync(file);
    for (const cut of [3, whole.length >> 1, whole.length - 1]) {
      const torn = at.write(`torn${cut}.csv.zst`, whole.subarray(0, cut));
      expect(await failure(opened.log.ingestFiles(visits, [torn])), `cut at ${cut}`).toMatchObject({
        code: 'FILE_TORN',
      });
    }
    expect(await opened.log.ingestFiles(visits, [file])).toMatchObject({ accepted: 20_000 });
  });

  it('keeps blank lines inside quotes and reads Latin-1 when its zstd is whole', async () => {
    const at = place();
    const latin = source(
      'visits',
      { id: 'string', at: 'timestamp', note: 'string' },
      { read: { kind: 'files', patterns: [], encoding: 'latin-1' } },
    );
    const opened = await at.open([latin]);
    const file = join(at.folder, 'q.csv.zst');
    await opened.query(
      `COPY (SELECT l FROM (VALUES (1, 'id,at,note'), (2, 'a,2024-01-01,"x'), (3, ''), (4, 'y"'), (5, 'b,2024-01-01,z')) t(n, l) ORDER BY n) TO '${file}' (FORMAT csv, HEADER false, QUOTE '', DELIMITER '|', COMPRESSION zstd)`,
    );
    await opened.log.ingestFiles(latin, [file]);
    expect((await contents(opened, latin)).map((row) => row.note)).toEqual(['x\n\ny', 'z']);
  });

  it('mixes CRLF with the LF of quoted fields in its zstd', async () => {
    const at = place();
    const opened = await at.open([visits]);
    const file = join(at.folder, 'm.csv.zst');
    await opened.query(
      `COPY (SELECT l FROM (VALUES (1, 'id,at,pages,note' || chr(13)), (2, 'a,2024-01-01,1,"x'), (3, 'y"' || chr(13)), (4, 'b,2024-01-01,2,z' || chr(13))) t(n, l) ORDER BY n) TO '${file}' (FORMAT csv, HEADER false, QUOTE '', DELIMITER '|', COMPRESSION zstd)`,
    );
    expect(await opened.log.ingestFiles(visits, [file])).toMatchObject({ rows: 2, accepted: 2 });
    expect((await contents(opened, visits)).map((row) => row.note)).toEqual(['x\ny', 'z']);
  });

  it('has a header and no rows: accepted with a warning', async () => {
    const at = place();
    const opened = await at.open([visits]);
    const result = await opened.log.ingestFiles(visits, [at.write('h.csv', HEADER)]);
    expect(result).toMatchObject({ rows: 0, accepted: 0, warnings: [{ rule: 'file.no_rows' }] });
  });
});

describe('other formats', () => {
  it('NDJSON, a JSON array and Parquet give the same records as CSV', async () => {
    const at = place();
    const records = [
      { id: 'a', at: T, pages: 1, note: 'x, "y"\n' },
      { id: '007', at: '2024-01-01T01:00:00+01:00', pages: null, note: '' },
      { id: 'c', at: '2024-01-01 00:00:00', pages: 9007199254740993n, note: 'ключ' },
    ];
    const text = (record: object): string =>
      JSON.stringify(record, (_k, v) => (typeof v === 'bigint' ? `#${v}#` : v)).replace(/"#(\d+)#"/, '$1');
    const csv = at.write(
      'r.csv',
      `${HEADER}a,${T},1,"x, ""y""\n"\n007,2024-01-01T01:00:00+01:00,,""\nc,2024-01-01 00:00:00,9007199254740993,ключ\n`,
    );
    const files = [
      csv,
      at.write('r.ndjson', `${records.map(text).join('\n')}\n\n`),
      at.write('r.json', `[\n  ${records.map(text).join(',\n  ')}\n]\n`),
      at.write('r2.jsonl.gz', gzipSync(records.map(text).join('\r\n'))),
    ];
    const opened = await at.open([visits]);
    const parquet = join(at.folder, 'r.parquet');
    await opened.query(
      `COPY (SELECT * FROM (VALUES ('a', TIMESTAMPTZ '${T}', 1::BIGINT, 'x, "y"' || chr(10)), ('007', TIMESTAMPTZ '${T}', NULL, ''),` +
        ` ('c', TIMESTAMPTZ '${T}', 9007199254740993, 'ключ')) t(id, "at", pages, note)) TO '${parquet}' (FORMAT parquet)`,
    );
    for (const [index, file] of [...files, parquet].entries()) {
      const result = await opened.log.ingestFiles(visits, [file]);
      expect([file, result.accepted, result.duplicates, result.quarantined]).toEqual([
        file,
        index === 0 ? 3 : 0,
        index === 0 ? 0 : 3,
        0,
      ]);
    }
    expect((await contents(opened, visits)).map((row) => row.pages)).toEqual([1, null, 9007199254740993n]);
  });

  it('records of a JSON document that stand in one line are judged and told apart one by one', async () => {
    const at = place();
    const records = [
      { id: 'a', at: T, pages: 1 },
      { id: 'b', at: T, pages: 'x' },
      { id: 'a', at: T, pages: 1 },
      { id: 'c', at: T, pages: 2 },
      { id: 'd', at: 'never', pages: 3 },
    ];
    const opened = await at.open([visits]);
    expect(
      await opened.log.ingestFiles(visits, [at.write('one.json', JSON.stringify(records))]),
    ).toMatchObject({
      accepted: 2,
      quarantined: 2,
      duplicates: 1,
    });
    expect((await contents(opened, visits)).map((row) => row.id)).toEqual(['a', 'c']);
    expect((await opened.log.quarantine()).map(({ line, row }) => [line, row['id']])).toEqual([
      [2, 'b'],
      [5, 'd'],
    ]);
  });

  it('a line that is no JSON object goes to quarantine with its text', async () => {
    const at = place();
    const file = at.write('b.ndjson', `{"id":"a","at":"${T}"}\n{"id":\n[1]\n{"id":7,"at":"${T}"}\n`);
    const opened = await at.open([visits]);
    expect(await opened.log.ingestFiles(visits, [file])).toMatchObject({ accepted: 1, quarantined: 3 });
    expect((await opened.log.quarantine()).map((row) => [row.line, row.reasons[0]!.rule])).toEqual([
      [2, 'parse.json'],
      [3, 'parse.json'],
      [4, 'id.type'],
    ]);
  });
});

describe('the same rows again', () => {
  it('from the same file add nothing, also under a changed definition and from another file', async () => {
    const at = place();
    const text = `${HEADER}a,${T},1,x\nb,${T},2,y\na,${T},1,x\nc,${T},oops,\n`;
    const opened = await at.open([visits]);
    const first = await opened.log.ingestFiles(visits, [at.write('one.csv', text)]);
    expect(first).toMatchObject({ rows: 4, accepted: 2, duplicates: 1, quarantined: 1, corrections: 0 });
    expect(await opened.log.ingestFiles(visits, [join(at.folder, 'one.csv')])).toMatchObject({
      rows: 4,
      duplicates: 4,
      accepted: 0,
    });
    const changed = { ...visits, fingerprint: 'other' };
    expect(await opened.log.ingestFiles(changed, [join(at.folder, 'one.csv')])).toMatchObject({
      duplicates: 4,
      quarantined: 0,
      accepted: 0,
    });
    expect(await opened.log.ingestFiles(visits, [at.write('two.csv', `${text}d,${T},4,z\n`)])).toMatchObject({
      accepted: 1,
      duplicates: 4,
    });
    expect(await opened.log.state(visits)).toMatchObject({ rows: 3, lastSeq: 3, hasVersions: false });
    // A refused row enters the ledger once, by its content: the same row in two.csv is one of the four duplicates.
    expect((await opened.log.quarantine()).map((row) => [row.file, row.line])).toEqual([
      [join(at.folder, 'one.csv'), 5],
    ]);
  });

  it('with another content are new versions in file order', async () => {
    const at = place();
    const opened = await at.open([visits]);
    await opened.log.ingestFiles(visits, [
      at.write('one.csv', `${HEADER}a,${T},1,x\na,${T},2,x\nb,${T},1,\n`),
    ]);
    const result = await opened.log.ingestFiles(visits, [
      at.write('two.csv', `${HEADER}b,${T},5,\na,${T},1,x\nn,${T},1,\n`),
    ]);
    expect(result).toMatchObject({ accepted: 2, duplicates: 1, corrections: 1 });
    expect((await contents(opened, visits)).map((row) => [row._seq, row.id, row.pages])).toEqual([
      [1, 'a', 1],
      [2, 'a', 2],
      [3, 'b', 1],
      [4, 'b', 5],
      [5, 'n', 1],
    ]);
    expect((await opened.log.state(visits)).hasVersions).toBe(true);
  });
});

describe('what is known', () => {
  it('versions are intervals: superseded at once or deleted ones are left out, hindsight keeps the last', async () => {
    const at = place();
    const states = source(
      'prices',
      { id: 'string', at: 'timestamp', seen: 'timestamp', price: 'int64', gone: 'boolean' },
      { availableAt: { kind: 'field', field: 'seen' }, deleted: 'gone' },
    );
    const day = (n: number): string => `2024-01-0${n}T00:00:00Z`;
    const opened = await at.open([states]);
    const rows = [
      ['a', 1, 1, 10, ''],
      ['a', 1, 3, 11, ''],
      ['a', 1, 3, 12, ''],
      ['a', 1, 5, 12, '1'],
      ['b', 1, 2, 7, ''],
      ['a', 1, 7, 13, 'false'],
    ] as const;
    const file = at.write(
      'p.csv',
      `id,at,seen,price,gone\n${rows.map(([id, t, seen, price, gone]) => `${id},${day(t)},${day(seen)},${price},${gone}`).join('\n')}`,
    );
    await opened.log.ingestFiles(states, [file]);
    const state = await opened.log.state(states);
    const known = async (options: { horizonSeq: number; hindsight: boolean }): Promise<unknown[]> =>
      (
        await opened.query<Record<string, unknown>>(
          `SELECT * FROM (${opened.log.knownSql(states, state, options)}) ORDER BY "_seq"`,
        )
      ).map((row) => [row['id'], row['price'], row['_available_at'], row['_until']]);
    const t = (n: number): number => parseInstant(day(n))!;
    expect(await known({ horizonSeq: 99, hindsight: false })).toEqual([
      ['a', 10, t(1), t(3)],
      ['a', 12, t(3), t(5)],
      ['b', 7, t(2), null],
      ['a', 13, t(7), null],
    ]);
    expect(await known({ horizonSeq: 99, hindsight: true })).toEqual([
      ['b', 7, t(2), null],
      ['a', 13, t(7), null],
    ]);
    expect(await known({ horizonSeq: 4, hindsight: true })).toEqual([]);
    expect(await known({ horizonSeq: 2, hindsight: false })).toEqual([
      ['a', 10, t(1), t(3)],
      ['a', 11, t(3), null],
    ]);
  });
});

describe('contracts', () => {
  const rule = { severity: 'error', action: 'quarantine' } as const;

  it('references and uniqueness are judged against the log and within the batch', async () => {
    const at = place();
    const users = source(
      'users',
      { id: 'string', at: 'timestamp', mail: 'string' },
      { rows: [{ id: 'mail.unique', field: null, check: { kind: 'unique', fields: ['mail'] }, ...rule }] },
    );
    const buys = source(
      'buys',
      { id: 'string', at: 'timestamp', user: 'string' },
      {
        rows: [
          {
            id: 'user.known',
            field: 'user',
            check: { kind: 'reference', source: 'users', field: 'id' },
            ...rule,
          },
        ],
      },
    );
    const opened = await at.open([users, buys]);
    const first = await opened.log.ingestFiles(users, [
      at.write('u.csv', `id,at,mail\n1,${T},a\n2,${T},b\n3,${T},a\n4,${T},\n5,${T},\n`),
    ]);
    expect(first).toMatchObject({ accepted: 4, quarantined: 1, reasons: { 'mail.unique': 1 } });
    expect(
      await opened.log.ingestRows(
        users,
        [
          { id: '6', at: T, mail: 'b' },
          { id: '2', at: '2024-01-02', mail: 'b' },
          { id: '7', at: T, mail: 'c' },
          { id: '8', at: T, mail: 'c' },
        ],
        { now: 0 },
      ),
    ).toMatchObject({ accepted: 2, quarantined: 2, corrections: 1 });
    expect(
      await opened.log.ingestFiles(buys, [at.write('b.csv', `id,at,user\n1,${T},2\n2,${T},99\n3,${T},\n`)]),
    ).toMatchObject({ accepted: 2, quarantined: 1 });
    expect(
      await opened.log.ingestRows(
        buys,
        [
          { id: '4', at: T, user: '7' },
          { id: '5', at: T, user: '8' },
        ],
        { now: 0 },
      ),
    ).toMatchObject({ accepted: 1, quarantined: 1 });
    expect((await opened.log.quarantine({ source: 'buys' })).map((row) => row.reasons[0]!.rule)).toEqual([
      'user.known',
      'user.known',
    ]);
  });

  it('flags stay with the record, drops and warnings are counted, and every row is accounted for', async () => {
    const at = place();
    const range = (id: string, min: number, action: 'flag' | 'drop' | 'warn') =>
      ({
        id,
        field: 'pages',
        check: { kind: 'range', min, minExclusive: false, maxExclusive: false },
        severity: 'warning',
        action,
      }) as const;
    const checked = source(
      'visits',
      { id: 'string', at: 'timestamp', pages: 'int64' },
      { rows: [range('odd', 10, 'flag'), range('out', 0, 'drop'), range('low', 5, 'warn')] },
    );
    const opened = await at.open([checked]);
    const file = at.write('f.csv', `id,at,pages\na,${T},20\nb,${T},7\nc,${T},-1\nd,${T},3\ne,${T},x\n`);
    expect(await opened.log.ingestFiles(checked, [file])).toMatchObject({
      rows: 5,
      accepted: 3,
      dropped: 1,
      quarantined: 1,
      warnings: [{ rule: 'low', rows: 2 }],
      drops: { out: 1 },
      flags: { odd: 2 },
    });
    const flags = await opened.query(
      `SELECT id, "_flags" AS flags FROM (${opened.log.relation(await opened.log.state(checked))}) ORDER BY "_seq"`,
    );
    expect(flags).toEqual([
      { id: 'a', flags: null },
      { id: 'b', flags: ['odd'] },
      { id: 'd', flags: ['odd'] },
    ]);
  });

  it('a batch that breaks its batch rules is refused whole with exit 3, the log unchanged and the refusal kept', async () => {
    const at = place();
    const batch = [
      { id: 'rows', check: { kind: 'row_count', min: 3 }, severity: 'error', action: 'fail' },
      {
        id: 'nulls',
        check: { kind: 'null_rate', field: 'pages', max: 0.5 },
        severity: 'error',
        action: 'fail',
      },
    ] as const;
    const judged = source('visits', { id: 'string', at: 'timestamp', pages: 'int64' }, { batch });
    const opened = await at.open([judged]);
    const error = await failure(
      opened.log.ingestFiles(judged, [at.write('s.csv', `id,at,pages\na,${T},\nb,${T},\n`)]),
    );
    expect(error).toMatchObject({ code: 'BATCH_REFUSED', exit: 3 });
    expect(error.message).toContain('the number of rows is 2');
    expect(error.message).toContain('nulls of pages are 100 %');
    expect(await opened.log.state(judged)).toMatchObject({ rows: 0 });
    expect(await opened.log.batches()).toMatchObject([{ status: 'refused', rows: 2 }]);
  });
});

describe('local times', () => {
  it('that do not exist or exist twice are refused unless the source says which to take', async () => {
    const at = place();
    const zone = { timezone: 'Europe/Berlin' } as const;
    const strict = source('visits', { id: 'string', at: 'timestamp' }, zone);
    const late = source('late', { id: 'string', at: 'timestamp' }, { ...zone, ambiguousTime: 'later' });
    const opened = await at.open([strict, late]);
    const file = at.write(
      'z.csv',
      'id,at\na,2024-07-01 12:00:00\nb,2024-03-31 02:30:00\nc,2024-10-27 02:30:00\nd,2024-10-27T02:30:00+02:00\n',
    );
    expect(await opened.log.ingestFiles(strict, [file])).toMatchObject({ accepted: 2, quarantined: 2 });
    expect((await contents(opened, strict)).map((row) => row._event)).toEqual([
      parseInstant('2024-07-01T10:00:00Z'),
      parseInstant('2024-10-27T00:30:00Z'),
    ]);
    expect(await opened.log.ingestFiles(late, [file])).toMatchObject({ accepted: 4 });
    expect((await contents(opened, late))[2]!._event).toBe(parseInstant('2024-10-27T01:30:00Z'));
  });
});

describe('patterns', () => {
  it('are expanded in sorted order as one batch', async () => {
    const at = place();
    for (const part of ['b', 'a', 'c']) at.write(`in/${part}.csv`, `${HEADER}${part},${T},1,\n`);
    at.write('in/deep/d.csv', `${HEADER}d,${T},1,\n`);
    const opened = await at.open([visits]);
    expect(await opened.log.ingestFiles(visits, ['in/*.csv'])).toMatchObject({ accepted: 3, seq: 3 });
    expect((await contents(opened, visits)).map((row) => row.id)).toEqual(['a', 'b', 'c']);
    expect(await opened.log.ingestFiles(visits, ['in/**/*.csv'])).toMatchObject({
      accepted: 1,
      duplicates: 3,
    });
  });
});
