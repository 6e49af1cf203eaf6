/** What a source says about change and time, in the words of definitions. */
import { MICROS_PER_DAY, printDuration } from '../base/time.js';
import { DEFAULT_HISTORY, HISTORY_MEASURES } from '../define/promises.js';
import type { HistoryPolicy, ServiceLevels, Source } from '../define/types.js';
import type { Form, FormValue } from './form.js';

export const PROMISE_KEYS = ['rename', 'schema_changes', 'history', 'service_levels'] as const;

const DEFAULT_SHARE = 0.99;
const DEFAULT_PERIOD = 30 * MICROS_PER_DAY;

const clock = (minutes: number): string =>
  `${String(Math.floor(minutes / 60)).padStart(2, '0')}:${String(minutes % 60).padStart(2, '0')}`;

const overForm = (over: number): Form =>
  over === DEFAULT_PERIOD ? {} : { over: over === Number.MAX_SAFE_INTEGER ? 'all' : printDuration(over) };
const shareForm = (share: number): Form => (share === DEFAULT_SHARE ? {} : { share });

function levelsForm({ passing, freshness, completeness }: ServiceLevels, timezone: string): Form {
  const passingOver = passing ? overForm(passing.over) : {};
  const freshRest = freshness ? { ...shareForm(freshness.share), ...overForm(freshness.over) } : {};
  return {
    ...(passing
      ? {
          passing:
            Object.keys(passingOver).length === 0 ? passing.share : { share: passing.share, ...passingOver },
        }
      : {}),
    ...(freshness
      ? {
          freshness:
            Object.keys(freshRest).length === 0
              ? printDuration(freshness.within)
              : { within: printDuration(freshness.within), ...freshRest },
        }
      : {}),
    ...(completeness
      ? {
          completeness: {
            by: clock(completeness.by),
            ...(completeness.timezone === timezone ? {} : { timezone: completeness.timezone }),
            ...(completeness.rows === 1 ? {} : { rows: completeness.rows }),
            ...shareForm(completeness.share),
            ...overForm(completeness.over),
          },
        }
      : {}),
  };
}

function historyForm(policy: HistoryPolicy): FormValue {
  if (HISTORY_MEASURES.every((measure) => policy.measures[measure].action === 'ignore')) return false;
  const rules = HISTORY_MEASURES.flatMap((measure): [string, FormValue][] => {
    const { action, severity } = policy.measures[measure];
    if (severity !== 'warning') return [[measure, { action, severity }]];
    return action === 'warn' ? [] : [[measure, action]];
  });
  const form: Form = {
    ...Object.fromEntries(rules),
    ...(policy.minimumBatches === DEFAULT_HISTORY.minimumBatches
      ? {}
      : { minimum_batches: policy.minimumBatches }),
    ...(policy.falseAlarms === DEFAULT_HISTORY.falseAlarms ? {} : { false_alarms: policy.falseAlarms }),
    ...(policy.ratioFloor === DEFAULT_HISTORY.ratioFloor ? {} : { ratio_floor: policy.ratioFloor }),
    ...(policy.seasonality === DEFAULT_HISTORY.seasonality ? {} : { seasonality: policy.seasonality }),
  };
  return Object.keys(form).length === 0 ? true : form;
}

/** The keys of a definition that say so; defaults are left out. */
export function promiseForm(source: Source): Form {
  const renames = source.fields.flatMap(({ name, aliases = [] }) =>
    aliases.map((column): [string, string] => [column, name]),
  );
  const levels = source.serviceLevels ? levelsForm(source.serviceLevels, source.timezone) : {};
  return {
    ...(renames.length > 0 ? { rename: Object.fromEntries(renames) } : {}),
    ...(source.schemaChanges && Object.keys(source.schemaChanges).length > 0
      ? { schema_changes: { ...source.schemaChanges } }
      : {}),
    ...(source.history ? { history: historyForm(source.history) } : {}),
    ...(Object.keys(levels).length > 0 ? { service_levels: levels } : {}),
  };
}
