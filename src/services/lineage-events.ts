/** Tells the receiver of lineage of every run: START before, COMPLETE or FAIL after, nothing when there is no receiver. */
import { AsyncLocalStorage } from 'node:async_hooks';
import { randomBytes } from 'node:crypto';
import path from 'node:path';
import { printInstant } from '../core/base/time.js';
import type { Definitions, Documentation, Source } from '../core/define/types.js';
import { type LineageGraph, lineageGraph } from '../core/lineage/graph.js';
import {
  columnLineage,
  documented,
  type EventDataset,
  type EventFacts,
  facet,
  type InputField,
  type RunParent,
  runEvent,
  uuidV7,
} from '../core/lineage/openlineage.js';
import { isDirect, ROLES, type Role } from '../core/lineage/query.js';
import { printType } from '../core/schema/types.js';
import type { IngestResult } from '../ports/record-log.js';
import type { Project } from './project.js';
import { transformLineages } from './transform-sql.js';

type Json = Readonly<Record<string, unknown>>;

/** A run before it starts, and what is known when it has ended. */
export interface RunFacts<T> {
  /** `transform.returns`. */
  readonly job: string;
  readonly type:
    | 'INGEST'
    | 'TRANSFORM'
    | 'MATERIALIZE'
    | 'DATASET'
    | 'TRAIN'
    | 'PROMOTE'
    | 'SCORE'
    | 'MONITOR'
    | 'RUN';
  readonly about?: Partial<Documentation>;
  readonly jobFacets?: Json;
  /** Called with the result once there is one. */
  readonly inputs: (result?: T) => Promise<readonly EventDataset[]> | readonly EventDataset[];
  readonly outputs: (result?: T) => Promise<readonly EventDataset[]> | readonly EventDataset[];
}

const running = new AsyncLocalStorage<{ readonly self: RunParent; readonly root: RunParent }>();

/** Does the work and tells of it. What goes wrong in telling is a warning. */
export async function recordRun<T>(project: Project, facts: RunFacts<T>, work: () => Promise<T>): Promise<T> {
  const { lineageSink: sink } = project;
  const settings = project.definitions.settings.lineage;
  if (!sink || !settings) return work();
  const around = running.getStore() ?? null;
  const runId = uuidV7(Date.now(), randomBytes(10));
  const self: RunParent = { runId, namespace: settings.namespace, job: facts.job };
  const tell = async (type: EventFacts['type'], runFacets: Json, result?: T): Promise<void> => {
    try {
      sink.emit(
        runEvent({
          type,
          time: printInstant(project.now()),
          runId,
          namespace: settings.namespace,
          job: facts.job,
          jobFacets: {
            ...facet('jobType', { processingType: 'BATCH', integration: 'MILLRACE', jobType: facts.type }),
            ...documented('job', facts.about ?? {}),
            ...facts.jobFacets,
          },
          runFacets,
          parent: around?.self ?? null,
          root: around?.root ?? null,
          inputs: await facts.inputs(result),
          outputs: await facts.outputs(result),
        }),
      );
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      process.emitWarning(`no lineage event of ${facts.job}: ${reason}`);
    }
  };
  await tell('START', {});
  try {
    const result = await running.run({ self, root: around?.root ?? self }, work);
    await tell('COMPLETE', {}, result);
    return result;
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    await tell(
      project.signal.aborted ? 'ABORT' : 'FAIL',
      facet('errorMessage', { message, programmingLanguage: 'TypeScript' }),
    );
    throw error;
  }
}

const namespaceOf = (project: Project): string =>
  project.definitions.settings.lineage?.namespace ?? project.definitions.settings.project;

const fileDataset = (file: string): { namespace: string; name: string } => ({
  namespace: 'file',
  name: path.resolve(file),
});

const schemaFacet = (fields: readonly { readonly name: string; readonly type: string }[]): Json =>
  fields.length === 0
    ? {}
    : facet('schema', { fields: fields.map((field, i) => ({ ...field, ordinal_position: i + 1 })) });

