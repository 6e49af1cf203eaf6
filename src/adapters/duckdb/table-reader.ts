import { MillraceError } from '../../core/base/error.js';
import type { ColumnSample } from '../../core/drift/profile.js';
import { typeOfDuckDb } from '../../core/schema/coerce-sql.js';
import { STRING, type ValueType } from '../../core/schema/types.js';
import type { TableReader } from '../../ports/table-reader.js';
import { inspectWhole } from '../files/whole.js';
import type { DuckDb } from './connection.js';
import { quoteName, quoteText } from './text.js';
import { NumberBuffer } from './value-buffer.js';

function relation(file: string): string {
  const bare = file.replace(/\.(gz|zst)$/i, '').toLowerCase();
  const name = quoteText(file);
  if (/\.(csv|tsv|txt)$/.test(bare)) return `read_csv(${name}, header = true, sample_size = -1)`;
  if (/\.parquet$/.test(bare)) return `read_parquet(${name})`;
  if (/\.(json|ndjson|jsonl)$/.test(bare)) return `read_json_auto(${name})`;
  throw new MillraceError('FORMAT_UNKNOWN', `cannot tell the format of "${file}"`, {
    place: { file },
    hint: 'Name it .csv, .parquet, .json or .ndjson (.gz and .zst may follow).',
  });
}

const isNumber = (sqlType: string): boolean =>
  /^(U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|UINTEGER|FLOAT|DOUBLE|DECIMAL.*)$/.test(sqlType);
const isInstant = (sqlType: string): boolean => sqlType.startsWith('TIMESTAMP') || sqlType === 'DATE';

export function createTableReader(db: DuckDb): TableReader {
  const describe = (file: string): Promise<{ name: string; type: string }[]> =>
    db.rows(
      `SELECT column_name AS name, column_type AS type FROM (DESCRIBE SELECT * FROM ${relation(file)})`,
    );

  /** Numbers, instants (µs) and dates (days) as doubles; nulls counted apart; -0, NaN and infinities left as they are. */
  const numeric = async (
    file: string,
    expression: string,
  ): Promise<{ values: Float64Array; nulls: number }> => {
    const buffer = new NumberBuffer();
    await db.stream(`SELECT ${expression} FROM ${relation(file)}`, (chunk) =>
      buffer.append(chunk.columns[0]!, chunk.rows),
    );
    const { values, valid } = buffer.finish();
    if (!valid) return { values, nulls: 0 };
    const kept = values.filter((_, i) => valid[i] !== 0);
    return { values: kept, nulls: values.length - kept.length };
  };

  const sampleOf = async (file: string, name: string, sqlType: string): Promise<ColumnSample> => {
    const column = quoteName(name);
    if (isNumber(sqlType)) return { type: 'numeric', ...(await numeric(file, `CAST(${column} AS DOUBLE)`)) };
    if (isInstant(sqlType))
      return {
        type: 'numeric',
        ...(await numeric(
          file,
          sqlType === 'DATE'
            ? `CAST(date_diff('day', DATE '1970-01-01', ${column}) AS DOUBLE)`
            : `CAST(epoch_us(${column}) AS DOUBLE)`,
        )),
      };
    const counts = new Map<string, number>();
    let nulls = 0;
    await db.stream(
      `SELECT CAST(${column} AS VARCHAR), count(*) FROM ${relation(file)} GROUP BY 1`,
      ({ rows, columns }) => {
        for (let i = 0; i < rows; i++) {
          const text = columns[0]!.data[i] as string | null;
          const total = Number(columns[1]!.data[i]);
          if (text === null) nulls += total;
          else counts.set(text, total);
        }
      },
    );
    return { type: 'categorical', counts, nulls };
  };

  return {
    columnNames: async (file) => {
      await inspectWhole(file);
      return (await describe(file)).map((column) => column.name);
    },
    samples: async (file) => {
      await inspectWhole(file);
      const columns: { name: string; type: ValueType; sample: ColumnSample }[] = [];
      for (const { name, type } of await describe(file))
        columns.push({
          name,
          type: typeOfDuckDb(type) ?? (isNumber(type) ? { kind: 'float64' } : STRING),
          sample: await sampleOf(file, name, type),
        });
      const [total] = await db.rows<{ n: number }>(`SELECT count(*) AS n FROM ${relation(file)}`);
      return { rows: total!.n, columns };
    },
    numbers: async (file, names) => {
      const types = new Map((await describe(file)).map((column) => [column.name, column.type]));
      const buffers = names.map(() => new NumberBuffer());
      const select = names.map((name) => {
        const column = quoteName(name);
        return types.get(name) === 'BOOLEAN'
          ? `CAST(CAST(${column} AS INTEGER) AS DOUBLE)`
          : `TRY_CAST(${column} AS DOUBLE)`;
      });
      await db.stream(
        `SELECT ${select.map((sql) => `coalesce(${sql}, 'nan'::DOUBLE)`).join(', ')} FROM ${relation(file)}`,
        (chunk) => {
          for (const [i, buffer] of buffers.entries()) buffer.append(chunk.columns[i]!, chunk.rows);
        },
      );
      return buffers.map((buffer) => buffer.finish().values);
    },
    close: async () => db.close(),
  };
}
