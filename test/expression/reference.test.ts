import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { expressionReference } from '../../src/core/expression/index.js';

it('docs/reference/expressions.md is what the function table says', () => {
  const page = new URL('../../docs/reference/expressions.md', import.meta.url);
  expect(readFileSync(page, 'utf8')).toBe(expressionReference());
});
