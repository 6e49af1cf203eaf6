/** Writes accepted renames into the definition of a source. */
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { isMap, isScalar, isSeq, LineCounter, parseDocument, type YAMLMap } from 'yaml';
import { MillraceError } from '../core/base/error.js';
import { nearest } from '../core/base/nearest.js';
import type { Source } from '../core/define/types.js';

export interface AcceptedRename {
  /** As the source's place has it. */
  readonly file: string;
  readonly line: number;
  /** The line that stands there now. */
  readonly text: string;
}

/**
 * Adds columns that are read for fields to `rename` of the source, and leaves everything else of the file as it is.
 * @throws USAGE where nothing is renamed, a column is read already, the definition is no YAML, or its `rename` is written
 * over several lines; UNKNOWN_NAME for a field that the source has not.
 */
export async function acceptRename(
  folder: string,
  source: Source,
  renames: Readonly<Record<string, string>>,
): Promise<AcceptedRename> {
  checkRenames(source, renames);
  const file = source.place?.file;
  const entries = Object.entries(renames).map(
    ([column, field]) => `${/^[A-Za-z_]\w*$/.test(column) ? column : JSON.stringify(column)}: ${field}`,
  );
  const byHand = (why: string): MillraceError =>
    new MillraceError('USAGE', `${why}; nothing was written`, {
      ...(source.place ? { place: source.place } : {}),
      hint: `Add to source ${source.name}: \`rename: { ${entries.join(', ')} }\`.`,
    });
  if (file === undefined || !/\.ya?ml$/i.test(file))
    throw byHand(`the definition of ${source.name} is not in a YAML file`);
  const text = await readFile(path.resolve(folder, file), 'utf8');
  const lines = new LineCounter();
  const node = sourceNode(parseDocument(text, { lineCounter: lines }).contents, source.name);
  if (!node) throw byHand(`the definition of ${source.name} is not found in ${file}`);
  const pair = (key: string) => node.items.find((item) => isScalar(item.key) && item.key.value === key);
  const present = pair('rename');
  let at: number;
  let added: string;
  if (present) {
    if (!isMap(present.value) || present.value.flow !== true || !present.value.range)
      throw byHand(`\`rename\` of ${source.name} is written over several lines`);
    const empty = present.value.items.length === 0;
    at = present.value.range[0] + 1;
    added = ` ${entries.join(', ')}${empty ? ' ' : ','}`;
  } else if (node.flow === true) {
    at = node.range![0] + 1;
    added = ` rename: { ${entries.join(', ')} },`;
  } else {
    const first = pair('name');
    if (!first || !isScalar(first.key) || !isScalar(first.value))
      throw byHand(`${source.name} has no name in ${file}`);
    const { col } = lines.linePos(first.key.range![0]);
    const end = text.indexOf('\n', first.value.range![1]);
    at = end < 0 ? text.length : end;
    added = `\n${' '.repeat(col - 1)}rename: { ${entries.join(', ')} }`;
  }
  const written = text.slice(0, at) + added + text.slice(at);
  await writeFile(path.resolve(folder, file), written);
  const line = written.slice(0, at + added.length).split('\n').length;
  return { file, line, text: written.split('\n')[line - 1]!.trim() };
}

function checkRenames(source: Source, renames: Readonly<Record<string, string>>): void {
  if (Object.keys(renames).length === 0)
    throw new MillraceError('USAGE', 'there is nothing to accept', {
      hint: `For example millrace accept ${source.name} --rename price_per_unit=unit_price: the new column, then the field.`,
    });
  const fields = source.fields.map(({ name }) => name);
  for (const [column, field] of Object.entries(renames)) {
    if (!fields.includes(field)) {
      const near = nearest(field, fields);
      throw new MillraceError('UNKNOWN_NAME', `there is no field of ${source.name} named "${field}"`, {
        hint: near ? `Did you mean "${near}"?` : `There are: ${fields.join(', ')}.`,
      });
    }
    const owner = source.fields.find(
      ({ name, from, aliases = [] }) => [name, from].includes(column) || aliases.includes(column),
    );
    if (owner)
      throw new MillraceError('USAGE', `${column} is read already, as ${owner.name}`, {
        hint: 'The new column stands first: NEW=FIELD.',
      });
  }
}

/** The map of a source or transform in a file of definitions, wherever it stands. */
function sourceNode(root: unknown, name: string): YAMLMap | undefined {
  if (!isMap(root)) return undefined;
  for (const key of ['sources', 'transforms']) {
    const list = root.get(key);
    for (const item of isSeq(list) ? list.items : isMap(list) ? [list] : [])
      if (isMap(item) && item.get('name') === name) return item;
  }
  return undefined;
}
