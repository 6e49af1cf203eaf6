import { describe, expect, it } from 'vitest';
import { jsonFault, parseJson } from '../../src/http/json.js';
import fc from '../property.js';

describe('jsonFault', () => {
  it.each([
    ['', 0],
    ['{', 1],
    ['{"a":}', 5],
    ['{"a" 1}', 5],
    ['[1,]', 3],
    ['[1 2]', 3],
    ['{"a":1,}', 7],
    ['{a:1}', 1],
    ['"\\x"', 0],
    ['01', 1],
    ['[1]]', 3],
    ['{"a":tru}', 5],
    ['[1}', 2],
  ])('finds the fault of %j', (text, offset) => {
    expect(() => JSON.parse(text)).toThrow();
    expect(jsonFault(text)).toBe(offset);
  });

  it('reads every JSON text to its end', () => {
    fc.assert(
      fc.property(fc.json(), (text) => {
        expect(jsonFault(text)).toBe(text.length);
      }),
    );
  });

  it('points into every text that JSON.parse refuses, never before a prefix that could go on', () => {
    fc.assert(
      fc.property(
        fc.json({ maxDepth: 3 }),
        fc.nat(),
        fc.constantFrom('}', ']', ',', ':', '"', 'x', '1', ''),
        (text, position, put) => {
          const at = position % (text.length + 1);
          const broken = text.slice(0, at) + put + text.slice(at + 1);
          let refused = false;
          try {
            JSON.parse(broken);
          } catch {
            refused = true;
          }
          fc.pre(refused);
          const fault = jsonFault(broken);
          expect(fault).toBeGreaterThanOrEqual(0);
          expect(fault).toBeLessThanOrEqual(broken.length);
          expect(() => parseJson(broken)).toThrow(expect.objectContaining({ code: 'REQUEST_INVALID' }));
        },
      ),
    );
  });
});
