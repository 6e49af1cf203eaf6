// The HTTP surface against an empty node:http server, both in processes of their own, loaded by the same client over
// keep-alive connections: 12 exact window features of one entity and of 100, durable pushes one by one and 1,000 a
// request, and the time from sending an event to seeing it in a feature. The processor time of the server for one
// request is less troubled by other work on the machine than the rate is.
// Usage: node bench/http.mjs [--seconds 3] [--connections 32] [--only batches,single,one,hundred,fifty,seen]
//   [--profile FOLDER]   (after the build; a profile of every thread of the server goes to the folder)
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { argument, MAIN, note, project, ratio, table } from './lib.mjs';

const SECONDS = Number(argument('seconds', '3'));
const CONNECTIONS = Number(argument('connections', '32'));
const ONLY = argument('only', 'batches,single,one,hundred,fifty,seen').split(',');
const PROFILE = argument('profile', '');
const WINDOWS = ['1h', '6h', '1d', '7d', '30d', '90d'];

/** Ten functions over five windows. */
const FIFTY = [
  'count',
  'sum',
  'mean',
  'min',
  'max',
  'std',
  'first',
  'last',
  'ratio',
  'seconds_since_last',
].map((name) => ({
  name: `of_${name}`,
  entity: 'user',
  aggregation: {
    function: name,
    source: name === 'ratio' || name === 'seconds_since_last' ? 'events' : 'events.amount',
    ...(name === 'ratio' ? { of: 'amount > 60' } : {}),
    windows: WINDOWS.slice(0, 5),
  },
}));

const definitions = {
  entities: [{ name: 'user', join_key: 'user_id' }],
  sources: [
    {
      name: 'events',
      kind: 'events',
      read: 'push',
      record_key: 'id',
      event_time: 'at',
      available_at: 'at',
      fields: { id: 'int64', user_id: 'int64', amount: 'float64', at: 'timestamp' },
    },
  ],
  features: ['count', 'sum']
    .map((name) => ({
      name: `amount_${name}`,
      entity: 'user',
      aggregation: { function: name, source: 'events.amount', windows: WINDOWS },
    }))
    .concat(FIFTY),
  feature_sets: [
    { name: 'twelve', features: ['amount_count', 'amount_sum'] },
    { name: 'fifty', features: FIFTY.map(({ name }) => name) },
  ],
};

async function child(args) {
  const process_ = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let errors = '';
  process_.stderr.on('data', (chunk) => {
    errors += chunk;
  });
  const lines = createInterface({ input: process_.stdout });
  const first = await Promise.race([once(lines, 'line'), once(process_, 'exit').then(() => [undefined])]);
  if (first[0] === undefined) throw new Error(errors);
  return {
    port: Number(JSON.parse(first[0]).port),
    pid: process_.pid,
    stop: () => {
      process_.kill('SIGTERM');
      return once(process_, 'exit');
    },
  };
}

/** The least: it answers. Under /append it parses the body and answers when the body is on the disk. */
const EMPTY = `import { createServer } from 'node:http';
import { open } from 'node:fs/promises';
const file = await open(process.argv[1], 'a');
const answer = (response) => response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
const server = createServer((request, response) => {
  const held = [];
  request.on('data', (chunk) => held.push(chunk)).on('end', async () => {
    if (request.url !== '/append') return answer(response);
    const body = Buffer.concat(held);
    JSON.parse(body.toString());
    await file.write(body);
    await file.datasync();
    answer(response);
  });
}).listen(0, '127.0.0.1', () => console.log(JSON.stringify({ port: server.address().port })));
process.on('SIGTERM', () => process.exit(0));`;

const HEAD_END = Buffer.from('\r\n\r\n');

/** One keep-alive connection that sends a request, waits for its answer, and sends the next. */
class Connection {
  constructor(port) {
    this.socket = connect({ port, host: '127.0.0.1', noDelay: true });
    this.held = Buffer.alloc(0);
    this.socket.on('data', (chunk) => this.take(chunk));
    this.socket.on('error', (error) => this.fail?.(error));
  }
  take(chunk) {
    this.held = this.held.length === 0 ? chunk : Buffer.concat([this.held, chunk]);
    const head = this.held.indexOf(HEAD_END);
    if (head < 0) return;
    const text = this.held.latin1Slice(0, head);
    const chunked = /transfer-encoding: chunked/i.test(text);
    const length = chunked
      ? this.held.indexOf('0\r\n\r\n', head) + 5 - head - 4
      : Number(/content-length: (\d+)/i.exec(text)?.[1] ?? 0);
    if ((chunked && length < 5) || this.held.length < head + 4 + length) return;
    const body = this.held.subarray(head + 4, head + 4 + length);
    const status = Number(text.slice(9, 12));
    this.held = Buffer.alloc(0);
    this.done({ status, body });
  }
  send(request) {
    return new Promise((done, fail) => {
      this.done = done;
      this.fail = fail;
      this.socket.write(request);
    });
  }
}

