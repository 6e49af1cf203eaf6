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
  encodeSql,
  isReference,
  isSql,
  isUnique,
  judgeBatch,
  judgedAction,
  messageFor,
  notJudged,
  REPAIRS_TYPE,
  type Reason,
  type RepairRule,
  referenceSql,
  repairRules,
  repairSql,
  rowRuleSql,
  typeOfField,
  typeReason,
  uniqueSql,
} from '../../core/quality/index.js';
import { coerceJson, coerceText } from '../../core/schema/coerce.js';
import { printValue } from '../../core/schema/coerce-print.js';
import { inTimeFormat } from '../../core/schema/time-format.js';
import type { Value } from '../../core/schema/types.js';
import type {
  BatchFile,
  BatchNotes,
  IngestResult,
  QuarantinedRow,
  SchemaChange,
  StateScope,
} from '../../ports/record-log.js';
import type { DuckDbConnection } from '../duckdb/connection.js';
import { interruptible, quoteName, quoteText } from '../duckdb/text.js';
import { publishFile } from '../files/durable.js';
import { expandFiles, hashFile, type InputFile, inspectFile } from '../files/inputs.js';
import { judgeBatchHistory } from './batch-history.js';
import { judgeDistributions } from './distributions.js';
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
import { RECENT_BATCHES, readingFrom, retypedFields, settleSchema } from './schema-change.js';
import { contentColumns, inputFields, logColumns } from './shape.js';
import { measureSqlRules, queryFault } from './sql-rules.js';
import {
  coerceOptions,
  createStagedSql,
  deliveredColumn,
  insertStagedSql,
  POSITION,
  RANGE_RULE,
  READINGS,
  rejudgeSql,
  scriptRules,
  wideSource,
} from './stage.js';
import { RETRACTED, settleStateSql } from './state-batch.js';

export interface IngestContext {
  readonly db: DuckDbConnection;
  readonly ledger: Ledger;
  /** Folder of this source's segments. */
  readonly folder: string;
  readonly temporaryFolder: string;
  readonly projectFolder: string;
  readonly lastSeq: number;
  /** SELECT over everything in the log of this source now. */
  readonly relation: string;
  /** SELECT over the known records of a source, by name (see `knownSql`). Absent options: in hindsight. */
  known(source: string, options?: { readonly hindsight: boolean; readonly repairs?: boolean }): string;
}

export interface IngestOptions {
  readonly now: Instant;
  readonly signal?: AbortSignal;
  readonly state?: StateScope;
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
export async function ingestFiles(
  context: IngestContext,
  source: Source,
  patterns: readonly string[],
  options: IngestOptions,
): Promise<IngestResult> {
  const { ledger } = context;
  const declared = source.read.kind === 'files' ? source.read.format : undefined;
  const files = expandFiles(patterns, context.projectFolder).map((path) => inspectFile(path, declared));
  const hashed = files.map((file) => ({ file, sha256: hashFile(file.path, options.signal) }));
  const batch = randomUUID();
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
  if (fresh.length === 0) {
    return {
      source: source.name,
      batch,
      ...counts,
      seq: context.lastSeq,
      warnings: [],
      reasons: {},
      repairs: {},
      drops: {},
      flags: {},
    };
  }
  const work = new FileBatch(context, source, batch, options, counts);
  const stop = interruptible(context.db, options.signal);
  try {
    return await work.run(fresh);
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
  ) {}

  async run(files: readonly { file: InputFile; sha256: string }[]): Promise<IngestResult> {
    const { db } = this.context;
    await db.run(createStagedSql(this.source));
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
      await db.run(insertStagedSql(input.source, input, index, this.options.now));
      const staged = await this.#one(`SELECT count(*) AS n FROM staged WHERE "_file" = ${index}`);
      const rows = staged + input.unreadable.length;
      this.#files.push({ path: file.path, sha256, rows });
      this.counts.rows += rows;
      this.#read += rows;
      if (rows === 0 && !this.options.state)
        this.#warn('file.no_rows', `${file.path} has a header and no rows`, 0);
    }
    await this.#repairLate();
    await this.#judgeRelations();
    await this.#judge();
    await this.#deduplicate();
    await this.#countRepairs();
    await this.#countFlags();
    return this.#append();
  }

