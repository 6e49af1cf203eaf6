import { type SourceStatus, sourceStatuses } from '../../services/source-status.js';
import { sourceOf } from '../find.js';
import { inProject } from '../in-project.js';
import type { Io } from '../io.js';
import { table } from '../print/table.js';

const age = (seconds: number | null): string =>
  seconds === null
    ? '-'
    : seconds < 120
      ? `${Math.round(seconds)} s`
      : seconds < 7200
        ? `${Math.round(seconds / 60)} min`
        : seconds < 172_800
          ? `${Math.round(seconds / 3600)} h`
          : `${Math.round(seconds / 86_400)} d`;

const percent = (share: number): string => `${Number((share * 100).toPrecision(5))} %`;

export const command = inProject(async (project, io, args) => {
  const chosen = args[0] === undefined ? undefined : sourceOf(project, args[0]);
  const sources = await sourceStatuses(project, chosen ? [chosen] : undefined);
  io.print(
    table(
      ['source', 'records', 'newest', 'age', 'last batch', 'verdict', 'in quarantine'],
      sources.map((one) => [
        one.source,
        one.rows,
        one.available_at,
        age(one.age_seconds),
        one.last_batch?.at,
        one.last_batch?.verdict,
        one.quarantine_open,
      ]),
    ),
  );
  printLevels(io, sources);
  io.result({ sources });
  return 0;
});

function printLevels(io: Io, sources: readonly SourceStatus[]): void {
  const levels = sources.flatMap((one) => one.levels.map((level) => ({ source: one.source, ...level })));
  if (levels.length === 0) return;
  io.print();
  io.print(
    table(
      ['source', 'level', 'promise', 'kept', 'budget left', 'burn 1h', 'burn 6h', 'now'],
      levels.map((level) => [
        level.source,
        level.level,
        level.objective,
        level.share === null ? '-' : `${percent(level.share)}${level.met ? '' : ' (missed)'}`,
        level.budget === null ? '-' : percent(level.budget),
        ...(['1h', '6h'] as const).map((window) => {
          const burn = level.burn.find((one) => one.window === window);
          return burn === undefined
            ? '-'
            : `${Number(burn.rate.toPrecision(3))}${burn.alert ? ' ALERT' : ''}`;
        }),
        level.available === null ? '-' : level.available ? 'available' : level.reason,
      ]),
    ),
  );
}
