/** Reads the world into a snapshot, decides by the pure plan, performs its steps. */
import { stat } from 'node:fs/promises';
import path from 'node:path';
import { fingerprint } from '../core/base/fingerprint.js';
import type { Definitions } from '../core/define/types.js';
import {
  type AssetState,
  assetGraph,
  type Plan,
  planRun,
  type Snapshot,
  type Step,
} from '../core/plan/plan.js';
import type { IngestResult } from '../ports/record-log.js';
import type { Registry } from '../ports/registry.js';
import { backtestKey, runBacktest } from './backtest.js';
import { type BuiltDataset, buildDataset, datasetKey } from './build-dataset.js';
import { pendingContracts } from './contract.js';
import { markFiles, newFiles } from './file-marks.js';
import { ingestFiles } from './ingest.js';
import { recordRun, wholeRun } from './lineage-events.js';
import { materialize, staleGroups } from './materialize.js';
import { type MonitorResult, runMonitor } from './monitor.js';
import { type Project, stopIfInterrupted } from './project.js';
import { CHAMPION, type PromotionResult, promoteModel } from './promote.js';
import { isPulled, pullReason, pullSource } from './pull.js';
import { type TrainedVersion, trainModel } from './train.js';
import { runTransform, transformKey } from './transform.js';
import { knownTransformKind } from './transform-sql.js';