  async clear(): Promise<void> {
    this.#refused?.close();
    for (const stage of this.#stages) rmSync(stage, { force: true });
    await this.context.db.run('DROP VIEW IF EXISTS temp."_batch"').catch(() => undefined);
    for (const table of [
      'staged',
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

  /** Rule id → staged rows with it in a list of theirs. */
  async #perRule(list: string, where: string): Promise<Map<string, number>> {
    const rows = await this.context.db.rows<{ rule: string; n: number }>(
      `SELECT rule, count(*) AS n FROM (SELECT unnest(list_distinct(${list})) AS rule FROM staged WHERE ${where}) GROUP BY rule ORDER BY rule`,
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
    this.counts.quarantined += await this.#one(
      'SELECT count(*) AS n FROM staged WHERE "_reasons" IS NOT NULL',
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
      await db.run(
        `CREATE OR REPLACE TEMP TABLE excluded AS SELECT ${POSITION} AS "_row" FROM staged WHERE "_reasons" IS NULL AND list_has_any("_marks", [${ids}])`,
      );
      this.counts.dropped = await this.#one('SELECT count(*) AS n FROM excluded');
      const dropping = await this.#perRule('"_marks"', `${POSITION} IN (SELECT "_row" FROM excluded)`);
      this.#drops = Object.fromEntries([...dropping].filter(([rule]) => drop.some(({ id }) => id === rule)));
    } else {
      await db.run('CREATE OR REPLACE TEMP TABLE excluded ("_row" BIGINT)');
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
              `SELECT ${measures.join(', ')} FROM staged WHERE ${ACCEPTABLE}`,
            )
          )[0]!;
    const passed = `SELECT ${POSITION} AS "_row", ${this.#batchColumns()} FROM staged WHERE ${ACCEPTABLE}`;
    const measured = await measureSqlRules(db, contract.batch, passed, this.options.signal);
    Object.assign(values, measured.values);
    Object.assign(this.#errors, measured.errors);
    const { profile, samples } = await profileRelation(db, this.source.fields, passed, '"_row"');
    this.#columns = profile;
    failures.push(...this.#judgeSchema(), ...this.#judgeHistory({ profile, samples }));
    const distributions = await judgeDistributions(contract.batch, samples, {
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
    if (all('history.'))
      return `If this is right, run \`millrace batches accept ${this.batch}\` and ingest again.`;
    const kinds = [...new Set(failures.map(({ rule }) => rule.replace('schema.', '')))];
    return all('schema.')
      ? `If this is right, say so at ${this.source.name}: \`schema_changes: { ${kinds.map((kind) => `${kind}: alert`).join(', ')} }\`.`
      : undefined;
  }

  #profile: Record<string, unknown> = {};
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
    );
    return profile;
  }

  /** Which rows a rule sends to quarantine, for a source that takes none of them. */
  async #refusedExample(rule: string): Promise<string> {
    const unreadable = this.#inputs.flatMap((input) => input.unreadable.filter((row) => row.rule === rule));
    const rows = await this.context.db.rows<{ line: number }>(
      `SELECT "_line" AS line FROM staged WHERE list_contains("_reasons", ${quoteText(rule)}) ORDER BY ${POSITION} LIMIT ${FAIL_SAMPLE}`,
    );
    const lines = [...unreadable, ...rows].slice(0, FAIL_SAMPLE).map((row) => `line ${row.line}`);
    const n = this.#reasons[rule]!;
    const why = this.#errors[rule];
    return `${n} row${n === 1 ? '' : 's'} break${n === 1 ? 's' : ''} ${rule}${why === undefined ? '' : ` (${notJudged({ id: rule }, why)})`}; for example ${lines.join(', ')}`;
  }

  async #placeOf(rule: string): Promise<Place | undefined> {
    const rows = await this.context.db.rows<{ file: number; line: number }>(
      `SELECT "_file" AS file, "_line" AS line FROM staged WHERE list_contains("_marks", ${quoteText(rule)}) OR list_contains("_reasons", ${quoteText(rule)}) ORDER BY ${POSITION} LIMIT 1`,
    );
    const first = rows[0];
    return first && placeIn(this.source, this.#files[first.file]!.path, Number(first.line));
  }

  /** What a rule says about the first rows that break it. */
  async #example(rule: RowRule): Promise<string> {
    const value = rule.field === null ? "''" : `CAST(${quoteName(rule.field)} AS VARCHAR)`;
    const rows = await this.context.db.rows<{ file: number; line: number; value: string | null }>(
      `SELECT "_file" AS file, "_line" AS line, ${value} AS value FROM staged` +
        ` WHERE list_contains("_marks", ${quoteText(rule.id)}) ORDER BY ${POSITION} LIMIT ${FAIL_SAMPLE}`,
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

  #result(seq: number): IngestResult {
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
    const before = await this.#one('SELECT count(*) AS n FROM excluded');
    const same = (left: string, right: string, names: readonly string[], operator: string): string =>
      names.map((name) => `${left}.${name} ${operator} ${right}.${name}`).join(' AND ');
    const was = repairRules(source).fields.map((name) => `${deliveredColumn(name)} AS ${quoteName(name)}`);
    const delivered = was.length === 0 ? '*' : `* REPLACE (${was.join(', ')})`;
    const batch = `(SELECT ${POSITION} AS "_row", ${delivered}, "_declared_order" AS "_order" FROM staged WHERE ${ACCEPTABLE})`;
    if (this.options.state) {
      const parts = { batch, relation, log: this.context.relation };
      for (const sql of settleStateSql(source, parts, this.options.state)) await db.run(sql);
      this.#unmoved = false;
      this.counts.rows += await this.#one(`SELECT count(*) AS n FROM staged WHERE "_file" = ${RETRACTED}`);
    }
    await db.run(
      `CREATE OR REPLACE TEMP TABLE seen AS SELECT s."_row" FROM ${batch} s` +
        (lastSeq === 0
          ? ' WHERE false'
          : ` WHERE EXISTS (SELECT 1 FROM (${relation}) l WHERE ${same('l', 's', keys, '=')})`),
    );
    const seen = await this.#one('SELECT count(*) AS n FROM seen');
    if (this.options.state) {
      this.counts.duplicates += (await this.#one('SELECT count(*) AS n FROM excluded')) - before;
      this.counts.corrections = await this.#one(
        `SELECT count(*) AS n FROM (SELECT "_row", row_number() OVER (PARTITION BY ${keys.join(', ')} ORDER BY "_row") AS "_copy"` +
          ` FROM ${batch}) WHERE "_copy" > 1 OR "_row" IN (SELECT "_row" FROM seen)`,
      );
      return;
    }
    const repeated = `SELECT ${keys.join(', ')} FROM ${batch} GROUP BY ALL HAVING count(*) > 1`;
    const repeats = await this.#one(`SELECT count(*) AS n FROM (${repeated})`);
    if (seen === 0 && repeats === 0) return;
    const content = contentColumns(source).map(quoteName);
    if (source.availableAt.kind === 'append') {
      await this.#excludeRepetitions(batch, relation, keys, content);
    } else {
      if (seen > 0) {
        await db.run(
          `INSERT INTO excluded SELECT s."_row" FROM ${batch} s WHERE s."_row" IN (SELECT "_row" FROM seen)` +
            ` AND EXISTS (SELECT 1 FROM (${relation}) l WHERE ${same('l', 's', content, 'IS NOT DISTINCT FROM')})`,
        );
      }
      if (repeats > 0) {
        await db.run(
          `INSERT INTO excluded SELECT "_row" FROM (SELECT s."_row", row_number() OVER` +
            ` (PARTITION BY ${content.map((name) => `s.${name}`).join(', ')} ORDER BY s."_row") AS "_copy"` +
            ` FROM ${batch} s SEMI JOIN (${repeated}) r ON ${same('r', 's', keys, '=')}) WHERE "_copy" > 1`,
        );
      }
    }
    this.counts.duplicates += (await this.#one('SELECT count(*) AS n FROM excluded')) - before;
    this.counts.corrections = await this.#one(
      `SELECT count(*) AS n FROM (SELECT "_row", row_number() OVER (PARTITION BY ${keys.join(', ')} ORDER BY "_row") AS "_copy"` +
        ` FROM ${batch}) WHERE "_copy" > 1 OR "_row" IN (SELECT "_row" FROM seen)`,
    );
  }

  /** Availability of the append: a row is a repetition when it equals the version before it, the log's last one first. */
  async #excludeRepetitions(
    batch: string,
    relation: string,
    keys: readonly string[],
    content: readonly string[],
  ): Promise<void> {
    const order = this.source.sequence === undefined ? '' : '"_order", ';
    const same = content.map((name) => `${name} IS NOT DISTINCT FROM lag(${name}) OVER w`).join(' AND ');
    const select = [...new Set([...keys, ...content])].join(', ');
    const last =
      `SELECT -1 AS "_row", ${select} FROM (${relation}) QUALIFY row_number() OVER` +
      ` (PARTITION BY ${keys.join(', ')} ORDER BY "_available_at" DESC, "_order" DESC, "_seq" DESC) = 1`;
    await this.context.db.run(
      `INSERT INTO excluded SELECT "_row" FROM (SELECT "_row", lag("_row") OVER w IS NOT NULL AND ${same} AS "_again"` +
        ` FROM (${last} UNION ALL SELECT "_row", ${select} FROM ${batch})` +
        ` WINDOW w AS (PARTITION BY ${keys.join(', ')} ORDER BY ${order}"_row")) WHERE "_again" AND "_row" >= 0`,
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
    const accepted = `staged WHERE ${ACCEPTABLE} AND "_repairs" IS NOT NULL`;
    this.counts.repaired = await this.#one(`SELECT count(*) AS n FROM ${accepted}`);
    const rules = await this.#perRule('list_transform("_repairs", lambda r: r.rule)', ACCEPTABLE);
    this.#repairs = Object.fromEntries(rules);
  }

  async #countFlags(): Promise<void> {
    const flags = this.#rulesWith('flag');
    if (flags.length === 0) return;
    const marks = await this.#perRule('"_marks"', ACCEPTABLE);
    this.#flags = Object.fromEntries([...marks].filter(([rule]) => flags.some(({ id }) => id === rule)));
  }

  async #append(): Promise<IngestResult> {
    const { ledger, lastSeq, folder } = this.context;
    const { source } = this;
    this.counts.accepted =
      this.counts.rows - this.counts.quarantined - this.counts.duplicates - this.counts.dropped;
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
      const result = this.#result(lastSeq);
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
      const result = this.#result(seq);
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
      ? `${firstSeq} + rowid`
      : `${firstSeq - 1} + row_number() OVER (${this.#unmoved ? '' : `ORDER BY ${POSITION}`})`;
    const flags = this.#rulesWith('flag').map((rule) => quoteText(rule.id));
    const flagged =
      flags.length === 0
        ? 'CAST(NULL AS VARCHAR[])'
        : `nullif(list_filter("_marks", lambda id: id IN (${flags.join(', ')})), [])`;
    const fields = source.fields.map((field) => quoteName(field.name));
    const repairs =
      repairRules(source).fields.length > 0 ? '"_repairs"' : `CAST(NULL AS ${REPAIRS_TYPE}) AS "_repairs"`;
    const numbered = `SELECT ${fields.map((name) => `${name}, `).join('')}${seq} AS "_seq", "_declared_order", "_event_time", "_available_at", "_deleted", ${flagged} AS "_flags", ${repairs} FROM staged${everything ? '' : ` WHERE ${ACCEPTABLE}`}`;
    const select = logColumns(source).map(([name, type]) =>
      name === '_order'
        ? `CAST(coalesce("_declared_order", "_seq") AS BIGINT) AS "_order"`
        : name === '_seq'
          ? 'CAST("_seq" AS BIGINT) AS "_seq"'
          : `CAST(${quoteName(name)} AS ${type}) AS ${quoteName(name)}`,
    );
    await db.run(
      `COPY (SELECT ${select.join(', ')} FROM (${numbered})${this.#unmoved ? '' : ' ORDER BY "_seq"'}) TO ${quoteText(file)} (FORMAT parquet, COMPRESSION zstd)`,
    );
    const rows = await db.rows<Written>(
      'SELECT count(*) AS rows, count(*) FILTER ("_deleted") AS deleted, max("_available_at") AS "maxAvailableAt",' +
        ` min("_event_time") AS "minEventTime", max("_event_time") AS "maxEventTime" FROM staged WHERE ${ACCEPTABLE}`,
    );
    return rows[0]!;
  }

  /** Ledger entries of every refused row: what stood in the file and what is wrong with it. */
  async #refusedRows(): Promise<RefusedRows> {
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
    const repaired =
      repairing.length === 0
        ? 'CAST(NULL AS VARCHAR[])'
        : `CASE WHEN "_repairs" IS NOT NULL THEN [${repairing
            .map((name) => encodeSql(typeOfField(wide.fields, name), quoteName(name)))
            .join(', ')}] END`;
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
        input.unreadable.map((bad) =>
          entry(bad.line, { _text: bad.text, _columns: input.header }, [
            { rule: bad.rule, field: null, value: bad.text, message: bad.message },
          ]),
        ),
      );
      const refused = await this.#one(
        `SELECT count(*) AS n FROM staged WHERE "_file" = ${index} AND "_reasons" IS NOT NULL`,
      );
      if (refused === 0) continue;
      const names = input.header;
      const raw =
        input.format === 'csv'
          ? names.map((_, i) => `raw."_c${i}"`)
          : input.format === 'parquet'
            ? names.map((_, i) => `CAST(raw."_c${i}" AS VARCHAR) AS "_c${i}"`)
            : ['CAST(raw."_j" AS VARCHAR) AS "_j"'];
      await db.stream(
        `SELECT s."_line", array_to_string(s."_reasons", chr(1)), s.repaired, ${raw.join(', ')} FROM (SELECT "_line", "_reasons", ${repaired} AS repaired FROM staged WHERE "_file" = ${index} AND "_reasons" IS NOT NULL) s` +
          ` JOIN (${input.rawSql}) raw ON raw."_line" = s."_line" ORDER BY s."_line"`,
        ({ rows, columns }) => {
          const cells = columns.slice(3);
          const entries: NewQuarantinedRow[] = [];
          for (let i = 0; i < rows; i++) {
            const line = Number(columns[0]!.data[i]);
            const row =
              input.format === 'csv' || input.format === 'parquet'
                ? Object.fromEntries(names.map((name, c) => [name, cells[c]!.data[i] as string | null]))
                : (JSON.parse(cells[0]!.data[i] as string) as Record<string, unknown>);
            const rules = (columns[1]!.data[i] as string).split('\u0001');
            const texts =
              columns[2]!.valid?.[i] === 0 ? null : (columns[2]!.data[i] as (string | null)[] | null);
            const values = new Map(
              (texts ?? []).map((text, index) => [
                repairing[index]!,
                decodeValue(typeOfField(wide.fields, repairing[index]!), text),
              ]),
            );
            const json = input.format === 'json' || input.format === 'ndjson';
            entries.push(entry(line, row, explain(row, rules, json, values)));
          }
          settle(entries);
        },
      );
    }
    invariant(
      out.fresh === this.counts.quarantined,
      `${out.fresh} rows reach the ledger for ${this.counts.quarantined} quarantined in ${wide.name}`,
    );
    return out;
  }
}

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

