import { writeFile } from 'node:fs/promises';
import { MillraceError } from '../../core/base/error.js';
import { printInstant } from '../../core/base/time.js';
import { balanceText } from '../../core/dataset/balance.js';
import type { DatasetManifest } from '../../core/dataset/manifest.js';
import type { BuiltDataset } from '../../services/build-dataset.js';
import { findDatasetVersion, rejectedVersion } from '../../services/dataset-versions.js';
import type { Project } from '../../services/project.js';
import type { Io } from '../io.js';
import { list as items, knowledge as knowledgeOf, known, versioned } from '../parse.js';
import { count, table } from '../table.js';
import { within } from '../within.js';

type Options = Readonly<Record<string, unknown>>;

function printManifest(io: Io, name: string, version: number | 'rejected', manifest: DatasetManifest): void {
  const { counts } = manifest;
  io.print(
    `${name}@${version}  ${count(counts.rows)} rows of ${count(counts.observations)} observations, ${manifest.features.length} features`,
  );
  io.print(
    `left out: ${count(counts.immature_label)} immature label, ${count(counts.no_outcome)} no outcome, ${count(counts.outside_horizon)} outside the horizon, ${count(counts.purged)} purged`,
  );
  io.print(
    table(
      ['part', 'rows', 'from', 'to', 'label'],
      manifest.parts.map((part) => [
        part.name,
        part.rows,
        part.from,
        part.to,
        part.label ? balanceText(part.label) : '-',
      ]),
    ),
  );
  const { partitions } = manifest;
  if (partitions !== undefined && partitions.length > 1)
    io.print(
      `${partitions.length} partitions from ${partitions[0]!.from} to ${partitions.at(-1)!.to}, ${count(partitions.reduce((sum, { bytes }) => sum + bytes, 0))} bytes`,
    );
  for (const finding of manifest.leakage) io.warn(`[${finding.rule}] ${finding.message} → ${finding.remedy}`);
  io.print(`knowledge ${manifest.knowledge}; logical hash ${manifest.logical_sha256}`);
}

const summary = (built: BuiltDataset): Record<string, unknown> => ({
  dataset: built.version.name,
  version: built.version.version,
  built: built.built,
  partitions: built.partitions,
  folder: built.version.folder,
  manifest: built.manifest,
});

export async function build(io: Io, args: readonly string[], options: Options): Promise<number> {
  return within(
    io,
    async (project) => {
      const knowledge = knowledgeOf(options['knowledge']);
      const horizons = new Map<string, number>();
      for (const item of items(options['horizon'])) {
        const [source, seq] = item.includes('=') ? item.split('=') : [undefined, item];
        const position = Number(seq);
        if (!Number.isSafeInteger(position) || position < 0)
          throw new MillraceError('USAGE', `--horizon "${item}" is not SOURCE=SEQ or SEQ`);
        const sources = [...project.definitions.sources.keys()];
        for (const name of source === undefined ? sources : [known(source, sources, 'source')])
          horizons.set(name, position);
      }
      await project.lockForWriting(io.command);
      const { buildDataset } = await import('../../services/build-dataset.js');
      const built = await buildDataset(project, args[0]!, {
        horizons,
        ...(options['out'] === undefined ? {} : { out: String(options['out']) }),
        ...(knowledge === undefined ? {} : { knowledge }),
      });
      printManifest(io, built.version.name, built.version.version, built.manifest);
      if (built.partitions.total > 1)
        io.print(`${built.partitions.computed} of ${built.partitions.total} partitions computed`);
      io.print(built.built ? `built in ${built.version.folder}` : `unchanged: ${built.version.folder}`);
      io.result(summary(built));
      return 0;
    },
    { ignoreAvailability: options['ignoreAvailability'] === true },
  );
}

export async function list(io: Io): Promise<number> {
  return within(io, async (project) => {
    const versions = (await project.registry()).versions('dataset');
    io.print(
      table(
        ['dataset', 'version', 'rows', 'built', 'logical hash'],
        versions.map((item) => {
          const manifest = item.manifest as unknown as DatasetManifest;
          return [
            item.name,
            item.version,
            manifest.counts.rows,
            printInstant(item.createdAt),
            manifest.logical_sha256.slice(0, 16),
          ];
        }),
      ),
    );
    io.result({
      datasets: versions.map(({ name, version, folder, createdAt }) => ({
        name,
        version,
        folder,
        created_at: printInstant(createdAt),
      })),
    });
    return 0;
  });
}

function printPartitions(io: Io, { partitions }: DatasetManifest): void {
  if (partitions === undefined || partitions.length < 2) return;
  io.print(
    table(
      ['from', 'to', 'rows', 'observations', 'bytes', 'rows are'],
      partitions.map((entry) => [
        entry.from,
        entry.to,
        entry.rows,
        entry.observations,
        entry.bytes,
        entry.sha256?.slice(0, 16) ?? '-',
      ]),
    ),
  );
}

