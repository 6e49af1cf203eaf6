/** Engine columns as the statistics take them. */
import type { ColumnSample } from '../core/drift/grouped.js';
import { valueSample } from '../core/drift/sample.js';
import { columnLength, columnValue } from '../core/engine/columns.js';
import type { Column } from '../core/engine/types.js';
import type { Value } from '../core/schema/types.js';

export { isNumericSample, valueSample } from '../core/drift/sample.js';

export function columnSample(column: Column, rows?: Uint8Array): ColumnSample {
  const total = columnLength(column);
  const values: Value[] = [];
  for (let i = 0; i < total; i++) if (!rows || rows[i]) values.push(columnValue(column, i));
  return valueSample(column.type, values);
}
