// Point-in-time windows offline: millrace's public command against scan + sort + write, SQL, Polars.
// node bench/offline-windows.mjs [--size small|large] [--runs 3]
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { eventsFile, millions, observationsFile } from './data.mjs';
import {
  argument,
  duck,
  gigabytes,
  historical,
  millrace,
  note,
  project,
  quiet,
  ratio,
  rounds,
  seconds,
  several,
  table,
  WORK,
} from './lib.mjs';
import { peer } from './python.mjs';
import { definitions, INV12, MIX12, WINDOWS, WORKLOADS } from './workload.mjs';

const names = (features) => features.map((one) => one.name);
export const SIZES = {
  small: [
    [1e6, 1e5],
    [5e6, 5e5],
  ],
  large: [[20e6, 2e6]],
  huge: [[100e6, 2e6]],
};

/** The least any engine does: scan the columns, sort them by user and time, write the result's size of doubles. */
const floorSql = (events, observations, out) => [
  `CREATE TEMP TABLE sorted AS SELECT "user", ts, amount FROM read_parquet('${events}')
    WHERE "user" IN (SELECT "user" FROM read_parquet('${observations}')) ORDER BY "user", ts`,
  `COPY (SELECT *, ${Array.from({ length: 12 }, (_, i) => `(hash(oid + ${i}) >> 40) / 100 AS f${i}`).join(', ')}
    FROM read_parquet('${observations}')) TO '${out}' (FORMAT parquet, COMPRESSION zstd)`,
];

/** One UNION of events and probe points, one running sum, a pivot: the best plain SQL for invertible folds. */
function unionSql(events, observations, out) {
  const windows = Object.entries(WINDOWS);
  const probe = (w, micros) =>
    `SELECT "user", epoch_us("at") - ${micros} AS t, 0 AS kind, 0 AS c, 0.0 AS a, oid, ${w} AS w FROM read_parquet('${observations}')`;
  const points = [probe(0, 0), ...windows.map(([, micros], i) => probe(i + 1, micros))].join(' UNION ALL ');
  const values = windows
    .map(([name], i) => `n[1] - n[${i + 2}] AS "count_${name}", s[1] - s[${i + 2}] AS "sum_${name}"`)
    .join(', ');
  const slots = (column) =>
    `[${Array.from({ length: windows.length + 1 }, (_, w) => `max(CASE WHEN w = ${w} THEN ${column} END)`).join(', ')}]`;
  return [
    `COPY (WITH points AS (
        SELECT "user", epoch_us(ts) AS t, 1 AS kind, 1 AS c, amount AS a, NULL::BIGINT AS oid, 0 AS w FROM read_parquet('${events}')
          WHERE "user" IN (SELECT "user" FROM read_parquet('${observations}'))
        UNION ALL ${points}),
      run AS (SELECT oid, w, kind, sum(c) OVER o AS n, sum(a) OVER o AS s FROM points
        WINDOW o AS (PARTITION BY "user" ORDER BY t, kind ROWS UNBOUNDED PRECEDING)),
      pivoted AS (SELECT oid, ${slots('n')} AS n, ${slots('s')} AS s FROM run WHERE kind = 0 GROUP BY oid)
      SELECT oid, ${values} FROM pivoted) TO '${out}' (FORMAT parquet, COMPRESSION zstd)`,
  ];
}

const EXACT = {
  count: () => 'count(e."user")',
  count_distinct: (field) => `count(DISTINCT e.${field})`,
  sum: () => 'sum(e.price)',
  mean: () => 'CAST(sum(e.price) AS DOUBLE) / count(e.price)',
  std: () => 'stddev_samp(e.amount)',
  min: () => 'min(e.amount)',
  max: () => 'max(e.amount)',
  last: () => 'arg_max(e.amount, (e.ts, e.id))',
};

