import path from 'node:path';
import { MillraceError } from '../../../core/base/error.js';
import { withFileInspector } from '../../../open.js';
import { writeNew } from '../../../services/contract.js';
import { suggestContract } from '../../../services/suggest-contract.js';
import type { Command } from '../../command.js';
import { count } from '../../print/table.js';

/** Also `profile FILE --suggest`. */
export const command: Command = async (io, args, options) => {
  const suggested = await withFileInspector((inspector) =>
    suggestContract(inspector, args, {
      projectFolder: path.resolve(io.projectFolder),
      ...(options['name'] === undefined ? {} : { name: identifierOf(String(options['name'])) }),
    }),
  );
  const { source, rows, complete, form, text } = suggested;
  let file: string | null = null;
  if (options['out'] === undefined) io.print(text.trimEnd());
  else {
    file = path.resolve(String(options['out']));
    await writeNew(new Map([[file, text]]), options['force'] === true);
    io.print(
      `wrote ${path.relative(process.cwd(), file)}: source ${source} from ${count(rows)} rows; read it, then run \`millrace check\``,
    );
  }
  if (!complete)
    io.warn(
      `no column of ${args[0]} is a timestamp or a date: ${source} needs an event_time before it can be used`,
    );
  const { keys, fields, contract } = suggested;
  io.result({
    source,
    rows,
    complete,
    file,
    definition: form,
    reasons: { source: keys, fields, contract },
    text,
  });
  return 0;
};

function identifierOf(name: string): string {
  if (/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) return name;
  throw new MillraceError('USAGE', `--name is "${name}"`, { hint: 'Give letters, digits and underscores.' });
}
