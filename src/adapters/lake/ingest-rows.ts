import { createHash, randomUUID } from 'node:crypto';
import { rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { invariant, MillraceError } from '../../core/base/error.js';
import { type Instant, MAX_INSTANT, MICROS_PER_DAY } from '../../core/base/time.js';
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
import { addVersion, contentHash, isKnown, keyHash, type VersionIndex } from './dedupe.js';
import { type Ledger, type NewQuarantinedRow, toJsonText } from './ledger.js';
import { readRecords } from './records.js';
import { type LakeSegment, relationSql } from './relation.js';
import { inputFields, logColumns } from './shape.js';
import { coerceOptions, RANGE_RULE, READINGS, wideSource } from './stage.js';
import { Tail, type TailRow } from './tail.js';

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
  /** SELECT over the known records (in hindsight) of a source, by name. */
  known(source: string): string;
}

export interface RowsOptions {
  readonly now: Instant;
  /** False for rows that the ledger already holds (replay). */
  readonly record?: boolean;
}

const NOTHING_BROKEN: Disposition = { outcome: 'accept', flags: [], warnings: [] };
/** Tuples that one query looks up. */
const LOOKUP_TUPLES = 10_000;

interface Typed {
  readonly fields: Record<string, Value>;
  readonly reasons: readonly Reason[];
}

/** Rows of one source in hand → its log. Decides row by row, appends to the write-ahead tail, seals the tail. */
export class RowWriter {
  readonly #wide: Source;
  readonly #fields: ReturnType<typeof inputFields>;
  readonly #declared: ReadonlySet<string>;
  readonly #options: ReturnType<typeof coerceOptions>;
  readonly #checks: (row: Row) => readonly Reason[];
  readonly #references: readonly ReferenceRule[];
  readonly #uniques: readonly UniqueRule[];
  #sinceSeal = { rows: 0, accepted: 0, duplicates: 0, dropped: 0, corrections: 0 };

  private constructor(
    readonly source: Source,
    readonly context: RowContext,
    readonly index: VersionIndex,
    public tail: Tail,
  ) {
    this.#wide = wideSource(source);
    this.#fields = inputFields(source);
    this.#declared = new Set(this.#fields.flatMap((field) => [field.name, field.from ?? field.name]));
    this.#options = coerceOptions(source);
    this.#checks = compileRowChecks(this.#wide, READINGS);
    const rules = effectiveContract(this.#wide).rows;
    this.#references = rules.filter(isReference);
    this.#uniques = rules.filter(isUnique);
  }

  static async open(source: Source, context: RowContext, index: VersionIndex): Promise<RowWriter> {
    const tail = await Tail.open(context.folder, context.ledger.state(source.name).lastSeq);
    tail.onFailure = index.forget;
    return new RowWriter(source, context, index, tail);
  }

  segments(): readonly LakeSegment[] {
    const { segments } = this.context.ledger.state(this.source.name);
    const { rows, file, firstSeq, lastSeq } = this.tail.summary;
    return rows === 0
      ? segments
      : [...segments, { file, format: 'ndjson', rows, firstSeq, lastSeq, columns: {} }];
  }

  /** Brings the index of known versions up to the log. */
  async warm(): Promise<void> {
    const { source, index } = this;
    const last = this.tail.summary.lastSeq;
    if (index.position > last) index.clear();
    if (index.position === last) return;
    const sql = `SELECT * FROM (${relationSql(source, this.segments())}) WHERE "_seq" > ${index.position} ORDER BY "_seq"`;
    await readRecords(
      this.context.db,
      source.fields,
      sql,
      async (rows) => {
        const changed = new Map<string, Buffer>();
        for (const row of rows) {
          const key = keyHash(source, row.fields);
          const name = key.toString('latin1');
          changed.set(
            name,
            addVersion(
              changed.get(name) ?? index.get(key),
              row.availableAt,
              row.order,
              contentHash(source, row),
            ),
          );
        }
        index.put(
          [...changed].map(([name, value]) => [Buffer.from(name, 'latin1'), value] as const),
          rows.at(-1)!.seq,
        );
        await index.flush();
      },
      '"_order"',
    );
  }

  #type(raw: Readonly<Record<string, unknown>>): Typed {
    const options = this.#options;
    const fields: Record<string, Value> = {};
    const reasons: Reason[] = [];
    for (const field of this.#fields) {
      const given = raw[field.name] ?? (field.from === undefined ? undefined : raw[field.from]);
      const coerced = coerceJson(field.type, given, options);
      fields[field.name] = coerced.ok ? coerced.value : null;
      const reason = typeReason(field.name, given, coerced);
      if (reason) reasons.push(reason);
    }
    const broken = this.#checks(fields);
    if (broken.length === 0) return { fields, reasons };
    const unread = new Set(reasons.map((reason) => reason.field));
    for (const reason of broken) {
      // A value that could not be read is null here; its type reason already says why.
      if (!(reason.rule.endsWith('.not_null') && unread.has(reason.field))) reasons.push(reason);
    }
    return { fields, reasons };
  }

