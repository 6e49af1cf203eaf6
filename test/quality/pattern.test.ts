import type { DuckDBConnection } from '@duckdb/node-api';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { quoteText } from '../../src/core/schema/coerce-sql.js';
import { checkPattern, compilePattern, patternSql } from '../../src/core/schema/pattern.js';
import fc from '../property.js';
import { connect, loadTexts, rowsOf } from './duck.js';

const RUNS = Number(process.env['MILLRACE_COERCE_RUNS'] ?? 400);
const SEED = Number(process.env['MILLRACE_COERCE_SEED'] ?? 5);

const TEXTS = [
  '',
  'a',
  'ab',
  'aab',
  'abc',
  'A',
  '1',
  '12',
  'a1',
  'a-b',
  'a_b',
  'a b',
  ' ',
  '\n',
  'a\n',
  '\na',
  'a\nb',
  '\r',
  '\r\n',
  '\t',
  '\v',
  '\f',
  '\u00a0',
  '\u2028',
  '\u2029',
  '\ufeff',
  'é',
  'e\u0301',
  '\u017f',
  '\u212a',
  'K',
  '😀',
  '😀😀',
  '\ufb00',
  '\u0130',
  '.',
  '*',
  '\\',
  '/',
  '[',
  ']',
  '^',
  '$',
  '{2}',
  '(',
  ')',
  '|',
  '+',
  '?',
  '-',
  '_',
  'aaaaaaaa',
  'abababab',
  'b😀a',
  '\u0661',
  'ß',
  '\u0000',
  '\u0085',
  'a\u0000b',
  '~',
  "it's",
  '"',
  '#',
  '&&',
  '@x.y',
  '2024-01-02',
];

const atom = fc.constantFrom(
  'a',
  'b',
  'é',
  '😀',
  ' ',
  '1',
  '-',
  '_',
  '"',
  "'",
  '.',
  '\\.',
  '\\d',
  '\\D',
  '\\w',
  '\\W',
  '\\s',
  '\\S',
  '\\n',
  '\\t',
  '\\v',
  '\\\\',
  '\\-',
  '\\/',
  '/',
  '\\$',
  '~',
  '&',
  '#',
  '[ab]',
  '[^ab]',
  '[a-z]',
  '[^a-c\\d]',
  '[\\w-]',
  '[-a]',
  '[\\s1]',
  '[^\\s]',
  '[.]',
  '[\\]]',
  '[\\^a]',
  '[a\\-z]',
  '[$|()]',
  '[😀-😂]',
  '[\\x]',
  '[\\W]',
  '[^\\D]',
  '[a&]',
  '[~!]',
);
const quantifier = fc.constantFrom(
  '',
  '',
  '',
  '*',
  '+',
  '?',
  '*?',
  '+?',
  '??',
  '{2}',
  '{1,2}',
  '{0,1}?',
  '{2,}',
  '{0}',
  '{3,2}',
  '{,2}',
  '{1001}',
  '**',
  '{2}{3}',
);
const pattern: fc.Arbitrary<string> = fc.letrec<{ all: string; piece: string }>((tie) => ({
  all: fc.oneof(
    { weight: 4, arbitrary: fc.array(tie('piece'), { maxLength: 4 }).map((parts) => parts.join('')) },
    { weight: 1, arbitrary: fc.tuple(tie('all'), tie('all')).map(([a, b]) => `${a}|${b}`) },
  ),
  piece: fc.oneof(
    { maxDepth: 3 },
    { weight: 5, arbitrary: fc.tuple(atom, quantifier).map(([a, q]) => a + q) },
    { weight: 1, arbitrary: fc.constantFrom('^', '$', '\\b', '\\B') },
    {
      weight: 1,
      arbitrary: fc
        .tuple(fc.constantFrom('(', '(?:'), tie('all'), quantifier)
        .map(([open, a, q]) => `${open}${a})${q}`),
    },
  ),
})).all;
const wild = fc.string({ unit: fc.constantFrom(...'ab1.\\[]^$()|*+?{}-,:&=!dwsSbpQEx0 zAP'), maxLength: 9 });

let connection: DuckDBConnection;
beforeAll(async () => {
  connection = await connect();
  await loadTexts(connection, 'texts', TEXTS);
});
afterAll(() => connection.closeSync());

describe('patterns of contracts', () => {
  it('match the same texts in TypeScript and in DuckDB', async () => {
    const patterns = [...new Set(fc.sample(fc.oneof(pattern, wild), { numRuns: RUNS, seed: SEED }))].filter(
      (text) => checkPattern(text) === undefined,
    );
    expect(patterns.length).toBeGreaterThan(RUNS / 8);
    const differences: string[] = [];
    for (let from = 0; from < patterns.length; from += 50) {
      const some = patterns.slice(from, from + 50);
      const columns = some.map((text) => `regexp_matches(raw, ${quoteText(patternSql(text))})`);
      const rows = await rowsOf(connection, `SELECT ${columns.join(', ')} FROM texts ORDER BY i`);
      some.forEach((text, index) => {
        const matches = compilePattern(text);
        TEXTS.forEach((raw, i) => {
          if (rows[i]![index] !== matches(raw))
            differences.push(`${text} on ${JSON.stringify(raw)}: SQL ${rows[i]![index]}`);
        });
      });
    }
    expect(differences.slice(0, 20)).toEqual([]);
  });

  it.each([
    ['^[A-Z]{2}\\d{4}$', undefined],
    ['(?i)abc', '(?...) groups other than (?:...) are not supported'],
    ['(?=a)', '(?...) groups other than (?:...) are not supported'],
    ['(a)\\1', 'references to groups are not supported'],
    ['\\p{L}', '\\p is not supported'],
    ['[[:alpha:]]', 'write \\[ for a bracket in a class; [[:name:]] is not supported'],
    ['a{2', 'write \\{ for a brace, or a count such as {2,5}'],
    ['(a', 'a group ( is not closed'],
    ['a)', 'a ) closes nothing'],
    ['[z-a]', 'a range in a class runs backwards'],
    ['(a{500}){500}', 'it repeats more than 1000 times'],
    ['a\\', 'it ends with a backslash'],
    ['*a', 'a repetition has nothing to repeat'],
  ])('%s: %s', (text, problem) => {
    expect(checkPattern(text)).toBe(problem);
  });
});