/** A source as a dataset; `version` is the position in its log. */
function sourceDataset(project: Project, source: Source, version?: number): EventDataset {
  return {
    namespace: namespaceOf(project),
    name: `source.${source.name}`,
    facets: {
      ...schemaFacet(source.fields.map(({ name, type }) => ({ name, type: printType(type) }))),
      ...documented('dataset', source),
      ...(version === undefined ? {} : facet('version', { datasetVersion: String(version) })),
    },
  };
}

/** What a batch went through at the door: counts, and every rule of the contract as an assertion. */
function qualityFacets(source: Source, result: IngestResult, columns: Json): Json {
  const failed = (id: string): number =>
    result.reasons[id] ?? result.warnings.find((warning) => warning.rule === id)?.rows ?? 0;
  const warned = new Set(result.warnings.map((warning) => warning.rule));
  const rules = [...source.contract.rows, ...source.contract.batch];
  return {
    ...facet('inputStatistics', { rowCount: result.rows }),
    ...facet('dataQualityMetrics', { rowCount: result.rows, columnMetrics: columns }),
    ...(rules.length === 0
      ? {}
      : facet('dataQualityAssertions', {
          assertions: rules.map((rule) => {
            const column = 'field' in rule ? rule.field : null;
            return {
              assertion: rule.check.kind,
              success: failed(rule.id) === 0 && !warned.has(rule.id),
              name: rule.id,
              severity: rule.severity,
              ...(column === null ? {} : { column }),
              actual: `${failed(rule.id)} rows`,
            };
          }),
        })),
  };
}

const isNumber = (value: unknown): value is number => typeof value === 'number' && Number.isFinite(value);

/** Column metrics of a batch, from the profile that the log keeps of it. */
async function columnMetrics(project: Project, source: Source, result: IngestResult): Promise<Json> {
  const batches = await (await project.log()).batches(source.name);
  const profile = batches.findLast((batch) => batch.batch === result.batch)?.profile ?? {};
  const columns = profile['columns'];
  const metrics: Record<string, Json> = {};
  if (typeof columns === 'object' && columns !== null)
    for (const { name } of source.fields) {
      const column = (columns as Readonly<Record<string, Json | undefined>>)[name];
      if (!column) continue;
      const { nulls, distinct, count, min, max } = column;
      metrics[name] = {
        ...(isNumber(nulls) ? { nullCount: nulls } : {}),
        ...(isNumber(distinct) ? { distinctCount: Math.round(distinct) } : {}),
        ...(isNumber(count) ? { count } : {}),
        ...(isNumber(min) ? { min } : {}),
        ...(isNumber(max) ? { max } : {}),
      };
    }
  return metrics;
}

export function ingestRun(
  project: Project,
  source: Source,
  files: readonly string[],
): RunFacts<IngestResult> {
  const inputs = files.map(fileDataset);
  // One batch of several files is judged as one.
  const batch =
    inputs.length === 1 ? inputs[0]! : { namespace: namespaceOf(project), name: `incoming.${source.name}` };
  const lineage = columnLineage(
    new Map(
      source.fields.map(({ name, from }) => [
        name,
        (inputs.length <= 20 ? inputs : [batch]).map(
          (input): InputField => ({ ...input, field: from ?? name, roles: ['identity'] }),
        ),
      ]),
    ),
    [],
  );
  return {
    job: `ingest.${source.name}`,
    type: 'INGEST',
    about: source,
    inputs: async (result) => {
      const judged = result
        ? qualityFacets(source, result, await columnMetrics(project, source, result))
        : {};
      return inputs.length === 1
        ? [{ ...batch, inputFacets: judged }]
        : [...inputs, ...(result ? [{ ...batch, inputFacets: judged }] : [])];
    },
    outputs: (result) => [withOutput(sourceDataset(project, source, result?.seq), lineage, result?.accepted)],
  };
}

const withOutput = (dataset: EventDataset, lineage: Json, rows: number | undefined): EventDataset => ({
  ...dataset,
  facets: { ...dataset.facets, ...lineage },
  ...(rows === undefined ? {} : { outputFacets: facet('outputStatistics', { rowCount: rows }) }),
});