async function showRejected(io: Io, project: Project, name: string): Promise<number> {
  const rejected = await rejectedVersion(project, name);
  if (rejected === undefined)
    throw new MillraceError(
      'UNKNOWN_NAME',
      `no version of ${name} has been rejected since the last good one`,
      {
        hint: `See \`millrace dataset show ${name}\`.`,
      },
    );
  printManifest(io, name, 'rejected', rejected.manifest);
  for (const { check, message } of rejected.broken) io.warn(`[${check}] ${message}`);
  printPartitions(io, rejected.manifest);
  io.result({
    dataset: name,
    version: 'rejected',
    rejected_at: printInstant(rejected.at),
    broken: rejected.broken,
    folder: rejected.folder,
    manifest: rejected.manifest,
  });
  return 0;
}

export async function show(io: Io, args: readonly string[]): Promise<number> {
  return within(io, async (project) => {
    const asked = /^(.+)@rejected$/.exec(args[0]!)?.[1];
    if (asked !== undefined) return showRejected(io, project, asked);
    const version = await findDatasetVersion(project, versioned(args[0]!));
    const manifest = version.manifest as unknown as DatasetManifest;
    printManifest(io, version.name, version.version, manifest);
    printPartitions(io, manifest);
    io.result({ dataset: version.name, version: version.version, folder: version.folder, manifest });
    return 0;
  });
}

export async function diff(io: Io, args: readonly string[], options: Options): Promise<number> {
  return within(io, async (project) => {
    const { diffDatasets } = await import('../../services/diff-datasets.js');
    const { diff: found, samples } = await diffDatasets(project, versioned(args[0]!), versioned(args[1]!));
    for (const line of found.lines) io.print(line);
    if (options['html'] !== undefined) {
      const { renderDatasetDiff } = await import('../../report/dataset-diff.js');
      await writeFile(String(options['html']), renderDatasetDiff(found, samples));
      io.print(`page in ${String(options['html'])}`);
    }
    io.result(found);
    return 0;
  });
}

const pinning =
  (pinned: boolean) =>
  (io: Io, args: readonly string[]): Promise<number> =>
    within(io, async (project) => {
      const version = await findDatasetVersion(project, versioned(args[0]!));
      const { pinDataset } = await import('../../services/collect-garbage.js');
      await pinDataset(project, version, pinned);
      io.print(`${version.name}@${version.version} is ${pinned ? 'pinned: gc keeps it' : 'not pinned'}`);
      io.result({ dataset: version.name, version: version.version, pinned });
      return 0;
    });

export const pin = pinning(true);
export const unpin = pinning(false);

export async function exportVersion(io: Io, args: readonly string[], options: Options): Promise<number> {
  return within(io, async (project) => {
    const { exportDataset } = await import('../../services/export-dataset.js');
    const result = await exportDataset(project, versioned(args[0]!), {
      out: String(options['out']),
      ...(options['licence'] === undefined ? {} : { licence: String(options['licence']) }),
    });
    io.print(`${count(result.rows)} rows in ${result.out}: ${result.files.join(', ')}`);
    io.result(result);
    return 0;
  });
}

export async function reproduce(io: Io, args: readonly string[], options: Options): Promise<number> {
  return within(io, async (project) => {
    const restore = options['restore'] === true;
    if (restore) await project.lockForWriting(io.command);
    const { reproduceDataset } = await import('../../services/reproduce-dataset.js');
    const result = await reproduceDataset(project, versioned(args[0]!), { restore });
    io.print(
      `${args[0]}: logical hash ${result.logical ? 'equal' : 'DIFFERENT'}, file bytes ${result.physical ? 'equal' : 'DIFFERENT'}`,
    );
    if (result.definitions === 'kept') io.print('built from the definitions kept with the version');
    if (result.restored) io.print(`the stored files were ${result.stored}; they are back`);
    else if (result.stored !== 'whole') io.warn(`the stored files of ${args[0]} are ${result.stored}`);
    if (result.cause !== null) {
      io.print(`differs by: ${result.cause.replace('_', ' ')}`);
      for (const line of result.evidence) io.print(`  ${line}`);
    }
    const first = result.first_difference;
    if (first !== null)
      io.print(
        `first difference: row ${count(first.row + 1)} ${JSON.stringify(first.key)}, ${first.column}: ${JSON.stringify(first.registered)} registered, ${JSON.stringify(first.rebuilt)} rebuilt`,
      );
    io.result(result);
    return result.logical && (result.cause !== 'stored_copy' || result.restored) ? 0 : 3;
  });
}
