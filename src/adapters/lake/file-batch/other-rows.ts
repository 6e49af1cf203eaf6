/** Rules and repairs for which other records count, and rules that only TypeScript can judge. */
import { invariant } from '../../../core/base/error.js';
import type { RowRule, Source } from '../../../core/define/types.js';
import {
  asOfRecord,
  batchSql,
  batchViewSql,
  compileRowChecks,
  decodeSql,
  effectiveContract,
  isReference,
  isSql,
  isUnique,
  judgedAction,
  looksAtNull,
  type RepairRule,
  referenceSql,
  repairRules,
  repairSql,
  rowRuleSql,
  typeOfField,
  uniqueSql,
} from '../../../core/quality/index.js';
import { quoteName, quoteText } from '../../duckdb/text.js';
import { frozenSql, frozenValue, lastSql, takeStatistic } from '../imputation.js';
import { readRecords } from '../records.js';
import { inputFields } from '../shape.js';
import { queryFault } from '../sql-rules.js';
import { deliveredColumn, POSITION, READINGS, rejudgeSql, scriptRules, wideSource } from '../stage.js';
import type { FileBatch } from './batch.js';

/** Repairs that need other records: only for the rows that still break their rules. Then those are judged anew. */
export async function repairLate(batch: FileBatch): Promise<void> {
  const { db, ledger, relation, lastSeq } = batch.context;
  const source = wideSource(batch.source);
  const { late } = repairRules(source);
  if (
    late.length === 0 ||
    (await batch.one('SELECT count(*) AS n FROM staged WHERE "_open" IS NOT NULL')) === 0
  )
    return;
  batch.unmoved = false;
  for (const rule of late) {
    const type = typeOfField(source.fields, rule.field);
    const field = quoteName(rule.field);
    const violated = rowRuleSql(rule, source.fields, quoteName, READINGS.print)!;
    const open = `coalesce(list_contains("_open", ${quoteText(rule.id)}), false)`;
    const wanting = `${open} AND ${violated}`;
    if ((await batch.one(`SELECT count(*) AS n FROM staged WHERE ${wanting}`)) === 0) continue;
    const refusing = batch.rulesWith('drop').map((drop) => quoteText(drop.id));
    const sound =
      `"_reasons" IS NULL AND NOT "_deleted" AND NOT ${open} AND ${field} IS NOT NULL` +
      ` AND ${field} IS NOT DISTINCT FROM ${deliveredColumn(rule.field)}` +
      (refusing.length === 0
        ? ''
        : ` AND NOT coalesce(list_has_any("_marks", [${refusing.join(', ')}]), false)`);
    let value: string;
    let rows = wanting;
    if (rule.impute!.kind === 'last') {
      const known = batch.context.known(batch.source.name, { hindsight: false, repairs: true });
      const select = `SELECT ${POSITION} AS "_row", * FROM staged WHERE`;
      const parts = { wanting: `${select} ${wanting}`, batch: `${select} ${sound}`, known };
      await db.run(`CREATE OR REPLACE TEMP TABLE filled AS ${lastSql(source, rule, parts)}`);
      value = decodedFilled(source, rule);
      rows = `${POSITION} IN (SELECT "_row" FROM filled)`;
    } else {
      const taken = await frozenValue(
        source,
        rule,
        { db, ledger, relation, lastSeq },
        batch.options.now,
        () => takeStatistic(db, rule, type, `SELECT ${field} FROM staged WHERE ${sound}`),
      );
      if (taken === undefined) continue;
      value = frozenSql(type, taken);
    }
    await db.run(
      `UPDATE staged SET ${field} = ${value}, "_repairs" = list_append(coalesce("_repairs", []), ${repairSql(source, rule, field)}) WHERE ${rows}`,
    );
  }
  await db.run(rejudgeSql(batch.source));
}

