/** What a source says about change and time: accepted renames, schema changes, history, service levels. */
import { MICROS_PER_DAY } from '../base/time.js';
import { findField, type Resolved } from './context.js';
import type { Located, Out } from './shape.js';
import type { sourceShape } from './shapes/source.js';
import type {
  FieldDefinition,
  HistoryMeasure,
  HistoryPolicy,
  ServiceLevels,
  Severity,
  Source,
} from './types.js';

type RawSource = Out<typeof sourceShape>;

export const HISTORY_MEASURES = [
  'row_count',
  'null_rate',
  'distinct_count',
  'freshness',
  'distribution',
] as const satisfies readonly HistoryMeasure[];

const WARN = { action: 'warn', severity: 'warning' } as const;

/** What holds for a source that says nothing of history. */
export const DEFAULT_HISTORY: HistoryPolicy = {
  measures: { row_count: WARN, null_rate: WARN, distinct_count: WARN, freshness: WARN, distribution: WARN },
  minimumBatches: 6,
  falseAlarms: 0.0027,
  ratioFloor: 0.01,
  seasonality: 'weekday',
};

/** The fields with the columns that `rename` accepts for them. */
export function withAliases(
  context: Resolved,
  subject: string,
  raw: RawSource,
  draft: Source,
): readonly FieldDefinition[] {
  const aliases = new Map<string, string[]>();
  for (const [column, { value, keyPlace }] of raw.rename ?? []) {
    const owner = draft.fields.find(({ name, from }) => name === column || from === column);
    if (owner) {
      context.report.add(
        'DEF_INVALID_VALUE',
        keyPlace,
        `\`rename\` of ${subject} renames \`${column}\`, which is declared: expected a column that is not`,
        { hint: `Write the new column first: \`rename: { new_column: ${owner.name} }\`.` },
      );
      continue;
    }
    const field = findField(context, `\`rename\` of ${subject}`, draft, value);
    if (field) aliases.set(field.name, [...(aliases.get(field.name) ?? []), column]);
  }
  return draft.fields.map((field) => {
    const columns = aliases.get(field.name);
    return columns ? { ...field, aliases: columns } : field;
  });
}

type RawHistory = Exclude<NonNullable<RawSource['history']>, Located<boolean>>;

const isLocated = <T, O extends object>(written: Located<T> | O): written is Located<T> => 'value' in written;

function historyOf(raw: RawHistory): HistoryPolicy {
  const rule = (measure: HistoryMeasure): { action: 'fail' | 'warn' | 'ignore'; severity: Severity } => {
    const written = raw[measure];
    if (!written) return WARN;
    if ('value' in written) return { ...WARN, action: written.value };
    return { action: written.action?.value ?? 'warn', severity: written.severity?.value ?? 'warning' };
  };
  return {
    measures: {
      row_count: rule('row_count'),
      null_rate: rule('null_rate'),
      distinct_count: rule('distinct_count'),
      freshness: rule('freshness'),
      distribution: rule('distribution'),
    },
    minimumBatches: raw.minimum_batches?.value ?? DEFAULT_HISTORY.minimumBatches,
    falseAlarms: raw.false_alarms?.value ?? DEFAULT_HISTORY.falseAlarms,
    ratioFloor: raw.ratio_floor?.value ?? DEFAULT_HISTORY.ratioFloor,
    seasonality: raw.seasonality?.value ?? DEFAULT_HISTORY.seasonality,
  };
}

const IGNORE = { action: 'ignore', severity: 'info' } as const;
const NO_HISTORY: HistoryPolicy = {
  ...DEFAULT_HISTORY,
  measures: {
    row_count: IGNORE,
    null_rate: IGNORE,
    distinct_count: IGNORE,
    freshness: IGNORE,
    distribution: IGNORE,
  },
};

/** Share of the time or of the days, where a promise names none. */
const SHARE = 0.99;
const PERIOD = 30 * MICROS_PER_DAY;

function serviceLevelsOf(raw: NonNullable<RawSource['service_levels']>, timezone: string): ServiceLevels {
  const period = (over: Located<number | 'all'> | undefined): number =>
    over === undefined ? PERIOD : over.value === 'all' ? Number.MAX_SAFE_INTEGER : over.value;
  const { passing, freshness, completeness } = raw;
  const within = freshness && (isLocated(freshness) ? freshness : freshness.within);
  const share = passing && (isLocated(passing) ? passing : passing.share);
  return {
    ...(passing && share
      ? { passing: { share: share.value, over: period(isLocated(passing) ? undefined : passing.over) } }
      : {}),
    ...(freshness && within
      ? {
          freshness: {
            within: within.value,
            share: (isLocated(freshness) ? undefined : freshness.share?.value) ?? SHARE,
            over: period(isLocated(freshness) ? undefined : freshness.over),
          },
        }
      : {}),
    ...(completeness?.by
      ? {
          completeness: {
            by: completeness.by.value,
            timezone: completeness.timezone?.value ?? timezone,
            rows: completeness.rows?.value ?? 1,
            share: completeness.share?.value ?? SHARE,
            over: period(completeness.over),
          },
        }
      : {}),
  };
}

/** What is written of schema changes, history and service levels. */
export function readPromises(
  raw: RawSource,
  timezone: string,
): Pick<Source, 'schemaChanges' | 'history' | 'serviceLevels'> {
  const { schema_changes: changes, history, service_levels: levels } = raw;
  return {
    ...(changes
      ? {
          schemaChanges: {
            ...(changes.added ? { added: changes.added.value } : {}),
            ...(changes.removed ? { removed: changes.removed.value } : {}),
            ...(changes.retyped ? { retyped: changes.retyped.value } : {}),
            ...(changes.reordered ? { reordered: changes.reordered.value } : {}),
            ...(changes.renamed ? { renamed: changes.renamed.value } : {}),
          },
        }
      : {}),
    ...(history
      ? {
          history: isLocated(history) ? (history.value ? DEFAULT_HISTORY : NO_HISTORY) : historyOf(history),
        }
      : {}),
    ...(levels ? { serviceLevels: serviceLevelsOf(levels, timezone) } : {}),
  };
}
