import { FOLDS, outputTypeOf } from '../algebra/catalogue.js';
import { printType, type ValueType } from '../schema/types.js';
import { findField, type Resolved, recordScope, sourceAndField } from './context.js';
import { readCondition } from './expressions.js';
import { type ArgumentName, argumentsOf, resolveFunction, SPELLINGS } from './functions.js';
import { type Out, suggestion } from './shape.js';
import type { aggregationShape } from './shapes/feature.js';
import { type Aggregation, FUNCTION_NAMES, type Source } from './types.js';

export type RawAggregation = Out<typeof aggregationShape>;

export interface ResolvedAggregation {
  readonly aggregation: Aggregation;
  readonly source: Source;
  readonly type: ValueType;
}

const ARGUMENT_NAMES: readonly ArgumentName[] = ['k', 'q', 'by', 'half_life', 'edges', 'ignore_nulls'];

/** Types whose values name a category: what a CSV field would say. */
const CATEGORIES: ReadonlySet<ValueType['kind']> = new Set(['string', 'int64', 'decimal', 'boolean', 'date']);

/** Reads an aggregation over one window (µs, null is all). */
export function readAggregation(
  context: Resolved,
  subject: string,
  raw: RawAggregation,
  window: number | null,
): ResolvedAggregation | undefined {
  const { report } = context;
  if (!raw.function || !raw.source) return undefined;
  const failures = report.diagnostics.length;
  const named = resolveFunction(raw.function.value);
  if (!named) {
    const near = suggestion(raw.function.value, SPELLINGS);
    report.add(
      'DEF_UNKNOWN_NAME',
      raw.function.place,
      `${subject} names the function \`${raw.function.value}\`, which does not exist`,
      {
        ...near,
        hint: near.nearest ? `Did you mean \`${near.nearest}\`?` : `Functions: ${FUNCTION_NAMES.join(', ')}.`,
      },
    );
  }
  const target = sourceAndField(context, subject, raw.source, raw.field);
  if (!target) return undefined;
  const { source, field } = target;
  if (!named || field === undefined) {
    for (const key of ['where', 'of', 'among'] as const)
      readCondition(report, `\`${key}\` of ${subject}`, raw[key], recordScope(context, source));
    return undefined;
  }

  const fold = FOLDS[named.name];
  if (fold.needsField === true && !field) {
    report.add(
      'DEF_MISSING_KEY',
      raw.source.place,
      `${subject}: ${named.name} needs a field of source \`${source.name}\``,
      {
        hint: `Write \`source: ${source.name}.FIELD\`.`,
      },
    );
  }
  if (fold.needsField === false && field) {
    report.add(
      'DEF_INVALID_VALUE',
      raw.source.place,
      `${subject}: ${named.name} is over records, not over the field \`${field.name}\``,
      {
        hint: `Write \`source: ${source.name}\`.`,
      },
    );
  }
  checkArguments(context, subject, raw, named.name, named.q !== undefined);
  const by = raw.by && findField(context, subject, source, raw.by);
  const groupBy = raw.group_by && findField(context, subject, source, raw.group_by);
  if (groupBy && !CATEGORIES.has(groupBy.type.kind)) {
    report.add(
      'DEF_TYPE',
      raw.group_by!.place,
      `${subject}: \`group_by\` is the field \`${groupBy.name}\` of type ${printType(groupBy.type)}: expected a field of type string, int64, decimal, boolean or date`,
    );
  }
  const scope = recordScope(context, source);
  const condition = (key: 'where' | 'of' | 'among') =>
    readCondition(report, `\`${key}\` of ${subject}`, raw[key], scope);
  const isRatio = named.name === 'ratio';
  const where = condition('where');
  const of = isRatio ? condition('of') : undefined;
  const among = isRatio ? condition('among') : undefined;
  for (const key of ['of', 'among'] as const) {
    if (!isRatio && raw[key])
      report.add('DEF_UNKNOWN_KEY', raw[key].place, `${subject}: only ratio takes \`${key}\``, {
        hint: 'Use `where`.',
      });
  }
  if (isRatio && raw.of && raw.among && raw.where) {
    report.add(
      'DEF_INVALID_VALUE',
      raw.among.place,
      `${subject} has \`of\`, \`where\` and \`among\`: expected \`of\` with one filter`,
    );
  }
  if (isRatio && !raw.where && !raw.of) {
    report.add(
      'DEF_MISSING_KEY',
      raw.$.place,
      `${subject}: ratio has no \`where\`: expected the condition whose share is taken`,
    );
  }
  if (field && !fold.accepts(field.type)) {
    report.add(
      'DEF_TYPE',
      raw.source.at(Math.max(0, raw.source.value.indexOf('.') + 1)),
      `${subject}: ${named.name} is over \`${source.name}.${field.name}\` of type ${printType(field.type)}: expected ${fold.acceptsText}`,
      {
        hint: 'Use count, count_distinct, mode, first or last for values that are not numbers.',
      },
    );
  }
  if (report.diagnostics.length > failures) return undefined;

  const ignoreNulls = raw.ignore_nulls?.value ?? false;
  const aggregation: Aggregation = {
    function: named.name,
    source: source.name,
    field: field?.name ?? null,
    arguments: {
      ...(raw.k ? { k: raw.k.value } : named.name === 'lag' ? { k: 1 } : {}),
      ...(raw.q || named.q !== undefined ? { q: raw.q?.value ?? named.q! } : {}),
      ...(by ? { by: by.name } : {}),
      ...(raw.half_life ? { halfLife: raw.half_life.value } : {}),
      ...(raw.edges ? { edges: raw.edges.map((edge) => edge.value) } : {}),
      ignoreNulls,
    },
    window,
    offset: raw.offset?.value ?? 0,
    includeCurrent: raw.include_current?.value ?? false,
    where: (isRatio ? (raw.of ? (where ?? among) : among) : where) ?? null,
    ratioWhere: (isRatio ? (of ?? where) : undefined) ?? null,
    groupBy: groupBy?.name ?? null,
  };
  const types = {
    inputType: field?.type ?? null,
    byType: by?.type ?? null,
    arguments: aggregation.arguments,
  };
  return { aggregation, source, type: outputTypeOf(named.name, types, groupBy !== undefined) };
}

