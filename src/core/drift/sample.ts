import type { Value, ValueType } from '../schema/types.js';
import type { ColumnSample } from './grouped.js';

/** Numbers, instants and dates are numeric (decimals as their value); everything else is categorical by its text. */
export const isNumericSample = (type: ValueType): boolean =>
  ['int64', 'float64', 'decimal', 'timestamp', 'date'].includes(type.kind);

/** Values of one type as the statistics take them. */
export function valueSample(type: ValueType, values: readonly Value[]): ColumnSample {
  let nulls = 0;
  if (isNumericSample(type)) {
    const scale = type.kind === 'decimal' ? 10 ** type.scale : 1;
    const numbers = new Float64Array(values.length);
    let n = 0;
    for (const value of values) {
      if (value === null) nulls++;
      else numbers[n++] = Number(value) / scale;
    }
    return { type: 'numeric', values: numbers.slice(0, n), nulls };
  }
  const counts = new Map<string, number>();
  for (const value of values) {
    if (value === null) {
      nulls++;
      continue;
    }
    const text =
      typeof value === 'object' ? JSON.stringify(value instanceof Map ? [...value] : value) : String(value);
    counts.set(text, (counts.get(text) ?? 0) + 1);
  }
  return { type: 'categorical', counts, nulls };
}
