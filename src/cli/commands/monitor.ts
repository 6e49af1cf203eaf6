import { type MonitorResult, runMonitor } from '../../services/monitor.js';
import { driftError } from '../gates.js';
import { inProject } from '../in-project.js';
import type { Io } from '../io.js';
import { instant } from '../parse.js';
import { count, metric, table } from '../print/table.js';

function printMonitor(io: Io, result: MonitorResult): void {
  io.print(
    `${result.monitor}: ${result.verdict}  (${count(result.rows)} predictions of ${result.model}, ${result.from} to ${result.to})`,
  );
  const columns = [...Object.entries(result.features.columns), ...Object.entries(result.score.columns)];
  const worth = columns.filter(([, column]) => column.verdict !== 'ok');
  if (worth.length > 0)
    io.print(
      table(
        ['column', 'verdict', 'why', 'test', 'p', 'psi'],
        worth.map(([name, column]) => {
          const test = column.tests.ks ?? column.tests.chi_squared;
          return [
            name,
            column.verdict,
            column.reasons.join(', '),
            column.tests.ks
              ? `ks ${column.tests.ks.statistic.toFixed(3)}`
              : column.tests.chi_squared
                ? 'chi²'
                : '-',
            test ? test.p_value.toPrecision(2) : '-',
            metric(column.tests.psi?.value),
          ];
        }),
      ),
    );
  const { performance } = result;
  io.print(
    `performance: ${performance.verdict}, outcomes for ${(performance.coverage * 100).toFixed(1)} % of the predictions${
      performance.evaluation
        ? ` (${Object.entries(performance.evaluation.metrics)
            .slice(0, 3)
            .map(([name, value]) => `${name} ${metric(value)}`)
            .join(', ')})`
        : ''
    }`,
  );
  for (const alert of result.alerts) io.warn(`${result.monitor}: ${alert}`);
}

export const command = inProject(async (project, io, args, options) => {
  const at = instant(options['at'], '--at');
  const results: MonitorResult[] = [];
  for (const name of args.length > 0 ? args : project.definitions.monitors.keys()) {
    const result = await runMonitor(project, name, at === undefined ? {} : { at });
    printMonitor(io, result);
    results.push(result);
  }
  const alerted = results.filter((result) => result.alerts.length > 0);
  if (options['fail'] === true && alerted.length > 0)
    return io.refuse(driftError(alerted), { monitors: results });
  io.result({ monitors: results });
  return 0;
});
