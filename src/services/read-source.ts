import { MillraceError } from '../core/base/error.js';
import type { Source } from '../core/define/types.js';
import type { IngestResult } from '../ports/record-log.js';
import { filesTaken } from './file-marks.js';
import { ingestFiles } from './ingest.js';
import type { Project } from './project.js';
import { pullSource } from './pull.js';
import { isPulled } from './pull-mark.js';
import { runTransform } from './transform.js';

/**
 * What a source has to say since it was asked last, in its own way: its files, its query, its transform. Null: nothing
 * is new. USAGE for a source that is only sent to.
 */
export async function readSource(project: Project, source: Source): Promise<IngestResult | null> {
  if (source.read.kind === 'transform') return runTransform(project, source.name);
  if (isPulled(source)) return pullSource(project, source);
  const files = (await project.log()).expand(source);
  if (files.length === 0)
    throw new MillraceError('USAGE', `source ${source.name} has no files of its own`, {
      hint: `Name files: millrace ingest ${source.name} FILE...; or send it records.`,
    });
  return ingestFiles(project, source, files, await filesTaken(project, source, files));
}
