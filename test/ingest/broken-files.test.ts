import { gzipSync } from 'node:zlib';
import { afterEach, describe, expect, it } from 'vitest';
import { MillraceError } from '../../src/core/base/error.js';
import type { Source } from '../../src/core/define/types.js';
import type { QuarantinedRow } from '../../src/ports/record-log.js';
import fc from '../property.js';
import { type Opened, source, temporaryPlaces } from './support.js';

const place = temporaryPlaces(afterEach);
const FIELDS = { id: 'string', at: 'timestamp', pages: 'int64', note: 'string' };
const HEADER = 'id,at,pages,note';

/** The lines of a file as bytes, the header first, and what joins them. */
interface Draft {
  readonly lines: Buffer[];
  readonly ends: string[];
  /** Lines whose record may come in otherwise than it was written, or not at all. */
  readonly touched: Set<number>;
}

const joined = ({ lines, ends }: Draft): Buffer =>
  Buffer.concat(lines.flatMap((line, i) => [line, Buffer.from(ends[i]!)]));
const insert = (line: Buffer, at: number, bytes: Uint8Array): Buffer =>
  Buffer.concat([line.subarray(0, at), bytes, line.subarray(at)]);

type Damage = (draft: Draft, line: number, place: number) => void;
/** A place within the note of a line, its last cell. */
const inNote = (line: Buffer, at: number): number => line.length - (at % 4);
const notes =
  (bytes: string | readonly number[]): Damage =>
  (draft, line, at) => {
    draft.lines[line] = insert(
      draft.lines[line]!,
      inNote(draft.lines[line]!, at),
      typeof bytes === 'string' ? Buffer.from(bytes) : Buffer.from(bytes),
    );
    draft.touched.add(line);
  };

const DAMAGES: Readonly<Record<string, Damage>> = {
  'a NUL byte': notes('\0'),
  'a byte that is no UTF-8': notes([0xff]),
  'half of a character': notes([0xc3]),
  'a surrogate in UTF-8': notes([0xed, 0xa0, 0x80]),
  'a byte order mark in the middle': notes('\ufeff'),
  'a quote in a cell': notes('"'),
  'a carriage return in a cell': notes('\r'),
  'a huge field': notes('x'.repeat(300_000)),
  'a cell too many': (draft, line) => {
    draft.lines[line] = Buffer.concat([draft.lines[line]!, Buffer.from(',more')]);
    draft.touched.add(line);
  },
  'a cell too few': (draft, line) => {
    const text = draft.lines[line]!.toString();
    draft.lines[line] = Buffer.from(text.slice(0, text.lastIndexOf(',')));
    draft.touched.add(line);
  },
  'CRLF on one line': (draft, line) => {
    draft.ends[line] = '\r\n';
  },
  'CRLF on all lines': (draft) => {
    draft.ends.fill('\r\n');
  },
  'blank lines': (draft, line) => {
    draft.ends[line] = '\n\n\n';
  },
  'no last line end': (draft) => {
    draft.ends[draft.ends.length - 1] = '';
  },
  'a header twice': (draft, line) => {
    draft.lines[line] = Buffer.from(`${HEADER}\n${draft.lines[line]!.toString()}`);
  },
  'a column name twice': (draft) => {
    draft.lines[0] = Buffer.from('id,at,pages,pages');
    for (let line = 1; line < draft.lines.length; line++) draft.touched.add(line);
  },
  'a byte order mark': (draft) => {
    draft.lines[0] = Buffer.from(`\ufeff${HEADER}`);
  },
};

async function ledger(opened: Opened, name: string): Promise<readonly QuarantinedRow[]> {
  return opened.log.quarantine({ source: name });
}

