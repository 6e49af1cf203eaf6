/** A small project whose model passes its gate or does not. */
export const projectFiles = (require = 'test.auc >= 0'): Record<string, string> => ({
  'millrace.yaml': 'project: orders-late\ntimezone: Europe/Vienna\n',
  'definitions/all.yaml': `
entities:
  - { name: user, join_key: user_id }
sources:
  - name: orders
    kind: events
    read: { files: data/orders*.csv }
    record_key: order_id
    event_time: at
    available_at: known
    fields: { order_id: string, user_id: int64, amount: float64, late: bool, at: timestamp, known: timestamp }
features:
  - { name: orders_30d, entity: user, aggregation: { function: count, source: orders, window: 30d } }
  - { name: amount_30d, entity: user, aggregation: { function: sum, source: orders.amount, window: 30d } }
labels:
  - { name: is_late, source: orders, expression: late, horizon: 1h }
datasets:
  - name: orders_train
    observations: { source: orders, time: at }
    features: [orders_30d, amount_30d]
    label: is_late
    split: { by: time, parts: { train: 0.6, test: 0.4 } }
models:
  - name: order_late
    dataset: orders_train
    task: binary
    trainer: { kind: logistic_regression, seed: 7 }
    promote: { require: ["${require}"] }
`,
  'data/orders.csv': orders(0, 200),
});

/** Orders from..to, six hours apart, each known an hour after it happened. */
export function orders(from: number, to: number): string {
  const rows = ['order_id,user_id,amount,late,at,known'];
  for (let i = from; i < to; i++) {
    const at = Date.UTC(2024, 0, 1) + i * 6 * 3_600_000;
    const text = (millis: number): string => new Date(millis).toISOString();
    rows.push([`o${i}`, i % 7, (i * 37) % 101, (i * 7) % 3 === 0, text(at), text(at + 3_600_000)].join(','));
  }
  return `${rows.join('\n')}\n`;
}
