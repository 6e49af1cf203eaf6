/** What a project is now, collected for people: registry, log and facts → one value, and the page drawn from it. */
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { type Instant, printDuration } from '../core/base/time.js';
import { VERSION } from '../core/base/version.js';
import { ENGINE_VERSION } from '../core/dataset/manifest.js';
import type { Aggregation, Availability, Feature, Lookup, Monitor, Source } from '../core/define/types.js';
import type { ColumnProfile } from '../core/drift/profile.js';
import { parseType, printType, type Value } from '../core/schema/types.js';
import type { BatchRecord } from '../ports/record-log.js';
import type { Registry, VersionRecord } from '../ports/registry.js';
import type {
  DatasetReport,
  FeatureReport,
  ModelReport,
  MonitorReport,
  MonitorResultReport,
  ReportData,
  RuleCount,
  SourceReport,
  VerifyReport,
} from '../report/data.js';
import { count, plural } from '../report/format.js';
import { type Overlay, overlay } from '../report/histogram.js';
import { pipelineGraph } from '../report/pipeline-graph.js';
import { renderReport } from '../report/render.js';
import { valueSample } from './column-sample.js';
import { manifestOfDataset } from './dataset-versions.js';
import { CHAMPION, type ModelManifest, manifestOf } from './model-manifest.js';
import { logged } from './monitor.js';
import type { Project } from './project.js';
import { sourceLevels } from './service-levels.js';

const RUN_LIMIT = 15;
/** Predictions of a window that a drawing is made from; verdicts come from the monitor, which reads all. */
const DRAWN_PREDICTIONS = 50_000;

function availabilityText(availability: Availability): string {
  switch (availability.kind) {
    case 'event_time':
      return 'event time';
    case 'field':
      return `field ${availability.field}`;
    case 'append':
      return 'when appended';
    case 'delay':
      return availability.delay < 0
        ? `${printDuration(-availability.delay)} before the event`
        : `event time + ${printDuration(availability.delay)}`;
  }
}

async function sourceReport(project: Project, source: Source): Promise<SourceReport> {
  const log = await project.log();
  const state = await log.state(source);
  const batches = await log.batches(source.name);
  const committed = batches.filter((batch) => batch.status === 'committed');
  const refused = batches.filter((batch) => batch.status === 'refused');
  const sum = (pick: (batch: BatchRecord) => number): number =>
    committed.reduce((total, batch) => total + pick(batch), 0);
  const byRule = new Map<string, number>();
  for (const batch of committed)
    for (const [rule, rows] of Object.entries(batch.reasons))
      byRule.set(rule, (byRule.get(rule) ?? 0) + rows);
  const reasons: RuleCount[] = [...byRule]
    .map(([rule, rows]) => ({ rule, rows }))
    .sort((a, b) => b.rows - a.rows || (a.rule < b.rule ? -1 : 1));
  return {
    name: source.name,
    description: source.description ?? null,
    kind: source.kind,
    origin: source.read.kind,
    availability: availabilityText(source.availableAt),
    rows: state.rows,
    received: sum((batch) => batch.rows),
    accepted: sum((batch) => batch.accepted),
    quarantined: sum((batch) => batch.quarantined),
    duplicates: sum((batch) => batch.duplicates),
    dropped: sum((batch) => batch.dropped),
    corrections: sum((batch) => batch.corrections),
    batches: committed.length,
    refusedBatches: refused.length,
    lastBatch: committed.at(-1)?.at ?? null,
    eventTimes:
      state.minEventTime === null || state.maxEventTime === null
        ? null
        : [state.minEventTime, state.maxEventTime],
    knownThrough: state.maxAvailableAt,
    reasons,
    open: await log.quarantineCount({ source: source.name, status: 'open' }),
    refusals: refused
      .filter((batch) => !isSettled(batch, committed))
      .reverse()
      .slice(0, 5)
      .map((batch) => batch.reason ?? 'refused'),
    warnings: (committed.at(-1)?.warnings ?? []).slice(0, 20),
    levels: await sourceLevels(project, source),
    anomalies: [...committed]
      .reverse()
      .flatMap(({ batch, at, mark, notes }) => {
        const message = [
          ...(notes.history?.findings ?? []).map((finding) => finding.message),
          ...(notes.broken ?? []).map((broken) => broken.message),
          ...(mark?.reason ? [mark.reason] : []),
        ].join('; ');
        const verdict = mark?.mark ?? (notes.broken ? 'broken' : notes.history?.verdict);
        return verdict === 'anomalous' || verdict === 'broken' || mark
          ? [{ batch, at, verdict: verdict!, message }]
          : [];
      })
      .slice(0, 10),
  };
}

