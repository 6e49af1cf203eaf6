/** A dataset version as a folder for others: Parquet, README.md and the manifest. */
import { existsSync } from 'node:fs';
import { copyFile, mkdir, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { MillraceError } from '../core/base/error.js';
import { printInstant } from '../core/base/time.js';
import { type CardColumn, datasetCard } from '../core/dataset/card.js';
import { PART_COLUMN } from '../core/define/columns.js';
import { profileColumn } from '../core/drift/profile.js';
import { printType } from '../core/schema/types.js';
import { columnSample } from './column-sample.js';
import { rowFiles, rowsAt, rowsOf, writeRows } from './dataset-table.js';
import { findDatasetVersion, manifestOfDataset, type VersionName } from './dataset-versions.js';
import { keptDefinitions } from './definition-snapshot.js';
import { sha256File } from './objects.js';
import type { Project } from './project.js';

export interface ExportedDataset {
  readonly dataset: string;
  readonly version: number;
  readonly out: string;
  readonly rows: number;
  readonly files: readonly string[];
}

/**
 * @throws MillraceError STORE_CORRUPT when the rows are gone or not what was registered; USAGE when `out` holds
 * something else.
 */
export async function exportDataset(
  project: Project,
  wanted: VersionName,
  options: { readonly out: string; readonly licence?: string },
): Promise<ExportedDataset> {
  const version = await findDatasetVersion(project, wanted);
  const manifest = manifestOfDataset(version);
  const title = `${version.name}@${version.version}`;
  const at = rowsAt(version);
  for (const [i, file] of rowFiles(at).entries()) {
    if (existsSync(file) && (await sha256File(file)) === manifest.files[i]!.sha256) continue;
    throw new MillraceError('STORE_CORRUPT', `the rows of ${title} are not what was registered`, {
      hint: `See \`millrace dataset reproduce ${title}\`.`,
    });
  }
  const rows = rowsOf(version);
  const out = path.resolve(options.out);
  if (existsSync(out) && !existsSync(path.join(out, 'manifest.json')))
    throw new MillraceError('USAGE', `${options.out} is there already and is no exported dataset`, {
      hint: 'Name a folder that is not there yet.',
    });
  const current = project.definitions.datasets.get(version.name)?.fingerprint === manifest.fingerprint;
  const definitions = current
    ? project.definitions
    : manifest.definitions_sha256
      ? ((await keptDefinitions(project, manifest.definitions_sha256)) ?? null)
      : null;
  const store = await project.offline();
  const time = manifest.observation_key?.time ?? definitions?.datasets.get(version.name)?.observations.time;
  if (time === undefined)
    throw new MillraceError('USAGE', `${title} was built before versions said what their time is`, {
      hint: `Build it again: \`millrace dataset build ${version.name}\`.`,
    });
  const table = await store.observationsFromFile(rows, { time, timezone: 'UTC', types: new Map() });
  const columns: CardColumn[] = [];
  try {
    const features = new Map(manifest.features.map((feature) => [feature.name, feature]));
    const from = definitions?.datasets.get(version.name)?.observations.from;
    const fields = from?.kind === 'source' ? definitions!.sources.get(from.source)!.fields : [];
    for (const { name, type } of table.columns) {
      const feature = features.get(name);
      const isLabel = name === manifest.label?.name;
      columns.push({
        name,
        type: feature?.type ?? printType(fields.find((field) => field.name === name)?.type ?? type),
        role: feature ? 'feature' : isLabel ? 'label' : name === PART_COLUMN ? 'part' : 'observation',
        description:
          (feature && definitions?.features.get(name)?.description) ||
          (isLabel && definitions?.labels.get(name)?.description) ||
          null,
        profile: profileColumn(columnSample(await store.column(table, name, type))),
      });
    }
  } finally {
    await store.release(table);
  }
  const staging = `${out}.${process.pid}.tmp`;
  await rm(staging, { recursive: true, force: true });
  await mkdir(staging, { recursive: true });
  try {
    const data = path.join(staging, 'data.parquet');
    if (manifest.format === 1) await copyFile(rows as string, data);
    else await writeRows(store, rows, manifest, time, { file: data, format: 'parquet' });
    const files = [{ file: 'data.parquet', rows: manifest.counts.rows, sha256: await sha256File(data) }];
    await writeFile(path.join(staging, 'manifest.json'), `${JSON.stringify(manifest, null, 2)}\n`);
    await writeFile(
      path.join(staging, 'README.md'),
      datasetCard({
        version: version.version,
        builtAt: printInstant(version.createdAt),
        manifest,
        definitions,
        columns,
        files,
        licence: options.licence ?? null,
      }),
    );
    await rm(out, { recursive: true, force: true });
    await mkdir(path.dirname(out), { recursive: true });
    await rename(staging, out);
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
  return {
    dataset: version.name,
    version: version.version,
    out,
    rows: manifest.counts.rows,
    files: ['data.parquet', 'manifest.json', 'README.md'],
  };
}
