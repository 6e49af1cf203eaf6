/** A transform's records come from SQL over what is known of its parents, through the same door as files. */
import { randomUUID } from 'node:crypto';
import { rm } from 'node:fs/promises';
import path from 'node:path';
import { MillraceError } from '../core/base/error.js';
import type { Instant } from '../core/base/time.js';
import type { Source } from '../core/define/types.js';
import type { IngestResult } from '../ports/record-log.js';
import { recordRun, transformRun } from './lineage-events.js';
import type { Project } from './project.js';
import { appliedFact, appliedOf, knownTransformKind, wantedOf } from './transform-state.js';

export interface TransformOptions {
  /** Everything again, whatever its SQL allows. */
  readonly full?: boolean;
}

/** Brings a transform up to date: by the new records of its parents where its SQL goes row by row, else by all of them. */
export async function runTransform(
  project: Project,
  name: string,
  options: TransformOptions = {},
): Promise<IngestResult> {
  const source = project.definitions.sources.get(name)!;
  if (source.read.kind !== 'transform') throw new MillraceError('USAGE', `source ${name} is no transform`);
  return recordRun(project, transformRun(project, source), () => bringUp(project, source, options));
}

async function bringUp(project: Project, source: Source, options: TransformOptions): Promise<IngestResult> {
  if (source.read.kind !== 'transform')
    throw new MillraceError('USAGE', `source ${source.name} is no transform`);
  const { name } = source;
  const { signal } = project;
  const { parents: names } = source.read;
  const log = await project.log();
  const store = await project.offline();
  const kind = await knownTransformKind(project, source, { remember: true });
  const wanted = await wantedOf(project, source);
  const parents = names.map((parent) => project.definitions.sources.get(parent)!);
  const applied = await appliedOf(project, name);
  const increment =
    kind.kind !== 'full' && applied?.fingerprint === source.fingerprint && options.full !== true;
  // A name used once: DuckDB remembers the statistics of a file by its name and the second of its change.
  const base = path.join(project.stateFolder, 'tmp', `transform-${name}-${randomUUID()}`);
  const [file, keys] = [`${base}.parquet`, `${base}-keys.parquet`];
  try {
    const work = increment
      ? store.runIncrement(
          source,
          parents.map((parent) => ({ source: parent, after: applied.parents[parent.name] ?? 0 })),
          { file, keys, signal },
        )
      : store.runWhole(source, parents, { file, signal });
    await work.catch((error: unknown) => {
      if (!(error instanceof MillraceError) || error.code !== 'INTERNAL') throw error;
      throw new MillraceError('EVALUATION', `the SQL of transform ${name} does not run: ${error.message}`, {
        ...(source.place ? { place: source.place } : {}),
        hint: 'Mend the SQL: it is DuckDB SQL over the fields of the sources that it reads.',
        cause: error,
      });
    });
    return await log.ingestFiles(source, [file], {
      now: project.now(),
      signal: project.signal,
      state: {
        knowledge: await knowledgeOf(project, parents),
        // A query that is another at every run does not say that what it leaves out is no more; nor where the
        // definition itself says which records are deleted.
        retract: kind.volatile.length === 0 && source.deleted === undefined,
        within: increment ? keys : null,
      },
      facts: { [appliedFact(name)]: wanted },
    });
  } finally {
    await rm(file, { force: true });
    await rm(keys, { force: true });
  }
}

/** The instant to which the parents are known: what a run sees cannot have been known before. */
async function knowledgeOf(project: Project, parents: readonly Source[]): Promise<Instant> {
  const log = await project.log();
  let latest = 0;
  for (const parent of parents) latest = Math.max(latest, (await log.state(parent)).maxAvailableAt ?? 0);
  return latest;
}
