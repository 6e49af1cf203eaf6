import { once } from 'node:events';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RunningServer } from '../../src/http/server.js';
import type { OpenedProject } from '../../src/open.js';
import { call, ingestFiles, makeFolder, open, removeFolder, start } from './support.js';

let folder: string;
let project: OpenedProject;
let server: RunningServer;

beforeAll(async () => {
  folder = makeFolder(50);
  project = await open(folder);
  await ingestFiles(project);
  server = await start(project);
});
afterAll(async () => {
  await server.close();
  await project.close();
  removeFolder(folder);
});

/** Every `$ref` of a document points at something in it. */
function danglingRefs(document: Record<string, unknown>): string[] {
  const found: string[] = [];
  const walk = (node: unknown): void => {
    if (typeof node !== 'object' || node === null) return;
    for (const [key, value] of Object.entries(node)) {
      if (key === '$ref') {
        const target = (value as string)
          .slice(2)
          .split('/')
          .reduce<unknown>((at, part) => (at as Record<string, unknown> | undefined)?.[part], document);
        if (target === undefined) found.push(value as string);
      } else walk(value);
    }
  };
  walk(document);
  return found;
}

describe('operations', () => {
  it('lives, and names what is missing to be ready', async () => {
    expect((await call(server, 'GET', '/healthz')).body).toEqual({ live: true });
    const ready = await call(server, 'GET', '/readyz');
    expect(ready.status).toBe(503);
    expect(ready.headers.get('retry-after')).toBe('1');
    expect(ready.body).toMatchObject({
      ready: false,
      code: 'NOT_READY',
      data: { missing: [expect.stringContaining('no champion')] },
    });
  });

  it('reports sources, groups, models and monitors', async () => {
    const { body } = await call(server, 'GET', '/v1/status');
    expect(body).toMatchObject({
      project: 'shop',
      models: [{ model: 'back', champion: null, latest: null }],
    });
    expect(body.sources.find((item: { source: string }) => item.source === 'purchases')).toMatchObject({
      seq: 50,
      rows: 50,
      available_at: '2024-01-03T01:00:00Z',
    });
    expect(body.groups.find((item: { source: string }) => item.source === 'purchases')).toMatchObject({
      group: 'purchases(user_id)',
      seq: 50,
      behind: 0,
    });
  });

  it('counts requests, rows and positions for Prometheus', async () => {
    await call(server, 'POST', '/v1/features/shopper', { entities: [{ user_id: 1 }] });
    await call(server, 'POST', '/v1/features/nope', { entities: [] });
    await call(server, 'POST', '/v1/sources/profiles/records', {
      user_id: 1,
      city: 'Lund',
      since: '2024-01-01T00:00:00Z',
    });
    const { body, type } = await call(server, 'GET', '/metrics');
    expect(type).toContain('text/plain');
    expect(body).toContain(
      'millrace_http_request_duration_seconds_count{route="/v1/features/:name",method="POST",status="200"} 1',
    );
    expect(body).toContain(
      'millrace_http_request_duration_seconds_count{route="/v1/features/:name",method="POST",status="404"} 1',
    );
    expect(body).toContain('millrace_ingest_rows_total{source="profiles",outcome="accepted"} 1');
    expect(body).toContain('millrace_applied_seq{group="purchases(user_id)"} 50');
    expect(body).toContain('millrace_service_ready{service="back"} 0');
    expect(body).toMatch(/millrace_data_age_seconds\{source="purchases"\} \d+/);
    expect(body).toMatch(/millrace_http_requests_in_flight 1\n/);
  });

  it('describes each source, set and service of the project in OpenAPI', async () => {
    const { body } = await call(server, 'GET', '/openapi.json');
    expect(body.openapi).toBe('3.1.0');
    for (const path of [
      '/v1/sources/purchases/records',
      '/v1/features/shopper',
      '/v1/services/back/predict',
      '/v1/services/back/outcomes',
      '/v2/models/{model}/infer',
      '/get-online-features',
      '/readyz',
    ])
      expect(Object.keys(body.paths)).toContain(path);
    expect(
      body.components.schemas['FeatureRequest.shopper'].properties.entities.items.properties.user_id,
    ).toMatchObject({ format: 'int64' });
    expect(
      body.components.schemas['FeatureRequest.shopper'].properties.request.items.properties.amount,
    ).toMatchObject({ format: 'double' });
    expect(body.components.schemas['FeatureAnswer.shopper'].allOf[1].properties.features.const).toEqual([
      'purchases_30d',
      'spent_30d',
      'city',
      'to_usual',
    ]);
    expect(danglingRefs(body)).toEqual([]);
  });

  it('answers the example of each route of the contract without a fault of the server', async () => {
    const { body } = await call(server, 'GET', '/openapi.json');
    const example = body.components.schemas['FeatureRequest.shopper'].example;
    expect((await call(server, 'POST', '/v1/features/shopper', example)).status).toBe(200);
    const record = body.components.schemas['Record.purchases'].example;
    expect((await call(server, 'POST', '/v1/sources/purchases/records', record)).body).toMatchObject({
      accepted: 1,
    });
  });

  it('serves pages that load nothing from elsewhere and escape what definitions say', async () => {
    for (const path of ['/', '/docs']) {
      const { body, type, headers } = await call(server, 'GET', path);
      expect(type).toContain('text/html');
      expect(headers.get('content-security-policy')).toContain("default-src 'none'");
      expect(body).not.toMatch(/(src|href)="(https?:)?\/\//);
    }
    const landing = await call(server, 'GET', '/');
    expect(landing.body).toContain('/v1/features/shopper');
    expect(landing.body).toContain('Paid &#60;baskets&#62;');
  });
});

describe('start and stop', () => {
  it('says which port is taken', async () => {
    await expect(start(project, { port: server.port })).rejects.toMatchObject({
      code: 'PORT_IN_USE',
      exit: 1,
      message: expect.stringContaining(String(server.port)),
    });
  });

  it('answers what is under way before it stops, and closes idle connections', async () => {
    const other = makeFolder(1);
    const own = await open(other);
    const stopping = await start(own);
    await fetch(`${stopping.url}/healthz`);
    const record = JSON.stringify({
      purchase_id: 'late',
      user_id: 1,
      amount: 1,
      status: 'paid',
      bought_at: '2024-01-31T00:00:00Z',
    });
    const socket = connect(stopping.port, '127.0.0.1');
    let answer = '';
    socket.on('data', (chunk) => {
      answer += String(chunk);
    });
    socket.write(
      `POST /v1/sources/purchases/records HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${record.length}\r\n\r\n${record.slice(0, 10)}`,
    );
    await sleep(50);
    const closed = stopping.close();
    await sleep(50);
    const ended = once(socket, 'close');
    socket.write(record.slice(10));
    const began = performance.now();
    await closed;
    expect(performance.now() - began).toBeLessThan(4_500);
    await ended;
    expect(answer).toContain('HTTP/1.1 200');
    expect(answer).toContain('"accepted":1');
    await expect(fetch(`${stopping.url}/healthz`)).rejects.toThrow();
    expect((await (await own.log()).state(own.definitions.sources.get('purchases')!)).lastSeq).toBe(1);
    await own.close();
    removeFolder(other);
  });

  it('stops within its grace though a client never ends its request', async () => {
    const other = makeFolder(1);
    const own = await open(other);
    const stopping = await start(own, { graceMs: 200 });
    const socket = connect(stopping.port, '127.0.0.1');
    socket.on('error', () => undefined);
    socket.write(
      'POST /v1/features/shopper HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{',
    );
    await sleep(50);
    const began = performance.now();
    await stopping.close();
    expect(performance.now() - began).toBeLessThan(4_500);
    await own.close();
    removeFolder(other);
  });
});
