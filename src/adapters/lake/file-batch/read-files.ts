/** Reading: files become `staged`, typed rows with what is wrong with each of them. */
import { join } from 'node:path';
import type { InputFile } from '../../files/inputs.js';
import { openInput, SchemaRefusal } from '../open-input.js';
import { RECENT_BATCHES, settleSchema } from '../schema-change.js';
import { createStagedSql, insertStagedSql } from '../stage.js';
import type { BatchInput, FileBatch } from './batch.js';
import { refusal } from './findings.js';
import { stagedViewSql, stageRows } from './staged-rows.js';

/** A file that is not in the log yet. */
export interface FreshFile {
  readonly file: InputFile;
  readonly sha256: string;
}

/** Makes the rows of files `staged`. Throws BATCH_REFUSED for columns that are missing. */
export async function readFiles(batch: FileBatch, files: readonly FreshFile[]): Promise<void> {
  const { db } = batch.context;
  if (!batch.streamed) await db.run(createStagedSql(batch.source));
  for (const [index, { file, sha256 }] of files.entries()) {
    const stagePath = join(batch.context.temporaryFolder, `stage-${batch.id}-${index}`);
    batch.stages.push(stagePath);
    let input: BatchInput;
    try {
      const opened = await openInput(db, batch.source, file, {
        stagePath,
        lenient: true,
        ...(batch.options.signal ? { signal: batch.options.signal } : {}),
      });
      const { source, shape, changes, extra } = await settleSchema(db, batch.source, opened, {
        profiles: () => batch.recent(RECENT_BATCHES),
        shape: batch.notes.shape ?? batch.past()[0]?.notes.shape,
      });
      input = { ...opened, extraColumns: extra, source };
      batch.note(changes);
      batch.notes = { ...batch.notes, shape };
    } catch (error) {
      if (error instanceof SchemaRefusal)
        throw refusal(batch, [{ rule: 'schema', message: error.message }], error.hint, error.place);
      throw error;
    }
    batch.inputs.push(input);
    const staged = await stage(batch, input, index);
    const rows = staged + input.unreadable.length;
    batch.files.push({ path: file.path, sha256, rows });
    batch.counts.rows += rows;
    batch.read += rows;
    if (rows === 0 && !batch.options.state)
      batch.warn('file.no_rows', `${file.path} has a header and no rows`, 0);
  }
  if (batch.streamed) await db.run(stagedViewSql(batch.rows));
}

/** Makes the rows of an input part of `staged`; gives their number. */
async function stage(batch: FileBatch, input: BatchInput, file: number): Promise<number> {
  const { db, temporaryFolder } = batch.context;
  const { now } = batch.options;
  if (!batch.streamed) {
    await db.run(insertStagedSql(input.source, input, file, now));
    return batch.one(`SELECT count(*) AS n FROM staged WHERE "_file" = ${file}`);
  }
  const textPath = join(temporaryFolder, `stage-${batch.id}-${file}`);
  const path = `${textPath}.parquet`;
  batch.stages.push(path);
  const before = batch.rows.reduce((sum, { rows }) => sum + rows, 0);
  const held = batch.rows.reduce((sum, { bytes }) => sum + bytes, 0);
  const room = batch.context.heldBytes - held;
  const staged = await stageRows(db, input.source, input, { file, before, now, textPath, path, room });
  batch.rows.push(staged);
  return staged.rows;
}
