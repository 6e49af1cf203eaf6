/** Raw versions and observations → the columns that the sweep reads. */
import { ColumnBuilder, columnValue } from '../../src/core/engine/columns.js';
import { intervalsByKey } from '../../src/core/engine/intervals.js';
import {
  STATUS_NAMES,
  type SweepColumn,
  type SweepFeature,
  type SweepInput,
  type SweepLookup,
} from '../../src/core/engine/types.js';
import type { Expression } from '../../src/core/expression/index.js';
import type { Value, ValueType } from '../../src/core/schema/types.js';
import type { Predicate, RawObservation, RawVersion } from '../../src/testing/oracle.js';

export interface Fields {
  readonly [name: string]: ValueType;
}

export function sweepInput(
  log: readonly RawVersion[],
  observations: readonly RawObservation[],
  fields: Fields,
  features: readonly SweepFeature[],
  lookups: readonly SweepLookup[],
  predicate: Predicate,
  sequenced = false,
): SweepInput {
  const codes = new Map<string, number>();
  for (const { entity } of observations)
    if (entity !== null && !codes.has(entity)) codes.set(entity, codes.size);
  const known = intervalsByKey(log, (version) => version.recordKey).filter(
    ({ version }) => version.entity !== null && codes.has(version.entity),
  );
  const rows = known.length;
  const take = (read: (item: (typeof known)[number]) => number) => Float64Array.from(known, read);
  const columns = new Map(
    Object.entries(fields).map(([name, type]) => {
      const values = known.map(({ version }) => version.fields[name] ?? null);
      if (values.some((value) => typeof value === 'bigint'))
        return [name, { type, kind: 'values' as const, values }];
      const builder = new ColumnBuilder(type, rows);
      values.forEach((value, row) => {
        builder.set(row, value);
      });
      return [name, builder.finish()];
    }),
  );
  const expressions = new Map<string, Expression>();
  for (const { aggregation } of features)
    for (const expression of [aggregation.where, aggregation.ratioWhere])
      if (expression) expressions.set(expression.canonical, expression);
  const maskOf = (expression: Expression) =>
    Uint8Array.from(known, ({ version }) => {
      const truth = predicate(expression, version);
      return truth === null ? 2 : truth ? 1 : 0;
    });
  const given = observations.some(({ knowledge }) => knowledge !== undefined);
  return {
    entities: codes.size,
    records: {
      rows,
      sequenced,
      entity: Int32Array.from(known, ({ version }) => codes.get(version.entity!)!),
      eventTime: take(({ version }) => version.eventTime),
      availableAt: take(({ from }) => from),
      seq: take(({ version }) => version.order),
      until: known.some(({ until }) => until !== Number.POSITIVE_INFINITY)
        ? take(({ until }) => until)
        : null,
      columns: new Map(columns),
      masks: new Map([...expressions].map(([text, expression]) => [text, maskOf(expression)])),
    },
    observations: {
      rows: observations.length,
      entity: Int32Array.from(observations, ({ entity }) => (entity === null ? -1 : codes.get(entity)!)),
      at: Float64Array.from(observations, ({ at }) => at),
      knowledge: given ? Float64Array.from(observations, ({ at, knowledge }) => knowledge ?? at) : null,
    },
    features,
    lookups,
  };
}

export const answer = (column: SweepColumn, row: number): { value: Value; status: string } => ({
  value: columnValue(column.column, row),
  status: STATUS_NAMES[column.status[row]!]!,
});
