/**
 * What YAML and TypeScript both become before their meaning is read: a tree that remembers where each part stands.
 */
import {
  type Alias,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  parseAllDocuments,
  type Scalar,
  type Node as YamlNode,
} from 'yaml';
import type { Diagnostic, Place } from '../base/error.js';

export type ScalarValue = string | number | bigint | boolean | null;

export type Node =
  | {
      readonly kind: 'scalar';
      readonly value: ScalarValue;
      /** The text as written, for numbers that must stay text (`007`) or exact (`0.10`). */
      readonly text: string;
      readonly place: Place;
      /** The place of a character of `value`. */
      readonly at: (offset: number) => Place;
    }
  | { readonly kind: 'list'; readonly items: readonly Node[]; readonly place: Place }
  | { readonly kind: 'map'; readonly entries: ReadonlyMap<string, Entry>; readonly place: Place }
  | { readonly kind: 'function'; readonly value: (...inputs: never[]) => unknown; readonly place: Place };

export interface Entry {
  readonly keyPlace: Place;
  readonly node: Node;
}

export interface ParsedFile {
  readonly documents: readonly Node[];
  readonly diagnostics: readonly Diagnostic[];
}

const SYNTAX_HINTS: Readonly<Record<string, string>> = {
  TAB_AS_INDENT: 'Indent with spaces; YAML does not allow tabs there.',
  DUPLICATE_KEY: 'Keep one of the two.',
  BAD_INDENT: 'Keys of one object must start in the same column.',
  BLOCK_AS_IMPLICIT_KEY: 'Put quotes around a text that holds `: `.',
  MULTILINE_IMPLICIT_KEY: 'Put quotes around a text that holds `: `.',
};

/** Every document of a YAML file. Faults of syntax are diagnostics; what can still be read is read. */
export function readYaml(text: string, file: string): ParsedFile {
  const lines = new LineCounter();
  const diagnostics: Diagnostic[] = [];
  const placeAt = (offset: number): Place => {
    const { line, col } = lines.linePos(offset);
    return { file, line, column: col };
  };
  const documents: Node[] = [];
  for (const document of parseAllDocuments(text, {
    lineCounter: lines,
    prettyErrors: false,
    version: '1.2',
  })) {
    for (const fault of [...document.errors, ...document.warnings]) {
      const hint = SYNTAX_HINTS[fault.code];
      diagnostics.push({
        code: 'DEF_SYNTAX',
        severity: fault.name === 'YAMLWarning' ? 'warning' : 'error',
        message: fault.message,
        place: placeAt(fault.pos[0]),
        ...(hint === undefined ? {} : { hint }),
      });
    }
    if (document.contents !== null) {
      const resolve = (alias: Alias): YamlNode | undefined => alias.resolve(document);
      documents.push(
        convert(document.contents as YamlNode, {
          text,
          placeAt,
          resolve,
          done: new Map(),
          open: new Set(),
          diagnostics,
        }),
      );
    }
  }
  return { documents, diagnostics };
}

interface Context {
  readonly text: string;
  readonly placeAt: (offset: number) => Place;
  readonly resolve: (alias: Alias) => YamlNode | undefined;
  readonly done: Map<YamlNode, Node>;
  readonly open: Set<YamlNode>;
  readonly diagnostics: Diagnostic[];
}

function convert(node: YamlNode | null, context: Context): Node {
  if (node === null) return empty({});
  const known = context.done.get(node);
  if (known) return known;
  const place = context.placeAt(node.range?.[0] ?? 0);
  if (context.open.has(node)) {
    context.diagnostics.push({
      code: 'DEF_SYNTAX',
      severity: 'error',
      message: 'an anchor contains itself',
      place,
    });
    return empty(place);
  }
  context.open.add(node);
  const converted = build(node, place, context);
  context.open.delete(node);
  context.done.set(node, converted);
  return converted;
}

function build(node: YamlNode, place: Place, context: Context): Node {
  if (isAlias(node)) {
    const target = context.resolve(node);
    if (target !== undefined) return convert(target, context);
    context.diagnostics.push({
      code: 'DEF_SYNTAX',
      severity: 'error',
      message: `there is no anchor \`&${node.source}\` before this in the document`,
      place,
      hint: 'An anchor is known in its own file only, after the place where it stands.',
    });
    return empty(place);
  }
  if (isSeq(node))
    return {
      kind: 'list',
      items: node.items.map((item) => convert(item as YamlNode | null, context)),
      place,
    };
  if (isMap(node)) {
    const own = new Map<string, Entry>();
    const merged: Node[] = [];
    for (const pair of node.items) {
      const key = pair.key as YamlNode | null;
      const keyPlace = key?.range ? context.placeAt(key.range[0]) : place;
      const name = isScalar(key) ? keyText(key) : String(key);
      const value = pair.value === null ? empty(keyPlace) : convert(pair.value as YamlNode, context);
      if (name === '<<' && value.kind !== 'scalar')
        merged.push(...(value.kind === 'list' ? value.items : [value]));
      else own.set(name, { keyPlace, node: value });
    }
    const entries = new Map<string, Entry>();
    for (const base of merged) {
      if (base.kind === 'map')
        for (const [name, entry] of base.entries) if (!entries.has(name)) entries.set(name, entry);
    }
    for (const [name, entry] of own) entries.set(name, entry);
    return { kind: 'map', entries, place };
  }
  if (isScalar(node)) {
    const text = node.source ?? String(node.value);
    const value = exact(node.value, text);
    return { kind: 'scalar', value, text, place, at: offsets(node, context) };
  }
  return empty(place);
}

