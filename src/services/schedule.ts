/** Fires what is due: one process at a time, each time once, whatever becomes of the process. */
import { setTimeout as sleep } from 'node:timers/promises';
import { MillraceError } from '../core/base/error.js';
import { type Instant, MICROS_PER_SECOND, printInstant } from '../core/base/time.js';
import type { Schedule, Sensor } from '../core/define/types.js';
import { approvalReason } from '../core/plan/policy.js';
import { dueTimes, startOf, timesAfter } from '../core/schedule/due.js';
import { sense } from '../core/schedule/sense.js';
import type { Firing, FiringStatus, Leadership, ScheduleStore } from '../ports/schedule-store.js';
import { gateRefused } from './gate.js';
import { planProject, rememberDefinitions } from './plan-project.js';
import type { Project } from './project.js';
import { endedUnder, isUnfinished } from './runs/open-run.js';
import { sightOf } from './sight.js';

/** A sleep is cut short to say that the scheduler is there, and to see changed definitions and other processes. */
const LONGEST_SLEEP_MS = 5000;
/** Who has not shown itself for so long was not there. */
const ABSENCE = 60 * MICROS_PER_SECOND;

export interface SchedulerOptions {
  /** A handle on the project as it is now; closed after use. */
  open(command: string): Promise<Project>;
  readonly command: string;
  /** Only what is due now; then it ends. */
  readonly once: boolean;
  /** It ends at this instant. */
  readonly until: Instant | null;
  readonly signal: AbortSignal;
  onEnd(firing: Firing): void;
  /** What a trigger says, when it says something else than before. */
  onReason?(trigger: string, reason: string): void;
  warn(message: string): void;
}

/** @returns what was fired, in order. @throws STORE_LOCKED while another scheduler is at work. */
export async function runScheduler(options: SchedulerOptions): Promise<readonly Firing[]> {
  const base = await options.open(options.command);
  let leadership: Leadership | undefined;
  try {
    const store = await base.schedules();
    leadership = store.lead(options.command, base.now());
    return await follow(options, base, store, leadership);
  } finally {
    leadership?.release();
    await base.close();
  }
}

async function follow(
  options: SchedulerOptions,
  base: Project,
  store: ScheduleStore,
  leadership: Leadership,
): Promise<readonly Firing[]> {
  const fired: Firing[] = [];
  const said = new Map<string, string>();
  const presence = createPresence(base.now());
  const looked = new Map<string, Instant>();
  const say = (trigger: string, reason: string): void => {
    if (said.get(trigger) === reason) return;
    said.set(trigger, reason);
    options.onReason?.(trigger, reason);
  };
  const isOver = (): boolean =>
    options.signal.aborted || (options.until !== null && base.now() >= options.until);

  while (!isOver()) {
    leadership.renew(presence.at(base.now()));
    let next = Number.POSITIVE_INFINITY;
    try {
      const project = await options.open(options.command);
      try {
        next = await look(project, store, leadership, { since: presence.since(), looked, say });
      } finally {
        await project.close();
      }
    } catch (error) {
      // Definitions that are broken now may be mended; what was due before stays due.
      if (!(error instanceof MillraceError) || error.code === 'LEASE_LOST') throw error;
      if (error.code === 'INTERRUPTED') break;
      if (options.once) throw error;
      if (said.get('') !== error.message) options.warn(`${error.code} ${error.message}`);
      said.set('', error.message);
    }
    let waiting = false;
    for (const firing of store.open()) {
      if (isOver()) break;
      if (firing.startAt > base.now()) {
        next = Math.min(next, firing.startAt);
        continue;
      }
      const ended = await fire(options, leadership, presence, firing);
      if (ended === undefined) {
        waiting = true;
        say(firing.trigger, store.firings(1, firing.trigger)[0]?.detail ?? '');
        continue;
      }
      fired.push(ended);
      said.delete(firing.trigger);
      options.onEnd(ended);
    }
    if (options.once) break;
    const pause = Math.min(LONGEST_SLEEP_MS, waiting ? 1000 : (next - base.now()) / 1000 + 1);
    const rest = options.until === null ? pause : Math.min(pause, (options.until - base.now()) / 1000);
    if (!isOver() && rest > 0)
      await sleep(rest, undefined, { signal: options.signal }).catch(() => undefined);
  }
  return fired;
}

