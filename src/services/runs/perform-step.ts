/** Performs one step of a plan. What it publishes it publishes as a whole: the log, the registry or the store swaps. */
import { emptyParts } from '../../core/dataset/manifest.js';
import type { Step } from '../../core/plan/plan.js';
import type { IngestResult } from '../../ports/record-log.js';
import { runBacktest } from '../backtest.js';
import { type BuiltDataset, buildDataset, buildPartitions, datasetPartitions } from '../build-dataset.js';
import { filesTaken } from '../file-marks.js';
import { gateRefused } from '../gate.js';
import { ingestFiles } from '../ingest.js';
import { materialize } from '../materialize.js';
import { type MonitorResult, runMonitor } from '../monitor.js';
import type { Project } from '../project.js';
import { type PromotionResult, promoteModel } from '../promote.js';
import { pullSource } from '../pull.js';
import { isPulled } from '../pull-mark.js';
import { type TrainedVersion, trainModel } from '../train.js';
import { runTransform } from '../transform.js';
import { championOf, inputRows, judgedFact, judgement, monitorKey, stateOf } from './asset-state.js';
import type { StepOutcome } from './execute.js';

/** What the steps of a run made, in their order. */
export interface Made {
  readonly ingested: IngestResult[];
  readonly datasets: BuiltDataset[];
  readonly models: TrainedVersion[];
  readonly promotions: PromotionResult[];
  readonly monitors: MonitorResult[];
}

const describe = (result: IngestResult): string =>
  `${result.accepted} accepted, ${result.quarantined} quarantined, ${result.duplicates} duplicates${result.dropped > 0 ? `, ${result.dropped} dropped` : ''}`;

export async function performStep(project: Project, step: Step, made: Made): Promise<StepOutcome> {
  const registry = await project.registry();
  if (step.kind === 'service' || step.kind === 'monitor') {
    const service =
      step.kind === 'service' ? step.name : project.definitions.monitors.get(step.name)!.service;
    if (championOf(project, registry, service) === undefined)
      return { status: 'unchanged', detail: 'no champion yet: no version has passed its gate' };
  }
  if (step.certainty === 'follows') {
    const state = await stateOf(project, step.kind, step.name);
    if (state.stale === null) return { status: 'unchanged', detail: 'its inputs turned out the same' };
  }
  switch (step.action) {
    case 'ingest': {
      const source = project.definitions.sources.get(step.name)!;
      if (isPulled(source)) {
        const pulled = await pullSource(project, source);
        if (pulled === null) return { status: 'unchanged', detail: 'nothing new' };
        made.ingested.push(pulled);
        return { status: pulled.accepted > 0 ? 'done' : 'unchanged', detail: describe(pulled) };
      }
      const taken = await filesTaken(project, source, step.files);
      const result = await ingestFiles(project, source, step.files, taken);
      made.ingested.push(result);
      return {
        status: result.accepted > 0 ? 'done' : 'unchanged',
        detail: describe(result),
        amount: { rows: result.rows, bytes: step.bytes },
      };
    }
    case 'transform': {
      const result = await runTransform(project, step.name, { full: step.range !== undefined });
      made.ingested.push(result);
      return { status: result.accepted > 0 ? 'done' : 'unchanged', detail: describe(result) };
    }
    case 'materialize': {
      const result = await materialize(project);
      return {
        status: result.records > 0 ? 'done' : 'unchanged',
        detail: `${result.records} records applied to ${result.groups.length} groups`,
      };
    }
    case 'build': {
      if (step.range !== undefined) {
        const { total, computed } = await buildPartitions(project, step.name, step.range);
        const missing = (await datasetPartitions(project, step.name)).filter(
          ({ state }) => state === 'missing',
        );
        if (missing.length > 0)
          return {
            status: computed > 0 ? 'done' : 'unchanged',
            detail: `${computed} of ${total} partitions computed; ${missing.length} outside of the range are not there, so that no version was published`,
          };
      }
      const built = await buildDataset(project, step.name);
      made.datasets.push(built);
      const { computed, total } = built.partitions;
      const empty = emptyParts(built.manifest);
      const rows = await inputRows(project, 'dataset', step.name);
      return {
        status: built.built ? 'done' : 'unchanged',
        detail: `${step.name}@${built.version.version}: ${built.manifest.counts.rows} rows${empty === null ? '' : ` (${empty})`}${total > 1 ? `, ${computed} of ${total} partitions computed` : ''}`,
        amount: { rows: rows && Math.round((rows * computed) / Math.max(1, total)), bytes: null },
      };
    }
    case 'train': {
      const trained = await trainModel(project, step.name);
      made.models.push(trained);
      const promotion = await promoteModel(project, step.name, { version: trained.version.version });
      made.promotions.push(promotion);
      registry.setFact(
        judgedFact(step.name),
        judgement(project.definitions.models.get(step.name)!, trained.version.version),
      );
      const standing = promotion.promoted
        ? 'promoted'
        : promotion.passed
          ? 'champion'
          : `${promotion.previous === promotion.version ? 'champion that does not pass its gate' : 'not promoted'}: ${promotion.reason}`;
      return {
        status: gateRefused(promotion) ? 'refused' : 'done',
        detail: `${step.name}@${trained.version.version}, ${standing}`,
      };
    }
    case 'backtest': {
      const service = project.definitions.services.get(step.name)!;
      const result = await runBacktest(project, service);
      return {
        status: 'done',
        detail: `${result.predictions} predictions, ${result.outcomes} outcomes logged`,
      };
    }
    case 'monitor': {
      const result = await runMonitor(project, step.name);
      made.monitors.push(result);
      registry.setFact(
        `monitored:${step.name}`,
        await monitorKey(project, result.service, championOf(project, registry, result.service)!),
      );
      return {
        status: 'done',
        detail: `${result.verdict}${result.alerts.length > 0 ? `, ${result.alerts.length} alerts` : ''}`,
      };
    }
  }
}
