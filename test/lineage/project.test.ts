import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { OpenedProject } from '../../src/open.js';
import { lineageOf, TRUST } from '../../src/services/lineage.js';
import { runTransform } from '../../src/services/transform.js';
import { ingestFiles, makeFolder, NOW, open, removeFolder } from '../http/support.js';

const TRANSFORM = `
transforms:
  - name: returns
    owner: after-sales
    sql: SELECT r.purchase_id, p.user_id, p.amount, r.at FROM returned r JOIN purchases p USING (purchase_id) WHERE r.back
    record_key: purchase_id
    event_time: at
    fields: { purchase_id: string, user_id: int64, amount: decimal(2), at: timestamp }
features:
  - { name: returned_amount, entity: user, aggregation: { function: sum, source: returns.amount, window: 30d } }
`;

let folder: string;
let project: OpenedProject;
beforeAll(async () => {
  folder = makeFolder(50);
  writeFileSync(join(folder, 'definitions/returns.yaml'), TRANSFORM);
  project = await open(folder);
});
afterAll(async () => {
  await project.close();
  removeFolder(folder);
});

it('shows every node with its owner, last change and trust, in both directions', async () => {
  await ingestFiles(project);
  await runTransform(project, 'returns');
  const found = await lineageOf(project, 'purchases.amount');
  const below = new Map(found.down.map((step) => [step.node.id, step]));
  expect([...below.keys()]).toEqual(
    expect.arrayContaining([
      'source.returns.amount',
      'feature.returned_amount',
      'feature.spent_30d',
      'feature.to_usual',
      'dataset.baskets.spent_30d',
      'model.back',
      'service.back',
    ]),
  );
  expect(below.get('feature.returned_amount')).toMatchObject({
    depth: 2,
    through: 'source.returns.amount',
    roles: ['aggregation'],
    node: { trust: { state: 'accepted' } },
  });
  expect(below.get('source.returns.amount')!.node.owner).toBe('after-sales');
  expect(found.asset.updated).not.toBeNull();
  expect(found.up.map((step) => step.node.id)).toEqual(['source.purchases']);
  const up = await lineageOf(project, 'returned_amount', { direction: 'up' });
  expect(up.down).toEqual([]);
  expect(up.up.map((step) => step.node.id)).toContain('source.purchases.amount');
});

it('is as trusted as the worst source above', async () => {
  const trust = async (asset: string) => (await lineageOf(project, asset)).asset.trust;
  expect(await trust('returned_amount')).toMatchObject({ state: 'accepted' });
  expect((await trust('city'))!.state).toBe('no_data');
  const log = await project.log();
  const row = { purchase_id: 'x1', user_id: 1, amount: 5, status: 'paid', bought_at: '2024-01-20T00:00:00Z' };
  await log.ingestRows(
    project.definitions.sources.get('purchases')!,
    [row, { ...row, purchase_id: 'x2', amount: -4 }],
    {
      now: NOW + 1,
    },
  );
  expect(await trust('purchases.amount')).toMatchObject({
    state: 'quarantine',
    quarantined: 0.5,
    detail: '50.0 % of the last batch of purchases in quarantine',
  });
  expect(await trust('service.back')).toMatchObject({ state: 'quarantine' });
  const file = join(folder, 'data/more.csv');
  writeFileSync(
    file,
    'purchase_id,user_id,amount,status,bought_at,extra\nx3,1,5,paid,2024-01-20T00:00:00Z,1\n',
  );
  await expect(
    log.ingestFiles(project.definitions.sources.get('purchases')!, [file], { now: NOW + 2 }),
  ).rejects.toMatchObject({ code: 'BATCH_REFUSED' });
  expect(await trust('model.back')).toMatchObject({
    state: 'refused',
    detail: expect.stringContaining('the last batch of purchases was refused'),
  });
  expect(TRUST.indexOf('refused')).toBeGreaterThan(TRUST.indexOf('quarantine'));
});
