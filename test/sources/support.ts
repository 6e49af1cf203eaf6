import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type OpenedProject, openProject } from '../../src/open.js';

/** A project folder with these definitions and data files. */
export function folderOf(definitions: string, files: Readonly<Record<string, string>> = {}): string {
  const folder = mkdtempSync(path.join(tmpdir(), 'millrace-sources-'));
  mkdirSync(path.join(folder, 'definitions'));
  writeFileSync(path.join(folder, 'millrace.yaml'), 'project: sources\n');
  writeFileSync(path.join(folder, 'definitions/all.yaml'), definitions);
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(path.dirname(path.join(folder, name)), { recursive: true });
    writeFileSync(path.join(folder, name), text);
  }
  return folder;
}

/** Opens the project for a piece of work; the folder stays. */
export async function inProject<T>(folder: string, work: (project: OpenedProject) => Promise<T>): Promise<T> {
  const project = await openProject(folder);
  try {
    await project.lockForWriting('a test');
    return await work(project);
  } finally {
    await project.close();
  }
}

export const removeFolder = (folder: string): void => rmSync(folder, { recursive: true, force: true });

/** The known records of a source, by seq. */
export async function recordsOf(
  project: OpenedProject,
  name: string,
): Promise<readonly Readonly<Record<string, unknown>>[]> {
  const source = project.definitions.sources.get(name)!;
  const log = await project.log();
  const { lastSeq } = await log.state(source);
  const found: Readonly<Record<string, unknown>>[] = [];
  for await (const chunk of log.read(source, 0, lastSeq))
    for (const record of chunk) found.push({ ...record.fields, $deleted: record.deleted });
  return found;
}
