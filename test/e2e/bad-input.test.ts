/** Each thing that goes wrong: one message with place, code and remedy, the right exit code, and nothing is lost. */
import { spawn } from 'node:child_process';
import { chmod, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { type Finished, MAIN, millrace, start, withFolder, writeFiles } from './support.js';

const DEFINITIONS = `
entities:
  - { name: user, join_key: user_id }
sources:
  - name: purchases
    kind: events
    read: { files: data/purchases.csv }
    record_key: purchase_id
    event_time: bought_at
    fields: { purchase_id: string, user_id: int64, amount: decimal(2), bought_at: timestamp }
    contract:
      amount: { not_null: true, range: [0, 1000] }
features:
  - { name: spent_30d, entity: user, aggregation: { function: sum, source: purchases.amount, window: 30d } }
  - { name: bought_30d, entity: user, aggregation: { function: count, source: purchases, window: 30d } }
  - { name: mean_spent, entity: user, expression: 'spent_30d / nullif(bought_30d, 0)' }
feature_sets:
  - { name: basics, features: [spent_30d, bought_30d] }
`;
const HEADER = 'purchase_id,user_id,amount,bought_at\n';
const ROWS =
  'p1,7,12.50,2024-03-01T10:00:00Z\np2,7,8.00,2024-03-04T09:30:00Z\np3,9,99.90,2024-03-04T15:00:00Z\n';

/** A project with three purchases ingested; `state` tells whether anything was lost or added since. */
async function inProject(
  work: (folder: string) => Promise<void>,
  options: { ingest?: boolean } = {},
): Promise<void> {
  await withFolder(async (folder) => {
    await writeFiles(folder, { 'definitions/all.yaml': DEFINITIONS, 'data/purchases.csv': HEADER + ROWS });
    if (options.ingest !== false) {
      const done = await millrace(['ingest', 'purchases', '--project', folder, '--json']);
      expect(done.json).toMatchObject({ rows: 3, accepted: 3, quarantined: 0, duplicates: 0 });
    }
    await work(folder);
  });
}

/** One error: on stderr with code and remedy, on stdout as JSON, with the exit code. */
// biome-ignore lint/suspicious/noExplicitAny: errors of many shapes
function refusal(done: Finished, exit: number, code: string, message: RegExp): Record<string, any> {
  expect(done.stderr).toMatch(new RegExp(`error ${code} `));
  expect(done.stderr).toMatch(message);
  expect(done.stderr).toMatch(/^ +→ .{8,}/m);
  expect(done.stderr).not.toMatch(/INTERNAL|\n {4}at /);
  expect(done.stderr.match(/^error /gm)).toHaveLength(1);
  expect(done.json?.error).toMatchObject({ code });
  expect(done.json.error.hint.length).toBeGreaterThan(8);
  expect(done.status).toBe(exit);
  return done.json.error;
}

/** The log still holds the three purchases, each once. */
async function nothingLost(folder: string): Promise<void> {
  await writeFiles(folder, { 'data/again.csv': HEADER + ROWS });
  const again = await millrace([
    'ingest',
    'purchases',
    path.join(folder, 'data/again.csv'),
    '--project',
    folder,
    '--json',
  ]);
  expect(again.json).toMatchObject({ rows: 3, accepted: 0, duplicates: 3 });
}

const ingest = (folder: string, file: string): Promise<Finished> =>
  millrace(['ingest', 'purchases', path.join(folder, file), '--project', folder, '--json']);

describe('a file to ingest', () => {
  it('that is missing is named, with the nearest name', () =>
    inProject(async (folder) => {
      const error = refusal(await ingest(folder, 'data/purchase.csv'), 1, 'FILE_NOT_FOUND', /purchase\.csv/);
      expect(error['place'].file).toContain('data/purchase.csv');
      expect(error['hint']).toContain('purchases.csv');
      await nothingLost(folder);
    }));

  it('that is empty is an error, a header without rows is a batch of none', () =>
    inProject(async (folder) => {
      await writeFiles(folder, { 'data/empty.csv': '', 'data/header.csv': HEADER });
      refusal(await ingest(folder, 'data/empty.csv'), 1, 'FILE_EMPTY', /empty/);
      const none = await ingest(folder, 'data/header.csv');
      expect(none.json).toMatchObject({ rows: 0, accepted: 0 });
      await nothingLost(folder);
    }));

  it('whose gzip is torn is refused whole, wherever it tears', () =>
    inProject(async (folder) => {
      const rows = Array.from(
        { length: 5000 },
        (_, i) => `q${i},${i % 50},${(i % 900) + 0.25},2024-02-01T00:00:${String(i % 60).padStart(2, '0')}Z`,
      );
      const whole = gzipSync(`${HEADER}${rows.join('\n')}\n`);
      for (const share of [0.1, 0.5, 0.999]) {
        await writeFiles(folder, { 'data/torn.csv.gz': whole.subarray(0, Math.floor(whole.length * share)) });
        refusal(await ingest(folder, 'data/torn.csv.gz'), 1, 'FILE_TORN', /torn\.csv\.gz/);
      }
      await nothingLost(folder);
      await writeFiles(folder, { 'data/torn.csv.gz': whole });
      expect((await ingest(folder, 'data/torn.csv.gz')).json).toMatchObject({ rows: 5000, accepted: 5000 });
    }));

  it('with another delimiter names it', () =>
    inProject(async (folder) => {
      await writeFiles(folder, { 'data/semicolon.csv': (HEADER + ROWS).replaceAll(',', ';') });
      refusal(await ingest(folder, 'data/semicolon.csv'), 1, 'FILE_DELIMITER', /;|semicolon/);
      await nothingLost(folder);
    }));

  it('with a column renamed or missing is refused whole and names both', () =>
    inProject(async (folder) => {
      await writeFiles(folder, {
        'data/renamed.csv': 'purchase_id,user_id,amout,bought_at\np9,1,1.00,2024-03-01T10:00:00Z\n',
        'data/missing.csv': 'purchase_id,user_id,bought_at\np9,1,2024-03-01T10:00:00Z\n',
      });
      refusal(
        await ingest(folder, 'data/renamed.csv'),
        3,
        'BATCH_REFUSED',
        /amount[\s\S]*amout|amout[\s\S]*amount/,
      );
      refusal(await ingest(folder, 'data/missing.csv'), 3, 'BATCH_REFUSED', /amount/);
      await nothingLost(folder);
    }));

  it('with values that cannot be has those rows in quarantine with file, line, field, value and reason', () =>
    inProject(async (folder) => {
      await writeFiles(folder, {
        'data/bad.csv': `${HEADER}b1,7,1.00,2024-02-30T10:00:00Z\nb2,7,5000.00,2024-03-01T10:00:00Z\nb3,x,1.00,2024-03-01T10:00:00Z\nb4,7,1e999,2024-03-01T10:00:00Z\nb5,7,2.00,2024-03-01T10:00:00Z\n`,
      });
      const done = await ingest(folder, 'data/bad.csv');
      expect(done.status).toBe(0);
      expect(done.json).toMatchObject({ rows: 5, accepted: 1, quarantined: 4, duplicates: 0, dropped: 0 });
      const shown = await millrace([
        'quarantine',
        'show',
        '--source',
        'purchases',
        '--project',
        folder,
        '--json',
      ]);
      const rows = shown.json.rows as {
        line: number;
        file: string;
        row: Record<string, string>;
        reasons: { field: string; value: unknown; rule: string; message: string }[];
      }[];
      expect(rows.map((row) => [row.line, row.reasons[0]!.field])).toEqual([
        [2, 'bought_at'],
        [3, 'amount'],
        [4, 'user_id'],
        [5, 'amount'],
      ]);
      for (const row of rows) {
        expect(row.file).toContain('bad.csv');
        expect(row.reasons[0]!.message).toContain(String(row.row[row.reasons[0]!.field]).slice(0, 4));
      }
      await nothingLost(folder);
      // The rule is mended, the rows are fed again: one more is right now.
      await writeFiles(folder, {
        'definitions/all.yaml': DEFINITIONS.replace('range: [0, 1000]', 'range: [0, 10000]'),
      });
      const replayed = await millrace(['quarantine', 'replay', '--project', folder, '--json']);
      expect(replayed.json.results[0]).toMatchObject({ rows: 4, accepted: 1, quarantined: 3 });
    }));

  // root reads everything
  it.skipIf(process.getuid?.() === 0)(
    'that may not be read is a matter of permission, not a fault of millrace',
    () =>
      inProject(async (folder) => {
        const file = path.join(folder, 'data/secret.csv');
        await writeFile(file, HEADER + ROWS);
        await chmod(file, 0);
        refusal(await ingest(folder, 'data/secret.csv'), 1, 'PERMISSION_DENIED', /secret\.csv/);
      }),
  );

  it('does not end half in the log when the disk is full', () =>
    inProject(async (folder) => {
      const rows = Array.from(
        { length: 60_000 },
        (_, i) =>
          `r${i}-${(i * 7919) % 104729},${i % 5000},${(i * 31) % 999}.${(i % 90) + 10},2024-02-01T00:00:00Z`,
      );
      await writeFiles(folder, { 'data/large.csv': `${HEADER}${rows.join('\n')}\n` });
      const command = `ulimit -f 200; trap '' XFSZ; exec "$0" "$@"`;
      const full = await shell([
        '-c',
        command,
        process.execPath,
        MAIN,
        'ingest',
        'purchases',
        path.join(folder, 'data/large.csv'),
        '--project',
        folder,
        '--json',
      ]);
      refusal(full, 1, 'DISK_FULL', /space|full|large/i);
      await nothingLost(folder);
      expect((await ingest(folder, 'data/large.csv')).json).toMatchObject({ rows: 60_000, accepted: 60_000 });
    }));
});

function shell(args: readonly string[]): Promise<Finished> {
  return new Promise((resolve, reject) => {
    const child = spawn('bash', [...args], {
      env: { ...process.env, NO_COLOR: '1' },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    child.on('error', reject);
    child.on('close', (status) => {
      let json: unknown;
      try {
        json = JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '');
      } catch {
        json = undefined;
      }
      resolve({ status, stdout, stderr, json });
    });
  });
}

describe('a new project', () => {
  it('in a place where the system lets nothing be made is refused at once', async () => {
    const began = performance.now();
    refusal(await millrace(['init', '/proc/millrace', '--json']), 1, 'PERMISSION_DENIED', /\/proc/);
    expect(performance.now() - began).toBeLessThan(20_000);
  });
});

describe('observations', () => {
  const historical = (
    folder: string,
    file: string,
    more: Partial<Record<'time' | 'features' | 'out', string>> = {},
  ): Promise<Finished> =>
    millrace([
      'features',
      'historical',
      '--project',
      folder,
      '--json',
      '--observations',
      path.join(folder, file),
      '--time',
      more.time ?? 't',
      '--features',
      more.features ?? 'basics',
      '--out',
      path.join(folder, more.out ?? 'out.csv'),
    ]);

  it('that cannot be read are refused with their place', () =>
    inProject(async (folder) => {
      const good = 'id,user_id,t\n1,7,2024-03-05T00:00:00Z\n';
      await writeFiles(folder, {
        'good.csv': good,
        'empty.csv': '',
        'torn.csv.gz': gzipSync(good.repeat(500)).subarray(0, 60),
        'time.csv': 'id,user_id,t\n1,7,2024-03-05T00:00:00Z\n2,7,2024-02-30T00:00:00Z\n',
        'key.csv': 'id,user_id,t\n1,seven,2024-03-05T00:00:00Z\n',
        'nokey.csv': 'id,user,t\n1,7,2024-03-05T00:00:00Z\n',
        'header.csv': 'id,user_id,t\n',
        'good.xls': good,
      });
      refusal(await historical(folder, 'goood.csv'), 1, 'FILE_NOT_FOUND', /goood\.csv/);
      refusal(await historical(folder, 'empty.csv'), 1, 'FILE_EMPTY', /empty/);
      refusal(await historical(folder, 'torn.csv.gz'), 1, 'FILE_TORN', /torn/);
      refusal(await historical(folder, 'good.csv', { time: 'tt' }), 2, 'USAGE', /"tt"/);
      const bad = refusal(await historical(folder, 'time.csv'), 2, 'USAGE', /2024-02-30/);
      expect(bad['place']).toMatchObject({ line: 3, path: 't' });
      refusal(await historical(folder, 'key.csv'), 2, 'ENTITY_KEY_INVALID', /seven/);
      refusal(await historical(folder, 'nokey.csv'), 2, 'USAGE', /user_id/);
      refusal(await historical(folder, 'good.xls'), 2, 'FORMAT_UNKNOWN', /good\.xls/);
      refusal(await historical(folder, 'good.csv', { out: 'out.xls' }), 2, 'FORMAT_UNKNOWN', /out\.xls/);
      refusal(await historical(folder, 'good.csv', { features: 'basic' }), 2, 'UNKNOWN_NAME', /basics/);
      refusal(
        await historical(folder, 'good.csv', { features: 'spent_31d' }),
        2,
        'UNKNOWN_NAME',
        /spent_30d/,
      );
      refusal(
        await historical(folder, 'good.csv', { out: 'nowhere/at/all.csv' }),
        1,
        'FILE_NOT_FOUND',
        /nowhere/,
      );
      const none = await historical(folder, 'header.csv');
      expect(none.status).toBe(0);
      expect((await readFile(path.join(folder, 'out.csv'), 'utf8')).trim()).toBe(
        'id,user_id,t,spent_30d,bought_30d',
      );
      expect((await historical(folder, 'good.csv')).status).toBe(0);
      expect(await readFile(path.join(folder, 'out.csv'), 'utf8')).toBe(
        'id,user_id,t,spent_30d,bought_30d\n1,7,2024-03-05T00:00:00Z,20.50,2\n',
      );
    }));
});

describe('definitions', () => {
  it('are judged all at once, with place, nearest name and remedy', () =>
    inProject(
      async (folder) => {
        await writeFiles(folder, {
          'definitions/all.yaml': `${DEFINITIONS}
  - { name: other, features: [spent_31d] }
labels:
  - { name: l, source: purchase, expression: 'amount > 1', horizon: 1d }
`.replace('window: 30d } }\n  - { name: bought', 'windoww: 30d } }\n  - { name: bought'),
        });
        const done = await millrace(['check', '--project', folder, '--json']);
        expect(done.status).toBe(2);
        for (const { place, hint } of done.json.diagnostics) {
          expect(place).toMatchObject({
            file: 'definitions/all.yaml',
            line: expect.any(Number),
            column: expect.any(Number),
          });
          expect(hint).toMatch(/./);
        }
        const all = JSON.stringify(done.json);
        for (const text of ['windoww', 'spent_31d', 'spent_30d', 'purchase', 'purchases'])
          expect(all).toContain(text);
        const run = await millrace(['run', '--project', folder, '--json']);
        expect(run.status).toBe(2);
        expect(run.json.error.code).toBe('DEF_INVALID');
        expect(run.json.error.diagnostics.length).toBeGreaterThanOrEqual(3);
      },
      { ingest: false },
    ));

  it('in a circle, and text that is no YAML, are diagnostics', () =>
    inProject(
      async (folder) => {
        await writeFiles(folder, {
          'definitions/circle.yaml':
            "features:\n  - { name: a, entity: user, expression: 'b + 1' }\n  - { name: b, entity: user, expression: 'a + 1' }\n",
        });
        const circle = await millrace(['check', '--project', folder, '--json']);
        expect(circle.status).toBe(2);
        expect(JSON.stringify(circle.json)).toContain('DEF_CYCLE');
        await rm(path.join(folder, 'definitions/circle.yaml'));
        await writeFiles(folder, { 'definitions/torn.yaml': 'features: [ {name: x\nentities' });
        const torn = await millrace(['check', '--project', folder, '--json']);
        expect(torn.status).toBe(2);
        expect(JSON.stringify(torn.json)).toContain('DEF_SYNTAX');
        const read = await millrace(['check', '--project', folder]);
        expect(read.stdout + read.stderr).toMatch(/definitions\/torn\.yaml:\d+:\d+: error DEF_SYNTAX/);
      },
      { ingest: false },
    ));
});

describe('names and usage', () => {
  it('that nobody knows end with 2 and the nearest name', () =>
    inProject(async (folder) => {
      const cases: [string[], RegExp][] = [
        [['ingest', 'purchase'], /purchases/],
        [['features', 'online', '--features', 'basic', '--entity', 'user_id=7'], /basics/],
        [['features', 'explain', 'spent', '--entity', 'user_id=7'], /no feature named/],
        [['dataset', 'build', 'nothing'], /no dataset named/],
        [['dataset', 'show', 'nothing'], /no dataset named/],
        [['train', 'nothing'], /no model named/],
        [['models', 'show', 'nothing'], /no model named/],
        [['promote', 'nothing'], /no model named/],
        [['score', 'nothing', '--observations', 'x.csv', '--out', 'y.csv'], /no service named/],
        [['monitor', 'nothing'], /no monitor named/],
        [['replay', 'nothing'], /no service named/],
        [['run', 'nothing'], /no asset named/],
        [['lineage', 'purchases.amont'], /purchases\.amount/],
        [['quarantine', 'list', '--source', 'purchase'], /purchases/],
      ];
      for (const [args, message] of cases)
        refusal(await millrace([...args, '--project', folder, '--json']), 2, 'UNKNOWN_NAME', message);
    }));

  it('that is no command, no option or no value ends with 2', () =>
    inProject(async (folder) => {
      const usage: string[][] = [
        ['bogus'],
        ['ingest'],
        ['run', '--nope'],
        ['features', 'historical', '--time', 't'],
        ['features', 'online', '--features', 'basics', '--entity', 'user_id'],
        ['features', 'online', '--features', ' , ', '--entity', 'user_id=7'],
        ['features', 'online', '--features', 'basics', '--entity', 'user_id=7', '--at', 'noon'],
        ['dataset', 'show', 'a@x'],
        ['quarantine', 'show', 'first'],
      ];
      for (const args of usage)
        refusal(await millrace([...args, '--project', folder, '--json']), 2, 'USAGE', /./);
      refusal(
        await millrace([
          'features',
          'online',
          '--features',
          'basics',
          '--entity',
          'user_id=seven',
          '--project',
          folder,
          '--json',
        ]),
        2,
        'ENTITY_KEY_INVALID',
        /seven/,
      );
      refusal(
        await millrace([
          'features',
          'online',
          '--features',
          'basics',
          '--entity',
          'usr_id=7',
          '--project',
          folder,
          '--json',
        ]),
        2,
        'ENTITY_KEY_INVALID',
        /user_id/,
      );
      refusal(
        await millrace(['run', '--project', path.join(folder, 'nowhere'), '--json']),
        2,
        'PROJECT_NOT_FOUND',
        /nowhere/,
      );
      refusal(await millrace(['init', folder, '--json']), 2, 'USAGE', /already/);
      refusal(
        await millrace(['init', path.join(folder, 'new'), '--example', 'flight', '--json']),
        2,
        'UNKNOWN_NAME',
        /flights/,
      );
    }));
});

describe('a second process', () => {
  it('on the same project is told who is at work, and tries again later', () =>
    inProject(async (folder) => {
      const rows = Array.from({ length: 150_000 }, (_, i) => `w${i},${i % 5000},1.00,2024-02-01T00:00:00Z`);
      await writeFiles(folder, { 'data/large.csv': `${HEADER}${rows.join('\n')}\n` });
      const first = start([
        'ingest',
        'purchases',
        path.join(folder, 'data/large.csv'),
        '--project',
        folder,
        '--json',
      ]);
      // Held still while it has the lock, so that the second process meets it at work.
      while (
        !(await readFile(path.join(folder, '.millrace/lock'), 'utf8').catch(() => '')).includes(
          `"pid":${first.child.pid},`,
        )
      )
        await sleep(2);
      first.child.kill('SIGSTOP');
      const second = await ingest(folder, 'data/purchases.csv');
      first.child.kill('SIGCONT');
      const error = refusal(second, 75, 'STORE_LOCKED', /millrace ingest purchases/);
      expect(error['data'].pid).toBe(first.child.pid);
      expect((await first.finished).json).toMatchObject({ rows: 150_000, accepted: 150_000 });
      await nothingLost(folder);
    }));

  it('reads while another one holds the lock of a killed writer', () =>
    inProject(async (folder) => {
      await writeFiles(folder, {
        '.millrace/lock': JSON.stringify({ pid: 2 ** 22 + 7, started: '1', command: 'millrace run' }),
      });
      await nothingLost(folder);
    }));
});
