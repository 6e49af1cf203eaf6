import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { call, makeFolder, open, removeFolder, start } from './support.js';

const TRANSFORM = `
transforms:
  - name: returns
    sql: SELECT r.purchase_id, p.user_id, p.amount, r.at FROM returned r JOIN purchases p USING (purchase_id) WHERE r.back
    record_key: purchase_id
    event_time: at
    fields: { purchase_id: string, user_id: int64, amount: decimal(2), at: timestamp }
features:
  - { name: returned_amount, entity: user, aggregation: { function: sum, source: returns.amount, window: 30d } }
`;

it('records pushed to the parents of a transform reach the features over it', async () => {
  const folder = makeFolder(1);
  writeFileSync(join(folder, 'definitions/returns.yaml'), TRANSFORM);
  const project = await open(folder);
  const server = await start(project);
  try {
    const read = async (): Promise<unknown> =>
      (await call(server, 'POST', '/v1/features/returned_amount', { entities: [{ user_id: 4242 }] })).body
        .rows?.[0].values[0];
    expect(await read()).toBeNull();
    const purchase = {
      purchase_id: 'n1',
      user_id: 4242,
      amount: 12.5,
      status: 'paid',
      bought_at: '2024-01-30T12:00:00Z',
    };
    await call(server, 'POST', '/v1/sources/purchases/records', [purchase]);
    const answer = await call(server, 'POST', '/v1/sources/returned/records', [
      { purchase_id: 'n1', at: '2024-01-31T12:00:00Z', back: true },
    ]);
    expect(answer.body.accepted).toBe(1);
    for (let i = 0; i < 100 && (await read()) !== 12.5; i++) await sleep(100);
    expect(await read()).toBe(12.5);
    // A correction of the parent corrects what was computed from it.
    await call(server, 'POST', '/v1/sources/purchases/records', [{ ...purchase, amount: 20 }]);
    for (let i = 0; i < 100 && (await read()) !== 20; i++) await sleep(100);
    expect(await read()).toBe(20);
  } finally {
    await server.close();
    await project.close();
    removeFolder(folder);
  }
});
