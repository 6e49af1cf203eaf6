/** The retail tutorial typed line by line; what it leaves behind is held to an independent computation in SQL. */
import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Finished, millrace, ROOT } from './support.js';

// biome-ignore lint/suspicious/noExplicitAny: answers of many shapes
type Json = any;

const FIRST_CODES = '^(\\d{5}[A-Za-z]{0,2}|POST|DOT|M|m|C2|D|S|CRUK|AMAZONFEE|BANK CHARGES)$';
const MENDED_CODES =
  '^(\\d{5}[A-Za-z]{0,2}|DCGS\\w+|gift_\\d{4}_\\d+|PADS|POST|DOT|M|m|C2|D|S|CRUK|AMAZONFEE|BANK CHARGES)$';

let base: string;
let demo: string;
/** What every line of the tutorial printed. */
const done = new Map<string, Finished>();

const ok = async (...args: readonly string[]): Promise<Json> => {
  const finished = await millrace([...args, '--json'], { cwd: demo });
  expect(finished.status, finished.stderr).toBe(0);
  return finished.json;
};

/** The outcome of a line that begins with these words; of several, the nth. */
function printedBy(words: string, nth = 0): Finished {
  const found = [...done].filter(([line]) => line.replace(/^\d+ /, '').startsWith(words));
  expect(found.length, words).toBeGreaterThan(nth);
  return found[nth]![1];
}

async function typeTutorial(): Promise<void> {
  const markdown = await readFile(path.join(ROOT, 'docs/tutorial/retail.md'), 'utf8');
  let cwd = base;
  for (const [, info, body] of markdown.matchAll(/^```(.*)\n([\s\S]*?)^```$/gm)) {
    const replace = /replace=(\S+)/.exec(info!)?.[1];
    if (replace !== undefined) {
      const [before, now] = body!.trimEnd().split('\n');
      const file = path.join(cwd, replace);
      const text = await readFile(file, 'utf8');
      expect(text.split(before!)).toHaveLength(2);
      await writeFile(file, text.split(before!).join(now!));
    }
    if (info !== 'sh') continue;
    for (const line of body!.split('\n').filter((text) => text.trim() !== '')) {
      const [command, expectation = '0'] = line.split(' # exit ');
      const words = command!.trim().split(/\s+/);
      if (words[0] === 'cd') {
        cwd = path.join(cwd, words[1]!);
      } else if (words[0] === 'cp') {
        await copyFile(path.join(cwd, words[1]!), path.join(cwd, words[2]!, path.basename(words[1]!)));
      } else {
        expect(words.slice(0, 2)).toEqual(['npx', 'millrace']);
        const finished = await millrace(words.slice(2), { cwd });
        expect(finished.status, `${line}\n${finished.stderr.slice(-1500)}`).toBe(Number(expectation));
        done.set(`${done.size} ${words.slice(2).join(' ')}`, finished);
      }
    }
  }
}

/** The files as they are, by another way: every column a text, nothing judged. */
async function facts(sql: string): Promise<Json[]> {
  const connection = await (await DuckDBInstance.create(':memory:')).connect();
  await connection.run(`
    CREATE TABLE invoices AS
      SELECT invoice, nullif(customer_id, '') AS customer_id, CAST(invoiced_at AS TIMESTAMP) AS ts,
        CAST(amount AS DECIMAL(18, 2)) AS amount, regexp_matches(invoice, '^C?\\d{6}$') AS sound, is_later
      FROM (
        SELECT *, false AS is_later FROM read_csv('${demo}/data/invoices-to-2011-10.csv.gz', all_varchar = true)
        UNION ALL
        SELECT *, true FROM read_csv('${demo}/later/invoices-from-2011-11.csv.gz', all_varchar = true)
      );
    CREATE TABLE lines AS
      SELECT l.*, concat_ws('/', l.invoice, sku, quantity, unit_price) AS line, customer_id, sound, is_later,
        CAST(unit_price AS DOUBLE) AS price, length(split_part(unit_price, '.', 2)) <= 2 AS typed
      FROM read_csv(['${demo}/data/lines-to-2011-10.csv.gz', '${demo}/later/lines-from-2011-11.csv.gz'],
        all_varchar = true) l
      JOIN invoices USING (invoice);
    CREATE MACRO fate(sku, typed, sound, price, customer_id, codes) AS
      CASE WHEN NOT typed OR NOT sound OR NOT regexp_matches(sku, codes) THEN 'quarantined'
        WHEN price <= 0 AND customer_id IS NULL THEN 'dropped' ELSE 'good' END;
    CREATE VIEW judged AS SELECT *, fate(sku, typed, sound, price, customer_id, '${FIRST_CODES}') AS first_fate,
      fate(sku, typed, sound, price, customer_id, '${MENDED_CODES}') AS mended_fate FROM lines;
    CREATE TABLE bought AS SELECT customer_id, ts, amount FROM invoices
      WHERE sound AND customer_id IS NOT NULL AND amount > 0;
  `);
  const rows = (await connection.runAndReadAll(sql)).getRowObjects();
  return rows.map((row) =>
    Object.fromEntries(
      Object.entries(row).map(([key, value]) => [key, typeof value === 'bigint' ? Number(value) : value]),
    ),
  );
}