/** The definition itself: a range join, an aggregate for each feature. Sums over the decimal column, so exact. */
function joinSql(features, events, observations) {
  const select = features.map(({ name, fn, field, window }) => {
    const inside = `FILTER (WHERE e.ts >= o."at" - to_microseconds(${WINDOWS[window]}))`;
    const sql = EXACT[fn](field).replaceAll(
      /((?:count|sum|stddev_samp|min|max|arg_max)\((?:[^()]|\([^()]*\))*\))/g,
      `$1 ${inside}`,
    );
    return `${sql} AS "${name}"`;
  });
  return `SELECT o.oid, ${select.join(', ')} FROM ${observations} o LEFT JOIN read_parquet('${events}') e
    ON e."user" = o."user" AND e.ts < o."at" AND e.ts >= o."at" - to_microseconds(${WINDOWS['30d']}) GROUP BY o.oid`;
}

/** Compares a sample of millrace's values with the range join: counts, extremes equal; sums, means, std within 1e-9. */
export async function compare(features, out, events, observations, every) {
  const chosen = `(SELECT * FROM read_parquet('${observations}') WHERE oid % ${every} = 0)`;
  const differs = ({ name, fn }) =>
    ['sum', 'mean', 'std'].includes(fn)
      ? `abs(coalesce(CAST(m."${name}" AS DOUBLE), 0) - coalesce(CAST(d."${name}" AS DOUBLE), 0)) > 1e-9 * greatest(1, abs(coalesce(CAST(d."${name}" AS DOUBLE), 0)))`
      : `m."${name}" IS DISTINCT FROM d."${name}"`;
  const sql = `WITH d AS (${joinSql(features, events, chosen)})
    SELECT count(*) AS rows, ${features.map((one) => `count(*) FILTER (WHERE ${differs(one)}) AS "${one.name}"`).join(', ')}
    FROM read_parquet('${out}') m JOIN d USING (oid)`;
  const { stdout } = await duck(sql);
  const [found] = JSON.parse(stdout);
  const rows = Number(found.rows);
  const wrong = Object.fromEntries(
    features.map(({ name }) => [name, Number(found[name])]).filter(([, n]) => n > 0),
  );
  if (rows === 0 || Object.keys(wrong).length > 0)
    throw new Error(`values differ from SQL on ${rows} observations: ${JSON.stringify(wrong)}`);
  return rows * features.length;
}

export async function ingested(name, events) {
  const folder = project(name, definitions(events));
  const used = await millrace(['ingest', 'events', '--project', folder]);
  return { folder, used };
}

const windows = (folder, observations, features, out) =>
  historical(folder, observations, names(features), out);

