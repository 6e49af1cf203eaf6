import { printDuration } from '../base/time.js';
import { printType, type Value } from '../schema/types.js';
import { readAggregation } from './aggregation.js';
import { foldName, PART_COLUMN } from './columns.js';
import { joinKeysOf, type Resolved } from './context.js';
import {
  carriesKeys,
  coversEntities,
  dimensionsMeet,
  expressionScope,
  expressionText,
  findInputs,
  readEntities,
  readInputs,
  readLookup,
  resolveInputs,
  unionOf,
} from './feature-inputs.js';
import { type RequestTypes, requestTypesFromDatasets, type Unit } from './feature-unit.js';
import { finish } from './feature-values.js';
import { rawJoinKeys } from './sources.js';
import type { Feature } from './types.js';
import { readEmbedding, readNeighbours } from './vectors.js';

const KINDS = ['aggregation', 'lookup', 'computation', 'expression', 'compute'] as const;
const RESERVED_NAMES: ReadonlyMap<string, string> = new Map([
  ['request', 'expressions mean something else by it'],
  ['as_of', 'expressions mean something else by it'],
  [PART_COLUMN, 'datasets have a column of that name for the split'],
  ['rowid', 'tables have a column of that name'],
]);

export function resolveFeatures(context: Resolved): void {
  const units = expand(context);
  const requestTypes = requestTypesFromDatasets(context, units);
  const open: string[] = [];
  const done = new Set<string>();

  const resolve = (name: string): Feature | undefined => {
    if (done.has(name)) return context.features.get(name);
    const unit = units.get(name);
    if (!unit) return undefined;
    const start = open.indexOf(name);
    if (start >= 0) {
      const circle = [...open.slice(start), name];
      const place = (unit.raw.expression ?? unit.raw.name)!.place;
      context.report.add(
        'DEF_CYCLE',
        place,
        `features depend on each other in a circle: ${circle.join(' → ')}`,
        {
          hint: 'Break the circle: compute one of them from records.',
        },
      );
      return undefined;
    }
    open.push(name);
    const feature = resolveFeature(context, unit, units, resolve, requestTypes);
    open.pop();
    done.add(name);
    if (feature) context.features.set(name, feature);
    return feature;
  };
  for (const name of units.keys()) resolve(name);
}

/** `windows: [1h, 7d]` → `${name}_1h`, `${name}_7d`. */
function expand(context: Resolved): ReadonlyMap<string, Unit> {
  const { report, raw } = context;
  const units = new Map<string, Unit>();
  const keyNames = new Map(
    [...raw.entities].flatMap(([entity, written]) =>
      rawJoinKeys(written).map(
        (key) => [foldName(key.value), `it is a join key of entity \`${entity}\``] as const,
      ),
    ),
  );
  for (const [name, feature] of raw.features) {
    const reserved = name.startsWith('_')
      ? 'names that begin with _ are kept for the system'
      : (RESERVED_NAMES.get(foldName(name)) ?? keyNames.get(foldName(name)));
    if (reserved !== undefined) {
      report.add(
        'DEF_INVALID_VALUE',
        feature.name!.place,
        `a feature cannot be named \`${name}\`: ${reserved}`,
        { hint: 'Give it another name.' },
      );
    }
    const windows = feature.aggregation?.windows;
    if (!windows) {
      units.set(name, { name, raw: feature, window: undefined });
      continue;
    }
    if (feature.aggregation?.window) {
      report.add(
        'DEF_INVALID_VALUE',
        feature.aggregation.window.place,
        `feature \`${name}\` has both \`window\` and \`windows\`: expected one of them`,
      );
    }
    const names: string[] = [];
    for (const window of windows) {
      const unit = `${name}_${window.value === 'all' ? 'all' : /^\w+$/.test(window.text) ? window.text : printDuration(window.value)}`;
      if (raw.features.has(unit) || units.has(unit) || raw.featureSets.has(unit)) {
        report.add(
          'DEF_DUPLICATE_NAME',
          window.place,
          `feature \`${name}\` with the window ${window.text} is named \`${unit}\`, which is taken`,
        );
        continue;
      }
      names.push(unit);
      units.set(unit, { name: unit, raw: feature, window: window.value });
    }
    context.expansions.set(name, names);
  }
  return units;
}

