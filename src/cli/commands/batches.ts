import path from 'node:path';
import type { Source } from '../../core/define/types.js';
import { acceptRename } from '../../services/accept-rename.js';
import { type BatchView, findBatch, listBatches, markBatch } from '../../services/batches.js';
import type { Project } from '../../services/project.js';
import { isPulled } from '../../services/pull.js';
import { type SourceStatus, sourceStatuses } from '../../services/status.js';
import type { Io } from '../io.js';
import { integer, known, pairs } from '../parse.js';
import { count, table } from '../table.js';
import { within } from '../within.js';
import { printRules } from './ingest.js';

type Options = Readonly<Record<string, unknown>>;

const sourceOf = (project: Project, name: string): Source =>
  project.definitions.sources.get(known(name, project.definitions.sources.keys(), 'source'))!;

const what = (batch: BatchView): string =>
  batch.reason ??
  [
    ...(batch.history?.findings ?? []).map(({ message }) => message),
    ...batch.schema_changes.map(({ message }) => message),
    ...(batch.verdict === 'broken' ? batch.warnings.map(({ message }) => message) : []),
  ].join('; ');

const shortened = (text: string): string => (text.length > 100 ? `${text.slice(0, 99)}…` : text);

export async function batchesList(io: Io, args: readonly string[], options: Options): Promise<number> {
  return within(io, async (project) => {
    const source = sourceOf(project, args[0]!);
    const batches = await listBatches(project, source, integer(options['limit'], '--limit') ?? 20);
    io.print(
      batches.length === 0
        ? `no batches of ${source.name} have come yet`
        : table(
            ['batch', 'at', 'rows', 'accepted', 'quarantined', 'duplicates', 'dropped', 'verdict', 'what'],
            batches.map((one) => [
              one.batch.slice(0, 8),
              one.at,
              one.rows,
              one.accepted,
              one.quarantined,
              one.duplicates,
              one.dropped,
              one.verdict,
              shortened(what(one)),
            ]),
          ),
    );
    io.result({ source: source.name, batches });
    return 0;
  });
}

/** Files that somebody delivered; what a query gave was in a file for a moment only. */
function filesOf(project: Project, { source, files }: BatchView): readonly string[] {
  const defined = project.definitions.sources.get(source);
  return defined && isPulled(defined) ? [] : files;
}

function printBatch(io: Io, project: Project, batch: BatchView): void {
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

export async function batchesShow(io: Io, args: readonly string[]): Promise<number> {
  return within(io, async (project) => {
    const batch = await findBatch(project, args[0]!);
    printBatch(io, project, batch);
    io.result(batch);
    return 0;
  });
}

const marking =
  (mark: 'expected' | 'incident' | null) =>
  (io: Io, args: readonly string[], options: Options): Promise<number> =>
    within(io, async (project) => {
      const reason = options['reason'] === undefined ? null : String(options['reason']);
      const batch = await markBatch(project, args[0]!, mark, reason);
      printBatch(io, project, batch);
      if (mark === 'expected' && batch.status === 'refused')
        io.note(`ingest it again: millrace ingest ${[batch.source, ...filesOf(project, batch)].join(' ')}`);
      io.result(batch);
      return 0;
    });

export const batchesAccept = marking('expected');
export const batchesIncident = marking('incident');
export const batchesReset = marking(null);

export async function accept(io: Io, args: readonly string[], options: Options): Promise<number> {
  return within(io, async (project) => {
    const source = sourceOf(project, args[0]!);
    const renames = pairs(options['rename'], '--rename');
    const written = await acceptRename(project.folder, source, renames);
    io.print(
      `${path.relative(process.cwd(), path.resolve(project.folder, written.file))}:${written.line}: ${written.text}`,
    );
    io.result(written);
    return 0;
  });
}

const age = (seconds: number | null): string =>
  seconds === null
    ? '-'
    : seconds < 120
      ? `${Math.round(seconds)} s`
      : seconds < 7200
        ? `${Math.round(seconds / 60)} min`
        : seconds < 172_800
          ? `${Math.round(seconds / 3600)} h`
          : `${Math.round(seconds / 86_400)} d`;

const percent = (share: number): string => `${Number((share * 100).toPrecision(5))} %`;

export async function status(io: Io, args: readonly string[]): Promise<number> {
  return within(io, async (project) => {
    const chosen = args[0] === undefined ? undefined : sourceOf(project, args[0]);
    const sources = await sourceStatuses(project, chosen ? [chosen] : undefined);
    io.print(
      table(
        ['source', 'records', 'newest', 'age', 'last batch', 'verdict', 'in quarantine'],
        sources.map((one) => [
          one.source,
          one.rows,
          one.available_at,
          age(one.age_seconds),
          one.last_batch?.at,
          one.last_batch?.verdict,
          one.quarantine_open,
        ]),
      ),
    );
    printLevels(io, sources);
    io.result({ sources });
    return 0;
  });
}

function printLevels(io: Io, sources: readonly SourceStatus[]): void {
  const levels = sources.flatMap((one) => one.levels.map((level) => ({ source: one.source, ...level })));
  if (levels.length === 0) return;
  io.print();
  io.print(
    table(
      ['source', 'level', 'promise', 'kept', 'budget left', 'burn 1h', 'burn 6h', 'now'],
      levels.map((level) => [
        level.source,
        level.level,
        level.objective,
        level.share === null ? '-' : `${percent(level.share)}${level.met ? '' : ' (missed)'}`,
        level.budget === null ? '-' : percent(level.budget),
        ...(['1h', '6h'] as const).map((window) => {
          const burn = level.burn.find((one) => one.window === window);
          return burn === undefined
            ? '-'
            : `${Number(burn.rate.toPrecision(3))}${burn.alert ? ' ALERT' : ''}`;
        }),
        level.available === null ? '-' : level.available ? 'available' : level.reason,
      ]),
    ),
  );
}
