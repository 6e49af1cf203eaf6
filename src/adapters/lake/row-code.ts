/**
 * What is done to every pushed row, written out as code for one source's fields: no loop over fields, no lookup of a
 * name. It reads rows whose values are all in order; whatever else comes is left to the careful way of ingest-rows.ts,
 * which gives the same values and says what is wrong.
 */

import { MICROS_PER_DAY, parsePlainInstant } from '../../core/base/time.js';
import type { Source } from '../../core/define/types.js';
import { coerceJson } from '../../core/schema/coerce.js';
import { printDecimal } from '../../core/schema/coerce-print.js';
import { inTimeFormat } from '../../core/schema/time-format.js';
import type { Value, ValueType } from '../../core/schema/types.js';
import type { LineBuffer } from './line-buffer.js';
import { type InputField, inputFields } from './shape.js';
import { coerceOptions } from './stage.js';
import type { TupleWords } from './tuple-words.js';

type RawRow = Readonly<Record<string, unknown>>;
type Fields = Record<string, Value>;
type ReadFields = Readonly<Fields>;

interface Clocks {
  readonly eventTime: number;
  readonly availableAt: number;
  readonly order: number;
  readonly deleted: boolean;
}

export interface RowCode {
  /** Every input field typed, when each value can be read and none is null that the log cannot do without. */
  read(row: RawRow): Fields | undefined;
  /** True when the row has no names but those of input fields and columns. */
  declaredOnly(row: RawRow): boolean;
  /** The declared fields alone; the same object when these are all. */
  stored(fields: ReadFields): ReadFields;
  eventTime(fields: ReadFields): number;
  /** Undefined where availability is the instant of the append. */
  readonly availableAt: ((fields: ReadFields, eventTime: number) => number) | undefined;
  key(fields: ReadFields, words: TupleWords): void;
  /** What with the key tells a record from all others: the other fields, and clocks that are none of the fields. */
  content(fields: ReadFields, record: Clocks, words: TupleWords): void;
  /** `,"name":"value"` for each declared field that is not null. */
  print(fields: ReadFields, out: LineBuffer): void;
}

/** Names that every object seems to have. */
const INHERITED = new Set(Object.getOwnPropertyNames(Object.prototype));
const text = (name: string): string => JSON.stringify(name);
const own = (object: string, name: string): string =>
  INHERITED.has(name)
    ? `(Object.hasOwn(${object}, ${text(name)}) ? ${object}[${text(name)}] : undefined)`
    : `${object}[${text(name)}]`;
/** A name in an object literal; `__proto__` would not be one. */
const literal = (name: string): string => (name === '__proto__' ? `[${text(name)}]` : text(name));

/** The unscaled integer of a double that a decimal of the scale prints, NaN when another way has to look. */
export function plainDecimal(value: number, power: number): number {
  const unscaled = Math.round(value * power);
  // Below 2^50 units at most one decimal of the scale reads as this double.
  return Math.abs(unscaled) < 2 ** 50 && unscaled / power === value ? unscaled + 0 : Number.NaN;
}

/** An expression of the value `g` in its type, NaN or undefined when it is not in the plain form. */
function plainReading(type: ValueType): string {
  switch (type.kind) {
    case 'int64':
      return 'Number.isSafeInteger(g) ? g + 0 : undefined';
    case 'float64':
      return 'Number.isFinite(g) ? g + 0 : undefined';
    case 'decimal':
      return `typeof g === 'number' ? h.plainDecimal(g, ${10 ** type.scale}) : undefined`;
    case 'boolean':
      return "typeof g === 'boolean' ? g : undefined";
    case 'timestamp':
      return "typeof g === 'string' ? h.parsePlainInstant(g) : undefined";
    default:
      return 'undefined';
  }
}

function readCode(source: Source, fields: readonly InputField[], nulls: boolean): string {
  const needed = new Set([...source.recordKey, source.eventTime, source.sequence]);
  const lines = fields.map((field, i) => {
    const columns = [field.name, ...(field.from === undefined ? [] : [field.from]), ...(field.aliases ?? [])];
    const given = columns.map((name) => own('row', name)).join(' ?? ');
    const plain =
      field.type.kind === 'string' && !nulls
        ? "typeof g === 'string' && g.isWellFormed() ? g : undefined"
        : field.format === undefined
          ? plainReading(field.type)
          : 'undefined';
    const absent = needed.has(field.name) ? 'return undefined;' : `v${i} = null;`;
    const refusal = needed.has(field.name) ? `v${i} === undefined || v${i} === null` : `v${i} === undefined`;
    return `g = ${given};
  let v${i};
  if (g === undefined || g === null) ${absent}
  else {
    v${i} = ${plain};
    if (v${i} === undefined || v${i} !== v${i}) v${i} = h.slow(${i}, g);
    if (${refusal}) return undefined;
  }`;
  });
  const object = fields.map((field, i) => `${literal(field.name)}: v${i}`).join(', ');
  return `read(row) {\n  let g;\n  ${lines.join('\n  ')}\n  return { ${object} };\n}`;
}

