/** The life of a small project in phases, and what a project holds when a phase is over, whatever happened in it. */
import { createHash } from 'node:crypto';
import { cpSync, readdirSync, readFileSync } from 'node:fs';
import { appendFile, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { DatabaseSync } from '@photostructure/sqlite';
import { definitions, moreDays, visits } from '../models-world.js';
import { type Finished, millrace, writeFiles } from '../support.js';

export interface Phase {
  readonly name: string;
  /** What comes to pass outside before the command. */
  prepare(folder: string): Promise<void>;
  readonly command: readonly string[];
  /** Days that the clock is ahead. */
  readonly ahead?: number;
}

const EXTRA = `
transforms:
  - name: dear_visits
    kind: events
    sql: SELECT visit_id, guest_id, "at", amount FROM visits WHERE amount > 12
    record_key: visit_id
    event_time: at
    available_at: { delay: -1m }
    fields: { visit_id: int64, guest_id: int64, at: timestamp, amount: float64 }
monitors:
  - { name: moods, service: back, window: 7d, features: { test: auto }, alert: [log] }
sensors:
  - { name: arrivals, on: { new_files: visits }, run: [back], every: 1s }
`;

const world = (window: string): string =>
  `${definitions({ window })
    .replace(
      'labels:',
      `  - { name: dear, entity: guest, aggregation: { function: count, source: dear_visits, window: 30d } }
labels:`,
    )
    .replace('[spend, visits, last_mood]', '[spend, visits, last_mood, dear]\n    partition: 14d')
    .replace('    label: outcome', '    label: outcome\n    checks: { rows: { min: 10 } }')
    .replace('log: all', 'log: all, backtest: [test]')}${EXTRA}`;

const corrected = (text: string, amount: number): string => {
  const [header, ...rows] = text.trimEnd().split('\n');
  const changed = rows
    .filter((_, i) => i % 9 === 0)
    .map((row) => row.split(',').with(3, `${amount}`).join(','));
  return `${[header, ...changed].join('\n')}\n`;
};

export const PHASES: readonly Phase[] = [
  {
    name: 'a first run',
    prepare: async (folder) => {
      const rows = visits(0, 50);
      await writeFiles(folder, {
        'millrace.yaml': 'project: guests\n',
        'definitions/guests.yaml': world('7d'),
        'data/visits.csv': rows.visits,
        'data/returns.csv': rows.returns,
      });
    },
    command: ['run'],
  },
  {
    name: 'a run after more days and a correction',
    prepare: async (folder) => {
      await moreDays(folder, 50, 60);
      await writeFiles(folder, { 'data/visits-corrected.csv': corrected(visits(30, 33).visits, 99) });
    },
    command: ['run'],
  },
  {
    name: 'a run after a changed definition',
    prepare: (folder) => writeFile(path.join(folder, 'definitions/guests.yaml'), world('5d')),
    command: ['run'],
  },
  {
    name: 'a backfill after a correction',
    prepare: (folder) => writeFiles(folder, { 'data/visits-late.csv': corrected(visits(20, 22).visits, 50) }),
    command: ['backfill', 'stays', '--from', '2024-01-10T00:00:00Z', '--to', '2024-02-01T00:00:00Z'],
  },
  {
    name: 'a run that publishes what was backfilled',
    prepare: async () => undefined,
    command: ['run'],
  },
  {
    name: 'a sensor that fires',
    prepare: (folder) => moreDays(folder, 60, 64),
    command: ['schedule', 'run', '--once'],
  },
  {
    name: 'an ingest',
    prepare: async (folder) => {
      await moreDays(folder, 64, 66);
      // One row is not a record.
      await appendFile(path.join(folder, 'data/visits-64.csv'), 'x,1,2024-03-06T00:00:00Z,1,good\n');
    },
    command: ['ingest', 'visits'],
  },
  {
    name: 'a promotion by hand',
    prepare: async () => undefined,
    command: ['promote', 'back', '--version', '1', '--force', '--reason', 'trial'],
  },
  {
    name: 'a garbage collection',
    prepare: async () => undefined,
    command: ['gc', '--retention', '1d'],
    ahead: 60,
  },
];

const PRELOAD = new URL('./crash-point.mjs', import.meta.url).href;

export interface Point {
  /** As `crash-point.mjs` reads it. */
  readonly at?: string;
  readonly trace?: string;
}

export const perform = (
  { command, ahead = 0 }: Phase,
  folder: string,
  point: Point = {},
): Promise<Finished> =>
  millrace([...command, '--project', folder, '--json'], {
    env: {
      NODE_OPTIONS: `--import=${PRELOAD}`,
      MILLRACE_AHEAD: String(ahead * 86_400),
      ...(point.at === undefined ? {} : { MILLRACE_KILL_AT: point.at }),
      ...(point.trace === undefined ? {} : { MILLRACE_TRACE: point.trace }),
    },
  });

/** Paths without what is drawn by lot or names a process. */
const plain = (file: string): string =>
  file.replace(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22}/g, 'UUID').replace(/^report\.html$/, '');

