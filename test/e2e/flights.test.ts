/** The main job on real data as a new user does it: one project, made once, looked at from every side. */
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openProject } from '../../src/open.js';
import type { LogRecord } from '../../src/ports/record-log.js';
import { projectGroups } from '../../src/services/online-groups.js';
import { parseCsv } from './case-project.js';
import { type Finished, millrace, start } from './support.js';

// biome-ignore lint/suspicious/noExplicitAny: answers of many shapes
type Json = any;

let base: string;
let demo: string;
let first: Finished;

const run = (args: readonly string[], folder = demo): Promise<Finished> =>
  millrace([...args, '--json'], { cwd: folder });

/** The result of a command that must succeed. */
async function ok(args: readonly string[], folder = demo): Promise<Json> {
  const done = await run(args, folder);
  expect(done.status, done.stderr).toBe(0);
  return done.json;
}

const edit = async (file: string, change: (text: string) => string, folder = demo): Promise<void> => {
  const whole = path.join(folder, file);
  const text = await readFile(whole, 'utf8');
  const changed = change(text);
  expect(changed).not.toBe(text);
  await writeFile(whole, changed);
};

/** Runs with a definition changed, and puts it back. */
async function withEdit(
  file: string,
  change: (text: string) => string,
  work: () => Promise<void>,
): Promise<void> {
  const before = await readFile(path.join(demo, file), 'utf8');
  try {
    await edit(file, change);
    await work();
  } finally {
    await writeFile(path.join(demo, file), before);
  }
}

beforeAll(async () => {
  base = await mkdtemp(path.join(tmpdir(), 'millrace-flights-'));
  demo = path.join(base, 'demo');
  const made = await millrace(['init', 'demo', '--example', 'flights'], { cwd: base });
  expect(made.status, made.stderr).toBe(0);
  expect(made.stdout).toContain('cd demo && npx millrace run');
  first = await run(['run']);
}, 300_000);

afterAll(() => rm(base, { recursive: true, force: true }));