/** Accepted by a person, or all its files came in since. */
const isSettled = (refused: BatchRecord, committed: readonly BatchRecord[]): boolean =>
  refused.mark?.mark === 'expected' ||
  (refused.files.length > 0 &&
    refused.files.every(({ sha256 }) =>
      committed.some((batch) => batch.at >= refused.at && batch.files.some((file) => file.sha256 === sha256)),
    ));

function windowText(aggregation: Aggregation): string {
  const window =
    aggregation.window === null ? 'all history' : `the last ${printDuration(aggregation.window)}`;
  return aggregation.offset > 0 ? `${window}, ${printDuration(aggregation.offset)} back` : window;
}

function computationText(feature: Feature): string {
  const { computation } = feature;
  const field = (item: { readonly source: string; readonly field: string | null }): string =>
    item.field === null ? item.source : `${item.source}.${item.field}`;
  switch (computation.kind) {
    case 'aggregation': {
      const what: Aggregation = computation;
      const where = what.where ? ` where ${what.where.canonical}` : '';
      const share = what.ratioWhere ? ` of ${what.ratioWhere.canonical}` : '';
      return `${what.function}${share} over ${field(what)} in ${windowText(what)}${where}${what.groupBy ? ` by ${what.groupBy}` : ''}`;
    }
    case 'lookup': {
      const what: Lookup = computation;
      return `${what.output === 'age_seconds' ? 'age of the latest' : 'latest'} ${field(what)}${what.maxAge === null ? '' : `, not older than ${printDuration(what.maxAge)}`}`;
    }
    case 'neighbours':
      return `${computation.k} nearest ${field(computation)} to ${computation.query.canonical} (${computation.metric})`;
    case 'expression':
      return computation.expression.canonical;
    case 'function':
      return `TypeScript function of ${computation.inputs.join(', ')}`;
  }
}

function featureReports(project: Project, profiles: ReadonlyMap<string, ColumnProfile>): FeatureReport[] {
  const sets = [...project.definitions.featureSets.values()];
  const reports = [...project.definitions.features.values()].map((feature): FeatureReport => {
    const { computation } = feature;
    return {
      name: feature.name,
      description: feature.description ?? null,
      type: printType(feature.valueType),
      entity: feature.entities.join(', '),
      computation: computationText(feature),
      group:
        computation.kind === 'aggregation' || computation.kind === 'lookup' ? computation.source : 'computed',
      sets: sets.filter((set) => set.features.includes(feature.name)).map((set) => set.name),
      fingerprint: feature.fingerprint,
      profile: profiles.get(`${feature.name} ${feature.fingerprint}`) ?? null,
    };
  });
  const rank = (feature: FeatureReport): number => (feature.group === 'computed' ? 1 : 0);
  return reports.sort((a, b) => rank(a) - rank(b));
}

/** The part that judges a model: what it has never seen, as far as there is such a part. */
const judgingPart = (manifest: ModelManifest): string | null =>
  ['test', 'holdout', 'validation', 'train'].find((part) => manifest.evaluation[part] !== undefined) ?? null;

function modelReport(project: Project, registry: Registry, name: string): ModelReport {
  const model = project.definitions.models.get(name)!;
  const versions = registry.versions('model', name);
  const champion = registry.alias(name, CHAMPION) ?? null;
  const shown = versions.find((version) => version.version === champion) ?? versions.at(-1);
  const judgedOn = shown ? judgingPart(manifestOf(shown)) : null;
  const { beatChampion, require } = model.promote;
  return {
    name,
    description: model.description ?? null,
    champion,
    shown: shown ? { version: shown.version, at: shown.createdAt, manifest: manifestOf(shown) } : null,
    versions: versions.map((version) => {
      const manifest = manifestOf(version);
      return {
        version: version.version,
        at: version.createdAt,
        dataset: `${manifest.dataset.name}@${manifest.dataset.version}`,
        trainer: manifest.trainer.kind,
        metrics: judgedOn === null ? {} : (manifest.metrics[judgedOn] ?? {}),
        sha256: manifest.model_sha256,
      };
    }),
    judgedOn,
    history: registry
      .aliasHistory(name)
      .filter((change) => change.alias === CHAMPION)
      .map(({ version, previous, at, actor, reason }) => ({ version, previous, at, actor, reason })),
    gate: [
      ...require.map((requirement) => requirement.text),
      ...(beatChampion
        ? [`${beatChampion.part}.${beatChampion.metric} better than the champion's by ${beatChampion.by}`]
        : []),
    ],
  };
}

