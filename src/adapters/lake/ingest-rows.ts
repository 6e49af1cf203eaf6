import { randomUUID } from 'node:crypto';
import { rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { invariant, MillraceError } from '../../core/base/error.js';
import { type Instant, MAX_INSTANT } from '../../core/base/time.js';
import type { Source } from '../../core/define/types.js';
import type { BatchProfile } from '../../core/drift/batch-profile.js';
import { DISTRIBUTION_BATCHES, HISTORY_BATCHES } from '../../core/drift/history.js';
import type { Rename } from '../../core/drift/schema-change.js';
import {
  columnAmong,
  type Disposition,
  deliveredFields,
  dispose,
  isTombstone,
  type Reason,
  type Repair,
  type Row,
  typeReason,
} from '../../core/quality/index.js';
import { coerceJson } from '../../core/schema/coerce.js';
import { inTimeFormat } from '../../core/schema/time-format.js';
import type { Value, ValueType } from '../../core/schema/types.js';
import type { IngestResult, LogRecord } from '../../ports/record-log.js';
import type { DuckDbConnection } from '../duckdb/connection.js';
import { quoteName, quoteText } from '../duckdb/text.js';
import { publishFile } from '../files/durable.js';
import { judgeBatchHistory, pushedHistory } from './batch-history.js';
import type { VersionIndex } from './dedupe.js';
import type { IngestContext } from './file-batch/batch.js';
import type { Ledger, NewQuarantinedRow } from './ledger.js';
import { profileRelation } from './profile.js';
import { hasWindows, judgeWindow, type PushedWindow, windowEnd } from './pushed-window.js';
import { readRecords } from './records.js';
import { contentDigests, pushedDigest, renamedColumns } from './refused-digest.js';
import { type LakeSegment, relationSql } from './relation.js';
import { compileRowCode, type RowCode } from './row-code.js';
import { type JudgedRow, RowJudge } from './row-judge.js';
import {
  addedPolicy,
  changePolicy,
  printRename,
  pushedRenames,
  RECENT_BATCHES,
  renameLine,
} from './schema-change.js';
import { inputFields, logColumns } from './shape.js';
import { sipHash128 } from './siphash.js';
import { coerceOptions, RANGE_RULE, wideSource } from './stage.js';
import {
  LINE_END,
  PUSH_END,
  printTailLine,
  Tail,
  TailCounts,
  type TailLine,
  type TailSummary,
  tailSegment,
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
  /** The same of the dropped rows. */
  readonly drops: ReadonlyMap<number, readonly Reason[]>;
  /** What was appended. */
  readonly records: readonly LogRecord[];
}

export interface RowContext {
  readonly db: DuckDbConnection;
  readonly ledger: Ledger;
  readonly folder: string;
  /** A connection for work beside the pushes. */
  connect(): Promise<DuckDbConnection>;
  /** SELECT over the known records of a source, by name. */
  readonly known: IngestContext['known'];
  readonly projectFolder: string;
  /** Waits until the pushes to all sources that were decided are durable or have failed. */
  settled(): Promise<void>;
}

export interface RowsOptions {
  readonly now: Instant;
  /** False for rows that the ledger already holds (replay). */
  readonly record?: boolean;
}

const NOTHING_BROKEN: Disposition = { outcome: 'accept', flags: [] };
const NO_REASONS: readonly Reason[] = [];
/** Full tails that wait to become segments; beyond this pushes wait for them. */
const MAX_FULL = 4;

/** `version` is set when it is known. */
type DecidedRecord = Omit<LogRecord, 'version'> & { version: boolean };

export interface Decision {
  readonly outcome: RowsOutcome;
  readonly durable: Promise<void>;
}

/** Counts by rule of what became of rows that were not refused. */
type ByRule = 'repairs' | 'drops' | 'flags';

type Counts = Pick<
  IngestResult,
  'rows' | 'accepted' | 'duplicates' | 'dropped' | 'corrections' | 'repaired' | ByRule
>;

const noCounts = (rows = 0) => ({
  rows,
  accepted: rows,
  duplicates: 0,
  dropped: 0,
  corrections: 0,
  repaired: 0,
  ...noRules(),
});

const noRules = (): Record<ByRule, Record<string, number>> => ({ repairs: {}, drops: {}, flags: {} });

function tally(counted: Record<string, number>, rules: Iterable<string>): void {
  for (const rule of rules) counted[rule] = (counted[rule] ?? 0) + 1;
}

/** What was pushed while a tail took it, of any fate; `whole`: nothing cut the window short. */
type WindowCounts = Pick<PushedWindow, 'rows' | 'quarantined' | 'whole'>;

/** A tail that takes no more pushes, and what was counted while it did. */
interface FullTail {
  readonly summary: TailSummary;
  readonly counts: Counts;
  readonly window: WindowCounts;
}

/** Rows of one source in hand → its log. Decides row by row, appends to the write-ahead tail, seals the tail. */
export class RowWriter {
  readonly #wide: Source;
  readonly #fields: ReturnType<typeof inputFields>;
  readonly #types: ReadonlyMap<string, ValueType>;
  readonly #declared: ReadonlySet<string>;
  readonly #options: ReturnType<typeof coerceOptions>;
  readonly #judge: RowJudge;
  readonly #code: RowCode;
  readonly #words = new TupleWords();
  readonly #key: Digest = new Int32Array(DIGEST_WORDS);
  readonly #content: Digest = new Int32Array(DIGEST_WORDS);
  #sinceFull: ReturnType<typeof noCounts>;
  #full: FullTail[];
  #window: { rows: number; quarantined: number };
  /** When the window of the tail is over; null: it has none, or nothing has come. */
  #windowEnd: Instant | null = null;
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
    this.#types = new Map(this.#fields.map((field) => [field.name, field.type]));
    this.#declared = new Set(
      this.#fields.flatMap(({ name, from = name, aliases = [] }) => [name, from, ...aliases]),
    );
    this.#options = coerceOptions(source);
    this.#code = compileRowCode(source);
    const { db, ledger, known } = context;
    this.#judge = new RowJudge(source, { db, ledger, known, segments: () => this.segments() });
    this.#full = full.map((summary) => ({
      summary,
      counts: noCounts(summary.rows),
      window: { rows: summary.rows, quarantined: 0, whole: false },
    }));
    this.#window = { rows: tail.summary.rows, quarantined: 0 };
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

  /** The tail holds what was pushed before an hour that is over. */
  windowIsOver(now: Instant): boolean {
    return this.#windowEnd !== null && now >= this.#windowEnd && this.tail.summary.rows > 0;
  }

  segments(): readonly LakeSegment[] {
    return [...this.context.ledger.state(this.source.name).segments, ...this.tails.map(tailSegment)];
  }

  /** True when `decide` needs no other work before it and no query: it then answers at once. */
  get ready(): boolean {
    return this.#warm && !this.index.full && this.#full.length < MAX_FULL && !this.#judge.needsOthers;
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
    const fresh = `SELECT * FROM (${relationSql(source, this.segments())}) WHERE "_seq" > ${index.position}`;
    const repaired = await this.context.db.rows(
      `SELECT 1 FROM (${fresh}) WHERE "_repairs" IS NOT NULL LIMIT 1`,
    );
    const sql = `${fresh} ORDER BY "_seq"`;
    await readRecords(
      this.context.db,
      source.fields,
      sql,
      async (rows) => {
        for (const row of rows) {
          this.#digest(deliveredFields(row.fields, row.repairs), row);
          index.add(this.#key, this.#content, row.availableAt, row.order, row.seq);
        }
        if (!index.full) return;
        index.freeze();
        await index.flush();
      },
      { order: '"_order"', repairs: repaired.length > 0 },
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

  #type(raw: Readonly<Record<string, unknown>>): JudgedRow {
    const plain = this.#code.read(raw);
    if (plain !== undefined) return this.#judge.judgePlain(plain);
    const options = this.#options;
    const values: (readonly [string, Value])[] = [];
    const reasons: Reason[] = [];
    for (const { name, from, type, format, aliases = [] } of this.#fields) {
      let given = own(raw, name);
      for (const column of [...(from === undefined ? [] : [from]), ...aliases]) given ??= own(raw, column);
      const coerced = coerceJson(type, inTimeFormat({ type, format }, given), options);
      values.push([name, coerced.ok ? coerced.value : null]);
      const reason = typeReason(name, given, coerced, format);
      if (reason) reasons.push(reason);
    }
    return this.#judge.judge(Object.fromEntries(values), reasons);
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
    return this.#judge.needsOthers
      ? this.#decideRelated(rows, options, warnings)
      : this.#decideRows(rows, options, warnings);
  }

  async #decideRelated(
    rows: readonly Readonly<Record<string, unknown>>[],
    options: RowsOptions,
    warnings: IngestResult['warnings'],
  ): Promise<Decision> {
    let judged: readonly JudgedRow[] = rows.map((row) => this.#type(row));
    if (this.#judge.isOpen(judged)) {
      await this.context.settled();
      const appendedAt = Math.max(options.now, this.#newest);
      const clocks = (fields: Row): readonly [Instant, Instant] => {
        const eventTime = this.#code.eventTime(fields);
        return [eventTime, this.#code.availableAt?.(fields, eventTime) ?? appendedAt];
      };
      judged = await this.#judge.settle(judged, clocks, options.now);
    }
    return this.#decideRows(rows, options, warnings, judged);
  }

  #decideRows(
    rows: readonly Readonly<Record<string, unknown>>[],
    options: RowsOptions,
    extra: IngestResult['warnings'],
    // All of them before the first is written: what throws in here leaves nothing behind.
    judged: readonly JudgedRow[] = rows.map((row) => this.#type(row)),
  ): Decision {
    const { tail, index } = this;
    const batch = randomUUID();
    const fates: RowFate[] = new Array(rows.length);
    const accepted: LogRecord[] = [];
    const lines = new TailCounts(tail.planned);
    const counts = { accepted: 0, quarantined: 0, duplicates: 0, dropped: 0, corrections: 0, repaired: 0 };
    const byRule = noRules();
    const reasons = new Map<number, readonly Reason[]>();
    const drops = new Map<number, readonly Reason[]>();
    const warned = new Map<string, { message: string; rows: number }>();
    const failures: Reason[] = [];
    const appendedAt = Math.max(options.now, this.#newest);
    const out = tail.lines;
    const start = out.length;
    for (let i = 0; i < rows.length; i++) {
      const { fields, delivered, repairs, reasons: all } = judged[i]!;
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
        const record = this.#record(fields, lines.lastSeq + 1, appendedAt, repairs);
        if (record === undefined) {
          fate = 'quarantined';
          refused = [rangeReason()];
        } else {
          this.#digest(repairs.length === 0 ? record.fields : this.#code.stored(delivered), record);
          const familiarity = index.look(this.#key, this.#content);
          if (familiarity === 'duplicate') fate = 'duplicate';
          else {
            const { seq, order, eventTime, availableAt, deleted } = record;
            const version = familiarity === 'version' || deleted;
            record.version = version;
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
              repairs,
              version,
            };
            if (accepted.length > 1) out.raw(LINE_END);
            printTailLine(line, this.#types, out);
            this.#code.print(record.fields, out);
            if (repairs.length > 0) {
              counts.repaired++;
              tally(byRule.repairs, new Set(repairs.map((repair) => repair.rule)));
            }
            tally(byRule.flags, disposition.flags);
          }
        }
      }
      fates[i] = fate;
      for (const { rule, message, action, unjudged } of all) {
        if (!unjudged && (action !== 'warn' || fate !== 'accepted')) continue;
        const before = warned.get(rule);
        warned.set(rule, { message: before?.message ?? message, rows: (before?.rows ?? 0) + 1 });
      }
      if (fate === 'accepted') counts.accepted++;
      else if (fate === 'duplicate') counts.duplicates++;
      else if (fate === 'dropped') {
        counts.dropped++;
        const dropping = all.filter((reason) => reason.action === 'drop');
        tally(byRule.drops, new Set(dropping.map((reason) => reason.rule)));
        drops.set(i, dropping);
      } else {
        counts.quarantined++;
        reasons.set(i, refused);
      }
    }
    if (this.source.contract.onError === 'fail' && options.record !== false)
      failures.push(...[...reasons.values()].flat());
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
      ...byRule,
    };
    invariant(
      result.rows === result.accepted + result.quarantined + result.duplicates + result.dropped,
      `rows of a push to ${this.source.name} are lost`,
    );
    if (accepted.length > 0) {
      out.raw(PUSH_END);
      if (this.source.availableAt.kind === 'append') this.#newest = appendedAt;
    }
    const outcome: RowsOutcome = { result, fates, reasons, drops, records: accepted };
    const ledgerRows = options.record === false || reasons.size === 0 ? [] : this.#ledgerRows(rows, reasons);
    const durable = tail.append(lines).then(() => this.#note(result, ledgerRows, options));
    return { outcome, durable };
  }

  /** Undefined when its available_at would be no instant. */
  #record(
    wide: Row,
    seq: number,
    appendedAt: Instant,
    repairs: readonly Repair[],
  ): DecidedRecord | undefined {
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
      version: false,
      ...(repairs.length > 0 ? { repairs } : {}),
    };
  }

  /** What recent batches had of the fields; until the next one is sealed. */
  #recent: readonly BatchProfile[] | undefined;

  /** Fields that no row has although earlier batches had them, and names of all rows that look the same. */
  #renames(rows: readonly Readonly<Record<string, unknown>>[], names: readonly string[]): readonly Rename[] {
    if (names.length === 0) return [];
    const absent = this.#fields.filter(({ name, from = name, aliases = [] }) =>
      rows.every((row) => [name, from, ...aliases].every((column) => own(row, column) === undefined)),
    );
    if (absent.length === 0) return [];
    this.#recent ??= this.context.ledger
      .profiles(this.source.name, RECENT_BATCHES)
      .map(({ profile }) => profile);
    return pushedRenames(absent, this.#recent, rows, names, this.#options);
  }

  #extraColumns(rows: readonly Readonly<Record<string, unknown>>[]): IngestResult['warnings'] {
    const extra = new Map<string, number>();
    for (const row of rows) {
      if (this.#code.declaredOnly(row)) continue;
      for (const name of Object.keys(row))
        if (!this.#declared.has(name)) extra.set(name, (extra.get(name) ?? 0) + 1);
    }
    if (extra.size === 0) return [];
    const everywhere = [...extra].flatMap(([name, n]) => (n === rows.length ? [name] : []));
    const renames = this.#renames(rows, everywhere);
    // Names alone are no reason to turn records away.
    if (renames.some(({ byValues }) => byValues) && changePolicy(this.source, 'renamed') === 'refuse')
      throw new MillraceError(
        'BATCH_REFUSED',
        `The records for ${this.source.name} are refused; probably renamed: ${renames.map(printRename).join(', ')}`,
        {
          hint: `Accept it in the definition: \`${renameLine(renames)}\`. Nothing was appended.`,
          data: { rules: ['schema.renamed'] },
        },
      );
    const rule = this.source.contract.batch.find(({ check }) => check.kind === 'extra_columns');
    const policy = rule?.check.kind === 'extra_columns' ? rule.check.policy : addedPolicy(this.source);
    const probably =
      renames.length === 0
        ? ''
        : `; probably renamed: ${renames.map(printRename).join(', ')}; to accept it: ${renameLine(renames)}`;
    const message = `fields that the source does not declare: ${[...extra.keys()].join(', ')}${probably}`;
    if (policy === 'refuse') {
      throw new MillraceError(
        'BATCH_REFUSED',
        `The records for ${this.source.name} are refused: ${message}`,
        { data: { rules: [rule?.id ?? 'schema.added'] } },
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
    const none = {
      accepted: 0,
      quarantined: 0,
      duplicates: 0,
      dropped: 0,
      corrections: 0,
      repaired: 0,
      ...noRules(),
    };
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
    return [...reasons].map(([index, why]) => {
      const row = rows[index]!;
      const present = new Set(Object.keys(row));
      const renamed = renamedColumns(this.#fields, (name) => columnAmong(this.source, name, present));
      const digests = contentDigests(row, renamed, this.#declared).map(pushedDigest);
      const held = digests.length === 1 ? undefined : this.context.ledger.held(this.source.name, digests);
      return {
        file: null,
        line: index + 1,
        row,
        reasons: why.map(({ rule, field, value, message }) => ({ rule, field, value, message })),
        digest: digests.find((digest) => held?.has(digest)) ?? digests[0]!,
      };
    });
  }

  /** Pushes with refused rows are batches of their own in the ledger; the others are counted until the tail is sealed. */
  #note(result: IngestResult, quarantined: readonly NewQuarantinedRow[], options: RowsOptions): void {
    if (hasWindows(this.source)) this.#windowEnd ??= windowEnd(options.now);
    const again = options.record === false ? result.quarantined : 0;
    this.#window.rows += result.rows - again;
    this.#window.quarantined += result.quarantined - again;
    if (quarantined.length === 0) {
      const counts = this.#sinceFull;
      counts.rows += result.rows - result.quarantined;
      counts.accepted += result.accepted;
      counts.duplicates += result.duplicates;
      counts.dropped += result.dropped;
      counts.corrections += result.corrections;
      counts.repaired += result.repaired;
      for (const kind of ['repairs', 'drops', 'flags'] as const)
        for (const [rule, n] of Object.entries(result[kind]))
          counts[kind][rule] = (counts[kind][rule] ?? 0) + n;
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

  /**
   * Closes the tail, so that it can become a segment, and goes on in a new one. `whole`: because its window is over.
   * Must not overlap with `decide`.
   */
  async turn(whole = false): Promise<void> {
    const old = this.tail;
    await old.drain();
    const { summary } = old;
    if (summary.rows === 0) return;
    this.tail = Tail.after(this.context.folder, summary.lastSeq);
    this.#watch(this.tail);
    this.#full.push({ summary, counts: this.#sinceFull, window: { ...this.#window, whole } });
    this.#sinceFull = noCounts();
    this.#window = { rows: 0, quarantined: 0 };
    this.#windowEnd = null;
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

  async #seal({ summary, counts, window }: FullTail): Promise<void> {
    const { source, context } = this;
    const batch = randomUUID();
    const temporary = join(context.folder, `.${batch}.tmp`);
    const final = join(context.folder, `${String(summary.firstSeq).padStart(15, '0')}-${batch}.parquet`);
    const db = await context.connect();
    try {
      await db.run(
        `COPY (SELECT * FROM (${relationSql(source, [tailSegment(summary)])}) ORDER BY "_seq") TO ${quoteText(temporary)} (FORMAT parquet, COMPRESSION zstd, PARQUET_VERSION v2)`,
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
      const columns = source.fields.map((field) => `${quoteName(field.name)}, `).join('');
      const relation = `SELECT ${columns}"_seq", "_event_time", "_available_at" FROM read_parquet(${quoteText(temporary)}) WHERE NOT "_deleted"`;
      const profiled = await profileRelation(db, source.fields, relation, '"_seq"', summary.rows);
      const judged = await judgeWindow(db, source, { ...window, relation }, profiled, {
        projectFolder: context.projectFolder,
        profiles: (limit) => context.ledger.profiles(source.name, limit).map((kept) => kept.profile),
      });
      const now = Date.now() * 1000;
      const past = context.ledger.past(source.name, 'rows', 2 * HISTORY_BATCHES);
      const notes = judgeBatchHistory(
        pushedHistory(source),
        { rows: counts.rows, now, ...profiled },
        past,
        () => context.ledger.profilesOf(past.slice(0, DISTRIBUTION_BATCHES).map((one) => one.batch)),
      );
      publishFile(temporary, final);
      context.ledger.commit({
        result: {
          source: source.name,
          batch,
          quarantined: 0,
          ...counts,
          seq: summary.lastSeq,
          warnings: judged.warnings,
          reasons: {},
        },
        kind: 'rows',
        at: now,
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
        profile: judged.profile,
        columns: profiled.profile,
        notes: judged.broken.length > 0 ? { ...notes, broken: judged.broken } : notes,
      });
      this.#recent = undefined;
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

const own = (row: Readonly<Record<string, unknown>>, name: string): unknown =>
  Object.hasOwn(row, name) ? row[name] : undefined;

function countReasons(rows: Iterable<readonly Reason[]>): Record<string, number> {
  const counted: Record<string, number> = {};
  for (const reasons of rows) tally(counted, new Set(reasons.map((reason) => reason.rule)));
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
