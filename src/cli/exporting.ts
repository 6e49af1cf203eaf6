import path from 'node:path';
import { MillraceError } from '../core/base/error.js';
import { parseDuration } from '../core/base/time.js';
import type { Orchestrator } from '../core/plan/export-graph.js';
import { writeNew } from '../services/contract.js';
import { exportedHash, exportProject, presentText } from '../services/export.js';
import { loadValidProject } from '../services/load-project.js';
import type { Command } from './command.js';
import { integer, list } from './parse.js';
import { count } from './print/table.js';

function retryDelay(value: unknown): number {
  const delay = parseDuration(String(value));
  if (delay === undefined)
    throw new MillraceError('USAGE', `--retry-delay is "${String(value)}", which is no duration`, {
      hint: 'For example 30s or 5m.',
    });
  return delay;
}

function cron(value: unknown): string | null {
  if (value === undefined) return null;
  const text = String(value).trim().replaceAll(/\s+/g, ' ');
  if (text.split(' ').length !== 5)
    throw new MillraceError('USAGE', `--schedule "${String(value)}" has not the five fields of cron`, {
      hint: 'For example "0 6 * * *": at six every day, in the time zone of the project.',
    });
  return text;
}

/** Writes, or checks, the file of the project for an orchestrator; it opens no project, only the definitions. */
export const exporting =
  (target: Orchestrator): Command =>
  async (io, _args, options) => {
    const { definitions, root } = await loadValidProject(io.projectFolder);
    const file = path.resolve(String(options['out']));
    const { text, graph } = exportProject(definitions, target, root, file, {
      select: list(options['select']),
      schedule: cron(options['schedule']),
      retries: integer(options['retries'], '--retries')!,
      retryDelay: retryDelay(options['retryDelay']),
      pool: options['pool'] === undefined ? null : String(options['pool']),
    });
    const shown = path.relative(process.cwd(), file);
    const present = await presentText(file);
    const result = {
      target,
      file,
      hash: graph.hash,
      assets: graph.assets.map(({ id, parents }) => ({ asset: id, parents })),
      current: present === text,
    };
    if (options['check'] === true) {
      if (present === text) {
        io.print(`${shown} is current`);
        io.result(result);
        return 0;
      }
      const found = present === null ? null : exportedHash(present);
      return io.refuse(
        new MillraceError(
          'EXPORT_STALE',
          present === null
            ? `${shown} is not there`
            : found === graph.hash
              ? `${shown} is not what millrace writes: it was edited, or written by another version`
              : `${shown} was written for another graph (${found?.slice(0, 12) ?? 'no hash'}, now ${graph.hash.slice(0, 12)})`,
        ),
        result,
      );
    }
    if (present !== null && exportedHash(present) === null && options['force'] !== true)
      throw new MillraceError('USAGE', `${shown} is there and was not written by millrace export`, {
        hint: 'Give another file, or --force to write over it.',
      });
    if (present !== text) await writeNew(new Map([[file, text]]), true);
    io.print(
      `${present === text ? 'unchanged' : 'wrote'} ${shown}: ${count(graph.assets.length)} assets for ${target}`,
    );
    io.result(result);
    return 0;
  };
