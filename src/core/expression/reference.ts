import { FUNCTIONS } from './functions.js';

const RULES = `# Expressions

\`where\`, derived columns, on-demand features and checks are written in one language: a typed subset of SQL
scalar expressions. DuckDB and JavaScript give the same bits for every expression and every row; no expression
raises an error on a row.

## Values

| type | literal |
|---|---|
| int64 | \`42\`, \`-9223372036854775808\` |
| decimal(n) | \`1.50\` is decimal(2); up to 15 places and 18 digits, longer ones are float64 |
| float64 | \`1e3\`, \`1.5e0\` |
| string | \`'it''s'\` |
| boolean | \`true\`, \`false\` |
| timestamp | \`timestamp '2024-03-10T02:30:00Z'\`; without an offset it is UTC |
| date | \`date '2024-03-10'\` |
| duration | \`duration('1h30m')\`, \`interval '90 minutes'\`: moves a timestamp; elsewhere a float64 of seconds |
| any | \`null\` |

Names are bare (\`amount\`), dotted (\`request.amount\`) or quoted (\`"unit price"\`) and are case-sensitive; words
and functions are not. A text literal beside a timestamp or a date is read as one.

## Operators, loosest first

| operator | meaning |
|---|---|
| \`or\`, \`and\`, \`not\` | three-valued logic |
| \`= <> < <= > >=\` | null where a side is null; they do not chain |
| \`is [not] null\`, \`is [not] distinct from\` | never null |
| \`[not] between a and b\`, \`[not] in (a, ...)\` | as the comparisons they stand for |
| \`[not] like 'pattern' [escape 'c']\` | \`%\` any text, \`_\` one code point; the pattern is written out |
| \`\\|\\|\` | joins texts; null where a side is null |
| \`+ -\` | numbers; timestamp ± duration, timestamp - timestamp (float64 seconds), date - date (int64 days) |
| \`* / // %\` | \`/\` is a float64; \`//\` divides int64 towards zero; \`%\` takes the sign of the left side |
| \`-x\` | |

Besides: \`case when a then b ... else c end\`, \`case x when a then b ... end\`, \`cast(x as type)\` (\`try_cast\` is
the same).

## Rules

- **Null.** An operation on null is null, but for \`and\`, \`or\`, \`is\`, \`case\`, \`coalesce\`, \`nullif\`, \`greatest\`,
  \`least\` and \`concat\`.
- **No result is null.** Division by zero, int64 overflow, a decimal beyond 18 digits, a float64 that is not finite,
  an instant beyond ±(2^53 - 1) µs, and a cast that cannot be made all give null. -0 is 0.
- **Widening.** int64 → decimal → float64. int64 to float64 rounds to nearest even; a decimal becomes its unscaled
  integer as float64 divided by 10^scale. Comparisons of int64 and decimals are exact; with a float64 both sides are
  float64.
- **Decimals.** + - % have the larger scale, * the sum of the scales (15 at most), exactly. \`/\` divides the unscaled
  integers as float64, then moves the point: \`0.3 / 0.1\` is 3.
- **Rounding** is half away from zero everywhere: \`round\`, and casts to int64 and decimal.
- **Text** is compared by code points, without collation or normalisation. \`lower\` and \`upper\` change A-Z only.
- **Casts from text** take exactly: \`[+-]digits\` (30 at most); \`[+-]digits[.digits][e[+-]digits]\` (only float64 with
  exponent, of 4 digits at most, and up to 255 digits on each side of the point);
  \`true\`, \`false\` in any case; \`YYYY-MM-DD\`; \`YYYY-MM-DD[T| ]HH:MM:SS[.ffffff][Z|±HH:MM]\`, years 1600 to 2999.
  Nothing is trimmed. There is no cast from float64 to string.
- **Time zones** are IANA names and only used by the date parts; the rules are those of the running Node and DuckDB.
- **Unknown types.** A name without a declared type takes the type of what it is compared with or passed to; float64
  in arithmetic, beside number literals, and where nothing tells.
- **JavaScript only.** Functions so marked have results whose last bit differs between engines; SQL refuses them.
`;

/** The page `docs/reference/expressions.md`. */
export function expressionReference(): string {
  const groups = [...new Set(FUNCTIONS.map(({ group }) => group))];
  const tables = groups.map((group) => {
    const rows = FUNCTIONS.filter((item) => item.group === group).map(
      ({ signature, doc, sql }) => `| \`${signature}\` | ${doc}${sql ? '' : ' JavaScript only.'} |`,
    );
    return [
      `### ${group[0]!.toUpperCase()}${group.slice(1)}`,
      '',
      '| function | |',
      '|---|---|',
      ...rows,
      '',
    ].join('\n');
  });
  return `${RULES}\n## Functions\n\n${tables.join('\n')}`;
}
