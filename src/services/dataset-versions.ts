/** Versions of training sets: find, compare, build again. */
import path from 'node:path';
import { MillraceError } from '../core/base/error.js';
import type { DatasetManifest } from '../core/dataset/manifest.js';
import { type Comparison, compareColumns } from '../core/drift/compare.js';
import { parseType } from '../core/schema/types.js';
import type { VersionRecord } from '../ports/registry.js';
import { findDataset } from './build-dataset.js';
import { columnSample } from './column-sample.js';
import type { Project } from './project.js';

export interface VersionName {
  readonly name: string;
  readonly version: number | undefined;
}

export async function findDatasetVersion(
  project: Project,
  { name, version }: VersionName,
): Promise<VersionRecord> {
  const registry = await project.registry();
  const found = registry.version('dataset', name, version);
  if (found) return found;
  const known = registry.versions('dataset', name);
  if (known.length === 0) findDataset(project, name);
  throw new MillraceError(
    'UNKNOWN_NAME',
    `there is no version ${name}${version === undefined ? '' : `@${version}`} of a dataset`,
    {
      hint:
        known.length > 0
          ? `${name} has versions 1 to ${known.length}.`
          : `Run \`millrace dataset build ${name}\`.`,
    },
  );
}

export const manifestOfDataset = (version: VersionRecord): DatasetManifest =>
  version.manifest as unknown as DatasetManifest;

/** The rows of a version. */
export const datasetFile = (version: VersionRecord): string => path.join(version.folder, 'data.parquet');

export interface DatasetDiff {
  readonly a: string;
  readonly b: string;
  readonly equal: boolean;
  readonly definitions: readonly string[];
  readonly rows: readonly [number, number];
  readonly columns: {
    readonly changed: readonly string[];
    readonly only_a: readonly string[];
    readonly only_b: readonly string[];
  };
  readonly distributions: Comparison | null;
  readonly lines: readonly string[];
}

export async function diffDatasets(
  project: Project,
  left: VersionName,
  right: VersionName,
): Promise<DatasetDiff> {
  const [a, b] = [await findDatasetVersion(project, left), await findDatasetVersion(project, right)];
  const [x, y] = [manifestOfDataset(a), manifestOfDataset(b)];
  const names = [`${a.name}@${a.version}`, `${b.name}@${b.version}`] as const;
  const definitions: string[] = [];
  const featuresY = new Map(y.features.map((feature) => [feature.name, feature]));
  for (const feature of x.features) {
    const other = featuresY.get(feature.name);
    if (other && other.fingerprint !== feature.fingerprint)
      definitions.push(`feature ${feature.name} is defined differently`);
  }
  for (const source of new Set([...Object.keys(x.horizons), ...Object.keys(y.horizons)]))
    if (x.horizons[source] !== y.horizons[source])
      definitions.push(
        `${source} is read through seq ${x.horizons[source] ?? '-'} and ${y.horizons[source] ?? '-'}`,
      );
  if (x.knowledge !== y.knowledge) definitions.push(`knowledge is ${x.knowledge} and ${y.knowledge}`);
  const [columnsX, columnsY] = [Object.keys(x.column_sha256), Object.keys(y.column_sha256)];
  const shared = columnsX.filter((name) => y.column_sha256[name] !== undefined);
  const changed = shared.filter((name) => x.column_sha256[name] !== y.column_sha256[name]);
  const common = x.features.filter(
    (feature) => featuresY.get(feature.name)?.type === feature.type && changed.includes(feature.name),
  );
  let distributions: Comparison | null = null;
  if (common.length > 0) {
    const store = await project.offline();
    const types = common.map((feature) => ({ name: feature.name, type: parseType(feature.type)! }));
    const read = async (version: VersionRecord) =>
      Object.fromEntries(
        [...(await store.readColumns(datasetFile(version), types))].map(([name, column]) => [
          name,
          columnSample(column),
        ]),
      );
    distributions = compareColumns(await read(a), await read(b));
  }
  const onlyA = columnsX.filter((name) => !columnsY.includes(name));
  const onlyB = columnsY.filter((name) => !columnsX.includes(name));
  const equal = x.logical_sha256 === y.logical_sha256;
  const lines = [
    `${names[0]} and ${names[1]} are ${equal ? 'equal' : 'different'}`,
    ...definitions.map((item) => `  ${item}`),
    ...(x.counts.rows === y.counts.rows ? [] : [`  rows: ${x.counts.rows} and ${y.counts.rows}`]),
    ...(onlyA.length > 0 ? [`  only in ${names[0]}: ${onlyA.join(', ')}`] : []),
    ...(onlyB.length > 0 ? [`  only in ${names[1]}: ${onlyB.join(', ')}`] : []),
    ...(changed.length > 0 ? [`  values differ in: ${changed.join(', ')}`] : []),
    ...(distributions && distributions.drifted.length > 0
      ? [`  distributions differ in: ${distributions.drifted.join(', ')}`]
      : []),
  ];
  return {
    a: names[0],
    b: names[1],
    equal,
    definitions,
    rows: [x.counts.rows, y.counts.rows],
    columns: { changed, only_a: onlyA, only_b: onlyB },
    distributions,
    lines,
  };
}
