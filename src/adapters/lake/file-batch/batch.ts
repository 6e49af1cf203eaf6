/** What is known of a batch of files so far, and what its parts ask of it again and again. */
import { rmSync } from 'node:fs';
import { invariant } from '../../../core/base/error.js';
import type { Instant } from '../../../core/base/time.js';
import type { RowRule, Source } from '../../../core/define/types.js';
import type { BatchProfile } from '../../../core/drift/batch-profile.js';
import { HISTORY_BATCHES } from '../../../core/drift/history.js';
import { effectiveContract } from '../../../core/quality/index.js';
import type {
  BatchFile,
  BatchMark,
  BatchNotes,
  IngestResult,
  SchemaChange,
  StateScope,
} from '../../../ports/record-log.js';
import type { DuckDbConnection } from '../../duckdb/connection.js';
import { quoteName } from '../../duckdb/text.js';
import type { KeptBatch, Ledger } from '../ledger.js';
import { POSITION } from '../stage.js';
import type { BatchInput } from './input.js';
import { judgedTable } from './judged-rows.js';
import type { RefusedRows } from './refused-rows.js';
import { heldTable, isJudgedAlone, type StagedRows } from './staged-rows.js';

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
  /** Facts that are true once the batch is in the log. */
  readonly facts?: Readonly<Record<string, unknown>>;
  /** Nothing is to be written. */
  readonly check?: boolean;
}

/** in = accepted + quarantined + duplicates + dropped. */
export type Counts = {
  -readonly [K in
    | 'rows'
    | 'accepted'
    | 'quarantined'
    | 'duplicates'
    | 'dropped'
    | 'corrections'
    | 'repaired']: number;
};

/** Why a batch is refused. */
export interface FailedReason {
  readonly rule: string;
  readonly message: string;
}

/** An open file and the source as it reads that file. */
export const NOT_EXCLUDED = `${POSITION} NOT IN (SELECT "_row" FROM excluded)`;

export class FileBatch {
  readonly stages: string[] = [];
  readonly inputs: BatchInput[] = [];
  files: BatchFile[] = [];
  warnings: { rule: string; message: string; rows: number }[] = [];
  readonly reasons: Record<string, number> = {};
  /** Rule id → why it could not be judged. */
  readonly errors: Record<string, string> = {};
  /** Repairs: rule id → accepted rows. */
  repairs: Record<string, number> = {};
  /** Rule id → dropped rows. */
  drops: Record<string, number> = {};
  /** Rule id → accepted rows. */
  flags: Record<string, number> = {};
  /** Rows are not changed once they are read: `staged` is a view (see staged-rows.ts). */
  readonly streamed: boolean;
  readonly rows: StagedRows[] = [];
  /** True until rows were updated: DuckDB then keeps them in another order. */
  unmoved = true;
  /** What the batch looks like. */
  columns: BatchProfile | undefined;
  /** Committed batches before this one, newest first. */
  #before: readonly KeptBatch[] | undefined;
  notes: BatchNotes = {};
  /** What was said of its files when they were refused for their history. */
  mark: BatchMark | undefined;
  /** Measures by rule, for the ledger. */
  profile: Record<string, unknown> = {};
  /** Rows of `excluded`. */
  excluded = 0;
  refused: RefusedRows | undefined;
  /** Rows of its files: those that were not known by their hashes. What it is judged by. */
  read = 0;

  constructor(
    readonly context: IngestContext,
    readonly source: Source,
    readonly id: string,
    readonly options: IngestOptions,
    readonly counts: Counts,
  ) {
    this.streamed = options.state === undefined && isJudgedAlone(source);
  }

  countAccepted(): void {
    this.counts.accepted =
      this.counts.rows - this.counts.quarantined - this.counts.duplicates - this.counts.dropped;
  }

  async clear(): Promise<void> {
    this.refused?.close();
    for (const stage of this.stages) rmSync(stage, { force: true });
    for (const view of ['"_batch"', 'staged', 'judged'])
      await this.context.db.run(`DROP VIEW IF EXISTS temp.${view}`).catch(() => undefined);
    for (const table of [
      ...this.rows.map((_, input) => heldTable(input)),
      ...this.inputs.map((_, input) => judgedTable(input)),
      'staged',
      'late',
      'excluded',
      'gaps',
      'seen',
      'filled',
      'reference_rows',
      'state_last',
      'state_rows',
    ]) {
      await this.context.db.run(`DROP TABLE IF EXISTS temp.${table}`).catch(() => undefined);
    }
  }

  async one(sql: string): Promise<number> {
    const rows = await this.context.db.rows<{ n: number }>(sql);
    return Number(rows[0]!.n);
  }

  /** Rule id → rows with it in a list of theirs. */
  async perRule(list: string, where: string, from = 'judged'): Promise<Map<string, number>> {
    const rows = await this.context.db.rows<{ rule: string; n: number }>(
      `SELECT rule, count(*) AS n FROM (SELECT unnest(list_distinct(${list})) AS rule FROM ${from} WHERE ${where}) GROUP BY rule ORDER BY rule`,
    );
    return new Map(rows.map((row) => [row.rule, Number(row.n)]));
  }

  past(): readonly KeptBatch[] {
    this.#before ??= this.context.ledger.past(this.source.name, 'files', 2 * HISTORY_BATCHES);
    return this.#before;
  }

  /** Profiles of the last ordinary batches, newest first. */
  recent(limit: number): readonly BatchProfile[] {
    const ordinary = this.past().filter(
      ({ mark, anomalous }) => mark === 'expected' || (mark === null && anomalous.length === 0),
    );
    return this.context.ledger.profilesOf(ordinary.slice(0, limit).map(({ batch }) => batch));
  }

  note(changes: readonly SchemaChange[]): void {
    if (changes.length === 0) return;
    this.notes = { ...this.notes, changes: [...(this.notes.changes ?? []), ...changes] };
    for (const { kind, action, message } of changes)
      if (action === 'alert') this.warn(`schema.${kind}`, message, 0);
  }

  warn(rule: string, message: string, rows: number): void {
    this.warnings.push({ rule, message, rows });
  }

  /** Rows of a SELECT join `excluded`; gives how many. */
  async exclude(select: string): Promise<number> {
    await this.context.db.run(`INSERT INTO excluded ${select}`);
    return this.countExcluded();
  }

  /** How many have joined `excluded` since it was counted. */
  async countExcluded(): Promise<number> {
    const before = this.excluded;
    this.excluded = await this.one('SELECT count(*) AS n FROM excluded');
    return this.excluded - before;
  }

  /** What is true of the staged rows that are neither refused nor left out. */
  get acceptable(): string {
    return this.excluded === 0 ? 'true' : NOT_EXCLUDED;
  }

  /** What rules in SQL see of a row. */
  get ruleColumns(): string {
    const fields = this.source.fields.map(({ name }) => quoteName(name));
    return [...fields, '"_event_time"', '"_available_at"'].join(', ');
  }

  /** The rules of the contract with this action. */
  rulesWith(action: RowRule['action']): readonly RowRule[] {
    return effectiveContract(this.source).rows.filter((rule) => rule.action === action);
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
      batch: this.id,
      ...this.counts,
      seq,
      warnings: this.warnings,
      reasons: this.reasons,
      repairs: this.repairs,
      drops: this.drops,
      flags: this.flags,
    };
  }
}
