/** When assets run, and how their steps are performed. Nothing here is part of a fingerprint. */

import { MICROS_PER_SECOND } from '../base/time.js';
import { documentationOf, type RawDefinitions, type RawSettings } from './collect.js';
import type { Resolved } from './context.js';
import { parseCron } from './cron.js';
import type { Report } from './report.js';
import type { Located } from './shape.js';
import type { ExecutorSettings, Schedule, Sensor, StepSettings } from './types.js';

/** The pool of steps that use the engine's threads and memory. */
const ENGINE_POOL = 'engine';

const DEFAULT_EXECUTOR: ExecutorSettings = {
  tries: 3,
  backoff: MICROS_PER_SECOND,
  timeout: null,
  priority: 0,
  pool: ENGINE_POOL,
  lease: 30 * MICROS_PER_SECOND,
  pools: { [ENGINE_POOL]: 1 },
};

const DEFAULT_EVERY = 30 * MICROS_PER_SECOND;

type RawSteps = { readonly [K in keyof StepSettings]?: Located<NonNullable<StepSettings[K]>> };

const stepsOf = ({ tries, backoff, timeout, priority, pool }: RawSteps): Partial<StepSettings> => ({
  ...(tries ? { tries: tries.value } : {}),
  ...(backoff ? { backoff: backoff.value } : {}),
  ...(timeout ? { timeout: timeout.value } : {}),
  ...(priority ? { priority: priority.value } : {}),
  ...(pool ? { pool: pool.value } : {}),
});

export function readExecutor(written: readonly RawSettings[], report: Report): ExecutorSettings {
  const [first, second] = written.flatMap((raw) => raw.executor ?? []);
  if (second)
    report.add('DEF_DUPLICATE_NAME', second.$.place, 'the setting `executor` is written twice', {
      hint: 'Keep one of them.',
    });
  const pools = Object.fromEntries(
    written.flatMap((raw) => [...(raw.pools ?? [])].map(([name, { value }]) => [name, value.value])),
  );
  return {
    ...DEFAULT_EXECUTOR,
    ...stepsOf(first ?? {}),
    ...(first?.lease ? { lease: first.lease.value } : {}),
    pools: { ...DEFAULT_EXECUTOR.pools, ...pools },
  };
}

const ASSET_KINDS = {
  source: ['sources', 'transforms'],
  dataset: ['datasets'],
  model: ['models'],
  service: ['services'],
  monitor: ['monitors'],
} as const satisfies Readonly<Record<string, readonly (keyof RawDefinitions)[]>>;

export function resolveSteps({ raw }: Resolved): ReadonlyMap<string, Partial<StepSettings>> {
  const steps = new Map<string, Partial<StepSettings>>();
  for (const [kind, lists] of Object.entries(ASSET_KINDS))
    for (const list of lists)
      for (const [name, { executor }] of raw[list])
        if (executor) steps.set(`${kind}.${name}`, stepsOf(executor));
  return steps;
}

/** Every name by which an asset may be asked for: bare, and with its kind. */
function assetNames({ raw }: Resolved): readonly string[] {
  const bare: string[] = [];
  const ids = ['online.store', 'store'];
  for (const [kind, lists] of Object.entries(ASSET_KINDS))
    for (const list of lists)
      for (const name of raw[list].keys()) {
        bare.push(name);
        ids.push(`${kind}.${name}`);
      }
  return [...bare, ...ids];
}

function assetsOf(
  { report }: Resolved,
  subject: string,
  written: readonly Located<string>[],
  known: readonly string[],
): readonly string[] {
  for (const asset of written)
    if (!known.includes(asset.value)) report.unknown(subject, 'asset', asset, known);
  return written.map(({ value }) => value);
}

