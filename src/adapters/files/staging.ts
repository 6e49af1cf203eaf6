import { isAscii, isUtf8 } from 'node:buffer';
import { closeSync, openSync, writeSync } from 'node:fs';
import { MillraceError } from '../../core/base/error.js';
import { systemError } from './errors.js';

/** A row that has no columns to put its text into. */
export interface UnreadableRow {
  /** Of a JSON document: the number of the element. */
  readonly line: number;
  readonly rule: 'parse.columns' | 'parse.quotes' | 'parse.encoding' | 'parse.json';
  readonly message: string;
  /** The line as it stands in the file; bytes that are no text are shown as U+FFFD. */
  readonly text: string;
}

/** Rows of one file, rewritten so that any reader splits them alike, each with its line number in front. */
export interface StagedFile {
  /** Rows written; unreadable rows are not among them. */
  readonly rows: number;
  readonly unreadable: readonly UnreadableRow[];
}

const BUFFER_BYTES = 1 << 20;
/** More than the numbers in front of a row take. */
const NUMBERS_BYTES = 48;

export interface StageWriterOptions {
  /** Stands in front of each line number, and the rows join those that are in the file. */
  readonly number?: number;
  /** About how much will be written. */
  readonly bytes?: number;
}

/** Buffered writes of bytes to one file. */
export class StageWriter {
  readonly #descriptor: number;
  readonly #buffer: Buffer;
  readonly #number: number | undefined;
  #used = 0;
  #longest = 0;

  constructor(
    readonly file: string,
    { number, bytes = BUFFER_BYTES }: StageWriterOptions = {},
  ) {
    this.#number = number;
    this.#buffer = Buffer.allocUnsafe(Math.max(1 << 12, Math.min(BUFFER_BYTES, 2 * bytes)));
    try {
      this.#descriptor = openSync(file, number === undefined ? 'w' : 'a');
    } catch (error) {
      throw systemError(error, file);
    }
  }

  /** The number of the file where it has one and the separator byte; `line`, the separator byte, the bytes, a newline. */
  row(line: number, separator: number, bytes: Buffer, from: number, to: number): void {
    const size = to - from;
    if (size > this.#longest) this.#longest = size;
    if (this.#used + size + NUMBERS_BYTES > this.#buffer.length) this.flush();
    if (this.#number !== undefined) {
      this.#used += this.#buffer.write(String(this.#number), this.#used, 'latin1');
      this.#buffer[this.#used++] = separator;
    }
    this.#used += this.#buffer.write(String(line), this.#used, 'latin1');
    this.#buffer[this.#used++] = separator;
    if (size + NUMBERS_BYTES > this.#buffer.length) {
      this.flush();
      this.#write(bytes.subarray(from, to));
    } else {
      this.#used += bytes.copy(this.#buffer, this.#used, from, to);
    }
    this.#buffer[this.#used++] = 10;
  }

  /** Bytes of the longest row written. */
  get longest(): number {
    return this.#longest;
  }

  flush(): void {
    this.#write(this.#buffer.subarray(0, this.#used));
    this.#used = 0;
  }

  #write(bytes: Buffer): void {
    try {
      for (let at = 0; at < bytes.length; ) at += writeSync(this.#descriptor, bytes, at);
    } catch (error) {
      throw systemError(error, this.file);
    }
  }

  close(): void {
    closeSync(this.#descriptor);
  }
}

/** By its mark, or by the zeros beside its first letter. */
const isUtf16 = ([a, b]: Buffer): boolean =>
  b !== undefined && ((a === 0xff && b === 0xfe) || (a === 0xfe && b === 0xff) || (a === 0) !== (b === 0));

/**
 * Bytes in the declared encoding → UTF-8 bytes without a byte-order mark. UTF-8 itself is not checked here.
 */
export async function* toUtf8(
  chunks: AsyncIterable<Buffer>,
  encoding: 'utf-8' | 'latin-1',
  path: string,
): AsyncGenerator<Buffer> {
  let first = true;
  for await (let chunk of chunks) {
    if (chunk.length === 0) continue;
    if (first) {
      first = false;
      if (isUtf16(chunk)) {
        throw new MillraceError('FILE_ENCODING', `${path} is UTF-16, not ${encoding}`, {
          place: { file: path },
          hint: 'Convert it, for example: iconv -f UTF-16 -t UTF-8.',
        });
      }
      if (chunk[0] === 0xef && chunk[1] === 0xbb && chunk[2] === 0xbf) chunk = chunk.subarray(3);
    }
    yield encoding === 'utf-8' || isAscii(chunk) ? chunk : Buffer.from(chunk.toString('latin1'), 'utf8');
  }
}

/** True when the bytes from `from` to `to` are UTF-8. */
export const isText = (bytes: Buffer, from: number, to: number): boolean => isUtf8(bytes.subarray(from, to));
