// 100 entities × 12 features at once: millrace's server, Feast's server over SQLite and over Redis, and a Redis MGET of values that
// were computed beforehand. node bench/online-peers.mjs
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { MAIN, note, project, ratio, table, WORK } from './lib.mjs';
import { python } from './python.mjs';

const USERS = 1000;
const EVENTS_EACH = 30;
const ENTITIES = 100;
const FEATURES = 12;

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

/** p50 and p99 in milliseconds of one request after another, after a warm-up. */
async function timed(ask, rounds) {
  for (let i = 0; i < Math.min(200, rounds); i++) await ask(i);
  const times = new Float64Array(rounds);
  for (let i = 0; i < rounds; i++) {
    const began = performance.now();
    await ask(i);
    times[i] = performance.now() - began;
  }
  times.sort();
  return { p50: times[Math.floor(rounds / 2)], p99: times[Math.floor(rounds * 0.99)] };
}

const agent = new Agent({ keepAlive: true, maxSockets: 1 });
function post(port, route, body) {
  const bytes = Buffer.from(JSON.stringify(body));
  return new Promise((resolve, reject) => {
    const sent = request(
      {
        host: '127.0.0.1',
        port,
        path: route,
        method: 'POST',
        agent,
        headers: { 'content-type': 'application/json', 'content-length': bytes.length },
      },
      (response) => {
        const chunks = [];
        response.on('data', (chunk) => chunks.push(chunk));
        response.on('end', () => {
          const text = Buffer.concat(chunks).toString();
          if (response.statusCode === 200) resolve(JSON.parse(text));
          else reject(new Error(`${route}: ${response.statusCode} ${text.slice(0, 300)}`));
        });
      },
    );
    sent.on('error', reject);
    sent.end(bytes);
  });
}

async function until(work, limit = 60_000) {
  for (const end = Date.now() + limit; ; ) {
    try {
      return await work();
    } catch (error) {
      if (Date.now() > end) throw error;
      await new Promise((go) => setTimeout(go, 200));
    }
  }
}

async function stop(child) {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), 5000);
  await once(child, 'exit');
  clearTimeout(timer);
}

const chosen = (round) => Array.from({ length: ENTITIES }, (_, i) => (i * 37 + round) % USERS);

