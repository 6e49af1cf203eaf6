import { describe, expect, it } from 'vitest';
import { patternWithin } from '../../src/core/quality/pattern-order.js';
import { checkPattern, compilePattern } from '../../src/core/schema/pattern.js';
import fc from '../property.js';

describe('whether a pattern accepts all that another does', () => {
  it.each([
    ['^a$', '^(a|b)$'],
    ['^(?:a|b)c$', '^(a|b|d)c$'],
    ['^a$', '^a$|^b$'],
    ['^[A-Z]{2}\\d+$', '^([A-Z]{2}|\\d)\\d+$'],
    ['^[A-F]+$', '^\\w+$'],
    ['^\\d{3}$', '^[0-9]{2,5}$'],
    ['^(AB|CD)\\d{4}$', '^[A-Z]{2}\\d+$'],
    ['^a{2,3}$', '^aa+$'],
    ['^ab$', 'b'],
    ['^ab$', '^ab?$'],
    ['^ab$', '^(ab|cd)+$'],
    ['^x(a|b)y$', '^xay$|^xby$|^xcy$'],
    ['[^a\\n]', '[^\\n]|\\n'],
    ['a\\b', 'a\\b|b'],
  ])('%s is within %s', (a, b) => {
    expect([patternWithin(a, b), patternWithin(b, a)]).toEqual([true, false]);
  });

  it('what is not seen in the form is not claimed', () => {
    expect(patternWithin('^(ab)*$', '^(a|b)*$')).toBe(false);
    expect(patternWithin('a', '^a$')).toBe(false);
    expect(patternWithin('.', '[a-z]')).toBe(false);
    expect(patternWithin('(a|b|c|d)'.repeat(12), '(a|b|c)'.repeat(12))).toBe(false);
  });

  it('whatever is said to be within is found in no text in which the other is not', () => {
    const atom = fc.constantFrom(
      'a',
      'b',
      '[ab]',
      '[^b]',
      '.',
      '\\w',
      '^',
      '$',
      '\\b',
      '(a|b)',
      '(?:ab|b)',
      '(a|)',
    );
    const item = fc
      .tuple(atom, fc.constantFrom('', '', '?', '+', '*', '{1,2}', '{2}'))
      .map(([what, count]) => (/^[$^]$|^\\b$/.test(what) ? what : what + count));
    const sequence = fc.array(item, { minLength: 1, maxLength: 3 }).map((items) => items.join(''));
    const pattern = fc.array(sequence, { minLength: 1, maxLength: 2 }).map((parts) => parts.join('|'));
    const text = fc.string({ unit: fc.constantFrom('a', 'b', 'c', ' ', '\n'), maxLength: 5 });
    let said = 0;
    fc.assert(
      fc.property(pattern, pattern, fc.array(text, { minLength: 20, maxLength: 20 }), (a, b, texts) => {
        fc.pre(checkPattern(a) === undefined && checkPattern(b) === undefined);
        if (!patternWithin(a, b)) return;
        said++;
        const [first, second] = [compilePattern(a), compilePattern(b)];
        for (const each of texts) if (first(each) && !second(each)) throw new Error(JSON.stringify(each));
      }),
      { numRuns: 4_000, seed: 7 },
    );
    expect(said).toBeGreaterThan(100);
  });
});
