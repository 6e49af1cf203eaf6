import path from 'node:path';
import type { BatchView } from '../../services/batches.js';
import type { Project } from '../../services/project.js';
import { isPulled } from '../../services/pull-mark.js';
import type { Io } from '../io.js';
import { printRules } from './ingest.js';
import { count } from './table.js';

/** Files that somebody delivered; what a query gave was in a file for a moment only. */
export function filesOf(project: Project, { source, files }: BatchView): readonly string[] {
  const defined = project.definitions.sources.get(source);
  return defined && isPulled(defined) ? [] : files;
}

export function printBatch(io: Io, project: Project, batch: BatchView): void {
  const { rows, accepted, quarantined, duplicates, dropped } = batch;
  const refused = rows - accepted - quarantined - duplicates - dropped;
  io.print(`batch ${batch.batch} of ${batch.source}, ${batch.at}: ${batch.verdict}`);
  io.print(
    `${count(rows)} rows in = ${count(accepted)} accepted + ${count(quarantined)} quarantined + ${count(duplicates)} duplicates + ${count(dropped)} dropped${refused > 0 ? ` + ${count(refused)} refused with the batch` : ''}`,
  );
  for (const file of filesOf(project, batch)) io.print(`  file ${path.relative(process.cwd(), file)}`);
  if (batch.reason !== null) io.print(`  refused: ${batch.reason}`);
  if (batch.mark)
    io.print(
      `  marked as ${batch.mark.mark} ${batch.mark.at}${batch.mark.reason === null ? '' : `: ${batch.mark.reason}`}`,
    );
  printRules(io, batch);
  for (const { rule, message } of batch.warnings) io.print(`  warning ${rule}: ${message}`);
  for (const { kind, action, message } of batch.schema_changes)
    io.print(`  schema ${kind} (${action}): ${message}`);
  if (batch.history) {
    io.print(`  history: held against ${batch.history.batches} batches`);
    for (const finding of batch.history.findings)
      io.print(`    [${finding.severity}] ${finding.id}: ${finding.message}`);
  }
}
