/** How long a step will take, from how long it took. */

export interface Measured {
  readonly rows: number | null;
  readonly bytes: number | null;
  readonly seconds: number;
}

export interface Expected {
  readonly rows: number | null;
  readonly bytes: number | null;
  /** Null: it never ran. */
  readonly seconds: number | null;
}

/**
 * Linear in rows (in bytes where rows are not known): least squares over the earlier runs with neither a negative start
 * nor a negative slope; through zero when all of them had one size. Where no size is known, as long as the last time.
 * Nothing to read takes what every run takes at the start.
 */
export function expectedSeconds(
  earlier: readonly Measured[],
  amount: { readonly rows: number | null; readonly bytes: number | null },
): number | null {
  const last = earlier[0];
  if (last === undefined) return null;
  for (const size of ['rows', 'bytes'] as const) {
    const wanted = amount[size];
    const points = earlier.flatMap((run) => {
      const x = run[size];
      return x === null || x <= 0 ? [] : [{ x, y: run.seconds }];
    });
    if (wanted !== null && points.length > 0) return line(points)(wanted);
  }
  return last.seconds;
}

function line(points: readonly { readonly x: number; readonly y: number }[]): (x: number) => number {
  const mean = (of: (point: { readonly x: number; readonly y: number }) => number): number =>
    points.reduce((sum, point) => sum + of(point), 0) / points.length;
  const [mx, my] = [mean(({ x }) => x), mean(({ y }) => y)];
  const spread = mean(({ x }) => (x - mx) ** 2);
  const slope = spread === 0 ? -1 : mean(({ x, y }) => (x - mx) * (y - my)) / spread;
  const start = my - slope * mx;
  if (slope >= 0 && start >= 0) return (x) => start + slope * x;
  if (slope < 0 && spread > 0) return () => my;
  const through = mean(({ x, y }) => x * y) / mean(({ x }) => x * x);
  return (x) => through * x;
}

/** Rows in so many bytes, by the last run that counted both. */
export function expectedRows(earlier: readonly Measured[], bytes: number): number | null {
  const run = earlier.find((one) => one.rows !== null && one.bytes !== null && one.bytes > 0);
  return run ? Math.round((bytes / run.bytes!) * run.rows!) : null;
}

/** What steps come to together. `unknown` of them never ran. */
export interface Cost {
  readonly rows: number;
  readonly bytes: number;
  readonly seconds: number;
  readonly unknown: number;
}

export const costOf = (steps: readonly { readonly expected: Expected }[]): Cost => ({
  rows: steps.reduce((sum, { expected }) => sum + (expected.rows ?? 0), 0),
  bytes: steps.reduce((sum, { expected }) => sum + (expected.bytes ?? 0), 0),
  seconds: steps.reduce((sum, { expected }) => sum + (expected.seconds ?? 0), 0),
  unknown: steps.filter(({ expected }) => expected.seconds === null).length,
});
