import { utimesSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { planProject } from '../../src/services/plan-project.js';
import { readSource } from '../../src/services/read-source.js';
import { folderOf, inProject, recordsOf, removeFolder } from './support.js';

const DEFINITIONS = `
sources:
  - name: lines
    kind: events
    read:
      sql: >
        SELECT l.invoice, nullif(concat_ws('/', l.sku), '') AS sku, l.quantity, i.at
        FROM read_csv('data/lines.csv', all_varchar = true) l
        JOIN read_csv('data/invoices.csv', all_varchar = true) i USING (invoice)
    record_key: [invoice, sku]
    event_time: at
    fields: { invoice: string, sku: string, quantity: int64, at: timestamp }
`;
const FILES = {
  'data/lines.csv': 'invoice,sku,quantity\n1,a,2\n1,b,3\n2,a,x\n',
  'data/invoices.csv': 'invoice,at\n1,2024-01-01T10:00:00Z\n2,2024-01-02T10:00:00Z\n',
};

let folder = '';
afterEach(() => removeFolder(folder));

const read = (name: string) =>
  inProject(folder, (project) => readSource(project, project.definitions.sources.get(name)!));

describe('a source that reads SQL', () => {
  it('joins files of the project folder, under the contract of its fields, and adds nothing twice', async () => {
    folder = folderOf(DEFINITIONS, FILES);
    expect(await read('lines')).toMatchObject({ rows: 3, accepted: 2, quarantined: 1 });
    expect(await read('lines')).toMatchObject({ rows: 3, accepted: 0 });
    await inProject(folder, async (project) => {
      expect((await recordsOf(project, 'lines')).map(({ sku, quantity }) => [sku, quantity])).toEqual([
        ['a', 2],
        ['b', 3],
      ]);
    });
  });

  it('is stale only when a file that its SQL names has changed', async () => {
    folder = folderOf(DEFINITIONS, FILES);
    const reasons = () =>
      inProject(folder, async (project) => (await planProject(project)).steps.map((step) => step.reason));
    expect(await reasons()).toEqual(['never read']);
    await read('lines');
    expect(await reasons()).toEqual([]);
    const file = path.join(folder, 'data/lines.csv');
    writeFileSync(file, `${FILES['data/lines.csv']}2,c,7\n`);
    utimesSync(file, new Date(), new Date(Date.now() + 5_000));
    expect(await reasons()).toEqual(['a file that its SQL reads has changed']);
    expect(await read('lines')).toMatchObject({ accepted: 1 });
    expect(await reasons()).toEqual([]);
  });

  it('reads from its cursor on, less the overlap', async () => {
    folder = folderOf(
      `
sources:
  - name: ticks
    kind: events
    read: { sql: "SELECT * FROM read_csv('data/ticks.csv')", cursor: id, overlap: 1 }
    record_key: id
    event_time: at
    fields: { id: int64, at: timestamp }
`,
      { 'data/ticks.csv': 'id,at\n1,2024-01-01T00:00:00Z\n2,2024-01-01T00:00:00Z\n3,2024-01-01T00:00:00Z\n' },
    );
    expect(await read('ticks')).toMatchObject({ rows: 3, accepted: 3 });
    writeFileSync(
      path.join(folder, 'data/ticks.csv'),
      'id,at\n1,2025-01-01T00:00:00Z\n2,2024-01-01T00:00:00Z\n3,2024-01-01T00:00:00Z\n4,2024-01-01T00:00:00Z\n',
    );
    expect(await read('ticks')).toMatchObject({ rows: 3, duplicates: 2, accepted: 1 });
  });

  it('misses nothing after a cursor that is null, ahead of the clock, or a text', async () => {
    const row = (id: number, changed: string) => `${id},2024-01-01T00:00:00Z,${changed}\n`;
    const first = `id,at,changed\n${row(1, '2024-01-01T00:00:00Z')}${row(2, '')}${row(3, '2200-01-01T00:00:00Z')}`;
    folder = folderOf(
      `
sources:
  - name: ticks
    kind: events
    read: { sql: "SELECT * FROM read_csv('data/ticks.csv', all_varchar = true)", cursor: changed }
    record_key: id
    event_time: at
    fields: { id: int64, at: timestamp, changed: timestamp }
`,
      { 'data/ticks.csv': first },
    );
    expect(await read('ticks')).toMatchObject({ rows: 3, accepted: 3 });
    const later = `${row(4, new Date().toISOString())}${row(5, '')}`;
    writeFileSync(path.join(folder, 'data/ticks.csv'), first + later);
    expect(await read('ticks')).toMatchObject({ rows: 4, duplicates: 2, accepted: 2 });
  });

  it('an accepted rename is read by the cursor too, and goes on where it was', async () => {
    const definitions = (rename: string) => `
sources:
  - name: ticks
    kind: events
    read: { sql: "SELECT * FROM read_csv('data/ticks.csv')", cursor: id, overlap: 0 }
    ${rename}
    record_key: id
    event_time: at
    fields: { id: int64, at: timestamp }
`;
    const row = (id: number) => `${id},2024-01-01T00:00:00Z\n`;
    folder = folderOf(definitions(''), { 'data/ticks.csv': `id,at\n${row(1)}${row(2)}` });
    expect(await read('ticks')).toMatchObject({ rows: 2, accepted: 2 });
    writeFileSync(path.join(folder, 'data/ticks.csv'), `tick,at\n${row(1)}${row(2)}${row(3)}`);
    await expect(read('ticks')).rejects.toMatchObject({ code: 'SOURCE_REFUSED' });
    writeFileSync(path.join(folder, 'definitions/all.yaml'), definitions('rename: { tick: id }'));
    expect(await read('ticks')).toMatchObject({ duplicates: 1, accepted: 1, rows: 2 });
  });

  it('a row in quarantine is there once, however often and under whichever definition it is read', async () => {
    const files = { ...FILES, 'data/lines.csv': `${FILES['data/lines.csv']}2,a,x\n2,b,-4\n` };
    folder = folderOf(DEFINITIONS, files);
    expect(await read('lines')).toMatchObject({ rows: 5, accepted: 3, quarantined: 2 });
    const open = () =>
      inProject(folder, async (project) =>
        (await (await project.log()).quarantine({ source: 'lines', status: 'open' })).map(
          ({ row, reasons }) => [row['quantity'], reasons.map(({ rule }) => rule).join()],
        ),
      );
    const twice = [
      ['x', 'quantity.type'],
      ['x', 'quantity.type'],
    ];
    expect(await open()).toEqual(twice);
    expect(await read('lines')).toMatchObject({ rows: 5, duplicates: 5, quarantined: 0, reasons: {} });
    const changed = DEFINITIONS.replace('quantity: int64', 'quantity: decimal(1)');
    writeFileSync(
      path.join(folder, 'definitions/all.yaml'),
      `${changed}    contract: { sku: { in: [b] } }\n`,
    );
    expect(await read('lines')).toMatchObject({
      rows: 5,
      accepted: 0,
      duplicates: 4,
      quarantined: 1,
      reasons: { 'sku.set': 1 },
    });
    expect(await open()).toEqual([
      ['x', 'quantity.type,sku.set'],
      ['x', 'quantity.type,sku.set'],
      ['2', 'sku.set'],
    ]);
    await inProject(folder, async (project) => {
      const log = await project.log();
      const held = await log.quarantineCount({ source: 'lines' });
      const batches = await log.batches('lines');
      expect(batches.reduce((sum, batch) => sum + batch.quarantined, 0)).toBe(held);
      for (const { rows, accepted, quarantined, duplicates, dropped } of batches)
        expect(rows).toBe(accepted + quarantined + duplicates + dropped);
      await log.markQuarantined([1], 'dropped', { reason: 'no', at: 1 });
    });
    expect(await read('lines')).toMatchObject({ duplicates: 5, quarantined: 0 });
    expect(await open()).toHaveLength(2);
  });

  it('names its definition where a batch is refused, not a file that is gone', async () => {
    folder = folderOf(`${DEFINITIONS}    contract: { sku: { in: [b], action: fail } }\n`, FILES);
    await expect(read('lines')).rejects.toMatchObject({
      code: 'BATCH_REFUSED',
      place: { file: 'definitions/all.yaml' },
    });
  });

  it('says what is wrong with SQL that does not run', async () => {
    folder = folderOf(DEFINITIONS.replace('l.sku', 'l.sqo'), FILES);
    await expect(read('lines')).rejects.toMatchObject({
      code: 'SOURCE_REFUSED',
      message: expect.stringContaining('sqo'),
    });
  });
});
