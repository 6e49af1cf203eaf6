import { MillraceError } from '../core/base/error.js';
import type { MarkFilter, QuarantineFilter } from '../ports/record-log.js';
import { findBatch } from '../services/batches.js';
import type { Project } from '../services/project.js';
import type { Options } from './command.js';
import { integer, known } from './parse.js';

const STATUSES = ['open', 'replayed', 'dropped'] as const;

/** Rows by id, source, rule, batch and status. */
export async function filterOf(
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

export const markFilter = (options: Options): MarkFilter => ({
  ...(options['rule'] === undefined ? {} : { rule: String(options['rule']) }),
  limit: integer(options['limit'], '--limit') ?? 20,
});