function resolveFeature(
  context: Resolved,
  unit: Unit,
  units: ReadonlyMap<string, Unit>,
  resolve: (name: string) => Feature | undefined,
  requestTypes: RequestTypes,
): Feature | undefined {
  const { report } = context;
  const { raw, name } = unit;
  const subject = `feature \`${name}\``;
  // Of one definition with several windows, faults are reported for the first only.
  const kinds = KINDS.filter((kind) => raw.$.keys.has(kind));
  if (kinds.length !== 1) {
    const found = kinds.length === 0 ? 'nothing that computes it' : kinds.join(' and ');
    return report.add(
      'DEF_MISSING_KEY',
      raw.name!.place,
      `${subject} has ${found}: expected one of aggregation, lookup, computation, expression`,
      {
        hint: 'Write `aggregation: { function: count, source: SOURCE, window: 30d }`.',
      },
    );
  }
  const declared = readEntities(context, subject, raw);
  if (declared === undefined) return undefined;
  const { entities, known } = declared;

  if (raw.aggregation) {
    const raws = raw.aggregation;
    const window = unit.window ?? raws.window?.value ?? 'all';
    const before = report.diagnostics.length;
    const found = readAggregation(context, subject, raws, window === 'all' ? null : window);
    dropRepeated(context, before, unit);
    if (!found || !known || !carriesKeys(context, subject, found.source, entities, raw)) return undefined;
    if (found.source.kind === 'states') {
      report.add(
        'DEF_TYPE',
        raws.source!.place,
        `${subject} aggregates the states of \`${found.source.name}\`: every change counts as one record`,
        {
          severity: 'warning',
          hint: 'Use `lookup` for the current state.',
        },
      );
    }
    return finish(context, unit, entities, { kind: 'aggregation', ...found.aggregation }, found.type, {
      sources: [found.source],
    });
  }
  if (raw.lookup || raw.computation?.function?.value === 'lookup_embedding') {
    const found = raw.lookup
      ? readLookup(context, subject, raw.lookup)
      : readEmbedding(context, subject, raw.computation!, joinKeysOf(context, entities));
    if (!found || !known || !carriesKeys(context, subject, found.source, entities, raw)) return undefined;
    if (found.source.kind !== 'states') {
      return report.add(
        'DEF_TYPE',
        (raw.lookup?.source ?? raw.computation?.source ?? raw.name)!.place,
        `${subject} looks up the events of \`${found.source.name}\`: expected a source of kind states`,
        {
          hint: 'Set `kind: states`, or use an aggregation with function last.',
        },
      );
    }
    return finish(context, unit, entities, found.computation, found.type, { sources: [found.source] });
  }
  if (!known) return undefined;

  const text = expressionText(context, subject, raw);
  if (raw.computation?.function?.value === 'nearest_neighbours') {
    const own = joinKeysOf(context, entities).map((key) => key.name);
    const found = readNeighbours(context, subject, raw.computation, own);
    if (!text || !found) return undefined;
    const read = readInputs(context, unit, text, entities, units, resolve, requestTypes);
    if (!read) return undefined;
    const { type } = read.expression;
    if (type.kind !== 'float64_vector' || !dimensionsMeet(type, found.vectors))
      return report.add(
        'DEF_TYPE',
        text.place,
        `${subject}: \`query\` is ${printType(type)}, and \`${found.search.source}.${found.search.field}\` is ${printType(found.vectors)}`,
        { hint: 'Search with a vector of the same length.' },
      );
    const { expression, entities: all, features, requestFields } = read;
    return finish(
      context,
      unit,
      all,
      { kind: 'neighbours', ...found.search, query: expression },
      found.type,
      {
        features,
        requestFields,
        sources: [found.source],
      },
    );
  }
  if (raw.compute) return resolveFunction(context, unit, entities, units, resolve);
  if (!text) return undefined;
  const read = readInputs(context, unit, text, entities, units, resolve, requestTypes);
  if (!read) return undefined;
  const { expression, entities: all, features, requestFields } = read;
  return finish(context, unit, all, { kind: 'expression', expression }, expression.type, {
    features,
    requestFields,
  });
}

/** The windows of one definition share its faults: they are said once. */
function dropRepeated(context: Resolved, before: number, unit: Unit): void {
  if (unit.window === undefined) return;
  const { diagnostics } = context.report;
  const key = (index: number): string =>
    `${diagnostics[index]!.code}${JSON.stringify(diagnostics[index]!.place)}`;
  const earlier = new Set(diagnostics.slice(0, before).map((_, index) => key(index)));
  for (let index = diagnostics.length - 1; index >= before; index--)
    if (earlier.has(key(index))) diagnostics.splice(index, 1);
}

function resolveFunction(
  context: Resolved,
  unit: Unit,
  entities: readonly string[],
  units: ReadonlyMap<string, Unit>,
  resolve: (name: string) => Feature | undefined,
): Feature | undefined {
  const { report } = context;
  const { raw, name } = unit;
  const subject = `feature \`${name}\``;
  const compute = raw.compute as unknown as (inputs: Readonly<Record<string, Value>>) => Value;
  const named = raw.inputs ?? [];
  if (!raw.value_type) {
    return report.add(
      'DEF_MISSING_KEY',
      raw.name!.place,
      `${subject} has no \`value_type\`: a function does not tell what it gives`,
      {
        hint: 'Write `valueType: "float64"`.',
      },
    );
  }
  const given = new Map([...(raw.request ?? [])].map(([key, { value }]) => [key, value.value]));
  const inputs = findInputs(
    context,
    entities,
    units,
    named.map((input) => input.value.split('.')),
  );
  const read = resolveInputs(inputs, resolve);
  if (!read || !coversEntities(context, subject, raw, entities, read)) return undefined;
  const all = raw.entity || raw.entities ? entities : unionOf(read);
  const scope = expressionScope(context, all, units, (field) => given.get(field));
  const slots: string[] = [];
  for (const input of named) {
    const found = scope.resolve(input.value.split('.'));
    if (!found) report.unknown(`\`inputs\` of ${subject}`, 'input', input, scope.names());
    else if (found.type === undefined) {
      report.add('DEF_MISSING_KEY', input.place, `${subject} does not say the type of \`${input.value}\``, {
        hint: `Write \`request: { ${input.value.slice('request.'.length)}: 'float64' }\`.`,
      });
    } else slots.push(found.slot);
  }
  if (slots.length < named.length) return undefined;
  const requestFields = inputs.request.map((field) => ({ name: field, type: given.get(field)! }));
  const text = String(compute).replaceAll('\r\n', '\n');
  return finish(
    context,
    unit,
    all,
    { kind: 'function', inputs: slots, compute, text },
    raw.value_type.value,
    { features: read, requestFields },
  );
}
