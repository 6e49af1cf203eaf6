/** Contents by their SHA-256: `.millrace/objects/sha256/ab/abcd…`. What is there is whole, whatever was killed. */
import { createHash, randomUUID } from 'node:crypto';
import { constants, createReadStream, statSync, utimesSync } from 'node:fs';
import { copyFile, mkdir, open, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { Project } from './project.js';

type Keeper = Pick<Project, 'stateFolder'>;

export async function sha256File(file: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash);
  return hash.digest('hex');
}

export const objectsFolder = (project: Keeper): string => path.join(project.stateFolder, 'objects', 'sha256');

export const objectFile = (project: Keeper, sha256: string): string =>
  path.join(objectsFolder(project), sha256.slice(0, 2), sha256);

/** Whether it is there. A caller that is about to name it says so by its time of change: `gc` spares what is young. */
export function takeUpFile(file: string): boolean {
  const there = (): boolean => statSync(file, { throwIfNoEntry: false }) !== undefined;
  if (!there()) return false;
  const now = new Date();
  try {
    utimesSync(file, now, now);
  } catch {
    // Somebody else's, or gone since.
  }
  return there();
}

/** A file under its final name only when it is whole and on the disk. What is there already stays. */
export async function putFile(file: string, write: (file: string) => Promise<void>): Promise<void> {
  if (takeUpFile(file)) return;
  await mkdir(path.dirname(file), { recursive: true });
  const staged = `${file}.${process.pid}-${randomUUID()}.tmp`;
  try {
    await write(staged);
    const handle = await open(staged, 'r+');
    await handle.sync();
    await handle.close();
    await rename(staged, file);
  } finally {
    await rm(staged, { force: true });
  }
}

async function put(project: Keeper, sha256: string, write: (file: string) => Promise<void>): Promise<string> {
  await putFile(objectFile(project, sha256), write);
  return sha256;
}

export const putText = (project: Keeper, text: string): Promise<string> =>
  put(project, createHash('sha256').update(text).digest('hex'), (file) => writeFile(file, text));

/** A copy of a file whose hash is known; where the file system can, it shares the blocks. */
export const putCopy = (project: Keeper, source: string, sha256: string): Promise<string> =>
  put(project, sha256, async (file) => {
    await copyFile(source, file, constants.COPYFILE_FICLONE);
    await utimes(file, new Date(), new Date());
  });

/** Undefined when it is gone. */
export const getText = (project: Keeper, sha256: string): Promise<string | undefined> =>
  readFile(objectFile(project, sha256), 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });

export const hasObject = async (project: Keeper, sha256: string): Promise<boolean> =>
  (await stat(objectFile(project, sha256)).catch(() => undefined)) !== undefined;
