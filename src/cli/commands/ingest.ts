import path from 'node:path';
import { MillraceError } from '../../core/base/error.js';
import { toJson } from '../../core/schema/coerce-print.js';
import type { IngestResult } from '../../ports/record-log.js';
import { markFiles } from '../../services/file-marks.js';
import { ingestFiles, replayQuarantine } from '../../services/ingest.js';
import type { Project } from '../../services/project.js';
import { runTransform } from '../../services/transform.js';
import type { Io } from '../io.js';
import { integer, known } from '../parse.js';
import { count, table } from '../table.js';
import { within } from '../within.js';

type Options = Readonly<Record<string, unknown>>;

export function printIngest(io: Io, result: IngestResult): void {
  io.print(
    `${result.source}: ${count(result.rows)} rows in = ${count(result.accepted)} accepted + ${count(result.quarantined)} quarantined + ${count(result.duplicates)} duplicates + ${count(result.dropped)} dropped${result.corrections > 0 ? ` (${count(result.corrections)} corrections)` : ''}`,
  );
  for (const [rule, rows] of Object.entries(result.repairs))
    io.print(`  repaired by ${rule}: ${count(rows)}`);
  for (const [rule, rows] of Object.entries(result.reasons))
    io.print(`  quarantined by ${rule}: ${count(rows)}`);
  for (const warning of result.warnings) io.warn(`${result.source}: [${warning.rule}] ${warning.message}`);
  if (result.quarantined > 0) io.note(`see them: millrace quarantine show --source ${result.source}`);
  if (result.repaired > 0) io.note(`see what was changed: millrace quarantine repairs ${result.source}`);
}

export async function ingest(io: Io, args: readonly string[]): Promise<number> {
  return within(io, async (project) => {
    const name = args[0]!;
    const source = project.definitions.sources.get(
      known(name, project.definitions.sources.keys(), 'source'),
    )!;
    await project.lockForWriting(io.command);
    if (source.read.kind === 'transform') {
      const result = await runTransform(project, name);
      printIngest(io, result);
      io.result(result);
      return result.accepted > 0 ? 0 : 99;
    }
    const given = args.slice(1).map((file) => path.resolve(file));
    const log = await project.log();
    const files = given.length > 0 ? given : log.expand(source);
    if (files.length === 0)
      throw new MillraceError('USAGE', `source ${name} has no files of its own`, {
        hint: `Name files: millrace ingest ${name} FILE...`,
      });
    const result = await ingestFiles(project, source, files);
    if (given.length === 0) await markFiles(project, source, files);
    printIngest(io, result);
    io.result(result);
    return 0;
  });
}

export async function quarantineList(io: Io, _args: readonly string[], options: Options): Promise<number> {
  return within(io, async (project) => {
    const log = await project.log();
    const rows = await log.quarantine(filterOf(project, options));
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

const filterOf = (project: Project, options: Options): { source?: string } =>
  options['source'] === undefined
    ? {}
    : { source: known(String(options['source']), project.definitions.sources.keys(), 'source') };

export async function quarantineShow(io: Io, args: readonly string[], options: Options): Promise<number> {
  return within(io, async (project) => {
    const log = await project.log();
    const id = integer(args[0], 'id');
    const limit = integer(options['limit'], '--limit') ?? 20;
    const all = await log.quarantine(filterOf(project, options));
    const rows = id === undefined ? all.slice(0, limit) : all.filter((row) => row.id === id);
    if (id !== undefined && rows.length === 0)
      throw new MillraceError('UNKNOWN_NAME', `there is no quarantined row ${id}`, {
        hint: 'See `millrace quarantine list`.',
      });
    for (const row of rows) {
      io.print(`#${row.id} ${row.source} ${row.file ?? 'pushed'}:${row.line} (${row.status})`);
      for (const reason of row.reasons)
        io.print(
          `    [${reason.rule}]${reason.field ? ` ${reason.field} = ${JSON.stringify(reason.value)}` : ''}: ${reason.message}`,
        );
      io.print(`    ${JSON.stringify(row.row)}`);
    }
    if (id === undefined && all.length > rows.length)
      io.note(`${all.length - rows.length} more; --limit shows them`);
    io.result({ total: all.length, rows });
    return 0;
  });
}

/** What rules changed in the records of a source, newest first. */
export async function quarantineRepairs(io: Io, args: readonly string[], options: Options): Promise<number> {
  return within(io, async (project) => {
    const source = project.definitions.sources.get(
      known(args[0]!, project.definitions.sources.keys(), 'source'),
    )!;
    const log = await project.log();
    const limit = integer(options['limit'], '--limit') ?? 20;
    const rule = options['rule'] === undefined ? {} : { rule: String(options['rule']) };
    const repairs = (await log.repairs(source, { ...rule, limit })).map((repair) => {
      const { type } = source.fields.find((field) => field.name === repair.field)!;
      const key = repair.recordKey.map((value, i) =>
        toJson(source.fields.find((field) => field.name === source.recordKey[i])!.type, value),
      );
      return {
        seq: repair.seq,
        record_key: key,
        field: repair.field,
        original: toJson(type, repair.original),
        repaired: toJson(type, repair.repaired),
        rule: repair.rule,
        contract: repair.contract,
      };
    });
    io.print(
      repairs.length === 0
        ? `no rule changed a record of ${source.name}`
        : table(
            ['seq', 'record', 'field', 'delivered', 'became', 'rule', 'contract'],
            repairs.map((repair) => [
              repair.seq,
              repair.record_key.map((part) => JSON.stringify(part)).join(', '),
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

export async function quarantineReplay(io: Io, _args: readonly string[], options: Options): Promise<number> {
  return within(io, async (project) => {
    await project.lockForWriting(io.command);
    const results = await replayQuarantine(project, filterOf(project, options));
    if (results.length === 0) io.print('nothing is open in quarantine');
    for (const result of results)
      io.print(
        `${result.source}: ${count(result.rows)} rows fed again = ${count(result.accepted)} accepted + ${count(result.quarantined)} still quarantined + ${count(result.duplicates)} duplicates + ${count(result.dropped)} dropped`,
      );
    io.result({ results });
    return results.length === 0 ? 99 : 0;
  });
}
