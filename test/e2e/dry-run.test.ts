/** The verdict on a file before it is taken in, from the command line. */
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { expect, it } from 'vitest';
import { millrace, withFolder, writeFiles } from './support.js';

const source = (rule: string): string => `
sources:
  - name: orders
    read: { files: orders.csv }
    record_key: id
    event_time: at
    fields: { id: int64, at: timestamp, amount: float64, country: string }
    contract: { amount: ${rule}, country: { pattern: '^[A-Z]{2}$' } }
`;
const ROWS = [
  'id,at,amount,country',
  '1,2024-01-01T00:00:00Z,5,AT',
  '2,2024-01-01T00:00:01Z,-5,at',
  '3,2024-01-01T00:00:02Z,x,DE',
  '1,2024-01-01T00:00:00Z,5,AT',
  '1,2024-01-01T00:00:00Z,6,AT',
];

it('ingest --dry-run says what ingest then does, and writes no batch, no record, no refused row', async () => {
  await withFolder(async (folder) => {
    await writeFiles(folder, {
      'millrace.yaml': 'project: check\ntimezone: UTC\n',
      'definitions/orders.yaml': source('{ min: 0 }'),
      'orders.csv': `${ROWS.join('\n')}\n`,
    });
    const call = (...args: string[]) => millrace([...args, '--project', folder, '--json']);
    const counts = { rows: 5, accepted: 2, quarantined: 2, duplicates: 1, dropped: 0, corrections: 1 };
    const reasons = { 'amount.range': 1, 'amount.type': 1, 'country.pattern': 1 };
    const checked = await call('ingest', 'orders', '--dry-run', '--show', '1');
    expect(checked.status, checked.stderr).toBe(0);
    expect(checked.json).toMatchObject({ dry_run: true, ...counts, reasons, seq: 0 });
    expect(checked.json.refused).toMatchObject([
      { line: 3, reasons: [{ rule: 'amount.range', value: '-5' }, {}] },
    ]);
    expect((await call('batches', 'list', 'orders')).json).toMatchObject({ batches: [] });
    expect((await call('quarantine', 'list')).json.rows).toBe(0);
    const left = await readdir(path.join(folder, '.millrace'), { recursive: true });
    expect(left.filter((name) => /\.parquet$|stage-|refused-/.test(name))).toEqual([]);

    const taken = await call('ingest', 'orders');
    expect(taken.json).toMatchObject({ ...counts, reasons, seq: 2 });
    const again = await call('ingest', 'orders', '--dry-run');
    expect(again.json).toMatchObject({ rows: 5, accepted: 0, duplicates: 5, refused: [] });

    await writeFiles(folder, { 'definitions/orders.yaml': source('{ min: 0, action: fail }') });
    const refused = await call('ingest', 'orders', '--dry-run');
    expect(refused.status).not.toBe(0);
    expect(refused.json.error).toMatchObject({ code: 'BATCH_REFUSED' });
    expect((await call('batches', 'list', 'orders')).json.batches).toHaveLength(1);
  });
});
