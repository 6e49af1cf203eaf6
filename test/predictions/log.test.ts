import { appendFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openPredictionLog } from '../../src/adapters/files/prediction-log.js';
import type { LoggedPrediction, PredictionLog } from '../../src/ports/prediction-log.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'millrace-predictions-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const prediction = (id: string, asOf = 1): LoggedPrediction => ({
  prediction_id: id,
  service: 's',
  model: 'm@1',
  made_at: 1,
  as_of: asOf,
  origin: 'online',
  entity: { user_id: 7 },
  request: {},
  features: { a: 1 },
  statuses: { a: 'ok' },
  applied: { purchases: 3 },
  score: 0.5,
  prediction: { probability: 0.5, label: 1 },
});

async function ids(log: PredictionLog, filter = {}): Promise<string[]> {
  const found: string[] = [];
  for await (const item of log.predictions('s', filter)) found.push(item.prediction_id);
  return found;
}

describe('prediction log', () => {
  it('gives back what was appended, in order, by time', async () => {
    const log = openPredictionLog(folder);
    await log.append('s', [prediction('a', 1), prediction('b', 2)]);
    await log.append('s', [prediction('c', 3)]);
    expect(await ids(log)).toEqual(['a', 'b', 'c']);
    expect(await ids(log, { since: 2, until: 3 })).toEqual(['b']);
    expect(await ids(openPredictionLog(folder), { origin: 'batch' })).toEqual([]);
    await log.close();
  });

  it('loses nothing whole to a line torn by a crash', async () => {
    const first = openPredictionLog(folder);
    await first.append('s', [prediction('a')]);
    await first.close();
    appendFileSync(path.join(folder, 's/predictions.ndjson'), '{"prediction_id":"torn","as');
    const second = openPredictionLog(folder);
    await second.append('s', [prediction('b')]);
    expect(await ids(second)).toEqual(['a', 'b']);
    await second.close();
  });

  it('is shared by two writers whose appends interleave', async () => {
    const [one, two] = [openPredictionLog(folder), openPredictionLog(folder)];
    const appends: Promise<void>[] = [];
    for (let i = 0; i < 50; i++) {
      appends.push(one.append('s', [prediction(`one-${i}`)]));
      appends.push(two.append('s', [prediction(`two-${i}`)]));
    }
    await Promise.all(appends);
    expect(new Set(await ids(one)).size).toBe(100);
    expect(
      readFileSync(path.join(folder, 's/predictions.ndjson'), 'utf8').trimEnd().split('\n'),
    ).toHaveLength(100);
    await one.close();
    await two.close();
  });

  it('keeps the latest outcome of a prediction', async () => {
    const log = openPredictionLog(folder);
    const outcome = { prediction_id: 'a', service: 's', at: 1, received_at: 2 };
    await log.appendOutcomes('s', [
      { ...outcome, label: 0 },
      { ...outcome, label: 1 },
    ]);
    expect((await log.outcomes('s')).get('a')?.label).toBe(1);
    await log.close();
  });
});
