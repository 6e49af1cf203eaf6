import type { CoerceOptions } from '../../core/schema/coerce.js';
import type { CoerceSql } from '../../core/schema/coerce-sql.js';
import { zoneSpans } from '../../core/schema/coerce-zone.js';
import type { ValueType } from '../../core/schema/types.js';
import { quoteText } from '../duckdb/text.js';

const CLOCK = '([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]';
/** Years well inside of the instants. */
const DAY = '(1[7-9]|2[01])[0-9]{2}-[0-9]{2}-[0-9]{2}';

/** A pattern of plain texts and the cast that reads them as the general rule does; undefined: there is none. */
function plainReading(type: ValueType, raw: string, utc: boolean): readonly [string, string] | undefined {
  switch (type.kind) {
    case 'int64':
      return ['-?[0-9]{1,18}', `TRY_CAST(${raw} AS BIGINT)`];
    case 'decimal':
      return [
        type.scale === 0 ? '-?[0-9]{1,18}' : `-?[0-9]{1,${18 - type.scale}}(\\.[0-9]{1,${type.scale}})?`,
        `TRY_CAST(${raw} AS DECIMAL(18,${type.scale}))`,
      ];
    case 'float64':
      // Adding zero makes 0 of -0.
      return ['-?[0-9]{1,15}(\\.[0-9]{1,20})?', `TRY_CAST(${raw} AS DOUBLE) + 0::DOUBLE`];
    case 'timestamp':
      return [`${DAY}[T ]${CLOCK}(\\.[0-9]{1,6})?Z${utc ? '?' : ''}`, `TRY_CAST(${raw} AS TIMESTAMPTZ)`];
    case 'date':
      return [DAY, `TRY_CAST(${raw} AS DATE)`];
    default:
      return undefined;
  }
}

/**
 * The same value and the same refusals as `general`, with a short way for texts in their plain form: one match and
 * one cast. Everything else goes the general way. TIMESTAMPTZ casts need the session's time zone to be UTC.
 */
export function fastCoerce(
  type: ValueType,
  rawSql: string,
  general: CoerceSql,
  options: CoerceOptions,
): CoerceSql {
  const raw = `(${rawSql})`;
  const spans = zoneSpans(options.timezone);
  const plain = plainReading(type, raw, spans.length === 1 && spans[0]!.large === 0);
  if (!plain) return general;
  const badOf = (value: string): string =>
    `(CASE WHEN (${value}) IS NULL THEN NOT ${general.blank} ELSE false END)`;
  const [pattern, cast] = plain;
  const given =
    options.nulls.length === 0 ? '' : ` AND ${raw} NOT IN (${options.nulls.map(quoteText).join(', ')})`;
  const value = `CASE WHEN regexp_full_match(${raw}, ${quoteText(pattern)})${given} THEN ${cast} ELSE ${general.value} END`;
  return { value, blank: general.blank, bad: badOf(value), badOf };
}
