/** A real project in a temporary folder: files in, the public handle out. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach } from 'vitest';

const folders: string[] = [];
const closers: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0)) await close();
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

/** Writes the files of a project and gives its folder; it is removed after the test. */
export function projectFolder(files: Readonly<Record<string, string | Buffer>>): string {
  const root = mkdtempSync(path.join(tmpdir(), 'millrace-api-'));
  folders.push(root);
  for (const [name, content] of Object.entries(files)) {
    const file = path.join(root, name);
    mkdirSync(path.dirname(file), { recursive: true });
    writeFileSync(file, content);
  }
  return root;
}

/** Closes it after the test, before its folder goes. */
export function closing<T extends { close(): Promise<void> }>(opened: T): T {
  closers.push(() => opened.close());
  return opened;
}

/** RFC 4180 rows by column name; an unquoted empty field is null, a quoted one the empty text. */
export function readCsv(file: string): Record<string, string | null>[] {
  const text = readFileSync(file, 'utf8');
  const rows: (string | null)[][] = [];
  let row: (string | null)[] = [];
  const cell = /("(?:[^"]|"")*"|[^,\r\n]*)(,|\r?\n|$)/gy;
  for (let match = cell.exec(text); match; match = cell.exec(text)) {
    const [whole, written, end] = match;
    if (whole === '' && row.length === 0) break;
    row.push(written!.startsWith('"') ? written!.slice(1, -1).replaceAll('""', '"') : written === '' ? null : written!);
    if (end === ',') continue;
    rows.push(row);
    row = [];
    if (end === '') break;
  }
  const [names, ...body] = rows;
  return body.map((cells) => Object.fromEntries(names!.map((name, i) => [name!, cells[i] ?? null])));
}

/** RFC 4180, every field quoted; null is the empty field. */
export const csv = (rows: readonly (readonly (string | number | null)[])[]): string =>
  rows.map((row) => `${row.map((cell) => (cell === null ? '' : `"${String(cell).replaceAll('"', '""')}"`)).join(',')}\n`).join('');
