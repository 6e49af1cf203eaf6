/** Reading: files become `staged`, typed rows with what is wrong with each of them. */
import { join } from 'node:path';
import type { DuckDbConnection } from '../../duckdb/connection.js';
import type { InputFile } from '../../files/inputs.js';
import { type OpenedInput, openInput, SchemaRefusal } from '../open-input.js';
import { RECENT_BATCHES, settleSchema } from '../schema-change.js';
import { createStagedSql, insertStagedSql } from '../stage.js';
import type { FileBatch } from './batch.js';
import { refusal } from './findings.js';
import { type BatchInput, fileOf } from './input.js';
import { heldTable, stagedViewSql, stageRows } from './staged-rows.js';

/** A file that is not in the log yet. */
export interface FreshFile {
  readonly file: InputFile;
  readonly sha256: string;
}

/** An input that files may still join. */
interface GrowingInput extends BatchInput {
  last: number;
  readonly unreadable: BatchInput['unreadable'][number][];
}

/**
 * Makes the rows of files `staged`. Small files with the columns of the one before are read together with it, as one
 * input. Throws BATCH_REFUSED for columns that are missing.
 */
export async function readFiles(batch: FileBatch, files: readonly FreshFile[]): Promise<void> {
  const { db } = batch.context;
  if (!batch.streamed) await db.run(createStagedSql(batch.source));
  let input: GrowingInput | undefined;
  for (const [number, { file, sha256 }] of files.entries()) {
    let opened: OpenedInput;
    try {
      opened = await openInput(db, batch.source, file, {
        stagePath: newStage(batch, number),
        number,
        pile: input?.pile,
        lenient: true,
        ...(batch.options.signal ? { signal: batch.options.signal } : {}),
      });
      const joins = input?.pile !== undefined && opened.pile === input.pile;
      if (input && !joins) await stage(batch, input);
      input = joins ? input : undefined;
      input ??= { ...opened, ...(await settle(batch, opened)), first: number, last: number, unreadable: [] };
    } catch (error) {
      if (!(error instanceof SchemaRefusal)) throw error;
      if (input) await stage(batch, input);
      throw refusal(batch, [{ rule: 'schema', message: error.message }], error.hint, error.place);
    }
    input.last = number;
    for (const row of opened.unreadable) input.unreadable.push({ ...row, file: number });
    batch.files.push({ path: file.path, sha256, rows: opened.unreadable.length });
  }
  if (input) await stage(batch, input);
  if (batch.streamed) await db.run(stagedViewSql(batch.rows));
}

const stagePath = (batch: FileBatch, file: number): string =>
  join(batch.context.temporaryFolder, `stage-${batch.id}-${file}`);

function newStage(batch: FileBatch, file: number): string {
  const path = stagePath(batch, file);
  batch.stages.push(path);
  return path;
}

/** How a file is read, by its columns. */
async function settle(
  batch: FileBatch,
  opened: OpenedInput,
): Promise<Pick<BatchInput, 'source' | 'extraColumns'>> {
  const { source, shape, changes, extra } = await settleSchema(batch.context.db, batch.source, opened, {
    profiles: () => batch.recent(RECENT_BATCHES),
    shape: batch.notes.shape ?? batch.past()[0]?.notes.shape,
  });
  batch.note(changes);
  batch.notes = { ...batch.notes, shape };
  return { source, extraColumns: extra };
}

/** Makes the rows of an input part of `staged`, and counts them. */
async function stage(batch: FileBatch, input: BatchInput): Promise<void> {
  batch.inputs.push(input);
  const staged = await stagedByFile(batch, input);
  for (let number = input.first; number <= input.last; number++) {
    const file = batch.files[number]!;
    const rows = (staged.get(number) ?? 0) + file.rows;
    batch.files[number] = { ...file, rows };
    batch.counts.rows += rows;
    batch.read += rows;
    if (rows === 0 && !batch.options.state)
      batch.warn('file.no_rows', `${file.path} has a header and no rows`, 0);
  }
}

/** Makes the rows of an input part of `staged`; gives how many each of its files has. */
async function stagedByFile(batch: FileBatch, input: BatchInput): Promise<ReadonlyMap<number, number>> {
  const { db, heldBytes } = batch.context;
  const { now } = batch.options;
  const { first, last, pile } = input;
  if (!batch.streamed) {
    await db.run(insertStagedSql(input.source, input, fileOf(input), now));
    return rowsByFile(db, `staged WHERE "_file" BETWEEN ${first} AND ${last}`);
  }
  const textPath = pile?.path ?? stagePath(batch, first);
  const path = `${textPath}.parquet`;
  batch.stages.push(path);
  const before = batch.rows.reduce((sum, { rows }) => sum + rows, 0);
  const room = heldBytes - batch.rows.reduce((sum, { bytes }) => sum + bytes, 0);
  const table = heldTable(batch.rows.length);
  const staged = await stageRows(db, input, { table, before, now, textPath, path, room });
  batch.rows.push(staged);
  return pile ? rowsByFile(db, `(${staged.select})`) : new Map([[first, staged.rows]]);
}

async function rowsByFile(db: DuckDbConnection, from: string): Promise<ReadonlyMap<number, number>> {
  const rows = await db.rows<{ file: number; n: number }>(
    `SELECT "_file" AS file, count(*) AS n FROM ${from} GROUP BY "_file"`,
  );
  return new Map(rows.map(({ file, n }) => [Number(file), Number(n)]));
}
