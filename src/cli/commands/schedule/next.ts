import { type Instant, printInstant } from '../../../core/base/time.js';
import { zoneOffset } from '../../../core/expression/zone.js';
import { timesAfter } from '../../../core/schedule/due.js';
import { inProject } from '../../in-project.js';
import { instant, integer, known } from '../../parse.js';
import { table } from '../../print/table.js';

/** `2026-03-01T02:00:00 Europe/Prague`: on the clocks of a zone. */
const local = (at: Instant, zone: string): string =>
  `${printInstant(at + zoneOffset(zone)(at)).replace('Z', '')} ${zone}`;

export const command = inProject(async (project, io, args, options) => {
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
