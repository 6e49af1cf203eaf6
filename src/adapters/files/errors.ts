import type { ErrorCode } from '../../core/base/catalogue.js';
import { MillraceError } from '../../core/base/error.js';

const SYSTEM: Readonly<Record<string, readonly [ErrorCode, string]>> = {
  ENOENT: ['FILE_NOT_FOUND', 'There is no file'],
  EISDIR: ['FILE_UNREADABLE', 'This is a directory, not a file:'],
  ENOTDIR: ['FILE_NOT_FOUND', 'A part of the path is not a directory:'],
  EACCES: ['PERMISSION_DENIED', 'The system refuses access to'],
  EPERM: ['PERMISSION_DENIED', 'The system refuses access to'],
  EROFS: ['PERMISSION_DENIED', 'The file system is read-only:'],
  ENOSPC: ['DISK_FULL', 'There is no space left to write'],
  EDQUOT: ['DISK_FULL', 'The disk quota is used up, cannot write'],
  EFBIG: ['DISK_FULL', 'The file-size limit is reached, cannot write'],
};

/** A failed system call as an error of the catalogue, naming the path; anything else is returned as it is. */
export function systemError(error: unknown, path: string): unknown {
  if (error instanceof MillraceError) return error;
  const code = (error as NodeJS.ErrnoException | null)?.code;
  const known = code === undefined ? undefined : SYSTEM[code];
  return known
    ? new MillraceError(known[0], `${known[1]} ${path}`, { place: { file: path }, cause: error })
    : error;
}
