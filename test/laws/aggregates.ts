/**
 * The plain aggregate that a person would write for a fold's value, where one exists: holds the catalogue against
 * other engines. `exact`: equal to the fold on every input. `near`: the engine rounds in
 * between, so doubles agree to a few units of the last place of the largest intermediate.
 */

import type { FoldContext } from '../../src/core/algebra/fold.js';
import type { FunctionName } from '../../src/core/define/types.js';
import { FLOAT64 } from '../../src/core/schema/types.js';

export type AggregateDialect = 'duckdb' | 'postgres';

/** SQL texts of the parts. */
export interface AggregateParts {
  /** The aggregated value; for decimals of its DECIMAL type. */
  readonly value: string;
  readonly by: string;
  readonly predicate: string;
  /** Microseconds. */
  readonly eventTime: string;
  /** Member order, as many columns as are needed to be total. */
  readonly order: readonly string[];
  /** The observation instant, microseconds. */
  readonly at: string;
}

export interface AggregateSql {
  readonly sql: string;
  readonly agreement: 'exact' | 'near';
}

/** The aggregate text; undefined where no plain aggregate of the dialect has the fold's meaning. */
export function aggregateSql(
  name: FunctionName,
  context: FoldContext,
  parts: AggregateParts,
  dialect: AggregateDialect,
): AggregateSql | undefined {
  const { value, by, predicate, eventTime, at } = parts;
  const { k = 1, q = 0.5, ignoreNulls } = context.arguments;
  const duckdb = dialect === 'duckdb';
  const isDouble = (context.inputType ?? FLOAT64).kind === 'float64';
  const exact = (sql: string): AggregateSql => ({ sql, agreement: 'exact' });
  const near = (sql: string): AggregateSql => ({ sql, agreement: 'near' });
  const text = context.inputType?.kind === 'string' && !duckdb ? `${value} COLLATE "C"` : value;
  const double = duckdb ? `CAST(${value} AS DOUBLE)` : `CAST(${value} AS DOUBLE PRECISION)`;
  const ascending = parts.order.join(', ');
  const descending = parts.order.map((column) => `${column} DESC`).join(', ');
  const listed = (order: string): string =>
    duckdb ? `list(${value} ORDER BY ${order})` : `array_agg(${value} ORDER BY ${order})`;
  const present = `FILTER (WHERE ${value} IS NOT NULL)`;
  const some = (order: string): string =>
    duckdb ? `${listed(order)} ${present}` : `(${listed(order)} ${present})`;
  const slice = (items: string): string => `(${items})[1:${k}]`;

  switch (name) {
    case 'count':
      return exact(context.inputType === null ? 'count(*)' : `count(${value})`);
    case 'count_distinct':
      return exact(`count(DISTINCT ${value})`);
    case 'min':
    case 'max':
      return exact(`${name}(${text})`);
    case 'sum':
      return isDouble ? near(`sum(${value})`) : exact(`sum(${value})`);
    case 'mean':
      return near(`avg(${double})`);
    case 'std':
      return near(`stddev_samp(${double})`);
    case 'var':
      return near(`var_samp(${double})`);
    case 'std_pop':
      return near(`stddev_pop(${double})`);
    case 'var_pop':
      return near(`var_pop(${double})`);
    case 'skewness':
    case 'kurtosis':
      return duckdb ? near(`${name}(${double})`) : undefined;
    case 'median':
    case 'quantile': {
      const share = name === 'median' ? 0.5 : q;
      return duckdb
        ? exact(`quantile_cont(${double}, ${share})`)
        : near(`percentile_cont(${share}) WITHIN GROUP (ORDER BY ${double})`);
    }
    case 'first':
    case 'last': {
      const order = name === 'first' ? ascending : descending;
      return exact(`(${ignoreNulls ? some(order) : listed(order)})[1]`);
    }
    case 'first_k':
      return exact(slice(some(ascending)));
    case 'last_k':
      return exact(slice(some(descending)));
    case 'lag':
      return exact(`(${some(descending)})[${k}]`);
    case 'list':
      return context.arguments.k === undefined ? exact(some(ascending)) : undefined;
    case 'min_by':
    case 'max_by': {
      const order = `${by}${name === 'max_by' ? ' DESC' : ''}, ${descending}`;
      return exact(`(${listed(order)} FILTER (WHERE ${value} IS NOT NULL AND ${by} IS NOT NULL))[1]`);
    }
    case 'ratio':
      return exact(
        `CAST(count(*) FILTER (WHERE ${predicate}) AS DOUBLE${duckdb ? '' : ' PRECISION'}) / nullif(count(*), 0)`,
      );
    case 'seconds_since_last':
    case 'seconds_since_first':
      return exact(
        `CAST(${at} - ${name === 'seconds_since_last' ? 'max' : 'min'}(${eventTime}) AS DOUBLE${duckdb ? '' : ' PRECISION'}) / 1000000`,
      );
    case 'entropy':
      return duckdb ? near(`CASE WHEN count(${value}) > 0 THEN entropy(${value}) ${present} END`) : undefined;
    case 'last_distinct_k':
    case 'top_k':
    case 'mode':
    case 'histogram':
    case 'approx_quantile':
    case 'approx_count_distinct':
    case 'ewma':
    case 'decayed_sum':
      return undefined;
  }
}
