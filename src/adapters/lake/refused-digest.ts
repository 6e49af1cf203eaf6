/** What makes two refused rows the same delivery: their content, whatever their columns were called by then. */
import { hash } from 'node:crypto';
import { toJsonText } from './ledger.js';

type RawRow = Readonly<Record<string, unknown>>;

const sha256 = (text: string): string => hash('sha256', text);

const contentOf = (entries: readonly (readonly [string, unknown])[]): string =>
  sha256(toJsonText([...entries].sort(([a], [b]) => (a < b ? -1 : 1))));

/** A field whose column was renamed: where it is read, and where it stood before. */
export interface RenamedColumn {
  readonly read: string;
  readonly own: string;
}

/** The columns of renamed fields among those that are there. */
export const renamedColumns = (
  fields: readonly { readonly name: string; readonly from?: string }[],
  columnFor: (name: string) => string | undefined,
): readonly RenamedColumn[] =>
  fields.flatMap(({ name, from = name }) => {
    const read = columnFor(name);
    return read === undefined || read === from ? [] : [{ read, own: from }];
  });

/**
 * Digests under which the ledger may hold a row, its own first: as it stands, and as it stood before its columns were
 * renamed, with all of its columns or with those alone that fields read. `declared`: the columns that fields read.
 */
export function contentDigests(
  row: RawRow,
  renamed: readonly RenamedColumn[],
  declared: ReadonlySet<string>,
): readonly [string, ...string[]] {
  const entries = Object.entries(row);
  if (renamed.length === 0) return [contentOf(entries)];
  const names = new Map(renamed.map(({ read, own }) => [read, own]));
  const before = entries.map(([name, value]) => [names.get(name) ?? name, value] as const);
  const known = before.filter((_, i) => declared.has(entries[i]![0]));
  return [contentOf(entries), contentOf(before), contentOf(known)];
}

/** The digest of the how-manieth row of its content in a batch. */
export const copyDigest = (content: string, copy: number): string =>
  copy === 1 ? content : sha256(`${copy}:${content}`);

/** A pushed row is not a row of a file: the same one sent again is heard again. */
export const pushedDigest = (content: string): string => sha256(`pushed:${content}`);
