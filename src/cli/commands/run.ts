import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { createInterface } from 'node:readline/promises';
import { MillraceError } from '../../core/base/error.js';
import type { DefinitionChange } from '../../core/plan/definition-changes.js';
import type { Plan } from '../../core/plan/plan.js';
import { approvalReason } from '../../core/plan/policy.js';
import type { RunResult } from '../../services/apply-plan.js';
import { planProject, rememberDefinitions } from '../../services/plan-project.js';
import type { Project } from '../../services/project.js';
import type { AssetsRequest } from '../../services/run-assets.js';
import { endedUnder, isUnfinished } from '../../services/runs/open-run.js';
import type { VerifyResult } from '../../services/verify.js';
import { printChanges } from '../changes.js';
import { parityError, promotionError } from '../gates.js';
import { errorObject, type Io } from '../io.js';
import { count, metric, table } from '../table.js';
import { within } from '../within.js';

type Options = Readonly<Record<string, unknown>>;

const ignoring = (options: Options): { ignoreAvailability: boolean } => ({
  ignoreAvailability: options['ignoreAvailability'] === true,
});

const mebibytes = (bytes: number): string => (bytes === 0 ? '-' : `${(bytes / 2 ** 20).toFixed(1)} MiB`);

const seconds = (value: number | null): string =>
  value === null ? 'unknown' : value < 10 ? `${value.toFixed(1)} s` : `${Math.round(value)} s`;

function printPlan(io: Io, plan: Plan): void {
  // Many things may read one that has changed: they stand on one line.
  const alike = new Map<string, { readonly things: string[]; readonly of: DefinitionChange }>();
  for (const change of plan.changes) {
    const known = alike.get(`${change.class} ${change.what}`);
    if (known) known.things.push(change.thing);
    else alike.set(`${change.class} ${change.what}`, { things: [change.thing], of: change });
  }
  for (const { things, of } of alike.values()) io.print(`${of.class}: ${things.join(', ')} ${of.what}`);
  for (const { source, from, to, ...diff } of plan.contracts) {
    io.print(`contract of ${source}: ${diff.class}, ${from} → ${to}`);
    printChanges({ print: (line = '') => io.print(`  ${line}`) }, diff.changes);
  }
  if (plan.steps.length === 0) {
    io.print(`nothing to do: ${plan.fresh.length} assets are up to date`);
    return;
  }
  io.print(
    table(
      ['step', 'asset', 'certainty', 'why', 'read', 'rows', 'time'],
      plan.steps.map((step) => [
        step.action,
        step.asset,
        step.certainty === 'stale' ? 'will run' : 'if changed',
        step.reason,
        mebibytes(step.bytes),
        step.expected.rows === null ? '-' : count(step.expected.rows),
        seconds(step.expected.seconds),
      ]),
    ),
  );
  const { cost } = plan;
  io.print(
    `expected: ${cost.unknown === plan.steps.length ? 'unknown, none of it has run before' : `about ${seconds(cost.seconds)}${cost.unknown > 0 ? `, and ${cost.unknown} ${cost.unknown === 1 ? 'step' : 'steps'} that never ran` : ''}`}`,
  );
  for (const { model, champion } of plan.promotions)
    io.print(
      `${model}: the new version ${champion === null ? 'becomes the champion' : `retires ${model}@${champion}`} if it passes its gate`,
    );
  if (plan.fresh.length > 0) io.print(`up to date: ${plan.fresh.join(', ')}`);
}

export async function plan(io: Io, args: readonly string[], options: Options): Promise<number> {
  return within(io, async (project) => {
    const planned = await planProject(project, args);
    printPlan(io, planned);
    const out = options['out'];
    if (typeof out === 'string') {
      const saved: SavedPlan = { format: PLAN_FORMAT, names: args, plan: planned };
      await writeFile(out, `${JSON.stringify(saved, null, 2)}\n`);
      io.print(`saved: ${out}`);
    }
    io.result(planned);
    return planned.steps.length === 0 ? 99 : 0;
  });
}

const PLAN_FORMAT = 'millrace/plan@1';

