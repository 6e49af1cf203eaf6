/** One seed: a world in which records arrive, definitions change and processes die, judged after every step. */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { memoryByteEngine } from '../../src/adapters/memory/online-store.js';
import { printInstant } from '../../src/core/base/time.js';
import type { Source } from '../../src/core/define/types.js';
import { columnValue } from '../../src/core/engine/columns.js';
import { expandFeatures, planFeatures } from '../../src/core/engine/feature-plan.js';
import { STATUS_NAMES } from '../../src/core/engine/types.js';
import type { Value } from '../../src/core/schema/types.js';
import type { LogRecord } from '../../src/ports/record-log.js';
import { pushRecords } from '../../src/services/follow.js';
import { computeFeatures, observationTypes } from '../../src/services/historical.js';
import { ingestFiles } from '../../src/services/ingest.js';
import { materialize } from '../../src/services/materialize.js';
import { projectGroups } from '../../src/services/online-groups.js';
import { currentHorizons } from '../../src/services/project.js';
import { createFeatureReader } from '../../src/services/serve.js';
import { runTransform } from '../../src/services/transform.js';
import { sameValue } from '../../src/services/verify.js';
import type { RawVersion } from '../../src/testing/oracle.js';
import { groupBytes, lmdbBytes } from '../online/stored-bytes.js';
import { pickFrom, random } from '../world.js';
import { Crash, faults } from './faults.js';
import {
  answer,
  cleanBytes,
  mourn,
  newFolder,
  type Place,
  type Process,
  type Shared,
  start,
} from './world.js';

const S = 1_000_000;
const T0 = Date.UTC(2024, 0, 1) * 1000;

type Row = Record<string, unknown>;

/** A log as the rules say it is: appended versions, and what was counted on the way. */
class Model {
  readonly versions: RawVersion[] = [];
  readonly #contents = new Map<string, string[]>();
  #latest = -Infinity;

  constructor(readonly source: string) {}

