import { createHash } from 'node:crypto';
import { closeSync, openSync, readdirSync, readSync, statSync } from 'node:fs';
import { basename, isAbsolute, join, resolve } from 'node:path';
import { MillraceError } from '../../core/base/error.js';
import { nearest } from '../../core/base/nearest.js';
import type { FileFormat } from '../../core/define/types.js';
import { systemError } from './errors.js';

export type Compression = 'none' | 'gzip' | 'zstd';

export interface InputFile {
  readonly path: string;
  readonly format: FileFormat;
  readonly compression: Compression;
  readonly bytes: number;
  /** Delimiter that the file name tells (`.tsv`). */
  readonly impliedDelimiter: string;
}

const FORMATS: Readonly<Record<string, FileFormat>> = {
  csv: 'csv',
  tsv: 'csv',
  txt: 'csv',
  json: 'json',
  ndjson: 'ndjson',
  jsonl: 'ndjson',
  parquet: 'parquet',
  pq: 'parquet',
};

const isPattern = (text: string): boolean => /[*?[\]{}]/.test(text);

/** `*` `?` `[abc]` `{a,b}` within one path part, `**` across parts. */
function patternToRegExp(pattern: string): RegExp {
  let out = '';
  for (let i = 0; i < pattern.length; i++) {
    const c = pattern[i]!;
    if (c === '*' && pattern[i + 1] === '*') {
      i += pattern[i + 2] === '/' ? 2 : 1;
      out += pattern[i] === '/' ? '(?:[^/]+/)*' : '.*';
    } else if (c === '*') out += '[^/]*';
    else if (c === '?') out += '[^/]';
    else if (c === '{') out += '(?:';
    else if (c === '}') out += ')';
    else if (c === ',' && out.includes('(?:')) out += '|';
    else if (c === '[') {
      const end = pattern.indexOf(']', i + 1);
      if (end < 0) out += '\\[';
      else {
        out += `[${pattern
          .slice(i + 1, end)
          .replace(/^!/, '^')
          .replaceAll('\\', '\\\\')}]`;
        i = end;
      }
    } else out += c.replace(/[.+^$()|\\\]]/g, '\\$&');
  }
  return new RegExp(`^${out}$`);
}

function expandPattern(pattern: string): string[] {
  const parts = pattern.split('/');
  const firstWild = parts.findIndex(isPattern);
  const root = parts.slice(0, firstWild).join('/') || '/';
  const expression = patternToRegExp(pattern);
  const deep = parts.length - firstWild > 1;
  let names: string[];
  try {
    names = readdirSync(root, { recursive: deep, encoding: 'utf8' });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw systemError(error, root);
  }
  return names
    .map((name) => join(root, name))
    .filter((path) => expression.test(path) && statSync(path, { throwIfNoEntry: false })?.isFile());
}

/**
 * Patterns and paths → absolute paths: patterns in the order given, the matches of each sorted by code unit,
 * a path that several patterns match stands once. Throws FILE_NOT_FOUND for a pattern that matches nothing.
 */
export function expandFiles(patterns: readonly string[], folder: string): readonly string[] {
  const out = new Set<string>();
  for (const pattern of patterns) {
    const absolute = isAbsolute(pattern) ? pattern : resolve(folder, pattern);
    if (!isPattern(pattern) || statSync(absolute, { throwIfNoEntry: false })) {
      out.add(absolute);
      continue;
    }
    const found = expandPattern(absolute).sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
    if (found.length === 0) {
      throw new MillraceError('FILE_NOT_FOUND', `No file matches ${pattern}`, { place: { file: absolute } });
    }
    for (const path of found) out.add(path);
  }
  return [...out];
}

/** The files that a path or pattern names, sorted; none when it names none. */
export function matchFiles(pattern: string, folder: string): readonly string[] {
  const absolute = isAbsolute(pattern) ? pattern : resolve(folder, pattern);
  if (statSync(absolute, { throwIfNoEntry: false })?.isFile()) return [absolute];
  return isPattern(pattern) ? expandPattern(absolute).sort() : [];
}

/** Checks that a file is there, is a file, can be read, is not empty and has a known format. */
export function inspectFile(path: string, format: FileFormat | undefined): InputFile {
  let bytes: number;
  try {
    const stat = statSync(path);
    if (stat.isDirectory()) {
      throw new MillraceError('FILE_UNREADABLE', `${path} is a directory, not a file`, {
        place: { file: path },
        hint: `Name its files, for example ${join(path, '*.csv')}.`,
      });
    }
    bytes = stat.size;
    closeSync(openSync(path, 'r'));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') throw notFound(path, error);
    throw systemError(error, path);
  }
  const parts = basename(path).toLowerCase().split('.');
  const tail = parts.at(-1)!;
  const compression: Compression =
    tail === 'gz' || tail === 'gzip' ? 'gzip' : tail === 'zst' || tail === 'zstd' ? 'zstd' : 'none';
  const extension = (compression === 'none' ? tail : parts.at(-2)) ?? '';
  const told = format ?? FORMATS[extension];
  if (told === undefined) {
    throw new MillraceError('FORMAT_UNKNOWN', `The name of ${path} does not tell its format`, {
      place: { file: path },
      hint: 'Declare `format: csv`, `json`, `ndjson` or `parquet` under `read`.',
    });
  }
  if (bytes === 0) throw emptyFile(path);
  return { path, format: told, compression, bytes, impliedDelimiter: extension === 'tsv' ? '\t' : ',' };
}

export const emptyFile = (path: string): MillraceError =>
  new MillraceError('FILE_EMPTY', `${path} is empty: not even a header`, {
    place: { file: path },
    hint: 'Write the file again; a file with a header and no rows is accepted.',
  });

function notFound(path: string, cause: unknown): MillraceError {
  let near: string | undefined;
  try {
    near = nearest(basename(path), readdirSync(resolve(path, '..')));
  } catch {
    // the folder is not there either
  }
  return new MillraceError('FILE_NOT_FOUND', `There is no file ${path}`, {
    place: { file: path },
    cause,
    ...(near === undefined ? {} : { hint: `Did you mean ${near}?` }),
  });
}

/** What one synchronous reader after the other reads into. */
const SCRATCH = Buffer.allocUnsafe(1 << 20);

/** SHA-256 of the bytes of a file, in hex. */
export function hashFile(path: string, signal?: AbortSignal): string {
  const hash = createHash('sha256');
  let descriptor: number;
  try {
    descriptor = openSync(path, 'r');
  } catch (error) {
    throw systemError(error, path);
  }
  try {
    for (;;) {
      const count = readSync(descriptor, SCRATCH, 0, SCRATCH.length, null);
      if (count === 0) return hash.digest('hex');
      hash.update(SCRATCH.subarray(0, count));
      if (signal?.aborted) throw new MillraceError('INTERRUPTED', 'The work was interrupted');
    }
  } catch (error) {
    throw systemError(error, path);
  } finally {
    closeSync(descriptor);
  }
}
