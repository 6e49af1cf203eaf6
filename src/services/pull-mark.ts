/** How far a source that asks another system has been read, and whether it has to be asked. */
import { stat } from 'node:fs/promises';
import { fingerprint } from '../core/base/fingerprint.js';
import type { Source } from '../core/define/types.js';
import type { Project } from './project.js';

/** How far a source has been read, and by which definition. A source that is defined anew is read from the start. */
export interface PullMark {
  readonly fingerprint: string;
  readonly cursor: string | null;
  /** What the files that the SQL names looked like. */
  readonly inputs: string;
}

export const markName = (source: string): string => `pulled:${source}`;

export const isPulled = ({ read }: Source): boolean => read.kind === 'sql' || read.kind === 'postgres';

export async function markOf(project: Project, source: Source): Promise<PullMark | undefined> {
  const mark = (await project.registry()).getFact(markName(source.name)) as PullMark | undefined;
  return mark?.fingerprint === source.fingerprint ? mark : undefined;
}

/** Sizes and times of the files that stand as texts in the SQL; null where it names none. */
export async function inputsOf(project: Project, source: Source): Promise<string | null> {
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
