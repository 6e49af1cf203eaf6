// Profiling and row checks of one file: millrace's public commands beside DuckDB SUMMARIZE, Great Expectations and
// Pandera, over the scan floor. All contenders find the same failing rows by rule, or the run fails.
// node bench/quality.mjs [--size quick|small|full] [--runs 3]
import { existsSync, renameSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { make, millions } from './data.mjs';
import {
  argument,
  duck,
  gigabytes,
  millrace,
  note,
  project,
  quiet,
  ratio,
  rounds,
  seconds,
  table,
} from './lib.mjs';
import { peer } from './python.mjs';

const SIZES = {
  quick: [[1e6, 'parquet']],
  small: [
    [1e6, 'parquet'],
    [1e6, 'csv'],
    [5e6, 'parquet'],
  ],
  full: [
    [1e6, 'parquet'],
    [1e6, 'csv'],
    [5e6, 'parquet'],
    [20e6, 'parquet'],
  ],
};
/** The peers hold the file in memory: beyond, they are not asked. */
const MOST_OF_PEERS = 5e6;
const MEMORY_LIMIT = '1GB';

const uniform = (stream) => `((hash(i, ${stream}) >> 11)::DOUBLE / 9007199254740992.0)`;
const SPAN = 31_536_000_000_000;

/** Orders of a year, ten columns of mixed types with nulls; 2.9 % of the rows break a rule. */
async function ordersFile(n, format) {
  const file = await make(
    `orders-${millions(n)}`,
    `SELECT i AS id,
      floor(500000 * pow(${uniform(1)}, 3))::BIGINT AS customer,
      make_timestamp(1704067200000000 + (i * (${SPAN} / ${n}))::BIGINT + (hash(i, 2) % 3600000000)::BIGINT) AS ordered_at,
      CASE WHEN hash(i, 3) % 500 = 0 THEN -1 ELSE 1 + floor(20 * pow(${uniform(4)}, 4))::INTEGER END AS quantity,
      (CASE WHEN hash(i, 5) % 1000 = 0 THEN -1 ELSE exp(4 * ${uniform(6)}) END)::DECIMAL(12, 2) AS price,
      CASE WHEN hash(i, 7) % 20 <> 0 THEN exp(2 * sqrt(-2 * ln(1 - ${uniform(8)})) * cos(2 * pi() * ${uniform(9)})) END AS weight,
      CASE WHEN hash(i, 10) % 10 = 0 THEN NULL WHEN hash(i, 11) % 400 = 0 THEN 1.5 ELSE ${uniform(12)} END AS score,
      hash(i, 13) % 3 = 0 AS gift,
      CASE WHEN hash(i, 14) % 300 = 0 THEN '??' ELSE chr((65 + hash(i, 15) % 6)::INTEGER) || chr((65 + hash(i, 16) % 7)::INTEGER) END AS country,
      CASE WHEN hash(i, 17) % 100 = 0 THEN NULL WHEN hash(i, 18) % 600 = 0 THEN 'sku?'
        ELSE 'SKU-' || lpad(floor(100000 * pow(${uniform(19)}, 2))::INTEGER::VARCHAR, 6, '0') END AS sku
    FROM range(${n}) t(i)`,
  );
  if (format === 'parquet') return file;
  const text = file.replace(/parquet$/, 'csv');
  if (!existsSync(text)) {
    await duck(`COPY (FROM read_parquet('${file}')) TO '${text}.tmp' (FORMAT csv, HEADER)`);
    renameSync(`${text}.tmp`, text);
  }
  return text;
}

const COLUMNS = {
  id: 'int64',
  customer: 'int64',
  ordered_at: 'timestamp',
  quantity: 'int64',
  price: 'decimal(2)',
  weight: 'float64',
  score: 'float64',
  gift: 'boolean',
  country: 'string',
  sku: 'string',
};
const NUMBERS = ['id', 'customer', 'quantity', 'price', 'weight', 'score'];

/** The same rules as in peers/rules.py. */
const definitions = (file) => ({
  sources: [
    {
      name: 'orders',
      read: { files: file },
      record_key: 'id',
      event_time: 'ordered_at',
      fields: COLUMNS,
      contract: {
        customer: { range: [0, 499_999] },
        ordered_at: { range: ['2024-01-01T00:00:00Z', '2025-01-02T00:00:00Z'] },
        quantity: { range: [1, 100] },
        price: { min: 0 },
        weight: { range: [0, 10_000] },
        score: { range: [0, 1] },
        country: { pattern: '^[A-Z]{2}$' },
        sku: [{ not_null: true }, { pattern: '^SKU-[0-9]{6}$' }],
        rules: [{ name: 'gifts_are_small', check: 'not gift or quantity <= 18' }],
      },
    },
  ],
});

const relation = (file) =>
  file.endsWith('.csv') ? `read_csv('${file}', header = true)` : `read_parquet('${file}')`;

const lastJson = ({ stdout }) => JSON.parse(stdout.trim().split('\n').at(-1));

/** Exact values beside what `profile` said: counts, ends, moments; ranks of its quantiles; distinct counts. */
async function checkProfile(file, said) {
  const ranks = NUMBERS.flatMap((name) =>
    Object.entries(said.columns[name].quantiles).flatMap(([q, value]) => [
      `count(*) FILTER (WHERE ${name}::DOUBLE < ${value}) AS "${name}|${q}|below"`,
      `count(*) FILTER (WHERE ${name}::DOUBLE <= ${value}) AS "${name}|${q}|up to"`,
    ]),
  );
  const facts = NUMBERS.flatMap((name) => [
    `count(${name}) AS "${name}|count"`,
    `min(${name})::DOUBLE AS "${name}|min"`,
    `max(${name})::DOUBLE AS "${name}|max"`,
    `avg(${name}::DOUBLE) AS "${name}|mean"`,
    `stddev_samp(${name}::DOUBLE) AS "${name}|std"`,
  ]);
  const distinct = Object.keys(COLUMNS).map((name) => `count(DISTINCT ${name}) AS "${name}|distinct"`);
  const [exact] = lastJson(
    await duck(`SELECT ${[...ranks, ...facts, ...distinct].join(', ')} FROM ${relation(file)}`),
  );
  const fail = (what) => {
    throw new Error(`profile of ${file}: ${what}`);
  };
  let rank = 0;
  let different = 0;
  for (const name of Object.keys(COLUMNS)) {
    const column = said.columns[name];
    const truth = Number(exact[`${name}|distinct`]);
    const off = Math.abs(column.distinct / truth - 1);
    if (off > 4 * (column.distinct_error ?? 0))
      fail(`${name} has ${truth} different values, not ${column.distinct}`);
    different = Math.max(different, off);
    if (!NUMBERS.includes(name)) continue;
    const n = Number(exact[`${name}|count`]);
    if (column.count !== n) fail(`${name} has ${n} values`);
    for (const end of ['min', 'max'])
      if (column[end] !== Number(exact[`${name}|${end}`])) fail(`${end} of ${name}`);
    for (const [moment, bound] of [
      ['mean', 1e-9],
      ['std', 1e-7],
    ])
      if (Math.abs(column[moment] / Number(exact[`${name}|${moment}`]) - 1) > bound)
        fail(`${moment} of ${name}`);
    for (const q of Object.keys(column.quantiles)) {
      const [below, upTo] = ['below', 'up to'].map((side) => Number(exact[`${name}|${q}|${side}`]) / n);
      const error = Math.max(0, below - Number(q), Number(q) - upTo);
      if (error > (column.rank_error ?? 0) + 2 / n)
        fail(`quantile ${q} of ${name}: the rank is off by ${error}`);
      rank = Math.max(rank, error);
    }
  }
  return { rank, different };
}

async function measureFile(n, format, runs) {
  const file = await ordersFile(n, format);
  const folder = project(`quality-${millions(n)}-${format}`, definitions(file));
  const limited = project(
    `quality-${millions(n)}-${format}-limited`,
    definitions(file),
    `memory_limit: ${MEMORY_LIMIT}\n`,
  );
  const again = (where) => rmSync(`${where}/.millrace`, { recursive: true, force: true });
  const ingest = (where) => {
    again(where);
    return millrace(['ingest', 'orders', '--project', where, '--json']);
  };
  await quiet();
  const python = n <= MOST_OF_PEERS;
  const few = n >= 20e6 ? 1 : runs;
  const found = await rounds(few, {
    floor: () =>
      duck(
        `SELECT ${Object.keys(COLUMNS)
          .map((name) => `count(${name})`)
          .join(', ')} FROM ${relation(file)}`,
      ),
    summarize: () => duck(`SUMMARIZE SELECT * FROM ${relation(file)}`),
    profile: () => millrace(['profile', file, '--json']),
    compare: (round) => (round > 0 ? undefined : millrace(['compare', file, file, '--json'])),
    check: () => {
      again(folder);
      return millrace(['ingest', 'orders', '--dry-run', '--project', folder, '--json']);
    },
    ingest: () => ingest(folder),
    limited: () => ingest(limited),
    pandera: () => python && peer('quality', 'pandera_rules.py', [file, 'polars']),
    panderaPandas: () => python && peer('quality', 'pandera_rules.py', [file, 'pandas']),
    expectations: () => python && peer('quality', 'ge_rules.py', [file]),
  });
  const checked = await checkProfile(file, lastJson(found.profile));
  const { reasons, accepted } = lastJson(found.ingest);
  for (const name of ['check', 'limited', 'pandera', 'panderaPandas', 'expectations']) {
    const counts = ['check', 'limited'].includes(name) ? lastJson(found[name]).reasons : found[name]?.counts;
    for (const rule of new Set([...Object.keys(counts ?? {}), ...Object.keys(counts ? reasons : {})]))
      if ((counts[rule] ?? 0) !== (reasons[rule] ?? 0))
        throw new Error(`${name} finds ${counts[rule]} rows that break ${rule}, millrace ${reasons[rule]}`);
  }
  if (lastJson(found.compare).verdict !== 'ok') throw new Error('a file has drifted from itself');
  again(folder);
  again(limited);
  rmSync(folder, { recursive: true, force: true });
  rmSync(limited, { recursive: true, force: true });
  return { n, name: `${millions(n)} × 10, ${format}`, format, ...found, checked, reasons, accepted };
}

const LABELS = {
  floor: 'floor: DuckDB counts every column',
  summarize: 'profile: DuckDB SUMMARIZE',
  profile: 'profile: **millrace**',
  compare: 'compare with itself: **millrace**, two files',
  check: 'rules: **millrace** ingest --dry-run (rules, duplicates)',
  ingest: 'rules: **millrace** ingest (rules, quarantine, duplicates, log)',
  limited: `rules: **millrace** ingest, memory_limit: ${MEMORY_LIMIT}`,
  pandera: 'rules: Pandera over Polars, no output',
  panderaPandas: 'rules: Pandera over pandas, no output',
  expectations: 'rules: Great Expectations over pandas, no output',
};

export async function measure({ size = 'small', runs = 3 } = {}) {
  const sizes = [];
  for (const [n, format] of SIZES[size]) {
    note(`${millions(n)} ${format}`);
    sizes.push(await measureFile(n, format, runs));
  }
  const rows = sizes.flatMap((one) =>
    Object.entries(LABELS).flatMap(([key, label]) =>
      one[key]
        ? [
            [
              one.name,
              label,
              seconds(one[key].wall),
              seconds(one[key].cpu),
              gigabytes(one[key].rss),
              ratio(one[key].wall / one.floor.wall),
              ratio(one[key].cpu / one.floor.cpu),
            ],
          ]
        : [],
    ),
  );
  const last = sizes.filter((one) => one.format === 'parquet').at(-1);
  const besides = sizes.filter((one) => one.format === 'parquet' && one.expectations).at(-1);
  const over = (a, b) => (a && b ? { got: a.cpu / b.cpu, wall: a.wall / b.wall } : {});
  const goal = (what, wanted, a, b, limit, less = true) => ({
    path: what,
    goal: wanted,
    ...over(a, b),
    limit,
    less,
  });
  const text = [
    table(['rows × columns', 'what', 'wall s', 'CPU s', 'peak GB', 'wall ÷ floor', 'CPU ÷ floor'], rows),
    '',
    ...sizes.map(
      ({ name, checked, reasons, accepted, n }) =>
        `- ${name}: counts, ends and moments of \`profile\` equal DuckDB's; largest error of a quantile's rank ${checked.rank.toExponential(1)}, of a distinct count ${(100 * checked.different).toFixed(2)} %. All find the same ${Object.values(
          reasons,
        )
          .reduce((a, b) => a + b, 0)
          .toLocaleString('en')} broken rules in ${(n - accepted).toLocaleString('en')} rows.`,
    ),
    '',
    'The profile is that of the public command: quantiles, distinct counts, nulls, ends, mean, deviation, frequent texts. `ingest --dry-run` gives the verdict alone, duplicates included; `ingest` also writes the log and the quarantine. The peers only judge a file that they hold in memory, without duplicates.',
  ].join('\n');
  return {
    title: 'Profiling and row checks',
    text,
    goals: [
      goal(
        `profile with quantiles and distinct counts, ${last.name}`,
        '≤ 0.4× SUMMARIZE',
        last.profile,
        last.summarize,
        0.4,
      ),
      goal(`profile, ${last.name}`, '≤ 5× the scan floor', last.profile, last.floor, 5),
      goal(`rules, duplicates, ${last.name}`, '≤ 5× the scan floor', last.check, last.floor, 5),
      goal(`rules, ${besides?.name}`, '≥ 1× Pandera over Polars', besides?.pandera, besides?.check, 1, false),
      goal(
        `rules, ${besides?.name}`,
        '≥ 1× Great Expectations',
        besides?.expectations,
        besides?.check,
        1,
        false,
      ),
      {
        path: `peak memory of profile, ${last.name}`,
        goal: '≤ 1 GB',
        got: last.profile.rss / 2 ** 30,
        limit: 1,
        less: true,
        unit: 'GB',
      },
      {
        path: `peak memory of ingest, ${last.name}, memory_limit: ${MEMORY_LIMIT}`,
        goal: '≤ 1.5 GB',
        got: last.limited.rss / 2 ** 30,
        limit: 1.5,
        less: true,
        unit: 'GB',
      },
    ],
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { text, goals } = await measure({
    size: argument('size', 'small'),
    runs: Number(argument('runs', 3)),
  });
  console.log(text);
  for (const { path, goal, got, wall } of goals)
    console.log(
      `${path}: ${goal}: ${got?.toFixed(2)}${wall === undefined ? '' : ` CPU, ${wall.toFixed(2)} wall`}`,
    );
}