function checkArguments(
  context: Resolved,
  subject: string,
  raw: RawAggregation,
  name: Aggregation['function'],
  quantileNamed: boolean,
): void {
  const { report } = context;
  const use = argumentsOf(name);
  for (const argument of ARGUMENT_NAMES) {
    const place = raw.$.keys.get(argument);
    if (place && !use.required.includes(argument) && !use.optional.includes(argument)) {
      const takes = [...use.required, ...use.optional];
      report.add('DEF_UNKNOWN_KEY', place, `${subject}: ${name} does not take \`${argument}\``, {
        hint: takes.length === 0 ? 'Remove it.' : `It takes ${takes.join(', ')}.`,
      });
    }
    if (!place && use.required.includes(argument) && !(argument === 'q' && quantileNamed)) {
      const example = { k: 3, q: 0.9, by: 'amount', half_life: '7d', edges: '[0, 10]', ignore_nulls: true }[
        argument
      ];
      report.add('DEF_MISSING_KEY', raw.$.place, `${subject}: ${name} has no \`${argument}\``, {
        hint: `Write \`${argument}: ${example}\`.`,
      });
    }
  }
  const edges = raw.edges?.map((edge) => edge.value) ?? [];
  if (edges.some((edge, index) => index > 0 && edge <= edges[index - 1]!)) {
    report.add(
      'DEF_INVALID_VALUE',
      raw.$.keys.get('edges'),
      `${subject}: \`edges\` do not rise: expected each greater than the one before`,
    );
  }
}
