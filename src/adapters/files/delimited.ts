import { MillraceError } from '../../core/base/error.js';
import { emptyFile } from './inputs.js';
import { isText, type StagedFile, type StageWriter, type UnreadableRow } from './staging.js';

/**
 * RFC 4180 with two kindnesses: a line may end in LF or CRLF, and a quote inside an unquoted field is an ordinary
 * character. A row whose quoting is broken, or that spans lines and has the wrong number of fields, costs only
 * its first line: reading goes on with the next one, so one stray quote cannot swallow the rest of the file.
 */
export interface DelimitedOptions {
  readonly path: string;
  readonly delimiter: string;
  /** Called with the header before any row; gives where the rows go, or throws when the file cannot be meant. */
  readonly onHeader: (names: readonly string[]) => StageWriter;
}

export interface StagedDelimited extends StagedFile {
  readonly header: readonly string[];
}

const LF = 10;
const CR = 13;
const QUOTE = 34;
/** A quoted field longer than this is taken for a stray quote. */
const MAX_RECORD_BYTES = 1 << 24;

type Shape = 'plain' | 'rewrite' | 'malformed' | 'incomplete';

/** Where a record ends and what it is made of. Reused for every record. */
interface Scan {
  shape: Shape;
  fields: number;
  /** End of the content, without the line break. */
  end: number;
  /** Start of the next record. */
  next: number;
  /** Line breaks inside quoted fields. */
  breaks: number;
}

function scanRecord(
  bytes: Buffer,
  start: number,
  limit: number,
  final: boolean,
  delimiter: number,
  out: Scan,
): void {
  let shape: Shape = 'plain';
  let fields = 1;
  let breaks = 0;
  let fieldStart = start;
  let i = start;
  for (; i < limit; i++) {
    const c = bytes[i]!;
    if (c === delimiter) {
      fields++;
      fieldStart = i + 1;
    } else if (c === LF) {
      finish(out, shape, fields, i, i + 1, breaks);
      return;
    } else if (c === CR) {
      if (i + 1 >= limit && !final) break;
      const pair = i + 1 < limit && bytes[i + 1] === LF;
      if (pair || i + 1 >= limit) {
        finish(out, shape, fields, i, pair ? i + 2 : i + 1, breaks);
        return;
      }
      shape = 'rewrite';
    } else if (c === QUOTE) {
      if (i !== fieldStart) {
        shape = 'rewrite';
        continue;
      }
      let close = i;
      for (;;) {
        const from = close + 1;
        close = bytes.indexOf(QUOTE, from);
        if (close < 0 || close >= limit) close = -1;
        const until = close < 0 ? limit : close;
        for (let at = bytes.indexOf(LF, from); at >= 0 && at < until; at = bytes.indexOf(LF, at + 1))
          breaks++;
        if (close < 0 || (close + 1 >= limit && !final)) {
          out.shape = final || limit - start > MAX_RECORD_BYTES ? 'malformed' : 'incomplete';
          return;
        }
        if (close + 1 < limit && bytes[close + 1] === QUOTE) close++;
        else break;
      }
      i = close;
      const after = close + 1 < limit ? bytes[close + 1]! : LF;
      if (after === CR && close + 2 >= limit && !final) break;
      if (
        after !== delimiter &&
        after !== LF &&
        !(after === CR && (close + 2 >= limit || bytes[close + 2] === LF))
      ) {
        out.shape = 'malformed';
        return;
      }
    }
  }
  if (!final) {
    out.shape = 'incomplete';
    return;
  }
  finish(out, shape, fields, limit, limit, breaks);
}

function finish(out: Scan, shape: Shape, fields: number, end: number, next: number, breaks: number): void {
  out.shape = shape;
  out.fields = fields;
  out.end = end;
  out.next = next;
  out.breaks = breaks;
}

/** The fields of one well-formed record: text, or null for an empty field without quotes. */
export function splitRecord(text: string, delimiter: string): (string | null)[] {
  const out: (string | null)[] = [];
  let at = 0;
  for (;;) {
    if (text[at] === '"') {
      let field = '';
      let close = at + 1;
      for (;;) {
        const next = text.indexOf('"', close);
        if (next < 0) return [...out, field + text.slice(close)];
        field += text.slice(close, next);
        if (text[next + 1] !== '"') {
          at = next + 1;
          break;
        }
        field += '"';
        close = next + 2;
      }
      out.push(field);
    } else {
      const next = text.indexOf(delimiter, at);
      const field = next < 0 ? text.slice(at) : text.slice(at, next);
      out.push(field === '' ? null : field);
      at = next < 0 ? text.length : next;
    }
    if (at >= text.length) return out;
    at += delimiter.length;
    if (at === text.length) return [...out, null];
  }
}

