/** Performs the steps of a plan as a run. */
import { randomUUID } from 'node:crypto';
import { MillraceError } from '../core/base/error.js';
import type { Definitions, StepSettings } from '../core/define/types.js';
import type { Plan, Step } from '../core/plan/plan.js';
import type { NewStep, StepRecord } from '../ports/run-store.js';
import { recordRun, wholeRun } from './lineage-events.js';
import { rememberDefinitions } from './plan-project.js';
import { createProgressFilter, type ProgressEvent, type Project, printShare } from './project.js';
import { inputRows } from './runs/asset-state.js';
import { type EndedStep, executeRun, type StepContext } from './runs/execute.js';
import { type Made, performStep } from './runs/perform-step.js';

export interface RunResult extends Readonly<Made> {
  readonly run: number;
  readonly steps: readonly {
    readonly asset: string;
    readonly outcome: EndedStep['status'];
    readonly seconds: number;
    readonly detail: string;
  }[];
}

export interface RunRequest {
  readonly command: string;
  /** The assets asked for; none: all. A run of the same scope that its process left is taken up again. */
  readonly scope: readonly string[];
  /** Under which the run was asked for. */
  readonly key?: string | undefined;
  /** Work that belongs to the run and comes after its steps; its result is the run's summary. */
  readonly after?: (result: RunResult) => Promise<Readonly<Record<string, unknown>>>;
}

const MICROS = 1e6;

/** What an asset says of its steps, and the settings where it says nothing. */
const stepSettings = ({ settings, steps }: Definitions, asset: string): StepSettings => ({
  ...settings.executor,
  ...steps.get(asset),
});

/**
 * A retryable failure is tried again, what waits for a failed step is skipped, and what does not wait for it goes on.
 * @throws what the first failed step threw; INTERRUPTED when the run was interrupted or cancelled.
 */
export const applyPlan = (
  project: Project,
  plan: Plan,
  request: RunRequest = { command: 'millrace apply', scope: [] },
): Promise<RunResult> => recordRun(project, wholeRun(), () => perform(project, plan, request));

async function perform(project: Project, plan: Plan, request: RunRequest): Promise<RunResult> {
  const store = await project.runs();
  const { executor } = project.definitions.settings;
  const steps = newSteps(project.definitions, plan);
  const open = store.unfinished(request.scope);
  if (open) store.resume(open.id, steps, project.now(), request.key);
  const run = open?.id ?? store.start(request.command, request.scope, steps, project.now(), request.key);
  if (open)
    project.progress({ step: 'run', message: `run ${run} goes on where its process ended`, done: true });

  const made: Made = { ingested: [], datasets: [], models: [], promotions: [], monitors: [] };
  const byAsset = new Map(plan.steps.map((step) => [step.asset, step]));
  try {
    const execution = await executeRun({
      store,
      run,
      worker: `${process.pid}-${randomUUID()}`,
      pools: executor.pools,
      leaseSeconds: executor.lease / MICROS,
      backoffSeconds: (step) => stepSettings(project.definitions, step).backoff / MICROS,
      now: project.now,
      signal: project.signal,
      perform: async (context) => {
        const step = byAsset.get(context.record.step)!;
        project.progress({ step: step.action, message: `${step.name}: ${step.reason}` });
        const rows = await inputRows(project, step.kind, step.name);
        const outcome = await performStep(
          projectOf(project, store.registry(context.lease), context),
          step,
          made,
        );
        return { amount: { rows, bytes: null }, ...outcome };
      },
      onEnd: (record, ended) => project.progress(endOf(byAsset.get(record.step)!, record, ended)),
    });
    if (execution.ended === 'failed') throw execution.error;
    if (execution.ended !== 'done')
      throw new MillraceError(
        'INTERRUPTED',
        `run ${run} was ${execution.ended}; ${execution.steps.length} of ${plan.steps.length} steps are finished and kept`,
        execution.ended === 'cancelled' ? { data: { cancelled: true } } : {},
      );
    const result: RunResult = {
      run,
      steps: execution.steps.map(({ step, status, seconds, detail }) => ({
        asset: step,
        outcome: status,
        seconds,
        detail,
      })),
      ...made,
    };
    const summary = (await request.after?.(result)) ?? {};
    if (request.scope.length === 0) rememberDefinitions(project, await project.registry());
    store.finish(run, 'done', project.now(), { steps: result.steps, ...summary });
    return result;
  } catch (error) {
    const interrupted = error instanceof MillraceError && error.code === 'INTERRUPTED';
    const status = interrupted ? (error.data?.['cancelled'] ? 'cancelled' : 'interrupted') : 'failed';
    store.finish(run, status, project.now(), {
      error: error instanceof Error ? error.message : String(error),
    });
    throw error;
  }
}

const newSteps = (definitions: Definitions, plan: Plan): readonly NewStep[] =>
  plan.steps.map((step) => {
    const { pool, priority, tries, timeout } = stepSettings(definitions, step.asset);
    return {
      step: step.asset,
      action: step.action,
      reason: step.reason,
      after: step.after,
      pool,
      priority,
      tries,
      timeoutSeconds: timeout === null ? null : timeout / MICROS,
      expected: { rows: step.expected.rows, bytes: step.expected.bytes },
    };
  });

/** The project as a step has it: its log, its signal, and a registry that takes writes while the lease holds. */
function projectOf(
  project: Project,
  registry: Awaited<ReturnType<Project['registry']>>,
  context: StepContext,
): Project {
  const isWorthALine = createProgressFilter();
  return {
    ...project,
    signal: context.signal,
    registry: async () => registry,
    progress: (event: ProgressEvent) => {
      if (isWorthALine(event)) context.log(`${event.step} ${event.message}${printShare(event)}`);
      project.progress(event);
    },
  };
}

const endOf = (step: Step, record: StepRecord, { status, seconds, detail }: EndedStep): ProgressEvent => ({
  step: step.action,
  message: `${step.name}: ${status === 'failed' ? 'failed: ' : ''}${detail} (${seconds.toFixed(1)} s${record.failures > 0 ? `, try ${record.failures + 1}` : ''})`,
  done: true,
});