const post = (path, body, type = 'application/json') => {
  const bytes = Buffer.from(typeof body === 'string' ? body : JSON.stringify(body));
  return Buffer.concat([
    Buffer.from(
      `POST ${path} HTTP/1.1\r\nHost: bench\r\nContent-Type: ${type}\r\nContent-Length: ${bytes.length}\r\n\r\n`,
    ),
    bytes,
  ]);
};

/** Processor seconds of a process so far (Linux: fields 14 and 15 of its stat, in hundredths). */
function cpuOf(pid) {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /, '')
      .split(' ');
    return (Number(fields[11]) + Number(fields[12])) / 100;
  } catch {
    return Number.NaN;
  }
}

/**
 * Closed loop over `connections` until the time is over or `make` has no more: requests a second, p50 and p99 in
 * milliseconds, processor time of the server in µs a request.
 */
async function load({ port, pid }, connections, make, seconds = SECONDS) {
  const open = Array.from({ length: connections }, () => new Connection(port));
  const times = [];
  const cpu = cpuOf(pid);
  const until = performance.now() + seconds * 1000;
  const began = performance.now();
  let bad = 0;
  await Promise.all(
    open.map(async (connection) => {
      while (performance.now() < until) {
        const request = make();
        if (request === undefined) break;
        const at = performance.now();
        const { status } = await connection.send(request);
        times.push(performance.now() - at);
        if (status !== 200) bad++;
      }
      connection.socket.destroy();
    }),
  );
  if (bad > 0) throw new Error(`${bad} of ${times.length} requests were refused`);
  const wall = (performance.now() - began) / 1000;
  times.sort((a, b) => a - b);
  return {
    rate: times.length / wall,
    cpu: ((cpuOf(pid) - cpu) / times.length) * 1e6,
    p50: times[Math.floor(times.length * 0.5)],
    p99: times[Math.floor(times.length * 0.99)],
  };
}

/** Open loop at so many requests a second over two connections; times count from when a request was due. */
async function paced({ port }, rate, make, seconds = SECONDS) {
  const open = [new Connection(port), new Connection(port)];
  const times = [];
  const began = performance.now();
  const count = Math.ceil(rate * seconds);
  let sent = 0;
  await Promise.all(
    open.map(async (connection) => {
      while (sent < count) {
        const due = began + (sent++ / rate) * 1000;
        while (performance.now() < due) await new Promise((go) => setImmediate(go));
        const { status } = await connection.send(make());
        if (status !== 200) throw new Error(`a request was refused with ${status}`);
        times.push(performance.now() - due);
      }
      connection.socket.destroy();
    }),
  );
  times.sort((a, b) => a - b);
  return {
    rate,
    cpu: Number.NaN,
    p50: times[Math.floor(times.length * 0.5)],
    p99: times[Math.floor(times.length * 0.99)],
  };
}

const USERS = 1_000;
let next = 0;
const now = Date.now();
const event = () => {
  const id = next++;
  return {
    id,
    user_id: (id * 7919) % USERS,
    amount: (id % 1000) / 8,
    at: new Date(now - ((id * 104_729) % 7_000_000) * 1000).toISOString(),
  };
};
const RECORDS = '/v1/sources/events/records';
/** So many requests of so many events, made before the clock runs, after some to warm up. */
async function pushes(server, connections, size, warm, count, path = RECORDS) {
  const bodies = Array.from({ length: warm + count }, () => post(path, Array.from({ length: size }, event)));
  let sent = 0;
  await load(server, connections, () => (sent < warm ? bodies[sent++] : undefined), 60);
  return load(server, connections, () => bodies[sent++], 60);
}
const users = (count, set = 'twelve') =>
  post(`/v1/features/${set}`, {
    entities: Array.from({ length: count }, (_, i) => ({ user_id: (i * 37) % USERS })),
  });

