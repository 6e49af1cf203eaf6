// Synthetic events, observations, attributes as Parquet: a pure function of the size (hashes of row numbers, no random
// state), made by DuckDB once and kept in bench/.cache.
import { existsSync, mkdirSync, renameSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { DuckDBInstance } from '@duckdb/node-api';

export const CACHE = path.join(path.dirname(fileURLToPath(import.meta.url)), '.cache');
export const DAY = 86_400_000_000;
/** 2024-01-01T00:00:00Z in microseconds; the events cover the 30 days from it. */
export const START = 1_704_067_200_000_000;
const SPAN = 30 * DAY;
/** Part of the generator's identity: change it when the generated rows change. */
const VERSION = 3;

export const millions = (n) => (n >= 1e6 ? `${n / 1e6}M` : `${n / 1e3}k`);

/** Uniform in [0, 1) from a row number and a stream number. */
const uniform = (row, stream) => `((hash(${row} * 16 + ${stream}) >> 11)::DOUBLE / 9007199254740992.0)`;
/** Zipf-like: the rank r is drawn with density about r^(-2/3). */
const user = (row, stream, users) => `floor(${users} * pow(${uniform(row, stream)}, 3))::BIGINT`;

export async function make(name, sql) {
  mkdirSync(CACHE, { recursive: true });
  const file = path.join(CACHE, `v${VERSION}-${name}.parquet`);
  if (existsSync(file)) return file;
  const instance = await DuckDBInstance.create(':memory:');
  const connection = await instance.connect();
  await connection.run("SET TimeZone = 'UTC'");
  await connection.run(`COPY (${sql}) TO '${file}.tmp' (FORMAT parquet, COMPRESSION zstd)`);
  connection.closeSync();
  instance.closeSync();
  renameSync(`${file}.tmp`, file);
  return file;
}

/**
 * Events in about the order of their times (an hour of disorder): id, user, ts, amount (whole cents as double),
 * price (the same as decimal), category (50 texts). 40 events a user on average. `hot`: one user has 5 % of all.
 */
export const eventsFile = (n, hot = false) => {
  const users = Math.max(1, Math.round(n / 40));
  const drawn = user('i', 1, users);
  const who = hot ? `CASE WHEN ${uniform('i', 6)} < 0.05 THEN ${users} ELSE ${drawn} END` : drawn;
  return make(
    `events-${millions(n)}${hot ? '-hot' : ''}`,
    `SELECT i AS id, ${who} AS "user",
      make_timestamptz(${START} + floor(i::DOUBLE / ${n} * ${SPAN - 3600e6} + ${uniform('i', 2)} * 3600e6)::BIGINT) AS ts,
      round(exp(3 * ${uniform('i', 3)}) * 1000) / 100 AS amount,
      CAST(round(exp(3 * ${uniform('i', 3)}) * 1000) / 100 AS DECIMAL(12, 2)) AS price,
      'category-' || lpad(floor(50 * pow(${uniform('i', 4)}, 2))::INTEGER::VARCHAR, 2, '0') AS category
    FROM range(${n}) r(i)`,
  );
};

/** Observations of the same users at any instant of the 30 days: oid, user, at. */
export const observationsFile = (m, n, hot = false) => {
  const users = Math.max(1, Math.round(n / 40));
  const drawn = user('i', 7, users);
  const who = hot ? `CASE WHEN ${uniform('i', 9)} < 0.05 THEN ${users} ELSE ${drawn} END` : drawn;
  return make(
    `observations-${millions(m)}-of-${millions(n)}${hot ? '-hot' : ''}`,
    `SELECT i AS oid, ${who} AS "user",
      make_timestamptz(${START} + floor(${uniform('i', 8)} * ${SPAN})::BIGINT) AS "at" FROM range(${m}) r(i)`,
  );
};

/** Attribute rows of the users over time: user, ts, level, score. Ten a user on average; (user, ts) is unique. */
export const attributesFile = (n) => {
  const users = Math.max(1, Math.round(n / 10));
  return make(
    `attributes-${millions(n)}`,
    `SELECT "user", ts, level, score FROM (
      SELECT floor(${users} * ${uniform('i', 10)})::BIGINT AS "user",
        make_timestamptz(${START} + floor(${uniform('i', 11)} * ${SPAN})::BIGINT) AS ts,
        'level-' || floor(5 * ${uniform('i', 12)})::INTEGER AS level,
        round(${uniform('i', 13)} * 1000) / 10 AS score, i
      FROM range(${n}) r(i)) QUALIFY row_number() OVER (PARTITION BY "user", ts ORDER BY i) = 1 ORDER BY i`,
  );
};

/** Observations for the attributes: oid, user, at. */
export const stateObservationsFile = (m, n) =>
  make(
    `state-observations-${millions(m)}-of-${millions(n)}`,
    `SELECT i AS oid, floor(${Math.max(1, Math.round(n / 10))} * ${uniform('i', 14)})::BIGINT AS "user",
      make_timestamptz(${START} + floor(${uniform('i', 15)} * ${SPAN})::BIGINT) AS "at" FROM range(${m}) r(i)`,
  );

/**
 * The same attributes as they became known: available_at is ts, or up to two days later for one row in five; one row in
 * twenty is corrected within five days of being known. (user, ts) is the record's key.
 */
export const recordedAttributesFile = async (n) => {
  const attributes = await attributesFile(n);
  const late = (seed, days) => `floor(hash("user", ts, ${seed}) % 1000000 / 1e6 * ${days * DAY})::BIGINT`;
  return make(
    `recorded-attributes-${millions(n)}`,
    `WITH first AS (SELECT *, epoch_us(ts) + CASE WHEN hash("user", ts, 1) % 5 = 0 THEN ${late(2, 2)} ELSE 0 END AS available
        FROM read_parquet('${attributes}'))
      SELECT "user", ts, make_timestamptz(available) AS available_at, level, score FROM first
      UNION ALL
      SELECT "user", ts, make_timestamptz(available + 1 + ${late(3, 5)}), 'level-' || (hash("user", ts, 4) % 5), score + 100
      FROM first WHERE hash("user", ts, 5) % 20 = 0`,
  );
};
