/** The three leaks of the flights data, and their kin: each refused with the feature's name, and the innocent let through. */
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { januaryFlights } from './january.js';
import { type Finished, millrace } from './support.js';

let base: string;
let template: string;

beforeAll(async () => {
  base = await mkdtemp(path.join(tmpdir(), 'millrace-leaks-'));
  template = path.join(base, 'template');
  await januaryFlights(template);
}, 60_000);

afterAll(() => rm(base, { recursive: true, force: true }));

let projects = 0;

/** The project with one definition added or changed, run up to its dataset. */
async function build(
  change: (files: {
    features: string;
    sources: string;
    model: string;
  }) => Partial<{ features: string; sources: string; model: string }>,
): Promise<Finished> {
  const folder = path.join(base, `p${++projects}`);
  await cp(template, folder, { recursive: true });
  const names = ['features', 'sources', 'model'] as const;
  const read = (name: string): Promise<string> =>
    readFile(path.join(folder, `definitions/${name}.yaml`), 'utf8');
  const before = {
    features: await read('features'),
    sources: await read('sources'),
    model: await read('model'),
  };
  const after = change(before);
  for (const name of names) {
    const text = after[name];
    if (text === undefined) continue;
    expect(text).not.toBe(before[name]);
    await writeFile(path.join(folder, `definitions/${name}.yaml`), text);
  }
  return millrace(['run', 'flights_train', '--project', folder, '--json']);
}

function leak(done: Finished, feature: string, rule?: string): void {
  expect(done.json?.error?.code, done.stderr).toBe('LEAKAGE');
  expect(done.status).toBe(3);
  expect(done.stderr).toMatch(/error LEAKAGE /);
  expect(done.stderr).toContain(`feature ${feature} `);
  const findings = done.json.error.data.findings as {
    feature: string | null;
    remedy: string;
    rule: string;
  }[];
  const named = findings.filter((finding) => finding.feature === feature);
  expect(named.length).toBeGreaterThan(0);
  for (const finding of named) expect(finding.remedy.length).toBeGreaterThan(10);
  if (rule) expect(named.map((finding) => finding.rule)).toContain(rule);
}

const addFeature = (features: string, definition: string, name: string): string =>
  features
    .replace('\nfeature_sets:', `\n  - ${definition}\n\nfeature_sets:`)
    .replace('      - origin_departures\n', `      - origin_departures\n      - ${name}\n`);

describe('the example as it stands', () => {
  it('is innocent', async () => {
    const done = await build(() => ({}));
    expect(done.status, done.stderr).toBe(0);
    expect(done.json.datasets[0].rows).toBeGreaterThan(5000);
  });
});

describe('first leak: windows that ignore the landing time', () => {
  it('landings counted at their scheduled departure, with no word on when they are known', async () => {
    const done = await build(({ sources }) => ({
      sources: sources
        .replace(
          'SELECT m.flight_id, s.origin, s.dest, s.carrier, s.tail, m.arr, m.arr_delay',
          'SELECT m.flight_id, s.origin, s.dest, s.carrier, s.tail, s.sched_dep, m.arr_delay',
        )
        .replace(
          '    event_time: arr\n    available_at: arr\n    fields:\n      { flight_id: string, origin: string, dest: string, carrier: string, tail: string, arr: timestamp,',
          '    event_time: sched_dep\n    fields:\n      { flight_id: string, origin: string, dest: string, carrier: string, tail: string, sched_dep: timestamp,',
        ),
    }));
    leak(done, 'origin_arr_delay_mean_6h', 'derived_from_outcome');
  });

  it('landings that claim to be known at their scheduled departure', async () => {
    const done = await build(({ sources }) => ({
      sources: sources
        .replace(
          'SELECT m.flight_id, s.origin, s.dest, s.carrier, s.tail, m.arr, m.arr_delay',
          'SELECT m.flight_id, s.origin, s.dest, s.carrier, s.tail, s.sched_dep, m.arr_delay',
        )
        .replace(
          '    event_time: arr\n    available_at: arr\n    fields:\n      { flight_id: string, origin: string, dest: string, carrier: string, tail: string, arr: timestamp,',
          '    event_time: sched_dep\n    available_at: sched_dep\n    fields:\n      { flight_id: string, origin: string, dest: string, carrier: string, tail: string, sched_dep: timestamp,',
        ),
    }));
    leak(done, 'origin_arr_delay_mean_6h', 'known_too_early');
  });

  it('the outcomes themselves said to be known when the flight leaves', async () => {
    const done = await build(({ sources }) => ({
      sources: sources.replace(
        '    event_time: arr\n    available_at: arr\n    fields:\n      flight_id: string',
        '    event_time: dep\n    available_at: dep\n    fields:\n      flight_id: string',
      ),
    }));
    // The derived landings stand at `arr` still; what is wrong is the outcome's own clock.
    expect(done.status, done.stderr).toBe(3);
    expect(done.json.error.data.findings).toEqual([
      expect.objectContaining({
        rule: 'outcome_known_before',
        severity: 'refuse',
        remedy: expect.stringContaining('available_at'),
      }),
    ]);
  });
});

