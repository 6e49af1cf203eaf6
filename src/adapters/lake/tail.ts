import {
  closeSync,
  fdatasync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { MillraceError } from '../../core/base/error.js';
import type { Instant } from '../../core/base/time.js';
import { encodeValue, type Repair } from '../../core/quality/index.js';
import type { ValueType } from '../../core/schema/types.js';
import { syncFolder } from '../files/durable.js';
import { systemError } from '../files/errors.js';
import { LineBuffer } from './line-buffer.js';
import type { LakeSegment } from './relation.js';

/**
 * The write-ahead tail: one JSON object a line, every value as text, ended by `_end` on the last line of each
 * push. What follows the last `_end` was never acknowledged and is cut off when the file is opened for writing.
 * A tail that is full is closed and becomes a segment in the background, while the next one takes the pushes.
 *
 * `_available_at` is absent where it is the event time, `_order` where it is the seq, `_deleted` where it is false.
 */
const NAME = /^tail-(\d+)\.ndjson$/;
const tailName = (firstSeq: number): string => `tail-${String(firstSeq).padStart(15, '0')}.ndjson`;

export interface TailLine {
  readonly seq: number;
  readonly order: number;
  readonly eventTime: Instant;
  readonly availableAt: Instant;
  readonly deleted: boolean;
  readonly flags: readonly string[];
  readonly repairs: readonly Repair[];
  /** A later version of a known key, or a tombstone. */
  readonly version: boolean;
}

const piece = (text: string): Buffer => Buffer.from(text);
const SEQ = piece('{"_seq":"');
const EVENT_TIME = piece('","_event_time":"');
const AVAILABLE_AT = piece('","_available_at":"');
const ORDER = piece('","_order":"');
const DELETED = piece('","_deleted":"true');
const FLAGS = piece('","_flags":');
const QUOTE = piece('"');
const VERSION = piece(',"_version":1');
const REPAIRS = piece(',"_repairs":');

/** The system columns of one line; its fields, then LINE_END or PUSH_END follow. `types`: those of the fields. */
export function printTailLine(line: TailLine, types: ReadonlyMap<string, ValueType>, out: LineBuffer): void {
  const { seq, order, eventTime, availableAt, deleted, flags, repairs, version } = line;
  out.raw(SEQ);
  out.integer(seq);
  out.raw(EVENT_TIME);
  out.integer(eventTime);
  if (availableAt !== eventTime) {
    out.raw(AVAILABLE_AT);
    out.integer(availableAt);
  }
  if (order !== seq) {
    out.raw(ORDER);
    out.ascii(String(order));
  }
  if (deleted) out.raw(DELETED);
  if (flags.length > 0) {
    out.raw(FLAGS);
    out.raw(piece(JSON.stringify(flags)));
  } else out.raw(QUOTE);
  if (version) out.raw(VERSION);
  if (repairs.length > 0) {
    const written = repairs.map(({ field, rule, original, contract }) => ({
      field,
      rule,
      original: encodeValue(types.get(field)!, original),
      contract,
    }));
    out.raw(REPAIRS);
    out.raw(piece(JSON.stringify(written)));
  }
}

/** What stands between two lines of a push, and after the last one. */
export const LINE_END = piece('}\n');
export const PUSH_END = piece(',"_end":1}\n');

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

/** Reads a tail up to its last complete push; rows that are already committed in a segment do not count. */
function summarize(file: string, committed: number): TailSummary {
  const bytes = readFileSync(file);
  const last = bytes.lastIndexOf(PUSH_END);
  const length = last < 0 ? 0 : last + PUSH_END.length;
  const summary = new TailCounts(nothing(file, committed));
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
      if (seq !== summary.lastSeq + 1) {
        throw new MillraceError('STORE_CORRUPT', `${file} jumps from record ${summary.lastSeq} to ${seq}`, {
          place: { file },
        });
      }
      const eventTime = Number(line['_event_time']);
      const available = line['_available_at'];
      summary.add(
        seq,
        eventTime,
        available === undefined ? eventTime : Number(available),
        line['_version'] !== undefined,
      );
    }
    at = end + 1;
  }
  return summary.with(length);
}

/** A summary that grows record by record. */
export class TailCounts {
  #rows: number;
  #maxAvailableAt: number;
  #minEventTime: number;
  #maxEventTime: number;
  #hasVersions: boolean;
  lastSeq: number;

  constructor(readonly before: TailSummary) {
    this.#rows = before.rows;
    this.lastSeq = before.lastSeq;
    this.#maxAvailableAt = before.maxAvailableAt ?? -Infinity;
    this.#minEventTime = before.minEventTime ?? Infinity;
    this.#maxEventTime = before.maxEventTime ?? -Infinity;
    this.#hasVersions = before.hasVersions;
  }

