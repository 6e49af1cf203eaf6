import path from 'node:path';
import { MillraceError } from '../../core/base/error.js';
import { printInstant, printOptionalInstant } from '../../core/base/time.js';
import type { Source } from '../../core/define/types.js';
import { CHANGE_CLASSES } from '../../core/quality/contract-diff.js';
import { contractFingerprint, snapshotOf } from '../../core/quality/contract-snapshot.js';
import { withFileInspector } from '../../open.js';
import {
  compareContracts,
  exportContract,
  importContract,
  printNote,
  writeImported,
  writeNew,
} from '../../services/contract.js';
import { pendingContracts } from '../../services/pending-contracts.js';
import type { Project } from '../../services/project.js';
import { suggestContract } from '../../services/suggest-contract.js';
import { printChanges } from '../changes.js';
import type { Io } from '../io.js';
import { known } from '../parse.js';
import { count, table } from '../table.js';
import { within } from '../within.js';

type Options = Readonly<Record<string, unknown>>;

const sourceOf = (project: Project, name: string): Source =>
  project.definitions.sources.get(known(name, project.definitions.sources.keys(), 'source'))!;

export async function contractExport(io: Io, args: readonly string[], options: Options): Promise<number> {
  return within(io, async (project) => {
    const source = sourceOf(project, args[0]!);
    const out = options['out'] === undefined ? undefined : path.resolve(String(options['out']));
    const { document, text, base } = await exportContract(project, source, out);
    if (base !== null)
      io.note(`kept from ${path.relative(process.cwd(), base)}: what the definition does not speak of`);
    if (out === undefined) io.print(text.trimEnd());
    else {
      await writeNew(new Map([[out, text]]), true);
      io.print(
        `wrote ${path.relative(process.cwd(), out)}: ${source.name} ${String(document['version'])}, Open Data Contract Standard ${String(document['apiVersion'])}`,
      );
    }
    io.result({ source: source.name, version: document['version'], file: out ?? null, document });
    return 0;
  });
}

export async function contractImport(io: Io, args: readonly string[], options: Options): Promise<number> {
  const file = path.resolve(args[0]!);
  const imported = await importContract(file);
  for (const note of imported.notes) io.note(printNote(path.relative(process.cwd(), file), note));
  let written: readonly string[] = [];
  if (options['out'] === undefined) io.print(imported.text.trimEnd());
  else {
    const out = path.resolve(String(options['out']));
    written = await writeImported(path.resolve(io.projectFolder), imported, out, options['force'] === true);
    for (const name of written) io.print(`wrote ${path.relative(process.cwd(), name)}`);
    io.print(
      `${imported.sources.join(', ')}: ${imported.notes.length === 0 ? 'everything was taken over' : `${imported.notes.length} notes above and in the file`}; run \`millrace check\``,
    );
  }
  io.result({ sources: imported.sources, notes: imported.notes, files: written, definition: imported.text });
  return 0;
}

export async function contractDiff(io: Io, args: readonly string[], options: Options): Promise<number> {
  const limit = options['failOn'] === undefined ? undefined : String(options['failOn']);
  const classes: readonly string[] = CHANGE_CLASSES;
  if (limit !== undefined && !classes.includes(limit))
    throw new MillraceError('USAGE', `--fail-on is "${limit}"`, {
      hint: `Give ${CHANGE_CLASSES.join(', ')}.`,
    });
  return within(io, async (project) => {
    const diff = await compareContracts(project, sourceOf(project, args[0]!), args[1], args[2]);
    if (diff.class === null) io.print(`${diff.source}: ${diff.to} is the contract of ${diff.from}`);
    else {
      io.print(
        `${diff.source}: from ${diff.from} to ${diff.to}: ${diff.class}${diff.suggested === null ? '' : `, as a version ${diff.suggested}`}`,
      );
      printChanges(io, diff.changes);
    }
    const refused =
      limit !== undefined && diff.class !== null && classes.indexOf(diff.class) >= classes.indexOf(limit);
    if (refused)
      return io.refuse(
        new MillraceError(
          'CONTRACT_CHANGED',
          `the contract of ${diff.source} changes in a ${diff.class} way`,
          {
            hint: 'Keep what was promised, or agree on it with those who read it.',
          },
        ),
        { ...diff },
      );
    io.result(diff);
    return 0;
  });
}

export async function contractVersions(io: Io, args: readonly string[]): Promise<number> {
  return within(io, async (project) => {
    const source = sourceOf(project, args[0]!);
    const versions = await (await project.log()).contracts(source.name);
    const now = contractFingerprint(snapshotOf(source));
    const list = versions.map(({ contract: _, since, lastBatchAt, ...rest }) => ({
      ...rest,
      since: printInstant(since),
      last_batch_at: printOptionalInstant(lastBatchAt),
    }));
    io.print(
      list.length === 0
        ? `no records of ${source.name} have come in yet`
        : table(
            ['version', 'semver', 'fingerprint', 'since', 'batches', 'accepted', 'last batch'],
            list.map((item) => [
              item.version,
              item.semver,
              item.fingerprint.slice(0, 12),
              item.since,
              item.batches,
              count(item.accepted),
              item.last_batch_at,
            ]),
          ),
    );
    const pending = (await pendingContracts(project)).find((item) => item.source === source.name);
    if (pending)
      io.print(
        `the definition is another: ${pending.diff.class}, ${pending.to} with the next batch (millrace contract diff ${source.name})`,
      );
    io.result({
      source: source.name,
      versions: list,
      current: { fingerprint: now, semver: pending?.to ?? list.at(-1)?.semver ?? '1.0.0' },
    });
    return 0;
  });
}

/** Also `profile FILE --suggest`. */
export async function contractSuggest(io: Io, args: readonly string[], options: Options): Promise<number> {
  const suggested = await withFileInspector((inspector) =>
    suggestContract(inspector, args, {
      projectFolder: path.resolve(io.projectFolder),
      ...(options['name'] === undefined ? {} : { name: identifierOf(String(options['name'])) }),
    }),
  );
  const { source, rows, complete, form, text } = suggested;
  let file: string | null = null;
  if (options['out'] === undefined) io.print(text.trimEnd());
  else {
    file = path.resolve(String(options['out']));
    await writeNew(new Map([[file, text]]), options['force'] === true);
    io.print(
      `wrote ${path.relative(process.cwd(), file)}: source ${source} from ${count(rows)} rows; read it, then run \`millrace check\``,
    );
  }
  if (!complete)
    io.warn(
      `no column of ${args[0]} is a timestamp or a date: ${source} needs an event_time before it can be used`,
    );
  const { keys, fields, contract } = suggested;
  io.result({
    source,
    rows,
    complete,
    file,
    definition: form,
    reasons: { source: keys, fields, contract },
    text,
  });
  return 0;
}

function identifierOf(name: string): string {
  if (/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) return name;
  throw new MillraceError('USAGE', `--name is "${name}"`, { hint: 'Give letters, digits and underscores.' });
}
