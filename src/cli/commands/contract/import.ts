import path from 'node:path';
import { importContract, printNote, writeImported } from '../../../services/contract.js';
import type { Command } from '../../command.js';

export const command: Command = async (io, args, options) => {
  const file = path.resolve(args[0]!);
  const imported = await importContract(file);
  for (const note of imported.notes) io.note(printNote(path.relative(process.cwd(), file), note));
  let written: readonly string[] = [];
  if (options['out'] === undefined) io.print(imported.text.trimEnd());
  else {
    const out = path.resolve(String(options['out']));
    written = await writeImported(path.resolve(io.projectFolder), imported, out, options['force'] === true);
    for (const name of written) io.print(`wrote ${path.relative(process.cwd(), name)}`);
    io.print(
      `${imported.sources.join(', ')}: ${imported.notes.length === 0 ? 'everything was taken over' : `${imported.notes.length} notes above and in the file`}; run \`millrace check\``,
    );
  }
  io.result({ sources: imported.sources, notes: imported.notes, files: written, definition: imported.text });
  return 0;
};
