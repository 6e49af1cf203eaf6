import { inProject } from '../../in-project.js';
import { instant, names, pairs } from '../../parse.js';
import { table } from '../../print/table.js';

export const command = inProject(async (project, io, _args, options) => {
  const { onlineFeatures } = await import('../../../services/serve.js');
  const answer = await onlineFeatures(
    project,
    {
      features: names(options['features'], '--features'),
      entities: [pairs(options['entity'], '--entity')],
      request: [pairs(options['request'], '--request')],
      at: instant(options['at'], '--at'),
      text: true,
    },
    io.command,
  );
  const row = answer.rows[0]!;
  io.print(
    table(
      ['feature', 'value', 'status'],
      answer.features.map((name, i) => [name, JSON.stringify(row.values[i]), row.statuses[i]!]),
    ),
  );
  io.print(
    `as of ${answer.as_of}${answer.data_age_seconds === null ? '' : `, data are ${answer.data_age_seconds.toFixed(1)} s old`}`,
  );
  io.result(answer);
  return 0;
});
