import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type RunningServer, type ServerOptions, startServer } from '../../src/http/server.js';
import { type OpenedProject, openProject } from '../../src/open.js';

export const DEFINITIONS = `
entities:
  - { name: user, join_key: user_id }
sources:
  - name: purchases
    kind: events
    description: Paid <baskets>
    read: { files: data/purchases.csv }
    record_key: purchase_id
    event_time: bought_at
    fields: { purchase_id: string, user_id: int64, amount: decimal(2), status: string, bought_at: timestamp }
    contract:
      amount: { range: [0, 10000] }
      batch: { extra_columns: refuse }
  - name: profiles
    kind: states
    read: push
    record_key: user_id
    event_time: since
    available_at: since
    fields: { user_id: int64, city: string, since: timestamp }
  - name: returned
    kind: events
    read: { files: data/returned.csv }
    record_key: purchase_id
    event_time: at
    fields: { purchase_id: string, at: timestamp, back: boolean }
features:
  - { name: purchases_30d, entity: user, aggregation: { function: count, source: purchases, window: 30d }, default: 0 }
  - { name: spent_30d, entity: user, aggregation: { function: sum, source: purchases.amount, window: 30d } }
  - { name: mean_30d, entity: user, aggregation: { function: mean, source: purchases.amount, window: 30d } }
  - { name: city, entity: user, lookup: { source: profiles.city, max_age: 90d } }
  - { name: to_usual, entity: user, expression: 'request.amount / nullif(mean_30d, 0)', request: { amount: float64 } }
feature_sets:
  - { name: shopper, features: [purchases_30d, spent_30d, city, to_usual] }
labels:
  - { name: comes_back, source: returned, expression: back, horizon: 2d }
datasets:
  - name: baskets
    observations: { source: purchases, time: bought_at }
    features: [purchases_30d, spent_30d]
    label: comes_back
    split: { by: time, parts: { train: 0.6, validation: 0.2, test: 0.2 } }
models:
  - { name: back, dataset: baskets, task: binary, trainer: { kind: logistic_regression, seed: 1 } }
services:
  - { name: back, model: back, log: all }
monitors: []
`;

/** A deterministic stream of purchases: 40 users, hourly, from 2024-01-01. */
export function purchases(rows: number): { purchases: string; returned: string } {
  let seed = 7;
  const random = (): number => {
    seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
    return seed / 2_147_483_648;
  };
  const lines = ['purchase_id,user_id,amount,status,bought_at'];
  const back = ['purchase_id,at,back'];
  const start = Date.UTC(2024, 0, 1);
  for (let i = 0; i < rows; i++) {
    const user = Math.floor(random() * 40);
    const at = start + i * 3_600_000;
    lines.push(`p${i},${user},${(random() * 100).toFixed(2)},paid,${new Date(at).toISOString()}`);
    back.push(`p${i},${new Date(at + 86_400_000).toISOString()},${random() < (user % 2 === 0 ? 0.8 : 0.2)}`);
  }
  return { purchases: `${lines.join('\n')}\n`, returned: `${back.join('\n')}\n` };
}

/** The instant of the tests' clock. */
export const NOW = Date.UTC(2024, 1, 1) * 1000;

export function makeFolder(rows = 600): string {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-http-'));
  mkdirSync(join(folder, 'definitions'));
  mkdirSync(join(folder, 'data'));
  const files = purchases(rows);
  writeFileSync(join(folder, 'millrace.yaml'), 'project: shop\n');
  writeFileSync(join(folder, 'definitions', 'all.yaml'), DEFINITIONS);
  writeFileSync(join(folder, 'data', 'purchases.csv'), files.purchases);
  writeFileSync(join(folder, 'data', 'returned.csv'), files.returned);
  return folder;
}

export const removeFolder = (folder: string): void => rmSync(folder, { recursive: true, force: true });

export const open = (folder: string): Promise<OpenedProject> => openProject(folder, { now: () => NOW });

export async function ingestFiles(project: OpenedProject): Promise<void> {
  const log = await project.log();
  for (const name of ['purchases', 'returned']) {
    const source = project.definitions.sources.get(name)!;
    await log.ingestFiles(source, log.expand(source), { now: NOW });
  }
}

export async function start(
  project: OpenedProject,
  options: Partial<ServerOptions> = {},
): Promise<RunningServer> {
  const server = await startServer(project, { port: 0, host: '127.0.0.1', version: 'test', ...options });
  await server.settled;
  return server;
}

export interface Reply {
  readonly status: number;
  readonly type: string;
  readonly headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: what a test reads of an answer
  readonly body: any;
}

export async function call(
  server: RunningServer,
  method: 'GET' | 'POST',
  path: string,
  body?: unknown,
  type = 'application/json',
): Promise<Reply> {
  const response = await fetch(`${server.url}${path}`, {
    method,
    ...(body === undefined
      ? {}
      : {
          headers: { 'content-type': type },
          body: typeof body === 'string' || body instanceof Uint8Array ? body : JSON.stringify(body),
        }),
  });
  const text = await response.text();
  const given = response.headers.get('content-type') ?? '';
  return {
    status: response.status,
    type: given,
    headers: response.headers,
    body: given.includes('json') ? JSON.parse(text) : text,
  };
}