/** The distributions behind a monitor's verdicts: the champion's training profile and the logged window. */
async function overlaysOf(
  project: Project,
  monitor: Monitor,
  result: MonitorResultReport,
  champion: ModelManifest,
): Promise<{ readonly features: Readonly<Record<string, Overlay>>; readonly score: Overlay | null }> {
  const [since, until] = [Date.parse(result.from) * 1000, Date.parse(result.to) * 1000];
  const columns = champion.features.flatMap((feature) => {
    const type = parseType(feature.type);
    return type ? [{ name: feature.name, type, values: [] as Value[] }] : [];
  });
  const scores: number[] = [];
  let seen = 0;
  for await (const prediction of project.predictions().predictions(monitor.service, { since, until })) {
    if (prediction.model !== result.model) continue;
    if (++seen > DRAWN_PREDICTIONS) break;
    for (const column of columns) column.values.push(logged(column.type, prediction.features[column.name]));
    if (prediction.score !== null) scores.push(prediction.score);
  }
  if (seen === 0) return { features: {}, score: null };
  const features: Record<string, Overlay> = {};
  for (const { name, type, values } of columns) {
    const reference = champion.profile[name];
    const drawn = reference ? overlay(reference, valueSample(type, values)) : null;
    if (drawn) features[name] = drawn;
  }
  const reference = champion.score_profile['validation'] ?? champion.score_profile['train'];
  return {
    features,
    score: reference
      ? overlay(reference, { type: 'numeric', values: Float64Array.from(scores), nulls: 0 })
      : null,
  };
}

async function monitorReport(project: Project, registry: Registry, monitor: Monitor): Promise<MonitorReport> {
  const fact = registry.getFact(`monitor:${monitor.name}`) as
    | (Omit<MonitorResultReport, 'at'> & { readonly at?: Instant })
    | undefined;
  const base = { name: monitor.name, service: monitor.service, window: printDuration(monitor.window) };
  if (!fact) return { ...base, result: null, overlays: {}, scoreOverlay: null, baseline: null };
  const result: MonitorResultReport = { ...fact, at: fact.at ?? null };
  const [name, version] = result.model.split('@');
  const record = registry.version('model', name!, Number(version));
  const manifest = record ? manifestOf(record) : null;
  const drawn = manifest
    ? await overlaysOf(project, monitor, result, manifest)
    : { features: {}, score: null };
  const part = manifest ? judgingPart(manifest) : null;
  return {
    ...base,
    result,
    overlays: drawn.features,
    scoreOverlay: drawn.score,
    baseline: manifest && part !== null ? { part, metrics: manifest.metrics[part] ?? {} } : null,
  };
}

const sizeOf = (value: unknown): number | null =>
  typeof value === 'number' && Number.isFinite(value) ? value : Array.isArray(value) ? value.length : null;

/** One value that differs, in a line. */
function differenceText(item: unknown): string {
  if (typeof item !== 'object' || item === null) return String(item);
  const { feature, at, entity, offline, online } = item as Readonly<Record<string, unknown>>;
  if (feature === undefined) return JSON.stringify(item);
  const where = entity === undefined ? '' : ` of ${JSON.stringify(entity)}`;
  return `${String(feature)}${where} at ${String(at)}: offline ${JSON.stringify(offline)}, online ${JSON.stringify(online)}`;
}

