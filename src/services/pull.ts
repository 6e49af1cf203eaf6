/** Sources that ask another system for their rows: what is new comes in as one batch, through the same door as files. */
import { randomUUID } from 'node:crypto';
import { mkdir, rm } from 'node:fs/promises';
import path from 'node:path';
import { invariant } from '../core/base/error.js';
import type { Source } from '../core/define/types.js';
import type { IngestResult } from '../ports/record-log.js';
import { ingestFiles } from './ingest.js';
import type { Project } from './project.js';
import { inputsOf, markName, markOf, type PullMark } from './pull-mark.js';

/** Reads what is new and appends it, and how far it has read with it. Null: there was nothing. */
export async function pullSource(project: Project, source: Source): Promise<IngestResult | null> {
  const { read } = source;
  invariant(read.kind === 'sql' || read.kind === 'postgres', `source ${source.name} is not pulled`);
  const before = await markOf(project, source);
  const inputs = (await inputsOf(project, source)) ?? '';
  const folder = path.join(project.stateFolder, 'tmp', `pull-${randomUUID()}`);
  const file = path.join(folder, `${source.name}.${read.kind === 'sql' ? 'parquet' : 'ndjson'}`);
  await mkdir(folder, { recursive: true });
  try {
    const puller = await project.puller(source);
    const { rows, cursor } = await puller.pull(source, before?.cursor ?? null, file, {
      signal: project.signal,
      onRetry: (error, attempt) =>
        project.progress({
          step: 'ingest',
          message: `${source.name}: ${error.message}; attempt ${attempt + 1}`,
        }),
    });
    const mark: PullMark = { fingerprint: source.fingerprint, cursor, inputs };
    if (rows > 0) return await ingestFiles(project, source, [file], { [markName(source.name)]: mark });
    (await project.registry()).setFact(markName(source.name), mark);
    return null;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
