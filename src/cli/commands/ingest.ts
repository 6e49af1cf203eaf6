import path from 'node:path';
import { MillraceError } from '../../core/base/error.js';
import { parseDuration } from '../../core/base/time.js';
import type { Source } from '../../core/define/types.js';
import { checkFiles, ingestFiles } from '../../services/ingest.js';
import type { Project } from '../../services/project.js';
import { readSource } from '../../services/read-source.js';
import { failureText, watchSource } from '../../services/watch.js';
import { inProject } from '../in-project.js';
import type { Io } from '../io.js';
import { known } from '../parse.js';
import { printIngest } from '../print/ingest.js';
import { table } from '../print/table.js';

export const command = inProject(async (project, io, args, options) => {
  const name = args[0]!;
  const source = project.definitions.sources.get(known(name, project.definitions.sources.keys(), 'source'))!;
  if (options['dryRun'] === true) return dryRun(io, project, source, args.slice(1), options);
  await project.lockForWriting(io.command);
  if (options['watch'] === true) return watch(io, project, source, options['every'] as string | undefined);
  const given = args.slice(1).map((file) => path.resolve(file));
  if (given.length > 0 && source.read.kind === 'transform')
    throw new MillraceError('USAGE', `source ${name} is computed from ${source.read.parents.join(', ')}`, {
      hint: `Ingest its parents, or bring it up to date without files: millrace ingest ${name}`,
    });
  const result =
    given.length > 0 ? await ingestFiles(project, source, given) : await readSource(project, source);
  if (result === null) {
    io.print(`${name}: nothing new`);
    io.result({ source: name, rows: 0 });
    return 99;
  }
  if (source.read.kind === 'transform' && result.accepted === 0) {
    printIngest(io, result);
    io.result(result);
    return 99;
  }
  printIngest(io, result);
  io.result(result);
  return 0;
});

/** The verdict on files without taking them in. */
async function dryRun(
  io: Io,
  project: Project,
  source: Source,
  given: readonly string[],
  options: Readonly<Record<string, unknown>>,
): Promise<number> {
  const show = Number(options['show']);
  if (!Number.isInteger(show) || show < 0)
    throw new MillraceError('USAGE', `--show is "${String(options['show'])}", expected a whole number`);
  const files =
    given.length > 0 ? given.map((file) => path.resolve(file)) : (await project.log()).expand(source);
  if (files.length === 0)
    throw new MillraceError('USAGE', `source ${source.name} has no files of its own`, {
      hint: `Name files: millrace ingest ${source.name} FILE... --dry-run`,
    });
  const verdict = await checkFiles(project, source, files, show);
  printIngest(io, verdict, false);
  if (verdict.refused.length > 0)
    io.print(
      table(
        ['file', 'line', 'rule', 'message'],
        verdict.refused.flatMap(({ file, line, reasons }) =>
          reasons.map(({ rule, message }) => [path.basename(file ?? ''), line, rule, message]),
        ),
      ),
    );
  io.print('nothing was written');
  io.result({ ...verdict, dry_run: true });
  return 0;
}

const EVERY = '2s';

/** Until Ctrl-C: every file that is whole, every query, as they come. */
async function watch(io: Io, project: Project, source: Source, every = EVERY): Promise<number> {
  const micros = parseDuration(every);
  if (micros === undefined || micros < 100_000)
    throw new MillraceError('USAGE', `--every ${every} is no duration of at least 0.1 s`, {
      hint: 'Write it as 2s, 1m, 1h.',
    });
  if (source.read.kind === 'push' || source.read.kind === 'transform')
    throw new MillraceError('USAGE', `source ${source.name} has no files and no query to look at`);
  io.note(`watching ${source.name}; Ctrl-C stops`);
  let batches = 0;
  await watchSource(
    project,
    source,
    {
      onResult: (_source, result) => {
        batches++;
        printIngest(io, result);
      },
      onFailure: (_source, error) => io.warn(failureText(error)),
    },
    { everyMs: micros / 1000, signal: io.signal },
  );
  io.result({ source: source.name, batches });
  return 130;
}
