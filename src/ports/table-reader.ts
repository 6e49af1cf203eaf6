/** Any file as columns, its types told from its content. */
import type { ColumnState } from '../core/drift/profile.js';
import type { ValueType } from '../core/schema/types.js';

export interface TableReader {
  columnNames(file: string): Promise<readonly string[]>;
  /** Every column after one pass over the file; memory is bounded whatever the file holds. */
  states(file: string): Promise<{
    readonly rows: number;
    readonly columns: readonly {
      readonly name: string;
      readonly type: ValueType;
      readonly state: ColumnState;
    }[];
  }>;
  /** How often each of these texts stands in a column, 0 included. */
  countTexts(file: string, column: string, texts: readonly string[]): Promise<ReadonlyMap<string, number>>;
  /** Columns as doubles; null and text that is no number are NaN; booleans 0 and 1. */
  numbers(file: string, columns: readonly string[]): Promise<readonly Float64Array[]>;
  close(): Promise<void>;
}
