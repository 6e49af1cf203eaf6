/** Records of the log that rules left a mark on: repairs and flags. */
import type { Source } from '../../core/define/types.js';
import type { FlaggedRecord, MarkFilter, RepairedValue } from '../../ports/record-log.js';
import type { DuckDb } from '../duckdb/connection.js';
import { quoteText } from '../duckdb/text.js';
import { readRecords } from './records.js';

/** The newest records whose list of rule ids is not empty, or has a rule. */
const markedSql = (relation: string, list: string, { rule, limit = 1000 }: MarkFilter): string =>
  `SELECT * FROM (${relation}) WHERE ${rule === undefined ? `${list} IS NOT NULL` : `list_contains(${list}, ${quoteText(rule)})`}` +
  ` ORDER BY "_seq" DESC LIMIT ${Math.max(0, Math.floor(limit))}`;

/** What rules changed, newest record first. The last repair of a field gave it its value. */
export async function readRepairs(
  db: DuckDb,
  source: Source,
  relation: string,
  filter: MarkFilter,
): Promise<readonly RepairedValue[]> {
  const { rule, limit = 1000 } = filter;
  const out: RepairedValue[] = [];
  await readRecords(
    db,
    source.fields,
    markedSql(relation, 'list_transform("_repairs", lambda r: r.rule)', filter),
    (rows) => {
      for (const { fields, seq, repairs = [] } of rows)
        for (const [index, repair] of repairs.entries()) {
          if (rule !== undefined && repair.rule !== rule) continue;
          const next = repairs.slice(index + 1).find((later) => later.field === repair.field);
          out.push({
            ...repair,
            seq,
            recordKey: source.recordKey.map((name) => fields[name] ?? null),
            repaired: next ? next.original : (fields[repair.field] ?? null),
          });
        }
    },
    { order: '"_order"', repairs: true },
  );
  return out.slice(0, limit);
}

/** A column of the query beside the fields, whose names do not begin so. */
const FLAGS = '_flag_ids';

/** Records that carry flags, newest first. */
export async function readFlagged(
  db: DuckDb,
  source: Source,
  relation: string,
  filter: MarkFilter,
): Promise<readonly FlaggedRecord[]> {
  const out: FlaggedRecord[] = [];
  await readRecords(
    db,
    [...source.fields, { name: FLAGS, type: { kind: 'string' } }],
    `SELECT *, to_json("_flags")::VARCHAR AS ${FLAGS} FROM (${markedSql(relation, '"_flags"', filter)})`,
    (rows) => {
      for (const { fields: all, seq, eventTime } of rows) {
        const { [FLAGS]: flags, ...fields } = all;
        out.push({ seq, eventTime, fields, flags: JSON.parse(flags as string) as string[] });
      }
    },
    { order: '"_order"' },
  );
  return out;
}
