/** The rows that break a rule, apart from the others, with what the file says of each. */
import type { Source } from '../../../core/define/types.js';
import { encodeSql, repairRules, typeOfField } from '../../../core/quality/index.js';
import { quoteName } from '../../duckdb/text.js';
import type { OpenedInput } from '../open-input.js';
import { wideSource } from '../stage.js';
import { rawRow } from './raw-row.js';
import type { StagedRows } from './staged-rows.js';

/** Those of an input: see `judgedSql`. */
export const judgedTable = (file: number): string => `judged_${file}`;

/**
 * The rows that break a rule, a table for each input: `_line`, `_reasons`, `_marks`, and of those with reasons `_raw`
 * (see raw-row.ts) and `_repaired` (the values of fields that rules may repair, as texts, when any was repaired). View
 * `judged` has all of them without `_raw`, and `_file`. `streamed`: rows that are not in one table.
 */
export function judgedSql(
  source: Source,
  inputs: readonly OpenedInput[],
  streamed: readonly StagedRows[],
): readonly string[] {
  const select = inputs.map((input, file) =>
    streamed.length > 0 ? brokenSql(streamed[file]!) : brokenOfTableSql(source, input, file),
  );
  const parts = inputs.map(
    (_, file) =>
      `SELECT CAST(${file} AS INTEGER) AS "_file", "_line", "_reasons", "_marks" FROM ${judgedTable(file)}`,
  );
  return [
    ...select.map((sql, file) => `CREATE OR REPLACE TEMP TABLE ${judgedTable(file)} AS ${sql}`),
    `CREATE OR REPLACE TEMP VIEW judged AS ${parts.join(' UNION ALL ')}`,
  ];
}

const brokenSql = ({ select, broken }: StagedRows): string =>
  `SELECT "_line", "_reasons", "_marks", "_raw", CAST(NULL AS VARCHAR[]) AS "_repaired" FROM (${select}) WHERE ${broken}`;

function brokenOfTableSql(source: Source, input: OpenedInput, file: number): string {
  const wide = wideSource(source);
  const repairing = repairRules(wide).fields;
  const repaired =
    repairing.length === 0
      ? 'CAST(NULL AS VARCHAR[])'
      : `CASE WHEN "_repairs" IS NOT NULL THEN [${repairing
          .map((name) => encodeSql(typeOfField(wide.fields, name), quoteName(name)))
          .join(', ')}] END`;
  const rows = `staged WHERE "_file" = ${file} AND`;
  return (
    `SELECT s."_line", s."_reasons", s."_marks", ${rawRow(input).kept} AS "_raw", s."_repaired" FROM` +
    ` (SELECT "_line", "_reasons", "_marks", ${repaired} AS "_repaired" FROM ${rows} "_reasons" IS NOT NULL) s` +
    ` JOIN (${input.rawSql}) raw ON raw."_line" = s."_line"` +
    ` UNION ALL SELECT "_line", NULL, "_marks", NULL, NULL FROM ${rows} "_reasons" IS NULL AND "_marks" IS NOT NULL`
  );
}
