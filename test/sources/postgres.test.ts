import { createServer, connect as dial, type Server } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { openProject } from '../../src/open.js';
import type { ProgressEvent } from '../../src/services/project.js';
import { readSource } from '../../src/services/read-source.js';
import { startPostgres, type TestPostgres } from '../postgres.js';
import { folderOf, inProject, recordsOf, removeFolder } from './support.js';

let server: TestPostgres;
let folder = '';
beforeAll(async () => {
  server = await startPostgres({ timezone: 'Asia/Tokyo', datestyle: 'German' });
  process.env['ORDERS_DB'] = server.url();
}, 60_000);
afterAll(async () => {
  delete process.env['ORDERS_DB'];
  await server?.stop();
});
afterEach(() => removeFolder(folder));

const definitions = (
  read: string,
  fields = 'id: int64, amount: decimal(2), updated_at: timestamp',
): string => `
sources:
  - name: orders
    kind: events
    read: { postgres: { connection: ORDERS_DB, ${read} } }
    record_key: id
    event_time: updated_at
    available_at: updated_at
    fields: { ${fields} }
`;
const read = () =>
  inProject(folder, (project) => readSource(project, project.definitions.sources.get('orders')!));
const sql = async (text: string) => (await server.connect()).query(text);

describe('a source that reads PostgreSQL', () => {
  it('takes every type exactly', async () => {
    await sql(`
      CREATE SCHEMA shop;
      CREATE TABLE shop."Typed" (id bigint, amount numeric, ratio float8, small int2, ok boolean, day date, at timestamptz,
        local timestamp, name text, doc jsonb, vec float8[], parts int[], updated_at timestamptz);
      INSERT INTO shop."Typed" VALUES
        (9007199254740993, 12345678901234.56, 0.1, -7, true, '2024-02-29', '2024-03-31 01:30:00.123456+02',
         '2024-07-01 12:00', E'a "quoted", line\\nand ünïcode 🚂', '{"a": [1, null]}', '{1,-2.5,1e300}', '{1,2}', '2024-01-01Z'),
        (2, NULL, 'NaN', NULL, false, NULL, NULL, NULL, '', NULL, NULL, NULL, '2024-01-01Z'),
        (3, 1, 1, 1, NULL, 'infinity', NULL, NULL, 'x', NULL, NULL, NULL, '2024-01-01Z')`);
    folder = folderOf(
      definitions(
        `table: 'shop.Typed'`,
        'id: int64, amount: decimal(2), ratio: float64, small: int64, ok: boolean, day: date, at: timestamp, local: timestamp, name: string, doc: string, vec: float64_vector(3), parts: string, updated_at: timestamp',
      ),
    );
    expect(await read()).toMatchObject({ rows: 3, accepted: 1, quarantined: 2 });
    await inProject(folder, async (project) => {
      const [record] = await recordsOf(project, 'orders');
      expect(record).toMatchObject({
        id: 9007199254740993n,
        amount: 1234567890123456,
        ratio: 0.1,
        small: -7,
        ok: true,
        at: Date.UTC(2024, 2, 30, 23, 30, 0, 123) * 1000 + 456,
        local: Date.UTC(2024, 6, 1, 12) * 1000,
        name: 'a "quoted", line\nand ünïcode 🚂',
        doc: '{"a": [1, null]}',
        parts: '{1,2}',
      });
      expect([...(record!['vec'] as number[])]).toEqual([1, -2.5, 1e300]);
      const rows = await (await project.log()).quarantine({ source: 'orders' });
      expect(rows.map((row) => row.reasons.map((reason) => reason.field))).toEqual([['ratio'], ['day']]);
    });
  });

  it('reads from its cursor on: equal values and late commits are not missed, nothing counts twice', async () => {
    await sql(`CREATE TABLE steps (id int PRIMARY KEY, amount numeric(10,2), updated_at timestamptz);
      INSERT INTO steps SELECT i, i, '2024-01-01Z'::timestamptz + i * interval '1 minute' FROM generate_series(1, 12000) i`);
    folder = folderOf(definitions(`table: steps, cursor: updated_at, overlap: 5m`));
    expect(await read()).toMatchObject({ rows: 12_000, accepted: 12_000 });
    const late = await server.connect();
    await late.query('BEGIN');
    await late.query(
      "INSERT INTO steps VALUES (20001, 1, '2024-01-01Z'::timestamptz + 12000 * interval '1 minute')",
    );
    await sql(
      `INSERT INTO steps VALUES (20002, 2, '2024-01-01Z'::timestamptz + 12001 * interval '1 minute')`,
    );
    expect(await read()).toMatchObject({ rows: 7, duplicates: 6, accepted: 1 });
    await late.query('COMMIT');
    await sql(
      `UPDATE steps SET amount = 99, updated_at = updated_at + interval '10000 minutes' WHERE id = 12000`,
    );
    expect(await read()).toMatchObject({ accepted: 2, corrections: 1 });
    expect(await read()).toMatchObject({ accepted: 0 });
    await inProject(folder, async (project) => {
      const records = await recordsOf(project, 'orders');
      expect(records).toHaveLength(12_003);
      expect(new Set(records.map(({ id }) => id)).size).toBe(12_002);
    });
  });

  it('misses nothing after a cursor that is null, infinite or ahead of the clock', async () => {
    await sql(`CREATE TABLE odd (id int PRIMARY KEY, amount numeric(10,2), updated_at timestamptz, changed timestamptz);
      INSERT INTO odd VALUES (1, 1, '2024-01-01Z', '2024-01-01Z'), (2, 2, '2024-01-01Z', NULL),
        (3, 3, '2024-01-01Z', 'infinity'), (4, 4, '2024-01-01Z', '9999-12-31Z')`);
    folder = folderOf(
      definitions(
        'table: odd, cursor: changed',
        'id: int64, amount: decimal(2), updated_at: timestamp, changed: timestamp',
      ),
    );
    // The instants of infinity and of the year 9999 are for the type to refuse.
    expect(await read()).toMatchObject({ rows: 4, accepted: 2, quarantined: 2 });
    await sql(`INSERT INTO odd VALUES (5, 5, '2024-01-01Z', now()), (6, 6, '2024-01-01Z', NULL)`);
    expect(await read()).toMatchObject({ accepted: 2, quarantined: 0 });
  });

  it('reads a query, and has nothing new where it gives no row', async () => {
    await sql(`CREATE TABLE plain (id int, cents int, updated_at timestamptz)`);
    folder = folderOf(
      definitions(`query: "SELECT id, cents / 100.0 AS amount, updated_at FROM plain WHERE cents > 0"`),
    );
    expect(await read()).toBe(null);
    await sql(`INSERT INTO plain VALUES (1, 250, '2024-01-01Z'), (2, -1, '2024-01-01Z')`);
    expect(await read()).toMatchObject({ rows: 1, accepted: 1 });
  });

  it.each<[string, string, () => void, string | undefined, RegExp, RegExp]>([
    [
      'no variable',
      'table: steps',
      () => delete process.env['ORDERS_DB'],
      undefined,
      /no ORDERS_DB/,
      /export ORDERS_DB=/,
    ],
    [
      'a wrong password',
      'table: steps',
      () => {
        process.env['ORDERS_DB'] = server.url().replace('test:test', 'test:s3cret');
      },
      undefined,
      /password authentication failed/,
      /password in the URL is wrong/,
    ],
    [
      'what is no URL',
      'table: steps',
      () => {
        process.env['ORDERS_DB'] = 'host=localhost password=s3cret';
      },
      undefined,
      /ORDERS_DB is no URL/,
      /postgres:\/\//,
    ],
    ['no such table', 'table: stepz', () => undefined, undefined, /"stepz" does not exist/, /Name a table/],
    [
      'no such column',
      'table: steps, cursor: update_at',
      () => undefined,
      'id: int64, amount: decimal(2), update_at: timestamp, updated_at: timestamp',
      /no column "update_at"/,
      /"updated_at"/,
    ],
  ])('refuses %s once, with a remedy and no secret', async (_name, how, arrange, fields, message, hint) => {
    folder = folderOf(definitions(how, fields));
    arrange();
    try {
      const error = await read().then(
        () => undefined,
        (caught) => caught,
      );
      expect(error).toMatchObject({
        code: 'SOURCE_REFUSED',
        message: expect.stringMatching(message),
        hint: expect.stringMatching(hint),
      });
      expect(JSON.stringify([error.message, error.hint, error.stack])).not.toContain('s3cret');
    } finally {
      process.env['ORDERS_DB'] = server.url();
    }
  });

  it('tries again when the server hangs up in the middle, and gives up as unreachable when it stays away', async () => {
    let refusals = 2;
    const proxy: Server = createServer((client) => {
      const upstream = dial(server.port, server.host);
      upstream.pipe(client);
      client.pipe(upstream);
      const drop = (): void => {
        client.destroy();
        upstream.destroy();
      };
      upstream.on('error', drop);
      client.on('error', drop);
      if (refusals-- > 0) upstream.on('data', (part) => part.includes('FETCH') && drop());
    }).listen(0, '127.0.0.1');
    await new Promise((resolve) => proxy.once('listening', resolve));
    const { port } = proxy.address() as { port: number };
    process.env['ORDERS_DB'] = server.url().replace(`:${server.port}`, `:${port}`);
    folder = folderOf(definitions('table: steps'));
    const said: string[] = [];
    const project = await openProject(folder, {
      progress: (event: ProgressEvent) => said.push(event.message),
    });
    try {
      await project.lockForWriting('a test');
      const source = project.definitions.sources.get('orders')!;
      expect(await readSource(project, source)).toMatchObject({ rows: 12_002, accepted: 12_002 });
      expect(said.filter((text) => text.includes('attempt'))).toHaveLength(2);
      await new Promise<void>((resolve) => proxy.close(() => resolve()));
      await expect(readSource(project, source)).rejects.toMatchObject({
        code: 'SOURCE_UNREACHABLE',
        exit: 75,
      });
    } finally {
      process.env['ORDERS_DB'] = server.url();
      await project.close();
    }
  }, 60_000);
});
