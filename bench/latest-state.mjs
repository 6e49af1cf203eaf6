// Latest attributes at each observation, and latest known ones where they come late and are corrected: millrace's
// public command, DuckDB ASOF, Polars join_asof, Feast.
// node bench/latest-state.mjs [--size small|full] [--runs 3]
import { rmSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { attributesFile, millions, recordedAttributesFile, stateObservationsFile } from './data.mjs';
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
  table,
  WORK,
} from './lib.mjs';
import { peer } from './python.mjs';

const SIZES = {
  small: [[1e6, 2e5]],
  full: [
    [1e6, 2e5],
    [5e6, 2e6],
  ],
};

const definitions = (file, recorded) => ({
  entities: [{ name: 'person', join_keys: ['user'] }],
  sources: [
    {
      name: 'attributes',
      kind: 'states',
      read: { files: file },
      record_key: ['user', 'ts'],
      event_time: 'ts',
      ...(recorded ? { available_at: 'available_at' } : {}),
      fields: {
        user: 'int64',
        ts: 'timestamp',
        ...(recorded ? { available_at: 'timestamp' } : {}),
        level: 'string',
        score: 'float64',
      },
    },
  ],
  features: ['level', 'score'].map((name) => ({
    name,
    entity: 'person',
    lookup: { source: `attributes.${name}` },
  })),
});

const asofSql = (attributes, observations, out) =>
  `COPY (SELECT o.oid, o."user", o."at", a.level, a.score FROM read_parquet('${observations}') o
    ASOF LEFT JOIN read_parquet('${attributes}') a ON o."user" = a."user" AND o."at" >= a.ts) TO '${out}' (FORMAT parquet, COMPRESSION zstd)`;

const ask = (folder, observations, out) => historical(folder, observations, ['level', 'score'], out);

/** Attributes that come late and are corrected, beside a plain ASOF join that takes them all as known at once. */
async function measureRecorded(n, m, runs, out) {
  const attributes = await recordedAttributesFile(n);
  const observations = await stateObservationsFile(m, n);
  const folder = project(`recorded-${millions(n)}`, definitions(attributes, true));
  await millrace(['ingest', 'attributes', '--project', folder]);
  await quiet();
  const found = await rounds(runs, {
    asof: () => duck(asofSql(attributes, observations, out('recorded-asof'))),
    millrace: () => ask(folder, observations, out('recorded')),
  });
  // Every hundredth observation by brute force: the newest version known by then of each state, the newest of these.
  const { stdout } = await duck(
    `WITH o AS (SELECT * FROM read_parquet('${out('recorded')}') WHERE oid % 100 = 0),
      known AS (SELECT o.oid, a.ts, arg_max(a.level, a.available_at) AS level, arg_max(a.score, a.available_at) AS score
        FROM o JOIN read_parquet('${attributes}') a ON a."user" = o."user" AND a.ts <= o."at" AND a.available_at <= o."at" GROUP BY ALL),
      newest AS (SELECT oid, arg_max(level, ts) AS level, arg_max(score, ts) AS score FROM known GROUP BY oid)
    SELECT count(*) AS rows, count(*) FILTER (WHERE o.level IS DISTINCT FROM n.level OR o.score IS DISTINCT FROM n.score) AS wrong
      FROM o LEFT JOIN newest n USING (oid)`,
  );
  const [checked] = JSON.parse(stdout);
  if (Number(checked.rows) !== m / 100 || Number(checked.wrong) > 0)
    throw new Error(`latest known state differs from brute force: ${stdout}`);
  rmSync(folder, { recursive: true, force: true });
  return { ...found, checked: m / 100 };
}

