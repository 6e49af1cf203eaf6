/** What the code of a command is: the bytes of its files and of the lock files beside them. */
import { createHash } from 'node:crypto';
import { access, readdir, readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { MillraceError } from '../core/base/error.js';
import { fingerprint } from '../core/base/fingerprint.js';
import { PROCESS, type ProcessTrainer, processTrainer } from '../core/define/trainers.js';
import type { Model } from '../core/define/types.js';
import type { Project } from './project.js';

/** What the code of a command is: bytes, not dates. */
export interface CodeVersion {
  readonly sha256: string;
  /** Of the project, by path from its folder. */
  readonly files: Readonly<Record<string, string>>;
  readonly locks: Readonly<Record<string, string>>;
}

const LOCK_FILES = [
  'requirements.txt',
  'requirements.lock',
  'uv.lock',
  'poetry.lock',
  'Pipfile.lock',
  'pdm.lock',
  'pixi.lock',
  'conda-lock.yml',
  'environment.yml',
  'package-lock.json',
  'Cargo.lock',
];
export const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** The file itself, or every file of a folder; nothing where there is none. */
export async function filesAt(file: string): Promise<string[]> {
  const found = await stat(file).catch(() => null);
  if (!found) return [];
  if (found.isFile()) return [file];
  const entries = await readdir(file, { recursive: true, withFileTypes: true });
  return entries
    .filter(
      (entry) => entry.isFile() && !/(^|\/)(__pycache__|node_modules|\.venv)(\/|$)/.test(entry.parentPath),
    )
    .map((entry) => path.join(entry.parentPath, entry.name));
}

export const hashes = async (root: string, files: Iterable<string>): Promise<Record<string, string>> => {
  const found: Record<string, string> = {};
  for (const file of [...new Set(files)].sort())
    found[path.relative(root, file).split(path.sep).join('/')] = sha256(await readFile(file));
  return found;
};

/** The files that a command names, those declared beside them, and the lock files next to them. */
async function codeVersion(root: string, trainer: ProcessTrainer): Promise<CodeVersion> {
  const inside = (file: string): boolean => !path.relative(root, file).startsWith('..');
  const named: string[] = [];
  for (const part of trainer.command.slice(1)) {
    const file = path.resolve(root, part);
    if (inside(file) && (await stat(file).catch(() => null))?.isFile()) named.push(file);
  }
  const program = path.resolve(root, trainer.command[0]!);
  if (trainer.command[0]!.includes('/') && inside(program) && !/\/\.?venv\//.test(program))
    named.push(...(await filesAt(program)));
  for (const declared of trainer.files) {
    const found = await filesAt(path.resolve(root, declared));
    if (found.length === 0)
      throw new MillraceError(
        'FILE_NOT_FOUND',
        `\`files\` of the trainer names "${declared}", which is not there`,
      );
    named.push(...found);
  }
  const folders = new Set([root, ...named.map((file) => path.dirname(file))]);
  const locks: string[] = [];
  for (const folder of folders)
    for (const name of LOCK_FILES) locks.push(...(await filesAt(path.join(folder, name))));
  const code = { files: await hashes(root, named), locks: await hashes(root, locks) };
  return { ...code, sha256: fingerprint(code) };
}

/** Lock files of a folder and of the folders around it, up to the repository they are in. */
export async function lockFiles(root: string): Promise<Readonly<Record<string, string>>> {
  const found: string[] = [];
  for (let folder = root; ; folder = path.dirname(folder)) {
    for (const name of LOCK_FILES) found.push(...(await filesAt(path.join(folder, name))));
    const top = await access(path.join(folder, '.git')).then(
      () => true,
      () => false,
    );
    if (top) return hashes(root, found);
    if (path.dirname(folder) === folder) break;
  }
  const inside = found.filter((file) => path.dirname(file) === root);
  return hashes(root, inside);
}

/** Undefined for a trainer that is built in. */
export const trainerCode = (
  project: Project,
  { trainer }: Pick<Model, 'trainer'>,
): Promise<CodeVersion> | undefined =>
  trainer.kind === PROCESS ? codeVersion(project.folder, processTrainer(trainer.parameters)) : undefined;