/** Statements that write a value `v` that is not null. */
function printCode(type: ValueType): string {
  const number = 'if (Number.isSafeInteger(v)) out.integer(v); else out.ascii(String(v));';
  const inQuotes = (code: string): string => `out.raw(h.quote); ${code} out.raw(h.quote);`;
  switch (type.kind) {
    case 'string':
      return 'out.quoted(v);';
    case 'int64':
    case 'float64':
    case 'timestamp':
    case 'date':
      return inQuotes(number);
    case 'decimal':
      return inQuotes(type.scale === 0 ? number : `out.ascii(h.printDecimal(v, ${type.scale}));`);
    case 'float64_vector':
      return inQuotes("out.ascii('[' + v.join(',') + ']');");
    default:
      return inQuotes('out.ascii(String(v));');
  }
}

const micros = (field: InputField): string =>
  field.type.kind === 'date'
    ? `(f[${text(field.name)}] === null ? null : f[${text(field.name)}] * ${MICROS_PER_DAY})`
    : `f[${text(field.name)}]`;

function availableCode(source: Source, field: (name: string) => InputField): string {
  switch (source.availableAt.kind) {
    case 'event_time':
      return '(f, eventTime) => eventTime';
    case 'delay':
      return `(f, eventTime) => eventTime + ${source.availableAt.delay}`;
    case 'field':
      return `(f, eventTime) => ${micros(field(source.availableAt.field))} ?? eventTime`;
    case 'append':
      return 'undefined';
  }
}

export function compileRowCode(source: Source): RowCode {
  const fields = inputFields(source);
  const options = coerceOptions(source);
  const field = (name: string): InputField => fields.find((candidate) => candidate.name === name)!;
  const names = [
    ...new Set(fields.flatMap(({ name, from }) => (from === undefined ? [name] : [name, from]))),
  ];
  const stored =
    fields.length === source.fields.length
      ? 'f'
      : `{ ${source.fields.map(({ name }) => `${literal(name)}: f[${text(name)}]`).join(', ')} }`;
  const printed = source.fields.map(
    ({ name, type }, i) =>
      `v = f[${text(name)}]; if (v !== null) { out.raw(h.names[${i}]); ${printCode(type)} }`,
  );
  const held = new Set(source.fields.map(({ name }) => name));
  const { availableAt } = source;
  // Clocks, order and tombstone follow from the fields that they are read from, where these are part of the record.
  const content = source.fields
    .filter(({ name }) => !source.recordKey.includes(name))
    .map(({ name }) => `words.add(f[${text(name)}]);`);
  if (!held.has(source.eventTime)) content.push('words.number(r.eventTime);');
  if (availableAt.kind === 'field' && !held.has(availableAt.field))
    content.push('words.number(r.availableAt);');
  if (source.deleted !== undefined && !held.has(source.deleted)) content.push('words.add(r.deleted);');
  if (source.sequence !== undefined && !held.has(source.sequence)) content.push('words.number(r.order);');
  const body = `'use strict';
return {
${readCode(source, fields, options.nulls.length > 0)},
declaredOnly(row) {
  let names = 0;
  for (const _ in row) names++;
  return names === ${names.map((name) => `(${own('row', name)} === undefined ? 0 : 1)`).join(' + ')};
},
stored: (f) => (${stored}),
eventTime: (f) => ${micros(field(source.eventTime))},
availableAt: ${availableCode(source, field)},
key(f, words) { ${source.recordKey.map((name) => `words.add(f[${text(name)}]);`).join(' ')} },
content(f, r, words) { ${content.join(' ')} },
print(f, out) { let v; ${printed.join('\n')} },
};`;
  const helpers = {
    parsePlainInstant,
    plainDecimal,
    printDecimal,
    quote: Buffer.from('"'),
    names: source.fields.map(({ name }) => Buffer.from(`,${text(name)}:`)),
    /** Undefined: it cannot be read. */
    slow: (index: number, given: unknown): Value | undefined => {
      const field = fields[index]!;
      const coerced = coerceJson(field.type, inTimeFormat(field, given), options);
      return coerced.ok ? coerced.value : undefined;
    },
  };
  return new Function('h', body)(helpers) as RowCode;
}