async function oneSize(n, m, runs) {
  const size = `${millions(n)} × ${millions(m)}`;
  const events = await eventsFile(n);
  const observations = await observationsFile(m, n);
  const out = (name) => path.join(WORK, `${name}.parquet`);
  const { folder, used: ingest } = await ingested(`windows-${millions(n)}`, events);
  note(`${size}: ingest ${seconds(ingest.wall)} s`);
  const measured = { size, events: n, observations: m, ingest, load: await quiet() };
  const settings = path.join(folder, 'millrace.yaml');
  const unlimited = readFileSync(settings, 'utf8');
  const contenders = {
    floor: () => duck(...floorSql(events, observations, out('floor'))),
    INV12: () => windows(folder, observations, INV12, out('INV12')),
    MIX12: () => windows(folder, observations, MIX12, out('MIX12')),
    ...(n >= 20e6 && {
      capped: () => {
        writeFileSync(settings, `${unlimited}memory_limit: 1GB\n`);
        return windows(folder, observations, MIX12, out('capped')).finally(() =>
          writeFileSync(settings, unlimited),
        );
      },
    }),
    // At 100M they would need several times the machine's memory or the run's time.
    ...(n <= 20e6 && {
      union: () => duck(...unionSql(events, observations, out('union'))),
      polars: () => peer('polars', 'polars_windows.py', [events, observations, out('polars')]),
    }),
  };
  Object.assign(measured, await rounds(runs, contenders));
  const every = Math.max(1, Math.round(m / 500));
  measured.checked = 0;
  for (const [name, features] of Object.entries(WORKLOADS))
    measured.checked += await compare(features, out(name), events, observations, every);
  note(`  ${measured.checked} values equal those of the range join`);
  if (measured.capped && !readFileSync(out('capped')).equals(readFileSync(out('MIX12'))))
    throw new Error('the memory limit changed the result');
  if (n <= 1e6) {
    const few = 2e3;
    const chosen = `(SELECT * FROM read_parquet('${observations}') WHERE oid < ${few})`;
    const slice = out('few');
    await duck(`COPY ${chosen} TO '${slice}' (FORMAT parquet)`);
    measured.few = few;
    measured.join = await several(runs, () =>
      duck(`COPY (${joinSql(MIX12, events, chosen)}) TO '${out('join')}' (FORMAT parquet)`),
    );
    measured.ours = await several(runs, () => windows(folder, slice, MIX12, out('ours')));
  }
  if (n === 5e6) {
    const hotEvents = await eventsFile(n, true);
    const hotObservations = await observationsFile(m, n, true);
    const hot = await ingested('windows-hot', hotEvents);
    measured.hot = await several(runs, () => windows(hot.folder, hotObservations, INV12, out('hot')));
    rmSync(hot.folder, { recursive: true, force: true });
  }
  if (process.env.BENCH_KEEP === undefined) rmSync(folder, { recursive: true, force: true });
  for (const name of ['floor', 'INV12', 'MIX12', 'union', 'polars', 'join', 'ours', 'few', 'hot', 'capped'])
    if (existsSync(out(name))) rmSync(out(name));
  return measured;
}

export const LABELS = {
  floor: 'floor: DuckDB scan + sort + write',
  INV12: '**millrace, INV12**',
  MIX12: '**millrace, MIX12**',
  capped: '**millrace, MIX12, memory_limit: 1GB**',
  union: 'DuckDB SQL, running sum, INV12',
  polars: 'Polars rolling, INV12',
};

