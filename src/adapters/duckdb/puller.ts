import { invariant, MillraceError } from '../../core/base/error.js';
import { nearest } from '../../core/base/nearest.js';
import type { Source } from '../../core/define/types.js';
import { columnAmong } from '../../core/quality/index.js';
import type { Puller } from '../../ports/puller.js';
import type { DuckDb } from './connection.js';
import { interruptible } from './lazy.js';
import { quoteName, quoteText } from './text.js';

/** How the text of a cursor is read, by its declared type. */
const TEXT_AS = { timestamp: 'TIMESTAMP', date: 'DATE', int64: 'BIGINT' } as const;

/** Rows of a SELECT over files; they come as a Parquet file. */
export function createSqlPuller(db: DuckDb, projectFolder: string): Puller {
  return {
    pull: async (source, after, file, { signal }) => {
      const { read } = source;
      invariant(read.kind === 'sql', `source ${source.name} has no SQL`);
      const sql = read.sql.trim().replace(/;$/, '');
      const connection = await db.connect();
      const stop = interruptible(connection, signal);
      try {
        await connection.run(`SET file_search_path = ${quoteText(projectFolder)}`);
        const columns = await connection.rows<{ column_name: string; column_type: string }>(
          `DESCRIBE (${sql})`,
        );
        const names = columns.map((column) => column.column_name);
        const present = new Set(names);
        const { cursor } = read;
        // Joins come in any order: records get their places in the log by time and key.
        const order = [source.eventTime, ...source.recordKey]
          .map((field) => columnAmong(source, field, present))
          .filter((name) => present.has(name))
          .map(quoteName);
        const ordered = order.length === 0 ? '' : ` ORDER BY ${order.join(', ')}`;
        if (cursor === undefined) {
          await connection.run(
            `COPY (SELECT * FROM (${sql})${ordered}) TO ${quoteText(file)} (FORMAT parquet)`,
          );
          return { rows: await countOf(connection, file), cursor: null };
        }
        const name = columnAmong(source, cursor.field, present);
        const given = columns.find((column) => column.column_name === name)?.column_type;
        if (given === undefined) throw noColumn(source, name, names);
        const declared = source.fields.find((field) => field.name === cursor.field)!.type;
        // A text that is no such value is read every time, as a null is.
        const type = given === 'VARCHAR' ? TEXT_AS[declared.kind as keyof typeof TEXT_AS] : given;
        const column = given === type ? quoteName(name) : `TRY_CAST(${quoteName(name)} AS ${type})`;
        const timed = /^(TIMESTAMP|DATE)/.test(type);
        const overlap = timed ? `to_microseconds(${cursor.overlap})` : `${cursor.overlap}`;
        const from =
          after === null
            ? 'true'
            : `${column} >= CAST(${quoteText(after)} AS ${type}) - ${overlap} OR ${column} IS NULL`;
        // What is greater than everything that comes later is no place to go on from.
        const greatest = timed
          ? `max(least(${column}, CAST(now() AS ${type}))) FILTER (isfinite(${column}))`
          : `max(${column})`;
        await connection.run(
          `COPY (SELECT * FROM (${sql}) WHERE ${from} ORDER BY ${column}) TO ${quoteText(file)} (FORMAT parquet)`,
        );
        const [found] = await connection.rows<{ n: number; greatest: string | null }>(
          `SELECT count(*) AS n, CAST(${greatest} AS VARCHAR) AS greatest FROM read_parquet(${quoteText(file)})`,
        );
        return { rows: found!.n, cursor: found!.greatest ?? after };
      } catch (error) {
        throw refused(source, error);
      } finally {
        stop();
        connection.close();
      }
    },
  };
}

async function countOf(connection: Pick<DuckDb, 'rows'>, file: string): Promise<number> {
  const [found] = await connection.rows<{ n: number }>(
    `SELECT count(*) AS n FROM read_parquet(${quoteText(file)})`,
  );
  return found!.n;
}

function noColumn(source: Source, name: string, names: readonly string[]): MillraceError {
  const near = nearest(name, names);
  return new MillraceError('SOURCE_REFUSED', `the SQL of source ${source.name} gives no column "${name}"`, {
    ...(source.place ? { place: source.place } : {}),
    hint: near ? `Its nearest column is "${near}".` : `Its columns are ${names.join(', ')}.`,
  });
}

/** DuckDB's own words on the user's SQL, with the place of the source. */
function refused(source: Source, error: unknown): unknown {
  if (!(error instanceof MillraceError) || error.code !== 'INTERNAL') return error;
  return new MillraceError(
    'SOURCE_REFUSED',
    `the SQL of source ${source.name} does not run: ${error.message}`,
    {
      ...(source.place ? { place: source.place } : {}),
      hint: 'Mend the SQL: it is one SELECT of DuckDB over files, which are relative to the project folder.',
      cause: error,
    },
  );
}