interface SavedPlan {
  readonly format: typeof PLAN_FORMAT;
  readonly names: readonly string[];
  readonly plan: Plan;
}

async function readPlan(file: string): Promise<SavedPlan> {
  let saved: Partial<SavedPlan>;
  try {
    saved = JSON.parse(await readFile(file, 'utf8')) as Partial<SavedPlan>;
  } catch (cause) {
    throw new MillraceError('USAGE', `${file} cannot be read as a plan: ${(cause as Error).message}`, {
      cause,
    });
  }
  if (saved.format !== PLAN_FORMAT || !saved.plan || !saved.names)
    throw new MillraceError('USAGE', `${file} is no saved plan`, {
      hint: 'Make one: `millrace plan --out FILE`.',
    });
  return saved as SavedPlan;
}

/** The plan for what stands in a saved one, made again: it is done only when nothing has moved since. */
async function planAgain(
  project: Project,
  file: string,
): Promise<{ names: readonly string[]; planned: Plan }> {
  const { names, plan: before } = await readPlan(file);
  const planned = await planProject(project, names);
  if (planned.world === before.world) return { names, planned };
  const reasons = new Map(before.steps.map((step) => [step.asset, step.reason]));
  const moved = planned.steps
    .filter((step) => reasons.get(step.asset) !== step.reason)
    .map((step) => step.asset);
  const gone = before.steps
    .filter((step) => !planned.steps.some(({ asset }) => asset === step.asset))
    .map((step) => step.asset);
  throw new MillraceError(
    'PLAN_MOVED',
    `the world has moved since ${file} was made${[...moved, ...gone].length > 0 ? `: ${[...moved, ...gone].join(', ')}` : ''}`,
    { data: { moved, gone } },
  );
}

export async function apply(io: Io, args: readonly string[], options: Options): Promise<number> {
  return within(
    io,
    async (project) => {
      await project.lockForWriting(io.command);
      const file = args.length === 1 && args[0]!.endsWith('.json') ? args[0]! : null;
      const { names, planned } =
        file === null
          ? { names: args, planned: await planProject(project, args) }
          : await planAgain(project, file);
      if (planned.steps.length === 0) {
        printPlan(io, planned);
        io.result({ steps: [] });
        return 99;
      }
      return await perform(io, project, planned, { command: io.command, names, whole: false });
    },
    ignoring(options),
  );
}

export async function run(io: Io, args: readonly string[], options: Options): Promise<number> {
  const key = options['idempotencyKey'];
  return within(
    io,
    async (project) => {
      await project.lockForWriting(io.command);
      if (typeof key !== 'string') return runNow(io, project, args, options);
      return runOnce(io, project, key, args, (once) => runNow(once, project, args, options, key));
    },
    ignoring(options),
  );
}

async function runNow(
  io: Io,
  project: Project,
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
  return await perform(io, project, planned, { command: io.command, names, whole, key });
}

