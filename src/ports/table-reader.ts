/** Any file as columns, its types told from its content. */
import type { ColumnSample } from '../core/drift/profile.js';
import type { ValueType } from '../core/schema/types.js';

export interface TableReader {
  columnNames(file: string): Promise<readonly string[]>;
  samples(file: string): Promise<{
    readonly rows: number;
    readonly columns: readonly {
      readonly name: string;
      readonly type: ValueType;
      readonly sample: ColumnSample;
    }[];
  }>;
  /** Columns as doubles; null and text that is no number are NaN; booleans 0 and 1. */
  numbers(file: string, columns: readonly string[]): Promise<readonly Float64Array[]>;
  close(): Promise<void>;
}
