import { createHash, randomUUID } from 'node:crypto';
import { rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { invariant, MillraceError } from '../../core/base/error.js';
import { type Instant, MAX_INSTANT } from '../../core/base/time.js';
import type { Source } from '../../core/define/types.js';
import {
  compileRowChecks,
  type Disposition,
  dispose,
  effectiveContract,
  isReference,
  isTombstone,
  isUnique,
  type Reason,
  type ReferenceRule,
  type Row,
  reasonFor,
  tupleKey,
  typeReason,
  type UniqueRule,
  uniqueCheck,
} from '../../core/quality/index.js';
import { coerceJson } from '../../core/schema/coerce.js';
import { literalSql } from '../../core/schema/coerce-sql.js';
import type { Value, ValueType } from '../../core/schema/types.js';
import type { IngestResult, LogRecord } from '../../ports/record-log.js';
import { type DuckDbConnection, quoteName, quoteText } from '../duckdb/connection.js';
import { publishFile } from '../files/durable.js';
import type { VersionIndex } from './dedupe.js';
import { type Ledger, type NewQuarantinedRow, toJsonText } from './ledger.js';
import { readRecords } from './records.js';
import { type LakeSegment, relationSql } from './relation.js';
import { compileRowCode, type RowCode } from './row-code.js';
import { inputFields, logColumns } from './shape.js';
import { sipHash128 } from './siphash.js';
import { coerceOptions, RANGE_RULE, READINGS, wideSource } from './stage.js';
import {
  LINE_END,
  PUSH_END,
  printTailLine,
  Tail,
  TailCounts,
  type TailLine,
  type TailSummary,
} from './tail.js';
import { TupleWords } from './tuple-words.js';
import { DIGEST_WORDS, type Digest } from './version-table.js';

/** What became of one row. */
export type RowFate = 'accepted' | 'quarantined' | 'duplicate' | 'dropped';

export interface RowsOutcome {
  readonly result: IngestResult;
  /** In the order of the rows. */
  readonly fates: readonly RowFate[];
  /** Reasons of the quarantined rows, by index. */
  readonly reasons: ReadonlyMap<number, readonly Reason[]>;
  /** What was appended. */
  readonly records: readonly LogRecord[];
}

export interface RowContext {
  readonly db: DuckDbConnection;
  readonly ledger: Ledger;
  readonly folder: string;
  /** A connection for work beside the pushes. */
  connect(): Promise<DuckDbConnection>;
  /** SELECT over the known records (in hindsight) of a source, by name. */
  known(source: string): string;
  /** Waits until the pushes to all sources that were decided are durable or have failed. */
  settled(): Promise<void>;
}

export interface RowsOptions {
  readonly now: Instant;
  /** False for rows that the ledger already holds (replay). */
  readonly record?: boolean;
}

const NOTHING_BROKEN: Disposition = { outcome: 'accept', flags: [], warnings: [] };
const NO_REASONS: readonly Reason[] = [];
/** Tuples that one query looks up. */
const LOOKUP_TUPLES = 10_000;
/** Full tails that wait to become segments; beyond this pushes wait for them. */
const MAX_FULL = 4;

interface Typed {
  readonly fields: Record<string, Value>;
  readonly reasons: readonly Reason[];
}

export interface Decision {
  readonly outcome: RowsOutcome;
  readonly durable: Promise<void>;
}

type Counts = Pick<IngestResult, 'rows' | 'accepted' | 'duplicates' | 'dropped' | 'corrections'>;

const noCounts = (rows = 0): { -readonly [K in keyof Counts]: number } => ({
  rows,
  accepted: rows,
  duplicates: 0,
  dropped: 0,
  corrections: 0,
});

/** A tail that takes no more pushes, and what was counted while it did. */
interface FullTail {
  readonly summary: TailSummary;
  readonly counts: Counts;
}

/** Rows of one source in hand → its log. Decides row by row, appends to the write-ahead tail, seals the tail. */
export class RowWriter {
  readonly #wide: Source;
  readonly #fields: ReturnType<typeof inputFields>;
  readonly #declared: ReadonlySet<string>;
  readonly #options: ReturnType<typeof coerceOptions>;
  readonly #checks: ((row: Row) => readonly Reason[]) | undefined;
  readonly #allChecks: (row: Row) => readonly Reason[];
  readonly #references: readonly ReferenceRule[];
  readonly #uniques: readonly UniqueRule[];
  readonly #code: RowCode;
  readonly #words = new TupleWords();
  readonly #key: Digest = new Int32Array(DIGEST_WORDS);
  readonly #content: Digest = new Int32Array(DIGEST_WORDS);
  #sinceFull: ReturnType<typeof noCounts>;
  #full: FullTail[];
  /** The greatest available_at given: one that is the instant of the append never goes back (see `decide`). */
  #newest: Instant;
  #sealing: Promise<void> | undefined;
  #warm = false;

  private constructor(
    readonly source: Source,
    readonly context: RowContext,
    readonly index: VersionIndex,
    public tail: Tail,
    full: readonly TailSummary[],
  ) {
    this.#wide = wideSource(source);
    this.#fields = inputFields(source);
    this.#declared = new Set(this.#fields.flatMap((field) => [field.name, field.from ?? field.name]));
    this.#options = coerceOptions(source);
    this.#code = compileRowCode(source);
    const { rows } = effectiveContract(this.#wide);
    this.#allChecks = compileRowChecks(this.#wide, READINGS);
    // `RowCode.read` gives no row that breaks an implied rule.
    const implied = effectiveContract({ ...this.#wide, contract: { rows: [], batch: [] } }).rows;
    const ids = new Set(implied.map((rule) => rule.id));
    this.#checks = rows.every((rule) => ids.has(rule.id) && rule.check.kind === 'not_null')
      ? undefined
      : this.#allChecks;
    this.#references = rows.filter(isReference);
    this.#uniques = rows.filter(isUnique);
    this.#full = full.map((summary) => ({ summary, counts: noCounts(summary.rows) }));
    this.#sinceFull = noCounts(tail.summary.rows);
    this.#newest = Math.max(
      context.ledger.state(source.name).maxAvailableAt ?? -Infinity,
      ...[...full, tail.summary].map((summary) => summary.maxAvailableAt ?? -Infinity),
    );
    this.#watch(tail);
  }

  static open(source: Source, context: RowContext, index: VersionIndex): RowWriter {
    const { tail, full } = Tail.open(context.folder, context.ledger.state(source.name).lastSeq);
    return new RowWriter(source, context, index, tail, full);
  }

  #watch(tail: Tail): void {
    tail.onFailure = () => this.index.truncate(tail.summary.lastSeq);
  }

  /** What is durable and not in a segment, oldest first. */
  get tails(): readonly TailSummary[] {
    const { summary } = this.tail;
    const full = this.#full.map((item) => item.summary);
    return summary.rows === 0 ? full : [...full, summary];
  }

  segments(): readonly LakeSegment[] {
    return [...this.context.ledger.state(this.source.name).segments, ...this.tails.map(tailSegment)];
  }

  /** True when `decide` needs no other work before it and no query: it then answers at once. */
  get ready(): boolean {
    return this.#warm && !this.index.full && this.#full.length < MAX_FULL && !this.#relates;
  }

  get #relates(): boolean {
    return this.#references.length + this.#uniques.length > 0;
  }

  /** Brings the index of known versions up to the log. Must not overlap with `decide`. */
  async prepare(): Promise<void> {
    const { index } = this;
    if (!this.#warm) {
      await this.#warmUp();
      this.#warm = true;
    }
    if (index.full) {
      await this.tail.drain();
      index.freeze();
    }
    if (this.#full.length >= MAX_FULL) await this.seal();
  }

  async #warmUp(): Promise<void> {
    const { source, index } = this;
    const last = this.tail.summary.lastSeq;
    if (index.position > last) {
      await index.flush();
      index.clear();
    }
    if (index.position === last) return;
    const sql = `SELECT * FROM (${relationSql(source, this.segments())}) WHERE "_seq" > ${index.position} ORDER BY "_seq"`;
    await readRecords(
      this.context.db,
      source.fields,
      sql,
      async (rows) => {
        for (const row of rows) {
          this.#digest(row.fields, row);
          index.add(this.#key, this.#content, row.availableAt, row.order, row.seq);
        }
        if (!index.full) return;
        index.freeze();
        await index.flush();
      },
      { order: '"_order"' },
    );
  }

  /** Digests of the record key, a typed tuple, and of what makes two deliveries of it the same (see `contentColumns`). */
  #digest(fields: Readonly<Record<string, Value>>, record: Omit<LogRecord, 'seq' | 'fields'>): void {
    const words = this.#words;
    const { key } = this.index;
    words.clear();
    this.#code.key(fields, words);
    sipHash128(key, words.words, words.length, this.#key);
    words.clear();
    this.#code.content(fields, record, words);
    sipHash128(key, words.words, words.length, this.#content);
  }

  #type(raw: Readonly<Record<string, unknown>>): Typed {
    const plain = this.#code.read(raw);
    if (plain !== undefined)
      return { fields: plain, reasons: this.#checks === undefined ? NO_REASONS : this.#checks(plain) };
    const options = this.#options;
    const values: (readonly [string, Value])[] = [];
    const reasons: Reason[] = [];
    for (const { name, from, type } of this.#fields) {
      const given = own(raw, name) ?? (from === undefined ? undefined : own(raw, from));
      const coerced = coerceJson(type, given, options);
      values.push([name, coerced.ok ? coerced.value : null]);
      const reason = typeReason(name, given, coerced);
      if (reason) reasons.push(reason);
    }
    const fields = Object.fromEntries(values);
    const broken = this.#allChecks(fields);
    if (broken.length === 0) return { fields, reasons };
    const unread = new Set(reasons.map((reason) => reason.field));
    for (const reason of broken) {
      // A value that could not be read is null here; its type reason already says why.
      if (!(reason.rule.endsWith('.not_null') && unread.has(reason.field))) reasons.push(reason);
    }
    return { fields, reasons };
  }

  /** Rows that break a rule over other records; `alive` are those that passed so far. */
  async #judgeRelations(
    typed: readonly Typed[],
    alive: (index: number) => boolean,
  ): Promise<Map<number, Reason[]>> {
    const out = new Map<number, Reason[]>();
    const add = (index: number, reason: Reason): void =>
      void out.set(index, [...(out.get(index) ?? []), reason]);
    const judged = (index: number): boolean =>
      alive(index) && !out.get(index)?.some((reason) => reason.action === 'quarantine');
    for (const rule of this.#references) {
      const field = rule.field!;
      const wanted = typed.flatMap((row, index) =>
        judged(index) && row.fields[field] !== null ? [row.fields[field]!] : [],
      );
      const found = await this.#existing(
        this.context.known(rule.check.source),
        [[rule.check.field, this.#typeOf(field)]],
        wanted.map((value) => [value]),
      );
      const known = new Set(found.map((values) => tupleKey(values)));
      if (rule.check.source === this.source.name) {
        for (const [index, row] of typed.entries())
          if (judged(index)) known.add(tupleKey([row.fields[rule.check.field] ?? null]));
      }
      for (const [index, row] of typed.entries()) {
        const value = row.fields[field] ?? null;
        if (judged(index) && value !== null && !known.has(tupleKey([value])))
          add(index, reasonFor(rule, row.fields, this.#wide.fields));
      }
    }
    for (const rule of this.#uniques) {
      const { fields } = rule.check;
      const wanted = typed.flatMap((row, index) =>
        judged(index) ? [fields.map((name) => row.fields[name] ?? null)] : [],
      );
      const found = await this.#existing(
        this.context.known(this.source.name),
        fields.map((name) => [name, this.#typeOf(name)] as const),
        wanted.filter((values) => !values.includes(null)),
        this.source.recordKey,
      );
      const holders = new Map<string, Value[][]>();
      for (const values of found) {
        const tuple = tupleKey(values.slice(0, fields.length));
        holders.set(tuple, [...(holders.get(tuple) ?? []), values.slice(fields.length)]);
      }
      const broken = uniqueCheck(
        rule,
        this.source.recordKey,
        (values) => holders.get(tupleKey(values)) ?? [],
      );
      for (const [index, row] of typed.entries()) {
        if (judged(index) && broken(row.fields)) add(index, reasonFor(rule, row.fields, this.#wide.fields));
      }
    }
    return out;
  }

  /** Which tuples known records have, each followed by the columns `also`. `fields` gives the columns' types. */
  async #existing(
    relation: string,
    columns: readonly (readonly [string, ValueType])[],
    tuples: readonly (readonly Value[])[],
    also: readonly string[] = [],
  ): Promise<Value[][]> {
    if (tuples.length > LOOKUP_TUPLES) {
      const out: Value[][] = [];
      for (let at = 0; at < tuples.length; at += LOOKUP_TUPLES) {
        out.push(...(await this.#existing(relation, columns, tuples.slice(at, at + LOOKUP_TUPLES), also)));
      }
      return out;
    }
    if (tuples.length === 0) return [];
    const values = tuples.map(
      (tuple) => `(${tuple.map((value, i) => literalSql(columns[i]![1], value)).join(', ')})`,
    );
    const wanted = `(SELECT DISTINCT * FROM (VALUES ${values.join(', ')}) AS t(${columns.map((_, i) => `w${i}`).join(', ')}))`;
    const on = columns.map(([name], i) => `k.${quoteName(name)} = w.w${i}`).join(' AND ');
    const fields = [
      ...columns.map(([name, type], i) => ({ name: `x${i}`, column: name, type })),
      ...also.map((name, i) => ({ name: `y${i}`, column: name, type: this.#typeOf(name) })),
    ];
    const select = fields.map((field) => `k.${quoteName(field.column)} AS ${field.name}`).join(', ');
    const out: Value[][] = [];
    await readRecords(
      this.context.db,
      fields,
      'SELECT DISTINCT 0 AS "_seq", 0::BIGINT AS "_event_time", 0::BIGINT AS "_available_at", false AS "_deleted", ' +
        `${select} FROM (${relation}) k JOIN ${wanted} w ON ${on}`,
      (rows) => void out.push(...rows.map((row) => fields.map((field) => row.fields[field.name] ?? null))),
    );
    return out;
  }

  #typeOf(name: string): ValueType {
    return this.#fields.find((field) => field.name === name)!.type;
  }

  /**
   * Decides and plans; `durable` resolves when the accepted rows are on the disk. At once when the writer is `ready`,
   * else after `prepare`; calls must not overlap, the waiting for the disk may.
   *
   * Where availability is the instant of the append, that is `now` or, when the clock was set back, the greatest
   * available_at of the log: a later append never becomes known before an earlier one.
   */
  decide(
    rows: readonly Readonly<Record<string, unknown>>[],
    options: RowsOptions,
  ): Decision | Promise<Decision> {
    const warnings = options.record === false ? [] : this.#extraColumns(rows);
    return this.#relates
      ? this.#decideRelated(rows, options, warnings)
      : this.#decideRows(rows, options, warnings);
  }

  async #decideRelated(
    rows: readonly Readonly<Record<string, unknown>>[],
    options: RowsOptions,
    warnings: IngestResult['warnings'],
  ): Promise<Decision> {
    await this.context.settled();
    const typed = rows.map((row) => this.#type(row));
    const passed = (index: number): boolean =>
      !typed[index]!.reasons.some((reason) => reason.action === 'quarantine') &&
      !isTombstone(this.#wide, typed[index]!.fields);
    const related = await this.#judgeRelations(typed, passed);
    return this.#decideRows(rows, options, warnings, (index) => {
      const { fields, reasons } = typed[index]!;
      const more = related.get(index);
      return more === undefined ? typed[index]! : { fields, reasons: [...reasons, ...more] };
    });
  }

  #decideRows(
    rows: readonly Readonly<Record<string, unknown>>[],
    options: RowsOptions,
    extra: IngestResult['warnings'],
    typedAt: (index: number) => Typed = (index) => this.#type(rows[index]!),
  ): Decision {
    const { tail, index } = this;
    const batch = randomUUID();
    const fates: RowFate[] = new Array(rows.length);
    const accepted: LogRecord[] = [];
    const lines = new TailCounts(tail.planned);
    const counts = { accepted: 0, quarantined: 0, duplicates: 0, dropped: 0, corrections: 0 };
    const reasons = new Map<number, readonly Reason[]>();
    const warned = new Map<string, { message: string; rows: number }>();
    const failures: Reason[] = [];
    const appendedAt = Math.max(options.now, this.#newest);
    const out = tail.lines;
    const start = out.length;
    for (let i = 0; i < rows.length; i++) {
      const { fields, reasons: all } = typedAt(i);
      let disposition = NOTHING_BROKEN;
      let refused: readonly Reason[] = NO_REASONS;
      if (all.length > 0) {
        disposition = dispose(all);
        refused = all.filter((reason) => reason.action === 'quarantine');
        if (disposition.outcome === 'fail')
          failures.push(...all.filter((reason) => reason.action === 'fail'));
      }
      let fate: RowFate =
        refused.length > 0 ? 'quarantined' : disposition.outcome === 'drop' ? 'dropped' : 'accepted';
      if (fate === 'accepted') {
        const record = this.#record(fields, lines.lastSeq + 1, appendedAt);
        if (record === undefined) {
          fate = 'quarantined';
          refused = [rangeReason()];
        } else {
          this.#digest(record.fields, record);
          const familiarity = index.look(this.#key, this.#content);
          if (familiarity === 'duplicate') fate = 'duplicate';
          else {
            const { seq, order, eventTime, availableAt, deleted } = record;
            const version = familiarity === 'version' || deleted;
            if (familiarity === 'version') counts.corrections++;
            index.add(this.#key, this.#content, availableAt, order, seq);
            lines.add(seq, eventTime, availableAt, version);
            accepted.push(record);
            const line: TailLine = {
              seq,
              order,
              eventTime,
              availableAt,
              deleted,
              flags: disposition.flags,
              version,
            };
            if (accepted.length > 1) out.raw(LINE_END);
            printTailLine(line, out);
            this.#code.print(record.fields, out);
            for (const reason of disposition.warnings) {
              const before = warned.get(reason.rule);
              warned.set(reason.rule, {
                message: before?.message ?? reason.message,
                rows: (before?.rows ?? 0) + 1,
              });
            }
          }
        }
      }
      fates[i] = fate;
      if (fate === 'accepted') counts.accepted++;
      else if (fate === 'duplicate') counts.duplicates++;
      else if (fate === 'dropped') counts.dropped++;
      else {
        counts.quarantined++;
        reasons.set(i, refused);
      }
    }
    if (failures.length > 0) {
      index.truncate(tail.planned.lastSeq);
      out.rewind(start);
      throw this.#refusal(batch, rows.length, failures, options);
    }
    const warnings = [...extra];
    for (const [rule, { message, rows: n }] of warned) warnings.push({ rule, message, rows: n });
    const result: IngestResult = {
      source: this.source.name,
      batch,
      rows: rows.length,
      ...counts,
      seq: lines.lastSeq,
      warnings,
      reasons: countReasons(reasons.values()),
    };
    invariant(
      result.rows === result.accepted + result.quarantined + result.duplicates + result.dropped,
      `rows of a push to ${this.source.name} are lost`,
    );
    if (accepted.length > 0) {
      out.raw(PUSH_END);
      if (this.source.availableAt.kind === 'append') this.#newest = appendedAt;
    }
    const outcome: RowsOutcome = { result, fates, reasons, records: accepted };
    const ledgerRows = options.record === false || reasons.size === 0 ? [] : this.#ledgerRows(rows, reasons);
    const durable = tail.append(lines).then(() => this.#note(result, ledgerRows, options));
    return { outcome, durable };
  }

  /** Undefined when its available_at would be no instant. */
  #record(wide: Record<string, Value>, seq: number, appendedAt: Instant): LogRecord | undefined {
    const { sequence } = this.source;
    const code = this.#code;
    const eventTime = code.eventTime(wide);
    const availableAt = code.availableAt === undefined ? appendedAt : code.availableAt(wide, eventTime);
    if (Math.abs(availableAt) > MAX_INSTANT) return undefined;
    return {
      fields: code.stored(wide),
      eventTime,
      availableAt,
      order: sequence === undefined ? seq : Number(wide[sequence]),
      seq,
      deleted: isTombstone(this.#wide, wide),
    };
  }

  #extraColumns(rows: readonly Readonly<Record<string, unknown>>[]): IngestResult['warnings'] {
    const extra = new Map<string, number>();
    for (const row of rows) {
      if (this.#code.declaredOnly(row)) continue;
      for (const name of Object.keys(row))
        if (!this.#declared.has(name)) extra.set(name, (extra.get(name) ?? 0) + 1);
    }
    if (extra.size === 0) return [];
    const rule = this.source.contract.batch.find(({ check }) => check.kind === 'extra_columns');
    const policy = rule?.check.kind === 'extra_columns' ? rule.check.policy : 'warn';
    const message = `fields that the source does not declare: ${[...extra.keys()].join(', ')}`;
    if (policy === 'refuse') {
      throw new MillraceError(
        'BATCH_REFUSED',
        `The records for ${this.source.name} are refused: ${message}`,
        { data: { rules: [rule!.id] } },
      );
    }
    return policy === 'ignore'
      ? []
      : [{ rule: rule?.id ?? 'extra_columns', message, rows: Math.max(...extra.values()) }];
  }

  #refusal(batch: string, rows: number, failures: readonly Reason[], options: RowsOptions): MillraceError {
    const message = [...new Set(failures.map((reason) => `${reason.rule}: ${reason.message}`))]
      .slice(0, 3)
      .join('; ');
    const none = { accepted: 0, quarantined: 0, duplicates: 0, dropped: 0, corrections: 0 };
    this.context.ledger.refuse(
      {
        result: {
          source: this.source.name,
          batch,
          rows,
          ...none,
          seq: this.tail.summary.lastSeq,
          warnings: [],
          reasons: {},
        },
        kind: 'rows',
        at: options.now,
        fingerprint: this.source.fingerprint,
        maxAvailableAt: null,
        minEventTime: null,
        maxEventTime: null,
        hasVersions: false,
        files: [],
        profile: {},
      },
      message,
    );
    return new MillraceError('BATCH_REFUSED', `The records for ${this.source.name} are refused: ${message}`, {
      data: { batch, rules: [...new Set(failures.map((reason) => reason.rule))] },
    });
  }

  #ledgerRows(
    rows: readonly Readonly<Record<string, unknown>>[],
    reasons: ReadonlyMap<number, readonly Reason[]>,
  ): NewQuarantinedRow[] {
    return [...reasons].map(([index, why]) => ({
      file: null,
      line: index + 1,
      row: rows[index]!,
      reasons: why.map(({ rule, field, value, message }) => ({ rule, field, value, message })),
      digest: createHash('sha256')
        .update(`pushed:${toJsonText(rows[index])}`)
        .digest('hex'),
    }));
  }

  /** Pushes with refused rows are batches of their own in the ledger; the others are counted until the tail is sealed. */
  #note(result: IngestResult, quarantined: readonly NewQuarantinedRow[], options: RowsOptions): void {
    if (quarantined.length === 0) {
      const counts = this.#sinceFull;
      counts.rows += result.rows - result.quarantined;
      counts.accepted += result.accepted;
      counts.duplicates += result.duplicates;
      counts.dropped += result.dropped;
      counts.corrections += result.corrections;
      return;
    }
    this.context.ledger.commit({
      result,
      kind: 'rows',
      at: options.now,
      fingerprint: this.source.fingerprint,
      segment: null,
      maxAvailableAt: null,
      minEventTime: null,
      maxEventTime: null,
      hasVersions: false,
      files: [],
      quarantined,
      profile: {},
    });
  }

  /** Closes the tail, so that it can become a segment, and goes on in a new one. Must not overlap with `decide`. */
  async turn(): Promise<void> {
    const old = this.tail;
    await old.drain();
    const { summary } = old;
    if (summary.rows === 0) return;
    this.tail = Tail.after(this.context.folder, summary.lastSeq);
    this.#watch(this.tail);
    this.#full.push({ summary, counts: this.#sinceFull });
    this.#sinceFull = noCounts();
    this.index.freeze();
    await old.close();
  }

  /** Turns all full tails into Parquet segments, in order. Pushes go on meanwhile; calls share one run. */
  seal(): Promise<void> {
    this.#sealing ??= this.#sealAll().finally(() => {
      this.#sealing = undefined;
    });
    return this.#sealing;
  }

  async #sealAll(): Promise<void> {
    for (let next = this.#full[0]; next !== undefined; next = this.#full[0]) {
      await this.#seal(next);
      for (const file of this.#retired.splice(0)) rmSync(file, { force: true });
      this.#retired.push(next.summary.file);
    }
  }

  /** Sealed tails that readers of an older state may still need. */
  readonly #retired: string[] = [];

  async #seal({ summary, counts }: FullTail): Promise<void> {
    const { source, context } = this;
    const batch = randomUUID();
    const temporary = join(context.folder, `.${batch}.tmp`);
    const final = join(context.folder, `${String(summary.firstSeq).padStart(15, '0')}-${batch}.parquet`);
    const db = await context.connect();
    try {
      await db.run(
        `COPY (SELECT * FROM (${relationSql(source, [tailSegment(summary)])}) ORDER BY "_seq") TO ${quoteText(temporary)} (FORMAT parquet, COMPRESSION zstd)`,
      );
      const written = await db.rows<{ n: number }>(
        `SELECT count(*) AS n FROM read_parquet(${quoteText(temporary)})`,
      );
      if (Number(written[0]!.n) !== summary.rows) {
        throw new MillraceError(
          'STORE_CORRUPT',
          `${summary.file} gives ${written[0]!.n} of its ${summary.rows} records`,
          { place: { file: summary.file } },
        );
      }
      publishFile(temporary, final);
      context.ledger.commit({
        result: {
          source: source.name,
          batch,
          quarantined: 0,
          ...counts,
          seq: summary.lastSeq,
          warnings: [],
          reasons: {},
        },
        kind: 'rows',
        at: Date.now() * 1000,
        fingerprint: source.fingerprint,
        segment: {
          file: final,
          format: 'parquet',
          rows: summary.rows,
          firstSeq: summary.firstSeq,
          lastSeq: summary.lastSeq,
          columns: Object.fromEntries(logColumns(source)),
          bytes: statSync(final).size,
        },
        maxAvailableAt: summary.maxAvailableAt,
        minEventTime: summary.minEventTime,
        maxEventTime: summary.maxEventTime,
        hasVersions: summary.hasVersions,
        files: [],
        quarantined: [],
        profile: {},
      });
      // In one step with the commit: a state read in between would count these records twice.
      this.#full.shift();
    } catch (error) {
      rmSync(temporary, { force: true });
      if (context.ledger.state(source.name).lastSeq < summary.lastSeq) rmSync(final, { force: true });
      throw error;
    } finally {
      db.close();
    }
  }

  /** Seals everything and lets go of the files. Must not overlap with `decide`. */
  async close(): Promise<void> {
    await this.turn();
    // A run that is under way may have begun before the last turn.
    while (this.#full.length > 0) await this.seal();
    await this.tail.close();
    await this.index.close();
    for (const file of this.#retired.splice(0)) rmSync(file, { force: true });
  }
}

/** A tail as a part of a snapshot. */
export const tailSegment = ({ file, rows, firstSeq, lastSeq }: TailSummary): LakeSegment => ({
  file,
  format: 'ndjson',
  rows,
  firstSeq,
  lastSeq,
  columns: {},
});

const own = (row: Readonly<Record<string, unknown>>, name: string): unknown =>
  Object.hasOwn(row, name) ? row[name] : undefined;

function countReasons(rows: Iterable<readonly Reason[]>): Record<string, number> {
  const counted: Record<string, number> = {};
  for (const reasons of rows)
    for (const rule of new Set(reasons.map((reason) => reason.rule)))
      counted[rule] = (counted[rule] ?? 0) + 1;
  return counted;
}

const rangeReason = (): Reason => ({
  rule: RANGE_RULE,
  field: null,
  value: null,
  message: 'available_at is outside of the years 1684 to 2255',
  severity: 'error',
  action: 'quarantine',
});
