import path from 'node:path';
import { writeReport } from '../../services/report.js';
import { inProject } from '../in-project.js';
import { count } from '../print/table.js';

export const command = inProject(async (project, io, _args, options) => {
  const out =
    typeof options['out'] === 'string' ? options['out'] : path.join(project.stateFolder, 'report.html');
  const written = await writeReport(project, out);
  io.print(
    `wrote ${path.relative(process.cwd(), written.file)} (${count(Math.ceil(written.bytes / 1024))} KiB); open it in any browser`,
  );
  io.result(written);
  return 0;
});
