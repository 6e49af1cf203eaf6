import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { fromYaml } from './check.js';

const PAGE = readFileSync(new URL('../../docs/reference/contracts.md', import.meta.url), 'utf8');
const SOURCES = `sources:
  - { name: planes, read: push, record_key: tailnum, event_time: at, fields: { tailnum: string, at: timestamp } }
  - name: orders
    read: push
    record_key: id
    event_time: at
    fields: { id: string, at: timestamp, amount: decimal(2), status: string, code: string, email: string, phone: string, country: string, plane: string, flight: string, seat: string, customer_id: int64, unit_price: decimal(2) }
`;
const indent = (text: string): string => text.replace(/^(?=.)/gm, '    ');

describe('the page of contracts', () => {
  const blocks = [...PAGE.matchAll(/```yaml\n([\s\S]*?)```/g)].map((match) => match[1]!);
  const imputations = [...PAGE.matchAll(/^\| `(\{ impute: \w[^`]*\})` \|/gm)].map((match) => match[1]!);

  it('has examples that are read without a word', () => {
    expect(blocks.length).toBe(5);
    for (const block of blocks) expect(fromYaml(SOURCES + indent(block)).diagnostics).toEqual([]);
  });

  it('lists imputations that can be written so', () => {
    expect(imputations.length).toBe(4);
    for (const written of imputations)
      expect(
        fromYaml(`${SOURCES}    contract: { amount: { not_null: true, action: ${written} } }\n`).diagnostics,
      ).toEqual([]);
  });
});
