import path from 'node:path';
import { acceptRename } from '../../services/accept-rename.js';
import { sourceOf } from '../find.js';
import { inProject } from '../in-project.js';
import { pairs } from '../parse.js';

export const command = inProject(async (project, io, args, options) => {
  const source = sourceOf(project, args[0]!);
  const renames = pairs(options['rename'], '--rename');
  const written = await acceptRename(project.folder, source, renames);
  io.print(
    `${path.relative(process.cwd(), path.resolve(project.folder, written.file))}:${written.line}: ${written.text}`,
  );
  io.result(written);
  return 0;
});
