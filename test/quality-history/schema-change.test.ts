import { readFileSync } from 'node:fs';
import { afterEach, describe, expect, it } from 'vitest';
import type { Source } from '../../src/core/define/types.js';
import { nameSimilarity } from '../../src/core/drift/schema-change.js';
import type { LogRecord } from '../../src/ports/record-log.js';
import { acceptRename } from '../../src/services/accept-rename.js';
import { drawing } from '../drift/random.js';
import { type Opened, type Place, source, temporaryPlaces } from '../ingest/support.js';

const place = temporaryPlaces(afterEach);

/** What columns of tables are like: a value for every row. */
type Column = (row: number) => string;

function columns(
  seed: number,
): Readonly<Record<'price' | 'normal' | 'city' | 'flag' | 'code' | 'qty', Column>> {
  const { uniform, normal } = drawing(seed);
  const cities = ['Berlin', 'Bonn', 'Kiel', 'Ulm', 'Jena', 'Trier'];
  return {
    price: () => Math.exp(3 + 0.7 * normal()).toFixed(2),
    normal: () => String(normal()),
    city: () => cities[Math.floor(uniform() ** 2 * cities.length)]!,
    flag: () => (uniform() < 0.5 ? 'true' : 'false'),
    code: () => `A-${Math.floor(uniform() * 1e6)}`,
    qty: () => String(1 + Math.floor(uniform() ** 2 * 30)),
  };
}

let serial = 0;
function csv(header: readonly string[], kinds: readonly Column[], rows = 300): string {
  const lines = [['id', 'at', ...header].join(',')];
  for (let row = 0; row < rows; row++) {
    serial++;
    lines.push([`r${serial}`, '2026-01-01T00:00:00Z', ...kinds.map((kind) => kind(row))].join(','));
  }
  return `${lines.join('\n')}\n`;
}

const BASE = { id: 'string', at: 'timestamp' };
const FIELDS = {
  unit_price: 'decimal(2)',
  score: 'float64',
  city: 'string',
  active: 'boolean',
  code: 'string',
  qty: 'int64',
};
const KINDS = (of: ReturnType<typeof columns>): Column[] => [
  of.price,
  of.normal,
  of.city,
  of.flag,
  of.code,
  of.qty,
];

async function withHistory(
  at: Place,
  made: Source,
  header = Object.keys(FIELDS),
  kinds: readonly Column[] = KINDS(columns(1)),
  batches = 3,
): Promise<Opened> {
  const opened = await at.open([made]);
  for (let i = 0; i < batches; i++)
    await opened.log.ingestFiles(made, [at.write(`d${i}.csv`, csv(header, kinds))]);
  return opened;
}

async function recordsOf(opened: Opened, made: Source): Promise<readonly LogRecord[]> {
  const out: LogRecord[] = [];
  for await (const chunk of opened.log.read(made, 0, 10_000)) out.push(...chunk);
  return out;
}

interface Refusal {
  readonly code: string;
  readonly exit: number;
  readonly message: string;
  readonly hint: string;
}
const failure = (work: Promise<unknown>): Promise<Refusal> =>
  work.then(
    () => expect.fail('nothing was refused'),
    (error) => error as Refusal,
  );

describe('names', () => {
  it.each([
    ['unit_price', 'price_per_unit', 0.8, 1],
    ['customerId', 'customer_id', 1, 1],
    ['f17', 'f201', 0, 0],
    ['amount', 'latitude', 0, 0.35],
  ])('%s and %s', (a, b, least, most) => {
    expect(nameSimilarity(a, b)).toBeGreaterThanOrEqual(least);
    expect(nameSimilarity(a, b)).toBeLessThanOrEqual(most);
    expect(nameSimilarity(b, a)).toBe(nameSimilarity(a, b));
  });
});

