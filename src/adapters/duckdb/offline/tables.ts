import { rename, stat } from 'node:fs/promises';
import path from 'node:path';
import { MillraceError } from '../../../core/base/error.js';
import type { OfflineStore } from '../../../ports/offline-store.js';
import type { LatestTable } from '../latest-state.js';
import { sampleRows } from '../row-sample.js';
import { quoteName, quoteText } from '../text.js';
import { valueBuffer } from '../value-buffer.js';
import { castSql, codedColumn, isoSql, writeColumn } from './columns-out.js';
import { held, type OfflineSession, scanSql } from './session.js';
import { tableSql } from './table-sql.js';

/** Files of rows: written, read back, copied. */
export function tables(
  session: OfflineSession,
): Pick<OfflineStore, 'readColumns' | 'sampleRows' | 'copyRows' | 'write' | 'slices'> {
  const { db, fresh } = session;
  return {
    readColumns: async (file, columns, options = {}) => {
      const buffers = columns.map((column) => valueBuffer(column.type));
      const select = columns.map((column) => scanSql(column.type, quoteName(column.name))).join(', ');
      await db.stream(`SELECT ${select} FROM ${tableSql(file, options)}`, (chunk) => {
        for (const [i, buffer] of buffers.entries()) buffer.append(chunk.columns[i]!, chunk.rows);
      });
      return new Map(columns.map((column, i) => [column.name, buffers[i]!.finish()]));
    },

    sampleRows: (parts, wanted, out) => sampleRows(db, parts, wanted, out),

    copyRows: async (from, to, { columns, where }) => {
      await db.run(
        `COPY (SELECT ${columns.map(quoteName).join(', ')} FROM ${tableSql(from)}
          WHERE ${quoteName(where.column)} = ${quoteText(where.value)}) TO ${quoteText(to)} (FORMAT parquet)`,
      );
    },

    write: async (table, added, out) => {
      const folder = path.dirname(out.file);
      if (!(await stat(folder).catch(() => null))?.isDirectory())
        throw new MillraceError('FILE_NOT_FOUND', `there is no folder "${folder}" to write into`, {
          place: { file: out.file },
          hint: 'Make the folder first, or write elsewhere.',
        });
      const kept = out.rows;
      const columns = added.flatMap((item, i) =>
        'column' in item
          ? [codedColumn(`c${i}`, item.column) ?? writeColumn(`c${i}`, item.column, out.format)]
          : [],
      );
      const helds = [...new Set(added.flatMap((item) => ('held' in item ? [item.held.id] : [])))];
      if (kept) columns.push({ name: 'kept', type: 'BOOLEAN', data: kept });
      const provided = columns.length > 0 ? await db.provide(columns) : null;
      const passed = held(table).columns.filter(
        ({ name }) =>
          (out.only === undefined || out.only.includes(name)) && !added.some((item) => item.name === name),
      );
      const select = [
        ...passed.map(({ name, type }) => {
          const column = `o.${quoteName(name)}`;
          return out.format === 'csv' && type.kind === 'timestamp'
            ? `${isoSql(column)} AS ${quoteName(name)}`
            : column;
        }),
        ...added.map((item, i) =>
          'column' in item
            ? `${castSql(`o."_millrace_added".c${i}`, item.column.type, out.format)} AS ${quoteName(item.name)}`
            : `${(item.held as LatestTable).valueSql(item.name, item.default)} AS ${quoteName(item.name)}`,
        ),
      ];
      const observed = provided
        ? `(SELECT *, ${provided.name}("_millrace_row") AS "_millrace_added" FROM ${table.id}) o`
        : `${table.id} o`;
      const temporary = `${out.file}.${process.pid}.tmp`;
      const options =
        out.format === 'csv'
          ? "FORMAT csv, HEADER, DELIMITER ','"
          : "FORMAT parquet, COMPRESSION 'zstd', ROW_GROUP_SIZE 122880";
      await db.run(
        `COPY (SELECT ${select.join(', ')} FROM ${[observed, ...helds].join(' POSITIONAL JOIN ')}${kept ? ' WHERE o."_millrace_added".kept' : ''}) TO ${quoteText(temporary)} (${options})`,
      );
      await rename(temporary, out.file);
      provided?.release();
      const rows = kept ? kept.reduce((sum, bit) => sum + bit, 0) : table.rows;
      return { rows, bytes: (await stat(out.file)).size };
    },

    slices: async (table, added, kept) => {
      const id = fresh('add');
      const columns = added.map(({ column }, i) => writeColumn(`c${i}`, column, 'parquet'));
      const row = Int32Array.from(kept, (_, i) => i);
      await db.writeTable(id, [
        { name: 'r', type: 'INTEGER', data: row },
        ...columns,
        { name: 'kept', type: 'BOOLEAN', data: kept },
      ]);
      const select = [
        ...held(table).columns.flatMap(({ name }) =>
          added.some((item) => item.name === name) ? [] : [`o.${quoteName(name)}`],
        ),
        ...added.map(
          ({ name, column }, i) => `${castSql(`a.c${i}`, column.type, 'parquet')} AS ${quoteName(name)}`,
        ),
      ].join(', ');
      return {
        write: async ({ from, to }, file) => {
          const slot = fresh('slice');
          const part = (of: string, by: string): string =>
            `(SELECT * FROM ${of} WHERE ${by} >= ${from} AND ${by} < ${to})`;
          const temporary = `${file}.tmp`;
          // Through a table of its own: the rows then stand in chunks as if there were no others.
          await db.run(
            `CREATE TEMP TABLE ${slot} AS SELECT ${select} FROM ${part(table.id, '"_millrace_row"')} o POSITIONAL JOIN ${part(id, 'r')} a WHERE a.kept`,
          );
          await db.run(
            `COPY ${slot} TO ${quoteText(temporary)} (FORMAT parquet, COMPRESSION 'zstd', ROW_GROUP_SIZE 122880)`,
          );
          await rename(temporary, file);
          await db.run(`DROP TABLE ${slot}`);
        },
        release: () => db.run(`DROP TABLE ${id}`),
      };
    },
  };
}
