import { markBatch } from '../services/batches.js';
import type { Command } from './command.js';
import { inProject } from './in-project.js';
import { filesOf, printBatch } from './print/batch.js';

export const marking = (mark: 'expected' | 'incident' | null): Command =>
  inProject(async (project, io, args, options) => {
    const reason = options['reason'] === undefined ? null : String(options['reason']);
    const batch = await markBatch(project, args[0]!, mark, reason);
    printBatch(io, project, batch);
    if (mark === 'expected' && batch.status === 'refused')
      io.note(`ingest it again: millrace ingest ${[batch.source, ...filesOf(project, batch)].join(' ')}`);
    io.result(batch);
    return 0;
  });
