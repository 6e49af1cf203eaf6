/** What a row alone does not tell: repairs that need other records, and rules that compare records, for rows in hand. */
import type { Instant } from '../../core/base/time.js';
import type { FieldDefinition, Source } from '../../core/define/types.js';
import {
  asOfRecord,
  batchSql,
  batchViewSql,
  compileRepairs,
  compileRowChecks,
  decodeSql,
  decodeValue,
  effectiveContract,
  encodeValue,
  isReference,
  isSql,
  isTombstone,
  isUnique,
  type Known,
  type LateRepair,
  meanOf,
  medianOf,
  notJudged,
  type Reason,
  type ReferenceRule,
  type Repair,
  type RepairRule,
  type Row,
  type RowRepairs,
  reasonFor,
  referenceCheck,
  repaired,
  type SqlRule,
  tupleKey,
  typeOfField,
  type UniqueRule,
  uniqueCheck,
  unjudgedReason,
} from '../../core/quality/index.js';
import { literalSql } from '../../core/schema/coerce-sql.js';
import { INT64, type Value, type ValueType } from '../../core/schema/types.js';
import type { DuckDbConnection, WriteColumn } from '../duckdb/connection.js';
import { quoteName } from '../duckdb/text.js';
import type { IngestContext } from './file-batch/batch.js';
import { frozenValue, lastSql, type Taken } from './imputation.js';
import type { Ledger } from './ledger.js';
import { readRecords } from './records.js';
import { type LakeSegment, relationSql } from './relation.js';
import { READINGS, wideSource } from './stage.js';

/** A row typed, repaired as far as it can be without others, and judged. */
export interface JudgedRow {
  readonly fields: Row;
  /** The fields as they were delivered. */
  readonly delivered: Row;
  readonly repairs: readonly Repair[];
  readonly reasons: readonly Reason[];
  /** Repairs that it needs others for. */
  readonly open: readonly LateRepair[];
}

export interface JudgeContext {
  readonly db: DuckDbConnection;
  readonly ledger: Ledger;
  readonly known: IngestContext['known'];
  /** Everything that is durable in the log of the source. */
  segments(): readonly LakeSegment[];
}

const NO_REASONS: readonly Reason[] = [];
const NO_REPAIRS: readonly Repair[] = [];
const NONE_OPEN: readonly LateRepair[] = [];
/** Tuples that one query looks up. */
const LOOKUP_TUPLES = 10_000;

const refuses = ({ action }: Reason): boolean => action === 'quarantine' || action === 'drop';
const isQuarantined = (reasons: readonly Reason[]): boolean =>
  reasons.some((reason) => reason.action === 'quarantine');

export class RowJudge {
  readonly #wide: Source;
  readonly #checks: ((row: Row) => readonly Reason[]) | undefined;
  readonly #allChecks: ReturnType<typeof compileRowChecks>;
  readonly #repairs: RowRepairs | undefined;
  readonly #relations: readonly (ReferenceRule | UniqueRule | SqlRule)[];
  /** Rules that compare records, or repairs that may need them. */
  readonly needsOthers: boolean;

