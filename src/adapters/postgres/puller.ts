/** Rows of a PostgreSQL table or query, read in one snapshot through a cursor of the server, as lines of JSON texts. */
import { type FileHandle, open } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client, QueryArrayResult } from 'pg';
import { invariant, MillraceError } from '../../core/base/error.js';
import { nearest } from '../../core/base/nearest.js';
import type { Cursor, Source } from '../../core/define/types.js';
import { columnAmong } from '../../core/quality/index.js';
import type { Puller } from '../../ports/puller.js';
import { explain, isTransient } from './errors.js';
import { jsonOf, sqlTypeOf } from './values.js';

const FETCH_ROWS = 5_000;
const ATTEMPTS = 5;
const FIRST_PAUSE_MS = 200;
const CONNECT_MS = 10_000;

type PostgresRead = Extract<Source['read'], { readonly kind: 'postgres' }>;
interface Column {
  readonly name: string;
  readonly oid: number;
  /** Declared as a vector: the server's array of numbers is one. */
  readonly vector: boolean;
}

/** The URL itself stays here: no message shows it. */
function urlOf(source: Source, { connection }: PostgresRead, env: NodeJS.ProcessEnv): string {
  const named = !connection.includes('://');
  const url = named ? env[connection] : connection;
  if (url && /^postgres(ql)?:\/\//.test(url) && URL.canParse(url)) return url;
  const wrong = !named
    ? 'its connection is no URL of PostgreSQL'
    : url
      ? `what the environment has as ${connection} is no URL`
      : `the environment has no ${connection}`;
  const form = 'postgres://user:password@host:5432/database';
  throw new MillraceError('SOURCE_REFUSED', `source ${source.name} reads from PostgreSQL, but ${wrong}`, {
    ...(source.place ? { place: source.place } : {}),
    hint: named
      ? `Set it: export ${connection}=${form} (signs in a password as %40 for @)`
      : `Write it as ${form.replace(':password', '')}, or name a variable that holds it.`,
  });
}

async function driver(): Promise<typeof import('pg')> {
  try {
    return ((await import('pg')) as unknown as { default: typeof import('pg') }).default;
  } catch (cause) {
    throw new MillraceError('SOURCE_REFUSED', 'reading from PostgreSQL needs the package pg', {
      hint: 'Install it: npm install pg',
      cause,
    });
  }
}

const quoteName = (name: string): string => `"${name.replaceAll('"', '""')}"`;
/** `orders`, `sales.orders`; a name with capitals or signs may be quoted as in SQL. */
const tableName = (text: string): string =>
  text.includes('"') ? text : text.split('.').map(quoteName).join('.');

const relationOf = ({ table, query }: PostgresRead): string =>
  table === undefined ? `(${query!.trim().replace(/;$/, '')})` : tableName(table);

const isTimed = ({ oid }: Column): boolean => /^(timestamp|date)/.test(sqlTypeOf(oid));

/** The declared columns; where one is missing all, so that ingest can say what has become of it. */
function chosen(source: Source, columns: readonly Column[]): readonly Column[] {
  const present = new Set(columns.map(({ name }) => name));
  const wanted = source.fields.map(({ name }) => columnAmong(source, name, present));
  return wanted.every((name) => present.has(name))
    ? columns.filter(({ name }) => wanted.includes(name))
    : columns;
}

function beginning(
  cursor: Cursor,
  column: Column,
  after: string | null,
  literal: (text: string) => string,
): string {
  if (after === null) return '';
  const type = sqlTypeOf(column.oid);
  const overlap = isTimed(column) ? `interval '${cursor.overlap} microseconds'` : `${cursor.overlap}`;
  const name = quoteName(column.name);
  return ` WHERE ${name} >= CAST(${literal(after)} AS ${type}) - ${overlap} OR ${name} IS NULL`;
}

async function readSnapshot(
  client: Client,
  source: Source,
  after: string | null,
  file: FileHandle,
  signal: AbortSignal,
): Promise<{ rows: number; cursor: string | null }> {
  const { read } = source;
  invariant(read.kind === 'postgres', `source ${source.name} does not read from PostgreSQL`);
  await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
  await client.query("SET LOCAL TimeZone = 'UTC'");
  await client.query("SET LOCAL DateStyle = 'ISO, YMD'");
  await client.query('SET LOCAL extra_float_digits = 1');
  const relation = relationOf(read);
  const { fields } = await client.query(`SELECT * FROM ${relation} AS millrace_rows LIMIT 0`);
  const present = new Set(fields.map(({ name }) => name));
  const vectors = new Set(
    source.fields
      .filter(({ type }) => type.kind === 'float64_vector')
      .map(({ name }) => columnAmong(source, name, present)),
  );
  const columns = fields.map(({ name, dataTypeID }) => ({
    name,
    oid: dataTypeID,
    vector: vectors.has(name),
  }));
  let where = '';
  let order = '';
  let place = -1;
  const taken = chosen(source, columns);
  if (read.cursor) {
    const name = columnAmong(source, read.cursor.field, present);
    place = taken.findIndex((column) => column.name === name);
    if (place < 0) throw noColumn(source, name, columns);
    where = beginning(read.cursor, taken[place]!, after, (text) => client.escapeLiteral(text));
    order = ` ORDER BY ${quoteName(name)} NULLS FIRST`;
  }
  const list = taken.map(({ name }) => quoteName(name)).join(', ');
  await client.query(
    `DECLARE millrace_pull NO SCROLL CURSOR FOR SELECT ${list} FROM ${relation} AS millrace_rows${where}${order}`,
  );
  const keys = taken.map(({ name }) => `${JSON.stringify(name)}:`);
  let rows = 0;
  let cursor = after;
  for (;;) {
    if (signal.aborted) throw new MillraceError('INTERRUPTED', 'interrupted; nothing of this read was kept');
    const part: QueryArrayResult<(string | null)[]> = await client.query({
      text: `FETCH ${FETCH_ROWS} FROM millrace_pull`,
      rowMode: 'array',
    });
    if (part.rows.length === 0) break;
    let text = '';
    for (const row of part.rows) {
      let line = '{';
      for (let i = 0; i < row.length; i++)
        line += `${i === 0 ? '' : ','}${keys[i]}${jsonOf(taken[i]!, row[i]!)}`;
      text += `${line}}\n`;
    }
    await file.write(text);
    rows += part.rows.length;
    if (place >= 0) cursor = part.rows.findLast((row) => isPlace(row[place]!))?.[place] ?? cursor;
  }
  if (cursor !== null && isTimed(taken[place]!)) cursor = await notAhead(client, cursor, taken[place]!);
  await client.query('COMMIT');
  return { rows, cursor: read.cursor ? cursor : null };
}

/** NaN and infinity are greater than every value that comes later. */
const isPlace = (text: string | null): boolean => text !== null && !/nan|infinity/i.test(text);

/** Times ahead of the server's clock are read again until it has passed them: what changes before is not missed. */
async function notAhead(client: Client, cursor: string, { oid }: Column): Promise<string> {
  const type = sqlTypeOf(oid);
  const { rows } = await client.query<{ place: string }>(
    `SELECT CAST(least(CAST(${client.escapeLiteral(cursor)} AS ${type}), CAST(now() AS ${type})) AS text) AS place`,
  );
  return rows[0]!.place;
}

function noColumn(source: Source, name: string, columns: readonly Column[]): MillraceError {
  const names = columns.map((column) => column.name);
  const near = nearest(name, names);
  return new MillraceError('SOURCE_REFUSED', `what source ${source.name} reads has no column "${name}"`, {
    ...(source.place ? { place: source.place } : {}),
    hint: near ? `Its nearest column is "${near}".` : `Its columns are ${names.join(', ')}.`,
  });
}

export function createPostgresPuller(env: NodeJS.ProcessEnv): Puller {
  const attempt = async (
    url: string,
    source: Source,
    after: string | null,
    path: string,
    signal: AbortSignal,
  ): Promise<{ rows: number; cursor: string | null }> => {
    const { Client: PgClient } = await driver();
    // Every value as the server's text: its meaning is for the declared type to say.
    const client = new PgClient({
      connectionString: url,
      connectionTimeoutMillis: CONNECT_MS,
      application_name: 'millrace',
      types: { getTypeParser: () => (text: string) => text } as never,
    });
    let lost: Error | undefined;
    client.on('error', (error) => {
      lost = error;
    });
    const file = await open(path, 'w');
    try {
      await client.connect();
      return await readSnapshot(client, source, after, file, signal);
    } catch (error) {
      throw lost ?? error;
    } finally {
      await file.close();
      await client.end().catch(() => undefined);
    }
  };

  return {
    pull: async (source, after, path, { signal, onRetry }) => {
      invariant(source.read.kind === 'postgres', `source ${source.name} does not read from PostgreSQL`);
      const url = urlOf(source, source.read, env);
      for (let tried = 1; ; tried++) {
        try {
          return await attempt(url, source, after, path, signal);
        } catch (error) {
          if (error instanceof MillraceError) throw error;
          const said = explain(source, url, error as Error);
          if (!isTransient(error as Error) || tried === ATTEMPTS) throw said;
          onRetry(said, tried);
          const pause = FIRST_PAUSE_MS * 2 ** (tried - 1);
          await sleep(pause * (0.5 + Math.random()), undefined, { signal }).catch(() => undefined);
          if (signal.aborted)
            throw new MillraceError('INTERRUPTED', 'interrupted while waiting to try again');
        }
      }
    },
  };
}
