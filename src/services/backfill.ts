/** Computes an asset again over a range of time. What depends on it is then found by the next plan. */
import { MillraceError } from '../core/base/error.js';
import { type Instant, printInstant } from '../core/base/time.js';
import { costOf } from '../core/plan/estimate.js';
import { assetGraph, type Plan, planRun, type Step, selectAssets } from '../core/plan/plan.js';
import { datasetPartitions, type PartitionState } from './build-dataset.js';
import { snapshot } from './plan-project.js';
import type { Project } from './project.js';
import { inputRows } from './runs/asset-state.js';

export interface Range {
  readonly from: Instant;
  readonly to: Instant;
}

export interface Backfill {
  readonly asset: string;
  readonly range: Range;
  /** Of a dataset, those that lie in the range in part or whole; null: it is computed as a whole. */
  readonly partitions: readonly PartitionState[] | null;
  /** Its parents as far as they are stale, then itself. No steps: everything in the range is there. */
  readonly plan: Plan;
}

/** @throws UNKNOWN_NAME; USAGE for what has no records or rows of a time. */
export async function planBackfill(project: Project, name: string, range: Range): Promise<Backfill> {
  if (range.from >= range.to)
    throw new MillraceError('USAGE', `the range ends at ${printInstant(range.to)}, not after it begins`, {
      hint: '`--to` is the first instant after the range: for one day, the day after it.',
    });
  const graph = assetGraph(project.definitions);
  const candidates = selectAssets(graph, [name]).filter((one) => one.id === name || one.name === name);
  const asset = candidates.find(({ kind }) => kind === 'dataset' || kind === 'source') ?? candidates[0]!;
  const source = asset.kind === 'source' ? project.definitions.sources.get(asset.name)! : null;
  if (asset.kind !== 'dataset' && (source === null || source.read.kind === 'push'))
    throw new MillraceError(
      'USAGE',
      source === null
        ? `${asset.id} has no time of its own to go back over`
        : `${asset.id} holds what was pushed: there is nothing to read it from again`,
      {
        hint: 'Backfill a source, a transform or a dataset; `millrace run` then brings up what depends on it.',
      },
    );
  const all = asset.kind === 'dataset' ? await datasetPartitions(project, asset.name) : null;
  const partitions =
    all?.filter(({ from, to }) => from === null || (from < range.to && to! > range.from)) ?? null;
  const seen = await snapshot(project, [asset.id]);
  const state = seen.assets.get(asset.id)!;
  const missing = partitions?.filter((partition) => partition.state === 'missing').length ?? 0;
  const rows = await inputRows(project, asset.kind, asset.name);
  const reason = `backfill from ${printInstant(range.from)} to ${printInstant(range.to)}`;
  const assets = new Map(seen.assets).set(asset.id, {
    ...state,
    stale: reason,
    ...(all && rows !== null ? { rows: Math.round((rows * missing) / Math.max(1, all.length)) } : {}),
  });
  const planned = planRun(project.definitions, { ...seen, assets }, [asset.id]);
  const own = planned.steps.find((step) => step.asset === asset.id)!;
  const parents = planned.steps.filter((step) => step !== own);
  const isThere =
    parents.length === 0 && partitions?.every(({ state, published }) => state === 'present' && published);
  const files = own.action === 'ingest' ? (await project.log()).expand(source!) : [];
  const steps: readonly Step[] = isThere ? [] : [...parents, { ...own, reason, files, range }];
  return {
    asset: asset.id,
    range,
    partitions,
    plan: { ...planned, steps, promotions: [], cost: costOf(steps) },
  };
}