  constructor(
    readonly source: Source,
    readonly context: JudgeContext,
  ) {
    this.#wide = wideSource(source);
    const { rows } = effectiveContract(this.#wide);
    this.#allChecks = compileRowChecks(this.#wide, READINGS);
    // Rows that `RowCode.read` reads break no implied rule.
    const implied = effectiveContract({ ...this.#wide, contract: { rows: [], batch: [] } }).rows;
    const ids = new Set(implied.map((rule) => rule.id));
    this.#checks = rows.every((rule) => ids.has(rule.id) && rule.check.kind === 'not_null')
      ? undefined
      : this.#allChecks;
    this.#repairs = compileRepairs(this.#wide, READINGS);
    this.#relations = rows.filter((rule) => isReference(rule) || isUnique(rule) || isSql(rule));
    this.needsOthers = this.#relations.length > 0 || (this.#repairs?.late.length ?? 0) > 0;
  }

  /** A row whose values could all be read, and none is null that the log cannot do without. */
  judgePlain(delivered: Row): JudgedRow {
    if (this.#repairs) return this.#judge(delivered, NO_REASONS);
    const reasons = this.#checks === undefined ? NO_REASONS : this.#checks(delivered);
    return { fields: delivered, delivered, repairs: NO_REPAIRS, reasons, open: NONE_OPEN };
  }

  /** A row with the reasons of the values that could not be read; they are null in it. */
  judge(delivered: Row, unread: readonly Reason[]): JudgedRow {
    return this.#judge(delivered, unread);
  }

  #judge(delivered: Row, unread: readonly Reason[]): JudgedRow {
    const names = new Set(unread.flatMap(({ field }) => field ?? []));
    const { row, repairs } = this.#repairs?.first(delivered, names) ?? {
      row: delivered,
      repairs: NO_REPAIRS,
    };
    const late = this.#repairs?.late.filter(({ broken }) => broken(row)) ?? NONE_OPEN;
    const waits = new Set(late.map(({ rule }) => rule.id));
    const reasons = [...unread, ...this.#allChecks(row, names).filter(({ rule }) => !waits.has(rule))];
    // A record with a value that cannot be read is refused whatever it is repaired to.
    return { fields: row, delivered, repairs, reasons, open: unread.length > 0 ? NONE_OPEN : late };
  }

  /** True when `settle` has something to do for these rows. */
  isOpen(rows: readonly JudgedRow[]): boolean {
    return this.#relations.length > 0 || rows.some((row) => row.open.length > 0);
  }

  /**
   * Repairs that need other records, and rules that compare them. Everything that was decided before must be durable.
   * `clocks` gives event time and available_at of a row whose values could all be read.
   */
  async settle(
    rows: readonly JudgedRow[],
    clocks: (fields: Row) => readonly [eventTime: Instant, availableAt: Instant],
    now: Instant,
  ): Promise<readonly JudgedRow[]> {
    const out = [...rows];
    if (rows.some((row) => row.open.length > 0)) await this.#repairLate(out, clocks, now);
    if (this.#relations.length > 0) await this.#judgeRelations(out, clocks);
    return out;
  }

  async #repairLate(
    rows: JudgedRow[],
    clocks: (fields: Row) => readonly [Instant, Instant],
    now: Instant,
  ): Promise<void> {
    const { db, ledger, known } = this.context;
    const first = [...rows];
    const waits = (index: number, rule: RepairRule): boolean =>
      first[index]!.open.some((late) => late.rule.id === rule.id);
    for (const { rule, broken } of this.#repairs!.late) {
      const wanting = rows.flatMap((row, index) => (waits(index, rule) && broken(row.fields) ? [index] : []));
      if (wanting.length === 0) continue;
      const sound = rows.flatMap(({ fields, delivered, reasons }, index) => {
        const value = fields[rule.field] ?? null;
        return value !== null &&
          value === delivered[rule.field] &&
          !waits(index, rule) &&
          !reasons.some(refuses) &&
          !isTombstone(this.#wide, fields)
          ? [index]
          : [];
      });
      const values = new Map<number, Value>();
      if (rule.impute?.kind === 'last') {
        const table = (name: string, chosen: readonly number[]): Promise<string> =>
          this.#table(
            name,
            chosen.map((index) => [index, rows[index]!.fields] as const),
            clocks,
          );
        const parts = {
          wanting: await table('_wanting', wanting),
          batch: await table('_sound', sound),
          known: known(this.source.name, { hindsight: false, repairs: true }),
        };
        const type = typeOfField(this.#wide.fields, rule.field);
        const found = await db.rows<{ _row: number; value: string }>(lastSql(this.#wide, rule, parts));
        for (const { _row, value } of found) values.set(Number(_row), decodeValue(type, value));
      } else {
        const segments = this.context.segments();
        const log = {
          db,
          ledger,
          relation: relationSql(this.source, segments),
          lastSeq: segments.at(-1)?.lastSeq ?? 0,
        };
        const taken = await frozenValue(this.#wide, rule, log, now, async () =>
          this.#take(
            rule,
            sound.map((index) => rows[index]!.fields[rule.field]!),
          ),
        );
        if (taken !== undefined) for (const index of wanting) values.set(index, taken);
      }
      for (const [index, value] of values) {
        const row = rows[index]!;
        const done = repaired(this.#wide, rule, row.fields, value);
        rows[index] = { ...row, fields: done.row, repairs: [...row.repairs, done.repair] };
      }
    }
    for (const [index, row] of rows.entries())
      if (row.open.length > 0)
        rows[index] = { ...row, reasons: this.#allChecks(row.fields), open: NONE_OPEN };
  }

  #take(rule: RepairRule, values: readonly Value[]): Taken | undefined {
    if (rule.impute?.kind === 'median') {
      const value = medianOf(values);
      return value === undefined ? undefined : { value, count: values.length };
    }
    const mean = meanOf(typeOfField(this.#wide.fields, rule.field));
    for (const value of values) mean.add(value);
    return mean.finish();
  }

  /** Rows as a temporary table; gives the SELECT of `_row`, the fields typed, `_event_time` and `_available_at`. */
  async #table(
    name: string,
    rows: readonly (readonly [number, Row])[],
    clocks: (fields: Row) => readonly [Instant, Instant],
  ): Promise<string> {
    const fields: readonly FieldDefinition[] = this.#wide.fields;
    const times = rows.map(([, row]) => clocks(row));
    const numbers = (column: string, values: readonly number[]): WriteColumn => ({
      name: column,
      type: 'BIGINT',
      data: Float64Array.from(values),
    });
    const columns: WriteColumn[] = [
      numbers(
        '_row',
        rows.map(([index]) => index),
      ),
      numbers(
        '_event_time',
        times.map(([eventTime]) => eventTime),
      ),
      numbers(
        '_available_at',
        times.map(([, availableAt]) => availableAt),
      ),
      ...fields.map(
        (field, i): WriteColumn => ({
          name: `_f${i}`,
          type: 'VARCHAR',
          data: rows.map(([, row]) => encodeValue(field.type, row[field.name] ?? null)),
        }),
      ),
    ];
    await this.context.db.writeTable(name, columns);
    const typed = fields.map(
      (field, i) => `${decodeSql(field.type, `"_f${i}"`)} AS ${quoteName(field.name)}`,
    );
    return `SELECT "_row", ${typed.join(', ')}, "_event_time", "_available_at" FROM ${quoteName(name)}`;
  }

  /** Rules over other records, in the order of the rules, for the rows that passed so far. */
  async #judgeRelations(
    rows: JudgedRow[],
    clocks: (fields: Row) => readonly [Instant, Instant],
  ): Promise<void> {
    const add = (index: number, reason: Reason): void => {
      const row = rows[index]!;
      rows[index] = { ...row, reasons: [...row.reasons, reason] };
    };
    for (const rule of this.#relations) {
      const alive = rows.flatMap(({ fields, reasons }, index) =>
        isQuarantined(reasons) || isTombstone(this.#wide, fields) ? [] : [index],
      );
      const reason = (index: number): Reason => reasonFor(rule, rows[index]!.fields, this.#wide.fields);
      if (isSql(rule)) {
        const { broken, error } = await this.#brokenBySql(rule, rows, alive, clocks);
        for (const index of broken)
          add(index, error === undefined ? reason(index) : unjudgedReason(reason(index), error));
        continue;
      }
      const broken = isReference(rule)
        ? await this.#brokenReference(rule, rows, alive, clocks)
        : await this.#brokenUnique(rule, rows, alive);
      for (const index of alive) if (broken(rows[index]!.fields)) add(index, reason(index));
    }
  }

  async #brokenBySql(
    rule: SqlRule,
    rows: readonly JudgedRow[],
    alive: readonly number[],
    clocks: (fields: Row) => readonly [Instant, Instant],
  ): Promise<{ readonly broken: readonly number[]; readonly error?: string }> {
    const { db } = this.context;
    const table = await this.#table(
      '_judged',
      alive.map((index) => [index, rows[index]!.fields] as const),
      clocks,
    );
    const own = this.source.fields.map((field) => quoteName(field.name)).join(', ');
    await db.run(batchViewSql(`SELECT "_row", ${own}, "_event_time", "_available_at" FROM (${table})`));
    try {
      const found = await db.rows<{ _row: number }>(
        `SELECT DISTINCT "_row" FROM (${batchSql(rule.check.sql)}) ORDER BY "_row"`,
      );
      return { broken: found.map((row) => Number(row._row)) };
    } catch (error) {
      return { broken: alive, error: notJudged(rule, error) };
    }
  }

  async #brokenReference(
    rule: ReferenceRule,
    rows: readonly JudgedRow[],
    alive: readonly number[],
    clocks: (fields: Row) => readonly [Instant, Instant],
  ): Promise<(row: Row) => boolean> {
    const { source, field } = rule.check;
    const type = typeOfField(this.#wide.fields, rule.field);
    const wanted = alive.map((index) => rows[index]!.fields[rule.field!] ?? null);
    const found = await this.#existing(
      this.context.known(source, { hindsight: !asOfRecord(rule) }),
      [[field, type]],
      wanted.filter((value) => value !== null).map((value) => [value]),
      [
        ['_available_at', INT64],
        ['_until', INT64],
      ],
    );
    const known = new Map<string, Known>();
    const add = (value: Value, from: number, until: number | null): void => {
      const name = tupleKey([value]);
      known.set(name, [...(known.get(name) ?? []), [from, until]]);
    };
    for (const [value, from, until] of found) add(value!, from as number, until as number | null);
    if (source === this.source.name)
      for (const index of alive) {
        const { fields } = rows[index]!;
        add(fields[field] ?? null, clocks(fields)[1], null);
      }
    const broken = referenceCheck(rule, (value) => known.get(tupleKey([value])) ?? []);
    return (row) => broken(row, clocks(row)[1]);
  }

  async #brokenUnique(
    rule: UniqueRule,
    rows: readonly JudgedRow[],
    alive: readonly number[],
  ): Promise<(row: Row) => boolean> {
    const { fields } = rule.check;
    const { recordKey } = this.source;
    const typed = (name: string) => [name, typeOfField(this.#wide.fields, name)] as const;
    const wanted = alive.map((index) => fields.map((name) => rows[index]!.fields[name] ?? null));
    const found = await this.#existing(
      this.context.known(this.source.name),
      fields.map(typed),
      wanted.filter((values) => !values.includes(null)),
      recordKey.map(typed),
    );
    const holders = new Map<string, Value[][]>();
    for (const values of found) {
      const tuple = tupleKey(values.slice(0, fields.length));
      holders.set(tuple, [...(holders.get(tuple) ?? []), values.slice(fields.length)]);
    }
    return uniqueCheck(rule, recordKey, (values) => holders.get(tupleKey(values)) ?? []);
  }

  /** Which tuples known records have, each followed by the columns `also`. */
  async #existing(
    relation: string,
    columns: readonly (readonly [string, ValueType])[],
    tuples: readonly (readonly Value[])[],
    also: readonly (readonly [string, ValueType])[],
  ): Promise<Value[][]> {
    if (tuples.length > LOOKUP_TUPLES) {
      const out: Value[][] = [];
      for (let at = 0; at < tuples.length; at += LOOKUP_TUPLES)
        out.push(...(await this.#existing(relation, columns, tuples.slice(at, at + LOOKUP_TUPLES), also)));
      return out;
    }
    if (tuples.length === 0) return [];
    const values = tuples.map(
      (tuple) => `(${tuple.map((value, i) => literalSql(columns[i]![1], value)).join(', ')})`,
    );
    const wanted = `(SELECT DISTINCT * FROM (VALUES ${values.join(', ')}) AS t(${columns.map((_, i) => `w${i}`).join(', ')}))`;
    const on = columns.map(([name], i) => `k.${quoteName(name)} = w.w${i}`).join(' AND ');
    const fields = [...columns, ...also].map(([column, type], i) => ({ name: `x${i}`, column, type }));
    const select = fields.map((field) => `k.${quoteName(field.column)} AS ${field.name}`).join(', ');
    const out: Value[][] = [];
    await readRecords(
      this.context.db,
      fields,
      'SELECT DISTINCT 0 AS "_seq", 0::BIGINT AS "_event_time", 0::BIGINT AS "_available_at", false AS "_deleted", ' +
        `${select} FROM (${relation}) k JOIN ${wanted} w ON ${on}`,
      (found) => void out.push(...found.map((row) => fields.map((field) => row.fields[field.name] ?? null))),
    );
    return out;
  }
}
