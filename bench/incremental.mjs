// A year of daily partitions: one changed day, one changed feature, beside a build of everything.
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';
import { millions } from './data.mjs';
import { MAIN, median, node, note, table, WORK } from './lib.mjs';

const DAYS = 365;
const SPAN = `${DAYS * 86_400}000000`;
const START = 1_672_531_200_000_000;
const CHANGED = 180;

const DEFINITIONS = `
entities:
  - { name: user, join_key: user }
sources:
  - name: events
    read: { files: 'data/events*.parquet' }
    record_key: id
    event_time: ts
    fields: { id: int64, user: int64, ts: timestamp, amount: float64, category: string }
  - name: asks
    read: { files: 'data/asks*.parquet' }
    record_key: oid
    event_time: at
    fields: { oid: int64, user: int64, at: timestamp }
features:
  - { name: spend, entity: user, aggregation: { function: sum, source: events.amount, windows: [1h, 1d, 7d] } }
  - { name: seen, entity: user, aggregation: { function: count, source: events, windows: [1h, 1d, 7d] } }
  - { name: most, entity: user, aggregation: { function: max, source: events.amount, windows: [1d, 7d] } }
  - { name: spread, entity: user, aggregation: { function: std, source: events.amount, windows: [1d, 7d] } }
  - { name: kinds, entity: user, aggregation: { function: count_distinct, source: events.category, windows: [1d, 7d] } }
labels:
  - { name: next_spend, entity: user, horizon: 1d, aggregation: { function: sum, source: events.amount, default: 0 } }
datasets:
  - name: year
    observations: { source: asks }
    features: [spend, seen, most, spread, kinds]
    label: next_spend
    split: { by: time, parts: { train: 0.7, validation: 0.15, test: 0.15 } }
    partition: 1d
`;

/** `count` events and a tenth as many observations over a year, in files of a month; then one more file of one day. */
async function world(folder, count) {
  mkdirSync(path.join(folder, 'data'), { recursive: true });
  mkdirSync(path.join(folder, 'definitions'), { recursive: true });
  writeFileSync(path.join(folder, 'millrace.yaml'), 'project: bench\n');
  writeFileSync(path.join(folder, 'definitions/all.yaml'), DEFINITIONS);
  const instance = await DuckDBInstance.create(':memory:');
  const connection = await instance.connect();
  await connection.run("SET TimeZone = 'UTC'");
  const users = Math.round(count / 100);
  const uniform = (stream) => `((hash(i * 16 + ${stream}) >> 11)::DOUBLE / 9007199254740992.0)`;
  const events = `i AS id, floor(${users} * pow(${uniform(1)}, 2))::BIGINT AS "user", round(exp(3 * ${uniform(3)}) * 1000) / 100 AS amount, 'category-' || floor(50 * ${uniform(4)})::INTEGER AS category`;
  const copy = (sql, name) =>
    connection.run(
      `COPY (${sql}) TO '${path.join(folder, 'data', name)}' (FORMAT parquet, COMPRESSION zstd)`,
    );
  const months = 12;
  for (let month = 0; month < months; month++) {
    const part = (n) => [Math.round((month * n) / months), Math.round(((month + 1) * n) / months)];
    const [from, to] = part(count);
    const name = String(month).padStart(2, '0');
    await copy(
      `SELECT ${events}, make_timestamptz(${START} + floor(i::DOUBLE / ${count} * ${SPAN})::BIGINT) AS ts FROM range(${from}, ${to}) r(i)`,
      `events-${name}.parquet`,
    );
    const [first, last] = part(count / 10);
    await copy(
      `SELECT i AS oid, floor(${users} * pow(${uniform(7)}, 2))::BIGINT AS "user", make_timestamptz(${START} + floor(i::DOUBLE / ${count / 10} * ${SPAN})::BIGINT) AS "at" FROM range(${first}, ${last}) r(i)`,
      `asks-${name}.parquet`,
    );
  }
  const late = async (day) => {
    await copy(
      `SELECT ${count} + i AS id, floor(${users} * ${uniform(1)})::BIGINT AS "user", 5.0 AS amount, 'category-1' AS category, make_timestamptz(${START} + ${day} * 86400000000 + i * 1000000) AS ts FROM range(${Math.round(count / DAYS / 10)}) r(i)`,
      'events-late.parquet',
    );
    connection.closeSync();
    instance.closeSync();
  };
  return late;
}

