import { MillraceError } from '../../core/base/error.js';
import { emptyFile } from './inputs.js';
import { isText, type StagedFile, type StageWriter, type UnreadableRow } from './staging.js';

/** Stands between line number and JSON text: JSON never holds this byte outside of an escape. */
export const JSON_SEPARATOR = 1;
const LF = 10;
const CR = 13;
const QUOTE = 34;
const BACKSLASH = 92;
const OPEN = [91, 123];
const CLOSE = [93, 125];
const isSpace = (c: number): boolean => c === 32 || c === LF || c === CR || c === 9;

function refusal(
  bytes: Buffer,
  from: number,
  to: number,
): Pick<UnreadableRow, 'rule' | 'message'> | undefined {
  if (!isText(bytes, from, to))
    return {
      rule: 'parse.encoding',
      message: 'the bytes are not UTF-8; declare `encoding: latin-1` if the file is',
    };
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString('utf8', from, to));
  } catch (error) {
    return { rule: 'parse.json', message: error instanceof Error ? error.message : 'this is not JSON' };
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return { rule: 'parse.json', message: 'a record must be a JSON object' };
  return undefined;
}

/** One JSON object a line. Blank lines are skipped. */
export async function stageJsonLines(
  chunks: AsyncIterable<Buffer>,
  writer: StageWriter,
  path: string,
): Promise<StagedFile> {
  const unreadable: UnreadableRow[] = [];
  let rows = 0;
  let line = 1;
  let sawBytes = false;
  const record = (bytes: Buffer, from: number, to: number): void => {
    let start = from;
    let end = to;
    while (start < end && isSpace(bytes[start]!)) start++;
    while (end > start && isSpace(bytes[end - 1]!)) end--;
    if (start < end) {
      const bad = refusal(bytes, start, end);
      if (bad) {
        unreadable.push({ line, ...bad, text: bytes.toString('utf8', start, end) });
      } else {
        writer.row(line, JSON_SEPARATOR, bytes, start, end);
        rows++;
      }
    }
    line++;
  };
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of chunks) {
    sawBytes = true;
    const bytes: Buffer = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    let at = 0;
    for (let end = bytes.indexOf(LF, rest.length); end >= 0; end = bytes.indexOf(LF, at)) {
      record(bytes, at, end);
      at = end + 1;
    }
    rest = bytes.subarray(at);
  }
  if (rest.length > 0) record(rest, 0, rest.length);
  writer.flush();
  if (!sawBytes) throw emptyFile(path);
  return { rows, unreadable };
}

/**
 * A JSON document: an array of objects, one object, or objects one after another. Elements are cut out by depth,
 * so a file of any size streams. The place of an element is its number, since many may stand in one line. A broken document throws FILE_UNREADABLE with its line: where the next record
 * would begin cannot be known.
 */
export async function stageJsonDocument(
  chunks: AsyncIterable<Buffer>,
  writer: StageWriter,
  path: string,
): Promise<StagedFile> {
  const unreadable: UnreadableRow[] = [];
  let number = 0;
  let line = 1;
  let depth = 0;
  let base = 0;
  let started = false;
  let finished = false;
  let inText = false;
  let escaped = false;
  let start = -1;
  let sawBytes = false;
  const broken = (what: string): MillraceError =>
    new MillraceError('FILE_UNREADABLE', `${path} is not JSON: ${what} at line ${line}`, {
      place: { file: path, line },
    });
  const record = (bytes: Buffer, from: number, to: number): void => {
    const bad = refusal(bytes, from, to);
    if (bad?.rule === 'parse.json' && bytes[from] === 123) throw broken(bad.message);
    number++;
    if (bad) {
      unreadable.push({ line: number, ...bad, text: bytes.toString('utf8', from, to) });
      return;
    }
    const flat = Buffer.from(bytes.subarray(from, to));
    for (let i = 0; i < flat.length; i++) if (flat[i] === LF || flat[i] === CR) flat[i] = 32;
    writer.row(number, JSON_SEPARATOR, flat, 0, flat.length);
  };
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of chunks) {
    sawBytes = true;
    const bytes: Buffer = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    for (let i = rest.length; i < bytes.length; i++) {
      const c = bytes[i]!;
      if (c === LF) line++;
      if (inText) {
        if (escaped) escaped = false;
        else if (c === BACKSLASH) escaped = true;
        else if (c === QUOTE) inText = false;
        continue;
      }
      if (!started) {
        if (isSpace(c)) continue;
        started = true;
        if (c === 91) {
          base = 1;
          depth = 1;
          continue;
        }
      }
      if (start < 0) {
        if (isSpace(c) || (base === 1 && c === 44)) continue;
        if (base === 1 && c === 93) {
          finished = true;
          depth = 0;
          continue;
        }
        if (finished) throw broken('text follows the end of the array');
        start = i;
      }
      if (c === QUOTE) inText = true;
      else if (OPEN.includes(c)) depth++;
      else if (CLOSE.includes(c)) {
        if (depth === base) {
          // A scalar element ends where the array ends.
          record(bytes, start, i);
          start = -1;
          finished = true;
          depth = 0;
          continue;
        }
        depth--;
        if (depth === base) {
          record(bytes, start, i + 1);
          start = -1;
        }
      } else if (c === 44 && depth === base && base === 1) {
        record(bytes, start, i);
        start = -1;
      }
    }
    rest = start < 0 ? Buffer.alloc(0) : bytes.subarray(start);
    if (start >= 0) start = 0;
  }
  writer.flush();
  if (!sawBytes || !started) throw emptyFile(path);
  if (start >= 0 || depth !== 0) {
    throw new MillraceError('FILE_TORN', `${path} ends in the middle of its JSON (line ${line})`, {
      place: { file: path, line },
    });
  }
  return { rows: number - unreadable.length, unreadable };
}
