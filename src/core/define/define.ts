/** From definitions as written to `Definitions`: every name resolved, every fault a diagnostic, all at once. */
import type { Diagnostic } from '../base/error.js';
import { collect, type DefinitionInput, type RawSettings } from './collect.js';
import type { Resolved } from './context.js';
import { resolveDatasets } from './datasets.js';
import { resolveEntities } from './entities.js';
import { resolveFeatureSets } from './feature-sets.js';
import { resolveFeatures } from './features.js';
import { checkReferences } from './field-rules.js';
import { resolveLabels } from './labels.js';
import { resolveModels } from './models.js';
import { createReport, type Report } from './report.js';
import { readExecutor, resolveSchedules, resolveSensors, resolveSteps } from './schedules.js';
import { resolveMonitors, resolveServices } from './serving.js';
import type { Located } from './shape.js';
import type { settingsKeys } from './shapes/operation.js';
import { resolveSources } from './sources.js';
import type { Definitions, Settings } from './types.js';

/** What a setting is when nobody writes it. */
export interface Environment {
  /** Absolute path of the project folder. */
  readonly root: string;
  /** Memory of the offline engine, bytes. */
  readonly memoryLimitBytes: number;
  readonly threads: number;
}

export interface DefineResult {
  /** What could be understood. With errors among the diagnostics it is not complete. */
  readonly definitions: Definitions;
  /** In the order of files and lines. */
  readonly diagnostics: readonly Diagnostic[];
}

/** Reads trees of definitions. Never throws for what a user wrote. */
export function define(
  inputs: readonly DefinitionInput[],
  environment: Environment,
  earlier: readonly Diagnostic[] = [],
): DefineResult {
  const diagnostics: Diagnostic[] = [...earlier];
  const report = createReport(diagnostics);
  const raw = collect(inputs, diagnostics);
  const settings = readSettings(raw.settings, environment, report);
  const context: Resolved = {
    report,
    raw,
    settings,
    sources: new Map(),
    entities: new Map(),
    features: new Map(),
    refusedFields: new Map(),
    expansions: new Map(),
  };
  resolveSources(context);
  resolveEntities(context);
  checkReferences(context);
  resolveFeatures(context);
  const featureSets = resolveFeatureSets(context);
  const labels = resolveLabels(context);
  const datasets = resolveDatasets(context, labels);
  const models = resolveModels(context, datasets, labels);
  const services = resolveServices(context, models);
  const monitors = resolveMonitors(context, services, models);
  const definitions: Definitions = {
    settings,
    entities: context.entities,
    sources: context.sources,
    features: context.features,
    featureSets,
    labels,
    datasets,
    models,
    services,
    monitors,
    schedules: resolveSchedules(context),
    sensors: resolveSensors(context),
    steps: resolveSteps(context),
  };
  return { definitions, diagnostics: inOrder(diagnostics, inputs) };
}

type SettingName = keyof typeof settingsKeys;

function readSettings(written: readonly RawSettings[], environment: Environment, report: Report): Settings {
  const find = <T>(name: SettingName): T | undefined => {
    const found = written.flatMap((raw) => (raw[name] as Located<T> | undefined) ?? []);
    for (const extra of found.slice(1)) {
      report.add('DEF_DUPLICATE_NAME', extra.place, `the setting \`${name}\` is written twice`, {
        hint: 'Keep one of them.',
      });
    }
    return found[0]?.value;
  };
  for (const raw of written) checkBackEnds(raw, report);
  const { root } = environment;
  const project = find<string>('project') ?? root.split(/[/\\]/).filter(Boolean).at(-1) ?? 'project';
  const lineage = readLineage(written, project, root, report);
  return {
    project,
    timezone: find<string>('timezone') ?? 'UTC',
    engine: find<string>('engine') ?? 'duckdb',
    lake: absolute(root, find<string>('lake') ?? '.millrace/lake'),
    online: absolute(root, find<string>('online') ?? '.millrace/online'),
    registry: absolute(root, find<string>('registry') ?? '.millrace/registry.db'),
    memoryLimitBytes: find<number>('memory_limit') ?? environment.memoryLimitBytes,
    threads: find<number>('threads') ?? environment.threads,
    policy: readPolicy(written, report),
    executor: readExecutor(written, report),
    ...(lineage ? { lineage } : {}),
  };
}

