/** Judging: what becomes of the rows by their rules, and of the batch by the rules for all of it and its history. */
import { join } from 'node:path';
import type { BatchProfile } from '../../../core/drift/batch-profile.js';
import { DISTRIBUTION_BATCHES, HISTORY_BATCHES } from '../../../core/drift/history.js';
import { batchMeasuresSql, effectiveContract, judgeBatch, notJudged } from '../../../core/quality/index.js';
import { quoteText } from '../../duckdb/text.js';
import { inspectFile } from '../../files/inputs.js';
import { judgeBatchHistory } from '../batch-history.js';
import { judgeDistributions } from '../distributions.js';
import { openInput, placeIn } from '../open-input.js';
import { type ProfiledRelation, profileRelation } from '../profile.js';
import { readingFrom, retypedFields } from '../schema-change.js';
import { measureSqlRules } from '../sql-rules.js';
import { createStagedSql, insertStagedSql, POSITION } from '../stage.js';
import type { FailedReason, FileBatch } from './batch.js';
import { example, placeOf, refusal, refusedExample, remedy } from './findings.js';
import { batchParts, type FilePart } from './parts.js';

/** Throws BATCH_REFUSED. */
export async function judge(batch: FileBatch): Promise<void> {
  const failures = [...(await judgeRows(batch)), ...(await judgeWhole(batch))];
  if (failures.length === 0) return;
  const place = await placeOf(batch, failures[0]!.rule);
  throw refusal(
    batch,
    failures,
    remedy(batch, failures),
    place ?? placeIn(batch.source, batch.files[0]!.path),
  );
}

/** Counts what the rules for rows say, and leaves out the rows that are refused or dropped. */
async function judgeRows(batch: FileBatch): Promise<readonly FailedReason[]> {
  for (const input of batch.inputs) {
    batch.counts.quarantined += input.unreadable.length;
    for (const row of input.unreadable) batch.reasons[row.rule] = (batch.reasons[row.rule] ?? 0) + 1;
  }
  await batch.context.db.run('CREATE OR REPLACE TEMP TABLE excluded ("_row" BIGINT)');
  batch.counts.quarantined += await batch.exclude(
    `SELECT ${POSITION} FROM judged WHERE "_reasons" IS NOT NULL`,
  );
  for (const [rule, n] of await batch.perRule('"_reasons"', 'true'))
    batch.reasons[rule] = (batch.reasons[rule] ?? 0) + n;
  const marks = await batch.perRule('"_marks"', 'true');
  const failures: FailedReason[] = [];
  for (const rule of batch.rulesWith('fail')) {
    const n = marks.get(rule.id);
    if (n !== undefined)
      failures.push({
        rule: rule.id,
        message: `${n} row${n === 1 ? '' : 's'}: ${await example(batch, rule)}`,
      });
  }
  for (const rule of batch.rulesWith('warn')) {
    const n = marks.get(rule.id);
    if (n !== undefined) batch.warn(rule.id, await example(batch, rule), n);
  }
  for (const [rule, error] of Object.entries(batch.errors))
    if (![...batch.rulesWith('fail'), ...batch.rulesWith('warn')].some(({ id }) => id === rule))
      batch.warn(rule, notJudged({ id: rule }, error), marks.get(rule) ?? batch.reasons[rule] ?? 0);
  const drop = batch.rulesWith('drop').filter((rule) => marks.has(rule.id));
  if (drop.length > 0) {
    const ids = drop.map((rule) => quoteText(rule.id)).join(', ');
    batch.counts.dropped = await batch.exclude(
      `SELECT ${POSITION} FROM judged WHERE "_reasons" IS NULL AND list_has_any("_marks", [${ids}])`,
    );
    const dropping = await batch.perRule('"_marks"', '"_reasons" IS NULL');
    batch.drops = Object.fromEntries([...dropping].filter(([rule]) => drop.some(({ id }) => id === rule)));
  }
  if (batch.source.contract.onError === 'fail' && batch.counts.quarantined > 0)
    for (const rule of Object.keys(batch.reasons).sort())
      failures.push({ rule, message: await refusedExample(batch, rule) });
  return failures;
}

