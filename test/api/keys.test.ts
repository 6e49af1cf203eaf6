import path from 'node:path';
import { expect, it } from 'vitest';
import { parseInstant } from '../../src/core/base/time.js';
import { open } from '../../src/index.js';
import { closing, csv, projectFolder, readCsv } from './support.js';

const DEFINITIONS = `entities:
  - { name: hotel, join_key: hotel }
  - { name: contract, join_keys: [hotel, agent] }
  - { name: agent, join_key: agent }
  - { name: guest, join_key: guest_no }
sources:
  - name: bookings
    read: push
    available_at: event_time
    record_key: id
    event_time: at
    keys: { hotel: hotel_code, agent: sold_by, guest_no: guest }
    fields: { id: int64, hotel_code: string, sold_by: string, guest: int64, price: decimal(2), at: timestamp }
  - name: reviews
    read: push
    available_at: event_time
    record_key: id
    event_time: at
    fields: { id: int64, agent: string, hotel: string, stars: int64, at: timestamp }
  - name: terms
    kind: states
    read: push
    available_at: event_time
    record_key: [hotel, agent, since]
    event_time: since
    fields: { agent: string, hotel: string, share: float64, since: timestamp }
features:
  - { name: hotel_bookings, entity: hotel, aggregation: { function: count, source: bookings } }
  - { name: sold, entity: contract, aggregation: { function: sum, source: bookings.price }, default: 0 }
  - { name: stars, entity: contract, aggregation: { function: list, source: reviews.stars } }
  - { name: share, entity: contract, lookup: { source: terms.share } }
  - { name: agent_bookings, entity: agent, aggregation: { function: count, source: bookings } }
  - { name: guest_bookings, entity: guest, aggregation: { function: count, source: bookings } }
  - { name: part_of_hotel, entities: [contract, agent], expression: "cast(agent_bookings as float64) / nullif(hotel_bookings, 0) + share * sold" }
  - { name: names, entity: contract, expression: "length(hotel) * 10000000 + length(agent)" }
`;
const FEATURES = [
  'hotel_bookings',
  'sold',
  'stars',
  'share',
  'agent_bookings',
  'guest_bookings',
  'part_of_hotel',
  'names',
];
const AT = '2024-05-01T00:00:00Z';

const LONG = 'x'.repeat(1_000_000);
/** Pairs that a careless joining, folding or typing of keys would take for one another. */
const PAIRS: readonly (readonly [hotel: string, agent: string])[] = [
  ['__proto__', 'constructor'],
  ['constructor', '__proto__'],
  ['', 'a'],
  ['a', ''],
  ['', ''],
  ['a', 'bc'],
  ['ab', 'c'],
  ['a,b', 'c'],
  ['a', 'b,c'],
  ['a\u0001', 'b'],
  ['a', '\u0001b'],
  ['é', 'x'],
  ['e\u0301', 'x'],
  ['É', 'x'],
  ['007', '7'],
  ['7', '007'],
  ['7', '7'],
  ['7 ', '7'],
  ['7.0', '7'],
  ['null', 'NULL'],
  ['\u{1F600}', '\uFFFD'],
  [LONG, 'x'],
  [`${LONG}y`, 'x'],
  ['x', LONG],
  ["'; DROP TABLE t; --", '"'],
  ['line\nbreak', 'tab\t'],
];