async function stateOf(
  project: Project,
  definitions: Definitions,
  kind: string,
  name: string,
): Promise<AssetState> {
  const registry = await project.registry();
  switch (kind) {
    case 'source': {
      const source = definitions.sources.get(name)!;
      if (source.read.kind === 'push') return { stale: null };
      if (source.read.kind === 'transform') {
        const known = registry.getFact(`transform:${name}`);
        const { kind, reason } = await knownTransformKind(project, source);
        return {
          how: `${kind}${reason === '' ? '' : `: ${reason}`}`,
          stale:
            known === undefined
              ? 'never computed'
              : known === (await transformKey(project, source))
                ? null
                : 'its definition or a parent has changed',
        };
      }
      if (isPulled(source)) return { stale: await pullReason(project, source) };
      const { files, bytes } = await newFiles(project, source);
      const stale =
        files.length === 0 ? null : `${files.length} new or changed file${files.length === 1 ? '' : 's'}`;
      return { stale, files, bytes };
    }
    case 'online': {
      const behind = await staleGroups(project);
      return {
        stale:
          behind.length === 0
            ? null
            : `${behind.length} group${behind.length === 1 ? '' : 's'} behind the log`,
      };
    }
    case 'dataset': {
      const latest = registry.version('dataset', name);
      if (!latest) return { stale: 'never built' };
      return { stale: latest.key === (await datasetKey(project, name)) ? null : 'its recipe has changed' };
    }
    case 'model': {
      const model = definitions.models.get(name)!;
      const latest = registry.version('model', name);
      const dataset = registry.version('dataset', model.dataset);
      if (!latest) return { stale: 'never trained' };
      const key = dataset && modelKey(model.fingerprint, dataset);
      if (key !== latest.key) return { stale: 'its definition or its dataset has changed' };
      return {
        stale:
          registry.getFact(judgedFact(name)) === latest.version
            ? null
            : `version ${latest.version} has not passed its gate yet`,
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

const modelKey = (
  model: string,
  dataset: { readonly key: string; readonly manifest: Readonly<Record<string, unknown>> },
): string => fingerprint({ model, dataset: dataset.manifest['logical_sha256'], key: dataset.key });

/** The version that the gate has judged last: a run killed between training and promotion finds it open. */
const judgedFact = (model: string): string => `judged:${model}`;

const championOf = (project: Project, registry: Registry, service: string): number | undefined =>
  registry.alias(project.definitions.services.get(service)!.model, CHAMPION);

/** The champion, and sizes of the service's logs: they only grow. */
async function monitorKey(project: Project, service: string, champion: number): Promise<string> {
  const sizes: number[] = [];
  for (const name of ['predictions', 'outcomes']) {
    const info = await stat(path.join(project.stateFolder, 'predictions', service, `${name}.ndjson`)).catch(
      () => null,
    );
    sizes.push(info?.size ?? 0);
  }
  return fingerprint({ service, champion, sizes });
}

export async function snapshot(project: Project): Promise<Snapshot> {
  const assets = new Map<string, AssetState>();
  for (const asset of assetGraph(project.definitions))
    assets.set(asset.id, await stateOf(project, project.definitions, asset.kind, asset.name));
  for (const { source, from, to, diff } of await pendingContracts(project)) {
    const id = `source.${source}`;
    assets.set(id, { ...assets.get(id)!, contract: { from, to, ...diff } });
  }
  return { assets };
}

export const planProject = async (project: Project, names: readonly string[] = []): Promise<Plan> =>
  planRun(project.definitions, await snapshot(project), names);

export interface RunResult {
  readonly steps: readonly {
    readonly asset: string;
    readonly outcome: 'done' | 'unchanged' | 'refused';
    readonly seconds: number;
    readonly detail: string;
  }[];
  readonly ingested: readonly IngestResult[];
  readonly datasets: readonly BuiltDataset[];
  readonly models: readonly TrainedVersion[];
  readonly promotions: readonly PromotionResult[];
  readonly monitors: readonly MonitorResult[];
}

interface Done {
  readonly outcome: 'done' | 'unchanged' | 'refused';
  readonly detail: string;
}

export const applyPlan = (project: Project, plan: Plan): Promise<RunResult> =>
  recordRun(project, wholeRun(), () => performSteps(project, plan));

async function performSteps(project: Project, plan: Plan): Promise<RunResult> {
  const steps: RunResult['steps'][number][] = [];
  const ingested: IngestResult[] = [];
  const datasets: BuiltDataset[] = [];
  const models: TrainedVersion[] = [];
  const promotions: PromotionResult[] = [];
  const monitors: MonitorResult[] = [];
  const registry = await project.registry();

  const describe = (result: IngestResult): string =>
    `${result.accepted} accepted, ${result.quarantined} quarantined, ${result.duplicates} duplicates${result.dropped > 0 ? `, ${result.dropped} dropped` : ''}`;

  const perform = async (step: Step): Promise<Done> => {
    if (step.kind === 'service' || step.kind === 'monitor') {
      const service =
        step.kind === 'service' ? step.name : project.definitions.monitors.get(step.name)!.service;
      if (championOf(project, registry, service) === undefined)
        return { outcome: 'unchanged', detail: 'no champion yet: no version has passed its gate' };
    }
    if (step.certainty === 'follows') {
      const state = await stateOf(project, project.definitions, step.kind, step.name);
      if (state.stale === null) return { outcome: 'unchanged', detail: 'its inputs turned out the same' };
    }
    switch (step.action) {
      case 'ingest': {
        const source = project.definitions.sources.get(step.name)!;
        if (isPulled(source)) {
          const pulled = await pullSource(project, source);
          if (pulled === null) return { outcome: 'unchanged', detail: 'nothing new' };
          ingested.push(pulled);
          return { outcome: pulled.accepted > 0 ? 'done' : 'unchanged', detail: describe(pulled) };
        }
        const result = await ingestFiles(project, source, step.files);
        await markFiles(project, source, step.files);
        ingested.push(result);
        return { outcome: result.accepted > 0 ? 'done' : 'unchanged', detail: describe(result) };
      }
      case 'transform': {
        const result = await runTransform(project, step.name);
        ingested.push(result);
        return { outcome: result.accepted > 0 ? 'done' : 'unchanged', detail: describe(result) };
      }
      case 'materialize': {
        const result = await materialize(project);
        return {
          outcome: result.records > 0 ? 'done' : 'unchanged',
          detail: `${result.records} records applied to ${result.groups.length} groups`,
        };
      }
      case 'build': {
        const built = await buildDataset(project, step.name);
        datasets.push(built);
        return {
          outcome: built.built ? 'done' : 'unchanged',
          detail: `${step.name}@${built.version.version}: ${built.manifest.counts.rows} rows`,
        };
      }
      case 'train': {
        const trained = await trainModel(project, step.name);
        models.push(trained);
        const promotion = await promoteModel(project, step.name, { version: trained.version.version });
        promotions.push(promotion);
        registry.setFact(judgedFact(step.name), trained.version.version);
        const standing = promotion.promoted
          ? 'promoted'
          : promotion.previous === promotion.version
            ? 'champion'
            : `not promoted: ${promotion.reason}`;
        return {
          outcome: promotion.promoted || promotion.previous === promotion.version ? 'done' : 'refused',
          detail: `${step.name}@${trained.version.version}, ${standing}`,
        };
      }
      case 'backtest': {
        const service = project.definitions.services.get(step.name)!;
        const result = await runBacktest(project, service);
        return {
          outcome: 'done',
          detail: `${result.predictions} predictions, ${result.outcomes} outcomes logged`,
        };
      }
      case 'monitor': {
        const result = await runMonitor(project, step.name);
        monitors.push(result);
        registry.setFact(
          `monitored:${step.name}`,
          await monitorKey(project, result.service, championOf(project, registry, result.service)!),
        );
        return {
          outcome: 'done',
          detail: `${result.verdict}${result.alerts.length > 0 ? `, ${result.alerts.length} alerts` : ''}`,
        };
      }
    }
  };

  for (const step of plan.steps) {
    stopIfInterrupted(project, `${steps.length} of ${plan.steps.length} steps are finished and kept`);
    project.progress({ step: step.action, message: `${step.name}: ${step.reason}` });
    const started = performance.now();
    const done = await perform(step);
    const seconds = (performance.now() - started) / 1000;
    steps.push({ asset: step.asset, ...done, seconds });
    project.progress({
      step: step.action,
      message: `${step.name}: ${done.detail} (${seconds.toFixed(1)} s)`,
      done: true,
    });
  }
  return { steps, ingested, datasets, models, promotions, monitors };
}