export async function measure({ size = 'small', runs = 3 } = {}) {
  const sizes = [];
  for (const [n, m] of SIZES[size]) sizes.push(await oneSize(n, m, runs));
  const rows = sizes.flatMap((one) =>
    Object.entries(LABELS)
      .filter(([key]) => one[key] !== undefined)
      .map(([key, label]) => {
        const used = one[key];
        if (!used) return [one.size, label, 'skipped', '–', '–', '–', '–'];
        return [
          one.size,
          label,
          seconds(used.wall),
          seconds(used.cpu),
          gigabytes(used.rss),
          ratio(used.wall / one.floor.wall),
          ratio(used.cpu / one.floor.cpu),
        ];
      }),
  );
  const text = [
    table(
      ['events × observations', 'contender', 'wall s', 'CPU s', 'peak GB', 'wall ÷ floor', 'CPU ÷ floor'],
      rows,
    ),
    '',
    ...sizes.map(
      (one) =>
        `- ${one.size}: ingest, once, ${seconds(one.ingest.wall)} s (CPU ${seconds(one.ingest.cpu)} s, ${gigabytes(one.ingest.rss)} GB); ${one.checked.toLocaleString('en')} values of a sample equal the range join's (counts, distinct, min, max, last exactly; sum, mean, std within 1e-9); medians of ${one.INV12.runs}.`,
    ),
    ...sizes
      .filter((one) => one.join)
      .map(
        (one) =>
          `- MIX12 by a range join in DuckDB, ${millions(one.few)} observations of ${millions(one.events)} events: ${seconds(one.join.wall)} s (CPU ${seconds(one.join.cpu)} s, ${gigabytes(one.join.rss)} GB); millrace on the same rows ${seconds(one.ours.wall)} s (CPU ${seconds(one.ours.cpu)} s). The join's work grows with observations × events of their users, millrace's with their sum.`,
      ),
    ...sizes
      .filter((one) => one.hot)
      .map(
        (one) =>
          `- ${one.size}, one user with 5 % of all events and observations, INV12: ${seconds(one.hot.wall)} s (CPU ${seconds(one.hot.cpu)} s), ${ratio(one.hot.cpu / one.INV12.cpu)} the CPU time of the even file.`,
      ),
  ].join('\n');
  const last = sizes.at(-1);
  const hot = sizes.find((one) => one.hot);
  const over = (a, b) => (a && b ? { got: a.cpu / b.cpu, wall: a.wall / b.wall } : {});
  const goals = [
    {
      path: `12 window features, ${last.size}, invertible`,
      goal: '≤ 2× scan + sort + write',
      ...over(last.INV12, last.floor),
      limit: 2,
      less: true,
    },
    {
      path: `12 window features, ${last.size}, mixed`,
      goal: '≤ 2.5× scan + sort + write',
      ...over(last.MIX12, last.floor),
      limit: 2.5,
      less: true,
    },
    {
      path: `12 window features, ${last.size}`,
      goal: '≥ 4× Polars rolling',
      ...over(last.polars, last.INV12),
      limit: 4,
      less: false,
    },
    ...(hot
      ? [
          {
            path: `12 window features, ${hot.size}, skewed`,
            goal: '≤ 1.3× even',
            ...over(hot.hot, hot.INV12),
            limit: 1.3,
            less: true,
          },
        ]
      : []),
  ];
  const { capped } = last;
  if (capped)
    goals.push(
      {
        path: `12 window features, ${last.size}, mixed, memory_limit: 1GB`,
        goal: '≤ 1.1× without a limit',
        ...over(capped, last.MIX12),
        limit: 1.1,
        less: true,
      },
      {
        path: `peak memory of the process, ${last.size}, memory_limit: 1GB`,
        goal: '≤ 1 GB',
        got: capped.rss / 1e9,
        limit: 1,
        less: true,
        unit: 'GB',
      },
    );
  const curve = {
    title: 'CPU seconds, 12 window features',
    x: sizes.map((one) => millions(one.events)),
    series: Object.entries(LABELS).map(([key, label]) => ({
      name: label.replaceAll('**', ''),
      values: sizes.map((one) => one[key]?.cpu ?? null),
    })),
    unit: 's',
  };
  const bars = {
    title: `CPU seconds, 12 window features, ${last.size}`,
    bars: curve.series.map(({ name, values }) => ({ name, value: values.at(-1) })),
    unit: 's',
  };
  const memory = {
    title: 'Peak memory, 12 window features',
    x: curve.x,
    series: Object.entries(LABELS).map(([key, label]) => ({
      name: label.replaceAll('**', ''),
      values: sizes.map((one) => (one[key] ? one[key].rss / 2 ** 30 : null)),
    })),
    unit: 'GB',
  };
  const plots =
    sizes.length > 1
      ? { 'bench-offline-windows': curve, 'bench-offline-memory': memory }
      : { [`bench-offline-windows-${millions(last.events)}`]: bars };
  const scaling = sizes.map((one) => ({
    events: one.events,
    observations: one.observations,
    used: Object.fromEntries(
      Object.keys(LABELS)
        .filter((key) => one[key])
        .map((key) => [key, { cpu: one[key].cpu, wall: one[key].wall, rss: one[key].rss }]),
    ),
  }));
  return {
    scaling,
    title: `Offline: point-in-time windows, ${sizes.map((one) => one.size).join(' and ')}`,
    text,
    goals,
    plots,
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { text } = await measure({ size: argument('size', 'small'), runs: Number(argument('runs', 3)) });
  console.log(text);
}