/**
 * Since when the scheduler is there without a pause: a machine that slept was not, though the process lives. Long work
 * is no pause: it shows itself as often as a look.
 */
interface Presence {
  since(): Instant;
  at(now: Instant): Instant;
}

function createPresence(began: Instant): Presence {
  let [since, last] = [began, began];
  return {
    since: () => since,
    at: (now) => {
      if (now - last > ABSENCE) since = now;
      last = now;
      return now;
    },
  };
}

interface Looking {
  readonly since: Instant;
  /** Sensor → when it looked last. */
  readonly looked: Map<string, Instant>;
  say(trigger: string, reason: string): void;
}

/** Notes what is due now. @returns when there is something to look at again. */
async function look(
  project: Project,
  store: ScheduleStore,
  leadership: Leadership,
  { since, looked, say }: Looking,
): Promise<Instant> {
  const { schedules, sensors } = project.definitions;
  const states = store.states();
  const now = project.now();
  let next = Number.POSITIVE_INFINITY;
  for (const schedule of schedules.values()) {
    const { name } = schedule;
    const seen = states.get(name)?.seen;
    if (seen === undefined || !schedule.enabled) {
      // Its first time is in the future: it is not older than its definition.
      const reason = schedule.enabled ? '' : 'it is not enabled';
      leadership.observe({ name, seen: now, mark: null, reason }, []);
      if (reason !== '') say(name, reason);
    } else {
      const { run, skipped } = dueTimes(schedule, seen, now, since);
      leadership.observe({ name, seen: now, mark: null, reason: '' }, [
        ...skipped.map(({ due, reason }) => ({
          due,
          startAt: due,
          status: 'skipped' as const,
          detail: reason,
        })),
        ...run.map((due) => ({ due, startAt: startOf(schedule, due), status: 'due' as const, detail: '' })),
      ]);
      for (const { due, reason } of skipped) say(name, `${printInstant(due)} is skipped: ${reason}`);
    }
    if (schedule.enabled) next = Math.min(next, timesAfter(schedule, now, 1)[0] ?? next);
  }
  for (const sensor of sensors.values()) {
    const last = looked.get(sensor.name);
    if (last !== undefined && now < last + sensor.every) {
      next = Math.min(next, last + sensor.every);
      continue;
    }
    looked.set(sensor.name, now);
    next = Math.min(next, now + sensor.every);
    await lookBy(project, sensor, store, leadership, say);
  }
  return next;
}

async function lookBy(
  project: Project,
  sensor: Sensor,
  store: ScheduleStore,
  leadership: Leadership,
  say: Looking['say'],
): Promise<void> {
  const { name } = sensor;
  const past = store.states().get(name);
  const now = project.now();
  const rest = (reason: string, mark = past?.mark ?? null): void => {
    leadership.observe({ name, seen: now, mark, reason }, []);
    say(name, reason);
  };
  if (!sensor.enabled) return rest('it is not enabled');
  if (store.open().some(({ trigger }) => trigger === name))
    return rest('what it fired for last is not done yet');
  let sight: Awaited<ReturnType<typeof sightOf>>;
  try {
    sight = await sightOf(project, sensor);
  } catch (error) {
    if (!(error instanceof MillraceError) || error.code === 'INTERRUPTED') throw error;
    return rest(error.code === 'FILE_NOT_FOUND' ? 'there is no file yet' : `${error.code} ${error.message}`);
  }
  if (past === undefined && sensor.on.kind === 'updated')
    return rest(`it begins with what there is: ${sight.reason}`, sight.mark);
  const { fires, reason } = sense(
    sight,
    { mark: past?.mark ?? null, firedAt: past?.firedAt ?? null },
    sensor.minimumInterval,
    now,
  );
  if (!fires) return rest(reason);
  leadership.observe({ name, seen: now, mark: sight.mark, reason: '' }, [
    { due: now, startAt: now, status: 'due', detail: reason },
  ]);
}

/** The key of a firing's run: killed at any point, it is found again under it. */
const keyOf = ({ trigger, due }: Firing): string => `${trigger}@${printInstant(due)}`;