describe('a renamed column', () => {
  it('refuses the batch, is found by its values, and goes in once it is accepted', async () => {
    const at = place();
    const orders = source('orders', { ...BASE, ...FIELDS });
    const opened = await withHistory(at, orders);
    const header = Object.keys(FIELDS).map((name) => (name === 'unit_price' ? 'price_per_unit' : name));
    const file = at.write('renamed.csv', csv(header, KINDS(columns(2))));
    const error = await failure(opened.log.ingestFiles(orders, [file]));
    expect(error).toMatchObject({ code: 'BATCH_REFUSED', exit: 3 });
    expect(error.message).toMatch(/probably renamed: unit_price → price_per_unit \(0\.9\d\)/);
    expect(error.hint).toContain('rename: { price_per_unit: unit_price }');
    expect(await opened.log.state(orders)).toMatchObject({ rows: 900 });

    const accepted = {
      ...orders,
      fields: orders.fields.map((field) =>
        field.name === 'unit_price' ? { ...field, aliases: ['price_per_unit'] } : field,
      ),
    };
    expect(await opened.log.ingestFiles(accepted, [file])).toMatchObject({ accepted: 300, warnings: [] });
    const old = at.write('old.csv', csv(Object.keys(FIELDS), KINDS(columns(3))));
    expect(await opened.log.ingestFiles(accepted, [old])).toMatchObject({ accepted: 300, warnings: [] });
    const pushed = { id: 'p', at: '2026-01-02T00:00:00Z', price_per_unit: '9.99', city: 'Ulm' };
    expect(await opened.log.ingestRows(accepted, [pushed], { now: Date.now() * 1000 })).toMatchObject({
      accepted: 1,
      warnings: [],
    });
    const records = await recordsOf(opened, accepted);
    expect(records.find(({ fields }) => fields['id'] === 'p')!.fields['unit_price']).toBe(999);
    expect(records.filter(({ fields }) => fields['unit_price'] === null)).toEqual([]);
  });

  it('is asked about where only its values are alike, and does not go in by itself', async () => {
    const at = place();
    const orders = source('orders', { ...BASE, ...FIELDS }, { schemaChanges: { renamed: 'adapt' } });
    const opened = await withHistory(at, orders);
    const header = Object.keys(FIELDS).map((name) => (name === 'unit_price' ? 'wert' : name));
    const file = at.write('renamed.csv', csv(header, KINDS(columns(2))));
    const error = await failure(opened.log.ingestFiles(orders, [file]));
    expect(error.message).toMatch(
      /lacks the column unit_price; perhaps renamed: unit_price → wert \(0\.[4-7]\d\)$/,
    );
    expect(error.hint).toContain('`millrace accept orders --rename wert=unit_price`');
  });

  it('is one of two hundred, and no other pair is named', async () => {
    const at = place();
    const { normal } = drawing(9);
    const names = Array.from({ length: 200 }, (_, i) => `metric_${i}`);
    // All columns are alike in their values, as sensors are.
    const kinds = names.map((): Column => () => normal().toFixed(4));
    const wide = source('wide', { ...BASE, ...Object.fromEntries(names.map((name) => [name, 'float64'])) });
    const opened = await withHistory(at, wide, names, kinds, 1);
    const header = names.map((name) => (name === 'metric_57' ? 'metric_57_v2' : name));
    const extra = [...header, 'metric_900', 'comment'];
    const file = at.write('renamed.csv', csv(extra, [...kinds, kinds[0]!, () => 'free text'], 200));
    const error = await failure(opened.log.ingestFiles(wide, [file]));
    expect(error.message.split('probably renamed: ')[1]).toMatch(/^metric_57 → metric_57_v2 \(\d\.\d\d\)$/);
  });

  it('is found several times in one file, each with its own', async () => {
    const at = place();
    const orders = source('orders', { ...BASE, ...FIELDS });
    const opened = await withHistory(at, orders);
    const file = at.write(
      'renamed.csv',
      csv(['price_per_unit', 'score', 'town', 'active', 'product_code', 'quantity'], KINDS(columns(4))),
    );
    const { hint } = await failure(opened.log.ingestFiles(orders, [file]));
    const line = /rename: \{ (.*?) \}/.exec(hint)![1]!.split(', ').sort();
    expect(line).toEqual(['price_per_unit: unit_price', 'product_code: code', 'quantity: qty', 'town: city']);
    const command = /accept orders (.*?)`/.exec(hint)![1]!;
    expect(command.match(/--rename \w+=\w+/g)!.join(' ')).toBe(command);
  });

  it('is not seen where a column is gone and another thing has come', async () => {
    const at = place();
    const orders = source('orders', { ...BASE, ...FIELDS });
    const opened = await withHistory(at, orders);
    const of = columns(5);
    const other: Column = () => String(50 + Math.random());
    const file = at.write(
      'other.csv',
      csv(
        ['latitude', 'score', 'city', 'active', 'code', 'qty'],
        [other, of.normal, of.city, of.flag, of.code, of.qty],
      ),
    );
    const error = await failure(opened.log.ingestFiles(orders, [file]));
    expect(error.message).toContain('lacks the column unit_price');
    expect(error.message).not.toContain('renamed');
  });

  it('is not seen where two columns of one type have changed places, which is taken by their names', async () => {
    const at = place();
    const made = source(
      'orders',
      { ...BASE, a: 'float64', b: 'float64' },
      { schemaChanges: { reordered: 'alert' } },
    );
    const of = columns(6);
    const opened = await withHistory(at, made, ['a', 'b'], [of.normal, of.price]);
    const result = await opened.log.ingestFiles(made, [
      at.write('s.csv', csv(['b', 'a'], [of.price, of.normal])),
    ]);
    expect(result).toMatchObject({ accepted: 300, warnings: [{ rule: 'schema.reordered' }] });
  });

  it('is read at once where the source says adapt, but never by its name alone', async () => {
    const at = place();
    const orders = source('orders', { ...BASE, ...FIELDS }, { schemaChanges: { renamed: 'adapt' } });
    const header = ['price_per_unit', ...Object.keys(FIELDS).slice(1)];
    const fresh = await at.open([orders]);
    expect(
      (await failure(fresh.log.ingestFiles(orders, [at.write('first.csv', csv(header, KINDS(columns(8))))])))
        .code,
    ).toBe('BATCH_REFUSED');
    await fresh.close();
    const opened = await withHistory(at, orders);
    const result = await opened.log.ingestFiles(orders, [at.write('r.csv', csv(header, KINDS(columns(7))))]);
    expect(result).toMatchObject({ accepted: 300, quarantined: 0 });
    expect((await opened.log.batches('orders')).at(-1)!.notes.changes).toMatchObject([{ kind: 'renamed' }]);
  });
});

describe('accepted names in a file of JSON records', () => {
  it('are read record by record: a field under its own name, else under an accepted one', async () => {
    const fields = source('orders', { ...BASE, unit_price: 'decimal(2)' }).fields.map((field) =>
      field.name === 'unit_price' ? { ...field, aliases: ['price_per_unit'] } : field,
    );
    const orders: Source = { ...source('orders', { ...BASE, unit_price: 'decimal(2)' }), fields };
    const given = [
      { unit_price: 1.5 },
      { price_per_unit: 2.5 },
      { unit_price: null, price_per_unit: 3.5 },
      {},
    ];
    const lines = given.map((row, i) => JSON.stringify({ id: `j${i}`, at: '2026-01-01T00:00:00Z', ...row }));
    const at = place();
    const opened = await at.open([orders]);
    const file = at.write('mixed.ndjson', `${lines.join('\n')}\n`);
    const { accepted, warnings } = await opened.log.ingestFiles(orders, [file], { now: Date.now() * 1000 });
    expect([accepted, warnings]).toEqual([4, []]);
    const prices = (await recordsOf(opened, orders)).map((record) => record.fields['unit_price']);
    expect(prices).toEqual([150, 250, 350, null]);
  });
});

describe('a renamed field of pushed records', () => {
  const orders = source('orders', { ...BASE, ...FIELDS }, { read: { kind: 'push' } });
  const rows = (n: number, seed: number, rename: Readonly<Record<string, string>> = {}) => {
    const kinds = KINDS(columns(seed));
    return Array.from({ length: n }, (_, row) => ({
      id: `p${++serial}`,
      at: '2026-01-01T00:00:00Z',
      ...Object.fromEntries(Object.keys(FIELDS).map((name, i) => [rename[name] ?? name, kinds[i]!(row)])),
    }));
  };
  const now = Date.now() * 1000;
  const renamed = { unit_price: 'price_per_unit' };

  it('is refused by its values, said by its name, and read once it is accepted', async () => {
    const at = place();
    const before = await at.open([orders]);
    await before.log.ingestRows(orders, rows(300, 21), { now });
    await before.close();
    const { log } = await at.open([orders]);
    expect(await log.ingestRows(orders, rows(40, 22), { now })).toMatchObject({ accepted: 40, warnings: [] });
    const error = await failure(log.ingestRows(orders, rows(40, 23, renamed), { now }));
    expect(error).toMatchObject({
      code: 'BATCH_REFUSED',
      hint: expect.stringContaining('rename: { price_per_unit: unit_price }'),
    });
    const { accepted, warnings } = await log.ingestRows(orders, rows(1, 24, renamed), { now });
    expect(accepted).toBe(1);
    expect(warnings[0]!.message).toContain('probably renamed: unit_price → price_per_unit');
    const adapting: Source = {
      ...orders,
      fields: orders.fields.map((field) =>
        field.name === 'unit_price' ? { ...field, aliases: ['price_per_unit'] } : field,
      ),
    };
    expect(await log.ingestRows(adapting, rows(40, 25, renamed), { now })).toMatchObject({
      accepted: 40,
      warnings: [],
    });
  });

  it('is not seen in other names', async () => {
    const at = place();
    const before = await at.open([orders]);
    await before.log.ingestRows(orders, rows(300, 31), { now });
    await before.close();
    const { log } = await at.open([orders]);
    const other = rows(40, 32).map(({ unit_price: _, ...row }: Record<string, string>, i) => ({
      ...row,
      latitude: 50 + i / 100,
    }));
    const { accepted, warnings } = await log.ingestRows(orders, other, { now });
    expect(accepted).toBe(40);
    expect(warnings[0]!.message).not.toContain('renamed');
  });
});

describe('other changes of columns', () => {
  it('a column that is gone is null where the source says so, and never for a key', async () => {
    const at = place();
    const made = source(
      't',
      { ...BASE, a: 'float64', b: 'float64' },
      { schemaChanges: { removed: 'alert' } },
    );
    const of = columns(10);
    const opened = await at.open([made]);
    const result = await opened.log.ingestFiles(made, [at.write('g.csv', csv(['a'], [of.normal]))]);
    expect(result).toMatchObject({ accepted: 300, warnings: [{ rule: 'schema.removed' }] });
    const error = await failure(opened.log.ingestFiles(made, [at.write('k.csv', 'id,a,b\nx,1,2\n')]));
    expect(error.code).toBe('BATCH_REFUSED');
  });

  it('a column whose values can no longer be read refuses the batch, or sends its rows to quarantine', async () => {
    const at = place();
    const made = source('t', { ...BASE, a: 'float64' });
    const of = columns(11);
    const opened = await withHistory(at, made, ['a'], [of.normal]);
    const file = at.write('r.csv', csv(['a'], [of.city]));
    const error = await failure(opened.log.ingestFiles(made, [file]));
    expect(error.message).toContain('a has another type: 300 of 300 values cannot be read as float64');
    const lenient: Source = { ...made, schemaChanges: { retyped: 'alert' } };
    expect(await opened.log.ingestFiles(lenient, [file])).toMatchObject({ accepted: 0, quarantined: 300 });
  });

  it('added columns are refused, said or left out in silence', async () => {
    const at = place();
    const of = columns(12);
    const make = (added: 'adapt' | 'alert' | 'refuse'): Source =>
      source('t', { ...BASE, a: 'float64' }, { schemaChanges: { added } });
    const opened = await at.open([make('adapt')]);
    const file = (): string => at.write(`${serial}.csv`, csv(['a', 'new'], [of.normal, of.city], 5));
    expect((await opened.log.ingestFiles(make('adapt'), [file()])).warnings).toEqual([]);
    expect((await opened.log.ingestFiles(make('alert'), [file()])).warnings).toMatchObject([
      { rule: 'extra_columns' },
    ]);
    expect((await failure(opened.log.ingestFiles(make('refuse'), [file()]))).message).toContain('new');
  });
});

describe('accepting a rename', () => {
  const written = async (text: string): Promise<string> => {
    const file = place().write('definitions/s.yaml', text);
    const orders = { ...source('orders', { ...BASE, unit_price: 'float64' }), place: { file, line: 1 } };
    await acceptRename('.', orders, { price_per_unit: 'unit_price' });
    return readFileSync(file, 'utf8');
  };

  it('adds one line and leaves everything else as it is', async () => {
    const text =
      'sources:\n  # shop\n  - name: orders   # mine\n    read: push\n\n  - name: other\n    read: push\n';
    expect(await written(text)).toBe(
      text.replace('# mine\n', '# mine\n    rename: { price_per_unit: unit_price }\n'),
    );
  });

  it('adds to what was accepted before', async () => {
    expect(await written('sources:\n  - name: orders\n    rename: { a: b }\n    read: push\n')).toContain(
      'rename: { price_per_unit: unit_price, a: b }\n',
    );
  });

  it('says what to write where it cannot', async () => {
    await expect(written('sources:\n  - name: orders\n    rename:\n      a: b\n')).rejects.toMatchObject({
      code: 'USAGE',
      hint: expect.stringContaining('rename: { price_per_unit: unit_price }'),
    });
  });
});
