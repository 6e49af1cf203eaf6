import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parseDuration, parseInstant } from '../../src/core/base/time.js';
import type { FunctionName } from '../../src/core/define/types.js';
import { sweep } from '../../src/core/engine/sweep.js';
import type { SweepFeature, SweepLookup } from '../../src/core/engine/types.js';
import type { Expression } from '../../src/core/expression/index.js';
import { FLOAT64, STRING, type Value, type ValueType } from '../../src/core/schema/types.js';
import type { Predicate, RawObservation, RawVersion } from '../../src/testing/oracle.js';
import { answer, sweepInput } from './columns.js';

const folder = new URL('../cases/', import.meta.url);

/** RFC 4180: quoted fields may hold commas, quotes and line breaks. */
function readCsv(path: string): Record<string, string>[] {
  const text = readFileSync(new URL(path, folder), 'utf8').replace(/^\uFEFF/, '');
  const lines: string[][] = [];
  let line: string[] = [];
  let field = '';
  for (let i = 0; i < text.length; i++) {
    if (text[i] === '"') {
      for (i++; text[i] !== '"' || text[i + 1] === '"'; i++) {
        field += text[i];
        if (text[i] === '"') i++;
      }
    } else if (text[i] === ',') {
      line.push(field);
      field = '';
    } else if (text[i] === '\n') {
      lines.push([...line, field.replace(/\r$/, '')]);
      line = [];
      field = '';
    } else field += text[i];
  }
  if (field !== '' || line.length > 0) lines.push([...line, field]);
  const header = lines[0]!;
  return lines.slice(1).map((row) => Object.fromEntries(header.map((name, i) => [name, row[i]!])));
}

interface Case {
  readonly event_keys?: string[];
  readonly attr_keys?: string[];
  readonly features: CaseFeature[];
}
interface CaseFeature {
  readonly name: string;
  readonly agg: string;
  readonly column: string | null;
  readonly window?: string;
  readonly ttl?: string | null;
  readonly where?: unknown;
}

const NAMES: Readonly<Record<string, { function: FunctionName; ignoreNulls?: true; field?: false }>> = {
  count: { function: 'count' },
  count_nonnull: { function: 'count' },
  sum: { function: 'sum' },
  mean: { function: 'mean' },
  min: { function: 'min' },
  max: { function: 'max' },
  std: { function: 'std' },
  distinct: { function: 'count_distinct' },
  first: { function: 'first' },
  last: { function: 'last' },
  first_nonnull: { function: 'first', ignoreNulls: true },
  last_nonnull: { function: 'last', ignoreNulls: true },
  age_s: { function: 'seconds_since_last', field: false },
};
const EVENT_FIELDS: Record<string, ValueType> = { value: FLOAT64, category: STRING };
const STATE_FIELDS: Record<string, ValueType> = { plan: STRING, limit: FLOAT64, city: STRING };

function duration(text: string | null | undefined): number | null {
  return text === null || text === undefined || text === 'inf' || text === 'none'
    ? null
    : parseDuration(text)!;
}

function typed(type: ValueType, text: string): Value {
  if (text === '') return null;
  return type.kind === 'float64' ? Number(text) + 0 : text;
}

const key = (row: Record<string, string>, names: readonly string[]): string | null =>
  names.some((name) => row[name] === '') ? null : JSON.stringify(names.map((name) => row[name]));

function load(
  name: string,
  file: string,
  keys: readonly string[],
  fields: Record<string, ValueType>,
): RawVersion[] {
  return readCsv(`${name}/${file}`).map((row) => {
    const eventTime = parseInstant((row.event_time ?? row.valid_from)!)!;
    const available = row.available_at ?? row.recorded_at ?? '';
    return {
      recordKey: row.event_id ?? JSON.stringify([key(row, keys), eventTime]),
      entity: key(row, keys),
      eventTime,
      availableAt: available === '' ? eventTime : parseInstant(available)!,
      order: Number(row.seq),
      deleted: row.deleted === '1',
      fields: Object.fromEntries(
        Object.entries(fields).map(([field, type]) => [field, typed(type, row[field]!)]),
      ),
    };
  });
}

function eventFeature(feature: CaseFeature): SweepFeature {
  const named = NAMES[feature.agg]!;
  const field = feature.column === null || named.field === false ? null : feature.column;
  const inputType = field === null ? null : EVENT_FIELDS[field]!;
  return {
    name: feature.name,
    aggregation: {
      function: named.function,
      source: 'events',
      field,
      arguments: { ignoreNulls: named.ignoreNulls === true },
      window: duration(feature.window),
      offset: 0,
      includeCurrent: false,
      where: feature.where ? ({ canonical: JSON.stringify(feature.where) } as Expression) : null,
      ratioWhere: null,
      groupBy: null,
    },
    inputType,
    byType: null,
    outputType: ['min', 'max', 'sum', 'first', 'last'].includes(named.function) ? inputType! : FLOAT64,
  };
}

describe('cases with independently known answers', () => {
  for (const name of ['boundaries', 'windows', 'availability', 'corrections', 'hostile', 'attributes_ttl']) {
    it(`${name}: every cell`, () => {
      const definition = JSON.parse(readFileSync(new URL(`${name}/case.json`, folder), 'utf8')) as Case;
      const states = definition.attr_keys !== undefined;
      const keys = (definition.event_keys ?? definition.attr_keys)!;
      const fields = states ? STATE_FIELDS : EVENT_FIELDS;
      const log = load(name, states ? 'attributes.csv' : 'events.csv', keys, fields);
      const spine = readCsv(`${name}/spine.csv`);
      const observations: RawObservation[] = spine.map((row) => ({
        entity: key(row, keys),
        at: parseInstant(row.t!)!,
      }));
      const features = states ? [] : definition.features.map(eventFeature);
      const lookups: SweepLookup[] = !states
        ? []
        : definition.features.map((feature) => ({
            name: feature.name,
            field: feature.column === '_age_s' ? 'plan' : feature.column!,
            maxAge: duration(feature.ttl),
            output: feature.column === '_age_s' ? 'age_seconds' : 'value',
            outputType: feature.column === '_age_s' ? FLOAT64 : STATE_FIELDS[feature.column!]!,
          }));
      const predicate: Predicate = (expression, version) => passes(JSON.parse(expression.canonical), version);
      const input = sweepInput(log, observations, fields, features, lookups, predicate, true);
      const columns = sweep(input);
      const expected = new Map(readCsv(`${name}/expected.csv`).map((row) => [row.row_id, row]));
      expect(expected.size).toBe(spine.length);
      const wrong: string[] = [];
      let cells = 0;
      for (const column of columns) {
        for (let row = 0; row < spine.length; row++) {
          const text = expected.get(spine[row]!.row_id)![column.name]!;
          const { value } = answer(column, row);
          cells++;
          const close =
            typeof value === 'number'
              ? text !== '' && Math.abs(value - Number(text)) <= 1e-9 * Math.max(1, Math.abs(value))
              : (value ?? '') === text;
          if (!close) wrong.push(`${spine[row]!.row_id} ${column.name}: ${String(value)} is not ${text}`);
        }
      }
      expect(wrong).toEqual([]);
      expect(cells).toBe(spine.length * definition.features.length);
    });
  }
});

/** `{"category": "a"}`: equality on every column named. */
function passes(where: Readonly<Record<string, Value>>, version: RawVersion): boolean | null {
  const columns = Object.entries(where);
  if (columns.some(([column]) => version.fields[column] === null)) return null;
  return columns.every(([column, value]) => version.fields[column] === value);
}