const ACCEPTABLE = `"_reasons" IS NULL AND ${POSITION} NOT IN (SELECT "_row" FROM excluded)`;

/** What `lastSql` found for a staged row, as SQL of the field's type. */
const decodedFilled = (source: Source, rule: RepairRule): string =>
  decodeSql(
    typeOfField(source.fields, rule.field),
    `(SELECT filled.value FROM filled WHERE filled."_row" = ${POSITION})`,
  );

/** Messages for the rule ids that SQL found, from the row as it came and the values that rules put into it. */
function explainer(
  source: Source,
  errors: Readonly<Record<string, string>>,
): (
  row: Readonly<Record<string, unknown>>,
  rules: readonly string[],
  json: boolean,
  repaired: ReadonlyMap<string, Value>,
) => QuarantinedRow['reasons'] {
  const wide = wideSource(source);
  const fields = inputFields(source);
  const options = coerceOptions(source);
  const rules = new Map(effectiveContract(wide).rows.map((rule) => [rule.id, rule]));
  return (row, ids, json, repaired) => {
    const typed: Record<string, Value> = {};
    const typeReasons = new Map<string, Reason>();
    for (const field of fields) {
      const raw = row[field.from ?? field.name] ?? null;
      const coerced =
        raw === null
          ? null
          : json
            ? coerceJson(field.type, inTimeFormat(field, raw), options)
            : coerceText(field.type, inTimeFormat(field, raw) as string, options);
      typed[field.name] = coerced?.ok ? coerced.value : null;
      const reason = coerced && typeReason(field.name, raw, coerced);
      if (reason) typeReasons.set(reason.rule, reason);
    }
    const delivered = { ...typed };
    for (const [name, value] of repaired) typed[name] = value;
    return ids.map((id) => {
      const reason = typeReasons.get(id);
      if (reason) return { rule: id, field: reason.field, value: reason.value, message: reason.message };
      const rule = rules.get(id);
      if (!rule) {
        const field = fields.find((candidate) => id === `${candidate.name}.type`);
        const value = field ? (row[field.from ?? field.name] ?? null) : null;
        const message =
          id === RANGE_RULE
            ? 'available_at is outside of the years 1684 to 2255'
            : `${field?.name ?? id} cannot be read`;
        return { rule: id, field: field?.name ?? null, value, message };
      }
      const error = errors[id];
      if (rule.field === null)
        return {
          rule: id,
          field: null,
          value: null,
          message:
            error === undefined
              ? messageFor(rule, null, typeOfField(wide.fields, null))
              : notJudged(rule, error),
        };
      const type = typeOfField(wide.fields, rule.field);
      const value = typed[rule.field] ?? null;
      const given = row[fields.find((field) => field.name === rule.field)?.from ?? rule.field] ?? null;
      const shown = value === delivered[rule.field] ? given : printValue(type, value);
      return { rule: id, field: rule.field, value: shown, message: messageFor(rule, value, type) };
    });
  };
}
