/** DuckDB's spellings that the library does not read, in others that it does; they mean the same. */

/** Texts, quoted names and comments stay as they are; then what is rewritten. */
const PART =
  /([eE]?'(?:[^']|'')*'|"(?:[^"]|"")*"|\$(\w*)\$[\s\S]*?\$\2\$|--[^\n]*|\/\*[\s\S]*?\*\/)|\/\/|\b(TABLESAMPLE)(\s+)(\d+(?:\.\d+)?)\s*(%|PERCENT\b|ROWS\b)/gi;

export const rewrite = (sql: string): string =>
  sql.replaceAll(
    PART,
    (
      found: string,
      kept: string | undefined,
      _tag: string | undefined,
      sample: string | undefined,
      space: string,
      size: string,
      unit: string,
    ) => {
      if (kept !== undefined) return kept;
      if (sample === undefined) return found === '//' ? ' DIV ' : found;
      return `${sample}${space}(${size} ${unit === '%' ? 'PERCENT' : unit})`;
    },
  );
