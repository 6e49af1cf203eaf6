import { printDuration, printInstant, printOptionalInstant } from '../../../core/base/time.js';
import type { Schedule, Sensor } from '../../../core/define/types.js';
import { timesAfter } from '../../../core/schedule/due.js';
import type { Firing } from '../../../ports/schedule-store.js';
import type { Project } from '../../../services/project.js';
import { inProject } from '../../in-project.js';
import { firingJson } from '../../print/firing.js';
import { table } from '../../print/table.js';

const runs = ({ run }: Schedule | Sensor): string => (run.length === 0 ? 'everything' : run.join(', '));

const sensed = ({ on }: Sensor): string => `${on.kind} ${on.kind === 'updated' ? on.asset : on.source}`;

const said = ({ status, run, due }: Firing): string =>
  `${status}${run === null ? '' : ` (run ${run})`} ${printInstant(due)}`;

function all(project: Project): readonly (Schedule | Sensor)[] {
  return [...project.definitions.schedules.values(), ...project.definitions.sensors.values()];
}

export const command = inProject(async (project, io) => {
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