const empty = (place: Place): Node => ({ kind: 'scalar', value: null, text: '', place, at: () => place });

const keyText = (key: Scalar): string =>
  typeof key.value === 'string' ? key.value : (key.source ?? String(key.value));

/** Integers that a double cannot hold stay exact. */
function exact(value: unknown, text: string): ScalarValue {
  if (typeof value === 'number' && !Number.isSafeInteger(value) && /^[-+]?\d+$/.test(text))
    return BigInt(text);
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean' || value === null)
    return value;
  return text;
}

/** Maps a character of the value to its place, through quotes, escapes and block indentation. */
function offsets(node: Scalar, context: Context): (offset: number) => Place {
  const start = node.range?.[0] ?? 0;
  const end = node.range?.[1] ?? start;
  const { text, placeAt } = context;
  const quote = node.type === 'QUOTE_DOUBLE' ? '"' : node.type === 'QUOTE_SINGLE' ? "'" : '';
  if (node.type === 'BLOCK_LITERAL') return (offset) => placeAt(blockOffset(text, start, end, offset));
  if (node.type === 'BLOCK_FOLDED' || text.slice(start, end).includes('\n')) return () => placeAt(start);
  return (offset) => {
    let position = start + quote.length;
    for (let index = 0; index < offset && position < end; index++) {
      if (quote === "'" && text.startsWith("''", position)) position += 2;
      else if (quote === '"' && text[position] === '\\') {
        position += 2 + ({ x: 2, u: 4, U: 8 }[text[position + 1] ?? ''] ?? 0);
      } else position += 1;
    }
    return placeAt(position);
  };
}

function blockOffset(text: string, start: number, end: number, offset: number): number {
  let line = text.indexOf('\n', start) + 1;
  const first = /^[ ]*(?=[^ \n])/m.exec(text.slice(line, end));
  const indent = first?.[0].length ?? 0;
  let rest = offset;
  while (line < end) {
    const stop = text.indexOf('\n', line);
    const close = stop < 0 ? end : text[stop - 1] === '\r' ? stop - 1 : stop;
    const length = Math.max(0, close - line - indent);
    if (rest <= length || stop < 0) return line + Math.min(indent, close - line) + rest;
    rest -= length + 1;
    line = stop + 1;
  }
  return start;
}

const CAMEL = /[A-Z]/g;

/** `joinKeys` → `join_keys`. */
export const snakeCase = (name: string): string =>
  name.replace(CAMEL, (letter) => `_${letter.toLowerCase()}`);

/** A value that TypeScript wrote. Keys keep their spelling; the shape that reads them knows which are its own. */
export function readValue(value: unknown, place: Place, open: readonly object[] = []): Node | undefined {
  if (value === undefined) return undefined;
  if (
    value === null ||
    typeof value === 'string' ||
    typeof value === 'number' ||
    typeof value === 'bigint' ||
    typeof value === 'boolean'
  ) {
    return { kind: 'scalar', value, text: String(value ?? ''), place, at: () => place };
  }
  if (typeof value === 'function')
    return { kind: 'function', value: value as (...inputs: never[]) => unknown, place };
  if (typeof value !== 'object' || open.includes(value)) return empty(place);
  const inner = [...open, value];
  const under = (step: string): Place => ({ ...place, path: place.path ? `${place.path}.${step}` : step });
  if (value instanceof Date)
    return readValue(Number.isNaN(value.getTime()) ? String(value) : value.toISOString(), place);
  if (value instanceof RegExp) return readValue(value.source, place);
  if (Array.isArray(value)) {
    return {
      kind: 'list',
      items: value.map((item, index) => readValue(item, under(String(index)), inner) ?? empty(place)),
      place,
    };
  }
  const entries = new Map<string, Entry>();
  for (const [key, item] of value instanceof Map ? value : Object.entries(value)) {
    const node = readValue(item, under(String(key)), inner);
    if (node) entries.set(String(key), { keyPlace: under(String(key)), node });
  }
  return { kind: 'map', entries, place };
}

/** `the text "30 days"`, `the number 7`, `a list`, for messages. */
export function describeNode(node: Node): string {
  switch (node.kind) {
    case 'list':
      return node.items.length === 0 ? 'an empty list' : 'a list';
    case 'map':
      return 'an object';
    case 'function':
      return 'a function';
    case 'scalar':
      if (node.value === null) return 'nothing (null)';
      return typeof node.value === 'string'
        ? `\`${clip(node.value)}\``
        : `the ${typeof node.value === 'boolean' ? 'boolean' : 'number'} \`${node.text}\``;
  }
}

export const clip = (text: string): string => (text.length > 60 ? `${text.slice(0, 57)}...` : text);