describe('a damaged file', () => {
  it('is refused with a reason, or every line of it is in the log as it was written, or in quarantine', async () => {
    const at = place();
    const visits = source('visits', FIELDS);
    const opened = await at.open([visits]);
    const outcomes = new Map<string, number>();
    let run = 0;
    const damage = fc.record({
      what: fc.constantFrom(...Object.keys(DAMAGES)),
      line: fc.nat(),
      place: fc.nat({ max: 3 }),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 3, max: 30 }),
        fc.array(damage, { minLength: 1, maxLength: 3 }),
        fc.boolean(),
        async (rows, damages, zipped) => {
          run++;
          const ids = Array.from({ length: rows }, (_, i) => `r${run}-${i}-`);
          const written = ids.map((id, i) => ({ id, pages: i, note: `n${i}` }));
          const draft: Draft = {
            lines: [
              HEADER,
              ...written.map(({ id, pages, note }) => `${id},2024-01-01T00:00:00Z,${pages},${note}`),
            ].map((line) => Buffer.from(line)),
            ends: new Array<string>(rows + 1).fill('\n'),
            touched: new Set(),
          };
          for (const { what, line, place: where } of damages) DAMAGES[what]!(draft, 1 + (line % rows), where);
          const bytes = joined(draft);
          const file = at.write(`f${run}.csv${zipped ? '.gz' : ''}`, zipped ? gzipSync(bytes) : bytes);
          const before = await opened.log.state(visits);
          const tally = (outcome: string): void =>
            void outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
          try {
            const result = await opened.log.ingestFiles(visits, [file]);
            expect(result.rows).toBe(
              result.accepted + result.quarantined + result.duplicates + result.dropped,
            );
            tally(result.quarantined > 0 ? 'quarantined' : 'accepted');
            const found = new Map<string, Readonly<Record<string, unknown>>>();
            for await (const chunk of opened.log.read(visits, before.lastSeq, Number.MAX_SAFE_INTEGER))
              for (const { fields } of chunk) found.set(String(fields['id']), fields);
            const refused = await opened.log.quarantine({ batch: result.batch });
            const aside = JSON.stringify(refused.map(({ row }) => row));
            for (const [i, { id, pages, note }] of written.entries()) {
              const record = found.get(id);
              // What cannot be decoded is never guessed.
              expect(String(record?.['note'])).not.toContain('\ufffd');
              if (record === undefined) {
                // A quote that nothing closes takes the lines after it along, all of them in one entry or value.
                const within = aside.includes(id) || JSON.stringify([...found.values()], print).includes(id);
                expect([id, within]).toEqual([id, true]);
              } else if (!draft.touched.has(i + 1))
                expect([id, record['pages'], record['note']]).toEqual([id, pages, note]);
            }
          } catch (error) {
            if (!(error instanceof MillraceError)) throw error;
            expect(error.code).not.toBe('INTERNAL');
            expect(error.message).not.toBe('');
            expect(await opened.log.state(visits)).toEqual(before);
            tally(error.code);
          }
        },
      ),
      { numRuns: 60, seed: 11, endOnFailure: true },
    );
    expect([...outcomes.keys()].sort()).toEqual(
      expect.arrayContaining(['BATCH_REFUSED', 'accepted', 'quarantined']),
    );
  }, 120_000);

  const times = (more: Partial<Source> = {}) => source('times', { id: 'string', at: 'timestamp' }, more);
  it.each<[string, string, Partial<Source>]>([
    ['a leap second', '2016-12-31T23:59:60Z', {}],
    ['a year of two digits', '24-02-29 10:00:00', {}],
    ['an hour 24', '2024-01-01T24:00:00Z', {}],
    ['a 29th of February of no leap year', '2023-02-29T00:00:00Z', {}],
    ['a month 13', '2024-13-01T00:00:00Z', {}],
    ['a day first', '31/12/2024 10:00', {}],
    ['an epoch number', '1704067200', {}],
    ['a local time that the clocks leave out', '2024-03-31 02:30:00', { timezone: 'Europe/Berlin' }],
    ['a local time that the clocks repeat', '2024-10-27 02:30:00', { timezone: 'Europe/Berlin' }],
    ['a year beyond what instants hold', '9999-01-01T00:00:00Z', {}],
    ['an offset beyond a day', '2024-01-01T00:00:00+25:00', {}],
    ['nothing', '', {}],
  ])(
    'with %s keeps the row aside, in files and pushes, with the text in the reason',
    async (_, text, more) => {
      const at = place();
      const wanted = times(more);
      const opened = await at.open([wanted]);
      const good = '2024-06-01T00:00:00Z';
      const file = at.write('t.csv', `id,at\na,${good}\nb,${text}\nc,${good}\n`);
      expect(await opened.log.ingestFiles(wanted, [file])).toMatchObject({
        rows: 3,
        accepted: 2,
        quarantined: 1,
      });
      const rows = [
        { id: 'd', at: good },
        { id: 'e', at: text },
      ];
      expect(await opened.log.ingestRows(wanted, rows, { now: 1_800_000_000_000_000 })).toMatchObject({
        rows: 2,
        accepted: 1,
        quarantined: 1,
      });
      const entries = await ledger(opened, 'times');
      expect(entries.map(({ row }) => [row['id'], row['at'] ?? ''])).toEqual([
        ['b', text],
        ['e', text],
      ]);
      for (const { reasons } of entries) {
        expect(reasons[0]!.field).toBe('at');
        if (text !== '') expect(JSON.stringify(reasons[0])).toContain(text);
      }
    },
  );
});

const print = (_: string, value: unknown): unknown => (typeof value === 'bigint' ? String(value) : value);
