import { expect } from 'vitest';

/** Relative closeness, with an absolute floor for values that are 0 or meet it by cancellation. */
export function expectClose(
  actual: number | null | undefined,
  expected: number | null,
  relative = 1e-11,
  absolute = 1e-15,
): void {
  if (expected === null) {
    expect(actual).toBeNull();
    return;
  }
  expect(actual).toBeTypeOf('number');
  const error = Math.abs(actual! - expected);
  const allowed = Math.max(absolute, relative * Math.abs(expected));
  expect(error <= allowed, `${actual} is not ${expected}: off by ${error}, allowed ${allowed}`).toBe(true);
}