const quoted = (field: string | null): string => (field === null ? '' : `"${field.replaceAll('"', '""')}"`);

/** Reads a delimited file, calls `onHeader`, and writes every row that can be split. */
export async function stageDelimited(
  chunks: AsyncIterable<Buffer>,
  options: DelimitedOptions,
): Promise<StagedDelimited> {
  const delimiter = options.delimiter.charCodeAt(0);
  const scan: Scan = { shape: 'plain', fields: 0, end: 0, next: 0, breaks: 0 };
  const unreadable: UnreadableRow[] = [];
  let header: readonly string[] | undefined;
  let writer: StageWriter | undefined;
  let line = 1;
  let rows = 0;
  let sawBytes = false;

  /** Rejects the first physical line of the record at `at`; the position after it. */
  const reject = (
    bytes: Buffer,
    at: number,
    limit: number,
    rule: UnreadableRow['rule'],
    message: string,
  ): number => {
    const lf = bytes.indexOf(LF, at);
    const end = lf < 0 || lf >= limit ? limit : lf;
    const text = bytes.toString('utf8', at, end > at && bytes[end - 1] === CR ? end - 1 : end);
    if (header === undefined) throw unreadableHeader(options.path, message, text);
    unreadable.push({ line, rule, message, text });
    line++;
    return Math.min(end + 1, limit);
  };

  /** Handles every record that is complete; the position of the first that is not. */
  const consume = (bytes: Buffer, final: boolean): number => {
    const limit = bytes.length;
    let valid: boolean | undefined;
    let at = 0;
    while (at < limit) {
      scanRecord(bytes, at, limit, final, delimiter, scan);
      if (scan.shape === 'incomplete') return at;
      if (scan.shape === 'malformed') {
        at = reject(
          bytes,
          at,
          limit,
          'parse.quotes',
          'a quoted field is not closed, or text follows its closing quote',
        );
        continue;
      }
      if (scan.end === at) {
        line++;
        at = scan.next;
        continue;
      }
      valid ??= isText(bytes, 0, bytes.lastIndexOf(LF) + 1 || limit);
      if (!valid && !isText(bytes, at, scan.end)) {
        at = reject(
          bytes,
          at,
          limit,
          'parse.encoding',
          'the bytes are not UTF-8; declare `encoding: latin-1` if the file is',
        );
        continue;
      }
      if (header === undefined) {
        header = splitRecord(bytes.toString('utf8', at, scan.end), options.delimiter).map((name) =>
          (name ?? '').trim(),
        );
        writer = options.onHeader(header);
      } else if (scan.fields !== header.length) {
        const message = `the row has ${count(scan.fields, 'field')}, the header has ${header.length}`;
        at = reject(bytes, at, limit, 'parse.columns', message);
        continue;
      } else {
        if (scan.shape === 'plain') {
          writer!.row(line, delimiter, bytes, at, scan.end);
        } else {
          const clean = splitRecord(bytes.toString('utf8', at, scan.end), options.delimiter)
            .map(quoted)
            .join(options.delimiter);
          const copy = Buffer.from(clean, 'utf8');
          writer!.row(line, delimiter, copy, 0, copy.length);
        }
        rows++;
      }
      line += 1 + scan.breaks;
      at = scan.next;
    }
    return limit;
  };

  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of chunks) {
    sawBytes = true;
    const bytes: Buffer = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    rest = bytes.subarray(consume(bytes, false));
  }
  if (rest.length > 0) consume(rest, true);
  writer?.flush();
  if (!sawBytes || header === undefined) throw emptyFile(options.path);
  return { header, rows, unreadable };
}

const count = (n: number, noun: string): string => `${n} ${noun}${n === 1 ? '' : 's'}`;

const unreadableHeader = (path: string, message: string, text: string): MillraceError =>
  new MillraceError('FILE_UNREADABLE', `The header of ${path} cannot be read: ${message}`, {
    place: { file: path, line: 1 },
    data: { text: text.slice(0, 200) },
  });