describe('the first run', () => {
  it('brings everything up to date and accounts for every record', () => {
    expect(first.status, first.stderr).toBe(0);
    const { records, sources, steps } = first.json;
    expect(records.rows).toBe(records.accepted + records.quarantined + records.duplicates + records.dropped);
    expect(records).toMatchObject({ rows: 503_630, quarantined: 445, duplicates: 0, dropped: 0 });
    for (const source of sources)
      expect(source.rows).toBe(source.accepted + source.quarantined + source.duplicates + source.dropped);
    expect(steps.map((step: Json) => step.asset)).toEqual([
      'source.schedule',
      'source.movements',
      'source.departures',
      'source.weather',
      'source.planes',
      'source.landed',
      'source.departed',
      'online.store',
      'dataset.flights_train',
      'model.flight_late',
      'service.flight_late',
      'monitor.flight_drift',
    ]);
    expect(first.stderr).toMatch(/train flight_late: fitting/);
  });

  it('trains an honest model that passes its gate', () => {
    const [model] = first.json.models;
    expect(model.metrics.test.auc).toBeGreaterThanOrEqual(0.7);
    expect(model.metrics.test.auc).toBeLessThan(0.8);
    expect(first.json.promotions[0]).toMatchObject({
      model: 'flight_late',
      version: 1,
      promoted: true,
      previous: null,
    });
    expect(first.json.datasets[0]).toMatchObject({ dataset: 'flights_train', version: 1, built: true });
  });

  it('monitors, and proves offline = online', () => {
    expect(['ok', 'drifted']).toContain(first.json.monitors[0].verdict);
    expect(first.json.monitors[0].rows).toBeGreaterThan(1000);
    expect(first.json.verify).toEqual({ checked: 80_000, differing: 0 });
  });

  it('writes a report that needs nothing else', async () => {
    const html = await readFile(first.json.report, 'utf8');
    expect(html).toMatch(/^<!doctype html>/i);
    expect(html).toContain('<svg');
    expect(html).toContain('flight_late');
    expect(html).not.toMatch(/<(script|link|img|iframe)[^>]+(src|href)=["']?https?:/i);
    expect(html).not.toMatch(/@import|url\(\s*["']?https?:/i);
  });
});

describe('a later run', () => {
  it('has nothing to do, and says so at once', async () => {
    const started = performance.now();
    const again = await run(['run']);
    expect(again.status).toBe(99);
    expect(again.json.steps).toEqual([]);
    expect(performance.now() - started).toBeLessThan(15_000);
  });

  it('has nothing to do when only words have changed', () =>
    withEdit(
      'definitions/features.yaml',
      (text) => text.replace('Is the last hour worse than the day', 'Does it get worse'),
      async () => {
        expect((await run(['plan'])).status).toBe(99);
      },
    ));

  it('plans exactly what a changed feature makes stale', () =>
    withEdit(
      'definitions/features.yaml',
      (text) =>
        text.replace(
          '{ function: max, source: departed.dep_delay, window: 3h }',
          '{ function: max, source: departed.dep_delay, window: 4h }',
        ),
      async () => {
        const { steps, fresh } = await ok(['plan']);
        expect(steps.map((step: Json) => [step.asset, step.certainty])).toEqual([
          ['dataset.flights_train', 'stale'],
          ['model.flight_late', 'stale'],
          ['service.flight_late', 'follows'],
          ['monitor.flight_drift', 'follows'],
        ]);
        // The online store keeps records, not windows: another length reads what is there.
        expect(fresh).toEqual([
          'source.schedule',
          'source.movements',
          'source.departures',
          'source.weather',
          'source.planes',
          'source.landed',
          'source.departed',
          'online.store',
        ]);
      },
    ));

  it('plans the online store when a predicate changes, which it keeps the answers of', () =>
    withEdit(
      'definitions/features.yaml',
      (text) => text.replace("window: 7d, where: 'arr_delay > 15'", "window: 7d, where: 'arr_delay > 20'"),
      async () => {
        const { steps } = await ok(['plan']);
        expect(steps.map((step: Json) => step.asset)).toEqual([
          'online.store',
          'dataset.flights_train',
          'model.flight_late',
          'service.flight_late',
          'monitor.flight_drift',
        ]);
      },
    ));

  it('plans only the model and what hangs on it when a trainer parameter changes', () =>
    withEdit(
      'definitions/model.yaml',
      (text) => text.replace('trees: 300', 'trees: 20'),
      async () => {
        const { steps } = await ok(['plan']);
        expect(steps.map((step: Json) => [step.asset, step.certainty])).toEqual([
          ['model.flight_late', 'stale'],
          ['service.flight_late', 'follows'],
          ['monitor.flight_drift', 'follows'],
        ]);
      },
    ));
});

describe('records', () => {
  it('ingested again are all duplicates', async () => {
    expect(await ok(['ingest', 'movements'])).toMatchObject({
      rows: 161_192,
      accepted: 0,
      quarantined: 0,
      duplicates: 161_192,
    });
  });

  it('in quarantine are listed, shown and fed again', async () => {
    const listed = await ok(['quarantine', 'list', '--source', 'movements']);
    expect(listed.groups).toContainEqual(
      expect.objectContaining({ source: 'movements', rule: 'arr_delay.not_null', status: 'open', rows: 444 }),
    );
    const shown = await ok(['quarantine', 'show', '--source', 'movements', '--limit', '3']);
    expect(shown.rows).toHaveLength(3);
    // The line it names is the line in the file.
    const lines = gunzipSync(await readFile(path.join(demo, 'data/movements.csv.gz')))
      .toString('utf8')
      .split('\n');
    for (const row of shown.rows) expect(lines[row.line - 1]!.split(',')[0]).toBe(row.row.flight_id);
    const { results } = await ok(['quarantine', 'replay', '--source', 'movements']);
    expect(results[0]).toMatchObject({ rows: 444, accepted: 0, quarantined: 444 });
  });
});

describe('the training set', () => {
  it('is the same one when nothing has changed', async () => {
    const built = await ok(['dataset', 'build', 'flights_train']);
    expect(built).toMatchObject({ version: 1, built: false });
    const { counts, parts } = built.manifest;
    expect(counts.observations).toBe(161_192);
    expect(
      counts.rows + counts.immature_label + counts.no_outcome + counts.outside_horizon + counts.purged,
    ).toBe(counts.observations);
    expect(parts.reduce((sum: number, part: Json) => sum + part.rows, 0)).toBe(counts.rows);
    // A training row's label window ends before validation begins.
    expect(Date.parse(parts[0].to) + 36 * 3_600_000).toBeLessThanOrEqual(Date.parse('2014-09-01T00:00:00Z'));
  });

  it('is reproduced to the byte', async () => {
    expect(await ok(['dataset', 'reproduce', 'flights_train@1'])).toMatchObject({
      logical: true,
      physical: true,
      columns_that_differ: [],
    });
  });

  it('differs in nothing from itself', async () => {
    expect(await ok(['dataset', 'diff', 'flights_train@1', 'flights_train@1'])).toMatchObject({
      equal: true,
      definitions: [],
      columns: { changed: [], only_a: [], only_b: [] },
    });
  });
});

/** Scheduled flights to ask for, spread over the year. */
async function someFlights(): Promise<Record<string, string>[]> {
  const rows = parseCsv(gunzipSync(await readFile(path.join(demo, 'data/schedule.csv.gz'))).toString('utf8'));
  return [20_000, 90_001, 150_007].map((i) => rows[i] as Record<string, string>);
}

describe('feature values', () => {
  it('online are the historical ones', async () => {
    const flights = await someFlights();
    const names = Object.keys(flights[0]!);
    await writeFile(
      path.join(base, 'some.csv'),
      `${names.join(',')}\n${flights.map((row) => names.map((name) => row[name] ?? '').join(',')).join('\n')}\n`,
    );
    await ok([
      'features',
      'historical',
      '--observations',
      path.join(base, 'some.csv'),
      '--time',
      'sched_dep',
      '--features',
      'flight_late_v1',
      '--out',
      path.join(base, 'some-out.csv'),
    ]);
    const historical = parseCsv(await readFile(path.join(base, 'some-out.csv'), 'utf8'));
    for (const [i, flight] of flights.entries()) {
      const entity = ['carrier', 'origin', 'dest', 'tail'].flatMap((key) => [
        '--entity',
        `${key}=${flight[key]}`,
      ]);
      const answer = await ok([
        'features',
        'online',
        '--features',
        'flight_late_v1',
        ...entity,
        '--request',
        `distance=${flight['distance']}`,
        '--at',
        flight['sched_dep']!,
      ]);
      expect(answer.features).toHaveLength(40);
      for (const [j, name] of answer.features.entries()) {
        const value = answer.rows[0].values[j];
        expect([name, value === null ? null : String(value)]).toEqual([
          name,
          historical[i]![name] === null
            ? null
            : typeof value === 'number'
              ? String(Number(historical[i]![name]))
              : historical[i]![name],
        ]);
      }
    }
  });

  it('are explained by their records', async () => {
    const [flight] = await someFlights();
    const explained = await ok([
      'features',
      'explain',
      'origin_departures_3h',
      '--entity',
      `origin=${flight!['origin']}`,
      '--at',
      flight!['sched_dep']!,
    ]);
    expect(explained.parts[0].members).toBe(explained.value);
    const t = Date.parse(flight!['sched_dep']!);
    for (const record of explained.parts[0].records) {
      expect(Date.parse(record.event_time)).toBeLessThan(t);
      expect(Date.parse(record.event_time)).toBeGreaterThanOrEqual(t - 3 * 3_600_000);
    }
    expect(explained.parts[0].sql).toContain('departed');
  });
});

describe('the model', () => {
  it('is listed, shown and compared', async () => {
    const list = await ok(['models', 'list', 'flight_late']);
    expect(list.models).toEqual([
      expect.objectContaining({ name: 'flight_late', version: 1, champion: true }),
    ]);
    const shown = await ok(['models', 'show', 'flight_late@1']);
    expect(shown.manifest.features).toHaveLength(40);
    expect(shown.manifest.importance.length).toBeGreaterThan(5);
    const compared = await ok(['models', 'compare', 'flight_late@1', 'flight_late@1']);
    expect(compared.metrics.every((row: Json) => row.difference === 0)).toBe(true);
  });

  it('scores a file of flights', async () => {
    const out = path.join(base, 'scored.csv');
    const scored = await ok([
      'score',
      'flight_late',
      '--observations',
      path.join(base, 'some.csv'),
      '--time',
      'sched_dep',
      '--out',
      out,
    ]);
    expect(scored).toMatchObject({ rows: 3, logged: 3, model: 'flight_late@1' });
    const rows = parseCsv(await readFile(out, 'utf8'));
    expect(rows).toHaveLength(3);
    for (const row of rows) {
      expect(Number(row['probability'])).toBeGreaterThan(0);
      expect(Number(row['probability'])).toBeLessThan(1);
      expect(row['model']).toBe('flight_late@1');
      expect(row['flight_id']).toMatch(/./);
    }
  });

  it('is monitored on what it has served', async () => {
    const { monitors } = await ok(['monitor', 'flight_drift']);
    expect(monitors[0].rows).toBeGreaterThan(1000);
    expect(monitors[0].performance.evaluation.metrics.auc).toBeGreaterThan(0.65);
    for (const column of Object.values<Json>(monitors[0].features.columns))
      expect(['ok', 'drifted', 'insufficient_data']).toContain(column.verdict);
    expect((await run(['monitor', 'flight_drift', '--fail'])).status).toBe(
      monitors[0].alerts.length > 0 ? 3 : 0,
    );
  });

  it('has only feature vectors in its log that can be computed again', async () => {
    expect(await ok(['replay', 'flight_late'])).toMatchObject({
      predictions: 38_073,
      equal: 38_073,
      different: 0,
      causes: {},
    });
  });
});

describe('around it', () => {
  it('lineage leads from the label and from a field to the monitor', async () => {
    for (const asset of ['late15', 'movements.arr_delay']) {
      const { up, down } = await ok(['lineage', asset]);
      expect(up.map((item: Json) => item.node.id)).toContain('source.movements');
      const below = down.map((item: Json) => item.node.id);
      for (const id of [
        'dataset.flights_train',
        'model.flight_late',
        'service.flight_late',
        'monitor.flight_drift',
      ])
        expect(below).toContain(id);
    }
  });

  it('doctor finds nothing wrong', async () => {
    const { ok: fine, findings } = await ok(['doctor']);
    expect(fine).toBe(true);
    expect(findings.map((item: Json) => item.check)).toEqual(
      expect.arrayContaining(['node', 'duckdb', 'sqlite', 'lmdb', 'disk', 'definitions']),
    );
  });

  it('serve answers predictions of the champion, and a taken port is one message', async () => {
    const server = start(['serve', '--port', '0', '--json'], { cwd: demo });
    try {
      const port = (await server.shows(/"port":(\d+)/))[1]!;
      const [flight] = await someFlights();
      const body = {
        entities: [
          Object.fromEntries(['carrier', 'origin', 'dest', 'tail'].map((key) => [key, flight![key]])),
        ],
        request: [{ distance: Number(flight!['distance']) }],
        at: flight!['sched_dep'],
      };
      const answer = await fetch(`http://127.0.0.1:${port}/v1/services/flight_late/predict`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      });
      const json = (await answer.json()) as Json;
      expect(answer.status, JSON.stringify(json)).toBe(200);
      expect(json.model).toBe('flight_late@1');
      const scored = parseCsv(await readFile(path.join(base, 'scored.csv'), 'utf8'));
      expect(json.predictions[0].probability).toBe(Number(scored[0]!['probability']));

      const other = path.join(base, 'other');
      await millrace(['init', other], { cwd: base });
      const taken = await run(['serve', '--port', port], other);
      expect(taken.status).toBe(1);
      expect(taken.json.error.code).toBe('PORT_IN_USE');
      expect(taken.stderr).toMatch(new RegExp(`error PORT_IN_USE .*${port}`));
    } finally {
      server.child.kill('SIGINT');
    }
    expect((await server.finished).status).toBe(130);
  });
});

describe('verify', () => {
  it('finds every sampled value equal', async () => {
    expect(await ok(['verify', '--sample', '300', '--seed', '2'])).toMatchObject({
      observations: 300,
      checked: 12_000,
      differing: 0,
    });
  });

  it('ends with 3 and the differing values when the online store has been tampered with', async () => {
    const folder = path.join(base, 'tampered');
    await cp(demo, folder, { recursive: true });
    const changed = await tamper(folder);
    expect(changed).toBeGreaterThan(0);
    const done = await run(['verify', '--sample', '300'], folder);
    expect(done.status, done.stderr).toBe(3);
    expect(done.json.differing).toBeGreaterThan(0);
    expect(done.json.differences[0]).toMatchObject({
      dataset: 'flights_train',
      feature: expect.any(String),
      at: expect.any(String),
      entity: expect.any(Object),
    });
    expect(done.json.differences[0].offline).not.toEqual(done.json.differences[0].online);
    await rm(folder, { recursive: true, force: true });
  });
});

/** Writes a departure a day that never happened into the online store, behind the log's back. */
async function tamper(folder: string): Promise<number> {
  const project = await openProject(folder);
  try {
    const store = await project.online();
    const { online } = projectGroups(project).find(({ group }) => group.id === 'departed(origin)')!;
    await store.open(online);
    const applied = store.applied(online)!;
    const day = 86_400_000_000;
    const forged = Array.from({ length: 365 }, (_, i): LogRecord => {
      const at = Date.UTC(2014, 0, 1, 12) * 1000 + i * day;
      return {
        fields: {
          flight_id: `forged-${i}`,
          origin: 'SEA',
          dest: 'LAX',
          carrier: 'AS',
          tail: 'N1',
          dep: at,
          dep_delay: 999,
        },
        eventTime: at,
        availableAt: at,
        order: applied.seq + 1 + i,
        seq: applied.seq + 1 + i,
        deleted: false,
      };
    });
    await store.apply(online, forged, { seq: applied.seq + forged.length, availableAt: applied.availableAt });
    return forged.length;
  } finally {
    await project.close();
  }
}
