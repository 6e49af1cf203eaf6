import { MillraceError } from '../../core/base/error.js';
import type { Source } from '../../core/define/types.js';
import type { MarkFilter, QuarantineFilter } from '../../ports/record-log.js';
import { findBatch } from '../../services/batches.js';
import { dropQuarantined, listQuarantined, replayQuarantine } from '../../services/ingest.js';
import { listFlagged, listRepairs } from '../../services/marked-records.js';
import type { Project } from '../../services/project.js';
import { isPulled } from '../../services/pull.js';
import type { Io } from '../io.js';
import { integer, known } from '../parse.js';
import { count, table } from '../table.js';
import { within } from '../within.js';

type Options = Readonly<Record<string, unknown>>;

export async function quarantineList(io: Io, args: readonly string[], options: Options): Promise<number> {
  return within(io, async (project) => {
    const log = await project.log();
    const rows = await log.quarantine(await filterOf(project, args, options));
    const groups = new Map<
      string,
      { source: string; rule: string; status: string; rows: number; example: string }
    >();
    for (const row of rows)
      for (const reason of row.reasons) {
        const key = `${row.source}\n${reason.rule}\n${row.status}`;
        const group = groups.get(key);
        if (group) group.rows++;
        else
          groups.set(key, {
            source: row.source,
            rule: reason.rule,
            status: row.status,
            rows: 1,
            example: reason.message,
          });
      }
    const list = [...groups.values()];
    io.print(
      list.length === 0
        ? 'nothing is in quarantine'
        : table(
            ['source', 'rule', 'status', 'rows', 'for example'],
            list.map((item) => [item.source, item.rule, item.status, item.rows, item.example]),
          ),
    );
    io.result({ rows: rows.length, groups: list });
    return 0;
  });
}

const STATUSES = ['open', 'replayed', 'dropped'] as const;

/** Rows by id, source, rule, batch and status. */
async function filterOf(
  project: Project,
  args: readonly string[],
  options: Options,
): Promise<QuarantineFilter> {
  const ids = args.map((arg) => integer(arg, 'id')!);
  const status = STATUSES.find((one) => one === options['status']);
  if (options['status'] !== undefined && status === undefined)
    throw new MillraceError('USAGE', `--status is "${String(options['status'])}"`, {
      hint: `Give ${STATUSES.join(', ')}.`,
    });
  return {
    ...(ids.length === 0 ? {} : { ids }),
    ...(options['source'] === undefined
      ? {}
      : { source: known(String(options['source']), project.definitions.sources.keys(), 'source') }),
    ...(options['rule'] === undefined ? {} : { rule: String(options['rule']) }),
    ...(options['batch'] === undefined
      ? {}
      : { batch: (await findBatch(project, String(options['batch']))).batch }),
    ...(status === undefined ? {} : { status }),
  };
}

export async function quarantineShow(io: Io, args: readonly string[], options: Options): Promise<number> {
  return within(io, async (project) => {
    const limit = args.length > 0 ? args.length : (integer(options['limit'], '--limit') ?? 20);
    const filter = await filterOf(project, args, options);
    const { total, rows } = await listQuarantined(project, filter, limit);
    const lacking = filter.ids?.find((id) => !rows.some((row) => row.id === id));
    if (lacking !== undefined)
      throw new MillraceError('UNKNOWN_NAME', `there is no quarantined row ${lacking}`, {
        hint: 'See `millrace quarantine list`.',
      });
    for (const row of rows) {
      const source = project.definitions.sources.get(row.source);
      const where =
        source && isPulled(source) ? `row ${row.line} of its query` : `${row.file ?? 'pushed'}:${row.line}`;
      io.print(`#${row.id} ${row.source} ${where} (${row.status})`);
      if (row.note !== null) io.print(`    dropped because: ${row.note}`);
      for (const reason of row.reasons)
        io.print(
          `    [${reason.rule}]${reason.field ? ` ${reason.field} = ${JSON.stringify(reason.value)}` : ''}: ${reason.message}`,
        );
      io.print(`    ${JSON.stringify(row.row)}`);
    }
    if (total > rows.length) io.note(`${total - rows.length} more; --limit shows them`);
    io.result({ total, rows });
    return 0;
  });
}