export async function measure({ size = 'small', runs = 3 } = {}) {
  const sizes = [];
  for (const [n, m] of SIZES[size]) {
    const attributes = await attributesFile(n);
    const observations = await stateObservationsFile(m, n);
    const out = (name) => path.join(WORK, `state-${name}.parquet`);
    const folder = project(`state-${millions(n)}`, definitions(attributes));
    const ingest = await millrace(['ingest', 'attributes', '--project', folder]);
    const one = { size: `${millions(n)} × ${millions(m)}`, ingest };
    note(`${one.size}: ingest ${seconds(ingest.wall)} s`);
    await quiet();
    const contenders = {
      asof: () => duck(asofSql(attributes, observations, out('asof'))),
      millrace: () => ask(folder, observations, out('millrace')),
      polars: () => peer('polars', 'polars_asof.py', [attributes, observations, out('polars')]),
      feast: (round) =>
        round > 0 && n > 1e6
          ? undefined
          : peer('feast', 'feast_asof.py', [
              attributes,
              observations,
              out('feast'),
              path.join(WORK, 'feast'),
            ]),
    };
    Object.assign(one, await rounds(runs, contenders));
    const { stdout } = await duck(
      `SELECT count(*) AS rows, count(*) FILTER (WHERE m.level IS DISTINCT FROM d.level OR m.score IS DISTINCT FROM d.score) AS wrong
        FROM read_parquet('${out('millrace')}') m JOIN read_parquet('${out('asof')}') d USING (oid)`,
    );
    const [checked] = JSON.parse(stdout);
    if (Number(checked.rows) !== m || Number(checked.wrong) > 0)
      throw new Error(`latest state differs from ASOF: ${stdout}`);
    one.checked = 2 * m;
    rmSync(folder, { recursive: true, force: true });
    one.recorded = await measureRecorded(n, m, runs, out);
    sizes.push(one);
  }
  const labels = {
    asof: 'DuckDB ASOF, plain',
    millrace: '**millrace**',
    polars: 'Polars join_asof',
    feast: 'Feast, DuckDB offline store',
  };
  const row = (name, label, used, floor) =>
    used
      ? [
          name,
          label,
          seconds(used.wall),
          seconds(used.cpu),
          gigabytes(used.rss),
          ratio(used.wall / floor.wall),
          ratio(used.cpu / floor.cpu),
        ]
      : [name, label, 'skipped', '–', '–', '–', '–'];
  const rows = sizes.flatMap((one) => [
    ...Object.entries(labels).map(([key, label]) => row(one.size, label, one[key], one.asof)),
    row(`${one.size}, late and corrected`, labels.asof, one.recorded.asof, one.recorded.asof),
    row(`${one.size}, late and corrected`, labels.millrace, one.recorded.millrace, one.recorded.asof),
  ]);
  const last = sizes.at(-1);
  const over = (a, b) => (a && b ? { got: a.cpu / b.cpu, wall: a.wall / b.wall } : {});
  return {
    title: 'Offline: latest state',
    text: [
      table(
        ['attributes × observations', 'contender', 'wall s', 'CPU s', 'peak GB', 'wall ÷ ASOF', 'CPU ÷ ASOF'],
        rows,
      ),
      '',
      ...sizes.map(
        (one) =>
          `- ${one.size}: all ${one.checked.toLocaleString('en')} values equal those of DuckDB's ASOF join; ingest, once, ${seconds(one.ingest.wall)} s (CPU ${seconds(one.ingest.cpu)} s). Late and corrected: ${one.recorded.checked.toLocaleString('en')} observations equal brute force; plain ASOF takes what was not known yet, so it is only the floor.`,
      ),
    ].join('\n'),
    goals: [
      {
        path: `latest state, ${last.size}`,
        goal: '≤ 1.3× plain ASOF',
        ...over(last.millrace, last.asof),
        limit: 1.3,
        less: true,
      },
      {
        path: `latest state, late and corrected, ${last.size}`,
        goal: '≤ 2.1× plain ASOF',
        ...over(last.recorded.millrace, last.recorded.asof),
        limit: 2.1,
        less: true,
      },
      {
        path: `latest state, ${last.size}`,
        goal: '≥ 3× Polars join_asof',
        ...over(last.polars, last.millrace),
        limit: 3,
        less: false,
      },
      {
        path: `latest state, ${last.size}`,
        goal: '≥ 10× Feast',
        ...over(last.feast, last.millrace),
        limit: 10,
        less: false,
      },
    ],
    plots: {
      'bench-latest-state': {
        title: `CPU seconds, latest state, ${last.size}`,
        bars: Object.entries(labels).map(([key, label]) => ({
          name: label.replaceAll('**', ''),
          value: last[key]?.cpu ?? null,
        })),
        unit: 's',
      },
    },
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { text } = await measure({ size: argument('size', 'small'), runs: Number(argument('runs', 3)) });
  console.log(text);
}