/** What was asked for under a key is done once; asked for again it gives what the first time gave. */
async function runOnce(
  io: Io,
  project: Project,
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

/** Performs a plan as one recorded run; a whole run also proves offline = online and writes the report. */
async function perform(io: Io, project: Project, planned: Plan, request: AssetsRequest): Promise<number> {
  const { performPlan } = await import('../../services/run-assets.js');
  const { result, proof, report } = await performPlan(project, planned, request);
  printSummary(io, project, result, proof, report);
  const summary = summaryOf(project, result, proof, report);
  if (proof !== null && proof.differing > 0) return io.refuse(parityError(proof), summary);
  const refused = result.promotions.find((item) => !item.promoted && !item.passed);
  if (refused) return io.refuse(promotionError(refused), summary);
  io.result(summary);
  return 0;
}

/** Records from outside; what transforms compute from them is not counted twice. */
function totals(
  project: Project,
  result: RunResult,
): { rows: number; accepted: number; quarantined: number; duplicates: number; dropped: number } {
  const sum = { rows: 0, accepted: 0, quarantined: 0, duplicates: 0, dropped: 0 };
  for (const item of result.ingested) {
    if (project.definitions.sources.get(item.source)?.read.kind === 'transform') continue;
    sum.rows += item.rows;
    sum.accepted += item.accepted;
    sum.quarantined += item.quarantined;
    sum.duplicates += item.duplicates;
    sum.dropped += item.dropped;
  }
  return sum;
}

function summaryOf(
  project: Project,
  result: RunResult,
  proof: VerifyResult | null,
  report: string | null,
): Record<string, unknown> {
  return {
    run: result.run,
    steps: result.steps,
    records: totals(project, result),
    sources: result.ingested,
    datasets: result.datasets.map(({ version, manifest, built }) => ({
      dataset: version.name,
      version: version.version,
      built,
      rows: manifest.counts.rows,
      folder: version.folder,
    })),
    models: result.models.map(({ version, manifest, built }) => ({
      model: version.name,
      version: version.version,
      built,
      metrics: manifest.metrics,
      folder: version.folder,
    })),
    promotions: result.promotions,
    monitors: result.monitors.map(({ monitor, verdict, alerts, rows }) => ({
      monitor,
      verdict,
      alerts,
      rows,
    })),
    verify: proof && { checked: proof.checked, differing: proof.differing },
    report,
    state: project.stateFolder,
  };
}

const HEADLINES = ['auc', 'log_loss', 'rmse', 'r2', 'accuracy'];

function printSummary(
  io: Io,
  project: Project,
  result: RunResult,
  proof: VerifyResult | null,
  report: string | null,
): void {
  const records = totals(project, result);
  const lines: [string, string][] = [];
  if (result.ingested.length > 0)
    lines.push([
      'records',
      `${count(records.rows)} in = ${count(records.accepted)} accepted + ${count(records.quarantined)} quarantined + ${count(records.duplicates)} duplicates + ${count(records.dropped)} dropped`,
    ]);
  for (const { version, manifest } of result.datasets)
    lines.push([
      'training set',
      `${version.name}@${version.version}: ${count(manifest.counts.rows)} rows (${manifest.parts.map((part) => `${part.name} ${count(part.rows)}`).join(', ')})`,
    ]);
  for (const { version, manifest } of result.models) {
    const part = manifest.metrics['test'] ? 'test' : Object.keys(manifest.metrics)[0]!;
    const metrics = manifest.metrics[part]!;
    lines.push([
      'model',
      `${version.name}@${version.version}: ${part} ${HEADLINES.filter((name) => metrics[name] !== undefined)
        .map((name) => `${name} ${metric(metrics[name])}`)
        .join(', ')}`,
    ]);
  }
  for (const promotion of result.promotions)
    lines.push([
      'promotion',
      promotion.promoted
        ? `${promotion.model}@${promotion.version} is the champion`
        : `${promotion.model}@${promotion.version}${promotion.passed ? '' : promotion.previous === promotion.version ? ', the champion, does not pass its gate' : ' is not promoted'}: ${promotion.reason}`,
    ]);
  for (const monitor of result.monitors)
    lines.push([
      'drift',
      `${monitor.monitor}: ${monitor.verdict}${monitor.alerts.length > 0 ? ` (${monitor.alerts.slice(0, 4).join('; ')}${monitor.alerts.length > 4 ? '; ...' : ''})` : ''}`,
    ]);
  if (proof)
    lines.push([
      'offline = online',
      proof.differing === 0
        ? `equal to the bit on ${count(proof.checked)} values`
        : `${count(proof.differing)} of ${count(proof.checked)} values DIFFER (millrace verify)`,
    ]);
  lines.push(['state', project.stateFolder]);
  if (report) lines.push(['report', report]);
  const service = [...project.definitions.services.keys()][0];
  if (service)
    lines.push([
      'serve it',
      `npx millrace serve --project ${path.relative(process.cwd(), project.folder) || '.'} --port 8080`,
    ]);
  const width = Math.max(...lines.map(([name]) => name.length));
  io.print();
  for (const [name, text] of lines) io.print(`${name.padEnd(width)}  ${text}`);
}