  add(seq: number, eventTime: Instant, availableAt: Instant, version: boolean): void {
    this.#rows++;
    this.lastSeq = seq;
    if (availableAt > this.#maxAvailableAt) this.#maxAvailableAt = availableAt;
    if (eventTime < this.#minEventTime) this.#minEventTime = eventTime;
    if (eventTime > this.#maxEventTime) this.#maxEventTime = eventTime;
    if (version) this.#hasVersions = true;
  }

  with(bytes: number): TailSummary {
    if (this.#rows === 0) return { ...this.before, bytes };
    return {
      file: this.before.file,
      rows: this.#rows,
      firstSeq: this.before.firstSeq,
      lastSeq: this.lastSeq,
      maxAvailableAt: this.#maxAvailableAt,
      minEventTime: this.#minEventTime,
      maxEventTime: this.#maxEventTime,
      hasVersions: this.#hasVersions,
      bytes,
    };
  }
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

/**
 * What the tails on disk hold beyond `committed`, oldest first, for a process that does not write them. Undefined:
 * a tail was sealed and removed meanwhile, so `committed` is out of date.
 */
export function readTails(folder: string, committed: number): readonly TailSummary[] | undefined {
  const found: TailSummary[] = [];
  for (const file of tailFiles(folder)) {
    const last = found.at(-1)?.lastSeq ?? committed;
    // A tail begins where the one before it ends, unless that one is gone.
    if (Number(NAME.exec(file.slice(folder.length + 1))![1]) > last + 1) return undefined;
    try {
      const { size } = statSync(file);
      const before = seen.get(file);
      const summary =
        before?.size === size && before.committed === last ? before.summary : summarize(file, last);
      seen.set(file, { size, committed: last, summary });
      if (summary.rows > 0) found.push(summary);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw systemError(error, file);
    }
  }
  return found;
}

interface Pending {
  readonly planned: TailSummary;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** The tail of one source, open for writing. Appends of concurrent pushes share one write and one fdatasync. */
export class Tail {
  #summary: TailSummary;
  /** With the pushes that are written but not yet durable. */
  #planned: TailSummary;
  readonly #descriptor: number;
  #pending: Pending[] = [];
  /** Lines of the pending pushes. */
  #lines = new LineBuffer();
  #spare = new LineBuffer();
  #flushing: Promise<void> | undefined;
  /** The file may hold bytes behind the last acknowledged push. */
  #torn = false;

  /** Called at once when planned rows turn out not to be durable: whoever counted on them must forget them. */
  onFailure: () => void = () => undefined;

  private constructor(summary: TailSummary, descriptor: number) {
    this.#summary = summary;
    this.#planned = summary;
    this.#descriptor = descriptor;
  }

  /**
   * Opens the last tail after `committed`, or makes one, and gives what the full ones before it hold. What is already
   * in a segment or was never acknowledged is removed.
   */
  static open(
    folder: string,
    committed: number,
  ): { readonly tail: Tail; readonly full: readonly TailSummary[] } {
    const held: TailSummary[] = [];
    for (const file of tailFiles(folder)) {
      const found = summarize(file, held.at(-1)?.lastSeq ?? committed);
      if (found.rows > 0) held.push(found);
      else rmSync(file, { force: true });
    }
    const summary = held.pop();
    return { tail: summary ? Tail.#at(folder, summary) : Tail.after(folder, committed), full: held };
  }

  /** A new and empty tail for what follows `seq`. */
  static after(folder: string, seq: number): Tail {
    return Tail.#at(folder, nothing(join(folder, tailName(seq + 1)), seq));
  }

  static #at(folder: string, summary: TailSummary): Tail {
    try {
      closeSync(openSync(summary.file, 'a'));
      const descriptor = openSync(summary.file, 'r+');
      ftruncateSync(descriptor, summary.bytes);
      fsyncSync(descriptor);
      syncFolder(folder);
      return new Tail(summary, descriptor);
    } catch (error) {
      throw systemError(error, summary.file);
    }
  }

  /** What is durable. */
  get summary(): TailSummary {
    return this.#summary;
  }

  /** With the pushes under way. */
  get planned(): TailSummary {
    return this.#planned;
  }

  get file(): string {
    return this.#summary.file;
  }

  /** Takes the lines of the next push. What is written here counts with the next `append`. */
  get lines(): LineBuffer {
    return this.#lines;
  }

  /**
   * The lines written last are one push; `counts` is the summary with them, over `planned`. Resolves when they, and all
   * that was planned before, are durable.
   */
  append(counts: TailCounts): Promise<void> {
    if (counts.lastSeq === this.#planned.lastSeq && !this.#flushing) return Promise.resolve();
    const planned = counts.with(0);
    this.#planned = planned;
    return new Promise((resolve, reject) => {
      this.#pending.push({ planned, resolve, reject });
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
      const lines = this.#lines;
      this.#pending = [];
      this.#lines = this.#spare;
      this.#spare = lines;
      try {
        const { bytes } = lines;
        if (bytes.length > 0) {
          if (this.#torn) this.#cut();
          writeAll(this.#descriptor, bytes, this.#summary.bytes);
          await synced(this.#descriptor);
        }
        this.#summary = { ...group.at(-1)!.planned, bytes: this.#summary.bytes + bytes.length };
        for (const push of group) push.resolve();
      } catch (error) {
        this.#torn = true;
        try {
          this.#cut();
        } catch {
          // Tried again before the next write.
        }
        const failed = [...group, ...this.#pending];
        this.#pending = [];
        this.#lines.clear();
        this.#planned = this.#summary;
        this.onFailure();
        for (const push of failed) push.reject(systemError(error, this.file));
      }
      lines.clear();
    }
    this.#flushing = undefined;
  }

  #cut(): void {
    ftruncateSync(this.#descriptor, this.#summary.bytes);
    this.#torn = false;
  }

  async close(): Promise<void> {
    await this.drain();
    closeSync(this.#descriptor);
    if (this.#summary.rows === 0) rmSync(this.file, { force: true });
  }
}

/** The copy into the system's memory is quick; only the disk is waited for. */
function writeAll(descriptor: number, bytes: Buffer, position: number): void {
  for (let at = 0; at < bytes.length; )
    at += writeSync(descriptor, bytes, at, bytes.length - at, position + at);
}

const synced = (descriptor: number): Promise<void> =>
  new Promise((resolve, reject) => {
    fdatasync(descriptor, (error) => (error ? reject(error) : resolve()));
  });

export const tailSegment = ({ file, rows, firstSeq, lastSeq }: TailSummary): LakeSegment => ({
  file,
  format: 'ndjson',
  rows,
  firstSeq,
  lastSeq,
  columns: {},
});
