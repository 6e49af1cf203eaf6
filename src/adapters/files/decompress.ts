import { closeSync, createReadStream, fstatSync, openSync, readSync } from 'node:fs';
import zlib from 'node:zlib';
import { MillraceError } from '../../core/base/error.js';
import { systemError } from './errors.js';
import type { InputFile } from './inputs.js';

const CHUNK_BYTES = 1 << 20;

const torn = (path: string, why: string, cause?: unknown): MillraceError =>
  new MillraceError('FILE_TORN', `${path} is damaged or ends too early: ${why}`, {
    place: { file: path },
    cause,
  });

type ZstdZlib = { readonly createZstdDecompress?: (options?: object) => zlib.Gunzip };

/** True when Node itself decompresses Zstandard (22.15 and later). */
export const hasZstd = (zlib as ZstdZlib).createZstdDecompress !== undefined;

/**
 * The decompressed bytes of a file. Checksums and lengths are verified to the last byte: a damaged or shortened
 * file throws FILE_TORN when its end is reached, so nothing may be committed before that.
 */
export async function* readBytes(file: InputFile, signal?: AbortSignal): AsyncGenerator<Buffer> {
  // What is allocated for each of many small files is no more than they have.
  const highWaterMark = Math.min(CHUNK_BYTES, file.bytes + 1);
  const raw = createReadStream(file.path, { highWaterMark, ...(signal ? { signal } : {}) });
  const options = { chunkSize: CHUNK_BYTES };
  const inflate =
    file.compression === 'gzip'
      ? zlib.createGunzip(options)
      : file.compression === 'zstd'
        ? (zlib as ZstdZlib).createZstdDecompress!(options)
        : undefined;
  if (inflate) raw.on('error', (error) => inflate.destroy(error));
  try {
    for await (const chunk of inflate ? raw.pipe(inflate) : raw) yield chunk as Buffer;
  } catch (error) {
    throw readError(error, file, signal);
  } finally {
    raw.destroy();
    inflate?.destroy();
  }
}

function readError(error: unknown, file: InputFile, signal: AbortSignal | undefined): unknown {
  if (signal?.aborted) return new MillraceError('INTERRUPTED', 'The work was interrupted', { cause: error });
  const code = String((error as NodeJS.ErrnoException | null)?.code ?? '');
  const message = error instanceof Error ? error.message : String(error);
  if (
    /incorrect header check|unknown compression method|ZSTD_error_prefix_unknown/i.test(`${code} ${message}`)
  ) {
    return new MillraceError(
      'FILE_UNREADABLE',
      `${file.path} is not a ${file.compression} file although its name says so`,
      {
        place: { file: file.path },
        hint: 'Rename the file if it is not compressed, or fetch it again.',
        cause: error,
      },
    );
  }
  if (code.startsWith('Z_') || /^ZSTD|ERR_ZSTD/.test(code)) return torn(file.path, message, error);
  return systemError(error, file.path);
}

/**
 * Walks the frames and blocks of a Zstandard file (RFC 8878, section 3.1) without decompressing: throws FILE_TORN
 * unless the last frame ends with the last byte.
 */
export function checkZstdFrames(path: string): void {
  const descriptor = openSync(path, 'r');
  try {
    const size = fstatSync(descriptor).size;
    const header = Buffer.alloc(18);
    let at = 0;
    const need = (count: number): void => {
      if (at + count > size || readSync(descriptor, header, 0, count, at) < count)
        throw torn(path, 'a frame is cut off');
    };
    while (at < size) {
      need(4);
      const magic = header.readUInt32LE(0);
      if (magic >= 0x184d2a50 && magic <= 0x184d2a5f) {
        need(8);
        at += 8 + header.readUInt32LE(4);
        if (at > size) throw torn(path, 'a skippable frame is cut off');
        continue;
      }
      if (magic !== 0xfd2fb528) {
        if (at > 0) throw torn(path, 'bytes follow the last frame');
        throw new MillraceError('FILE_UNREADABLE', `${path} is not a zstd file although its name says so`, {
          place: { file: path },
        });
      }
      need(5);
      const descriptorByte = header[4]!;
      const single = (descriptorByte >> 5) & 1;
      const contentSize = [single, 2, 4, 8][descriptorByte >> 6]!;
      const dictionary = [0, 1, 2, 4][descriptorByte & 3]!;
      at += 5 + (1 - single) + dictionary + contentSize;
      for (let last = false; !last; ) {
        need(3);
        const block = header.readUIntLE(0, 3);
        last = (block & 1) === 1;
        const kind = (block >> 1) & 3;
        at += 3 + (kind === 1 ? 1 : block >> 3);
        if (at > size) throw torn(path, 'a block is cut off');
      }
      if ((descriptorByte >> 2) & 1) {
        need(4);
        at += 4;
      }
    }
  } catch (error) {
    throw systemError(error, path);
  } finally {
    closeSync(descriptor);
  }
}
