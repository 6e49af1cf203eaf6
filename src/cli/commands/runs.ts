import { MillraceError } from '../../core/base/error.js';
import { printInstant, printOptionalInstant } from '../../core/base/time.js';
import type { RunDetail, StepRecord } from '../../ports/run-store.js';
import type { Project } from '../../services/project.js';
import type { Io } from '../io.js';
import { integer } from '../parse.js';
import { table } from '../table.js';
import { within } from '../within.js';
import { run as runAssets } from './run.js';

type Options = Readonly<Record<string, unknown>>;

const elapsed = ({ startedAt, endedAt }: RunDetail): string =>
  endedAt === null ? '-' : `${((endedAt - startedAt) / 1e6).toFixed(1)} s`;

/** A run whose process has gone is not running, whatever the table says. */
const statusOf = (run: RunDetail): string =>
  run.status !== 'running'
    ? run.status
    : run.alive
      ? run.cancelling
        ? 'cancelling'
        : 'running'
      : 'left behind';

/** Tries that were begun; one that was interrupted is taken up again and counts once. */
const triesOf = ({ startedAt, failures, status }: StepRecord): number =>
  startedAt === null ? 0 : failures + (status === 'failed' ? 0 : 1);

const runJson = ({ startedAt, endedAt, ...run }: RunDetail): Record<string, unknown> => ({
  ...run,
  started_at: printInstant(startedAt),
  ended_at: printOptionalInstant(endedAt),
});

const stepJson = ({ startedAt, endedAt, timeoutSeconds, ...step }: StepRecord): Record<string, unknown> => ({
  ...step,
  timeout_seconds: timeoutSeconds,
  started_at: printOptionalInstant(startedAt),
  ended_at: printOptionalInstant(endedAt),
});

async function theRun(project: Project, text: string | undefined): Promise<RunDetail> {
  const store = await project.runs();
  const id =
    text === undefined || text === 'last' ? store.list(1, project.now())[0]?.id : integer(text, 'RUN');
  const run = id === undefined ? undefined : store.detail(id, project.now());
  if (run === undefined)
    throw new MillraceError(
      'UNKNOWN_NAME',
      id === undefined ? 'there is no run yet' : `there is no run ${id}`,
      {
        hint: 'See `millrace runs list`.',
      },
    );
  return run;
}

export async function list(io: Io, _args: readonly string[], options: Options): Promise<number> {
  return within(io, async (project) => {
    const runs = (await project.runs()).list(integer(options['limit'], '--limit') ?? 20, project.now());
    const count = (run: RunDetail, ...statuses: string[]): number =>
      run.steps.filter(({ status }) => statuses.includes(status)).length;
    io.print(
      table(
        ['run', 'status', 'started', 'took', 'steps', 'done', 'failed', 'command'],
        runs.map((run) => [
          `${run.id}`,
          statusOf(run),
          printInstant(run.startedAt),
          elapsed(run),
          `${run.steps.length}`,
          `${count(run, 'done', 'unchanged', 'refused')}`,
          `${count(run, 'failed', 'skipped')}`,
          run.command,
        ]),
      ),
    );
    io.result({ runs: runs.map((run) => ({ ...runJson(run), steps: run.steps.length })) });
    return 0;
  });
}

export async function show(io: Io, args: readonly string[]): Promise<number> {
  return within(io, async (project) => {
    const run = await theRun(project, args[0]);
    io.print(
      `run ${run.id}: ${statusOf(run)}, ${printInstant(run.startedAt)}, ${elapsed(run)}, ${run.command}`,
    );
    if (run.resumed > 0) io.print(`taken up again ${run.resumed} ${run.resumed === 1 ? 'time' : 'times'}`);
    const { error } = run.summary;
    if (typeof error === 'string') io.print(`error: ${error}`);
    io.print(
      table(
        ['step', 'action', 'status', 'tries', 'seconds', 'what'],
        run.steps.map((step) => [
          step.step,
          step.action,
          step.status,
          `${triesOf(step)}`,
          step.seconds === null ? '-' : step.seconds.toFixed(2),
          step.detail === '' ? step.reason : step.detail,
        ]),
      ),
    );
    io.result({ ...runJson(run), steps: run.steps.map(stepJson) });
    return 0;
  });
}

export async function logs(io: Io, args: readonly string[]): Promise<number> {
  return within(io, async (project) => {
    const run = await theRun(project, args[0]);
    const step = args[1] === undefined ? undefined : stepOf(run, args[1]);
    const lines = (await project.runs()).lines(run.id, step);
    for (const line of lines)
      io.print(`${printInstant(line.at)} ${step === undefined ? `${line.step} ` : ''}${line.text}`);
    io.result({ run: run.id, lines: lines.map((line) => ({ ...line, at: printInstant(line.at) })) });
    return 0;
  });
}

function stepOf(run: RunDetail, name: string): string {
  const found = run.steps.find(({ step }) => step === name || step.slice(step.indexOf('.') + 1) === name);
  if (found === undefined)
    throw new MillraceError('UNKNOWN_NAME', `run ${run.id} has no step "${name}"`, {
      hint: `There are: ${run.steps.map(({ step }) => step).join(', ')}.`,
    });
  return found.step;
}

export async function cancel(io: Io, args: readonly string[]): Promise<number> {
  return within(io, async (project) => {
    const run = await theRun(project, args[0]);
    const outcome = (await project.runs()).cancel(run.id, project.now());
    io.print(
      outcome === 'ended'
        ? `run ${run.id} has ended: ${run.status}`
        : outcome === 'asked'
          ? `run ${run.id} is asked to stop; it ends between two steps that are each all or nothing`
          : `run ${run.id} is cancelled; its process had ended`,
    );
    io.result({ run: run.id, outcome });
    return outcome === 'ended' ? 99 : 0;
  });
}

/** Runs again what a run was asked for: what it finished is fresh and stays. */
export async function retry(io: Io, args: readonly string[], options: Options): Promise<number> {
  let scope: readonly string[] = [];
  const looked = await within(io, async (project) => {
    const run = await theRun(project, args[0]);
    if (run.status === 'done') {
      io.print(`run ${run.id} is done`);
      io.result({ run: run.id, outcome: 'ended' });
      return 99;
    }
    scope = run.scope;
    return 0;
  });
  return looked === 0 ? runAssets(io, scope, options) : looked;
}