/** Milliseconds from sending one event to the first answer of a feature that shows it. */
async function visibility(port, times) {
  const sender = new Connection(port);
  const reader = new Connection(port);
  const waited = [];
  for (let i = 0; i < times; i++) {
    const user = 1_000_000 + i;
    const ask = post('/v1/features/amount_count_90d', { entities: [{ user_id: user }] });
    const began = performance.now();
    const sent = sender.send(
      post(RECORDS, {
        ...event(),
        user_id: user,
        at: new Date(Date.now() - 1000).toISOString(),
      }),
    );
    for (;;) {
      const { body } = await reader.send(ask);
      if (JSON.parse(body).rows[0].values[0] === 1) break;
    }
    waited.push(performance.now() - began);
    await sent;
  }
  sender.socket.destroy();
  reader.socket.destroy();
  waited.sort((a, b) => a - b);
  return { p50: waited[Math.floor(times * 0.5)], p99: waited[Math.floor(times * 0.99)] };
}

const folder = project('http', definitions);
const empty = await child(['--input-type=module', '-e', EMPTY, path.join(folder, 'appended')]);
const server = await child([
  ...(PROFILE === '' ? [] : ['--cpu-prof', `--cpu-prof-dir=${PROFILE}`]),
  MAIN,
  'serve',
  '--project',
  folder,
  '--port',
  '0',
  '--json',
]);
const rows = [];
const add = (name, given, base, unit = 1) =>
  rows.push([
    name,
    Math.round(given.rate * unit).toLocaleString('en'),
    given.p50.toFixed(3),
    given.p99.toFixed(3),
    Number.isNaN(given.cpu) ? '' : given.cpu.toFixed(0),
    base ? ratio(given.rate / base.rate) : '',
  ]);
try {
  note('durable pushes');
  const asked = (name) => ONLY.includes(name);
  const batches = asked('batches') && {
    floor: await pushes(empty, 4, 1_000, 50, 100 * SECONDS, '/append'),
    own: await pushes(server, 4, 1_000, 50, 100 * SECONDS),
  };
  const many = CONNECTIONS * 2;
  const single = asked('single') && {
    floor: await pushes(empty, many, 1, 5_000, 20_000 * SECONDS, '/'),
    own: await pushes(server, many, 1, 5_000, 20_000 * SECONDS),
  };
  note('reads');
  for (const connections of asked('one') ? [1, CONNECTIONS] : []) {
    const one = users(1);
    await load(empty, connections, () => one, 0.5);
    await load(server, connections, () => one, 1);
    const floor = await load(empty, connections, () => one);
    add(`empty node:http, ${connections} connection${connections > 1 ? 's' : ''} (requests/s)`, floor);
    add(
      `1 entity × 12 features, ${connections} connection${connections > 1 ? 's' : ''} (requests/s)`,
      await load(server, connections, () => one),
      floor,
    );
  }
  if (asked('hundred')) {
    const hundred = users(100);
    add('100 entities × 12 features, 4 connections (requests/s)', await load(server, 4, () => hundred));
  }
  for (const [count, name] of asked('fifty')
    ? [
        [1, '1 entity × 50 features'],
        [100, '100 entities × 50 features'],
      ]
    : []) {
    const request = users(count, 'fifty');
    const { rate } = await load(server, 2, () => request);
    add(`${name}, half load (requests/s)`, await paced(server, rate / 2, () => request));
  }
  if (batches) {
    add(
      'node:http that parses and syncs, 1,000 events a request (events/s)',
      batches.floor,
      undefined,
      1_000,
    );
    add('push, 1,000 events a request, 4 connections (events/s)', batches.own, batches.floor, 1_000);
  }
  if (single) {
    add(`empty node:http, one event a request, ${many} connections (events/s)`, single.floor);
    add(`push one by one, ${many} connections (events/s)`, single.own, single.floor);
  }
  if (asked('seen')) {
    const seen = await visibility(server.port, 300);
    rows.push(['event sent → visible in a feature', '', seen.p50.toFixed(3), seen.p99.toFixed(3), '', '']);
  }
  process.stdout.write(
    `${table(['', 'per second', 'p50 ms', 'p99 ms', 'server CPU µs/request', 'of the empty server'], rows)}\n`,
  );
} finally {
  await server.stop();
  await empty.stop();
  rmSync(folder, { recursive: true, force: true });
}
