/** Finds and reads the definitions of a project folder. */
import { existsSync } from 'node:fs';
import { readdir, readFile, stat } from 'node:fs/promises';
import { availableParallelism, totalmem } from 'node:os';
import { join, resolve } from 'node:path';
import { type Diagnostic, MillraceError } from '../core/base/error.js';
import type { DefinitionInput, Environment, readDefinitionModule } from '../core/define/index.js';
import type { Definitions } from '../core/define/types.js';
import { definitionsDigest, keepReading, keptReading } from './definition-cache.js';

export interface LoadedProject {
  /** Absolute path of the project folder. */
  readonly root: string;
  /** Complete unless there are errors among the diagnostics. */
  readonly definitions: Definitions;
  /** Errors and warnings, in the order of files and lines. */
  readonly diagnostics: readonly Diagnostic[];
  /** Text of every definition file, by its path relative to the project, for code frames. */
  readonly texts: ReadonlyMap<string, string>;
  /** Equal when everything that was read is. Absent where code was: it may read anything. */
  readonly digest?: string;
}

const SETTINGS_FILES = ['millrace.yaml', 'millrace.yml'];
const FOLDER = 'definitions';
const YAML_FILE = /\.ya?ml$/;
const CODE_FILE = /(?<!\.d)\.(ts|mts|js|mjs)$/;

/**
 * Reads millrace.yaml and definitions/**: YAML, and TypeScript or JavaScript modules. Faults of the user are
 * diagnostics.
 * @throws MillraceError PROJECT_NOT_FOUND when the folder has neither; FILE_UNREADABLE when the system refuses a file.
 */
export async function loadProject(dir: string): Promise<LoadedProject> {
  const root = resolve(dir);
  const settings = SETTINGS_FILES.find((name) => existsSync(join(root, name)));
  const folder = join(root, FOLDER);
  const hasFolder = (await stat(folder).catch(() => undefined))?.isDirectory() ?? false;
  if (settings === undefined && !hasFolder) {
    throw new MillraceError(
      'PROJECT_NOT_FOUND',
      `there is neither millrace.yaml nor definitions/ in ${root}`,
      { place: { file: root } },
    );
  }
  const files = [
    ...(settings === undefined ? [] : [settings]),
    ...(hasFolder ? await definitionFiles(root, FOLDER) : []),
  ];
  const texts = new Map<string, string>();
  for (const file of files) texts.set(file, await readText(root, file));
  const environment = environmentOf(root);
  const digest = files.every((file) => YAML_FILE.test(file))
    ? definitionsDigest(texts, settings, environment)
    : undefined;
  const kept = digest === undefined ? undefined : await keptReading(root, digest);
  if (kept) return { root, ...kept, texts, digest };

  const { define, readYaml } = await import('../core/define/index.js');
  const inputs: DefinitionInput[] = [];
  const diagnostics: Diagnostic[] = [];
  for (const [file, text] of texts) {
    if (YAML_FILE.test(file)) {
      const parsed = readYaml(text, file);
      diagnostics.push(...parsed.diagnostics);
      for (const document of parsed.documents)
        inputs.push({ root: document, settings: file === settings, typescript: false });
    } else {
      const found = await importModule(root, file, /['"]millrace['"]/.test(text));
      diagnostics.push(...found.diagnostics);
      inputs.push(...found.inputs);
    }
  }
  const reading = define(inputs, environment, diagnostics);
  if (digest !== undefined) await keepReading(root, digest, reading);
  return { root, ...reading, texts, ...(digest === undefined ? {} : { digest }) };
}

/**
 * The same, for commands that need whole definitions.
 * @throws MillraceError DEF_INVALID with all diagnostics when there is any error.
 */
export async function loadValidProject(dir: string): Promise<LoadedProject> {
  const project = await loadProject(dir);
  const errors = project.diagnostics.filter((diagnostic) => diagnostic.severity === 'error');
  if (errors.length > 0) {
    throw new MillraceError(
      'DEF_INVALID',
      `the definitions have ${errors.length} error${errors.length === 1 ? '' : 's'}`,
      {
        diagnostics: project.diagnostics,
      },
    );
  }
  return project;
}

/** What a machine offers by default: half of its memory, all of its threads. */
export function environmentOf(root: string): Environment {
  return { root, memoryLimitBytes: Math.floor(totalmem() / 2), threads: availableParallelism() };
}

async function definitionFiles(root: string, folder: string): Promise<readonly string[]> {
  const found: string[] = [];
  const entries = await readdir(join(root, folder), { withFileTypes: true });
  entries.sort((a, b) => (a.name < b.name ? -1 : 1));
  for (const entry of entries) {
    const path = `${folder}/${entry.name}`;
    if (entry.name.startsWith('.') || entry.name === 'node_modules') continue;
    const kind = entry.isSymbolicLink() ? await stat(join(root, path)).catch(() => entry) : entry;
    if (kind.isDirectory()) found.push(...(await definitionFiles(root, path)));
    else if (YAML_FILE.test(entry.name) || CODE_FILE.test(entry.name)) found.push(path);
  }
  return found;
}

async function readText(root: string, file: string): Promise<string> {
  try {
    const text = await readFile(join(root, file), 'utf8');
    return text.startsWith('\uFEFF') ? text.slice(1) : text;
  } catch (cause) {
    throw new MillraceError('FILE_UNREADABLE', `${file} cannot be read: ${(cause as Error).message}`, {
      place: { file },
      cause,
    });
  }
}

async function importModule(
  root: string,
  file: string,
  buildsDefinitions: boolean,
): Promise<ReturnType<typeof readDefinitionModule>> {
  const path = join(root, file);
  try {
    const [{ createJiti }, builders, { readDefinitionModule }] = await Promise.all([
      import('jiti'),
      import('../core/define/builders.js'),
      import('../core/define/index.js'),
    ]);
    const jiti = createJiti(import.meta.url, {
      moduleCache: false,
      fsCache: false,
      interopDefault: false,
      virtualModules: { millrace: builders },
    });
    return readDefinitionModule(await jiti.import(path), file, buildsDefinitions);
  } catch (cause) {
    const error = cause as Error;
    const found = new RegExp(`${escapeRegExp(path)}:(\\d+)(?::(\\d+))?`).exec(
      `${error.stack ?? ''}\n${error.message}`,
    );
    const place = {
      file,
      ...(found ? { line: Number(found[1]), ...(found[2] ? { column: Number(found[2]) } : {}) } : {}),
    };
    const [message] = (error.message ?? String(cause)).split('\n');
    const diagnostic: Diagnostic = {
      code: 'DEF_SYNTAX',
      severity: 'error',
      message: `the file cannot be loaded: ${message!.replaceAll(`${root}/`, '')}`,
      place,
    };
    return { inputs: [], diagnostics: [diagnostic] };
  }
}

const escapeRegExp = (text: string): string => text.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&');
