/** Which files of a source are new or changed since they were ingested: what makes it stale. */
import { stat } from 'node:fs/promises';
import path from 'node:path';
import type { Source } from '../core/define/types.js';
import type { Project } from './project.js';

/** What a file looked like when it was ingested: size, time of change, and the definition that read it. */
interface FileMark {
  readonly size: number;
  readonly modified: number;
  readonly fingerprint: string;
}

type FileMarks = Readonly<Record<string, FileMark>>;

const marksName = (source: string): string => `files:${source}`;

export async function newFiles(
  project: Project,
  source: Source,
): Promise<{ files: string[]; bytes: number }> {
  if (source.read.kind !== 'files') return { files: [], bytes: 0 };
  const marks = ((await project.registry()).getFact(marksName(source.name)) ?? {}) as FileMarks;
  const files: string[] = [];
  let bytes = 0;
  for (const file of (await project.log()).expand(source)) {
    const info = await stat(file);
    const mark = marks[file];
    if (
      mark &&
      mark.size === info.size &&
      mark.modified === info.mtimeMs &&
      mark.fingerprint === source.fingerprint
    )
      continue;
    files.push(file);
    bytes += info.size;
  }
  return { files, bytes };
}

/**
 * The fact that these files are in the log as they look now, so that the next plan finds nothing to do. Taken before they
 * are read: one that is written to meanwhile is new again.
 */
export async function filesTaken(
  project: Project,
  source: Source,
  files: readonly string[],
): Promise<Readonly<Record<string, FileMarks>>> {
  const registry = await project.registry();
  const marks: Record<string, FileMark> = {
    ...((registry.getFact(marksName(source.name)) ?? {}) as FileMarks),
  };
  for (const file of files) {
    const info = await stat(file);
    marks[path.resolve(file)] = { size: info.size, modified: info.mtimeMs, fingerprint: source.fingerprint };
  }
  return { [marksName(source.name)]: marks };
}
