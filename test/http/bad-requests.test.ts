/** What clients should not send: a clear refusal or the right answer, nothing lost, the server goes on. */
import { writeFileSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RunningServer } from '../../src/http/server.js';
import type { OpenedProject } from '../../src/open.js';
import { ingestFiles } from '../../src/services/ingest.js';
import { call, makeFolder, open, type Reply, removeFolder, start } from './support.js';

const MORE = `
entities:
  - { name: thing, join_key: thing_id }
sources:
  - name: things
    kind: events
    read: push
    record_key: id
    event_time: at
    available_at: event_time
    fields: { id: string, thing_id: string, whole: int64, money: decimal(2), real: float64, place: float64_vector(2), at: timestamp }
  - name: twins
    kind: events
    read: { files: twins.jsonl }
    record_key: id
    event_time: at
    available_at: event_time
    fields: { id: string, thing_id: string, whole: int64, money: decimal(2), real: float64, place: float64_vector(2), at: timestamp }
  - name: punctual
    kind: events
    read: push
    record_key: id
    event_time: at
    available_at: event_time
    fields: { id: string, thing_id: string, at: timestamp }
    contract:
      rules: [{ name: not_from_the_future, check: "at <= TIMESTAMP '2024-02-01 00:00:00'" }]
features:
  - { name: things_all, entity: thing, aggregation: { function: count, source: things, window: all } }
  - { name: things_1d, entity: thing, aggregation: { function: count, source: things, window: 1d } }
  - { name: real_sum, entity: thing, aggregation: { function: sum, source: things.real, window: all } }
`;

let folder: string;
let project: OpenedProject;
let server: RunningServer;
beforeAll(async () => {
  folder = makeFolder(1);
  writeFileSync(join(folder, 'definitions', 'things.yaml'), MORE);
  project = await open(folder);
  server = await start(project);
});
afterAll(async () => {
  await server.close();
  await project.close();
  removeFolder(folder);
});

let next = 0;
const thing = (fields: Record<string, unknown> = {}): Record<string, unknown> => ({
  id: `t${next++}`,
  thing_id: 'a',
  whole: 1,
  money: '1.00',
  real: 1,
  place: [0, 1],
  at: '2024-01-30T00:00:00Z',
  ...fields,
});
const push = (body: unknown, source = 'things', type?: string): Promise<Reply> =>
  call(server, 'POST', `/v1/sources/${source}/records`, body, type);
const count = async (thing_id: string, at: string, feature = 'things_all'): Promise<unknown> =>
  (await call(server, 'POST', `/v1/features/${feature}`, { entities: [{ thing_id }], at })).body.rows[0]
    .values[0];
const alive = async (): Promise<void> => expect((await call(server, 'GET', '/healthz')).status).toBe(200);

describe('a request by the wrong method', () => {
  it('is 405 and told which methods the route takes', async () => {
    for (const [method, path, allow] of [
      ['GET', '/v1/sources/things/records', 'POST'],
      ['GET', '/v1/features/things_all', 'POST'],
      ['POST', '/healthz', 'GET'],
      ['POST', '/metrics', 'GET'],
      ['GET', '/v1/services/back/predict', 'POST'],
    ] as const) {
      const reply = await call(server, method, path, method === 'POST' ? {} : undefined);
      expect([path, reply.status, reply.body.code]).toEqual([path, 405, 'METHOD_NOT_ALLOWED']);
      expect(reply.headers.get('allow')!.split(', ')).toContain(allow);
      expect(reply.headers.get('allow')!.split(', ')).not.toContain(method);
    }
    expect((await call(server, 'GET', '/v1/nothing')).status).toBe(404);
  });
});

