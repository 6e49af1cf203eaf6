import type { Source } from '../../../core/define/types.js';
import type { SweepLookup } from '../../../core/engine/types.js';
import type { OfflineStore } from '../../../ports/offline-store.js';
import type { LogState } from '../../../ports/record-log.js';
import { type HeldValue, holdLatest, type LatestQuery, lookedUpFields } from '../latest-state.js';
import { quoteName } from '../text.js';
import { codedBuffer, type ValueBuffer, valueBuffer } from '../value-buffer.js';
import { enumOf, FEW_RECORDS } from './known.js';
import { held, type OfflineSession, scanSql } from './session.js';
import { joinKeysSql } from './typed-columns.js';

/** Values that are one number each. */
const PLAIN_KINDS: readonly string[] = ['int64', 'float64', 'timestamp', 'date', 'boolean'];

/** Dictionaries of fields whose texts are few, by field. */
type Texts = ReadonlyMap<string, { readonly type: string; readonly dictionary: string[] }>;

/** How a looked-up value comes back from the table that holds it. */
function heldValue({ output, outputType, field }: SweepLookup, texts: Texts): HeldValue {
  const buffer = (): ValueBuffer => valueBuffer(outputType);
  if (output === 'age_seconds') return { read: (sql) => sql, buffer, plain: true };
  const coded = texts.get(field);
  if (coded)
    return {
      read: (sql) => `CAST(enum_code(${sql}) AS INTEGER)`,
      buffer: () => codedBuffer(outputType, coded.dictionary),
      plain: true,
    };
  return { read: (sql) => scanSql(outputType, sql), buffer, plain: PLAIN_KINDS.includes(outputType.kind) };
}

/** Lookups that DuckDB answers itself. */
export function lookups(session: OfflineSession): Pick<OfflineStore, 'lookups'> {
  const { db, lake, fresh } = session;

  const textsOf = async (source: Source, fields: Iterable<string>, relation: string): Promise<Texts> => {
    const texts = new Map<string, { type: string; dictionary: string[] }>();
    for (const name of fields) {
      if (source.fields.find((field) => field.name === name)!.type.kind !== 'string') continue;
      const found = await enumOf(session, relation, name);
      if (found) texts.set(name, found);
    }
    return texts;
  };

  /** How long after they happened records became known: the least and the greatest; null: at once. */
  const lagOf = async (source: Source, state: LogState, relation: string): Promise<LatestQuery['lag']> => {
    if (source.availableAt.kind === 'event_time' && !state.hasVersions) return null;
    const [lag] = await db.rows<{ least: number | null; greatest: number | null }>(
      `SELECT min("_available_at" - "_event_time") AS least, max("_available_at" - "_event_time") AS greatest FROM (${relation})`,
    );
    return { least: lag!.least ?? 0, greatest: lag!.greatest ?? 0 };
  };

  return {
    lookups: async (table, scan) => {
      const { source, horizonSeq, knowledge, lookups, keyFields } = scan;
      const state = await lake.state(source);
      const relation = lake.relation(state, source);
      const keys = await joinKeysSql(session, table, scan.joinKeys);
      const coded = state.lastSeq < FEW_RECORDS ? [] : lookedUpFields(lookups);
      const texts = await textsOf(source, coded, relation);
      let lastAt = table.at[0] ?? 0;
      for (const at of table.at) if (at > lastAt) lastAt = at;
      const query: LatestQuery = {
        source,
        state,
        horizonSeq,
        knowledge,
        keyFields,
        lookups,
        observations: `SELECT "_millrace_row" AS r, ${keys.map((sql, i) => `${sql} AS k${i}`).join(', ')}, ${held(table).atSql} AS t FROM ${table.id}`,
        observationRows: table.rows,
        lastAt,
        lag: await lagOf(source, state, relation),
        value: (field) => {
          const column = `s.${quoteName(field)}`;
          const type = texts.get(field)?.type;
          return type === undefined ? column : `CAST(${column} AS ${type})`;
        },
        relation,
        known: (narrow) =>
          lake.knownSql(source, state, { horizonSeq, hindsight: knowledge === 'hindsight', narrow }),
      };
      const values = lookups.map((lookup) => heldValue(lookup, texts));
      return holdLatest(db, fresh('held'), query, values, async () => {
        for (const { type } of texts.values()) await db.run(`DROP TYPE ${type}`);
      });
    },
  };
}
