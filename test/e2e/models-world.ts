/** A small project whose models really learn: visits of guests, and whether each guest came back. */
import { random } from '../world.js';
import { writeFiles } from './support.js';

const DAY = 86_400_000;
const START = Date.UTC(2024, 0, 1);
const iso = (at: number): string => new Date(at).toISOString();

export interface ModelsWorld {
  /** Days of visits; cuts are at the first half and at three quarters of 60. */
  readonly days?: number;
  readonly trainer?: string;
  readonly task?: 'binary' | 'regression' | 'multiclass';
  readonly promote?: string;
  /** The window of `spend` and `visits`. */
  readonly window?: string;
  readonly settings?: string;
}

/** Rows of days [from, to). */
export function visits(from: number, to: number): { readonly visits: string; readonly returns: string } {
  const [visits, returns] = [['visit_id,guest_id,at,amount,mood'], ['visit_id,seen,back,spent,how']];
  for (let day = from; day < to; day++) {
    const next = random(7_000 + day);
    for (let guest = 0; guest < 24; guest++) {
      if (next() < 0.35) continue;
      const id = day * 24 + guest;
      const at = START + day * DAY + Math.floor(next() * 20) * 3_600_000;
      const mood = ['good', 'bad', 'plain'][Math.floor(next() * 3)]!;
      const amount = next() < 0.1 ? '' : String(Math.round((guest + next() * 10) * 100) / 100);
      visits.push(`${id},${guest},${iso(at)},${amount},${mood}`);
      const score = guest / 24 + (mood === 'good' ? 0.4 : mood === 'bad' ? -0.4 : 0) + next() - 0.5;
      const how = score > 0.8 ? 'gladly' : score > 0.3 ? 'maybe' : 'no';
      const spent = Math.round(score * 1000) / 100;
      returns.push(`${id},${iso(at + 3_600_000)},${score > 0.5},${spent},${how}`);
    }
  }
  return { visits: `${visits.join('\n')}\n`, returns: `${returns.join('\n')}\n` };
}

const LABELS = { binary: 'back', regression: 'spent', multiclass: 'how' };

export const definitions = (world: ModelsWorld = {}): string => `
entities:
  - { name: guest, join_key: guest_id }
sources:
  - name: visits
    kind: events
    read: { files: 'data/visits*.csv' }
    record_key: visit_id
    event_time: at
    available_at: { delay: -1m }
    fields: { visit_id: int64, guest_id: int64, at: timestamp, amount: float64, mood: string }
  - name: returns
    kind: events
    read: { files: 'data/returns*.csv' }
    record_key: visit_id
    event_time: seen
    fields: { visit_id: int64, seen: timestamp, back: boolean, spent: float64, how: string }
features:
  - name: spend
    entity: guest
    aggregation: { function: mean, source: visits.amount, window: ${world.window ?? '7d'} }
  - name: visits
    entity: guest
    aggregation: { function: count, source: visits, window: ${world.window ?? '7d'} }
  - name: last_mood
    entity: guest
    aggregation: { function: last, source: visits.mood, window: 30d }
labels:
  - { name: outcome, source: returns, expression: ${LABELS[world.task ?? 'binary']}, horizon: 6h }
datasets:
  - name: stays
    observations: { source: visits, time: at }
    features: [spend, visits, last_mood]
    label: outcome
    split:
      by: time
      cuts: { train: '2024-01-31T00:00:00Z', validation: '2024-02-15T00:00:00Z', test: end }
models:
  - name: back
    description: Does the guest come back
    owner: desk
    tags: [guests]
    dataset: stays
    task: ${world.task ?? 'binary'}
    trainer: ${world.trainer ?? '{ kind: logistic_regression }'}
    promote: ${world.promote ?? '{ require: [] }'}
services:
  - { name: back, model: back, log: all }
`;

export async function modelsWorld(folder: string, world: ModelsWorld = {}): Promise<void> {
  const rows = visits(0, world.days ?? 60);
  await writeFiles(folder, {
    'millrace.yaml': `project: guests\n${world.settings ?? ''}`,
    'definitions/guests.yaml': definitions(world),
    'data/visits.csv': rows.visits,
    'data/returns.csv': rows.returns,
  });
}

/** More days, as files beside those that are there. */
export async function moreDays(folder: string, from: number, to: number): Promise<void> {
  const rows = visits(from, to);
  await writeFiles(folder, {
    [`data/visits-${from}.csv`]: rows.visits,
    [`data/returns-${from}.csv`]: rows.returns,
  });
}
