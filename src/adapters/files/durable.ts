import { closeSync, fdatasyncSync, fsyncSync, mkdirSync, openSync, renameSync } from 'node:fs';
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

export function makeFolder(folder: string): void {
  try {
    mkdirSync(folder, { recursive: true });
  } catch (error) {
    throw systemError(error, folder);
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