const COUNTS = (fate: string): string => `count(*) AS rows,
  count(*) FILTER (${fate} = 'quarantined') AS quarantined, count(*) FILTER (${fate} = 'dropped') AS dropped,
  count(DISTINCT line) FILTER (${fate} = 'good') AS accepted,
  count(*) FILTER (${fate} = 'good') - count(DISTINCT line) FILTER (${fate} = 'good') AS duplicates`;

beforeAll(async () => {
  base = await mkdtemp(path.join(tmpdir(), 'millrace-retail-'));
  demo = path.join(base, 'demo');
  await typeTutorial();
}, 600_000);

afterAll(() => rm(base, { recursive: true, force: true }));

describe('the retail tutorial', () => {
  it('accounts for every line of the first file', async () => {
    const [counted] = await facts(`SELECT ${COUNTS('first_fate')} FROM judged WHERE NOT is_later`);
    const counts = counted!;
    expect(counts.rows).toBe(counts.accepted + counts.quarantined + counts.duplicates + counts.dropped);
    const { batches } = await ok('batches', 'list', 'lines');
    expect(batches.at(-1)).toMatchObject(counts);
    const [invoices] = await facts(
      'SELECT count(*) AS rows, count(*) FILTER (NOT sound) AS bad FROM invoices WHERE NOT is_later',
    );
    expect(printedBy('run').stdout).toContain(
      `${(counts.rows + invoices!.rows).toLocaleString('en-US')} in = ` +
        `${(counts.accepted + invoices!.rows - invoices!.bad).toLocaleString('en-US')} accepted + ` +
        `${counts.quarantined + invoices!.bad} quarantined + ` +
        `${counts.duplicates.toLocaleString('en-US')} duplicates + ${counts.dropped.toLocaleString('en-US')} dropped`,
    );
  });

  it('knows an order before its cancellation, and both after it', () => {
    expect(printedBy('features online').stdout).toMatch(/net_spend_1d\s+77183\.6\s+ok/);
    expect(printedBy('features online', 1).stdout).toMatch(/net_spend_1d\s+0\s+ok/);
    expect(printedBy('features explain').stdout).toMatch(/541431 [\s\S]*C541433 /);
  });

  it('feeds the quarantine again through the mended rule', async () => {
    const [again] = await facts(`SELECT count(*) AS rows,
        count(*) FILTER (mended_fate = 'good') AS accepted, count(*) FILTER (mended_fate = 'dropped') AS dropped,
        count(*) FILTER (mended_fate = 'quarantined') AS quarantined
      FROM judged WHERE NOT is_later AND first_fate = 'quarantined'`);
    expect(printedBy('quarantine replay').stdout).toContain(
      `lines: ${again!.rows} rows fed again = ${again!.accepted} accepted + ${again!.quarantined} still quarantined + 0 duplicates + ${again!.dropped} dropped`,
    );
  });

  it('refuses the renamed column and reads it once the rename is accepted', async () => {
    const refused = printedBy('ingest invoices');
    expect(refused.stderr).toMatch(/BATCH_REFUSED[\s\S]*probably renamed: amount → total_amount/);
    const { batches } = await ok('batches', 'list', 'invoices');
    expect(batches.map((batch: Json) => batch.accepted)).toContain(4477);
  });

  it('has every good line in the log at the end, once', async () => {
    const [end] = await facts(`SELECT ${COUNTS('mended_fate')} FROM judged`);
    const { batches } = await ok('batches', 'list', 'lines', '--limit', '100');
    // What is fed again comes in as a batch of its own.
    expect(batches.map((batch: Json) => batch.rows)).toEqual([541_909, 77, 431_673]);
    const accepted = batches.reduce((sum: number, batch: Json) => sum + batch.accepted, 0);
    expect(accepted).toBe(end!.accepted);
    const [log] = await facts(`SELECT count(*) AS records, count(DISTINCT line) AS lines
      FROM read_parquet('${demo}/.millrace/lake/lines/*.parquet', union_by_name = true)`);
    expect(log).toEqual({ records: accepted, lines: accepted });
  });

  it('keeps what it repaired beside what was delivered', async () => {
    const [repaired] = await facts(`SELECT
      count(DISTINCT line) FILTER (abs(CAST(quantity AS INT)) > 10000) AS capped,
      count(DISTINCT line) FILTER (price = 0 AND length(sku) >= 5) AS gifts
      FROM judged WHERE mended_fate = 'good'`);
    const { repairs } = await ok('quarantine', 'repairs', 'lines', '--limit', '1000');
    const byRule = (rule: string): number => repairs.filter((one: Json) => one.rule === rule).length;
    expect(byRule('quantity.range')).toBe(repaired!.capped);
    expect(byRule('gift')).toBe(repaired!.gifts);
    expect(printedBy('quarantine repairs').stdout).toMatch(
      /"541431\/23166\/74215\/1\.04"\s+quantity\s+74215\s+10000/,
    );
  });

  it('builds the training set that SQL builds, with labels that wait for the last day', async () => {
    const { manifest } = await ok('dataset', 'show', 'retail_train@1');
    const parts = await facts(`
      WITH nights AS (
        SELECT DISTINCT customer_id, date_trunc('day', ts) + INTERVAL 1 DAY AS t FROM bought
        WHERE ts >= '2011-03-01' AND ts < '2011-11-01'
      ), labelled AS (
        SELECT t, EXISTS (SELECT 1 FROM bought b WHERE b.customer_id = n.customer_id
          AND b.ts >= t AND b.ts < t + INTERVAL 30 DAY) AS again
        FROM nights n WHERE t + INTERVAL 30 DAY <= (SELECT max(ts) FROM invoices WHERE NOT is_later)
      )
      SELECT CASE WHEN t + INTERVAL 30 DAY <= '2011-07-01' THEN 'train'
          WHEN t >= '2011-07-01' AND t + INTERVAL 30 DAY <= '2011-08-15' THEN 'validation'
          WHEN t >= '2011-08-15' THEN 'test' ELSE 'purged' END AS part,
        count(*) AS rows, count(*) FILTER (again) AS positive
      FROM labelled GROUP BY ALL`);
    for (const part of manifest.parts) {
      const known = parts.find(({ part: name }) => name === (part.name ?? part.part))!;
      expect(part.rows).toBe(known.rows);
    }
    expect(manifest.counts.purged).toBe(parts.find(({ part }) => part === 'purged')!.rows);
    expect(manifest.counts.no_outcome).toBe(0);
    const shown = printedBy('dataset show').stdout;
    for (const { part, positive } of parts.filter((one) => one.part !== 'purged'))
      expect(shown).toMatch(new RegExp(`${part}\\s.*, 1 ${positive} \\(`));
  });

  it('trains a model that is better than counting orders, and not too good', async () => {
    const { manifest } = await ok('models', 'show', 'buys_again@1');
    const auc = manifest.metrics.test.auc;
    expect(auc).toBeGreaterThan(0.795);
    expect(auc).toBeLessThan(0.85);
    const { models } = await ok('models', 'list', 'buys_again');
    expect(models.map(({ version }: Json) => version).sort()).toEqual([1, 2]);
  });

  it('has nothing left to do, and a report of it', async () => {
    expect((await millrace(['run'], { cwd: demo })).status).toBe(99);
    const html = await readFile(path.join(demo, '.millrace/report.html'), 'utf8');
    expect(html).toContain('probably renamed');
  });
});
