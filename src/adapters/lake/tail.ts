import { closeSync, ftruncateSync, openSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import { MillraceError } from '../../core/base/error.js';
import type { Instant } from '../../core/base/time.js';
import type { Source } from '../../core/define/types.js';
import { printDecimal } from '../../core/schema/coerce-print.js';
import type { Value, ValueType } from '../../core/schema/types.js';
import type { LogRecord } from '../../ports/record-log.js';
import { syncFolder } from '../files/durable.js';
import { systemError } from '../files/errors.js';

/**
 * The write-ahead tail: one JSON object a line, every value as text, ended by `_end` on the last line of each
 * push. What follows the last `_end` was never acknowledged and is cut off when the file is opened for writing.
 */
const NAME = /^tail-(\d+)\.ndjson$/;
const tailName = (firstSeq: number): string => `tail-${String(firstSeq).padStart(15, '0')}.ndjson`;

function printField(type: ValueType, value: Value): string {
  switch (type.kind) {
    case 'string':
      return JSON.stringify(value);
    case 'decimal':
      return `"${printDecimal(value as number | bigint, type.scale)}"`;
    case 'float64_vector':
      return `"[${(value as readonly number[]).join(',')}]"`;
    default:
      return `"${String(value)}"`;
  }
}

const jsonNames = new Map<string, string>();

function jsonName(name: string): string {
  const known = jsonNames.get(name);
  if (known !== undefined) return known;
  const text = JSON.stringify(name);
  jsonNames.set(name, text);
  return text;
}

export interface TailRow extends LogRecord {
  readonly flags: readonly string[];
  /** A later version of a known key, or a tombstone. */
  readonly version: boolean;
}

/** One line without its newline. */
export function printTailRow(source: Source, row: TailRow, end: boolean): string {
  let line = `{"_seq":"${row.seq}","_order":"${row.order}","_event_time":"${row.eventTime}","_available_at":"${row.availableAt}","_deleted":"${row.deleted}"`;
  if (row.flags.length > 0) line += `,"_flags":${JSON.stringify(row.flags)}`;
  if (row.version) line += ',"_version":1';
  for (const field of source.fields) {
    const value = row.fields[field.name] ?? null;
    if (value !== null) line += `,${jsonName(field.name)}:${printField(field.type, value)}`;
  }
  return end ? `${line},"_end":1}` : `${line}}`;
}

/** What a tail holds. */
export interface TailSummary {
  readonly file: string;
  readonly rows: number;
  readonly firstSeq: number;
  readonly lastSeq: number;
  readonly maxAvailableAt: Instant | null;
  readonly minEventTime: Instant | null;
  readonly maxEventTime: Instant | null;
  readonly hasVersions: boolean;
  /** Bytes up to the end of the last acknowledged push. */
  readonly bytes: number;
}

const nothing = (file: string, committed: number): TailSummary => ({
  file,
  rows: 0,
  firstSeq: committed + 1,
  lastSeq: committed,
  maxAvailableAt: null,
  minEventTime: null,
  maxEventTime: null,
  hasVersions: false,
  bytes: 0,
});

const END = Buffer.from(',"_end":1}\n');

/** Reads a tail up to its last complete push; rows that are already committed in a segment do not count. */
function summarize(file: string, committed: number): TailSummary {
  const bytes = readFileSync(file);
  const last = bytes.lastIndexOf(END);
  const length = last < 0 ? 0 : last + END.length;
  const entries: TailEntry[] = [];
  for (let at = 0; at < length; ) {
    const end = bytes.indexOf(10, at);
    let line: Record<string, string>;
    try {
      line = JSON.parse(bytes.toString('utf8', at, end)) as Record<string, string>;
    } catch (cause) {
      throw new MillraceError('STORE_CORRUPT', `${file} is damaged at byte ${at}`, {
        place: { file },
        cause,
      });
    }
    const seq = Number(line['_seq']);
    if (seq > committed) {
      const before = entries.at(-1)?.seq ?? committed;
      if (seq !== before + 1) {
        throw new MillraceError('STORE_CORRUPT', `${file} jumps from record ${before} to ${seq}`, {
          place: { file },
        });
      }
      entries.push({
        seq,
        eventTime: Number(line['_event_time']),
        availableAt: Number(line['_available_at']),
        version: line['_version'] !== undefined,
      });
    }
    at = end + 1;
  }
  return { ...extend(nothing(file, committed), entries), bytes: length };
}

interface TailEntry {
  readonly seq: number;
  readonly eventTime: number;
  readonly availableAt: number;
  readonly version: boolean;
}

function extend(summary: TailSummary, rows: readonly TailEntry[]): TailSummary {
  if (rows.length === 0) return summary;
  let { maxAvailableAt, minEventTime, maxEventTime, hasVersions } = summary;
  for (const { eventTime, availableAt, version } of rows) {
    if (maxAvailableAt === null || availableAt > maxAvailableAt) maxAvailableAt = availableAt;
    if (minEventTime === null || eventTime < minEventTime) minEventTime = eventTime;
    if (maxEventTime === null || eventTime > maxEventTime) maxEventTime = eventTime;
    hasVersions ||= version;
  }
  const lastSeq = rows.at(-1)!.seq;
  return {
    ...summary,
    rows: summary.rows + rows.length,
    lastSeq,
    maxAvailableAt,
    minEventTime,
    maxEventTime,
    hasVersions,
  };
}

/** Tail files of a source's folder, oldest first. */
export function tailFiles(folder: string): readonly string[] {
  try {
    return readdirSync(folder)
      .filter((name) => NAME.test(name))
      .sort()
      .map((name) => join(folder, name));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw systemError(error, folder);
  }
}

const seen = new Map<string, { size: number; committed: number; summary: TailSummary }>();

/** What a tail on disk holds beyond `committed`, for a process that does not write it. Undefined: nothing. */
export function readTail(folder: string, committed: number): TailSummary | undefined {
  for (const file of tailFiles(folder)) {
    try {
      const { size } = statSync(file);
      const before = seen.get(file);
      const summary =
        before?.size === size && before.committed === committed ? before.summary : summarize(file, committed);
      seen.set(file, { size, committed, summary });
      if (summary.rows > 0) return summary;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw systemError(error, file);
    }
  }
  return undefined;
}

/** The tail of one source, open for writing. Appends of concurrent pushes share one write and one fdatasync. */
export class Tail {
  #summary: TailSummary;
  /** With the pushes that are written but not yet durable. */
  #planned: TailSummary;
  #handle: FileHandle;
  #pending: {
    readonly text: string;
    readonly planned: TailSummary;
    readonly resolve: () => void;
    readonly reject: (error: unknown) => void;
  }[] = [];
  #flushing: Promise<void> | undefined;

  /** Called at once when planned rows turn out not to be durable: whoever counted on them must forget them. */
  onFailure: () => void = () => undefined;

  private constructor(summary: TailSummary, handle: FileHandle) {
    this.#summary = summary;
    this.#planned = summary;
    this.#handle = handle;
  }

  /**
   * Opens or makes the tail after `committed`; what is already in a segment or was never acknowledged is removed.
   * `keep` is a sealed file that readers of an older state may still need.
   */
  static async open(folder: string, committed: number, keep?: string): Promise<Tail> {
    let summary: TailSummary | undefined;
    for (const file of tailFiles(folder)) {
      if (file === keep) continue;
      const found = summarize(file, committed);
      if (found.rows > 0) summary = found;
      else rmSync(file, { force: true });
    }
    summary ??= nothing(join(folder, tailName(committed + 1)), committed);
    try {
      const descriptor = openSync(summary.file, 'a');
      try {
        ftruncateSync(descriptor, summary.bytes);
      } finally {
        closeSync(descriptor);
      }
      const handle = await open(summary.file, 'r+');
      await handle.sync();
      syncFolder(folder);
      return new Tail(summary, handle);
    } catch (error) {
      throw systemError(error, summary.file);
    }
  }

  /** What is durable. */
  get summary(): TailSummary {
    return this.#summary;
  }

  /** Seq of the next row, pushes under way included. */
  get nextSeq(): number {
    return this.#planned.lastSeq + 1;
  }

  get file(): string {
    return this.#summary.file;
  }

  /** Rows with seq from `nextSeq` on. Resolves when they, and all that was planned before, are durable. */
  append(source: Source, rows: readonly TailRow[]): Promise<void> {
    if (rows.length === 0 && !this.#flushing) return Promise.resolve();
    let text = '';
    for (let i = 0; i < rows.length; i++)
      text += `${printTailRow(source, rows[i]!, i === rows.length - 1)}\n`;
    const planned = extend(this.#planned, rows);
    this.#planned = planned;
    return new Promise((resolve, reject) => {
      this.#pending.push({ text, planned, resolve, reject });
      this.#flushing ??= this.#flush();
    });
  }

  /** Waits until nothing is under way. */
  async drain(): Promise<void> {
    while (this.#flushing) await this.#flushing;
  }

  async #flush(): Promise<void> {
    // Pushes that arrive in this turn of the loop go into the same write.
    await new Promise<void>((resolve) => setImmediate(resolve));
    while (this.#pending.length > 0) {
      const group = this.#pending;
      this.#pending = [];
      try {
        const bytes = Buffer.from(group.map((push) => push.text).join(''), 'utf8');
        await writeAll(this.#handle, bytes, this.#summary.bytes);
        await this.#handle.datasync();
        this.#summary = { ...group.at(-1)!.planned, bytes: this.#summary.bytes + bytes.length };
        for (const push of group) push.resolve();
      } catch (error) {
        await this.#handle.truncate(this.#summary.bytes).catch(() => undefined);
        const failed = [...group, ...this.#pending];
        this.#pending = [];
        this.#planned = this.#summary;
        this.onFailure();
        for (const push of failed) push.reject(systemError(error, this.file));
      }
    }
    this.#flushing = undefined;
  }

  async close(): Promise<void> {
    await this.drain();
    await this.#handle.close();
    if (this.#summary.rows === 0) rmSync(this.file, { force: true });
  }
}

async function writeAll(handle: FileHandle, bytes: Buffer, position: number): Promise<void> {
  for (let at = 0; at < bytes.length; ) {
    const { bytesWritten } = await handle.write(bytes, at, bytes.length - at, position + at);
    at += bytesWritten;
  }
}