/** The rules for the batch, its columns and its history, over the rows that are left. */
async function judgeWhole(batch: FileBatch): Promise<readonly FailedReason[]> {
  const { db } = batch.context;
  const failures: FailedReason[] = [];
  const contract = effectiveContract(batch.source);
  const measures = batchMeasuresSql(contract);
  const values: Record<string, number | null> =
    measures.length === 0
      ? {}
      : (
          await db.rows<Record<string, number | null>>(
            `SELECT ${measures.join(', ')} FROM staged WHERE ${batch.acceptable}`,
          )
        )[0]!;
  const passed = `SELECT ${POSITION} AS "_row", ${batch.ruleColumns} FROM staged WHERE ${batch.acceptable}`;
  const measured = await measureSqlRules(db, contract.batch, passed, batch.options.signal);
  Object.assign(values, measured.values);
  Object.assign(batch.errors, measured.errors);
  const left = batch.read - batch.counts.quarantined - batch.counts.dropped;
  const profiled =
    batch.options.check &&
    batch.past().length === 0 &&
    contract.batch.every(({ check }) => check.kind !== 'distribution')
      ? undefined
      : await profileRelation(db, batch.source.fields, passed, '"_row"', left);
  failures.push(...judgeSchema(batch));
  if (profiled) {
    batch.columns = profiled.profile;
    failures.push(...judgeHistory(batch, profiled, await batchParts(batch)));
  }
  const distributions = await judgeDistributions(contract.batch, profiled?.samples ?? {}, {
    projectFolder: batch.context.projectFolder,
    profiles: (limit) => batch.context.ledger.profiles(batch.source.name, limit).map((kept) => kept.profile),
    profileFile: (path) => profileFile(batch, path),
  });
  Object.assign(batch.errors, distributions.errors);
  const extraColumns = [...new Set(batch.inputs.flatMap((input) => input.extraColumns))];
  const adding = batch.source.schemaChanges?.added ?? 'alert';
  const verdict = judgeBatch(contract, {
    rows: batch.read,
    quarantined: batch.counts.quarantined,
    extraColumns,
    values,
    distributions: distributions.found,
    errors: batch.errors,
  });
  failures.push(...verdict.failures);
  for (const { rule, message } of verdict.warnings) batch.warn(rule, message, 0);
  if (extraColumns.length > 0 && !contract.batch.some((rule) => rule.check.kind === 'extra_columns')) {
    const message = `columns that the source does not declare${adding === 'refuse' ? '' : ' are left out'}: ${extraColumns.join(', ')}`;
    if (adding === 'refuse') failures.push({ rule: 'schema.added', message });
    else if (adding === 'alert') batch.warn('extra_columns', message, 0);
    batch.note([{ kind: 'added', action: adding === 'alert' ? 'adapt' : adding, message }]);
  }
  batch.profile = {
    rows: batch.read,
    quarantined: batch.counts.quarantined,
    ...values,
    ...distributions.found,
  };
  return failures;
}

/** Columns most of whose values can no longer be read, and columns in another order where that is refused. */
function judgeSchema(batch: FileBatch): readonly FailedReason[] {
  const failures: FailedReason[] = (batch.notes.changes ?? [])
    .filter(({ action }) => action === 'refuse')
    .map(({ kind, message }) => ({ rule: `schema.${kind}`, message }));
  const retyped = retypedFields(batch.source, batch.reasons, batch.read, batch.past());
  batch.note(retyped);
  return [
    ...failures,
    ...retyped
      .filter(({ action }) => action === 'refuse')
      .map(({ message }) => ({ rule: 'schema.retyped', message })),
  ];
}

/** A batch that is not like those before it. Files that were refused for that and have been accepted since go in. */
function judgeHistory(
  batch: FileBatch,
  profiled: ProfiledRelation,
  files: readonly FilePart[] | undefined,
): readonly FailedReason[] {
  // What transforms compute follows their parents, unless it is said that it should not.
  if (batch.options.state || (batch.source.read.kind === 'transform' && !batch.source.history)) return [];
  const parts = files?.map(({ part }) => part);
  const { facts, history } = judgeBatchHistory(
    batch.source,
    { rows: batch.read, now: batch.options.now, ...profiled, ...(parts ? { parts } : {}) },
    batch.past(),
    () => batch.recent(DISTRIBUTION_BATCHES),
  );
  const failing = history.findings.filter(({ action }) => action === 'fail');
  const accepted = failing.length === 0 ? [] : batch.context.ledger.acceptances(batch.source.name);
  const every = batch.files.map(({ sha256 }) => sha256);
  const acceptance = (file: string | undefined) => {
    const hashes = files?.find(({ part }) => part.file === file)?.hashes ?? every;
    return accepted.find((one) => hashes.every((hash) => one.hashes.has(hash)));
  };
  const refused = failing.filter(({ file }) => acceptance(file) === undefined);
  for (const finding of history.findings)
    if (!refused.includes(finding)) batch.warn(finding.id, finding.message, 0);
  const expected = new Set(failing.filter((finding) => !refused.includes(finding)).map(({ file }) => file));
  if (expected.has(undefined)) batch.mark = acceptance(undefined)!.mark;
  const kept = parts
    ?.slice(-HISTORY_BATCHES)
    .map((part) => (expected.has(part.file) ? { ...part, expected: true } : part));
  batch.notes = { ...batch.notes, facts, history, ...(kept ? { parts: kept } : {}) };
  return refused.map(({ id, message }) => ({ rule: id, message }));
}

/** The rows of a data file that the source would accept by the rules for one record. */
async function profileFile(batch: FileBatch, path: string): Promise<BatchProfile> {
  const { db } = batch.context;
  const declared = batch.source.read.kind === 'files' ? batch.source.read.format : undefined;
  const stagePath = join(batch.context.temporaryFolder, `stage-${batch.id}-reference`);
  batch.stages.push(stagePath);
  const input = await openInput(db, batch.source, inspectFile(path, declared), {
    stagePath,
    ...(batch.options.signal ? { signal: batch.options.signal } : {}),
  });
  await db.run(createStagedSql(batch.source, 'reference_rows'));
  const reading = readingFrom(batch.source, new Set(input.header));
  await db.run(insertStagedSql(reading, input, 0, batch.options.now, 'reference_rows'));
  const { profile } = await profileRelation(
    db,
    batch.source.fields,
    'SELECT "_line" AS "_row", * FROM reference_rows WHERE "_reasons" IS NULL',
    '"_row"',
    await batch.one('SELECT count(*) AS n FROM reference_rows WHERE "_reasons" IS NULL'),
  );
  return profile;
}
