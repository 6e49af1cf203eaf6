/** What is known of an asset now, and why it would be computed again. */
import { stat } from 'node:fs/promises';
import path from 'node:path';
import { type Fingerprint, fingerprint } from '../../core/base/fingerprint.js';
import { versionTitle } from '../../core/dataset/retention.js';
import type { Definitions, Model, Service } from '../../core/define/types.js';
import { type AssetKind, type AssetState, assetGraph } from '../../core/plan/plan.js';
import type { Registry, VersionRecord } from '../../ports/registry.js';
import { type CodeVersion, trainerCode } from '../code-version.js';
import { datasetChange, datasetInputs } from '../dataset-recipe.js';
import { manifestOfDataset } from '../dataset-versions.js';
import { newFiles } from '../file-marks.js';
import { CHAMPION, manifestOf, modelKey } from '../model-manifest.js';
import { staleGroups } from '../online-groups.js';
import type { Project } from '../project.js';
import { isPulled, pullReason } from '../pull-mark.js';
import { knownTransformKind, transformState } from '../transform-state.js';

export async function stateOf(project: Project, kind: AssetKind, name: string): Promise<AssetState> {
  const { definitions } = project;
  const registry = await project.registry();
  switch (kind) {
    case 'source': {
      const source = definitions.sources.get(name)!;
      if (source.read.kind === 'push') return { stale: null };
      if (source.read.kind === 'transform') {
        const { kind, reason } = await knownTransformKind(project, source);
        return {
          ...(await transformState(project, source)),
          rows: await inputRows(project, 'source', name),
          how: `${kind}${reason === '' ? '' : `: ${reason}`}`,
        };
      }
      if (isPulled(source)) return { stale: await pullReason(project, source) };
      const { files, bytes, mark } = await newFiles(project, source);
      const stale =
        files.length === 0 ? null : `${files.length} new or changed file${files.length === 1 ? '' : 's'}`;
      return { stale, files, bytes, mark: fingerprint({ source: source.fingerprint, files: mark }) };
    }
    case 'online': {
      const behind = await staleGroups(project);
      return {
        mark: fingerprint(behind),
        stale:
          behind.length === 0
            ? null
            : `${behind.length} group${behind.length === 1 ? '' : 's'} behind the log`,
      };
    }
    case 'dataset': {
      const latest = registry.version('dataset', name);
      const rows = await inputRows(project, 'dataset', name);
      if (!latest) return { stale: 'never built', rows, mark: await datasetInputs(project, name) };
      const change = await datasetChange(project, name, {
        key: latest.key,
        manifest: manifestOfDataset(latest),
      });
      const share = change.total === 0 ? 1 : change.missing / change.total;
      return { stale: change.reason, rows: rows && Math.round(rows * share), mark: change.key };
    }
    case 'model': {
      const model = definitions.models.get(name)!;
      const latest = registry.version('model', name);
      const dataset = registry.version('dataset', model.dataset);
      const rows = await inputRows(project, 'model', name);
      if (!latest) return { stale: 'never trained', rows };
      const code = await trainerCode(project, model);
      const key = dataset && modelKey(model, dataset, code);
      // Not the latest: another may have been imported since.
      const own = key === undefined ? undefined : registry.byKey('model', name, key);
      if (!own) return { stale: whyTrain(latest, dataset, code), rows };
      const judged = registry.getFact(judgedFact(name)) as Judgement | undefined;
      return {
        rows,
        trained: own.version,
        stale:
          judged?.version !== own.version
            ? `version ${own.version} has not been judged by its gate yet`
            : judged.gate === judgement(model, own.version).gate
              ? null
              : 'its gate has changed',
      };
    }
    case 'service': {
      const service = definitions.services.get(name)!;
      if (service.backtest.length === 0) return { stale: null };
      const key = await backtestKey(project, service);
      return {
        stale:
          key === null || registry.getFact(`backtest:${name}`) === key ? null : 'a new champion to score',
      };
    }
    default: {
      const monitor = definitions.monitors.get(name)!;
      const champion = championOf(project, registry, monitor.service);
      if (champion === undefined) return { stale: null };
      return {
        stale:
          registry.getFact(`monitored:${name}`) === (await monitorKey(project, monitor.service, champion))
            ? null
            : 'new predictions or outcomes',
      };
    }
  }
}

function whyTrain(latest: VersionRecord, dataset: VersionRecord | undefined, code?: CodeVersion): string {
  const then = manifestOf(latest);
  if (code && then.code && code.sha256 !== then.code.sha256) return 'its code has changed';
  if (dataset && (then.dataset.name !== dataset.name || then.dataset.version !== dataset.version))
    return `version ${latest.version} was trained on ${versionTitle(then.dataset)}, now there is ${versionTitle(dataset)}`;
  return 'its definition, or that of its dataset, has changed';
}

/** What the gate has judged last, and which gate: a run killed between training and promotion finds it open. */
interface Judgement {
  readonly version: number;
  readonly gate: Fingerprint;
}

export const judgement = ({ promote }: Model, version: number): Judgement => ({
  version,
  gate: fingerprint(promote),
});

export const judgedFact = (model: string): string => `judged:${model}`;

export const championOf = (project: Project, registry: Registry, service: string): number | undefined =>
  registry.alias(project.definitions.services.get(service)!.model, CHAMPION);

/** The champion, and sizes of the service's logs: they only grow. */
export async function monitorKey(project: Project, service: string, champion: number): Promise<string> {
  const sizes: number[] = [];
  for (const name of ['predictions', 'outcomes']) {
    const info = await stat(path.join(project.stateFolder, 'predictions', service, `${name}.ndjson`)).catch(
      () => null,
    );
    sizes.push(info?.size ?? 0);
  }
  return fingerprint({ service, champion, sizes });
}

/** Rows that the step of an asset reads, as its parents stand now; null where that says nothing of its cost. */
export async function inputRows(project: Project, kind: AssetKind, name: string): Promise<number | null> {
  const { definitions } = project;
  if (kind === 'model') {
    const dataset = (await project.registry()).version('dataset', definitions.models.get(name)!.dataset);
    return (
      (dataset?.manifest as { readonly counts: { readonly rows: number } } | undefined)?.counts.rows ?? null
    );
  }
  const source = kind === 'source' ? definitions.sources.get(name)! : null;
  if (kind !== 'dataset' && source?.read.kind !== 'transform') return null;
  const log = await project.log();
  let rows = 0;
  for (const parent of parentsOf(definitions, `${kind}.${name}`))
    rows += (await log.state(definitions.sources.get(parent.slice('source.'.length))!)).rows;
  return rows;
}

const graphs = new WeakMap<Definitions, ReadonlyMap<string, readonly string[]>>();

function parentsOf(definitions: Definitions, asset: string): readonly string[] {
  let graph = graphs.get(definitions);
  if (graph === undefined) {
    graph = new Map(assetGraph(definitions).map(({ id, parents }) => [id, parents]));
    graphs.set(definitions, graph);
  }
  return graph.get(asset)!;
}

/** Champion and dataset version; null while there is no champion. */
export async function backtestKey(project: Project, service: Service): Promise<string | null> {
  const registry = await project.registry();
  const model = project.definitions.models.get(service.model)!;
  const champion = registry.alias(model.name, CHAMPION);
  const version = champion === undefined ? undefined : registry.version('model', model.name, champion);
  return version === undefined ? null : fingerprint({ model: version.key, parts: service.backtest });
}
