import { writeFile } from 'node:fs/promises';
import { MillraceError } from '../../../core/base/error.js';
import { printInstant } from '../../../core/base/time.js';
import type { VersionRecord } from '../../../ports/registry.js';
import type { DifferingValue } from '../../../report/comparison.js';
import { compareModels } from '../../../services/compare-models.js';
import { CHAMPION } from '../../../services/model-manifest.js';
import { modelVersion } from '../../find.js';
import { inProject } from '../../in-project.js';
import { MAIN_METRICS } from '../../print/model.js';
import { metric, table } from '../../print/table.js';

export const command = inProject(async (project, io, args, options) => {
  const registry = await project.registry();
  const versions: VersionRecord[] = [];
  for (const text of args) versions.push(await modelVersion(project, text));
  if (versions.length === 1) {
    const [{ name, version }] = versions as [VersionRecord];
    const champion = registry.alias(name, CHAMPION);
    if (champion === undefined || champion === version)
      throw new MillraceError(
        'USAGE',
        champion === undefined
          ? `${name} has no champion to hold ${name}@${version} against`
          : `${name}@${version} is the champion itself`,
        { hint: `Name two versions or more: \`millrace models list ${name}\` has them.` },
      );
    versions.unshift(await modelVersion(project, `${name}@${champion}`));
  }
  const comparison = await compareModels(project, versions);
  const { models, same_rows: same } = comparison;
  const names = models.map(({ name }) => name);
  const side = (head: string, rows: readonly DifferingValue[]): void => {
    if (rows.length > 0)
      io.print(
        table(
          [head, ...names],
          rows.map((row) => [row.name, ...row.values.map((each) => each ?? '-')]),
        ),
      );
  };
  side('made', [
    { name: 'trainer', values: models.map(({ trainer }) => trainer) },
    { name: 'dataset', values: models.map(({ dataset }) => dataset) },
    {
      name: 'rows',
      values: models.map(({ rows }) =>
        Object.entries(rows)
          .map(([part, count]) => `${part} ${count}`)
          .join(', '),
      ),
    },
    { name: 'fit seconds', values: models.map(({ timings }) => (timings ? String(timings.fit) : null)) },
  ]);
  side('parameter', comparison.parameters);
  for (const feature of comparison.features) {
    const held = names.filter((_, i) => feature.fingerprints[i] !== null);
    if (held.length < names.length) io.print(`feature ${feature.feature} is only in ${held.join(', ')}`);
    else {
      io.print(`feature ${feature.feature} has another definition`);
      side(feature.feature, feature.lines);
    }
  }
  const pair = names.length === 2;
  const own = comparison.metrics.filter(({ metric: name }) => MAIN_METRICS.includes(name.split('.')[1]!));
  io.print(
    table(
      ['metric, each on its own rows', ...names, ...(pair ? [`${names[1]} less ${names[0]}`] : [])],
      own.map((row) => [row.metric, ...row.values.map(metric), ...(pair ? [metric(row.difference)] : [])]),
    ),
  );
  io.print(
    same.rows === null
      ? 'they could not be judged on the same rows:'
      : `on the same ${same.rows} rows, ${same.part} of ${same.dataset}:`,
  );
  for (const [i, reason] of same.reasons.entries())
    if (reason !== null) io.print(`  ${names[i]} is not judged on them: ${reason}`);
  for (const [i, computed] of same.computed.entries())
    if (computed.length > 0)
      io.print(`  ${computed.join(', ')} of ${names[i]} by the definitions that it was trained on`);
  const judged = MAIN_METRICS.filter((name) =>
    same.evaluations.some((each) => each?.metrics[name] !== undefined),
  );
  if (judged.length > 0)
    io.print(
      table(
        ['metric', ...names],
        judged.map((name) => [
          name,
          ...same.evaluations.map((each) => {
            const interval = each?.intervals[name];
            return `${metric(each?.metrics[name])}${interval ? ` (${metric(interval[0])} to ${metric(interval[1])})` : ''}`;
          }),
        ]),
      ),
    );
  for (const { metric: name, model, against, difference } of same.differences)
    io.print(
      `${name}: ${model} less ${against} ${metric(difference.value)}${difference.interval ? ` (${metric(difference.interval[0])} to ${metric(difference.interval[1])})` : ''}`,
    );
  side('environment', comparison.environment);
  if (options['html'] !== undefined) {
    const { renderModelComparison } = await import('../../../report/model-comparison.js');
    await writeFile(String(options['html']), renderModelComparison(comparison));
    io.print(`page in ${String(options['html'])}`);
  }
  io.result({ ...comparison, at: printInstant(comparison.at) });
  return 0;
});
