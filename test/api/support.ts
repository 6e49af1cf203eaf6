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
  for (let at = 0; at < text.length; ) {
    let cell: string | null = '';
    if (text[at] === '"') {
      for (;;) {
        const end = text.indexOf('"', at + 1);
        cell += text.slice(at + 1, end);
        at = end + 1;
        if (text[at] !== '"') break;
        cell += '"';
      }
    } else {
      const end = text.slice(at).search(/[,\r\n]/);
      cell = text.slice(at, at + end) || null;
      at += end;
    }
    row.push(cell);
    if (text[at] === ',') {
      at++;
      if (text[at] === '\n' || text[at] === '\r') row.push(null);
      else continue;
    }
    at += text.startsWith('\r\n', at) ? 2 : 1;
    rows.push(row);
    row = [];
  }
  const [names, ...body] = rows;
  return body.map((cells) => Object.fromEntries(names!.map((name, i) => [name!, cells[i] ?? null])));
}

/** RFC 4180, every field quoted; null is the empty field. */
export const csv = (rows: readonly (readonly (string | number | null)[])[]): string =>
  rows
    .map(
      (row) =>
        `${row.map((cell) => (cell === null ? '' : `"${String(cell).replaceAll('"', '""')}"`)).join(',')}\n`,
    )
    .join('');
