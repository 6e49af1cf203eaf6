import { MillraceError } from '../../../core/base/error.js';
import { AT_COLUMN, type PartRule, PLACE_COLUMN } from '../../../core/dataset/split.js';
import type { TableFile } from '../../../ports/offline-store.js';
import { quoteName, quoteText } from '../text.js';

const FORMATS: Readonly<Record<string, string>> = {
  csv: 'csv',
  tsv: 'csv',
  parquet: 'parquet',
  json: 'json',
  ndjson: 'json',
  jsonl: 'json',
};

function readerSql(file: string): string {
  const extension = file
    .replace(/\.(gz|zst)$/i, '')
    .split('.')
    .pop()!
    .toLowerCase();
  const format = FORMATS[extension];
  const name = quoteText(file);
  if (format === 'csv')
    return `read_csv(${name}, all_varchar = true, header = true, allow_quoted_nulls = false, delim = ${extension === 'tsv' ? "'\t'" : "','"}, quote = '"', escape = '"', strict_mode = true)`;
  if (format === 'parquet') return `read_parquet(${name})`;
  if (format === 'json') return `read_json_auto(${name})`;
  throw new MillraceError('FORMAT_UNKNOWN', `cannot tell the format of "${file}"`, {
    place: { file },
    hint: 'Name it .csv, .parquet, .json or .ndjson (.gz and .zst may follow).',
  });
}

/** Rows of a file or of partitions as a relation of SQL. */
export function tableSql(file: TableFile, { raw }: { readonly raw?: boolean } = {}): string {
  if (typeof file === 'string') return readerSql(file);
  const list = `[${file.files.map(quoteText).join(', ')}]`;
  const part = partSql(file.rule);
  const columns = raw
    ? '*'
    : `* EXCLUDE (${quoteName(AT_COLUMN)}, ${quoteName(PLACE_COLUMN)}), ${part} AS part`;
  return `(SELECT ${columns} FROM read_parquet(${list})${raw ? '' : ` WHERE ${part} IS NOT NULL`})`;
}

/** `partIndex` in SQL: the name of the part, null for none. */
function partSql(rule: PartRule): string {
  const name = (part: { readonly name: string }): string => quoteText(part.name);
  if (rule.by === 'all') return name(rule.parts[0]!);
  const last = name(rule.parts.at(-1)!);
  if (rule.by === 'place') {
    const cases = rule.parts
      .slice(0, -1)
      .map((part, i) => `WHEN ${quoteName(PLACE_COLUMN)} < ${rule.parts[i]!.below} THEN ${name(part)}`);
    return cases.length === 0 ? last : `CASE ${cases.join(' ')} ELSE ${last} END`;
  }
  const at = quoteName(AT_COLUMN);
  const cases = rule.parts
    .slice(0, -1)
    .map((part) =>
      part.until === null
        ? `WHEN true THEN ${name(part)}`
        : `WHEN ${at} < ${part.until} THEN CASE WHEN ${at} + ${rule.horizon} > ${part.until} THEN NULL ELSE ${name(part)} END`,
    );
  return cases.length === 0 ? last : `CASE ${cases.join(' ')} ELSE ${last} END`;
}