/** Fields of sources above a node, with the roles composed on the way; fields of transforms are sources too. */
function sourceFieldsAbove(graph: LineageGraph, id: string, project: Project): readonly InputField[] {
  const start = graph.index.get(id);
  if (start === undefined) return [];
  const found = new Map<number, Set<Role>>();
  const seen = new Set<string>();
  const visit = (at: number, through: Role | null): void => {
    for (const edge of graph.up[at]!) {
      const parent = graph.nodes[edge.parent]!;
      for (const role of edge.roles) {
        if (role === 'rows') continue;
        const composed = through === null ? role : composeRoles(role, through);
        const key = `${edge.parent} ${composed}`;
        if (seen.has(key)) continue;
        seen.add(key);
        if (parent.kind === 'source') {
          if (parent.field === null) continue;
          const roles = found.get(edge.parent) ?? new Set<Role>();
          found.set(edge.parent, roles);
          roles.add(composed);
        } else visit(edge.parent, composed);
      }
    }
  };
  visit(start, null);
  return [...found].map(([node, roles]) => ({
    namespace: namespaceOf(project),
    name: `source.${graph.nodes[node]!.name}`,
    field: graph.nodes[node]!.field!,
    roles: ROLES.filter((role) => roles.has(role)),
  }));
}

/** An upper role seen through a lower one: the stronger calculation, or the decision. */
function composeRoles(upper: Role, lower: Role): Role {
  if (!isDirect(upper)) return upper;
  if (!isDirect(lower)) return lower;
  return ROLES[Math.max(ROLES.indexOf(upper), ROLES.indexOf(lower))]!;
}

export function transformRun(project: Project, source: Source): RunFacts<IngestResult> {
  const { definitions } = project;
  const parents = source.read.kind === 'transform' ? source.read.parents : [];
  const own = definitions.sources.get(source.name)!;
  return {
    job: `transform.${source.name}`,
    type: 'TRANSFORM',
    about: source,
    ...(source.read.kind === 'transform'
      ? { jobFacets: facet('sql', { query: source.read.sql, dialect: 'duckdb' }) }
      : {}),
    inputs: () => parents.map((name) => sourceDataset(project, definitions.sources.get(name)!)),
    outputs: async (result) => {
      const graph = lineageGraph(definitions, await transformLineages(project));
      const fields = new Map(
        own.fields.map(({ name }) => [name, sourceFieldsAbove(graph, `source.${own.name}.${name}`, project)]),
      );
      const rows = sourceFieldsAbove(graph, `source.${own.name}`, project);
      return [
        withOutput(sourceDataset(project, own, result?.seq), columnLineage(fields, rows), result?.accepted),
      ];
    },
  };
}

/** Sources that features read, directly or through other features. */
function featureSources(definitions: Definitions, features: Iterable<string>): readonly Source[] {
  const found = new Map<string, Source>();
  const visit = (name: string): void => {
    const feature = definitions.features.get(name);
    if (!feature) return;
    const { computation } = feature;
    if ('source' in computation) found.set(computation.source, definitions.sources.get(computation.source)!);
    for (const other of feature.dependsOn) visit(other);
  };
  for (const feature of features) visit(feature);
  return [...found.values()];
}

export function materializeRun(project: Project): RunFacts<{ readonly records: number }> {
  const { definitions } = project;
  const features = [...definitions.features.values()];
  return {
    job: 'materialize',
    type: 'MATERIALIZE',
    inputs: () =>
      featureSources(definitions, definitions.features.keys()).map((source) =>
        sourceDataset(project, source),
      ),
    outputs: (result) => {
      const graph = lineageGraph(definitions, new Map());
      const fields = new Map(
        features.map(({ name }) => [name, sourceFieldsAbove(graph, `feature.${name}`, project)]),
      );
      const dataset: EventDataset = {
        namespace: namespaceOf(project),
        name: 'online.features',
        facets: schemaFacet(features.map(({ name, valueType }) => ({ name, type: printType(valueType) }))),
      };
      return [withOutput(dataset, columnLineage(fields, []), result?.records)];
    },
  };
}

interface Versioned {
  readonly version: { readonly version: number };
}

