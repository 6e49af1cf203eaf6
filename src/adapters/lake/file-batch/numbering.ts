/**
 * Numbers for accepted rows between which others are left out: the place of a row less the rows before it that are left
 * out. A table says that for blocks of places, so that any number of threads may number rows, in any order.
 */

/** Places of a block: a bit each of a whole number without its sign. */
const BLOCK = 62;
const WITHIN = `("_place" % ${BLOCK})`;

/** Makes `gaps`: for each block of the batch its rows that are left out, as bits, and how many are before it. */
export const gapsSql = (rows: number, excluded: string): string =>
  `CREATE OR REPLACE TEMP TABLE gaps AS SELECT block, coalesce(mask, 0) AS mask,` +
  ` coalesce(sum(n) OVER (ORDER BY block ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0)::BIGINT AS before` +
  ` FROM (SELECT range AS block FROM range(${Math.floor(rows / BLOCK) + 1})) LEFT JOIN (SELECT "_place" // ${BLOCK} AS block,` +
  ` bit_or(1::BIGINT << ${WITHIN}) AS mask, count(*) AS n FROM (${excluded}) GROUP BY ALL) USING (block)`;

/** Joins `staged` to its gaps, and leaves those rows out. */
export const NUMBERED = `staged JOIN gaps ON gaps.block = "_place" // ${BLOCK} WHERE (gaps.mask >> ${WITHIN}) & 1 = 0`;

/** The number of a row of `NUMBERED`, from 0. */
export const NUMBER = `"_place" - gaps.before - bit_count(gaps.mask & ((1::BIGINT << ${WITHIN}) - 1))`;