describe('a body', () => {
  it('that is no UTF-8, no JSON, nested without end or names a key twice is refused whole', async () => {
    const before = (await push([])).body.seq;
    const bad: readonly (string | Uint8Array)[] = [
      Buffer.concat([Buffer.from('[{"id":"x'), Buffer.from([0xff, 0xfe]), Buffer.from('"}]')]),
      '[{"id":',
      `${'['.repeat(200_000)}${']'.repeat(200_000)}`,
      `[{"id":"x","thing_id":${'{"a":'.repeat(50_000)}1${'}'.repeat(50_000)},"at":"2024-01-01T00:00:00Z"}]`,
      '',
      'null',
      '"text"',
    ];
    for (const body of bad) {
      const reply = await push(body);
      expect(reply.status, String(body).slice(0, 30)).toBeGreaterThanOrEqual(200);
      expect(reply.status).toBeLessThan(500);
      if (reply.status === 200) expect(reply.body.accepted).toBe(0);
      else expect(reply.body.detail.length).toBeGreaterThan(8);
    }
    await alive();
    expect((await push([])).body.seq).toBe(before);
    // The row before the fault is not in the log either, and the next push is whole.
    const deep = `[${JSON.stringify(thing({ id: 'first' }))},{"id":"x","place":${'['.repeat(9_000)}${']'.repeat(9_000)}}]`;
    expect((await push(deep)).status).toBe(400);
    expect((await push([thing()])).body.seq).toBe(before + 1);
    for (const path of ['features/things_all', 'features/real_sum'])
      expect(
        (
          await call(
            server,
            'POST',
            `/v1/${path}`,
            `{"entities":[{"thing_id":${'['.repeat(50_000)}${']'.repeat(50_000)}}]}`,
          )
        ).status,
      ).toBe(400);
  });

  it('with keys that JavaScript knows is data like any other', async () => {
    const text = `[{"id":"proto","thing_id":"__proto__","whole":1,"money":"1.00","real":1,"place":[0,1],"at":"2024-01-30T00:00:00Z","__proto__":{"polluted":true},"constructor":1}]`;
    const reply = await push(text);
    expect(reply.status).toBe(200);
    expect(reply.body.accepted + reply.body.quarantined).toBe(1);
    expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
    if (reply.body.accepted === 1) expect(await count('__proto__', '2024-02-01T00:00:00Z')).toBe(1);
  });

  it('that is larger than the server takes is 413, and a client that goes away in the middle leaves nothing', async () => {
    const before = (await push([])).body.seq;
    const large = `[${JSON.stringify(thing())}${' '.repeat(17 * 2 ** 20)}]`;
    expect((await push(large)).status).toBe(413);
    const socket = connect(server.port, '127.0.0.1');
    const half = JSON.stringify([thing({ id: 'half' })]);
    socket.write(
      `POST /v1/sources/things/records HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: ${half.length + 100}\r\n\r\n${half}`,
    );
    await sleep(100);
    socket.destroy();
    await sleep(50);
    expect((await push([])).body.seq).toBe(before);
    await alive();
  });

  it('that trickles in does not hold up anyone else', async () => {
    const slow = Array.from({ length: 50 }, () => {
      const request = httpRequest(`${server.url}/v1/sources/things/records`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'content-length': '1000' },
      });
      request.on('error', () => undefined);
      request.write('[');
      return request;
    });
    await sleep(100);
    expect((await push([thing()])).body.accepted).toBe(1);
    for (const request of slow) request.destroy();
    await alive();
  });
});