  /** What appending these rows at an instant does, without doing it. */
  plan(
    rows: readonly Row[],
    now: number,
  ): { add: RawVersion[]; duplicates: number; bad: number; known: [string, string][] } {
    const append = this.source !== 'orders';
    const at = Math.max(now, this.#latest);
    const seen = new Map<string, string[]>();
    const add: RawVersion[] = [];
    const known: [string, string][] = [];
    let [duplicates, bad] = [0, 0];
    for (const row of rows) {
      const { instant, knownAt, wrong, ...fields } = row as Row & { instant: number; knownAt: number | null };
      if (wrong !== undefined) {
        bad++;
        continue;
      }
      const key =
        this.source === 'profiles'
          ? JSON.stringify([fields['user_id'], instant])
          : String(fields['order_id'] ?? fields['click_id']);
      const content = JSON.stringify([fields, instant, append ? null : knownAt], (_, value) =>
        Object.is(value, -0) ? 0 : (value as unknown),
      );
      const earlier = seen.get(key) ?? [...(this.#contents.get(key) ?? [])];
      if (append ? earlier.at(-1) === content : earlier.includes(content)) {
        duplicates++;
        continue;
      }
      earlier.push(content);
      seen.set(key, earlier);
      known.push([key, content]);
      const user = fields['user_id'] as number | null;
      add.push({
        recordKey: key,
        entity: user === null ? null : String(user),
        eventTime: instant,
        availableAt: append ? at : (knownAt ?? instant),
        order: this.versions.length + add.length + 1,
        deleted: fields['gone'] === true,
        fields: fields as Record<string, Value>,
      });
    }
    return { add, duplicates, bad, known };
  }

  commit({ add, known }: ReturnType<Model['plan']>): void {
    this.versions.push(...add);
    for (const [key, content] of known)
      this.#contents.set(key, [...(this.#contents.get(key) ?? []), content]);
    for (const { availableAt } of add) this.#latest = Math.max(this.#latest, availableAt);
  }
}

const toRaw = (record: LogRecord): RawVersion => ({
  recordKey: String(record.fields['order_id']),
  entity: record.fields['user_id'] === null ? null : String(record.fields['user_id']),
  eventTime: record.eventTime,
  availableAt: record.availableAt,
  order: record.order,
  deleted: record.deleted,
  fields: record.fields,
});

export interface Told {
  readonly steps: readonly string[];
  readonly crashes: number;
}

export async function simulate(shared: Shared, seed: number, everyStepOffline = false): Promise<Told> {
  const next = random(seed);
  const pick = <T>(items: readonly T[]): T => pickFrom(next, items);
  const int = (below: number): number => Math.floor(next() * below);
  const place: Place = {
    folder: newFolder(),
    lmdb: next() < 0.15,
    engine: memoryByteEngine(),
    boot: 1,
  };
  const told: string[] = [];
  let crashes = 0;
  let clock = T0 + 60 * S;
  let version = 0;
  const models = new Map(['orders', 'clicks', 'profiles'].map((name) => [name, new Model(name)]));
  const computed: RawVersion[] = [];
  let process: Process | undefined;
  faults.revive(null);

  const row = (source: string): Row => {
    const instant = T0 + (int(10) === 0 ? 60 + int(120) : int(60 + Math.floor((clock - T0) / S))) * S;
    const base: Row = {
      user_id: int(12) === 0 ? null : 1 + int(3),
      amount: int(8) === 0 ? null : pick([0.1, 1e16, -1e16, -0.25, 3, 1 / 3, 1e300, -1e300, int(100) / 4]),
      price: int(8) === 0 ? null : int(1000) - 200,
      kind: int(8) === 0 ? null : pick(['a', 'b', 'é', '007', '__proto__']),
      instant,
      ...(int(16) === 0 ? { wrong: pick(['NaN', 'inf', 'time']) } : {}),
    };
    if (source === 'clicks') return { click_id: `c${int(14)}`, ...base };
    if (source === 'profiles') return { ...base, user_id: 1 + int(3), instant: T0 + int(30) * 5 * S };
    const knownAt = int(2) === 0 ? null : instant + pick([0, 1, 5, 30, 90, -5]) * S;
    return { order_id: `o${int(14)}`, ...base, knownAt, gone: int(8) === 0 };
  };
  /** As a client writes it. */
  const wire = ({ instant, knownAt, wrong, price, amount, ...rest }: Row, source: string): Row => ({
    ...rest,
    amount: wrong === 'NaN' ? 'NaN' : wrong === 'inf' ? Infinity : amount,
    price: price === null ? null : ((price as number) / 100).toFixed(2),
    at: wrong === 'time' ? '2024-02-30T00:00:00Z' : printInstant(instant as number),
    ...(source === 'orders' ? { known_at: knownAt === null ? null : printInstant(knownAt as number) } : {}),
  });
  let last: { source: string; rows: Row[] } | undefined;
  const rowsFor = (source: string): Row[] => {
    // A client that heard nothing sends again; one that heard sends what it sent before among new records.
    const repeated = last?.source === source && int(3) === 0 ? last.rows : [];
    return [...repeated, ...Array.from({ length: 1 + int(8) }, () => row(source))];
  };

  const definitions = (): Shared['versions'][number] => shared.versions[version]!;
  const boot = async (): Promise<void> => {
    for (let attempt = 0; ; attempt++) {
      try {
        process = await start(shared, place, definitions(), () => clock);
        return;
      } catch (error) {
        if (!faults.dead || attempt > 5) throw error;
        // It died as it came up.
        crashes++;
        mourn(place, null);
      }
    }
  };
  const logLength = async (source: string): Promise<number> =>
    (await (await process!.project.log()).state(definitions().sources.get(source)!)).lastSeq;

  /** Did the appending of a process that died reach the log? Wholly or not at all. */
  const settle = async (source: string, planned: ReturnType<Model['plan']>): Promise<void> => {
    const model = models.get(source)!;
    const length = await logLength(source);
    if (length === model.versions.length) return;
    expect(length, `${source} holds a part of a batch`).toBe(model.versions.length + planned.add.length);
    model.commit(planned);
  };

  const appending = async (
    source: string,
    rows: Row[],
    work: (rows: Row[]) => Promise<{ accepted: number; quarantined: number; duplicates: number }>,
  ): Promise<void> => {
    const model = models.get(source)!;
    const planned = model.plan(rows, clock);
    last = { source, rows };
    let result: Awaited<ReturnType<typeof work>> | undefined;
    await attempt(async () => {
      result = await work(rows.map((item) => wire(item, source)));
    });
    if (result === undefined) return settle(source, planned);
    expect({
      accepted: result.accepted,
      quarantined: result.quarantined,
      duplicates: result.duplicates,
    }).toEqual({ accepted: planned.add.length, quarantined: planned.bad, duplicates: planned.duplicates });
    // An acknowledged append is in the log, whatever died afterwards.
    expect(await logLength(source)).toBe(model.versions.length + planned.add.length);
    model.commit(planned);
  };

  /** Does a piece of work in a process that may die in it; afterwards a process is up again. */
  const attempt = async (work: () => Promise<void>): Promise<void> => {
    try {
      await work();
    } catch (error) {
      if (!faults.dead) throw error;
    }
    if (!faults.dead) {
      await process!.follower.applyAll().catch(() => undefined);
      for (const failure of process!.follower.failures().values())
        if (!(failure instanceof Crash)) throw failure;
    }
    if (!faults.dead) return;
    told.push('crash');
    crashes++;
    await process!.abandon();
    mourn(place, next() < 0.3 ? (bytes) => int(bytes + 1) : null);
    if (next() < 0.2) faults.arm(int(60), next());
    await boot();
    faults.disarm();
  };

  const csv = (rows: readonly Row[], source: Source): string => {
    const names = source.fields.map((field) => field.name);
    const cell = (value: unknown): string =>
      value === null || value === undefined ? '' : value === Infinity ? 'Infinity' : `"${String(value)}"`;
    return `${[names, ...rows.map((item) => names.map((name) => cell(item[name])))].map((line) => line.join(',')).join('\n')}\n`;
  };

  const logOf = async (source: Source): Promise<readonly RawVersion[]> => {
    const model = models.get(source.name);
    if (model) return model.versions;
    // Of a transform the log itself is taken: what is in it does not change, so only what is new is read.
    const length = await logLength(source.name);
    if (length > computed.length)
      for await (const chunk of (await process!.project.log()).read(source, computed.length, length))
        computed.push(...chunk.map(toRaw));
    return computed;
  };

  /** Online = the law at random instants; and offline = both. */
  const judge = async (offline: boolean): Promise<void> => {
    const { project, store } = process!;
    await process!.follower.applyAll();
    store.refresh();
    const every = [...definitions().features.keys()];
    const logs = new Map<string, readonly RawVersion[]>();
    for (const source of definitions().sources.values()) logs.set(source.name, await logOf(source));
    const instants = [...logs.values()].flat();
    const spots = Array.from({ length: offline ? 14 : 5 }, () => {
      const event = instants.length === 0 ? T0 : pick([pick(instants).eventTime, pick(instants).availableAt]);
      const at =
        next() < 0.6 ? event + pick([0, 1, 15, 20, 25, 30, 40, 45, 60]) * S + pick([0, 0, 1, -1]) : clock;
      return { user_id: 1 + int(4), kind: pick(['a', 'b', 'x']), at };
    });
    const plan = planFeatures(definitions(), expandFeatures(definitions(), every));
    const reader = createFeatureReader(store, plan, project);
    const online = spots.map(
      ({ at, ...keys }) =>
        reader.read(
          [Object.fromEntries(plan.joinKeys.map(({ name }) => [name, keys[name as 'kind']]))],
          [{}],
          at,
        ).rows[0]!,
    );
    for (const [i, { at, ...keys }] of spots.entries())
      for (const group of plan.groups)
        for (const feature of group.features) {
          const key = group.joinKeys.map(({ name }) => String(keys[name as 'kind']));
          const log = group.joinKeys.some(({ name }) => name === 'kind')
            ? logs.get(group.source.name)!.map((item) => ({ ...item, entity: item.fields['kind'] as string }))
            : logs.get(group.source.name)!;
          const wanted = answer(feature, group.source, log, key[0]!, at);
          const got = {
            value: online[i]!.slots[feature.name] ?? null,
            status: online[i]!.statuses[feature.name]!,
          };
          if (!sameValue(wanted.value, got.value) || wanted.status !== got.status)
            expect(got, `${feature.name} of ${key} at ${printInstant(at)}`).toEqual(wanted);
        }
    if (!offline) return;
    const file = join(place.folder, `spots-${told.length}-${int(1e9)}.csv`);
    const columns = plan.joinKeys.map(({ name }) => name);
    writeFileSync(
      file,
      `${[...columns, 't'].join(',')}\n${spots.map((spot) => [...columns.map((name) => spot[name as 'kind']), printInstant(spot.at)].join(',')).join('\n')}\n`,
    );
    const engine = await project.offline();
    const table = await engine.observationsFromFile(file, {
      time: 't',
      timezone: 'UTC',
      types: observationTypes(plan),
    });
    const horizons = await currentHorizons(
      project,
      plan.groups.map((group) => group.source.name),
    );
    const offlineColumns = await computeFeatures(engine, table, plan, {
      horizons,
      knowledge: 'as_of',
      project,
    });
    await engine.release(table);
    for (const [i, { at, user_id }] of spots.entries())
      for (const { feature, column, status } of offlineColumns) {
        const wanted = { value: columnValue(column, i), status: STATUS_NAMES[status[i]!]! };
        const got = {
          value: online[i]!.slots[feature.name] ?? null,
          status: online[i]!.statuses[feature.name]!,
        };
        if (!sameValue(wanted.value, got.value) || wanted.status !== got.status)
          expect(got, `${feature.name} of ${user_id} at ${printInstant(at)}: online, offline`).toEqual(
            wanted,
          );
      }
  };

  /** The stored bytes are those of one clean application. */
  const compareState = async (): Promise<void> => {
    const clean = await cleanBytes(process!.project);
    const held = place.lmdb
      ? await lmdbBytes(join(place.folder, '.millrace', 'online', 'online.mdb'))
      : place.engine;
    for (const { group, online } of projectGroups(process!.project)) {
      const wanted = clean.get(group.id)!;
      expect(groupBytes(held, online), group.id).toEqual(wanted);
    }
  };

  try {
    await boot();
    const length = 8 + int(8);
    for (let step = 0; step < length; step++) {
      clock += next() < 0.15 ? -int(40) * S : int(12) * S + int(3);
      const what = next();
      const doomed = next() < 0.3;
      if (doomed) faults.arm(Math.floor(Math.exp(next() * 5.5)) - 1, next());
      if (what < 0.4 || what > 0.97) {
        told.push('push orders');
        const rows = rowsFor('orders');
        await appending('orders', rows, (items) =>
          pushRecords(process!.project, process!.follower, 'orders', items),
        );
      } else if (what < 0.65) {
        const source = pick(['clicks', 'profiles']);
        told.push(`push ${source}`);
        await appending(source, rowsFor(source), (items) =>
          pushRecords(process!.project, process!.follower, source, items),
        );
      } else if (what < 0.73) {
        const source = pick(['orders', 'clicks']);
        told.push(`file ${source}`);
        const definition = definitions().sources.get(source)!;
        const file = join(place.folder, `batch-${step}.csv`);
        await appending(source, rowsFor(source), async (items) => {
          mkdirSync(place.folder, { recursive: true });
          writeFileSync(file, csv(items, definition));
          return ingestFiles(process!.project, definition, [file]);
        });
      } else if (what < 0.79) {
        told.push('transform');
        await attempt(async () => {
          await runTransform(process!.project, 'large', { full: next() < 0.3 });
        });
      } else if (what < 0.84) {
        told.push('materialize');
        await attempt(async () => {
          await materialize(process!.project, { rebuild: next() < 0.5 });
        });
      } else if (what < 0.91) {
        told.push('other definitions');
        await attempt(() => process!.close());
        if (!doomed || process === undefined || !faults.dead) {
          await process!.abandon();
          version = int(shared.versions.length);
          await boot();
          if (faults.dead) throw new Error('a process came up dead');
        }
      } else {
        told.push('restart');
        await attempt(() => process!.close());
        await process!.abandon();
        await boot();
      }
      faults.disarm();
      await judge(everyStepOffline || next() < 0.1);
    }
    await process!.close();
    await boot();
    await compareState();
    await judge(true);
    return { steps: told, crashes };
  } catch (error) {
    throw new Error(`seed ${seed} after ${told.join(', ')}: ${(error as Error).message}`, { cause: error });
  } finally {
    faults.disarm();
    if (faults.dead) faults.revive(null);
    await process?.abandon();
    rmSync(place.folder, { recursive: true, force: true });
  }
}
