import type { IngestResult } from '../../ports/record-log.js';
import type { Io } from '../io.js';
import { count } from './table.js';

/** What rules did to records, one rule a line. */
export function printRules(
  io: Io,
  result: Pick<IngestResult, 'repairs' | 'flags' | 'drops' | 'reasons'>,
): void {
  const done = [
    ['repaired', result.repairs],
    ['flagged', result.flags],
    ['dropped', result.drops],
    ['quarantined', result.reasons],
  ] as const;
  for (const [what, rules] of done)
    for (const [rule, rows] of Object.entries(rules)) io.print(`  ${what} by ${rule}: ${count(rows)}`);
}

export function printIngest(io: Io, result: IngestResult, taken = true): void {
  io.print(
    `${result.source}: ${count(result.rows)} rows in = ${count(result.accepted)} accepted + ${count(result.quarantined)} quarantined + ${count(result.duplicates)} duplicates + ${count(result.dropped)} dropped${result.corrections > 0 ? ` (${count(result.corrections)} corrections)` : ''}`,
  );
  printRules(io, result);
  for (const warning of result.warnings) io.warn(`${result.source}: [${warning.rule}] ${warning.message}`);
  if (!taken) return;
  if (result.quarantined > 0) io.note(`see them: millrace quarantine show --source ${result.source}`);
  if (result.repaired > 0) io.note(`see what was changed: millrace quarantine repairs ${result.source}`);
}