function files(folder: string, below = ''): string[] {
  return readdirSync(path.join(folder, below), { withFileTypes: true }).flatMap((entry) => {
    const name = path.join(below, entry.name);
    return entry.isDirectory() ? files(folder, name) : [name];
  });
}

const sha256 = (bytes: string | Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** Everything that must be as it is without kills: rows of the registry, what they name, and nothing else. */
export async function holdings(folder: string): Promise<Readonly<Record<string, unknown>>> {
  const state = path.join(folder, '.millrace');
  const db = new DatabaseSync(path.join(state, 'registry.db'));
  const tables = new Set(
    db
      .prepare("SELECT name FROM sqlite_master WHERE type = 'table'")
      .all()
      .map((row) => (row as { name: string }).name),
  );
  const all = (sql: string): Record<string, unknown>[] =>
    tables.has(/FROM (\w+)/.exec(sql)![1]!) ? (db.prepare(sql).all() as Record<string, unknown>[]) : [];
  const manifests = all(
    'SELECT kind, name, version, key, folder, manifest FROM version ORDER BY kind, name, version',
  );
  const predictions = await readFile(path.join(state, 'predictions/back/predictions.ndjson'), 'utf8').catch(
    () => '',
  );
  const ids = predictions
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => (JSON.parse(line) as { readonly prediction_id: string }).prediction_id);
  const held = {
    log: all('SELECT * FROM log_source ORDER BY source'),
    batches: all(
      `SELECT source, status, sum(accepted) AS accepted, sum(quarantined) AS quarantined, sum(dropped) AS dropped,
  sum(corrections) AS corrections, sum(duplicates) AS duplicates
FROM log_batch GROUP BY source, status ORDER BY source, status`,
    ),
    segments: all(
      'SELECT source, first_seq, last_seq, rows, bytes FROM log_segment ORDER BY source, first_seq',
    ),
    quarantine: all('SELECT source, count(*) AS n FROM quarantine GROUP BY source'),
    contracts: all(
      'SELECT source, version, semver, fingerprint FROM contract_version ORDER BY source, version',
    ),
    versions: manifests.map(({ manifest, ...version }) => {
      const { logical_sha256, physical_sha256, model_sha256, metrics, counts, partitions } = JSON.parse(
        manifest as string,
      ) as Record<string, unknown>;
      return { ...version, logical_sha256, physical_sha256, model_sha256, metrics, counts, partitions };
    }),
    aliases: all('SELECT model, alias, version, previous, reason FROM alias_change ORDER BY id'),
    facts: all(
      "SELECT name, value FROM fact WHERE name NOT LIKE 'files:%' AND name <> 'definitions:digest' ORDER BY name",
    ).map(({ name, value }) => [name, (value as string).replace(/"at":("[^"]*"|\d+)/, '')]),
    open: [
      ...all("SELECT id FROM run WHERE status IN ('running', 'interrupted')"),
      ...all("SELECT run, step, status FROM run_step WHERE status IN ('waiting', 'ready', 'running')"),
      ...all("SELECT * FROM trigger_firing WHERE status IN ('due', 'running')"),
    ],
    fired: all('SELECT trigger, status, count(*) AS n FROM trigger_firing GROUP BY trigger, status'),
    predictions: { lines: ids.length, ids: sha256([...new Set(ids)].sort().join()) },
    files: files(state).map(plain).sort(),
    online: JSON.parse(readFileSync(path.join(state, 'online/online.state.json'), 'utf8')),
  };
  db.close();
  return held;
}

export const copyProject = (from: string, to: string): void =>
  cpSync(from, to, { recursive: true, preserveTimestamps: true });