const KINDS = [
  ['full', 'everything'],
  ['idle', 'nothing has changed'],
  ['changed', 'one day has changed'],
  ['feature', 'one feature of five has another window'],
  ['removed', 'one feature of five is left out'],
];

/** One year, from nothing: what each build took. */
async function year(events) {
  const folder = path.join(WORK, 'incremental');
  rmSync(folder, { recursive: true, force: true });
  note(`incremental: a year of ${millions(events)} events`);
  const late = await world(folder, events);
  const ingest = async () => {
    for (const source of ['events', 'asks']) await node([MAIN, 'ingest', source, '--json'], { cwd: folder });
  };
  await ingest();
  const build = async () => {
    const done = await node([MAIN, 'dataset', 'build', 'year', '--json'], { cwd: folder });
    return { ...done, result: JSON.parse(done.stdout.trim().split('\n').at(-1)) };
  };
  const full = await build();
  const idle = await build();
  await late(CHANGED);
  await ingest();
  const changed = await build();
  const most = 'source: events.amount, windows: [1d, 7d] } }\n  - { name: spread';
  writeFileSync(
    path.join(folder, 'definitions/all.yaml'),
    DEFINITIONS.replace(most, most.replace('[1d, 7d]', '[1d, 3d]')),
  );
  const feature = await build();
  const all = 'features: [spend, seen, most, spread, kinds]';
  const definitions = path.join(folder, 'definitions/all.yaml');
  const fewer = readFileSync(definitions, 'utf8').replace(all, 'features: [spend, seen, most, kinds]');
  writeFileSync(definitions, fewer);
  const removed = await build();
  rmSync(folder, { recursive: true, force: true });
  return { full, idle, changed, feature, removed };
}

export async function measure({ sizes = [5_000_000, 20_000_000], runs = 1 } = {}) {
  const texts = [];
  const goals = [];
  for (const events of sizes) {
    const rounds = [];
    for (let round = 0; round < runs; round++) rounds.push(await year(events));
    const of = (kind, what) => median(rounds.map((round) => round[kind][what]));
    const { total, computed } = rounds[0].changed.result.partitions;
    texts.push(
      `${millions(events)} events and ${millions(events / 10)} observations over a year in ${total} daily partitions, 11 windows of 1 h to 7 d and a label. Records of one day in the middle come late, as of that day: ${computed} partitions are made again.\n\n${table(
        ['build', 'CPU', 'wall', 'CPU ÷ everything', 'wall ÷ everything'],
        KINDS.map(([kind, title]) => [
          title,
          `${of(kind, 'cpu').toFixed(2)} s`,
          `${of(kind, 'wall').toFixed(2)} s`,
          (of(kind, 'cpu') / of('full', 'cpu')).toFixed(3),
          (of(kind, 'wall') / of('full', 'wall')).toFixed(3),
        ]),
      )}`,
    );
    goals.push({
      path: `dataset of a year of ${millions(events)} events, one day changed`,
      goal: '≤ 0.05× of everything',
      got: of('changed', 'cpu') / of('full', 'cpu'),
      wall: of('changed', 'wall') / of('full', 'wall'),
      limit: 0.05,
      less: true,
    });
  }
  return { title: 'Datasets: one changed day of a year', text: texts.join('\n\n'), goals };
}

if (process.argv[1] === new URL(import.meta.url).pathname) {
  const argument = process.argv.indexOf('--events');
  const events = argument < 0 ? undefined : Number(process.argv[argument + 1]);
  const { text, goals } = await measure({ ...(events ? { sizes: [events] } : {}) });
  process.stdout.write(`${text}\n\n${JSON.stringify(goals)}\n`);
}