export function resolveSchedules(context: Resolved): ReadonlyMap<string, Schedule> {
  const { raw, report, settings } = context;
  const known = assetNames(context);
  const schedules = new Map<string, Schedule>();
  for (const [name, written] of raw.schedules) {
    const subject = `schedule \`${name}\``;
    const run = assetsOf(context, subject, written.run ?? [], known);
    if (!written.cron) continue;
    const timezone = written.timezone?.value ?? settings.timezone;
    const cron = parseCron(written.cron.value, timezone);
    if (!cron.ok) {
      report.add(
        'DEF_INVALID_VALUE',
        written.cron.place,
        `the cron expression of ${subject}: ${cron.problem}`,
        {
          hint: 'Write five fields, as in `30 2 * * MON-FRI`, or @hourly, @daily, @weekly, @monthly or @yearly.',
        },
      );
      continue;
    }
    schedules.set(name, {
      ...documentationOf(written),
      name,
      cron: written.cron.value,
      timezone,
      run,
      catchUp: written.catch_up?.value ?? 'latest',
      jitter: written.jitter?.value ?? 0,
      enabled: written.enabled?.value ?? true,
    });
  }
  return schedules;
}

export function resolveSensors(context: Resolved): ReadonlyMap<string, Sensor> {
  const { raw, report } = context;
  const known = assetNames(context);
  const sensors = new Map<string, Sensor>();
  for (const [name, written] of raw.sensors) {
    const subject = `sensor \`${name}\``;
    const run = assetsOf(context, subject, written.run ?? [], known);
    if (!written.on) continue;
    const on = sensedBy(context, subject, written.on, known);
    if (!on) continue;
    if (on.kind === 'updated' && run.length === 0)
      report.add(
        'DEF_INVALID_VALUE',
        written.$.place,
        `${subject} runs everything, what it waits for included`,
        {
          severity: 'warning',
          hint: 'Name what it should run: `run: [...]`.',
        },
      );
    sensors.set(name, {
      ...documentationOf(written),
      name,
      on,
      run,
      minimumInterval: written.minimum_interval?.value ?? 0,
      every: written.every?.value ?? DEFAULT_EVERY,
      enabled: written.enabled?.value ?? true,
    });
  }
  return sensors;
}

type RawOn = NonNullable<ReturnType<RawDefinitions['sensors']['get']>>['on'];

function sensedBy(
  { raw, report, sources }: Resolved,
  subject: string,
  written: NonNullable<RawOn>,
  known: readonly string[],
): Sensor['on'] | undefined {
  const kinds = (['new_files', 'freshness', 'completeness', 'updated'] as const).filter((kind) =>
    written.$.keys.has(kind),
  );
  if (kinds.length !== 1)
    return report.add(
      'DEF_INVALID_VALUE',
      written.$.place,
      `${subject} waits for ${kinds.length === 0 ? 'nothing' : `${kinds.length} things`}: expected one of new_files, freshness, completeness, updated`,
      { hint: 'Write one sensor for each.' },
    );
  const [kind] = kinds as [(typeof kinds)[number]];
  const name = written[kind];
  if (!name) return undefined;
  if (kind === 'updated') {
    if (!known.includes(name.value)) return report.unknown(subject, 'asset', name, known);
    return { kind, asset: name.value };
  }
  if (!raw.sources.has(name.value) && !raw.transforms.has(name.value))
    return report.unknown(subject, 'source', name, [...raw.sources.keys(), ...raw.transforms.keys()]);
  const source = sources.get(name.value);
  if (!source) return undefined;
  const { read } = source;
  if (kind === 'new_files') {
    if (read.kind === 'push' || read.kind === 'transform')
      return report.add(
        'DEF_INVALID_VALUE',
        name.place,
        `${subject} waits for new files of \`${source.name}\`, which reads ${read.kind === 'push' ? 'what is pushed' : 'other sources'}`,
        { hint: `Write \`on: { updated: ${source.name} }\`.` },
      );
  } else if (!source.serviceLevels?.[kind])
    return report.add(
      'DEF_INVALID_VALUE',
      name.place,
      `${subject} waits for the ${kind} of \`${source.name}\`, which promises none`,
      { hint: `Write \`service_levels: { ${kind}: ... }\` at the source.` },
    );
  return { kind, source: source.name };
}
