/** Plain columns for people: left-aligned text, right-aligned numbers. */
export function table(
  header: readonly string[],
  rows: readonly (readonly (string | number | null | undefined)[])[],
): string {
  const text = rows.map((row) =>
    row.map((cell) => (cell === null || cell === undefined ? '-' : String(cell))),
  );
  const numeric = header.map(
    (_, i) =>
      rows.length > 0 &&
      rows.every((row) => typeof row[i] === 'number' || row[i] === null || row[i] === undefined),
  );
  const widths = header.map((name, i) => Math.max(name.length, ...text.map((row) => row[i]!.length)));
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, i) => (numeric[i] ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!)))
      .join('  ')
      .trimEnd();
  return [line(header), line(widths.map((width) => '-'.repeat(width))), ...text.map(line)].join('\n');
}

export const count = (n: number): string => n.toLocaleString('en-US');

export const metric = (value: number | null | undefined): string =>
  value === null || value === undefined ? '-' : value.toFixed(4);

export const short = (value: number | null | undefined): string =>
  value === null || value === undefined
    ? '-'
    : Number.isInteger(value)
      ? String(value)
      : value.toPrecision(6);