it('keys are typed tuples, compared exactly, by whatever names the sources have for them: offline and online', async () => {
  const bookings: Record<string, unknown>[] = [];
  const reviews: Record<string, unknown>[] = [];
  const terms: Record<string, unknown>[] = [];
  for (const [i, [hotel, agent]] of PAIRS.entries()) {
    // The i-th pair has i + 1 bookings at 2^i-like prices, so that no two sums are alike.
    for (let n = 0; n <= i; n++)
      bookings.push({
        id: bookings.length,
        hotel_code: hotel,
        sold_by: agent,
        guest: i,
        price: `${i + 1}.0${n % 10}`,
        at: `2024-04-01T00:00:${String(n % 60).padStart(2, '0')}Z`,
      });
    reviews.push({ id: i, agent, hotel, stars: i, at: '2024-04-02T00:00:00Z' });
    terms.push({ agent, hotel, share: i / 7, since: '2024-01-01T00:00:00Z' });
  }
  for (const [hotel, agent, guest] of [
    [null, 'x', 7],
    ['a', null, null],
    [null, null, 7],
  ] as const) {
    bookings.push({
      id: bookings.length,
      hotel_code: hotel,
      sold_by: agent,
      guest,
      price: '1000.00',
      at: '2024-04-01T00:00:00Z',
    });
    reviews.push({ id: 1000 + bookings.length, agent, hotel, stars: 1000, at: '2024-04-02T00:00:00Z' });
  }
  const asked = [
    ...PAIRS.map(([hotel, agent], i) => [hotel, agent, i] as const),
    [null, 'x', null],
    ['a', null, 7],
    [null, null, null],
    ['A', 'bc', 99],
    ['toString', 'valueOf', -1],
    ['07', '7', 7],
  ] as const;

  const folder = projectFolder({
    'definitions/all.yaml': DEFINITIONS,
    'spine.csv': csv([
      ['row', 'hotel', 'agent', 'guest_no', 't'],
      ...asked.map(([hotel, agent, guest], i) => [i, hotel, agent, guest, AT]),
    ]),
  });
  const project = closing(await open(folder));
  expect(await project.ingest('bookings', bookings)).toMatchObject({
    accepted: bookings.length,
    quarantined: 0,
  });
  expect(await project.ingest('reviews', reviews)).toMatchObject({
    accepted: reviews.length,
    quarantined: 0,
  });
  expect(await project.ingest('terms', terms)).toMatchObject({ accepted: terms.length, quarantined: 0 });

  // By hand, over the records themselves with exact comparison.
  const same = (a: unknown, b: unknown): boolean => a !== null && a === b;
  const expected = asked.map(([hotel, agent, guest]) => {
    const ofHotel = bookings.filter((row) => same(row['hotel_code'], hotel)).length;
    const ofAgent = bookings.filter((row) => same(row['sold_by'], agent)).length;
    const pair = bookings.filter((row) => same(row['hotel_code'], hotel) && same(row['sold_by'], agent));
    const sold = pair.reduce((sum, row) => sum + Math.round(Number(row['price']) * 100), 0) / 100;
    const stars = reviews
      .filter((row) => same(row['hotel'], hotel) && same(row['agent'], agent))
      .map((row) => row['stars']);
    const share = (terms.find((row) => same(row['hotel'], hotel) && same(row['agent'], agent))?.['share'] ??
      null) as number | null;
    return [
      ofHotel,
      sold,
      stars.length === 0 ? null : stars,
      share,
      ofAgent,
      bookings.filter((row) => same(row['guest'], guest)).length,
      share === null || ofHotel === 0 ? null : ofAgent / ofHotel + share * sold,
      hotel === null || agent === null ? null : [...hotel].length * 10_000_000 + [...agent].length,
    ];
  });

  const out = path.join(folder, 'out.csv');
  await project.historical({
    observations: path.join(folder, 'spine.csv'),
    time: 't',
    features: FEATURES,
    out,
  });
  const rows = readCsv(out);
  expect(rows.map((row) => [row['hotel'], row['agent']])).toEqual(
    asked.map(([hotel, agent]) => [hotel, agent]),
  );
  const offline = rows.map((row) =>
    FEATURES.map((name) => (row[name] === null ? null : (JSON.parse(row[name]!) as unknown))),
  );
  expect(offline).toEqual(expected);

  const entities = asked.map(([hotel, agent, guest]) => ({ hotel, agent, guest_no: guest }));
  const online = await project.online({ features: FEATURES, entities, at: AT });
  expect(JSON.parse(JSON.stringify(online.rows.map((row) => row.values)))).toEqual(expected);
  expect(parseInstant(online.as_of)).toBe(parseInstant(AT));

  // A number is no text, and text no number, unless it is written as one.
  await expect(
    project.online({ features: ['guest_bookings'], entities: [{ guest_no: 'seven' }], at: AT }),
  ).rejects.toMatchObject({ code: 'ENTITY_KEY_INVALID' });
  await expect(
    project.online({ features: ['guest_bookings'], entities: [{ guest_no: 7.5 }], at: AT }),
  ).rejects.toMatchObject({ code: 'ENTITY_KEY_INVALID' });
  await expect(
    project.online({ features: ['sold'], entities: [{ hotel: 'a' }], at: AT }),
  ).rejects.toMatchObject({ code: 'ENTITY_KEY_INVALID' });
  const inherited = Object.create({ guest_no: 7 }) as Record<string, unknown>;
  await expect(
    project.online({ features: ['guest_bookings'], entities: [inherited], at: AT }),
  ).rejects.toMatchObject({ code: 'ENTITY_KEY_INVALID' });
});
