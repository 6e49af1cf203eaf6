/** Files that are read without the ingest door: looked at from first to last byte before anything is made of them. */
import { checkZstdFrames, readBytes } from './decompress.js';
import { type InputFile, inspectFile } from './inputs.js';

/**
 * Engines read the good part of a torn compressed file and say nothing, so it is decompressed once before.
 * @throws MillraceError FILE_NOT_FOUND, FILE_EMPTY, FORMAT_UNKNOWN, FILE_TORN, FILE_UNREADABLE.
 */
export async function inspectWhole(path: string): Promise<InputFile> {
  const file = inspectFile(path, undefined);
  if (file.compression === 'zstd') checkZstdFrames(path);
  if (file.compression === 'gzip') for await (const _ of readBytes(file));
  return file;
}
