/** A transform's records come from SQL over what is known of its parents, through the same door as files. */
import { rm } from 'node:fs/promises';
import path from 'node:path';
import { MillraceError } from '../core/base/error.js';
import { fingerprint } from '../core/base/fingerprint.js';
import type { Source } from '../core/define/types.js';
import type { IngestResult } from '../ports/record-log.js';
import { currentHorizons } from './historical.js';
import { recordRun, transformRun } from './lineage-events.js';
import type { Project } from './project.js';

/** Changes when the SQL or any parent's log does. */
export async function transformKey(project: Project, source: Source): Promise<string> {
  if (source.read.kind !== 'transform') return '';
  const horizons = await currentHorizons(project, source.read.parents);
  return fingerprint({ source: source.fingerprint, horizons: Object.fromEntries(horizons) });
}

export async function runTransform(project: Project, name: string): Promise<IngestResult> {
  const source = project.definitions.sources.get(name)!;
  if (source.read.kind !== 'transform') throw new MillraceError('USAGE', `source ${name} is no transform`);
  return recordRun(project, transformRun(project, source), () => recompute(project, source));
}

async function recompute(project: Project, source: Source): Promise<IngestResult> {
  const { name } = source;
  if (source.read.kind !== 'transform') throw new MillraceError('USAGE', `source ${name} is no transform`);
  const log = await project.log();
  const store = await project.offline();
  const key = await transformKey(project, source);
  const file = path.join(project.stateFolder, 'tmp', `transform-${name}-${process.pid}.parquet`);
  try {
    await store
      .runSql(
        source.read.sql,
        source.read.parents.map((parent) => project.definitions.sources.get(parent)!),
        { file, orderBy: [source.eventTime, ...source.recordKey] },
      )
      .catch((error: unknown) => {
        if (!(error instanceof MillraceError) || error.code !== 'INTERNAL') throw error;
        throw new MillraceError('EVALUATION', `the SQL of transform ${name} does not run: ${error.message}`, {
          ...(source.place ? { place: source.place } : {}),
          hint: 'Mend the SQL: it is DuckDB SQL over the fields of the sources that it reads.',
          cause: error,
        });
      });
    const result = await log.ingestFiles(source, [file], { now: project.now(), signal: project.signal });
    (await project.registry()).setFact(`transform:${name}`, key);
    return result;
  } finally {
    await rm(file, { force: true });
  }
}
