import { inProject } from '../../in-project.js';
import { instant, pairs } from '../../parse.js';
import { table } from '../../print/table.js';

export const command = inProject(async (project, io, args, options) => {
  const { explainFeature } = await import('../../../services/explain.js');
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