describe('a record', () => {
  it('whose number is none, or too large for its type, is quarantined with its field', async () => {
    const cases: readonly [string, unknown][] = [
      ...['NaN', 'Infinity', '-Infinity', 'nan', 'inf'].flatMap((text): [string, unknown][] => [
        ['whole', text],
        ['money', text],
        ['real', text],
        ['place', [0, text]],
      ]),
      ['whole', 1.5],
      ['whole', '9223372036854775808'],
      ['money', '1.005'],
      ['money', '1e30'],
      ['real', '1e999'],
      ['place', [1]],
      ['place', [1, 2, 3]],
      ['place', 'x'],
    ];
    for (const [field, value] of cases) {
      const { body } = await push([thing({ [field]: value })]);
      expect([field, value, body.quarantined, body.accepted]).toEqual([field, value, 1, 0]);
      expect(Object.keys(body.reasons)[0]).toContain(field);
    }
    // JSON has no infinity: a number that overflows is one.
    const { body } = await push(JSON.stringify([thing({ real: 'X' })]).replace('"X"', '1e400'));
    expect([body.quarantined, body.accepted]).toEqual([1, 0]);
  });

  it('keeps all digits of an integer that a double cannot hold', async () => {
    const text = JSON.stringify([thing({ id: 'digits', thing_id: 'digits', whole: 'X' })]).replace(
      '"X"',
      '"9007199254740993"',
    );
    expect((await push(text)).body.accepted).toBe(1);
    const source = project.definitions.sources.get('things')!;
    const found: unknown[] = [];
    for await (const chunk of (await project.log()).read(source, 0, Number.MAX_SAFE_INTEGER))
      found.push(
        ...chunk.filter(({ fields }) => fields['id'] === 'digits').map(({ fields }) => fields['whole']),
      );
    expect(found).toEqual([9_007_199_254_740_993n]);
  });

  it('of the past before 1970 or after 2100 counts like any other; what lies beyond all instants is refused', async () => {
    const at = ['1900-01-01T00:00:00Z', '1969-12-31T23:59:59.999999Z', '2150-06-01T00:00:00Z'];
    const { body } = await push(at.map((item) => thing({ thing_id: 'old', at: item })));
    expect(body.accepted).toBe(3);
    expect(await count('old', '1950-01-01T00:00:00Z')).toBe(1);
    expect(await count('old', '1970-01-01T00:00:00Z', 'things_1d')).toBe(1);
    expect(await count('old', '2024-02-01T00:00:00Z')).toBe(2);
    expect(await count('old', '2150-06-01T00:00:00.000001Z')).toBe(3);
    const beyond = ['1500-01-01T00:00:00Z', '9999-01-01T00:00:00Z', '+275760-09-13T00:00:00Z'];
    expect((await push(beyond.map((item) => thing({ at: item })))).body).toMatchObject({
      accepted: 0,
      quarantined: 3,
    });
  });

  it('from the future is visible from its event time on, and a contract can refuse it', async () => {
    await push([thing({ thing_id: 'soon', at: '2024-06-01T00:00:00Z' })]);
    expect(await count('soon', '2024-02-01T00:00:00Z')).toBe(0);
    expect(await count('soon', '2024-06-01T00:00:00Z')).toBe(0);
    expect(await count('soon', '2024-06-01T00:00:00.000001Z')).toBe(1);
    const row = (at: string): Record<string, unknown> => ({ id: at, thing_id: 'p', at });
    const { body } = await push([row('2024-01-31T00:00:00Z'), row('2024-06-01T00:00:00Z')], 'punctual');
    expect(body).toMatchObject({ accepted: 1, quarantined: 1 });
    expect(JSON.stringify(body.reasons)).toContain('not_from_the_future');
  });

  it('with a key of a megabyte is kept and found', async () => {
    const long = 'k'.repeat(2 ** 20);
    const { body } = await push([thing({ id: long, thing_id: long })]);
    expect(body.accepted).toBe(1);
    expect((await push([thing({ id: long, thing_id: long, real: 2 })])).body.accepted).toBe(1);
    expect(await count(long, '2024-02-01T00:00:00Z')).toBe(1);
    expect(await count(long, '2024-02-01T00:00:00Z', 'real_sum')).toBe(2);
    expect(await count(`${long}x`, '2024-02-01T00:00:00Z')).toBe(0);
  });

  it('is judged the same when it comes in a file', async () => {
    const given: Record<string, unknown>[] = [
      ...['NaN', 'Infinity', '-Infinity', 'nan', 'inf', '1e999'].flatMap((text) => [
        { whole: text },
        { money: text },
        { real: text },
        { place: [0, text] },
      ]),
      { whole: 1.5 },
      { whole: '9223372036854775808' },
      { whole: '-9223372036854775808' },
      { money: '1.005' },
      { money: -0.25 },
      { real: -0 },
      { real: 5e-324 },
      { place: [1] },
      { place: [1, 2, 3] },
      { place: [0.1, -7e300] },
      { place: 'x' },
      { at: '1900-01-01T00:00:00Z' },
      { at: '1969-12-31T23:59:59.999999Z' },
      { at: '2150-06-01T00:00:00Z' },
      { at: '1500-01-01T00:00:00Z' },
      { at: '9999-01-01T00:00:00Z' },
      { at: 'yesterday' },
      { thing_id: 'k'.repeat(2 ** 20) },
      { thing_id: null },
    ];
    const rows = given.map((fields, i) => thing({ id: `twin${i}`, ...fields }));
    const lines = rows
      .map((row) => `${JSON.stringify(row)}\n`)
      .join('')
      .replace('"real":0,', '"real":-0,');
    const file = join(folder, 'twins.jsonl');
    writeFileSync(file, lines);
    const source = project.definitions.sources.get('twins')!;
    const filed = await ingestFiles(project, source, [file]);
    const { body } = await push(lines, 'things', 'application/x-ndjson');
    const log = await project.log();
    const fates = async (name: string): Promise<readonly (readonly unknown[])[]> => {
      const kept = new Map<unknown, unknown>();
      for await (const chunk of log.read(project.definitions.sources.get(name)!, 0, Number.MAX_SAFE_INTEGER))
        for (const { fields, eventTime } of chunk)
          if (String(fields['id']).startsWith('twin')) kept.set(fields['id'], { fields, eventTime });
      const ledger = await log.quarantine({ source: name, status: 'open' });
      for (const { row, reasons } of ledger) {
        const { id } = row as { id: string };
        if (String(id).startsWith('twin'))
          kept.set(
            id,
            reasons.map(({ rule, field }) => [rule, field]),
          );
      }
      return rows.map(({ id }, i) => [given[i], kept.get(id) ?? 'lost']);
    };
    expect(await fates('twins')).toEqual(await fates('things'));
    expect((await fates('twins')).filter(([, became]) => became === 'lost')).toEqual([]);
    expect([filed.accepted, filed.quarantined]).toEqual([body.accepted, body.quarantined]);
    expect(filed.reasons).toEqual(body.reasons);
    expect(filed.accepted).toBeGreaterThan(8);
  });
});