async function ofMillrace() {
  const folder = project('online_peers', {
    entities: [{ name: 'person', join_key: 'user' }],
    sources: [
      {
        name: 'events',
        kind: 'events',
        read: 'push',
        record_key: 'id',
        event_time: 'at',
        fields: { id: 'int64', user: 'int64', amount: 'float64', at: 'timestamp' },
      },
    ],
    features: ['count', 'sum'].map((name) => ({
      name: `amount_${name}`,
      entity: 'person',
      aggregation: {
        function: name,
        source: 'events.amount',
        windows: ['1h', '6h', '1d', '3d', '7d', '30d'],
      },
    })),
    feature_sets: [{ name: 'twelve', features: ['amount_count', 'amount_sum'] }],
  });
  const server = spawn(process.execPath, [MAIN, 'serve', '--project', folder, '--port', '0', '--json'], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  try {
    const [line] = await once(createInterface({ input: server.stdout }), 'line');
    const { port } = JSON.parse(line);
    const now = Date.now();
    for (let e = 0; e < EVENTS_EACH; e++) {
      const batch = Array.from({ length: USERS }, (_, user) => ({
        id: e * USERS + user,
        user,
        amount: ((user + e) % 900) / 8,
        at: new Date(now - ((e * 7919 + user * 31) % 2_500_000) * 1000).toISOString(),
      }));
      await until(() => post(port, '/v1/sources/events/records', batch));
    }
    return await timed(
      (round) => post(port, '/v1/features/twelve', { entities: chosen(round).map((user) => ({ user })) }),
      2000,
    );
  } finally {
    await stop(server);
    rmSync(folder, { recursive: true, force: true });
  }
}

/** `online`: the configuration of Feast's online store; absent: SQLite. */
async function ofFeast(online) {
  const interpreter = python('feast');
  if (interpreter === null) return null;
  const port = await freePort();
  const peers = path.join(path.dirname(fileURLToPath(import.meta.url)), 'peers');
  const folder = path.join(WORK, 'feast-online');
  const server = spawn(
    interpreter,
    [
      path.join(peers, 'feast_online.py'),
      folder,
      String(port),
      String(USERS),
      ...(online ? [JSON.stringify(online)] : []),
    ],
    {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { ...process.env, FEAST_USAGE: 'False', PYTHONWARNINGS: 'ignore', PYTHONPATH: peers },
    },
  );
  let errors = '';
  server.stderr.on('data', (chunk) => {
    errors = (errors + chunk).slice(-2000);
  });
  const features = Array.from({ length: FEATURES }, (_, i) => `features:f${i}`);
  const ask = (round) => post(port, '/get-online-features', { features, entities: { user: chosen(round) } });
  try {
    await until(() => (server.exitCode === null ? ask(0) : Promise.reject(new Error(errors))), 90_000);
    return await timed(ask, 200);
  } catch (error) {
    note(`SKIPPED: Feast's server: ${error.message} ${errors}`);
    return null;
  } finally {
    await stop(server);
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Arrays of bulk strings of one reply; undefined while it is incomplete. */
function reply(held) {
  if (held.length < 4) return undefined;
  let at = held.indexOf('\r\n');
  if (at < 0) return undefined;
  if (held[0] !== 0x2a) return held.latin1Slice(1, at);
  const count = Number(held.latin1Slice(1, at));
  at += 2;
  const values = new Array(count);
  for (let i = 0; i < count; i++) {
    const end = held.indexOf('\r\n', at);
    if (end < 0) return undefined;
    const size = Number(held.latin1Slice(at + 1, end));
    if (held.length < end + 4 + size) return undefined;
    values[i] = Number(held.latin1Slice(end + 2, end + 2 + size));
    at = end + 4 + size;
  }
  return values;
}

/** A Redis server of its own for a piece of work; null, said aloud, when the machine has none. */
async function withRedis(work) {
  if (spawnSync('redis-server', ['--version']).status !== 0) {
    note('SKIPPED: Redis: no redis-server; `apt-get install redis-server` brings it');
    return null;
  }
  const port = await freePort();
  const folder = mkdtempSync(path.join(tmpdir(), 'millrace-redis-'));
  const server = spawn(
    'redis-server',
    ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--dir', folder],
    { stdio: 'ignore' },
  );
  try {
    const socket = await until(async () => {
      const opened = connect({ port, host: '127.0.0.1', noDelay: true });
      await Promise.race([
        once(opened, 'connect'),
        once(opened, 'error').then(([error]) => Promise.reject(error)),
      ]);
      return opened;
    });
    try {
      return await work(socket, port);
    } finally {
      socket.destroy();
    }
  } finally {
    await stop(server);
    rmSync(folder, { recursive: true, force: true });
  }
}

async function ofRedis(socket) {
  let held = Buffer.alloc(0);
  let done;
  socket.on('data', (chunk) => {
    held = held.length === 0 ? chunk : Buffer.concat([held, chunk]);
    const value = reply(held);
    if (value === undefined) return;
    held = Buffer.alloc(0);
    done(value);
  });
  const command = (parts) =>
    new Promise((resolve) => {
      done = resolve;
      socket.write(
        `*${parts.length}\r\n${parts.map((part) => `$${Buffer.byteLength(part)}\r\n${part}\r\n`).join('')}`,
      );
    });
  for (let user = 0; user < USERS; user++)
    await command([
      'MSET',
      ...Array.from({ length: FEATURES }, (_, f) => [
        `twelve:${user}:f${f}`,
        String(((user * 37 + f * 11) % 10_007) / 8),
      ]).flat(),
    ]);
  return timed(
    (round) =>
      command([
        'MGET',
        ...chosen(round).flatMap((user) =>
          Array.from({ length: FEATURES }, (_, f) => `twelve:${user}:f${f}`),
        ),
      ]),
    2000,
  );
}

export async function measure() {
  const millrace = await ofMillrace();
  const feast = await ofFeast();
  const feastOverRedis = await withRedis((_socket, port) =>
    ofFeast({ type: 'redis', connection_string: `127.0.0.1:${port}` }),
  );
  const redis = await withRedis(ofRedis);
  const row = (name, given) => [
    name,
    given ? given.p50.toFixed(3) : 'skipped',
    given ? given.p99.toFixed(3) : '–',
    given ? ratio(given.p50 / millrace.p50) : '–',
  ];
  return {
    millrace,
    feast,
    feastOverRedis,
    redis,
    text: table(
      ['100 entities × 12 features, one connection', 'p50 ms', 'p99 ms', 'p50 ÷ millrace'],
      [
        row('**millrace over HTTP (windows evaluated at the instant of the request)**', millrace),
        row("Feast's server over SQLite (precomputed values)", feast),
        row("Feast's server over Redis (precomputed values)", feastOverRedis),
        row('Redis MGET of 1,200 precomputed values, no HTTP', redis),
      ],
    ),
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) console.log((await measure()).text);
