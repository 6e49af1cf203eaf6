import { createHash, randomUUID } from 'node:crypto';
import { rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { invariant, MillraceError, type Place } from '../../core/base/error.js';
import type { Instant } from '../../core/base/time.js';
import type { RowRule, Source } from '../../core/define/types.js';
import type { BatchProfile } from '../../core/drift/batch-profile.js';
import { DISTRIBUTION_BATCHES, HISTORY_BATCHES } from '../../core/drift/history.js';
import {
  asOfRecord,
  batchMeasuresSql,
  batchSql,
  batchViewSql,
  compileRowChecks,
  decodeSql,
  decodeValue,
  deliveredSql,
  effectiveContract,
  isReference,
  isSql,
  isUnique,
  judgeBatch,
  judgedAction,
  messageFor,
  notJudged,
  REPAIRS_TYPE,
  type RepairRule,
  referenceSql,
  repairRules,
  repairSql,
  rowRuleSql,
  typeOfField,
  uniqueSql,
} from '../../core/quality/index.js';
import type {
  BatchFile,
  BatchNotes,
  FileVerdict,
  IngestResult,
  QuarantinedRow,
  RefusedRow,
  SchemaChange,
  StateScope,
} from '../../ports/record-log.js';
import type { DuckDbConnection } from '../duckdb/connection.js';
import { interruptible, quoteName, quoteText } from '../duckdb/text.js';
import { publishFile } from '../files/durable.js';
import { expandFiles, hashFile, type InputFile, inspectFile } from '../files/inputs.js';
import { judgeBatchHistory } from './batch-history.js';
import { judgeDistributions } from './distributions.js';
import { explainer } from './explain.js';
import { frozenSql, frozenValue, lastSql, takeStatistic } from './imputation.js';
import {
  type BatchCommit,
  type KeptBatch,
  type Ledger,
  type NewQuarantinedRow,
  toJsonText,
} from './ledger.js';
import { type OpenedInput, openInput, placeIn, SchemaRefusal } from './open-input.js';
import { type ProfiledRelation, profileRelation } from './profile.js';
import { readRecords } from './records.js';
import { RefusedRows } from './refused-rows.js';
import { countRepeats, repeatedSql, repetitionsSql } from './repeats.js';
import { RECENT_BATCHES, readingFrom, retypedFields, settleSchema } from './schema-change.js';
import { contentColumns, inputFields, logColumns } from './shape.js';
import { measureSqlRules, queryFault } from './sql-rules.js';
import {
  createStagedSql,
  deliveredColumn,
  insertStagedSql,
  POSITION,
  READINGS,
  rejudgeSql,
  scriptRules,
  wideSource,
} from './stage.js';
import {
  heldTable,
  isJudgedAlone,
  judgedSql,
  rawTexts,
  type StagedRows,
  stagedViewSql,
  stageRows,
} from './staging.js';
import { RETRACTED, settleStateSql } from './state-batch.js';

export interface IngestContext {
  readonly db: DuckDbConnection;
  readonly ledger: Ledger;
  /** Folder of this source's segments. */
  readonly folder: string;
  readonly temporaryFolder: string;
  readonly projectFolder: string;
  readonly lastSeq: number;
  /** Rows of a batch that are held in memory, bytes; more of them are read again where they lie. */
  readonly heldBytes: number;
  /** SELECT over everything in the log of this source now. */
  readonly relation: string;
  /** SELECT over the known records of a source, by name (see `knownSql`). Absent options: in hindsight. */
  known(source: string, options?: { readonly hindsight: boolean; readonly repairs?: boolean }): string;
}

export interface IngestOptions {
  readonly now: Instant;
  readonly signal?: AbortSignal;
  readonly state?: StateScope;
  /** Nothing is to be written. */
  readonly check?: boolean;
}

type Counts = {
  -readonly [K in
    | 'rows'
    | 'accepted'
    | 'quarantined'
    | 'duplicates'
    | 'dropped'
    | 'corrections'
    | 'repaired']: number;
};

/** What a segment holds. */
interface Written {
  readonly rows: number;
  readonly deleted: number;
  readonly maxAvailableAt: Instant;
  readonly minEventTime: Instant;
  readonly maxEventTime: Instant;
}

interface FailedReason {
  readonly rule: string;
  readonly message: string;
}

const FAIL_SAMPLE = 3;

/** Files → one atomic batch: all of it is in the log afterwards, or nothing is. */
export const ingestFiles = (
  context: IngestContext,
  source: Source,
  patterns: readonly string[],
  options: IngestOptions,
): Promise<IngestResult> => judged(context, source, patterns, options, (work) => work.append());

/** What `ingestFiles` would come to, and up to `show` of the rows that it would refuse. */
export const checkFiles = async (
  context: IngestContext,
  source: Source,
  patterns: readonly string[],
  options: Omit<IngestOptions, 'state' | 'check'> & { readonly show: number },
): Promise<FileVerdict> => {
  let refused: readonly RefusedRow[] = [];
  const result = await judged(context, source, patterns, { ...options, check: true }, async (work) => {
    refused = await work.refused(options.show);
    return work.result(context.lastSeq);
  });
  return { ...result, refused };
};

/** Judges the files that are not in the log yet, all together, and settles what is to become of them. */
async function judged(
  context: IngestContext,
  source: Source,
  patterns: readonly string[],
  options: IngestOptions,
  settle: (work: FileBatch) => Promise<IngestResult>,
): Promise<IngestResult> {
  const { ledger } = context;
  const declared = source.read.kind === 'files' ? source.read.format : undefined;
  const files = expandFiles(patterns, context.projectFolder).map((path) => inspectFile(path, declared));
  const hashed = files.map((file) => ({ file, sha256: hashFile(file.path, options.signal) }));
  const counts: Counts = {
    rows: 0,
    accepted: 0,
    quarantined: 0,
    duplicates: 0,
    dropped: 0,
    corrections: 0,
    repaired: 0,
  };
  const fresh: { file: InputFile; sha256: string }[] = [];
  for (const item of hashed) {
    const known =
      source.availableAt.kind === 'append' || options.state
        ? undefined
        : ledger.knownFile(source.name, item.sha256, source.fingerprint);
    if (known !== undefined) {
      counts.rows += known;
      counts.duplicates += known;
    } else {
      fresh.push(item);
    }
  }
  const work = new FileBatch(context, source, randomUUID(), options, counts);
  if (fresh.length === 0) return work.result(context.lastSeq);
  const stop = interruptible(context.db, options.signal);
  try {
    await work.judge(fresh);
    return await settle(work);
  } catch (error) {
    if (options.signal?.aborted)
      throw new MillraceError('INTERRUPTED', 'The ingest was interrupted; the log is as it was before', {
        cause: error,
      });
    throw error;
  } finally {
    stop();
    await work.clear();
  }
}

class FileBatch {
  readonly #stages: string[] = [];
  readonly #inputs: (OpenedInput & { readonly source: Source })[] = [];
  #files: BatchFile[] = [];
  #warnings: { rule: string; message: string; rows: number }[] = [];
  readonly #reasons: Record<string, number> = {};
  /** Rule id → why it could not be judged. */
  readonly #errors: Record<string, string> = {};
  /** Repairs: rule id → accepted rows. */
  #repairs: Record<string, number> = {};
  /** Rule id → dropped rows. */
  #drops: Record<string, number> = {};
  /** Rule id → accepted rows. */
  #flags: Record<string, number> = {};
  /** Rows are not changed once they are read: `staged` is a view (see staging.ts). */
  readonly #streamed: boolean;
  readonly #rows: StagedRows[] = [];
  /** True until rows were updated: DuckDB then keeps them in another order. */
  #unmoved = true;
  /** What the batch looks like. */
  #columns: BatchProfile | undefined;
  /** Committed batches before this one, newest first. */
  #before: readonly KeptBatch[] | undefined;
  #notes: BatchNotes = {};
  /** Rows of its files: those that were not known by their hashes. What it is judged by. */
  #read = 0;

  constructor(
    readonly context: IngestContext,
    readonly source: Source,
    readonly batch: string,
    readonly options: IngestOptions,
    readonly counts: Counts,
  ) {
    this.#streamed = options.state === undefined && isJudgedAlone(source);
  }

  /** Reads and judges files and finds what is known already: `counts` hold after it. Throws BATCH_REFUSED. */
  async judge(files: readonly { file: InputFile; sha256: string }[]): Promise<void> {
    const { db } = this.context;
    if (!this.#streamed) await db.run(createStagedSql(this.source));
    for (const [index, { file, sha256 }] of files.entries()) {
      const stagePath = join(this.context.temporaryFolder, `stage-${this.batch}-${index}`);
      this.#stages.push(stagePath);
      let input: OpenedInput & { readonly source: Source };
      try {
        const opened = await openInput(db, this.source, file, {
          stagePath,
          lenient: true,
          ...(this.options.signal ? { signal: this.options.signal } : {}),
        });
        const { source, shape, changes, extra } = await settleSchema(db, this.source, opened, {
          profiles: () => this.#recent(RECENT_BATCHES),
          shape: this.#notes.shape ?? this.#past()[0]?.notes.shape,
        });
        input = { ...opened, extraColumns: extra, source };
        this.#note(changes);
        this.#notes = { ...this.#notes, shape };
      } catch (error) {
        if (error instanceof SchemaRefusal)
          throw this.#refuse([{ rule: 'schema', message: error.message }], error.hint, error.place);
        throw error;
      }
      this.#inputs.push(input);
      const staged = await this.#stage(input, index);
      const rows = staged + input.unreadable.length;
      this.#files.push({ path: file.path, sha256, rows });
      this.counts.rows += rows;
      this.#read += rows;
      if (rows === 0 && !this.options.state)
        this.#warn('file.no_rows', `${file.path} has a header and no rows`, 0);
    }
    if (this.#streamed) await db.run(stagedViewSql(this.#rows));
    await this.#repairLate();
    await this.#judgeRelations();
    for (const sql of judgedSql(this.source, this.#inputs, this.#streamed)) await db.run(sql);
    await this.#judge();
    await this.#deduplicate();
    await this.#countRepairs();
    await this.#countFlags();
    this.#countAccepted();
  }

  #countAccepted(): void {
    this.counts.accepted =
      this.counts.rows - this.counts.quarantined - this.counts.duplicates - this.counts.dropped;
  }

  /** The first refused rows. Those that the ledger holds from an earlier reading become duplicates. */
  async refused(show: number): Promise<readonly RefusedRow[]> {
    const first = this.context.ledger.quarantineCount({ source: this.source.name }) === 0;
    const found = await this.#refusedRows(first ? show : undefined);
    const out: RefusedRow[] = [];
    for (const { file, line, reasonsText } of found.rows(false)) {
      if (out.length >= show) break;
      out.push({ file, line, reasons: JSON.parse(reasonsText) as RefusedRow['reasons'] });
    }
    return out;
  }

  /** Makes the rows of an input part of `staged`; gives their number. */
  async #stage(input: OpenedInput & { readonly source: Source }, file: number): Promise<number> {
    const { db, temporaryFolder } = this.context;
    const { now } = this.options;
    if (!this.#streamed) {
      await db.run(insertStagedSql(input.source, input, file, now));
      return this.#one(`SELECT count(*) AS n FROM staged WHERE "_file" = ${file}`);
    }
    const textPath = join(temporaryFolder, `stage-${this.batch}-${file}`);
    const path = `${textPath}.parquet`;
    this.#stages.push(path);
    const before = this.#rows.reduce((sum, { rows }) => sum + rows, 0);
    const held = this.#rows.reduce((sum, { bytes }) => sum + bytes, 0);
    const room = this.context.heldBytes - held;
    const staged = await stageRows(db, input.source, input, { file, before, now, textPath, path, room });
    this.#rows.push(staged);
    return staged.rows;
  }

  async clear(): Promise<void> {
    this.#refused?.close();
    for (const stage of this.#stages) rmSync(stage, { force: true });
    for (const view of ['"_batch"', 'staged'])
      await this.context.db.run(`DROP VIEW IF EXISTS temp.${view}`).catch(() => undefined);
    for (const table of [
      ...this.#rows.map((_, file) => heldTable(file)),
      'staged',
      'judged',
      'late',
      'excluded',
      'seen',
      'filled',
      'reference_rows',
      'state_last',
      'state_rows',
    ]) {
      await this.context.db.run(`DROP TABLE IF EXISTS temp.${table}`).catch(() => undefined);
    }
  }

  async #one(sql: string): Promise<number> {
    const rows = await this.context.db.rows<{ n: number }>(sql);
    return Number(rows[0]!.n);
  }

  /** Rule id → rows with it in a list of theirs. */
  async #perRule(list: string, where: string, from = 'judged'): Promise<Map<string, number>> {
    const rows = await this.context.db.rows<{ rule: string; n: number }>(
      `SELECT rule, count(*) AS n FROM (SELECT unnest(list_distinct(${list})) AS rule FROM ${from} WHERE ${where}) GROUP BY rule ORDER BY rule`,
    );
    return new Map(rows.map((row) => [row.rule, Number(row.n)]));
  }

  #past(): readonly KeptBatch[] {
    this.#before ??= this.context.ledger.past(this.source.name, 'files', 2 * HISTORY_BATCHES);
    return this.#before;
  }

  /** Profiles of the last ordinary batches, newest first. */
  #recent(limit: number): readonly BatchProfile[] {
    const ordinary = this.#past().filter(
      ({ mark, anomalous }) => mark === 'expected' || (mark === null && anomalous.length === 0),
    );
    return this.context.ledger.profilesOf(ordinary.slice(0, limit).map(({ batch }) => batch));
  }

  #note(changes: readonly SchemaChange[]): void {
    if (changes.length === 0) return;
    this.#notes = { ...this.#notes, changes: [...(this.#notes.changes ?? []), ...changes] };
    for (const { kind, action, message } of changes)
      if (action === 'alert') this.#warn(`schema.${kind}`, message, 0);
  }

  #warn(rule: string, message: string, rows: number): void {
    this.#warnings.push({ rule, message, rows });
  }

  /** Repairs that need other records: only for the rows that still break their rules. Then those are judged anew. */
  async #repairLate(): Promise<void> {
    const { db, ledger, relation, lastSeq } = this.context;
    const source = wideSource(this.source);
    const { late } = repairRules(source);
    if (
      late.length === 0 ||
      (await this.#one('SELECT count(*) AS n FROM staged WHERE "_open" IS NOT NULL')) === 0
    )
      return;
    this.#unmoved = false;
    for (const rule of late) {
      const type = typeOfField(source.fields, rule.field);
      const field = quoteName(rule.field);
      const violated = rowRuleSql(rule, source.fields, quoteName, READINGS.print)!;
      const open = `coalesce(list_contains("_open", ${quoteText(rule.id)}), false)`;
      const wanting = `${open} AND ${violated}`;
      if ((await this.#one(`SELECT count(*) AS n FROM staged WHERE ${wanting}`)) === 0) continue;
      const refusing = this.#rulesWith('drop').map((drop) => quoteText(drop.id));
      const sound =
        `"_reasons" IS NULL AND NOT "_deleted" AND NOT ${open} AND ${field} IS NOT NULL` +
        ` AND ${field} IS NOT DISTINCT FROM ${deliveredColumn(rule.field)}` +
        (refusing.length === 0
          ? ''
          : ` AND NOT coalesce(list_has_any("_marks", [${refusing.join(', ')}]), false)`);
      let value: string;
      let rows = wanting;
      if (rule.impute!.kind === 'last') {
        const known = this.context.known(this.source.name, { hindsight: false, repairs: true });
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
          this.options.now,
          () => takeStatistic(db, rule, type, `SELECT ${field} FROM staged WHERE ${sound}`),
        );
        if (taken === undefined) continue;
        value = frozenSql(type, taken);
      }
      await db.run(
        `UPDATE staged SET ${field} = ${value}, "_repairs" = list_append(coalesce("_repairs", []), ${repairSql(source, rule, field)}) WHERE ${rows}`,
      );
    }
    await db.run(rejudgeSql(this.source));
  }

  /** Rules that look at other records, or that only TypeScript can judge: their ids join the row's lists. */
  async #judgeRelations(): Promise<void> {
    const { db } = this.context;
    const rules = effectiveContract(this.source).rows;
    const script = new Set(scriptRules(this.source).map((rule) => rule.id));
    const byScript = (rule: RowRule): boolean => script.has(rule.id);
    for (const rule of [...rules.filter(byScript), ...rules.filter((other) => !byScript(other))]) {
      let ids: string | undefined;
      const candidates = `SELECT ${POSITION} AS "_position", * FROM staged WHERE "_reasons" IS NULL AND NOT "_deleted"`;
      if (isReference(rule)) {
        const known = this.context.known(rule.check.source, { hindsight: !asOfRecord(rule) });
        const columns = `${quoteName(rule.check.field)}, "_available_at"`;
        const own =
          rule.check.source === this.source.name
            ? ` UNION ALL SELECT ${columns}, CAST(NULL AS BIGINT) FROM staged WHERE "_reasons" IS NULL`
            : '';
        const relation = `(SELECT ${columns}, "_until" FROM (${known})${own})`;
        ids = `SELECT "_position" AS "_row" FROM (${candidates}) AS batch WHERE ${referenceSql(rule, `batch.${quoteName(rule.field!)}`, 'batch."_available_at"', relation)}`;
      } else if (isUnique(rule)) {
        const known = this.context.known(this.source.name);
        ids = `SELECT position AS "_row" FROM (${uniqueSql(rule, this.source.recordKey, `(${candidates})`, `(${known})`, '_position')})`;
      } else if (isSql(rule)) {
        await db.run(
          batchViewSql(`SELECT "_position" AS "_row", ${this.#batchColumns()} FROM (${candidates})`),
        );
        const sql = `CREATE OR REPLACE TEMP TABLE late AS SELECT DISTINCT "_row" FROM (${batchSql(rule.check.sql)})`;
        if (!(await this.#attempt(rule.id, () => db.run(sql))))
          await db.run(
            `CREATE OR REPLACE TEMP TABLE late AS SELECT "_position" AS "_row" FROM (${candidates})`,
          );
        ids = 'SELECT "_row" FROM late';
      } else if (script.has(rule.id)) {
        await this.#judgeByScript(rule);
        ids = 'SELECT "_row" FROM late';
      }
      if (ids === undefined) continue;
      this.#unmoved = false;
      const list = judgedAction(rule) === 'quarantine' ? '"_reasons"' : '"_marks"';
      await db.run(
        `UPDATE staged SET ${list} = list_append(coalesce(${list}, []), ${quoteText(rule.id)}) WHERE ${POSITION} IN (${ids})`,
      );
    }
  }

  /** What rules in SQL see of a row. */
  #batchColumns(): string {
    return [
      ...this.source.fields.map(({ name }) => quoteName(name)),
      '"_event_time"',
      '"_available_at"',
    ].join(', ');
  }

  /** False when the SQL of a rule fails: the rule then counts as broken. */
  async #attempt(rule: string, work: () => Promise<unknown>): Promise<boolean> {
    try {
      await work();
      return true;
    } catch (error) {
      if (this.options.signal?.aborted) throw error;
      this.#errors[rule] = queryFault(error);
      return false;
    }
  }

  async #judgeByScript(rule: RowRule): Promise<void> {
    invariant(rule.check.kind === 'expression', 'only expressions are judged by script');
    const { db } = this.context;
    const broken: bigint[] = [];
    const check = compileRowChecks(
      { ...wideSource(this.source), contract: { rows: [rule], batch: [] } },
      READINGS,
    );
    await readRecords(
      db,
      inputFields(this.source),
      `SELECT ${POSITION} AS "_seq", * FROM staged WHERE NOT "_deleted"`,
      (rows) => {
        for (const row of rows)
          if (check(row.fields).some((reason) => reason.rule === rule.id)) broken.push(BigInt(row.seq));
      },
    );
    await db.writeTable('late', [{ name: '_row', type: 'BIGINT', data: BigInt64Array.from(broken) }]);
  }

  /** Rows of a SELECT join `excluded`; gives how many. */
  async #exclude(select: string): Promise<number> {
    await this.context.db.run(`INSERT INTO excluded ${select}`);
    return this.#countExcluded();
  }

  /** How many have joined `excluded` since it was counted. */
  async #countExcluded(): Promise<number> {
    const before = this.#excluded;
    this.#excluded = await this.#one('SELECT count(*) AS n FROM excluded');
    return this.#excluded - before;
  }

  /** What is true of the staged rows that are neither refused nor left out. */
  get #acceptable(): string {
    return this.#excluded === 0 ? 'true' : NOT_EXCLUDED;
  }

  /** Ids of rules with this action that any staged row breaks, as a SQL list for `list_has_any`. */
  #rulesWith(action: RowRule['action']): readonly RowRule[] {
    return effectiveContract(this.source).rows.filter((rule) => rule.action === action);
  }

  async #judge(): Promise<void> {
    const { db } = this.context;
    for (const input of this.#inputs) {
      this.counts.quarantined += input.unreadable.length;
      for (const row of input.unreadable) this.#reasons[row.rule] = (this.#reasons[row.rule] ?? 0) + 1;
    }
    await db.run('CREATE OR REPLACE TEMP TABLE excluded ("_row" BIGINT)');
    this.counts.quarantined += await this.#exclude(
      `SELECT ${POSITION} FROM judged WHERE "_reasons" IS NOT NULL`,
    );
    for (const [rule, n] of await this.#perRule('"_reasons"', 'true'))
      this.#reasons[rule] = (this.#reasons[rule] ?? 0) + n;
    const marks = await this.#perRule('"_marks"', 'true');
    const failures: FailedReason[] = [];
    for (const rule of this.#rulesWith('fail')) {
      const n = marks.get(rule.id);
      if (n !== undefined)
        failures.push({
          rule: rule.id,
          message: `${n} row${n === 1 ? '' : 's'}: ${await this.#example(rule)}`,
        });
    }
    for (const rule of this.#rulesWith('warn')) {
      const n = marks.get(rule.id);
      if (n !== undefined) this.#warn(rule.id, await this.#example(rule), n);
    }
    const drop = this.#rulesWith('drop').filter((rule) => marks.has(rule.id));
    if (drop.length > 0) {
      const ids = drop.map((rule) => quoteText(rule.id)).join(', ');
      this.counts.dropped = await this.#exclude(
        `SELECT ${POSITION} FROM judged WHERE "_reasons" IS NULL AND list_has_any("_marks", [${ids}])`,
      );
      const dropping = await this.#perRule('"_marks"', '"_reasons" IS NULL');
      this.#drops = Object.fromEntries([...dropping].filter(([rule]) => drop.some(({ id }) => id === rule)));
    }
    if (this.source.contract.onError === 'fail' && this.counts.quarantined > 0)
      for (const rule of Object.keys(this.#reasons).sort())
        failures.push({ rule, message: await this.#refusedExample(rule) });
    const contract = effectiveContract(this.source);
    const measures = batchMeasuresSql(contract);
    const values: Record<string, number | null> =
      measures.length === 0
        ? {}
        : (
            await db.rows<Record<string, number | null>>(
              `SELECT ${measures.join(', ')} FROM staged WHERE ${this.#acceptable}`,
            )
          )[0]!;
    const passed = `SELECT ${POSITION} AS "_row", ${this.#batchColumns()} FROM staged WHERE ${this.#acceptable}`;
    const measured = await measureSqlRules(db, contract.batch, passed, this.options.signal);
    Object.assign(values, measured.values);
    Object.assign(this.#errors, measured.errors);
    const left = this.#read - this.counts.quarantined - this.counts.dropped;
    const profiled =
      this.options.check &&
      this.#past().length === 0 &&
      contract.batch.every(({ check }) => check.kind !== 'distribution')
        ? undefined
        : await profileRelation(db, this.source.fields, passed, '"_row"', left);
    failures.push(...this.#judgeSchema());
    if (profiled) {
      this.#columns = profiled.profile;
      failures.push(...this.#judgeHistory(profiled));
    }
    const distributions = await judgeDistributions(contract.batch, profiled?.samples ?? {}, {
      projectFolder: this.context.projectFolder,
      profiles: (limit) => this.context.ledger.profiles(this.source.name, limit).map((kept) => kept.profile),
      profileFile: (path) => this.#profileFile(path),
    });
    Object.assign(this.#errors, distributions.errors);
    const extraColumns = [...new Set(this.#inputs.flatMap((input) => input.extraColumns))];
    const adding = this.source.schemaChanges?.added ?? 'alert';
    const verdict = judgeBatch(contract, {
      rows: this.#read,
      quarantined: this.counts.quarantined,
      extraColumns,
      values,
      distributions: distributions.found,
      errors: this.#errors,
    });
    failures.push(...verdict.failures);
    for (const { rule, message } of verdict.warnings) this.#warn(rule, message, 0);
    if (extraColumns.length > 0 && !contract.batch.some((rule) => rule.check.kind === 'extra_columns')) {
      const message = `columns that the source does not declare${adding === 'refuse' ? '' : ' are left out'}: ${extraColumns.join(', ')}`;
      if (adding === 'refuse') failures.push({ rule: 'schema.added', message });
      else if (adding === 'alert') this.#warn('extra_columns', message, 0);
      this.#note([{ kind: 'added', action: adding === 'alert' ? 'adapt' : adding, message }]);
    }
    this.#profile = {
      rows: this.#read,
      quarantined: this.counts.quarantined,
      ...values,
      ...distributions.found,
    };
    if (failures.length > 0) {
      const place = await this.#placeOf(failures[0]!.rule);
      throw this.#refuse(
        failures,
        this.#remedy(failures),
        place ?? placeIn(this.source, this.#files[0]!.path),
      );
    }
  }

  /** What lets the batch in where it is right as it is. */
  #remedy(failures: readonly FailedReason[]): string | undefined {
    const all = (prefix: string): boolean => failures.every(({ rule }) => rule.startsWith(prefix));
    if (all('history.') && this.options.check)
      return 'If this is right, ingest it, accept the batch that is refused, and ingest it again.';
    if (all('history.'))
      return `If this is right, run \`millrace batches accept ${this.batch}\` and ingest again.`;
    const kinds = [...new Set(failures.map(({ rule }) => rule.replace('schema.', '')))];
    return all('schema.')
      ? `If this is right, say so at ${this.source.name}: \`schema_changes: { ${kinds.map((kind) => `${kind}: alert`).join(', ')} }\`.`
      : undefined;
  }

  #profile: Record<string, unknown> = {};
  /** Rows of `excluded`. */
  #excluded = 0;
  #refused: RefusedRows | undefined;

  /** Columns most of whose values can no longer be read, and columns in another order where that is refused. */
  #judgeSchema(): readonly FailedReason[] {
    const failures: FailedReason[] = (this.#notes.changes ?? [])
      .filter(({ action }) => action === 'refuse')
      .map(({ kind, message }) => ({ rule: `schema.${kind}`, message }));
    const retyped = retypedFields(this.source, this.#reasons, this.#read, this.#past());
    this.#note(retyped);
    return [
      ...failures,
      ...retyped
        .filter(({ action }) => action === 'refuse')
        .map(({ message }) => ({ rule: 'schema.retyped', message })),
    ];
  }

  /** A batch that is not like those before it. A file that was refused for that and has been accepted since goes in. */
  #judgeHistory(profiled: ProfiledRelation): readonly FailedReason[] {
    // What transforms compute follows their parents, unless it is said that it should not.
    if (this.options.state || (this.source.read.kind === 'transform' && !this.source.history)) return [];
    const { ledger } = this.context;
    const { facts, history } = judgeBatchHistory(
      this.source,
      { rows: this.#read, now: this.options.now, ...profiled },
      this.#past(),
      () => this.#recent(DISTRIBUTION_BATCHES),
    );
    this.#notes = { ...this.#notes, facts, history };
    const failing = history.findings.filter(({ action }) => action === 'fail');
    const expected =
      failing.length > 0 &&
      ledger.expectedFiles(
        this.source.name,
        this.#files.map(({ sha256 }) => sha256),
      );
    for (const finding of history.findings)
      if (finding.action === 'warn' || expected) this.#warn(finding.id, finding.message, 0);
    return expected ? [] : failing.map(({ id, message }) => ({ rule: id, message }));
  }

  /** The rows of a data file that the source would accept by the rules for one record. */
  async #profileFile(path: string): Promise<BatchProfile> {
    const { db } = this.context;
    const declared = this.source.read.kind === 'files' ? this.source.read.format : undefined;
    const stagePath = join(this.context.temporaryFolder, `stage-${this.batch}-reference`);
    this.#stages.push(stagePath);
    const input = await openInput(db, this.source, inspectFile(path, declared), {
      stagePath,
      ...(this.options.signal ? { signal: this.options.signal } : {}),
    });
    await db.run(createStagedSql(this.source, 'reference_rows'));
    const reading = readingFrom(this.source, new Set(input.header));
    await db.run(insertStagedSql(reading, input, 0, this.options.now, 'reference_rows'));
    const { profile } = await profileRelation(
      db,
      this.source.fields,
      'SELECT "_line" AS "_row", * FROM reference_rows WHERE "_reasons" IS NULL',
      '"_row"',
      await this.#one('SELECT count(*) AS n FROM reference_rows WHERE "_reasons" IS NULL'),
    );
    return profile;
  }

  /** Which rows a rule sends to quarantine, for a source that takes none of them. */
  async #refusedExample(rule: string): Promise<string> {
    const unreadable = this.#inputs.flatMap((input) => input.unreadable.filter((row) => row.rule === rule));
    const rows = await this.context.db.rows<{ line: number }>(
      `SELECT "_line" AS line FROM judged WHERE list_contains("_reasons", ${quoteText(rule)}) ORDER BY ${POSITION} LIMIT ${FAIL_SAMPLE}`,
    );
    const lines = [...unreadable, ...rows].slice(0, FAIL_SAMPLE).map((row) => `line ${row.line}`);
    const n = this.#reasons[rule]!;
    const why = this.#errors[rule];
    return `${n} row${n === 1 ? '' : 's'} break${n === 1 ? 's' : ''} ${rule}${why === undefined ? '' : ` (${notJudged({ id: rule }, why)})`}; for example ${lines.join(', ')}`;
  }

  async #placeOf(rule: string): Promise<Place | undefined> {
    const rows = await this.context.db.rows<{ file: number; line: number }>(
      `SELECT "_file" AS file, "_line" AS line FROM judged WHERE list_contains("_marks", ${quoteText(rule)}) OR list_contains("_reasons", ${quoteText(rule)}) ORDER BY ${POSITION} LIMIT 1`,
    );
    const first = rows[0];
    return first && placeIn(this.source, this.#files[first.file]!.path, Number(first.line));
  }

  /** What a rule says about the first rows that break it. */
  async #example(rule: RowRule): Promise<string> {
    const value = rule.field === null ? "''" : `CAST(${quoteName(rule.field)} AS VARCHAR)`;
    const rows = await this.context.db.rows<{ file: number; line: number; value: string | null }>(
      `SELECT "_file" AS file, "_line" AS line, ${value} AS value FROM staged SEMI JOIN` +
        ` (SELECT "_file", "_line" FROM judged WHERE list_contains("_marks", ${quoteText(rule.id)}) ORDER BY ${POSITION} LIMIT ${FAIL_SAMPLE})` +
        ` USING ("_file", "_line") ORDER BY ${POSITION}`,
    );
    const error = this.#errors[rule.id];
    if (error !== undefined) return notJudged(rule, error);
    const places = rows
      .map((row) => `line ${row.line}${rule.field === null ? '' : ` (${row.value ?? 'null'})`}`)
      .join(', ');
    const type = typeOfField(this.source.fields, rule.field);
    const what = messageFor(rule, null, type).replace(
      `${rule.field} is null, expected`,
      `${rule.field}: expected`,
    );
    return `${what}; for example ${places}`;
  }

  /** The counts, when the log ends with `seq`. */
  result(seq: number): IngestResult {
    const { rows, accepted, quarantined, duplicates, dropped } = this.counts;
    invariant(
      rows === accepted + quarantined + duplicates + dropped,
      `rows of a batch are lost: ${rows} in, ${accepted} accepted + ${quarantined} quarantined + ${duplicates} duplicates + ${dropped} dropped`,
    );
    return {
      source: this.source.name,
      batch: this.batch,
      ...this.counts,
      seq,
      warnings: this.#warnings,
      reasons: this.#reasons,
      repairs: this.#repairs,
      drops: this.#drops,
      flags: this.#flags,
    };
  }

  #refuse(failures: readonly FailedReason[], hint: string | undefined, place: Place): MillraceError {
    const message = failures.map((failure) => failure.message).join('; ');
    const { counts } = this;
    this.context.ledger.refuse(
      {
        result: {
          source: this.source.name,
          batch: this.batch,
          ...counts,
          accepted: 0,
          corrections: 0,
          repaired: 0,
          repairs: {},
          drops: {},
          flags: {},
          seq: this.context.lastSeq,
          warnings: this.#warnings,
          reasons: this.#reasons,
        },
        kind: 'files',
        at: this.options.now,
        fingerprint: this.source.fingerprint,
        maxAvailableAt: null,
        minEventTime: null,
        maxEventTime: null,
        hasVersions: false,
        files: this.#files,
        profile: this.#profile,
        notes: this.#notes,
      },
      message,
    );
    return new MillraceError('BATCH_REFUSED', `The batch for ${this.source.name} is refused: ${message}`, {
      place,
      ...(hint === undefined ? {} : { hint: `${hint} Nothing was appended.` }),
      data: { batch: this.batch, rules: failures.map((failure) => failure.rule) },
    });
  }

  /** Rows that say what is already known join `excluded`. */
  async #deduplicate(): Promise<void> {
    const { db, lastSeq } = this.context;
    const { source } = this;
    const relation = await this.#delivered();
    const keys = source.recordKey.map(quoteName);
    const same = (left: string, right: string, names: readonly string[], operator: string): string =>
      names.map((name) => `${left}.${name} ${operator} ${right}.${name}`).join(' AND ');
    const was = repairRules(source).fields.map((name) => `${deliveredColumn(name)} AS ${quoteName(name)}`);
    const delivered = was.length === 0 ? '*' : `* REPLACE (${was.join(', ')})`;
    const rowsWhere = (condition: string): string =>
      `(SELECT ${POSITION} AS "_row", ${delivered}, "_declared_order" AS "_order" FROM staged WHERE ${condition})`;
    const batch = (): string => rowsWhere(this.#acceptable);
    let repeated = 0;
    if (this.options.state) {
      const parts = { batch: rowsWhere(NOT_EXCLUDED), relation, log: this.context.relation };
      for (const sql of settleStateSql(source, parts, this.options.state)) await db.run(sql);
      repeated = await this.#countExcluded();
      this.#unmoved = false;
      this.counts.rows += await this.#one(`SELECT count(*) AS n FROM staged WHERE "_file" = ${RETRACTED}`);
    }
    await db.run(
      `CREATE OR REPLACE TEMP TABLE seen AS SELECT s."_row" FROM ${batch()} s` +
        (lastSeq === 0
          ? ' WHERE false'
          : ` WHERE EXISTS (SELECT 1 FROM (${relation}) l WHERE ${same('l', 's', keys, '=')})`),
    );
    const seen = await this.#one('SELECT count(*) AS n FROM seen');
    if (!this.options.state) {
      const repeats = await countRepeats(db, source, batch());
      if (seen === 0 && repeats === 0) return;
      const content = contentColumns(source).map(quoteName);
      if (source.availableAt.kind === 'append') {
        repeated += await this.#exclude(repetitionsSql(source, batch(), relation, content));
      } else {
        if (seen > 0)
          repeated += await this.#exclude(
            `SELECT s."_row" FROM ${batch()} s WHERE s."_row" IN (SELECT "_row" FROM seen)` +
              ` AND EXISTS (SELECT 1 FROM (${relation}) l WHERE ${same('l', 's', content, 'IS NOT DISTINCT FROM')})`,
          );
        if (repeats > 0)
          repeated += await this.#exclude(
            `SELECT "_row" FROM (SELECT s."_row", row_number() OVER` +
              ` (PARTITION BY ${content.map((name) => `s.${name}`).join(', ')} ORDER BY s."_row") AS "_copy"` +
              ` FROM ${batch()} s SEMI JOIN (${repeatedSql(source, batch())}) r ON ${same('r', 's', keys, '=')}) WHERE "_copy" > 1`,
          );
      }
    }
    this.counts.duplicates += repeated;
    this.counts.corrections = await this.#one(
      `SELECT count(*) AS n FROM (SELECT "_row", row_number() OVER (PARTITION BY ${keys.join(', ')} ORDER BY "_row") AS "_copy"` +
        ` FROM ${batch()}) WHERE "_copy" > 1 OR "_row" IN (SELECT "_row" FROM seen)`,
    );
  }

  /** The log with what was delivered in the place of what was repaired: what makes two deliveries the same. */
  async #delivered(): Promise<string> {
    const { db, lastSeq, relation } = this.context;
    if (lastSeq === 0) return relation;
    const repaired = await db.rows<{ field: string }>(
      `SELECT DISTINCT unnest(list_transform("_repairs", lambda r: r.field)) AS field FROM (${relation}) WHERE "_repairs" IS NOT NULL`,
    );
    const names = new Set(repaired.map((row) => row.field));
    const restored = this.source.fields
      .filter((field) => names.has(field.name))
      .map(({ name, type }) => `${deliveredSql(type, name, quoteName(name))} AS ${quoteName(name)}`);
    return restored.length === 0 ? relation : `SELECT * REPLACE (${restored.join(', ')}) FROM (${relation})`;
  }

  async #countRepairs(): Promise<void> {
    if (repairRules(this.source).fields.length === 0) return;
    const accepted = `staged WHERE ${this.#acceptable} AND "_repairs" IS NOT NULL`;
    this.counts.repaired = await this.#one(`SELECT count(*) AS n FROM ${accepted}`);
    const rules = await this.#perRule(
      'list_transform("_repairs", lambda r: r.rule)',
      this.#acceptable,
      'staged',
    );
    this.#repairs = Object.fromEntries(rules);
  }

  async #countFlags(): Promise<void> {
    const flags = this.#rulesWith('flag');
    if (flags.length === 0) return;
    const marks = await this.#perRule('"_marks"', this.#acceptable);
    this.#flags = Object.fromEntries([...marks].filter(([rule]) => flags.some(({ id }) => id === rule)));
  }

  /** Writes the segment and commits the batch. */
  async append(): Promise<IngestResult> {
    const { ledger, lastSeq, folder } = this.context;
    const { source } = this;
    const refused = await this.#refusedRows();
    const common = {
      kind: 'files',
      at: this.options.now,
      fingerprint: source.fingerprint,
      files: this.#files,
      quarantined: refused.rows(false),
      again: refused.rows(true),
      profile: this.#profile,
      notes: this.#notes,
    } as const;
    if (this.counts.accepted === 0) {
      const result = this.result(lastSeq);
      ledger.commit({
        ...common,
        result,
        segment: null,
        maxAvailableAt: null,
        minEventTime: null,
        maxEventTime: null,
        hasVersions: false,
      });
      return result;
    }
    const firstSeq = lastSeq + 1;
    const final = join(folder, `${String(firstSeq).padStart(15, '0')}-${this.batch}.parquet`);
    const temporary = join(folder, `.${this.batch}.tmp`);
    try {
      const summary = await this.#write(temporary, firstSeq);
      this.options.signal?.throwIfAborted();
      publishFile(temporary, final);
      const bytes = statSync(final).size;
      const columns = Object.fromEntries(logColumns(source));
      const seq = lastSeq + summary.rows;
      invariant(
        summary.rows === this.counts.accepted,
        `${summary.rows} rows were written for ${this.counts.accepted} accepted`,
      );
      const result = this.result(seq);
      const commit: BatchCommit = {
        ...common,
        result,
        segment: {
          file: final,
          format: 'parquet',
          rows: summary.rows,
          firstSeq,
          lastSeq: seq,
          columns,
          bytes,
        },
        maxAvailableAt: summary.maxAvailableAt,
        minEventTime: summary.minEventTime,
        maxEventTime: summary.maxEventTime,
        hasVersions: this.counts.corrections > 0 || summary.deleted > 0,
        ...(this.#columns ? { columns: this.#columns } : {}),
      };
      ledger.commit(commit);
      return result;
    } catch (error) {
      rmSync(temporary, { force: true });
      rmSync(final, { force: true });
      throw error;
    }
  }

  async #write(file: string, firstSeq: number): Promise<Written> {
    const { db } = this.context;
    const { source } = this;
    const everything =
      this.#unmoved &&
      this.counts.accepted === this.counts.rows &&
      this.#inputs.every((input) => input.unreadable.length === 0);
    // Rows that were not moved are read in the order of their places: they are numbered as they come, not sorted.
    const seq = everything
      ? `${firstSeq} + ${this.#streamed ? '"_place"' : 'rowid'}`
      : `${firstSeq - 1} + row_number() OVER (${this.#unmoved ? '' : `ORDER BY ${POSITION}`})`;
    const flags = this.#rulesWith('flag').map((rule) => quoteText(rule.id));
    const flagged =
      flags.length === 0
        ? 'CAST(NULL AS VARCHAR[])'
        : `nullif(list_filter("_marks", lambda id: id IN (${flags.join(', ')})), [])`;
    const fields = source.fields.map((field) => quoteName(field.name));
    const repairs =
      repairRules(source).fields.length > 0 ? '"_repairs"' : `CAST(NULL AS ${REPAIRS_TYPE}) AS "_repairs"`;
    const numbered = `SELECT ${fields.map((name) => `${name}, `).join('')}${seq} AS "_seq", "_declared_order", "_event_time", "_available_at", "_deleted", ${flagged} AS "_flags", ${repairs} FROM staged${everything ? '' : ` WHERE ${this.#acceptable}`}`;
    const select = logColumns(source).map(([name, type]) =>
      name === '_order'
        ? `CAST(coalesce("_declared_order", "_seq") AS BIGINT) AS "_order"`
        : name === '_seq'
          ? 'CAST("_seq" AS BIGINT) AS "_seq"'
          : `CAST(${quoteName(name)} AS ${type}) AS ${quoteName(name)}`,
    );
    await db.run(
      `COPY (SELECT ${select.join(', ')} FROM (${numbered})${this.#unmoved ? '' : ' ORDER BY "_seq"'}) TO ${quoteText(file)} (FORMAT parquet, COMPRESSION zstd, PARQUET_VERSION v2)`,
    );
    const rows = await db.rows<Written>(
      'SELECT count(*) AS rows, count(*) FILTER ("_deleted") AS deleted, max("_available_at") AS "maxAvailableAt",' +
        ` min("_event_time") AS "minEventTime", max("_event_time") AS "maxEventTime" FROM read_parquet(${quoteText(file)})`,
    );
    return rows[0]!;
  }

  /**
   * Ledger entries of every refused row, or of the first `most` of each file: what stood in the file and what is wrong
   * with it.
   */
  async #refusedRows(most?: number): Promise<RefusedRows> {
    const { db, ledger, temporaryFolder } = this.context;
    const out = new RefusedRows(join(temporaryFolder, `refused-${this.batch}`));
    this.#refused = out;
    /** Refused rows that the ledger has from an earlier reading are duplicates, as accepted ones are. */
    const settle = (entries: readonly NewQuarantinedRow[]): void => {
      const held = ledger.held(
        this.source.name,
        entries.map(({ digest }) => digest),
      );
      for (const row of entries) {
        const again = held.has(row.digest);
        out.add(row, again);
        if (!again) continue;
        this.counts.quarantined--;
        this.counts.duplicates++;
        for (const rule of new Set(row.reasons.map((reason) => reason.rule))) {
          this.#reasons[rule]!--;
          if (this.#reasons[rule] === 0) delete this.#reasons[rule];
        }
      }
    };
    const copies = new Map<string, number>();
    const wide = wideSource(this.source);
    const repairing = repairRules(wide).fields;
    for (const [index, input] of this.#inputs.entries()) {
      const { path } = this.#files[index]!;
      const explain = explainer(input.source, this.#errors);
      const entry = (
        line: number,
        row: Readonly<Record<string, unknown>>,
        reasons: QuarantinedRow['reasons'],
      ): NewQuarantinedRow => {
        const content = sha256(toJsonText(Object.entries(row).sort(([a], [b]) => (a < b ? -1 : 1))));
        const copy = (copies.get(content) ?? 0) + 1;
        copies.set(content, copy);
        return {
          file: path,
          line,
          row,
          reasons,
          digest: copy === 1 ? content : sha256(`${copy}:${content}`),
        };
      };
      settle(
        input.unreadable
          .slice(0, most)
          .map((bad) =>
            entry(bad.line, { _text: bad.text, _columns: input.header }, [
              { rule: bad.rule, field: null, value: bad.text, message: bad.message },
            ]),
          ),
      );
      const names = input.header;
      const json = input.format === 'json' || input.format === 'ndjson';
      const texts = rawTexts(input).map((_, i) => `"_raw"[${i + 1}] AS t${i}`);
      await db.stream(
        `SELECT "_line", array_to_string("_reasons", chr(1)) AS ids, "_repaired", ${texts.join(', ')} FROM judged` +
          ` WHERE "_file" = ${index} AND "_reasons" IS NOT NULL ORDER BY "_line"${most === undefined ? '' : ` LIMIT ${most}`}`,
        ({ rows, columns }) => {
          const cells = columns.slice(3);
          const entries: NewQuarantinedRow[] = [];
          for (let i = 0; i < rows; i++) {
            const line = Number(columns[0]!.data[i]);
            const row = json
              ? (JSON.parse(cells[0]!.data[i] as string) as Record<string, unknown>)
              : Object.fromEntries(names.map((name, c) => [name, cells[c]!.data[i] as string | null]));
            const rules = (columns[1]!.data[i] as string).split('\u0001');
            const repaired =
              columns[2]!.valid?.[i] === 0 ? null : (columns[2]!.data[i] as (string | null)[] | null);
            const values = new Map(
              (repaired ?? []).map((text, index) => [
                repairing[index]!,
                decodeValue(typeOfField(wide.fields, repairing[index]!), text),
              ]),
            );
            entries.push(entry(line, row, explain(row, rules, json, values)));
          }
          settle(entries);
        },
      );
    }
    invariant(
      most !== undefined || out.fresh === this.counts.quarantined,
      `${out.fresh} rows reach the ledger for ${this.counts.quarantined} quarantined in ${wide.name}`,
    );
    return out;
  }
}

const NOT_EXCLUDED = `${POSITION} NOT IN (SELECT "_row" FROM excluded)`;

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

/** What `lastSql` found for a staged row, as SQL of the field's type. */
const decodedFilled = (source: Source, rule: RepairRule): string =>
  decodeSql(
    typeOfField(source.fields, rule.field),
    `(SELECT filled.value FROM filled WHERE filled."_row" = ${POSITION})`,
  );
