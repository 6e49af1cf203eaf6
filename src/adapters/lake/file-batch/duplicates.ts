/** Finding what is known already: repetitions in the batch and in the log; what of it is a correction. */
import { deliveredSql, repairRules } from '../../../core/quality/index.js';
import { quoteName } from '../../duckdb/text.js';
import { contentColumns } from '../shape.js';
import { deliveredColumn, POSITION } from '../stage.js';
import { type FileBatch, NOT_EXCLUDED } from './batch.js';
import { countRepeats, repeatedSql, repetitionsSql } from './repeats.js';
import { copiesSql, RETRACTED, settleStateSql } from './state-batch.js';

/** Rows that say what is already known join `excluded`. */
export async function deduplicate(batch: FileBatch): Promise<void> {
  const { db, lastSeq } = batch.context;
  const { source } = batch;
  const relation = await deliveredLog(batch);
  const keys = source.recordKey.map(quoteName);
  const same = (left: string, right: string, names: readonly string[], operator: string): string =>
    names.map((name) => `${left}.${name} ${operator} ${right}.${name}`).join(' AND ');
  const was = repairRules(source).fields.map((name) => `${deliveredColumn(name)} AS ${quoteName(name)}`);
  const delivered = was.length === 0 ? '*' : `* REPLACE (${was.join(', ')})`;
  const rowsWhere = (condition: string): string =>
    `(SELECT ${POSITION} AS "_row", ${delivered}, "_declared_order" AS "_order" FROM staged WHERE ${condition})`;
  const acceptable = (): string => rowsWhere(batch.acceptable);
  let repeated = 0;
  if (batch.options.state) {
    const parts = { batch: rowsWhere(NOT_EXCLUDED), relation, log: batch.context.relation };
    if (lastSeq === 0) repeated = await batch.exclude(copiesSql(source, parts.batch));
    else {
      for (const sql of settleStateSql(source, parts, batch.options.state)) await db.run(sql);
      repeated = await batch.countExcluded();
      batch.unmoved = false;
      batch.counts.rows += await batch.one(`SELECT count(*) AS n FROM staged WHERE "_file" = ${RETRACTED}`);
    }
  }
  await db.run(
    `CREATE OR REPLACE TEMP TABLE seen AS SELECT s."_row" FROM ${acceptable()} s` +
      (lastSeq === 0
        ? ' WHERE false'
        : ` WHERE EXISTS (SELECT 1 FROM (${relation}) l WHERE ${same('l', 's', keys, '=')})`),
  );
  const seen = lastSeq === 0 ? 0 : await batch.one('SELECT count(*) AS n FROM seen');
  if (!batch.options.state) {
    const repeats = await countRepeats(db, source, 'staged', acceptable());
    if (seen === 0 && repeats === 0) return;
    const content = contentColumns(source).map(quoteName);
    if (source.availableAt.kind === 'append') {
      repeated += await batch.exclude(repetitionsSql(source, acceptable(), relation, content));
    } else {
      if (seen > 0)
        repeated += await batch.exclude(
          `SELECT s."_row" FROM ${acceptable()} s WHERE s."_row" IN (SELECT "_row" FROM seen)` +
            ` AND EXISTS (SELECT 1 FROM (${relation}) l WHERE ${same('l', 's', content, 'IS NOT DISTINCT FROM')})`,
        );
      if (repeats > 0)
        repeated += await batch.exclude(
          `SELECT "_row" FROM (SELECT s."_row", row_number() OVER` +
            ` (PARTITION BY ${content.map((name) => `s.${name}`).join(', ')} ORDER BY s."_row") AS "_copy"` +
            ` FROM ${acceptable()} s SEMI JOIN (${repeatedSql(source, acceptable())}) r ON ${same('r', 's', keys, '=')}) WHERE "_copy" > 1`,
        );
    }
  }
  batch.counts.duplicates += repeated;
  batch.counts.corrections = await batch.one(
    `SELECT coalesce(sum(copies - CASE WHEN known THEN 0 ELSE 1 END), 0)::BIGINT AS n FROM (SELECT count(*) AS copies,` +
      ` bool_or("_row" IN (SELECT "_row" FROM seen)) AS known FROM ${acceptable()} GROUP BY ${keys.join(', ')})`,
  );
}

/** The log with what was delivered in the place of what was repaired: what makes two deliveries the same. */
async function deliveredLog(batch: FileBatch): Promise<string> {
  const { db, lastSeq, relation } = batch.context;
  if (lastSeq === 0) return relation;
  const repaired = await db.rows<{ field: string }>(
    `SELECT DISTINCT unnest(list_transform("_repairs", lambda r: r.field)) AS field FROM (${relation}) WHERE "_repairs" IS NOT NULL`,
  );
  const names = new Set(repaired.map((row) => row.field));
  const restored = batch.source.fields
    .filter((field) => names.has(field.name))
    .map(({ name, type }) => `${deliveredSql(type, name, quoteName(name))} AS ${quoteName(name)}`);
  return restored.length === 0 ? relation : `SELECT * REPLACE (${restored.join(', ')}) FROM (${relation})`;
}

export async function countRepairs(batch: FileBatch): Promise<void> {
  if (repairRules(batch.source).fields.length === 0) return;
  const accepted = `staged WHERE ${batch.acceptable} AND "_repairs" IS NOT NULL`;
  batch.counts.repaired = await batch.one(`SELECT count(*) AS n FROM ${accepted}`);
  const rules = await batch.perRule(
    'list_transform("_repairs", lambda r: r.rule)',
    batch.acceptable,
    'staged',
  );
  batch.repairs = Object.fromEntries(rules);
}

export async function countFlags(batch: FileBatch): Promise<void> {
  const flags = batch.rulesWith('flag');
  if (flags.length === 0) return;
  const marks = await batch.perRule('"_marks"', batch.acceptable);
  batch.flags = Object.fromEntries([...marks].filter(([rule]) => flags.some(({ id }) => id === rule)));
}
