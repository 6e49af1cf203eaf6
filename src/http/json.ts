/** Request bodies as JSON, with the place of the first fault when they are not. */
import { isUtf8 } from 'node:buffer';
import { MillraceError } from '../core/base/error.js';

export const JSON_TYPE = 'application/json; charset=utf-8';

const SPACE = /[ \t\n\r]*/y;
const ESCAPE = /["\\/bfnrt]|u[0-9a-fA-F]{4}/y;
const SCALAR = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|true|false|null/y;

/** Offset of the first character that cannot stand where it stands; the length when the text ends too early. */
export function jsonFault(text: string): number {
  let at = 0;
  const match = (pattern: RegExp): boolean => {
    pattern.lastIndex = at;
    if (!pattern.test(text)) return false;
    at = pattern.lastIndex;
    return true;
  };
  /** Past the end of the string that begins here; where it breaks, `at` stays at its beginning. */
  const matchString = (): boolean => {
    if (text[at] !== '"') return false;
    for (let i = at + 1; i < text.length; i++) {
      const code = text.charCodeAt(i);
      if (code === 0x22) {
        at = i + 1;
        return true;
      }
      if (code < 0x20) return false;
      if (code !== 0x5c) continue;
      ESCAPE.lastIndex = i + 1;
      if (!ESCAPE.test(text)) return false;
      i = ESCAPE.lastIndex - 1;
    }
    return false;
  };
  const open: ('{' | '[')[] = [];
  let expecting: 'value' | 'value or ]' | 'key or }' | 'key' | 'separator' = 'value';
  for (;;) {
    match(SPACE);
    const char = text[at];
    if (char === undefined) return at;
    if (expecting === 'key' || expecting === 'key or }') {
      if (char === '}' && expecting === 'key or }') {
        open.pop();
        at++;
        expecting = 'separator';
      } else {
        if (!matchString()) return at;
        match(SPACE);
        if (text[at] !== ':') return at;
        at++;
        expecting = 'value';
      }
    } else if (expecting === 'separator') {
      const inside = open.at(-1);
      if (inside === undefined) return at;
      if (char === ',') expecting = inside === '{' ? 'key' : 'value';
      else if (char === (inside === '{' ? '}' : ']')) open.pop();
      else return at;
      at++;
    } else if (char === '{' || char === '[') {
      open.push(char);
      at++;
      expecting = char === '{' ? 'key or }' : 'value or ]';
    } else if (char === ']' && expecting === 'value or ]') {
      open.pop();
      at++;
      expecting = 'separator';
    } else if (matchString() || match(SCALAR)) expecting = 'separator';
    else return at;
  }
}

function malformed(text: string, firstLine: number): MillraceError {
  const offset = jsonFault(text);
  const before = text.slice(0, offset);
  const line = before.split('\n').length;
  const column = offset - before.lastIndexOf('\n');
  return new MillraceError(
    'REQUEST_INVALID',
    offset >= text.trimEnd().length
      ? 'the body is not JSON: it ends too early'
      : `the body is not JSON: ${JSON.stringify(text[offset])} cannot stand here`,
    { place: { line: firstLine + line - 1, column }, hint: 'Lines and columns count from 1.' },
  );
}

/** REQUEST_INVALID with line and column. */
export function parseJson(text: string, firstLine = 1): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw malformed(text, firstLine);
  }
}

/** The text of a body without its byte order mark. REQUEST_INVALID when it is not UTF-8. */
export function textOf(body: Buffer): string {
  if (!isUtf8(body))
    throw new MillraceError('REQUEST_INVALID', 'the body is not UTF-8', { hint: 'JSON is always UTF-8.' });
  const start = body[0] === 0xef && body[1] === 0xbb && body[2] === 0xbf ? 3 : 0;
  return body.toString('utf8', start);
}

/** REQUEST_INVALID with what is wrong, and where. */
export const readJson = (body: Buffer): unknown => parseJson(textOf(body));

type JsonObject = Readonly<Record<string, unknown>>;

export const isObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const noRecord = (place: string, value: unknown): MillraceError =>
  new MillraceError(
    'REQUEST_INVALID',
    `a record must be a JSON object, this is ${value === null ? 'null' : Array.isArray(value) ? 'an array' : `a ${typeof value}`}`,
    { place: { path: place } },
  );

/** One object a line; empty lines are skipped. */
function parseLines(text: string): readonly JsonObject[] {
  const rows: JsonObject[] = [];
  let line = 0;
  for (let at = 0; at < text.length; ) {
    const end = text.indexOf('\n', at);
    const part = text.slice(at, end < 0 ? text.length : end);
    at += part.length + 1;
    line++;
    if (part.trim() === '') continue;
    const value = parseJson(part, line);
    if (!isObject(value)) throw noRecord(`line ${line}`, value);
    rows.push(value);
  }
  return rows;
}

export const LINE_TYPES = [
  'application/x-ndjson',
  'application/ndjson',
  'application/jsonl',
  'application/jsonlines',
];

/** REQUEST_INVALID with what is wrong, and where. */
export const readLines = (body: Buffer): readonly JsonObject[] => parseLines(textOf(body));

const DEEPEST = 64;

/** REQUEST_INVALID where a value has more levels than anything that a record holds: printing it may not end. */
function checkDepth(row: JsonObject, place: string): void {
  for (const name in row) {
    if (typeof row[name] !== 'object' || row[name] === null) continue;
    let level: unknown[] = [row[name]];
    for (let depth = 1; level.length > 0; depth++) {
      if (depth > DEEPEST)
        throw new MillraceError('REQUEST_INVALID', `a value is nested more than ${DEEPEST} levels deep`, {
          place: { path: `${place}.${name}` },
        });
      level = level.flatMap((value) =>
        Object.values(value as object).filter((item) => typeof item === 'object' && item !== null),
      );
    }
  }
}

/** The records of a JSON body: an array of objects, or one object. */
export function recordsOf(body: unknown): readonly JsonObject[] {
  if (isObject(body)) {
    checkDepth(body, '');
    return [body];
  }
  if (!Array.isArray(body)) throw noRecord('', body);
  for (let i = 0; i < body.length; i++) {
    if (!isObject(body[i])) throw noRecord(`[${i}]`, body[i]);
    checkDepth(body[i], `[${i}]`);
  }
  return body as JsonObject[];
}
