/** Data files looked at before any source is declared for them, read as ingest would read them. */
import type { FileFormat } from '../core/define/types.js';
import type { KeyFacts, TextFacts, ValueFacts } from '../core/quality/suggest-facts.js';
import type { ValueType } from '../core/schema/types.js';

export interface InspectedFiles {
  readonly format: FileFormat;
  /** Set where it is not what the file name implies. */
  readonly delimiter?: string;
  readonly encoding?: 'latin-1';
  readonly rows: number;
  /** Rows that do not split into columns. */
  readonly unreadable: number;
  /** What each column's values could be read as, in the order of the file. */
  readonly columns: readonly TextFacts[];
  /** What the values of typed columns are like. `nulls`: texts that mean null. */
  values(
    columns: readonly { readonly name: string; readonly type: ValueType; readonly format?: string }[],
    nulls: readonly string[],
  ): Promise<readonly ValueFacts[]>;
  /** How many rows differ in some columns, for each list of columns. */
  distinct(columns: readonly (readonly string[])[]): Promise<readonly KeyFacts[]>;
}

export interface FileInspector {
  /** Files of one shape, taken together. */
  inspect(files: readonly string[]): Promise<InspectedFiles>;
  close(): Promise<void>;
}
