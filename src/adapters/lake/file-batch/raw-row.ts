import type { OpenedInput } from '../open-input.js';

/** A row as it stands in its file: kept as it comes, made a text only where somebody wants to see it. */
interface RawRow {
  /** SQL over the raw columns. */
  readonly kept: string;
  /** SQL over `_raw`, which holds `kept`: JSON, a list of the texts or nulls of a table's columns, or the value itself. */
  readonly json: string;
}

export function rawRow(input: Pick<OpenedInput, 'format' | 'header'>): RawRow {
  const names = input.header.map((_, i) => `_c${i}`);
  switch (input.format) {
    case 'csv':
      return { kept: `[${names.join(', ')}]`, json: 'CAST(to_json("_raw") AS VARCHAR)' };
    case 'parquet':
      return {
        kept: `{${names.map((name) => `'${name}': ${name}`).join(', ')}}`,
        json: `CAST(to_json([${names.map((name) => `CAST("_raw".${name} AS VARCHAR)`).join(', ')}]) AS VARCHAR)`,
      };
    default:
      return { kept: 'CAST("_j" AS VARCHAR)', json: '"_raw"' };
  }
}
