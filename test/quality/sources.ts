import type { FieldDefinition, RowRule, Source } from '../../src/core/define/types.js';
import {
  checkExpression,
  compileJsRow,
  type Expression,
  isSqlExpressible,
  parseExpression,
  printSql,
} from '../../src/core/expression/index.js';
import type { ExpressionReadings } from '../../src/core/quality/index.js';
import { parseType } from '../../src/core/schema/types.js';

export const readings: ExpressionReadings = {
  compile: compileJsRow,
  print: (expression, column) =>
    isSqlExpressible(expression) ? printSql(expression, { dialect: 'duckdb', column }) : undefined,
};

export const fieldsOf = (types: Readonly<Record<string, string>>): FieldDefinition[] =>
  Object.entries(types).map(([name, type]) => ({ name, type: parseType(type)! }));

export function sourceOf(
  types: Readonly<Record<string, string>>,
  rows: readonly RowRule[],
  more: Partial<Source> = {},
): Source {
  return {
    name: 'orders',
    records: '0'.repeat(64) as Source['records'],
    fingerprint: '0'.repeat(64) as Source['fingerprint'],
    tags: [],
    kind: 'events',
    read: { kind: 'push' },
    recordKey: ['id'],
    eventTime: 'at',
    availableAt: { kind: 'event_time' },
    timezone: 'UTC',
    ambiguousTime: 'refuse',
    fields: fieldsOf(types),
    keys: {},
    contract: { rows, batch: [] },
    ...more,
  };
}

export const rule = (
  id: string,
  field: string | null,
  check: RowRule['check'],
  action: RowRule['action'] = 'quarantine',
): RowRule => ({
  id,
  field,
  check,
  severity: 'error',
  action,
});

export function expression(text: string, types: Readonly<Record<string, string>>): Expression {
  const parsed = parseExpression(text);
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.problem));
  const checked = checkExpression(parsed.ast, {
    resolve: ([name]) =>
      types[name!] === undefined ? undefined : { type: parseType(types[name!]!), slot: name! },
    names: () => Object.keys(types),
  });
  if (!checked.ok) throw new Error(JSON.stringify(checked.problems));
  return checked.expression;
}
