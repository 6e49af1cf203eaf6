/** Each command imports its own use case: what serves costs a scan 40 ms of loading. */
import path from 'node:path';
import type { Io } from '../io.js';
import { instant, integer, knowledge as knowledgeOf, names, pairs } from '../parse.js';
import { count, table } from '../table.js';
import { within } from '../within.js';

type Options = Readonly<Record<string, unknown>>;

export async function historical(io: Io, _args: readonly string[], options: Options): Promise<number> {
  return within(io, async (project) => {
    const knowledge = knowledgeOf(options['knowledge']) ?? 'as_of';
    const horizon = integer(options['horizon'], '--horizon');
    if (knowledge === 'hindsight')
      io.warn(
        'knowledge is hindsight: values see corrections and late records that serving could not have seen',
      );
    const { historicalFeatures } = await import('../../services/historical.js');
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
}

export async function online(io: Io, _args: readonly string[], options: Options): Promise<number> {
  return within(io, async (project) => {
    const { onlineFeatures } = await import('../../services/serve.js');
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
}

export async function explain(io: Io, args: readonly string[], options: Options): Promise<number> {
  return within(io, async (project) => {
    const { explainFeature } = await import('../../services/explain.js');
    const explained = await explainFeature(
      project,
      args[0]!,
      {
        entity: pairs(options['entity'], '--entity'),
        request: pairs(options['request'], '--request'),
        at: instant(options['at'], '--at'),
      },
      io.command,
    );
    io.print(
      `${explained.feature} = ${JSON.stringify(explained.value)} (${explained.status}) at ${explained.at}`,
    );
    io.print(explained.definition);
    for (const part of explained.parts) {
      io.print();
      if (explained.parts.length > 1)
        io.print(`${part.feature} = ${JSON.stringify(part.value)} (${part.status}): ${part.definition}`);
      io.print(part.arithmetic);
      if (part.records.length > 0)
        io.print(
          table(
            Object.keys(part.records[0]!),
            part.records.map((record) => Object.values(record).map(String)),
          ),
        );
      if (part.members > part.records.length)
        io.print(`the last ${part.records.length} of ${part.members} records`);
      for (const { file, records, rows } of part.segments)
        io.print(`${records} of the ${rows} records in ${file}`);
      if (part.sql) io.print(`\nin DuckDB, from the project's folder:\n${part.sql};`);
    }
    io.result(explained);
    return 0;
  });
}