  #micros(name: string, fields: Readonly<Record<string, Value>>): number | null {
    const value = (fields[name] ?? null) as number | null;
    const type = this.#fields.find((field) => field.name === name)!.type;
    return value !== null && type.kind === 'date' ? value * MICROS_PER_DAY : value;
  }

  /** The declared fields alone. */
  #stored(fields: Record<string, Value>): Record<string, Value> {
    if (this.#fields.length === this.source.fields.length) return fields;
    const out: Record<string, Value> = {};
    for (const { name } of this.source.fields) out[name] = fields[name]!;
    return out;
  }

  #available(fields: Readonly<Record<string, Value>>, eventTime: number, now: Instant): number {
    const { availableAt } = this.source;
    switch (availableAt.kind) {
      case 'event_time':
        return eventTime;
      case 'field':
        return this.#micros(availableAt.field, fields) ?? eventTime;
      case 'delay':
        return eventTime + availableAt.delay;
      case 'append':
        return now;
    }
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
   * Decides and plans; the returned promise of `durable` resolves when the accepted rows are on the disk. Calls
   * must not overlap, the waiting may.
   */
  async decide(
    rows: readonly Readonly<Record<string, unknown>>[],
    options: RowsOptions,
  ): Promise<{ readonly outcome: RowsOutcome; readonly durable: Promise<void> }> {
    const { source } = this;
    const batch = randomUUID();
    const warnings = options.record === false ? [] : this.#extraColumns(rows);
    const typed = rows.map((row) => this.#type(row));
    const passed = (index: number): boolean =>
      !typed[index]!.reasons.some((reason) => reason.action === 'quarantine') &&
      !isTombstone(this.#wide, typed[index]!.fields);
    const related =
      this.#references.length + this.#uniques.length > 0
        ? await this.#judgeRelations(typed, passed)
        : new Map<number, Reason[]>();

    const fates: RowFate[] = [];
    const reasons = new Map<number, readonly Reason[]>();
    const counted: Record<string, number> = {};
    const accepted: TailRow[] = [];
    const young = new Map<string, Buffer>();
    const counts = { accepted: 0, quarantined: 0, duplicates: 0, dropped: 0, corrections: 0 };
    const warned = new Map<string, { message: string; rows: number }>();
    const failures: Reason[] = [];
    let seq = this.tail.nextSeq;
    for (const [index, { fields, reasons: own }] of typed.entries()) {
      const relatedReasons = related.get(index);
      const all = relatedReasons ? [...own, ...relatedReasons] : own;
      const disposition = all.length === 0 ? NOTHING_BROKEN : dispose(all);
      const refused = all.length === 0 ? [] : all.filter((reason) => reason.action === 'quarantine');
      if (disposition.outcome === 'fail') failures.push(...all.filter((reason) => reason.action === 'fail'));
      let fate: RowFate = 'accepted';
      if (refused.length > 0) fate = 'quarantined';
      else if (disposition.outcome === 'drop') fate = 'dropped';
      if (fate === 'accepted') {
        const eventTime = this.#micros(source.eventTime, fields)!;
        const availableAt = this.#available(fields, eventTime, options.now);
        if (Math.abs(availableAt) > MAX_INSTANT) {
          fate = 'quarantined';
          refused.push(rangeReason());
        } else {
          const stored = this.#stored(fields);
          const deleted = isTombstone(this.#wide, fields);
          const declared =
            source.sequence === undefined ? null : (fields[source.sequence] as number | bigint | null);
          const record = {
            fields: stored,
            eventTime,
            availableAt,
            order: declared === null ? seq : Number(declared),
            deleted,
          };
          const key = keyHash(source, fields);
          const name = key.toString('latin1');
          const versions = young.get(name) ?? this.index.get(key);
          const content = contentHash(source, record);
          if (isKnown(versions, content, source.availableAt.kind === 'append')) {
            fate = 'duplicate';
          } else {
            if (versions) counts.corrections++;
            young.set(name, addVersion(versions, availableAt, record.order, content));
            accepted.push({
              ...record,
              seq: seq++,
              flags: disposition.flags,
              version: versions !== undefined || deleted,
            });
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
      fates.push(fate);
      if (fate === 'accepted') counts.accepted++;
      else if (fate === 'duplicate') counts.duplicates++;
      else if (fate === 'dropped') counts.dropped++;
      else {
        counts.quarantined++;
        reasons.set(index, refused);
        for (const rule of new Set(refused.map((reason) => reason.rule)))
          counted[rule] = (counted[rule] ?? 0) + 1;
      }
    }
    if (failures.length > 0) throw this.#refusal(batch, rows.length, failures, options);
    const result: IngestResult = {
      source: source.name,
      batch,
      rows: rows.length,
      ...counts,
      seq: accepted.at(-1)?.seq ?? this.tail.nextSeq - 1,
      warnings: [
        ...warnings,
        ...[...warned].map(([rule, { message, rows: n }]) => ({ rule, message, rows: n })),
      ],
      reasons: counted,
    };
    invariant(
      result.rows === result.accepted + result.quarantined + result.duplicates + result.dropped,
      `rows of a push to ${source.name} are lost`,
    );
    const outcome: RowsOutcome = { result, fates, reasons, records: accepted };
    const ledgerRows = options.record === false ? [] : this.#ledgerRows(rows, reasons);
    const entries = [...young].map(([name, value]) => [Buffer.from(name, 'latin1'), value] as const);
    this.index.plan(entries);
    const durable = this.tail.append(source, accepted).then(() => {
      if (entries.length > 0) this.index.put(entries, result.seq);
      this.#note(result, ledgerRows, options);
    });
    return { outcome, durable };
  }

  #extraColumns(rows: readonly Readonly<Record<string, unknown>>[]): IngestResult['warnings'] {
    const extra = new Map<string, number>();
    for (const row of rows)
      for (const name of Object.keys(row))
        if (!this.#declared.has(name)) extra.set(name, (extra.get(name) ?? 0) + 1);
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
      const counts = this.#sinceSeal;
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

  /** Turns the tail into a Parquet segment. Must not overlap with `decide`. */
  async seal(now: Instant): Promise<string | undefined> {
    await this.tail.drain();
    const { summary } = this.tail;
    if (summary.rows === 0) return undefined;
    const { source, context } = this;
    const batch = randomUUID();
    const stem = `${String(summary.firstSeq).padStart(15, '0')}-${batch}`;
    const temporary = join(context.folder, `.${batch}.tmp`);
    const final = join(context.folder, `${stem}.parquet`);
    const tailOnly = this.segments().filter((segment) => segment.format === 'ndjson');
    try {
      await context.db.run(
        `COPY (SELECT * FROM (${relationSql(source, tailOnly)}) ORDER BY "_seq") TO ${quoteText(temporary)} (FORMAT parquet, COMPRESSION zstd)`,
      );
      const written = await context.db.rows<{ n: number }>(
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
          ...this.#sinceSeal,
          seq: summary.lastSeq,
          warnings: [],
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
        profile: {},
      });
    } catch (error) {
      rmSync(temporary, { force: true });
      if (context.ledger.state(source.name).lastSeq < summary.lastSeq) rmSync(final, { force: true });
      throw error;
    }
    this.#sinceSeal = { rows: 0, accepted: 0, duplicates: 0, dropped: 0, corrections: 0 };
    const old = this.tail;
    this.tail = await Tail.open(context.folder, summary.lastSeq, summary.file);
    this.tail.onFailure = this.index.forget;
    await old.close();
    return summary.file;
  }
}

const rangeReason = (): Reason => ({
  rule: RANGE_RULE,
  field: null,
  value: null,
  message: 'available_at is outside of the years 1684 to 2255',
  severity: 'error',
  action: 'quarantine',
});