/** Rules that look at other records, or that only TypeScript can judge: their ids join the row's lists. */
export async function judgeRelations(batch: FileBatch): Promise<void> {
  const { db } = batch.context;
  const rules = effectiveContract(batch.source).rows;
  const script = new Set(scriptRules(batch.source).map((rule) => rule.id));
  const byScript = (rule: RowRule): boolean => script.has(rule.id);
  for (const rule of [...rules.filter(byScript), ...rules.filter((other) => !byScript(other))]) {
    let ids: string | undefined;
    const candidates = `SELECT ${POSITION} AS "_position", * FROM staged WHERE "_reasons" IS NULL AND NOT "_deleted"`;
    if (isReference(rule)) {
      const known = batch.context.known(rule.check.source, { hindsight: !asOfRecord(rule) });
      const columns = `${quoteName(rule.check.field)}, "_available_at"`;
      const own =
        rule.check.source === batch.source.name
          ? ` UNION ALL SELECT ${columns}, CAST(NULL AS BIGINT) FROM staged WHERE "_reasons" IS NULL`
          : '';
      const relation = `(SELECT ${columns}, "_until" FROM (${known})${own})`;
      ids = `SELECT "_position" AS "_row" FROM (${candidates}) AS batch WHERE ${referenceSql(rule, `batch.${quoteName(rule.field!)}`, 'batch."_available_at"', relation)}`;
    } else if (isUnique(rule)) {
      const known = batch.context.known(batch.source.name);
      ids = `SELECT position AS "_row" FROM (${uniqueSql(rule, batch.source.recordKey, `(${candidates})`, `(${known})`, '_position')})`;
    } else if (isSql(rule)) {
      await db.run(batchViewSql(`SELECT "_position" AS "_row", ${batch.ruleColumns} FROM (${candidates})`));
      const sql = `CREATE OR REPLACE TEMP TABLE late AS SELECT DISTINCT "_row" FROM (${batchSql(rule.check.sql)})`;
      if (!(await attempt(batch, rule.id, () => db.run(sql))))
        await db.run(
          `CREATE OR REPLACE TEMP TABLE late AS SELECT "_position" AS "_row" FROM (${candidates})`,
        );
      ids = 'SELECT "_row" FROM late';
    } else if (script.has(rule.id)) {
      await judgeByScript(batch, rule);
      ids = 'SELECT "_row" FROM late';
    }
    if (ids === undefined) continue;
    batch.unmoved = false;
    const list = judgedAction(rule) === 'quarantine' ? '"_reasons"' : '"_marks"';
    await db.run(
      `UPDATE staged SET ${list} = list_append(coalesce(${list}, []), ${quoteText(rule.id)}) WHERE ${POSITION} IN (${ids})`,
    );
  }
}

/** False when the SQL of a rule fails: the rule then counts as broken. */
async function attempt(batch: FileBatch, rule: string, work: () => Promise<unknown>): Promise<boolean> {
  try {
    await work();
    return true;
  } catch (error) {
    if (batch.options.signal?.aborted) throw error;
    batch.errors[rule] = queryFault(error);
    return false;
  }
}

async function judgeByScript(batch: FileBatch, rule: RowRule): Promise<void> {
  invariant(rule.check.kind === 'expression', 'only expressions are judged by script');
  const { db } = batch.context;
  const broken: bigint[] = [];
  const unread = looksAtNull(rule).map((field) => quoteText(`${field}.type`));
  const check = compileRowChecks(
    { ...wideSource(batch.source), contract: { rows: [rule], batch: [] } },
    READINGS,
  );
  await readRecords(
    db,
    inputFields(batch.source),
    `SELECT ${POSITION} AS "_seq", * FROM staged WHERE NOT "_deleted" AND NOT coalesce(list_has_any("_reasons", [${unread.join(', ')}]::VARCHAR[]), false)`,
    (rows) => {
      for (const row of rows)
        if (check(row.fields).some((reason) => reason.rule === rule.id)) broken.push(BigInt(row.seq));
    },
  );
  await db.writeTable('late', [{ name: '_row', type: 'BIGINT', data: BigInt64Array.from(broken) }]);
}

/** What `lastSql` found for a staged row, as SQL of the field's type. */
const decodedFilled = (source: Source, rule: RepairRule): string =>
  decodeSql(
    typeOfField(source.fields, rule.field),
    `(SELECT filled.value FROM filled WHERE filled."_row" = ${POSITION})`,
  );