const markFilter = (options: Options): MarkFilter => ({
  ...(options['rule'] === undefined ? {} : { rule: String(options['rule']) }),
  limit: integer(options['limit'], '--limit') ?? 20,
});

const knownSource = (project: Project, name: string | undefined): Source =>
  project.definitions.sources.get(known(name!, project.definitions.sources.keys(), 'source'))!;

const printKey = (key: readonly unknown[]): string => key.map((part) => JSON.stringify(part)).join(', ');

/** What rules changed in the records of a source, newest first. */
export async function quarantineRepairs(io: Io, args: readonly string[], options: Options): Promise<number> {
  return within(io, async (project) => {
    const source = knownSource(project, args[0]);
    const repairs = await listRepairs(project, source, markFilter(options));
    io.print(
      repairs.length === 0
        ? `no rule changed a record of ${source.name}`
        : table(
            ['seq', 'record', 'field', 'delivered', 'became', 'rule', 'contract'],
            repairs.map((repair) => [
              repair.seq,
              printKey(repair.record_key),
              repair.field,
              JSON.stringify(repair.original),
              JSON.stringify(repair.repaired),
              repair.rule,
              repair.contract.slice(0, 12),
            ]),
          ),
    );
    io.result({ source: source.name, repairs });
    return 0;
  });
}

/** Records of a source that were let in with a remark, newest first. */
export async function quarantineFlagged(io: Io, args: readonly string[], options: Options): Promise<number> {
  return within(io, async (project) => {
    const source = knownSource(project, args[0]);
    const flagged = await listFlagged(project, source, markFilter(options));
    io.print(
      flagged.length === 0
        ? `no record of ${source.name} carries ${options['rule'] === undefined ? 'a flag' : `the flag ${String(options['rule'])}`}`
        : table(
            ['seq', 'event time', 'flags', 'record'],
            flagged.map(({ seq, event_time, flags, record }) => [
              seq,
              event_time,
              flags.join(', '),
              JSON.stringify(record),
            ]),
          ),
    );
    io.result({ source: source.name, flagged });
    return 0;
  });
}

export async function quarantineReplay(io: Io, args: readonly string[], options: Options): Promise<number> {
  return within(io, async (project) => {
    await project.lockForWriting(io.command);
    const results = await replayQuarantine(project, await filterOf(project, args, options));
    if (results.length === 0) io.print('nothing is open in quarantine');
    for (const result of results) {
      io.print(
        `${result.source}: ${count(result.rows)} rows fed again = ${count(result.accepted)} accepted + ${count(result.quarantined)} still quarantined + ${count(result.duplicates)} duplicates + ${count(result.dropped)} dropped`,
      );
      for (const [what, byRule] of [
        ['still quarantined', result.reasons],
        ['dropped', result.drops],
        ['repaired', result.repairs],
        ['flagged', result.flags],
      ] as const)
        for (const [rule, rows] of Object.entries(byRule)) io.print(`  ${what} by ${rule}: ${count(rows)}`);
    }
    io.result({ results });
    return results.length === 0 ? 99 : 0;
  });
}

export async function quarantineDrop(io: Io, args: readonly string[], options: Options): Promise<number> {
  return within(io, async (project) => {
    await project.lockForWriting(io.command);
    const filter = await filterOf(project, args, options);
    if (Object.keys(filter).length === 0)
      throw new MillraceError('USAGE', 'nothing says which rows to drop', {
        hint: 'Give ids, --source, --rule or --batch.',
      });
    const dropped = await dropQuarantined(project, filter, String(options['reason']));
    io.print(dropped === 0 ? 'nothing of that is open in quarantine' : `${count(dropped)} rows dropped`);
    io.result({ dropped });
    return dropped === 0 ? 99 : 0;
  });
}
