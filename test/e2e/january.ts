/** One month of the flights example: enough to build and train on, quick to ingest. */
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { expect } from 'vitest';
import { millrace } from './support.js';

export async function januaryFlights(folder: string): Promise<void> {
  const made = await millrace(['init', folder, '--example', 'flights']);
  expect(made.status, made.stderr).toBe(0);
  const keep = async (
    name: string,
    keepRow: (cell: (column: string) => string) => boolean,
  ): Promise<void> => {
    const file = path.join(folder, 'data', name);
    const [header, ...rows] = gunzipSync(await readFile(file))
      .toString('utf8')
      .trimEnd()
      .split('\n');
    const columns = header!.trim().split(',');
    const kept = rows.filter((row) => {
      const cells = row.split(',');
      return keepRow((column) => cells[columns.indexOf(column)]!);
    });
    await writeFile(file, gzipSync(`${[header, ...kept].join('\n')}\n`));
  };
  const flights = new Set<string>();
  await keep('schedule.csv.gz', (cell) => {
    const january = cell('sched_dep').startsWith('2014-01');
    if (january) flights.add(cell('flight_id'));
    return january;
  });
  await keep('movements.csv.gz', (cell) => flights.has(cell('flight_id')));
  await keep('weather.csv.gz', (cell) => cell('observed_at').startsWith('2014-01'));
  const model = path.join(folder, 'definitions/model.yaml');
  const text = await readFile(model, 'utf8');
  await writeFile(
    model,
    text
      .replace(
        /cuts: .*/,
        "cuts: { train: '2014-01-18T00:00:00Z', validation: '2014-01-23T00:00:00Z', test: end }",
      )
      .replace('trees: 300', 'trees: 60')
      .replace('test.auc >= 0.70', 'test.auc >= 0.55'),
  );
}
