/** The rows that break a rule, apart from the others, with what the file says of each. */
import type { Source } from '../../../core/define/types.js';
import { encodeSql, repairRules, typeOfField } from '../../../core/quality/index.js';
import { quoteName } from '../../duckdb/text.js';
import { wideSource } from '../stage.js';
import type { BatchInput } from './input.js';
import { rawRow } from './raw-row.js';
import type { StagedRows } from './staged-rows.js';

/** Those of an input, by its place in the batch: see `judgedSql`. */
export const judgedTable = (input: number): string => `judged_${input}`;

/**
 * The rows that break a rule, a table for each input: `_file`, `_line`, `_reasons`, `_marks`, and of those with reasons `_raw`
 * (see raw-row.ts) and `_repaired` (the values of fields that rules may repair, as texts, when any was repaired). View
 * `judged` has all of them without `_raw`. `streamed`: rows that are not in one table.
 */
export function judgedSql(
  source: Source,
  inputs: readonly BatchInput[],
  streamed: readonly StagedRows[],
): readonly string[] {
  const select = inputs.map((input, place) =>
    streamed.length > 0 ? brokenSql(streamed[place]!) : brokenOfTableSql(source, input),
  );
  const parts = inputs.map(
    (_, place) => `SELECT "_file", "_line", "_reasons", "_marks" FROM ${judgedTable(place)}`,
  );
  return [
    ...select.map((sql, place) => `CREATE OR REPLACE TEMP TABLE ${judgedTable(place)} AS ${sql}`),
    `CREATE OR REPLACE TEMP VIEW judged AS ${parts.join(' UNION ALL ')}`,
  ];
}

const brokenSql = ({ select, broken }: StagedRows): string =>
  `SELECT "_file", "_line", "_reasons", "_marks", "_raw", CAST(NULL AS VARCHAR[]) AS "_repaired" FROM (${select}) WHERE ${broken}`;

function brokenOfTableSql(source: Source, input: BatchInput): string {
  const wide = wideSource(source);
  const repairing = repairRules(wide).fields;
  const repaired =
    repairing.length === 0
      ? 'CAST(NULL AS VARCHAR[])'
      : `CASE WHEN "_repairs" IS NOT NULL THEN [${repairing
          .map((name) => encodeSql(typeOfField(wide.fields, name), quoteName(name)))
          .join(', ')}] END`;
  const rows = `staged WHERE "_file" BETWEEN ${input.first} AND ${input.last} AND`;
  const place = input.pile
    ? 'raw."_file" = s."_file" AND raw."_line" = s."_line"'
    : 'raw."_line" = s."_line"';
  return (
    `SELECT s."_file", s."_line", s."_reasons", s."_marks", ${rawRow(input).kept} AS "_raw", s."_repaired" FROM` +
    ` (SELECT "_file", "_line", "_reasons", "_marks", ${repaired} AS "_repaired" FROM ${rows} "_reasons" IS NOT NULL) s` +
    ` JOIN (${input.rawSql}) raw ON ${place}` +
    ` UNION ALL SELECT "_file", "_line", NULL, "_marks", NULL, NULL FROM ${rows} "_reasons" IS NULL AND "_marks" IS NOT NULL`
  );
}
