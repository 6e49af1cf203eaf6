import type { FieldDefinition } from '../../core/define/types.js';
import { BATCH_PROFILE_OPTIONS, type BatchProfile } from '../../core/drift/batch-profile.js';
import type { ColumnSample } from '../../core/drift/grouped.js';
import { type ColumnProfile, profileColumn } from '../../core/drift/profile.js';
import { isNumericSample, valueSample } from '../../core/drift/sample.js';
import { deviationSql } from '../../core/quality/batch.js';
import type { DuckDbConnection } from '../duckdb/connection.js';
import { quoteName } from '../duckdb/text.js';
import { valueAt } from './records.js';

/** Rows that quantiles, histograms and categories are taken from. */
const SAMPLE_ROWS = 16_384;
/** 2^32 over the golden ratio: multiples of it, modulo 2^32, lie evenly. */
const GOLDEN = 2_654_435_769;

const numberSql = ({ type }: FieldDefinition, column: string): string =>
  type.kind === 'timestamp'
    ? `epoch_us(${column})::DOUBLE`
    : type.kind === 'date'
      ? `(${column} - DATE '1970-01-01')::DOUBLE`
      : `${column}::DOUBLE`;

const finite = (value: number | null | undefined): number | null =>
  value === null || value === undefined || !Number.isFinite(value) ? null : value;

export interface ProfiledRelation {
  readonly profile: BatchProfile;
  /** The sampled values, by field. */
  readonly samples: Readonly<Record<string, ColumnSample>>;
}

/**
 * Profiles a relation of typed rows in one pass. The relation has the fields, `_event_time`, `_available_at` and
 * `position`, a whole number that differs from row to row: the same rows give the same sample. `size`: its rows.
 */
export async function profileRelation(
  db: DuckDbConnection,
  fields: readonly FieldDefinition[],
  relation: string,
  position: string,
  size: number,
): Promise<ProfiledRelation> {
  const measured = fields.flatMap((field, i) => {
    const column = quoteName(field.name);
    const number = numberSql(field, column);
    return [
      `count(${column}) AS n${i}`,
      `approx_count_distinct(${column}) AS d${i}`,
      ...(isNumericSample(field.type)
        ? [
            `${numberSql(field, `min(${column})`)} AS l${i}`,
            `${numberSql(field, `max(${column})`)} AS h${i}`,
            `avg(${number}) AS m${i}`,
            `${field.type.kind === 'float64' ? deviationSql(number) : `stddev_samp(${number})`} AS s${i}`,
          ]
        : []),
    ];
  });
  const share = Math.min(1, SAMPLE_ROWS / Math.max(size, 1));
  const chosen =
    share === 1
      ? ''
      : ` FILTER (WHERE (CAST(${position} AS BIGINT) % 4294967296) * ${GOLDEN} % 4294967296 < ${Math.floor(share * 2 ** 32)})`;
  const sampledRow = fields.map((field, i) => `'f${i}': ${quoteName(field.name)}`).join(', ');
  const parts = [
    'count(*) AS rows',
    'min("_event_time") AS earliest',
    'max("_event_time") AS latest',
    'max("_available_at") AS known',
    ...measured,
    `list({'place': ${position}, ${sampledRow}})${chosen} AS sample`,
  ];
  await db.run(`CREATE OR REPLACE TEMP TABLE profiled AS SELECT ${parts.join(', ')} FROM (${relation})`);
  const [facts] = await db.rows<Record<string, number | null>>('SELECT * EXCLUDE (sample) FROM profiled');
  const rows = Number(facts!['rows']);
  const columns = await db.columns(
    `SELECT ${fields.map((field, i) => `chosen.f${i} AS ${quoteName(field.name)}`).join(', ')} FROM (SELECT unnest(sample) AS chosen FROM profiled) ORDER BY chosen.place`,
  );
  await db.run('DROP TABLE profiled');
  const sampled = columns[0]?.data.length ?? 0;
  const samples: Record<string, ColumnSample> = {};
  const profiles: Record<string, ColumnProfile> = {};
  for (const [i, { name, type }] of fields.entries()) {
    const column = columns[i]!;
    const sample = valueSample(
      type,
      Array.from({ length: sampled }, (_, row) => valueAt(type, column, row)),
    );
    samples[name] = sample;
    const profile = profileColumn(sample, BATCH_PROFILE_OPTIONS);
    if (sampled === rows) {
      profiles[name] = profile;
      continue;
    }
    const count = Number(facts![`n${i}`]);
    const exact = { count, nulls: rows - count, distinct: Math.min(count, Number(facts![`d${i}`])) };
    profiles[name] =
      profile.type === 'numeric'
        ? {
            ...profile,
            ...exact,
            min: finite(facts![`l${i}`]),
            max: finite(facts![`h${i}`]),
            mean: finite(facts![`m${i}`]),
            std: finite(facts![`s${i}`]),
          }
        : { ...profile, ...exact };
  }
  const instant = (name: string): number | null => (facts![name] === null ? null : Number(facts![name]));
  const freshness = {
    minEventTime: instant('earliest'),
    maxEventTime: instant('latest'),
    maxAvailableAt: instant('known'),
  };
  return { profile: { rows, sampled, freshness, columns: profiles }, samples };
}