export function datasetRun(
  project: Project,
  name: string,
): RunFacts<Versioned & { readonly manifest: { readonly counts: { readonly rows: number } } }> {
  const { definitions } = project;
  const dataset = definitions.datasets.get(name)!;
  const { from } = dataset.observations;
  const label = dataset.label === null ? undefined : definitions.labels.get(dataset.label)!;
  const sources = new Map(
    featureSources(definitions, dataset.features).map((source) => [source.name, source]),
  );
  for (const source of [from.kind === 'source' ? from.source : undefined, label?.source])
    if (source !== undefined) sources.set(source, definitions.sources.get(source)!);
  return {
    job: `dataset.${name}`,
    type: 'DATASET',
    about: dataset,
    inputs: () => [
      ...(from.kind === 'file' ? [fileDataset(from.path)] : []),
      ...[...sources.values()].map((source) => sourceDataset(project, source)),
    ],
    outputs: (result) => {
      const graph = lineageGraph(definitions, new Map());
      const columns = [...dataset.features, ...(label ? [label.name] : [])];
      const fields = new Map(
        columns.map((column) => [column, sourceFieldsAbove(graph, `dataset.${name}.${column}`, project)]),
      );
      const output: EventDataset = {
        namespace: namespaceOf(project),
        name: `dataset.${name}`,
        facets: {
          ...schemaFacet([
            ...dataset.features.map((feature) => ({
              name: feature,
              type: printType(definitions.features.get(feature)!.valueType),
            })),
            ...(label ? [{ name: label.name, type: printType(label.valueType) }] : []),
          ]),
          ...documented('dataset', dataset),
          ...(result ? facet('version', { datasetVersion: String(result.version.version) }) : {}),
        },
      };
      return [withOutput(output, columnLineage(fields, []), result?.manifest.counts.rows)];
    },
  };
}

const namedDataset = (
  project: Project,
  name: string,
  about: Partial<Documentation> = {},
  version?: number,
): EventDataset => ({
  namespace: namespaceOf(project),
  name,
  facets: {
    ...documented('dataset', about),
    ...(version === undefined ? {} : facet('version', { datasetVersion: String(version) })),
  },
});

export function trainRun(project: Project, name: string): RunFacts<Versioned> {
  const model = project.definitions.models.get(name)!;
  return {
    job: `train.${name}`,
    type: 'TRAIN',
    about: model,
    inputs: () => [
      namedDataset(project, `dataset.${model.dataset}`, project.definitions.datasets.get(model.dataset)),
    ],
    outputs: (result) => [namedDataset(project, `model.${name}`, model, result?.version.version)],
  };
}

export function promoteRun(
  project: Project,
  name: string,
): RunFacts<{ readonly version: number; readonly promoted: boolean }> {
  const model = project.definitions.models.get(name)!;
  return {
    job: `promote.${name}`,
    type: 'PROMOTE',
    about: model,
    inputs: (result) => [namedDataset(project, `model.${name}`, model, result?.version)],
    outputs: (result) =>
      [...project.definitions.services.values()]
        .filter((service) => service.model === name)
        .map((service) =>
          namedDataset(
            project,
            `service.${service.name}`,
            service,
            result?.promoted ? result.version : undefined,
          ),
        ),
  };
}

export function scoreRun(
  project: Project,
  service: string,
  files: { readonly observations: string; readonly out: string },
): RunFacts<{ readonly rows: number }> {
  const definition = project.definitions.services.get(service)!;
  return {
    job: `score.${service}`,
    type: 'SCORE',
    about: definition,
    inputs: () => [
      fileDataset(files.observations),
      namedDataset(project, `model.${definition.model}`, project.definitions.models.get(definition.model)),
    ],
    outputs: (result) => [withOutput(fileDataset(files.out), {}, result?.rows)],
  };
}

export function monitorRun(project: Project, name: string): RunFacts<unknown> {
  const monitor = project.definitions.monitors.get(name)!;
  return {
    job: `monitor.${name}`,
    type: 'MONITOR',
    about: monitor,
    inputs: () => [
      namedDataset(project, `service.${monitor.service}`, project.definitions.services.get(monitor.service)),
    ],
    outputs: () => [namedDataset(project, `monitor.${name}`, monitor)],
  };
}

/** The whole of `run` and `apply`: what they start names it as its parent. */
export const wholeRun = (): RunFacts<unknown> => ({
  job: 'run',
  type: 'RUN',
  inputs: () => [],
  outputs: () => [],
});
