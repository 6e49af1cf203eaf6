import { type Instant, printDuration, printInstant, printOptionalInstant } from '../../core/base/time.js';
import type { Schedule, Sensor } from '../../core/define/types.js';
import { zoneOffset } from '../../core/expression/zone.js';
import { timesAfter } from '../../core/schedule/due.js';
import { openProject } from '../../open.js';
import type { Firing } from '../../ports/schedule-store.js';
import type { Project } from '../../services/project.js';
import type { Io } from '../io.js';
import { instant, integer, known } from '../parse.js';
import { table } from '../table.js';
import { within } from '../within.js';

type Options = Readonly<Record<string, unknown>>;

/** `2026-03-01T02:00:00 Europe/Prague`: on the clocks of a zone. */
const local = (at: Instant, zone: string): string =>
  `${printInstant(at + zoneOffset(zone)(at)).replace('Z', '')} ${zone}`;

const runs = ({ run }: Schedule | Sensor): string => (run.length === 0 ? 'everything' : run.join(', '));

const sensed = ({ on }: Sensor): string => `${on.kind} ${on.kind === 'updated' ? on.asset : on.source}`;

const said = ({ status, run, due }: Firing): string =>
  `${status}${run === null ? '' : ` (run ${run})`} ${printInstant(due)}`;

function all(project: Project): readonly (Schedule | Sensor)[] {
  return [...project.definitions.schedules.values(), ...project.definitions.sensors.values()];
}

export async function list(io: Io): Promise<number> {
  return within(io, async (project) => {
    const store = await project.schedules();
    const [states, leader, now] = [store.states(), store.leader(), project.now()];
    const rows = all(project).map((trigger) => {
      const [last] = store.firings(1, trigger.name);
      const state = states.get(trigger.name);
      const isSchedule = 'cron' in trigger;
      return {
        name: trigger.name,
        kind: isSchedule ? 'schedule' : 'sensor',
        when: isSchedule
          ? `${trigger.cron} ${trigger.timezone}`
          : `${sensed(trigger)}, every ${printDuration(trigger.every)}`,
        run: trigger.run,
        runs: runs(trigger),
        enabled: trigger.enabled,
        next: isSchedule && trigger.enabled ? (timesAfter(trigger, now, 1)[0] ?? null) : null,
        last: last ?? null,
        why_not: trigger.enabled ? (state?.reason ?? '') : 'it is not enabled',
      };
    });
    io.print(
      leader === null
        ? 'no scheduler is at work: `millrace schedule run`'
        : `process ${leader.pid} is at work: ${leader.command}`,
    );
    io.print(
      table(
        ['name', 'when', 'runs', 'next', 'last', 'why not'],
        rows.map(({ name, when, runs, next, last, why_not }) => [
          name,
          when,
          runs,
          next === null ? '-' : printInstant(next),
          last === null ? '-' : said(last),
          why_not === '' ? '-' : why_not,
        ]),
      ),
    );
    io.result({
      scheduler: leader,
      triggers: rows.map(({ runs: _, next, last, ...row }) => ({
        ...row,
        next: printOptionalInstant(next),
        last: last === null ? null : firingJson(last),
      })),
    });
    return 0;
  });
}

const firingJson = (firing: Firing): Record<string, unknown> => ({
  name: firing.trigger,
  due: printInstant(firing.due),
  status: firing.status,
  run: firing.run,
  started_at: printOptionalInstant(firing.startedAt),
  ended_at: printOptionalInstant(firing.endedAt),
  detail: firing.detail,
});

export async function next(io: Io, args: readonly string[], options: Options): Promise<number> {
  return within(io, async (project) => {
    const { schedules } = project.definitions;
    const from = instant(options['from'], '--from') ?? project.now();
    const count = integer(options['count'], '--count') ?? 5;
    const names = args.length > 0 ? args : [...schedules.keys()];
    const times = names
      .map((name) => schedules.get(known(name, schedules.keys(), 'schedule'))!)
      .filter(({ enabled }) => enabled)
      .flatMap((schedule) =>
        timesAfter(schedule, from, count).map((at) => ({
          at,
          schedule: schedule.name,
          local: local(at, schedule.timezone),
        })),
      )
      .sort((a, b) => a.at - b.at);
    io.print(
      table(
        ['schedule', 'at', 'on its clocks'],
        times.map(({ at, schedule, local }) => [schedule, printInstant(at), local]),
      ),
    );
    io.result({ times: times.map(({ at, ...more }) => ({ at: printInstant(at), ...more })) });
    return times.length === 0 ? 99 : 0;
  });
}

export async function log(io: Io, args: readonly string[], options: Options): Promise<number> {
  return within(io, async (project) => {
    const firings = (await project.schedules()).firings(integer(options['limit'], '--limit') ?? 20, args[0]);
    io.print(
      table(
        ['due', 'name', 'status', 'run', 'what'],
        firings.map(({ due, trigger, status, run, detail }) => [
          printInstant(due),
          trigger,
          status,
          run === null ? '-' : `${run}`,
          detail,
        ]),
      ),
    );
    io.result({ firings: firings.map(firingJson) });
    return firings.length === 0 ? 99 : 0;
  });
}

export async function run(io: Io, _args: readonly string[], options: Options): Promise<number> {
  const until = instant(options['until'], '--until') ?? null;
  const once = options['once'] === true;
  const { runScheduler } = await import('../../services/schedule.js');
  const quiet = { progress: io.progress, warn: io.warn, signal: io.signal };
  const fired = await runScheduler({
    open: (command) => openProject(io.projectFolder, { ...quiet, command }),
    command: io.command,
    once,
    until,
    signal: io.signal,
    onEnd: (firing) =>
      io.print(
        `${printInstant(firing.due)} ${firing.trigger}: ${firing.status}${firing.run === null ? '' : `, run ${firing.run}`}${firing.detail === '' ? '' : `, ${firing.detail}`}`,
      ),
    onReason: (trigger, reason) => io.note(`${trigger}: ${reason}`),
    warn: (message) => io.warn(message),
  });
  io.result({ fired: fired.map(firingJson) });
  if (io.signal.aborted) return 0;
  if (fired.some(({ status }) => status === 'failed')) return 1;
  if (fired.some(({ status }) => status === 'refused')) return 3;
  return once && fired.length === 0 ? 99 : 0;
}
