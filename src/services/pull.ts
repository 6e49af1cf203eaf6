/** Sources that ask another system for their rows: what is new comes in as one batch, through the same door as files. */
import { randomUUID } from 'node:crypto';
import { mkdir, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { invariant } from '../core/base/error.js';
import { fingerprint } from '../core/base/fingerprint.js';
import type { Source } from '../core/define/types.js';
import type { IngestResult } from '../ports/record-log.js';
import { ingestFiles } from './ingest.js';
import type { Project } from './project.js';

/** How far a source has been read, and by which definition. A source that is defined anew is read from the start. */
interface PullMark {
  readonly fingerprint: string;
  readonly cursor: string | null;
  /** What the files that the SQL names looked like. */
  readonly inputs: string;
}

const markName = (source: string): string => `pulled:${source}`;

export const isPulled = ({ read }: Source): boolean => read.kind === 'sql' || read.kind === 'postgres';

async function markOf(project: Project, source: Source): Promise<PullMark | undefined> {
  const mark = (await project.registry()).getFact(markName(source.name)) as PullMark | undefined;
  return mark?.fingerprint === source.fingerprint ? mark : undefined;
}

/** Sizes and times of the files that stand as texts in the SQL; null where it names none. */
async function inputsOf(project: Project, source: Source): Promise<string | null> {
  if (source.read.kind !== 'sql') return null;
  const texts = [...source.read.sql.matchAll(/'((?:[^']|'')*)'/g)].map((found) =>
    found[1]!.replaceAll("''", "'"),
  );
  const log = await project.log();
  const found: (readonly [string, number, number])[] = [];
  for (const text of texts) {
    for (const file of log.match(text)) {
      const { size, mtimeMs } = await stat(file);
      found.push([file, size, mtimeMs]);
    }
  }
  return found.length === 0 ? null : fingerprint(found.map((file) => [...file]));
}

/** Why a source has to be asked; null when it is known to have nothing new. */
export async function pullReason(project: Project, source: Source): Promise<string | null> {
  const mark = await markOf(project, source);
  if (mark === undefined) return 'never read';
  const inputs = await inputsOf(project, source);
  if (inputs === null) return 'asked at every run for what is new';
  return inputs === mark.inputs ? null : 'a file that its SQL reads has changed';
}

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
