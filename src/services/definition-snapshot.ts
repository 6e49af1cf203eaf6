/** The texts of a project's definitions as an object of the store: a version can be made again without a checkout. */
import { createHash } from 'node:crypto';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { MillraceError } from '../core/base/error.js';
import type { Definitions } from '../core/define/types.js';
import { loadProject, loadValidProject } from './load-project.js';
import { getText, putText } from './objects.js';
import type { Project } from './project.js';

/** File, relative to the project → text. */
export type DefinitionTexts = Readonly<Record<string, string>>;

/**
 * Keeps the definition files that `project` was opened with.
 * @returns SHA-256 of the object; null when they changed on disk since, so that nobody has them any more.
 */
export async function keepDefinitions(project: Project, dataset: string): Promise<string | null> {
  let { texts } = project;
  if (texts === undefined) {
    const loaded = await loadProject(project.folder);
    const wanted = project.definitions.datasets.get(dataset)?.fingerprint;
    if (loaded.definitions.datasets.get(dataset)?.fingerprint !== wanted) return null;
    texts = loaded.texts;
  }
  const files = Object.fromEntries([...texts].sort(([a], [b]) => (a < b ? -1 : 1)));
  return putText(project, JSON.stringify(files));
}

async function keptTexts(project: Project, sha256: string): Promise<DefinitionTexts | undefined> {
  const text = await getText(project, sha256);
  if (text === undefined) return undefined;
  if (createHash('sha256').update(text).digest('hex') !== sha256)
    throw new MillraceError('STORE_CORRUPT', `the definitions kept as ${sha256} are not what was kept`);
  return JSON.parse(text) as DefinitionTexts;
}

/** Definitions read from their kept texts, with this project's stores. Undefined: they are not kept. */
export async function keptDefinitions(project: Project, sha256: string): Promise<Definitions | undefined> {
  const texts = await keptTexts(project, sha256);
  if (texts === undefined) return undefined;
  // Inside of the project, so that modules find the packages they import.
  const folder = path.join(project.stateFolder, 'tmp', `definitions-${sha256.slice(0, 16)}-${process.pid}`);
  try {
    for (const [file, text] of Object.entries(texts)) {
      const target = path.join(folder, file);
      await mkdir(path.dirname(target), { recursive: true });
      await writeFile(target, text);
    }
    const { definitions } = await loadValidProject(folder);
    const { settings } = definitions;
    return { ...definitions, settings: { ...project.definitions.settings, timezone: settings.timezone } };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
