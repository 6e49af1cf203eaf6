import { createInterface } from 'node:readline/promises';
import { MillraceError } from '../core/base/error.js';
import type { Plan } from '../core/plan/plan.js';
import { approvalReason } from '../core/plan/policy.js';
import { planProject, rememberDefinitions } from '../services/plan-project.js';
import type { Project } from '../services/project.js';
import { endedUnder, isUnfinished } from '../services/runs/open-run.js';
import type { Options } from './command.js';
import { errorObject, type Io } from './io.js';
import { perform } from './perform.js';
import { printPlan } from './print/plan.js';

/** Plans and performs what is stale of some assets, or of all: the work of `run` and `runs retry`. */
export async function runAssets(
  project: Project,
  io: Io,
  names: readonly string[],
  options: Options,
): Promise<number> {
  const key = options['idempotencyKey'];
  await project.lockForWriting(io.command);
  if (typeof key !== 'string') return runNow(project, io, names, options);
  return runOnce(project, io, key, names, (once) => runNow(project, once, names, options, key));
}

async function runNow(
  project: Project,
  io: Io,
  names: readonly string[],
  options: Options,
  key?: string,
): Promise<number> {
  const planned = await planProject(project, names);
  printPlan(io, planned);
  const whole = names.length === 0;
  if (planned.steps.length === 0 && !(whole && (await isUnfinished(project)))) {
    if (whole) rememberDefinitions(project, await project.registry());
    io.result({ steps: [], fresh: planned.fresh });
    return 99;
  }
  if (planned.steps.length > 0) await approve(project, planned, options);
  return await perform(project, io, planned, { command: io.command, names, whole, key });
}

/** What was asked for under a key is done once; asked for again it gives what the first time gave. */
async function runOnce(
  project: Project,
  io: Io,
  key: string,
  names: readonly string[],
  work: (io: Io) => Promise<number>,
): Promise<number> {
  const before = await endedUnder(project, key, names);
  if (before) {
    io.print(`the run with the key "${key}" has ended before: exit ${before.exit}`);
    io.result(before.result);
    return before.exit;
  }
  const store = await project.runs();
  let result: unknown = null;
  const once: Io = {
    ...io,
    result: (value) => {
      result = value;
      io.result(value);
    },
    refuse: (error, refused) => {
      result = { ...refused, error: errorObject(error) };
      return io.refuse(error, refused);
    },
  };
  try {
    const exit = await work(once);
    store.endKey(key, names, { exit, result }, project.now());
    return exit;
  } catch (error) {
    // What was not begun, or is to go on, may be asked for again under the key.
    const run = store.key(key)?.run ?? null;
    const status = run === null ? undefined : store.detail(run, project.now())?.status;
    if (error instanceof MillraceError && (status === 'failed' || status === 'cancelled'))
      store.endKey(
        key,
        names,
        { exit: error.exit, result: { run, error: errorObject(error) } },
        project.now(),
      );
    throw error;
  }
}

/** Goes on where the policy lets it or a person agrees. @throws RUN_NOT_APPROVED */
async function approve(project: Project, planned: Plan, options: Options): Promise<void> {
  const policy = { ...project.definitions.settings.policy };
  const given = options['policy'];
  if (given === 'auto' || given === 'ask') policy.run = given;
  else if (given !== undefined)
    throw new MillraceError('USAGE', `--policy is "${String(given)}"`, { hint: 'Give auto or ask.' });
  const reason = options['yes'] === true ? null : approvalReason(planned.cost, policy);
  if (reason === null) return;
  if (process.stdin.isTTY && process.stderr.isTTY) {
    const terminal = createInterface({ input: process.stdin, output: process.stderr });
    const answer = await terminal
      .question(`${reason}. Do it? [y/N] `, { signal: project.signal })
      .catch(() => '');
    terminal.close();
    if (/^y(es)?$/i.test(answer.trim())) return;
  }
  throw new MillraceError('RUN_NOT_APPROVED', `nothing was computed: ${reason}`, {
    data: { cost: planned.cost },
  });
}
