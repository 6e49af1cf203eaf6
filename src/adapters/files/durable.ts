import { closeSync, existsSync, fdatasyncSync, fsyncSync, mkdirSync, openSync, renameSync } from 'node:fs';
import { dirname } from 'node:path';
import { systemError } from './errors.js';

/** Makes the names in a folder durable. Systems that cannot sync a folder keep names durable by themselves. */
export function syncFolder(folder: string): void {
  let descriptor: number;
  try {
    descriptor = openSync(folder, 'r');
  } catch {
    return;
  }
  try {
    fsyncSync(descriptor);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code !== 'EINVAL' && code !== 'EPERM' && code !== 'ENOTSUP' && code !== 'EISDIR')
      throw systemError(error, folder);
  } finally {
    closeSync(descriptor);
  }
}

/** With those above it, one by one: Node's own recursive way does not end where the system lets nothing be made. */
export function makeFolder(folder: string): void {
  if (existsSync(folder)) return;
  makeFolder(dirname(folder));
  try {
    mkdirSync(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw systemError(error, folder);
  }
}

/** The bytes of a finished file reach the disk, then it gets its name, then the name reaches the disk. */
export function publishFile(temporary: string, final: string): void {
  try {
    const descriptor = openSync(temporary, 'r+');
    try {
      fdatasyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
    renameSync(temporary, final);
    syncFolder(dirname(final));
  } catch (error) {
    throw systemError(error, final);
  }
}
