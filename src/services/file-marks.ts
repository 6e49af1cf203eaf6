/** Which files of a source are new or changed since they were ingested: what makes it stale. */
import { stat } from 'node:fs/promises';
import path from 'node:path';
import { type Fingerprint, fingerprint } from '../core/base/fingerprint.js';
import type { Source } from '../core/define/types.js';
import { sha256File } from './objects.js';
import type { Project } from './project.js';

/** What a file looked like when it was ingested, and the definition that read it. */
interface FileMark {
  readonly size: number;
  readonly modified: number;
  readonly sha256: string;
  readonly fingerprint: string;
}

/** The fact about a file. By its path from the project folder: a copied project knows its files. */
const markName = (source: Source, file: string): string => `files:${source.name}:${file}`;

const nameOf = (project: Project, file: string): string =>
  path.relative(project.folder, path.resolve(file)).replaceAll(path.sep, '/');

/** The mark of a file, by its name. One fact held those of all files of a source once: it speaks where theirs do not. */
async function marksOf(project: Project, source: Source): Promise<(file: string) => FileMark | undefined> {
  const registry = await project.registry();
  const together = (registry.getFact(`files:${source.name}`) ?? {}) as Readonly<Record<string, FileMark>>;
  return (file) => (registry.getFact(markName(source, file)) as FileMark | undefined) ?? together[file];
}

export interface NewFiles {
  readonly files: readonly string[];
  readonly bytes: number;
  /** Another one when other files are new, or look otherwise. */
  readonly mark: Fingerprint;
}

/** A file with another time of change is read for its hash: copied or touched, it is not new. */
export async function newFiles(project: Project, source: Source): Promise<NewFiles> {
  const files: string[] = [];
  const looks: (readonly [string, number, number])[] = [];
  if (source.read.kind !== 'files') return { files, bytes: 0, mark: fingerprint(looks) };
  const markOf = await marksOf(project, source);
  const touched: Record<string, FileMark> = {};
  for (const file of (await project.log()).expand(source)) {
    const { size, mtimeMs: modified } = await stat(file);
    const name = nameOf(project, file);
    const mark = markOf(name);
    if (mark && mark.size === size && mark.fingerprint === source.fingerprint) {
      if (mark.modified === modified) continue;
      if (mark.sha256 === (await sha256File(file))) {
        touched[markName(source, name)] = { ...mark, modified };
        continue;
      }
    }
    files.push(file);
    looks.push([name, size, modified]);
  }
  if (Object.keys(touched).length > 0) (await project.registry()).setFacts(touched);
  return { files, bytes: looks.reduce((sum, [, size]) => sum + size, 0), mark: fingerprint(looks) };
}

/**
 * The facts that these files are in the log as they look now, so that the next plan finds nothing to do. Taken before they
 * are read: one that is written to meanwhile is new again.
 */
export async function filesTaken(
  project: Project,
  source: Source,
  files: readonly string[],
): Promise<Readonly<Record<string, FileMark>>> {
  const marks: Record<string, FileMark> = {};
  for (const file of files) {
    const { size, mtimeMs: modified } = await stat(file);
    marks[markName(source, nameOf(project, file))] = {
      size,
      modified,
      sha256: await sha256File(file),
      fingerprint: source.fingerprint,
    };
  }
  return marks;
}
