import { MillraceError } from '../../../core/base/error.js';
import { nearest } from '../../../core/base/nearest.js';
import type { JoinKey } from '../../../core/define/types.js';
import { coerceNativeSql, coerceSql, typeOfDuckDb } from '../../../core/schema/coerce-sql.js';
import { printType, sameType, type ValueType } from '../../../core/schema/types.js';
import type { ObservationTable } from '../../../ports/offline-store.js';
import { quoteName } from '../text.js';
import { held, type OfflineSession } from './session.js';

/** The SQL of a held column in `type`, after a check that every value fits. */
export async function typedSql(
  { db }: OfflineSession,
  observations: ObservationTable,
  name: string,
  type: ValueType,
  purpose: string,
): Promise<string> {
  const table = held(observations);
  const sqlType = table.sqlTypes.get(name);
  if (sqlType === undefined) {
    const near = nearest(name, table.sqlTypes.keys());
    throw new MillraceError('USAGE', `the observations have no column "${name}", which ${purpose} needs`, {
      hint: near
        ? `The nearest column is "${near}".`
        : `Their columns are ${[...table.sqlTypes.keys()].join(', ')}.`,
    });
  }
  const present = typeOfDuckDb(sqlType);
  if (present && sameType(present, type)) return quoteName(name);
  const options = { timezone: table.timezone, ambiguousTime: 'refuse' as const, nulls: [] };
  const coerced =
    sqlType === 'VARCHAR'
      ? coerceSql(type, quoteName(name), options)
      : coerceNativeSql(type, quoteName(name), sqlType, options);
  const bad = await db.rows<{ row: number; text: string }>(
    `SELECT "_millrace_row" AS row, CAST(${quoteName(name)} AS VARCHAR) AS text FROM ${table.id} WHERE ${coerced.bad} LIMIT 1`,
  );
  if (bad[0])
    throw new MillraceError(
      'ENTITY_KEY_INVALID',
      `observation ${bad[0].row + 1}: ${name} is "${bad[0].text}", which is no ${printType(type)}`,
      {
        place: { path: name },
        hint: `${purpose} reads ${name} as ${printType(type)}. Mend the file or the field's type.`,
      },
    );
  return coerced.value;
}

/** The SQL of the observations' join keys, each as its type. */
export async function joinKeysSql(
  session: OfflineSession,
  table: ObservationTable,
  joinKeys: readonly JoinKey[],
): Promise<string[]> {
  const keys: string[] = [];
  for (const { name, type } of joinKeys)
    keys.push(await typedSql(session, table, name, type, `join key ${name}`));
  return keys;
}