/** Performs a firing, or goes on with it. Undefined: it waits, with its reason noted. */
async function fire(
  options: SchedulerOptions,
  leadership: Leadership,
  presence: Presence,
  firing: Firing,
): Promise<Firing | undefined> {
  const key = keyOf(firing);
  let project: Project | undefined;
  let now: () => Instant = () => firing.due;
  const end = (status: FiringStatus, run: number | null, detail: string): Firing => {
    leadership.end(firing, status, run, detail, now());
    return { ...firing, status, run, detail, endedAt: now() };
  };
  // Long work does not look like death.
  const beat = setInterval(() => {
    try {
      leadership.renew(presence.at(now()));
    } catch {
      // Another leads: the end of the firing says so.
    }
  }, LONGEST_SLEEP_MS);
  try {
    project = await options.open(`${options.command}: ${key}`);
    now = project.now;
    const trigger: Schedule | Sensor | undefined =
      project.definitions.schedules.get(firing.trigger) ?? project.definitions.sensors.get(firing.trigger);
    if (trigger === undefined) return end('skipped', null, 'it is not defined any more');
    await project.lockForWriting(`${options.command}: ${key}`);
    leadership.begin(firing, now());
    const { status, run, detail } = await perform(project, trigger.run, key);
    return end(status, run, detail);
  } catch (error) {
    const failure = error instanceof MillraceError ? error : null;
    if (failure?.code === 'LEASE_LOST' && project === undefined) throw error;
    if (failure?.code === 'INTERRUPTED') {
      leadership.postpone(firing, 'interrupted; it goes on');
      return undefined;
    }
    if (failure?.code === 'STORE_LOCKED') {
      leadership.postpone(firing, `it waits: ${failure.message}`);
      return undefined;
    }
    const run = project === undefined ? null : ((await project.runs()).key(key)?.run ?? null);
    const text = error instanceof Error ? error.message : String(error);
    return end(failure?.exit === 3 ? 'refused' : 'failed', run, failure ? `${failure.code} ${text}` : text);
  } finally {
    clearInterval(beat);
    await project?.close();
  }
}

interface Performed {
  readonly status: FiringStatus;
  readonly run: number | null;
  readonly detail: string;
}

async function perform(project: Project, names: readonly string[], key: string): Promise<Performed> {
  const store = await project.runs();
  const before = await endedUnder(project, key, names);
  if (before) {
    const run = store.key(key)?.run ?? null;
    const status = before.exit === 0 ? 'done' : before.exit === 99 ? 'nothing' : 'failed';
    return { status, run, detail: 'it had ended when its process did' };
  }
  const planned = await planProject(project, names);
  const whole = names.length === 0;
  const settle = ({ status, run, detail }: Performed, exit: number): Performed => {
    store.endKey(key, names, { exit, result: { run, detail } }, project.now());
    return { status, run, detail };
  };
  const left = store.key(key)?.run ?? null;
  if (planned.steps.length === 0 && left === null && !(whole && (await isUnfinished(project)))) {
    if (whole) rememberDefinitions(project, await project.registry());
    return settle(
      { status: 'nothing', run: null, detail: `${planned.fresh.length} assets are up to date` },
      99,
    );
  }
  const asks = approvalReason(planned.cost, project.definitions.settings.policy);
  if (asks !== null && left === null)
    return { status: 'refused', run: null, detail: `RUN_NOT_APPROVED ${asks}` };
  const { performPlan } = await import('./run-assets.js');
  const { result, proof } = await performPlan(project, planned, {
    command: `schedule ${key}`,
    names,
    whole,
    key,
  });
  const done = result.steps.filter(({ outcome }) => outcome === 'done').length;
  const refused = result.promotions.find(gateRefused);
  const differs = proof !== null && proof.differing > 0;
  return settle(
    {
      status: differs || refused ? 'refused' : 'done',
      run: result.run,
      detail: differs
        ? `${proof.differing} of ${proof.checked} values differ between offline and online`
        : `${done} of ${result.steps.length} steps made something${refused ? `; ${refused.model} did not pass its gate: ${refused.reason}` : ''}`,
    },
    differs || refused ? 3 : 0,
  );
}
