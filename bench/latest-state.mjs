// Latest attributes at each observation: millrace's public command, DuckDB ASOF, Polars join_asof, Feast.
// node bench/latest-state.mjs [--size small|full] [--runs 3]
import { rmSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { attributesFile, millions, stateObservationsFile } from './data.mjs';
import {
  argument,
  gigabytes,
  millrace,
  node,
  note,
  project,
  quiet,
  ratio,
  seconds,
  several,
  table,
  WORK,
} from './lib.mjs';
import { peer } from './python.mjs';

const DUCK = path.join(path.dirname(fileURLToPath(import.meta.url)), 'duck.mjs');
const duck = (...statements) => node([DUCK, JSON.stringify(statements)]);
const SIZES = {
  small: [[1e6, 2e5]],
  full: [
    [1e6, 2e5],
    [5e6, 2e6],
  ],
};

const definitions = (file) => ({
  entities: [{ name: 'person', join_keys: ['user'] }],
  sources: [
    {
      name: 'attributes',
      kind: 'states',
      read: { files: file },
      record_key: ['user', 'ts'],
      event_time: 'ts',
      fields: { user: 'int64', ts: 'timestamp', level: 'string', score: 'float64' },
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
      millrace: () =>
        millrace([
          'features',
          'historical',
          '--project',
          folder,
          '--observations',
          observations,
          '--time',
          'at',
          '--features',
          'level,score',
          '--out',
          out('millrace'),
        ]),
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
    const found = Object.fromEntries(Object.keys(contenders).map((name) => [name, []]));
    for (let round = 0; round < runs; round++) {
      for (const [name, work] of Object.entries(contenders)) {
        const used = await work(round);
        if (used) found[name].push(used);
        if (used)
          note(`  ${name}: ${seconds(used.wall)} s, CPU ${seconds(used.cpu)} s, ${gigabytes(used.rss)} GB`);
      }
    }
    for (const [name, list] of Object.entries(found))
      one[name] = list.length === 0 ? null : await several(list.length, (i) => list[i]);
    const { stdout } = await duck(
      `SELECT count(*) AS rows, count(*) FILTER (WHERE m.level IS DISTINCT FROM d.level OR m.score IS DISTINCT FROM d.score) AS wrong
        FROM read_parquet('${out('millrace')}') m JOIN read_parquet('${out('asof')}') d USING (oid)`,
    );
    const [checked] = JSON.parse(stdout);
    if (Number(checked.rows) !== m || Number(checked.wrong) > 0)
      throw new Error(`latest state differs from ASOF: ${stdout}`);
    one.checked = 2 * m;
    rmSync(folder, { recursive: true, force: true });
    sizes.push(one);
  }
  const labels = {
    asof: 'DuckDB ASOF, plain',
    millrace: '**millrace**',
    polars: 'Polars join_asof',
    feast: 'Feast, DuckDB offline store',
  };
  const rows = sizes.flatMap((one) =>
    Object.entries(labels).map(([key, label]) => {
      const used = one[key];
      if (!used) return [one.size, label, 'skipped', '–', '–', '–', '–'];
      return [
        one.size,
        label,
        seconds(used.wall),
        seconds(used.cpu),
        gigabytes(used.rss),
        ratio(used.wall / one.asof.wall),
        ratio(used.cpu / one.asof.cpu),
      ];
    }),
  );
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
          `- ${one.size}: all ${one.checked.toLocaleString('en')} values equal those of DuckDB's ASOF join; ingest, once, ${seconds(one.ingest.wall)} s (CPU ${seconds(one.ingest.cpu)} s).`,
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