function readPolicy(written: readonly RawSettings[], report: Report): Settings['policy'] {
  const [first, second] = written.flatMap((raw) => raw.policy ?? []);
  if (second)
    report.add('DEF_DUPLICATE_NAME', second.$.place, 'the setting `policy` is written twice', {
      hint: 'Keep one of them.',
    });
  const { seconds, rows } = first?.budget ?? {};
  return {
    run: first?.run?.value ?? 'auto',
    budget: { ...(seconds ? { seconds: seconds.value } : {}), ...(rows ? { rows: rows.value } : {}) },
  };
}

function readLineage(
  written: readonly RawSettings[],
  project: string,
  root: string,
  report: Report,
): Settings['lineage'] {
  const [first, second] = written.flatMap((raw) => raw.lineage ?? []);
  if (second)
    report.add('DEF_DUPLICATE_NAME', second.$.place, 'the setting `lineage` is written twice', {
      hint: 'Keep one of them.',
    });
  if (!first?.openlineage) return undefined;
  const { value, place } = first.openlineage;
  const namespace = first.namespace?.value ?? project;
  const scheme = /^([a-z][a-z0-9+.-]+):\/\//i.exec(value)?.[1]?.toLowerCase();
  if (scheme === undefined) return { openlineage: absolute(root, value), namespace };
  const url = URL.canParse(value) ? new URL(value) : undefined;
  if (url === undefined || (scheme !== 'http' && scheme !== 'https'))
    return report.add('DEF_INVALID_VALUE', place, '`openlineage` is no address that events can be sent to', {
      hint: 'Write a path, as in `.millrace/lineage.ndjson`, or an http:// or https:// address.',
    });
  if (url.username !== '' || url.password !== '')
    return report.add('DEF_INVALID_VALUE', place, '`openlineage` holds a user or a password', {
      hint: 'Leave them out; a key is read from the environment variable MILLRACE_OPENLINEAGE_API_KEY.',
    });
  return { openlineage: value, namespace };
}

/** What this version stands on: DuckDB, files, LMDB and SQLite. */
function checkBackEnds(raw: RawSettings, report: Report): void {
  if (raw.engine && raw.engine.value !== 'duckdb') {
    report.add(
      'DEF_INVALID_VALUE',
      raw.engine.place,
      `the engine \`${raw.engine.value}\` is not in this version`,
      {
        hint: 'Write `engine: duckdb`, or leave it out.',
      },
    );
  }
  const ours = { lake: 'Parquet files', online: 'LMDB files', registry: 'a SQLite file' } as const;
  for (const name of ['lake', 'online', 'registry'] as const) {
    const setting = raw[name];
    const scheme = setting && /^([a-z][a-z0-9+.-]+):\/\//i.exec(setting.value)?.[1];
    if (!setting || scheme === undefined) continue;
    report.add(
      'DEF_INVALID_VALUE',
      setting.place,
      `\`${name}\` is \`${setting.value}\`: ${scheme}:// is not in this version`,
      {
        hint: `In this version it is ${ours[name]} on this machine: give a path, or leave it out.`,
      },
    );
  }
}

function absolute(root: string, path: string): string {
  if (/^([a-z][a-z0-9+.-]*:\/\/|[/\\]|[A-Za-z]:[/\\])/i.test(path)) return path;
  return `${root.replace(/[/\\]$/, '')}/${path.replace(/^\.\//, '')}`;
}

function inOrder(
  diagnostics: readonly Diagnostic[],
  inputs: readonly DefinitionInput[],
): readonly Diagnostic[] {
  const settingsFile = inputs.find((input) => input.settings && !input.typescript)?.root.place.file;
  const fileOf = ({ place }: Diagnostic): string => (place?.file === settingsFile ? '' : (place?.file ?? ''));
  const ordered = [...diagnostics].sort((a, b) => {
    const [left, right] = [fileOf(a), fileOf(b)];
    if (left !== right) return left < right ? -1 : 1;
    return (a.place?.line ?? 0) - (b.place?.line ?? 0) || (a.place?.column ?? 0) - (b.place?.column ?? 0);
  });
  const seen = new Set<string>();
  return ordered.flatMap((diagnostic) => {
    const key = JSON.stringify([diagnostic.code, diagnostic.message, diagnostic.place]);
    if (seen.has(key)) return [];
    seen.add(key);
    return [diagnostic];
  });
}
