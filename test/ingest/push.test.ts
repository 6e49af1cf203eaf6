/** Pushed rows through the record log: sealing beside the pushes, clocks that step back, killed and failing writers. */
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';
import { LineBuffer } from '../../src/adapters/lake/line-buffer.js';
import { compileRowCode } from '../../src/adapters/lake/row-code.js';
import { LINE_END, PUSH_END, printTailLine } from '../../src/adapters/lake/tail.js';
import { parseInstant } from '../../src/core/base/time.js';
import { crashSource } from './crash-source.js';
import { contents, openAt, source, temporaryPlaces } from './support.js';

const place = temporaryPlaces(afterEach);
const here = fileURLToPath(new URL('.', import.meta.url));
const T = '2024-01-01T00:00:00Z';
const at = (text: string): number => parseInstant(text)!;

describe('a log that is pushed to', () => {
  it('seals full tails beside the pushes: no state on the way counts a record twice or not at all', async () => {
    const folder = place();
    const opened = await folder.open([crashSource]);
    const lake = join(folder.folder, '.millrace/lake/events');
    const note = 'y'.repeat(2_000);
    let pushed = 0;
    let sealed = 0;
    // More than three times the bytes of a tail.
    for (let push = 0; push < 110; push++) {
      const rows = Array.from({ length: 1_000 }, (_, j) => ({ id: `${push}-${j}`, at: T, n: push, note }));
      const result = await opened.log.ingestRows(crashSource, rows, { now: 0 });
      pushed += 1_000;
      expect(result.seq).toBe(pushed);
      const state = await opened.log.state(crashSource);
      expect([state.rows, state.lastSeq]).toEqual([pushed, pushed]);
      sealed = state.segments.filter((segment) => segment.format === 'parquet').length;
      if (push % 22 !== 5) continue;
      const [counted] = await opened.query<{ n: number; last: number }>(
        `SELECT count(*) AS n, max("_seq") AS last FROM (${opened.log.relation(state)})`,
      );
      expect(counted).toEqual({ n: pushed, last: pushed });
    }
    const again = await opened.log.ingestRows(crashSource, [{ id: '0-7', at: T, n: 0, note }], { now: 0 });
    expect(again.duplicates).toBe(1);
    await opened.close();
    expect(sealed).toBeGreaterThan(0);
    expect(readdirSync(lake).filter((name) => name.endsWith('.ndjson'))).toEqual([]);
    const reopened = await folder.open([crashSource]);
    const state = await reopened.log.state(crashSource);
    expect(state.rows).toBe(pushed);
    const batches = await reopened.log.batches('events');
    expect(batches.reduce((sum, batch) => sum + batch.accepted, 0)).toBe(pushed);
  });

  it('goes on from several tails that a killed writer left, and other processes read all of them', async () => {
    const folder = place();
    const lake = join(folder.folder, '.millrace/lake/events');
    mkdirSync(lake, { recursive: true });
    const code = compileRowCode(crashSource);
    const tail = (first: number, rows: number, torn = ''): void => {
      const out = new LineBuffer();
      for (let seq = first; seq < first + rows; seq++) {
        const line = {
          seq,
          order: seq,
          eventTime: at(T),
          availableAt: at(T),
          deleted: false,
          flags: [],
          repairs: [],
          version: false,
        };
        printTailLine(line, new Map(), out);
        code.print({ id: `k${seq}`, at: at(T), n: seq, note: null }, out);
        out.raw(seq === first + rows - 1 ? PUSH_END : LINE_END);
      }
      writeFileSync(
        join(lake, `tail-${String(first).padStart(15, '0')}.ndjson`),
        `${out.bytes.toString()}${torn}`,
      );
    };
    tail(1, 40);
    tail(41, 7);
    tail(48, 5, '{"_seq":"53","_event_time":"1704067');
    const reader = await folder.open([crashSource], 'reader');
    expect(await reader.log.state(crashSource)).toMatchObject({ rows: 52, lastSeq: 52 });
    expect((await contents(reader, crashSource)).map((row) => row['n'])).toEqual(
      Array.from({ length: 52 }, (_, i) => i + 1),
    );
    const writer = await folder.open([crashSource], 'writer');
    const rows = [
      { id: 'k3', at: T, n: 3 },
      { id: 'k50', at: T, n: 50 },
      { id: 'new', at: T, n: 1 },
    ];
    expect(await writer.log.ingestRows(crashSource, rows, { now: 0 })).toMatchObject({
      duplicates: 2,
      accepted: 1,
      seq: 53,
    });
    expect(await reader.log.state(crashSource)).toMatchObject({ rows: 53, lastSeq: 53 });
    await writer.close();
    expect(await reader.log.state(crashSource)).toMatchObject({ rows: 53, lastSeq: 53 });
    expect((await contents(reader, crashSource)).length).toBe(53);
    expect(readdirSync(lake).filter((name) => name.endsWith('.ndjson'))).toEqual([]);
  });

  it('keeps available_at of appends from going back when the clock does, over files and restarts too', async () => {
    const folder = place();
    const appended = source(
      'ticks',
      { id: 'string', at: 'timestamp', n: 'int64' },
      { availableAt: { kind: 'append' } },
    );
    let opened = await folder.open([appended]);
    const push = (id: string, n: number, now: number) =>
      opened.log.ingestRows(appended, [{ id, at: T, n }], { now });
    await push('a', 1, 1_000);
    await push('a', 2, 400);
    // The newest value is known last, whatever the clock said.
    expect((await push('a', 2, 300)).duplicates).toBe(1);
    expect((await push('a', 1, 200)).accepted).toBe(1);
    const file = folder.write('more.csv', `id,at,n\nb,${T},1\n`);
    await opened.log.ingestFiles(appended, [file], { now: 500 });
    await opened.close();
    opened = await folder.open([appended]);
    await push('c', 1, 100);
    await push('d', 1, 2_000);
    expect((await contents(opened, appended)).map((row) => [row['id'], row['n'], row['_available']])).toEqual(
      [
        ['a', 1, 1_000],
        ['a', 2, 1_000],
        ['a', 1, 1_000],
        ['b', 1, 1_000],
        ['c', 1, 1_000],
        ['d', 1, 2_000],
      ],
    );
  });

  it('takes a key of a megabyte, and tells two that differ in the last letter', async () => {
    const opened = await place().open([crashSource]);
    const long = 'k'.repeat(2 ** 20);
    const rows = [long, `${long}a`, `${long}b`, long].map((id) => ({ id, at: T, n: 1 }));
    expect(await opened.log.ingestRows(crashSource, rows, { now: 0 })).toMatchObject({
      accepted: 3,
      duplicates: 1,
    });
    expect((await contents(opened, crashSource)).map((row) => (row['id'] as string).length)).toEqual([
      2 ** 20,
      2 ** 20 + 1,
      2 ** 20 + 1,
    ]);
  });

  it('promises nothing that a full disk did not take, and takes it when there is room again', async () => {
    const folder = place();
    const script = `
      import { openAt } from ${JSON.stringify(join(here, 'support.ts'))};
      import { crashSource } from ${JSON.stringify(join(here, 'crash-source.ts'))};
      process.on('SIGXFSZ', () => {});
      const opened = await openAt(${JSON.stringify(folder.folder)}, [crashSource]);
      const push = (name, size) => opened.log.ingestRows(crashSource, Array.from({ length: size }, (_, j) =>
        ({ id: name + '-' + j, at: ${JSON.stringify(T)}, n: j, note: 'z'.repeat(100) })), { now: 0 })
        .then((result) => name + ' ' + result.accepted, (error) => name + ' ' + error.code);
      console.log(await push('small', 100));
      // Both are decided before either is written; they fall together.
      console.log((await Promise.all([push('large', 20_000), push('large', 1)])).join(', '));
      console.log(await push('large', 2));
      process.exit(0);`;
    const said = await new Promise<string>((resolve) => {
      const child = spawn('bash', [
        '-c',
        'ulimit -f 1024; exec "$0" --import tsx --input-type=module -e "$1"',
        process.execPath,
        script,
      ]);
      let text = '';
      child.stdout.on('data', (bytes: Buffer) => (text += bytes.toString()));
      child.stderr.on('data', (bytes: Buffer) => (text += bytes.toString()));
      child.on('close', () => resolve(text));
    });
    expect(said.trim().split('\n')).toEqual(['small 100', 'large DISK_FULL, large DISK_FULL', 'large 2']);
    const opened = await folder.open([crashSource]);
    expect(await opened.log.state(crashSource)).toMatchObject({ rows: 102, lastSeq: 102 });
    const rows = Array.from({ length: 20 }, (_, j) => ({
      id: `large-${j}`,
      at: T,
      n: j,
      note: 'z'.repeat(100),
    }));
    expect(await opened.log.ingestRows(crashSource, rows, { now: 0 })).toMatchObject({
      accepted: 18,
      duplicates: 2,
    });
  });

  it('killed while it seals, keeps every push it acknowledged, each whole', async () => {
    const folder = place();
    for (const trial of [0, 1, 2]) {
      const said = await new Promise<string[]>((resolve, reject) => {
        const child = spawn(
          process.execPath,
          ['--import', 'tsx', join(here, 'push-child.ts'), folder.folder, String(trial)],
          {
            stdio: ['ignore', 'pipe', 'inherit'],
          },
        );
        let text = '';
        child.stdout.on('data', (bytes: Buffer) => {
          text += bytes.toString();
          const pushes = text.split('\n').length - 2;
          // About 2 MB a push and 64 MB a tail: after the first tail is full, at different moments of its sealing.
          if (pushes >= 34 + 2 * trial) child.kill('SIGKILL');
        });
        child.on('error', reject);
        child.on('close', () => resolve(text.split('\n').slice(1, -1)));
      });
      const opened = await openAt(folder.folder, [crashSource], 'check');
      const state = await opened.log.state(crashSource);
      const found = await opened.query<{ push: string; n: number }>(
        `SELECT regexp_extract(id, '^[0-9]+-[0-9]+') AS push, count(DISTINCT id) AS n FROM (${opened.log.relation(state)}) WHERE id NOT LIKE '%-x' GROUP BY push`,
      );
      const counts = new Map(found.map((row) => [row.push, row.n]));
      expect(said.length).toBeGreaterThan(30);
      for (const n of counts.values()) expect(n).toBe(2_000);
      for (const line of said) expect(counts.get(`${trial}-${line.split(' ')[0]}`), line).toBe(2_000);
      const [order] = await opened.query<{ n: number; last: number }>(
        `SELECT count(DISTINCT "_seq") AS n, max("_seq") AS last FROM (${opened.log.relation(state)})`,
      );
      expect(order).toEqual({ n: state.rows, last: state.rows });
      // The index is a cache of the log and no more: all of it is known, nothing else is.
      const first = said[0]!.split(' ')[0]!;
      const known = Array.from({ length: 50 }, (_, j) => ({
        id: `${trial}-${first}-${j}`,
        at: T,
        n: j,
        note: 'x'.repeat(900),
      }));
      expect(await opened.log.ingestRows(crashSource, known, { now: 0 })).toMatchObject({
        duplicates: 50,
        accepted: 0,
      });
      expect(
        (await opened.log.ingestRows(crashSource, [{ id: `${trial}-x`, at: T, n: 0 }], { now: 0 })).seq,
      ).toBe(state.lastSeq + 1);
      await opened.close();
      const manifest = join(folder.folder, '.millrace/dedupe/events/index.json');
      expect(existsSync(manifest)).toBe(true);
      expect((JSON.parse(readFileSync(manifest, 'utf8')) as { position: number }).position).toBe(
        state.lastSeq + 1,
      );
    }
  }, 120_000);
});
