/** A value explained to people: the aggregate in plain SQL, and the arithmetic over the members. */
import type { Aggregation, FunctionName } from '../define/types.js';
import { printValue } from '../schema/coerce-print.js';
import type { Value, ValueType } from '../schema/types.js';
import { foldFor } from './catalogue.js';
import type { FoldContext, Member } from './fold.js';

export interface PlainSql {
  /** Column or expression of the aggregated field; null for functions over rows. */
  readonly value: string | null;
  /** Predicate of `ratio`. */
  readonly share: string | null;
  /** What orders members: `a, b`. */
  readonly order: string;
  /** The instant as a number of microseconds. */
  readonly at: string;
}

type Reading = (sql: PlainSql, aggregation: Aggregation) => string;

const call =
  (name: string): Reading =>
  ({ value }) =>
    `${name}(${value})`;

const picked =
  (name: 'first' | 'last'): Reading =>
  ({ value, order }, { arguments: { ignoreNulls } }) =>
    `${name}(${value} ORDER BY ${order})${ignoreNulls ? ` FILTER (WHERE ${value} IS NOT NULL)` : ''}`;

/** Functions that one aggregate of DuckDB gives, but for the last bit of sums of doubles. */
const AGGREGATES: Partial<Record<FunctionName, Reading>> = {
  count: ({ value }) => `count(${value ?? '*'})`,
  count_distinct: ({ value }) => `count(DISTINCT ${value})`,
  sum: call('sum'),
  mean: call('avg'),
  min: call('min'),
  max: call('max'),
  std: call('stddev_samp'),
  var: call('var_samp'),
  std_pop: call('stddev_pop'),
  var_pop: call('var_pop'),
  first: picked('first'),
  last: picked('last'),
  median: ({ value }) => `median(${value}::DOUBLE)`,
  quantile: ({ value }, { arguments: { q } }) => `quantile_cont(${value}::DOUBLE, ${q})`,
  ratio: ({ share }) => `count(*) FILTER (WHERE ${share}) / nullif(count(*), 0)`,
  seconds_since_last: ({ at }) => `(${at} - max("_event_time")) / 1e6`,
  seconds_since_first: ({ at }) => `(${at} - min("_event_time")) / 1e6`,
};

/** The aggregate, or null where SQL has none that means the same: then the values in order are what there is to read. */
export function aggregateSql(aggregation: Aggregation, sql: PlainSql): string {
  const reading = AGGREGATES[aggregation.function];
  return reading ? reading(sql, aggregation) : `list(${sql.value ?? '1'} ORDER BY ${sql.order})`;
}

const SHOWN = 6;

/** Items joined; of many the first and the last. */
export function series(items: readonly string[], between: string): string {
  if (items.length <= SHOWN) return items.join(between);
  return [...items.slice(0, SHOWN / 2), `… ${items.length - SHOWN} more …`, ...items.slice(-SHOWN / 2)].join(
    between,
  );
}

const SPREADS: Partial<Record<FunctionName, readonly [divisor: 'n' | 'n - 1', root: boolean]>> = {
  std: ['n - 1', true],
  var: ['n - 1', false],
  std_pop: ['n', true],
  var_pop: ['n', false],
};

/**
 * How the value comes from the members, with their numbers. Sums are finished once from the exact state, so what is
 * printed of an intermediate sum is rounded, and the value is not computed from it.
 * @param type of the field; null for functions over rows.
 */
export function arithmeticOf(
  aggregation: Aggregation,
  members: readonly Member[],
  context: FoldContext,
  value: string,
): string {
  const { function: name } = aggregation;
  const type = context.inputType;
  const text = (item: Value): string => (item === null ? 'null' : printValue(type as ValueType, item));
  const present = type === null ? members : members.filter((member) => member.value !== null);
  const nulls = members.length - present.length;
  const skipped = nulls === 0 ? '' : `; ${nulls} null value${nulls === 1 ? '' : 's'} skipped`;
  const numbers = present.map((member) => text(member.value));
  const folded = (which: FunctionName): string => {
    const fold = foldFor(which, context);
    const state = fold.init();
    for (const member of present) fold.add(state, member);
    const total = fold.finish(state, 0);
    return total === null ? 'null' : which === 'sum' ? text(total) : String(total);
  };
  if (aggregation.groupBy !== null) {
    const groups = new Map<string, Member[]>();
    for (const member of members)
      if (member.group !== null && member.group !== undefined)
        groups.set(member.group, [...(groups.get(member.group) ?? []), member]);
    const values = JSON.parse(value) as Readonly<Record<string, unknown>> | null;
    const alone = { ...aggregation, groupBy: null };
    const each = [...groups].map(([group, own]) => {
      const part = JSON.stringify(values?.[group] ?? null);
      return `${group}: ${arithmeticOf(alone, own, context, part)}`;
    });
    return each.length === 0 ? `no records with a ${aggregation.groupBy}` : series(each, '; ');
  }
  const spread = SPREADS[name];
  if (spread && present.length > 0) {
    const [divisor, root] = spread;
    const formula = `Σ(x - mean)² / ${divisor === 'n' ? 'n' : '(n - 1)'}`;
    return `${root ? `√(${formula})` : formula} = ${value}, n = ${present.length}, mean = ${folded('mean')}${skipped}`;
  }
  switch (name) {
    case 'count':
      return `${present.length} ${type === null ? 'records' : 'values'} = ${value}${skipped}`;
    case 'count_distinct':
      return `${new Set(numbers).size} different of ${present.length} values = ${value}${skipped}`;
    case 'sum':
      return `${present.length === 0 ? 'nothing to add' : `${series(numbers, ' + ')} = ${value}`}${skipped}`;
    case 'mean':
      return present.length === 0
        ? `nothing to average${skipped}`
        : `(${series(numbers, ' + ')}) / ${present.length} = ${folded('sum')} / ${present.length} = ${value}${skipped}`;
    case 'ratio': {
      const yes = members.filter((member) => member.by === true).length;
      return members.length === 0 ? 'no records' : `${yes} / ${members.length} = ${value}`;
    }
    default:
      return `${name} of ${present.length} value${present.length === 1 ? '' : 's'}: ${series(numbers, ', ')} → ${value}${skipped}`;
  }
}