/** The fact `verify`, in whatever detail it was written: `differences` may be a number or the first of them. */
export function verifyReport(fact: unknown): VerifyReport | null {
  if (typeof fact !== 'object' || fact === null) return null;
  const { checked, differing, differences, features, observations, at } = fact as Readonly<
    Record<string, unknown>
  >;
  const compared = sizeOf(checked);
  const different = sizeOf(differing) ?? sizeOf(differences);
  if (compared === null || different === null) return null;
  return {
    checked: compared,
    differences: different,
    features: sizeOf(features),
    observations: sizeOf(observations),
    at:
      typeof at === 'number'
        ? at
        : typeof at === 'string' && !Number.isNaN(Date.parse(at))
          ? Date.parse(at) * 1000
          : null,
    examples: Array.isArray(differences) ? differences.slice(0, 10).map(differenceText) : [],
  };
}

/** Profiles of the newest version first, by feature name and definition. */
function profilesOf(versions: readonly VersionRecord[]): ReadonlyMap<string, ColumnProfile> {
  const profiles = new Map<string, ColumnProfile>();
  for (const version of [...versions].sort((a, b) => b.createdAt - a.createdAt || b.version - a.version)) {
    const manifest = manifestOfDataset(version);
    for (const feature of manifest.features) {
      const key = `${feature.name} ${feature.fingerprint}`;
      const profile = manifest.profile[feature.name];
      if (profile && !profiles.has(key)) profiles.set(key, profile);
    }
  }
  return profiles;
}

export async function collectReport(project: Project): Promise<ReportData> {
  const { definitions } = project;
  const registry = await project.registry();
  const sources: SourceReport[] = [];
  for (const source of definitions.sources.values()) sources.push(await sourceReport(project, source));
  const datasets = [...definitions.datasets.values()].map((dataset): DatasetReport => {
    const versions = registry.versions('dataset', dataset.name);
    const latest = versions.at(-1);
    return {
      name: dataset.name,
      description: dataset.description ?? null,
      versions: versions.length,
      latest: latest
        ? { version: latest.version, at: latest.createdAt, manifest: manifestOfDataset(latest) }
        : null,
    };
  });
  const models = [...definitions.models.keys()].map((name) => modelReport(project, registry, name));
  const monitors: MonitorReport[] = [];
  for (const monitor of definitions.monitors.values())
    monitors.push(await monitorReport(project, registry, monitor));
  const newest = [...definitions.datasets.keys()].flatMap((name) => registry.version('dataset', name) ?? []);
  const details = new Map<string, string>([
    ...sources
      .filter((source) => source.rows > 0)
      .map((source) => [`source.${source.name}`, plural(source.rows, 'record')] as const),
    ...datasets.flatMap((dataset) =>
      dataset.latest
        ? [
            [
              `dataset.${dataset.name}`,
              `v${dataset.latest.version}, ${count(dataset.latest.manifest.counts.rows)} rows`,
            ] as const,
          ]
        : [],
    ),
    ...models.flatMap((model) =>
      model.shown
        ? [
            [
              `model.${model.name}`,
              `v${model.shown.version}${model.champion === model.shown.version ? ', champion' : ''}`,
            ] as const,
          ]
        : [],
    ),
    ...monitors.flatMap((monitor) =>
      monitor.result
        ? [[`monitor.${monitor.name}`, monitor.result.verdict.replaceAll('_', ' ')] as const]
        : [],
    ),
  ]);
  return {
    project: definitions.settings.project,
    at: project.now(),
    versions: { millrace: VERSION, node: process.versions.node, engine: ENGINE_VERSION },
    pipeline: pipelineGraph(definitions, details),
    sources,
    datasets,
    features: featureReports(project, profilesOf(newest)),
    models,
    monitors,
    verify: verifyReport(registry.getFact('verify')),
    runs: registry.runs(RUN_LIMIT).map((run) => ({
      id: run.id,
      command: run.command,
      at: run.startedAt,
      elapsed: run.endedAt === null ? null : run.endedAt - run.startedAt,
      status: run.status,
    })),
  };
}

export interface WrittenReport {
  readonly file: string;
  readonly bytes: number;
}

/** Writes the page whole or not at all. `file` is relative to the working directory. */
export async function writeReport(project: Project, file: string): Promise<WrittenReport> {
  const text = renderReport(await collectReport(project));
  const target = path.resolve(file);
  const staging = `${target}.${process.pid}.tmp`;
  await mkdir(path.dirname(target), { recursive: true });
  try {
    await writeFile(staging, text);
    await rename(staging, target);
  } finally {
    await rm(staging, { force: true });
  }
  return { file: target, bytes: Buffer.byteLength(text) };
}
