import { Dialect, parse } from '@polyglot-sql/sdk';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FOLDS, foldFor } from '../../src/core/algebra/catalogue.js';
import { categoryText } from '../../src/core/algebra/compare.js';
import type { FoldContext, Member } from '../../src/core/algebra/fold.js';
import { foldSql, type StateParts, type StateRows } from '../../src/core/algebra/sql.js';
import { argumentsOf } from '../../src/core/define/functions.js';
import { FUNCTION_NAMES, type FunctionArguments, type FunctionName } from '../../src/core/define/types.js';
import {
  BOOLEAN,
  DATE,
  decimal,
  FLOAT64,
  INT64,
  STRING,
  TIMESTAMP,
  type Value,
  type ValueType,
} from '../../src/core/schema/types.js';
import { duckSession } from '../expression/duck.js';
import { fill, type Session } from '../expression/engine.js';
import { hostileRows } from '../expression/hostile.js';
import { postgresSession } from '../expression/postgres.js';
import { random } from '../world.js';

/** Members with hostile values, in a few entities and at few instants, so that there are ties of everything. */
const COLUMNS: Readonly<Record<string, ValueType>> = {
  entity: INT64,
  event_time: INT64,
  seq: INT64,
  amount: FLOAT64,
  plain: FLOAT64,
  quantity: INT64,
  price: decimal(2),
  label: STRING,
  flag: BOOLEAN,
  moment: TIMESTAMP,
  day: DATE,
  b: INT64,
  name: STRING,
  p: BOOLEAN,
  category: STRING,
};
const FIELDS = ['amount', 'plain', 'quantity', 'price', 'label', 'flag', 'moment', 'day'] as const;
const ENTITIES = 7;
const AT = 1_000_000_000;

const next = random(11);
const rows = hostileRows(260, 11).map((row, seq) => ({
  // the last entity has one member, the one before a single value
  entity: seq === 0 ? ENTITIES - 1 : Math.floor(next() * (ENTITIES - 1)),
  event_time: Math.floor(next() * 20) * 1_000_003,
  seq,
  amount: row['f1']!,
  plain: next() < 0.1 ? null : Math.round(next() * 1000) / 8,
  quantity: row['i1']!,
  price: row['d1']!,
  label: row['s1']!,
  flag: row['b1']!,
  moment: row['t1']!,
  day: row['a1']!,
  b: next() < 0.2 ? null : Math.floor(next() * 4),
  name: row['s2']!,
  p: row['b2']!,
  category: next() < 0.15 ? null : ['x', 'Y', '\u{1F600}', '\uFFFF'][Math.floor(next() * 4)]!,
}));

const ARGUMENTS: readonly FunctionArguments[] = [
  { ignoreNulls: false, k: 3, q: 0.25, halfLife: 5_000_000 },
  { ignoreNulls: true, k: 1, q: 0.9, halfLife: 60_000_000 },
];

interface Case {
  readonly name: FunctionName;
  readonly field: (typeof FIELDS)[number];
  readonly context: FoldContext;
  readonly by: 'b' | 'name';
}

const takesArguments = (name: FunctionName): boolean =>
  argumentsOf(name).required.length + argumentsOf(name).optional.length > 0;

const CASES: readonly Case[] = FUNCTION_NAMES.flatMap((name) =>
  FIELDS.filter((field) => FOLDS[name].accepts(COLUMNS[field]!)).flatMap((field) =>
    ARGUMENTS.slice(0, takesArguments(name) ? 2 : 1).map((args, i): Case => {
      const by = i === 0 ? 'b' : 'name';
      const inputType = FOLDS[name].needsField === false ? null : COLUMNS[field]!;
      return { name, field, by, context: { inputType, byType: COLUMNS[by]!, arguments: args } };
    }),
  ),
);

const partsOf = ({ field, by }: Case): StateParts => ({
  from: 'members',
  entity: 'entity',
  value: field,
  by,
  predicate: 'p',
  eventTime: 'event_time',
  order: ['event_time', 'seq'],
});

const memberOf = ({ name, field, by }: Case, row: (typeof rows)[number]): Member => ({
  eventTime: row.event_time,
  value: row[field],
  by: name === 'ratio' ? row.p : row[by],
  group: row.category === null ? null : categoryText(STRING, row.category),
});

const SESSIONS = { DuckDB: duckSession, PostgreSQL: postgresSession } as const;

for (const [engine, open] of Object.entries(SESSIONS)) {
  describe(`the state of a fold in ${engine} is the state in TypeScript`, () => {
    let session: Session;
    beforeAll(async () => {
      session = await open();
      await fill(session, 'members', COLUMNS, rows);
    });
    afterAll(() => session?.close());

    for (const byGroup of [false, true])
      for (const name of FUNCTION_NAMES)
        it(`${name}${byGroup ? ' by category' : ''}`, async () => {
          for (const one of CASES.filter((item) => item.name === name)) {
            const { field, context } = one;
            const parts = partsOf(one);
            const reading = foldSql(
              name,
              context,
              byGroup ? { ...parts, group: 'category' } : parts,
              session.dialect,
            );
            const results: StateRows[] = [];
            for (const { sql, columns } of reading.statements)
              results.push(await session.query(sql, [{ name: 'entity', type: INT64 }, ...columns]));
            const fold = foldFor(name, context, byGroup);
            for (let entity = 0; entity <= ENTITIES; entity++) {
              const state = fold.init();
              const members = rows
                .filter((row) => row.entity === entity)
                .sort((a, b) => a.event_time - b.event_time || a.seq - b.seq);
              for (const row of members) fold.add(state, memberOf(one, row));
              const encoded = reading.encoded(
                results.map((result) => result.filter((row) => row[0] === entity)),
              );
              const found = fold.decode(encoded);
              expect([field, entity, JSON.stringify(encoded)]).toEqual([
                field,
                entity,
                JSON.stringify(fold.encode(state)),
              ]);
              expect([field, entity, fold.finish(found, AT)] as Value[]).toEqual([
                field,
                entity,
                fold.finish(state, AT),
              ]);
            }
          }
        });
  });
}

describe('the state of a fold in Spark SQL', () => {
  it('is read by a parser of its grammar, for every function and field', () => {
    const problems = CASES.filter(({ by }) => by === 'b').flatMap((one) =>
      [partsOf(one), ...(one.field === 'quantity' ? [{ ...partsOf(one), group: 'category' }] : [])].flatMap(
        (parts) =>
          foldSql(one.name, one.context, parts, 'spark').statements.flatMap(({ sql }) => {
            const result = parse(sql, Dialect.Spark);
            return result.success ? [] : `${one.name}: ${result.error}\n${sql}`;
          }),
      ),
    );
    expect(problems).toEqual([]);
  });

  it('is written as it was agreed', async () => {
    const written = FUNCTION_NAMES.map((name) => {
      const one = CASES.find((item) => item.name === name)!;
      const { sql } = foldSql(name, one.context, partsOf(one), 'spark').statements[0]!;
      return `-- ${name} of ${one.field}\n${sql}\n`;
    });
    await expect(written.join('\n')).toMatchFileSnapshot('spark.sql');
  });
});
