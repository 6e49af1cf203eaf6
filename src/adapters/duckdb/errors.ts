import type { ErrorCode } from '../../core/base/catalogue.js';
import { MillraceError } from '../../core/base/error.js';

const PATTERNS: readonly (readonly [RegExp, ErrorCode, string])[] = [
  [
    /not (valid )?utf-8|invalid unicode|File is not .* encoded/i,
    'FILE_ENCODING',
    'A file is not in the declared encoding',
  ],
  [/Maximum line size of/i, 'FILE_UNREADABLE', 'A line of a file is too long'],
  [
    /Error when sniffing file/i,
    'FILE_UNREADABLE',
    'A delimited file cannot be read: rows of different lengths, an open quote, or two kinds of line ends',
  ],
  [
    /No space left on device|failed to offload data block|max_temp_directory_size|Disk quota exceeded|File too large|ENOSPC/i,
    'DISK_FULL',
    'There is no space left on the disk',
  ],
  [/INTERRUPT/, 'INTERRUPTED', 'The query was interrupted'],
  [/Permission denied/i, 'PERMISSION_DENIED', 'The system refuses access to a file'],
  [
    /No files found that match|No such file or directory|Cannot open file .*No such/i,
    'FILE_NOT_FOUND',
    'A file is not there',
  ],
  [
    /No magic bytes found|too small to be a Parquet|Invalid Input Error: File .* parquet|TProtocolException|Failed to read .*[Pp]arquet|Could not read enough bytes|corrupt/i,
    'FILE_UNREADABLE',
    'A file cannot be read as Parquet',
  ],
];

/** Gives a failure of DuckDB its place in the catalogue; errors of millrace pass through unchanged. */
export function duckDbError(error: unknown, doing?: string): Error {
  if (error instanceof MillraceError) return error;
  if (error instanceof Error && error.message.startsWith('millrace invariant broken')) return error;
  const text = error instanceof Error ? error.message : String(error);
  const prefix = doing === undefined ? '' : `${doing}: `;
  for (const [pattern, code, message] of PATTERNS) {
    if (pattern.test(text))
      return new MillraceError(code, `${prefix}${message} (${firstLine(text)})`, { cause: error });
  }
  return new MillraceError('INTERNAL', `${prefix}DuckDB says: ${text}`, { cause: error });
}

const firstLine = (text: string): string => text.split('\n', 1)[0]!.trim();