describe('second leak: a same-day mean that contains the flight', () => {
  const daily = (available: string): string => `
  - name: day_at_origin
    description: Mean delay of each day at each airport
    sql: >
      SELECT s.origin, date_trunc('day', s.sched_dep) AS day, avg(m.arr_delay) AS mean_delay, max(m.arr) AS last_landing
      FROM movements m JOIN schedule s USING (flight_id) GROUP BY ALL
    record_key: [origin, day]
    event_time: day
${available}    fields: { origin: string, day: timestamp, mean_delay: float64, last_landing: timestamp }
`;
  const feature =
    '{ name: same_day_delay, entity: airport, aggregation: { function: last, source: day_at_origin.mean_delay, window: 1d } }';

  it('with no word on when it is known', async () => {
    leak(
      await build(({ sources, features }) => ({
        sources: sources + daily(''),
        features: addFeature(features, feature, 'same_day_delay'),
      })),
      'same_day_delay',
      'derived_from_outcome',
    );
  });

  it('that claims to be known when the day begins', async () => {
    leak(
      await build(({ sources, features }) => ({
        sources: sources + daily('    available_at: day\n'),
        features: addFeature(features, feature, 'same_day_delay'),
      })),
      'same_day_delay',
      'known_too_early',
    );
  });

  it('is innocent once it says that it is known with its last landing', async () => {
    const done = await build(({ sources, features }) => ({
      sources: sources + daily('    available_at: last_landing\n'),
      features: addFeature(features, feature, 'same_day_delay'),
    }));
    expect(done.status, done.stderr).toBe(0);
  });
});

describe('third leak: what the flight itself will do', () => {
  it('its own departure delay, looked up by flight', async () => {
    const done = await build(({ features }) => ({
      features: addFeature(
        features.replace('entities:\n', 'entities:\n  - { name: flight, join_key: flight_id }\n'),
        '{ name: own_dep_delay, entity: flight, aggregation: { function: last, source: departures.dep_delay, window: 2d } }',
        'own_dep_delay',
      ),
    }));
    leak(done, 'own_dep_delay', 'known_too_late');
  });

  it('its own departure delay, out of the outcome record', async () => {
    const done = await build(({ features }) => ({
      features: addFeature(
        features.replace('entities:\n', 'entities:\n  - { name: flight, join_key: flight_id }\n'),
        '{ name: own_dep_delay, entity: flight, aggregation: { function: last, source: movements.dep_delay, window: 2d } }',
        'own_dep_delay',
      ),
    }));
    leak(done, 'own_dep_delay', 'outcome_field');
  });

  it('its own departure delay, given with the observations', async () => {
    const taken = `
  - name: taken
    sql: SELECT s.*, m.dep_delay FROM schedule s JOIN movements m USING (flight_id)
    record_key: flight_id
    event_time: sched_dep
    available_at: sched_dep
    fields: { flight_id: string, carrier: string, tail: string, origin: string, dest: string, distance: int64, sched_dep: timestamp, dep_delay: int64 }
`;
    const done = await build(({ features, model, sources }) => ({
      sources:
        sources +
        taken.replace('s.*', 's.flight_id, s.carrier, s.tail, s.origin, s.dest, s.distance, s.sched_dep'),
      features: addFeature(
        features,
        "{ name: own_dep_delay, entity: route, expression: 'request.dep_delay', request: { dep_delay: int64 } }",
        'own_dep_delay',
      ),
      model: model.replace(
        'observations: { source: schedule, time: sched_dep }',
        'observations: { source: taken, time: sched_dep }',
      ),
    }));
    leak(done, 'own_dep_delay', 'outcome_request_field');
  });
});
