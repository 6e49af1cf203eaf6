import path from 'node:path';
import { inProject } from '../../in-project.js';
import { integer, knowledge as knowledgeOf, names } from '../../parse.js';
import { count } from '../../print/table.js';

export const command = inProject(async (project, io, _args, options) => {
  const knowledge = knowledgeOf(options['knowledge']) ?? 'as_of';
  const horizon = integer(options['horizon'], '--horizon');
  if (knowledge === 'hindsight')
    io.warn(
      'knowledge is hindsight: values see corrections and late records that serving could not have seen',
    );
  const { historicalFeatures } = await import('../../../services/historical.js');
  const result = await historicalFeatures(project, {
    observations: path.resolve(String(options['observations'])),
    time: String(options['time']),
    features: names(options['features'], '--features'),
    out: path.resolve(String(options['out'])),
    knowledge,
    ...(horizon === undefined ? {} : { horizon }),
  });
  for (const [name, { error = 0 }] of Object.entries(result.statuses))
    if (error > 0)
      io.warn(
        `${count(error)} of ${count(result.rows)} values of ${name} are null with status error: the exact result does not fit its type, or the feature's function failed`,
      );
  io.print(`${count(result.rows)} rows x ${result.features.length} features → ${result.out}`);
  io.result(result);
  return 0;
});
