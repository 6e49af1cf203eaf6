/** What the simulated project defines, in three versions that it changes between while it runs. */
const BASE = `
entities:
  - { name: user, join_key: user_id }
sources:
  - name: orders
    kind: events
    read: push
    record_key: order_id
    event_time: at
    available_at: known_at
    deleted: gone
    fields: { order_id: string, user_id: int64, amount: float64, price: decimal(2), kind: string, at: timestamp, known_at: timestamp, gone: boolean }
  - name: clicks
    kind: events
    read: push
    record_key: click_id
    event_time: at
    fields: { click_id: string, user_id: int64, amount: float64, price: decimal(2), kind: string, at: timestamp }
  - name: profiles
    kind: states
    read: push
    record_key: [user_id, at]
    event_time: at
    fields: { user_id: int64, amount: float64, price: decimal(2), kind: string, at: timestamp }
  - name: large
    kind: events
    read: { transform: { sql: 'SELECT order_id, user_id, amount * 2 AS twice, "at" FROM orders WHERE price > 2', from: [orders] } }
    record_key: order_id
    event_time: at
    fields: { order_id: string, user_id: int64, twice: float64, at: timestamp }
features:
  - { name: n20, entity: user, aggregation: { function: count, source: orders, window: 20s }, default: 0 }
  - { name: sum20, entity: user, aggregation: { function: sum, source: orders.amount, window: 20s } }
  - { name: price_all, entity: user, aggregation: { function: sum, source: orders.price, window: all } }
  - { name: last_kind, entity: user, aggregation: { function: last, source: orders.kind, window: 30s, offset: 5s } }
  - { name: std30, entity: user, aggregation: { function: std, source: orders.amount, window: 30s, where: "kind <> 'b'" } }
  - { name: by_kind, entity: user, aggregation: { function: count, source: orders, window: 40s, group_by: kind } }
  - { name: clicks_now, entity: user, aggregation: { function: count, source: clicks, window: 15s, include_current: true } }
  - { name: mean_clicks, entity: user, aggregation: { function: mean, source: clicks.amount, window: 60s } }
  - { name: profile, entity: user, lookup: { source: profiles.kind, max_age: 45s } }
  - { name: profile_age, entity: user, lookup: { source: profiles.amount, output: age_seconds } }
  - { name: large_sum, entity: user, aggregation: { function: sum, source: large.twice, window: 60s } }
  - { name: share, entity: user, expression: 'coalesce(sum20, 0) / nullif(price_all, 0)' }
`;

export const VERSIONS: readonly string[] = [
  BASE,
  // Another window, and a new feature that reads a field which its group did not hold.
  `${BASE.replace('orders.amount, window: 20s', 'orders.amount, window: 25s')}
  - { name: max_click, entity: user, aggregation: { function: max, source: clicks.price, window: 50s } }
`,
  // One feature less, one over other keys.
  `${BASE.replace(/ {2}- \{ name: mean_clicks.*\n/, '').replace(
    'entities:',
    'entities:\n  - { name: kind, join_key: kind }',
  )}
  - { name: kind_sum, entity: kind, aggregation: { function: sum, source: orders.amount, window: 30s } }
`,
];
