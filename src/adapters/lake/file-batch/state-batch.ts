/**
 * A batch that is a state, as a transform's output is: what is known in the end must be what the batch says. A row that
 * says what its record already is is a repetition; one that returns to an earlier value is a new version; a record that
 * the batch no longer has is taken back. Nothing becomes known before what it replaces.
 */
import type { Instant } from '../../../core/base/time.js';
import type { Source } from '../../../core/define/types.js';
import type { StateScope } from '../../../ports/record-log.js';
import { quoteName, quoteText } from '../../duckdb/text.js';
import { contentColumns } from '../shape.js';
import { POSITION } from '../stage.js';

/** Stands in `_file` of tombstones: after every file. */
export const RETRACTED = 1_000_000;

interface Parts {
  /** SELECT of `_row`, the staged columns and `_order`, of the rows that may be accepted. */
  readonly batch: string;
  /** SELECT over the log, with what was delivered. */
  readonly relation: string;
  /** Rows of the log as they stand: what is taken back. */
  readonly log: string;
}

const columnsOf = (source: Source): { keys: string[]; content: string[] } => ({
  keys: source.recordKey.map(quoteName),
  content: contentColumns(source)
    .filter((name) => name !== '_available_at' && name !== '_deleted')
    .map(quoteName),
});

const same = (
  left: string,
  right: string,
  names: readonly string[],
  operator = 'IS NOT DISTINCT FROM',
): string => names.map((name) => `${left}.${name} ${operator} ${right}.${name}`).join(' AND ');

const LATEST = '"_available_at" DESC, "_order" DESC, "_seq" DESC';

/** Rows of the batch that say again what another of them says: all that there is to leave out where the log is empty. */
export function copiesSql(source: Source, batch: string): string {
  const { keys, content } = columnsOf(source);
  const latestFirst =
    source.sequence === undefined ? '"_row" DESC' : 'coalesce("_order", "_row") DESC, "_row" DESC';
  return (
    `SELECT "_row" FROM (SELECT b."_row", row_number() OVER (PARTITION BY ${[...keys, ...content].join(', ')}, b."_available_at" ORDER BY ${latestFirst}) AS copy` +
    ` FROM ${batch} b) WHERE copy > 1`
  );
}

/**
 * Statements that decide about the staged rows: `excluded` gains the repetitions, `staged` the instants that rows may be
 * known from, and, for records taken back, tombstones with `_file` RETRACTED.
 */
export function settleStateSql(source: Source, parts: Parts, scope: StateScope): readonly string[] {
  const { keys, content } = columnsOf(source);
  const list = keys.join(', ');
  const fields = source.fields.map((field) => quoteName(field.name)).join(', ');
  const last =
    'CREATE OR REPLACE TEMP TABLE state_last AS' +
    ` SELECT * FROM (${parts.relation}) l SEMI JOIN ${parts.batch} b ON ${same('l', 'b', keys, '=')}` +
    ` QUALIFY row_number() OVER (PARTITION BY ${list} ORDER BY ${LATEST}) = 1`;
  // Of several rows with one key, the last is the state; the others are its history.
  const judged =
    'CREATE OR REPLACE TEMP TABLE state_rows AS' +
    ` SELECT b."_row", b."_available_at" AS declared, l."_available_at" AS before,` +
    ` row_number() OVER (PARTITION BY ${keys.map((name) => `b.${name}`).join(', ')} ORDER BY b."_available_at" DESC, ${
      source.sequence === undefined ? 'b."_row"' : 'coalesce(b."_order", b."_row")'
    } DESC, b."_row" DESC) = 1 AS final,` +
    ` (l."_seq" IS NOT NULL AND NOT l."_deleted" AND ${same('l', 'b', content)}) AS again,` +
    ` l."_seq" IS NOT NULL AND l."_deleted" AS gone,` +
    ` EXISTS (SELECT 1 FROM (${parts.relation}) e WHERE NOT e."_deleted" AND ${same('e', 'b', keys, '=')} AND ${same('e', 'b', content)}` +
    ' AND e."_available_at" = b."_available_at") AS known' +
    ` FROM ${parts.batch} b LEFT JOIN state_last l ON ${same('l', 'b', keys, '=')}`;
  const later = source.availableAt.kind === 'append' ? '' : ' AND declared <= before';
  const repetition = `CASE WHEN final THEN again${later} ELSE known END`;
  const statements = [
    last,
    judged,
    `INSERT INTO excluded SELECT "_row" FROM state_rows WHERE ${repetition}`,
    `INSERT INTO excluded ${copiesSql(source, parts.batch)}`,
    // What returns, or differs from a version known later, is known from then on.
    'UPDATE staged SET "_available_at" = greatest(staged."_available_at", s.before, CASE WHEN s.gone THEN ' +
      `${instant(scope.knowledge)} ELSE s.before END) FROM state_rows s` +
      ` WHERE ${POSITION} = s."_row" AND s.final AND NOT s.again AND s.before IS NOT NULL`,
  ];
  if (!scope.retract) return statements;
  const touched =
    scope.within === null
      ? ''
      : ` SEMI JOIN read_parquet(${quoteText(scope.within)}) w ON ${same('l', 'w', keys, '=')}`;
  const order = source.sequence === undefined ? 'NULL' : '"_order"';
  statements.push(
    `INSERT INTO staged ("_file", "_line", ${fields}, "_event_time", "_available_at", "_deleted", "_declared_order")` +
      ` SELECT ${RETRACTED}, row_number() OVER (ORDER BY "_seq"), ${fields}, "_event_time", greatest("_available_at", ${instant(scope.knowledge)}), true, ${order} FROM` +
      ` (SELECT * FROM (${parts.log}) l${touched} QUALIFY row_number() OVER (PARTITION BY ${keys.map((name) => `l.${name}`).join(', ')} ORDER BY ${LATEST}) = 1) l` +
      ` ANTI JOIN (SELECT ${list} FROM staged) s ON ${same('l', 's', keys, '=')} WHERE NOT l."_deleted" ORDER BY "_seq"`,
  );
  return statements;
}

const instant = (at: Instant): string => `CAST(${at} AS BIGINT)`;
