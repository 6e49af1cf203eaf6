/** A source with its contract, proposed from files, as a definition with reasons. */
import path from 'node:path';
import { Document, isMap, isScalar, isSeq, type Pair, type Scalar, type YAMLMap } from 'yaml';
import { fold } from '../core/quality/clock-names.js';
import type { FormValue } from '../core/quality/form.js';
import {
  keyQuestion,
  type SuggestedTypes,
  type Suggestion,
  suggest,
  suggestTypes,
} from '../core/quality/suggest.js';
import type { ValueFacts } from '../core/quality/suggest-facts.js';
import type { FileInspector, InspectedFiles } from '../ports/file-inspector.js';

export interface SuggestedContract extends Suggestion {
  readonly source: string;
  readonly rows: number;
  /** The definition file. */
  readonly text: string;
}

export interface SuggestOptions {
  /** Name of the source; absent: that of the first file. */
  readonly name?: string;
  /** Paths are written relative to it. */
  readonly projectFolder: string;
}

const MAX_PAIRED = 8;

/** `data/Invoice lines.csv.gz` → `invoice_lines`. */
function sourceName(file: string): string {
  const name = fold(path.basename(file).replace(/\..*$/, '')).replace(/^_+|_+$/g, '');
  return /^[a-z]/.test(name) ? name : `source_${name}`;
}

function written(files: readonly string[], folder: string): string | readonly string[] {
  const names = files.map((file) => {
    const near = path.relative(folder, path.resolve(file));
    return near.startsWith('..') ? path.resolve(file) : near;
  });
  return names.length === 1 ? names[0]! : names;
}

/** The fewest columns that tell all different rows apart, found greedily; all candidates when even they do not. */
async function findKey(
  inspected: InspectedFiles,
  candidates: readonly string[],
  different: number,
): Promise<{ readonly columns: readonly string[]; readonly holds: boolean }> {
  const widest = candidates.slice(0, MAX_PAIRED);
  let best: { columns: readonly string[]; distinct: number } = {
    columns: candidates.slice(0, 1),
    distinct: 0,
  };
  const pairs = widest.flatMap((a, i) => widest.slice(i + 1).map((b) => [a, b]));
  for (const pair of pairs) {
    const [found] = await inspected.distinct([pair]);
    if (found!.distinct > best.distinct) best = found!;
    if (found!.distinct === different) return { columns: pair, holds: true };
  }
  while (best.distinct < different) {
    const rest = candidates.filter((column) => !best.columns.includes(column));
    const wider = await inspected.distinct(rest.map((column) => [...best.columns, column]));
    const next = wider.reduce<typeof best>((a, b) => (b.distinct > a.distinct ? b : a), best);
    if (next === best) return { columns: best.columns, holds: false };
    best = next;
  }
  return { columns: best.columns, holds: true };
}

export async function suggestContract(
  inspector: FileInspector,
  files: readonly string[],
  options: SuggestOptions,
): Promise<SuggestedContract> {
  const inspected = await inspector.inspect(files);
  const types = suggestTypes(inspected.columns);
  const name = options.name ?? sourceName(files[0]!);
  const values = await inspected.values(
    types.columns.map(({ column, type, format }) => ({
      name: column,
      type,
      ...(format === undefined ? {} : { format }),
    })),
    types.nulls,
  );
  const [all] = await inspected.distinct([types.columns.map((item) => item.column)]);
  const key = await keyOf(inspected, types, values, all!.distinct, name);
  const read: FormValue = {
    files: written(files, options.projectFolder),
    ...(inspected.delimiter === undefined ? {} : { delimiter: inspected.delimiter }),
    ...(inspected.encoding === undefined ? {} : { encoding: inspected.encoding }),
    ...(types.nulls.length === 0 ? {} : { nulls: types.nulls }),
  };
  const suggestion = suggest({
    name,
    read,
    rows: inspected.rows,
    unreadable: inspected.unreadable,
    different: all!.distinct,
    types,
    values,
    ...key,
  });
  return { ...suggestion, source: name, rows: inspected.rows, text: render(suggestion) };
}

async function keyOf(
  inspected: InspectedFiles,
  types: SuggestedTypes,
  values: readonly ValueFacts[],
  different: number,
  name: string,
): Promise<{ key: readonly string[]; keyHolds: boolean; alsoUnique: readonly string[] }> {
  const question = keyQuestion(types.columns, values, different, name);
  if (question.single !== null)
    return { key: [question.single], keyHolds: true, alsoUnique: question.others };
  const { columns, holds } = await findKey(inspected, question.candidates, different);
  const inOrder = types.columns.map((item) => item.column).filter((column) => columns.includes(column));
  return { key: inOrder, keyHolds: holds, alsoUnique: [] };
}

const WIDTH = 108;

/** Comment lines of at most `WIDTH` columns, each reason beginning on its own. */
function comment(reasons: readonly string[], indent: number): string {
  const lines: string[] = [];
  for (const reason of reasons) {
    let line = '';
    for (const word of reason.split(' ')) {
      if (line !== '' && line.length + word.length + 1 > WIDTH - indent) {
        lines.push(line);
        line = ' ';
      }
      line += ` ${word}`;
    }
    lines.push(line);
  }
  return lines.join('\n');
}

/** YAML with the reasons as comments above what they are about. */
function render(suggestion: Suggestion): string {
  const document = new Document({ sources: [suggestion.form] });
  const at = (keys: readonly (string | number)[]): YAMLMap => document.getIn(keys) as YAMLMap;
  const explain = (
    map: YAMLMap,
    reasons: Readonly<Record<string, readonly string[]>>,
    indent: number,
  ): void => {
    for (const pair of map.items as Pair<Scalar, unknown>[]) {
      const said = reasons[String(pair.key.value)];
      if (said && said.length > 0) pair.key.commentBefore = comment(said, indent);
    }
  };
  const flat = (node: unknown): boolean => isScalar(node) || (isSeq(node) && node.items.every(isScalar));
  const inline = (node: unknown): void => {
    if (isSeq(node)) {
      node.flow = node.items.every(isScalar);
      if (!node.flow) node.items.forEach(inline);
    } else if (isMap(node)) {
      node.flow = node.items.every((item) => flat(item.value));
      if (!node.flow) for (const item of node.items) inline(item.value);
    }
  };
  const source = at(['sources', 0]);
  for (const pair of source.items as Pair<Scalar, unknown>[]) {
    const key = String(pair.key.value);
    if (key === 'fields' || key === 'contract')
      for (const item of (pair.value as YAMLMap).items) inline(item.value);
    else inline(pair.value);
  }
  explain(source, suggestion.keys, 4);
  explain(at(['sources', 0, 'fields']), suggestion.fields, 6);
  explain(at(['sources', 0, 'contract']), suggestion.contract, 6);
  document.commentBefore = comment(suggestion.head, 0);
  return document.toString({ lineWidth: 0 });
}
