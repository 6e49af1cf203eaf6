import path from 'node:path';
import { writeReport } from '../../services/report.js';
import type { Io } from '../io.js';
import { count } from '../table.js';
import { within } from '../within.js';

export async function report(
  io: Io,
  _args: readonly string[],
  options: Readonly<Record<string, unknown>>,
): Promise<number> {
  return within(io, async (project) => {
    const out =
      typeof options['out'] === 'string' ? options['out'] : path.join(project.stateFolder, 'report.html');
    const written = await writeReport(project, out);
    io.print(
      `wrote ${path.relative(process.cwd(), written.file)} (${count(Math.ceil(written.bytes / 1024))} KiB); open it in any browser`,
    );
    io.result(written);
    return 0;
  });
}
