/** Two dataset versions beside each other: definitions, rows by key, labels, distributions. */
import { MillraceError } from '../core/base/error.js';
import { fingerprint } from '../core/base/fingerprint.js';
import { balanceText } from '../core/dataset/balance.js';
import {
  type ChangedValue,
  type DatasetDiff,
  type DefinedDataset,
  type DefinitionChange,
  definitionChanges,
  type RowDifference,
} from '../core/dataset/difference.js';
import type { DatasetManifest, PartSummary } from '../core/dataset/manifest.js';
import { changedPairs, matchRows, rowKeys } from '../core/dataset/rows.js';
import { compareColumns } from '../core/drift/compare.js';
import type { ColumnSample } from '../core/drift/grouped.js';
import { columnValue } from '../core/engine/columns.js';
import type { Column } from '../core/engine/types.js';
import { toJson } from '../core/schema/coerce-print.js';
import { printType } from '../core/schema/types.js';
import type { ObservationTable, OfflineStore, TableFile } from '../ports/offline-store.js';
import type { VersionRecord } from '../ports/registry.js';
import { columnSample } from './column-sample.js';
import { type RowsAt, rowsAt, rowsOf, rowsPresent, someRows } from './dataset-table.js';
import { findDatasetVersion, manifestOfDataset, type VersionName } from './dataset-versions.js';
import { keptDefinitions } from './definition-snapshot.js';
import type { Project } from './project.js';

/** The values behind the distributions that differ, for pictures. */
export type DiffSamples = ReadonlyMap<string, readonly [ColumnSample, ColumnSample]>;

const EXAMPLES = 5;

const told = (part: PartSummary | null): string => (part?.label ? balanceText(part.label) : 'none');

interface Side {
  readonly version: VersionRecord;
  readonly manifest: DatasetManifest;
  readonly title: string;
  readonly defined: DefinedDataset | null;
}

async function sideOf(project: Project, wanted: VersionName): Promise<Side> {
  const version = await findDatasetVersion(project, wanted);
  const manifest = manifestOfDataset(version);
  const { name } = version;
  const current = project.definitions.datasets.get(name)?.fingerprint === manifest.fingerprint;
  const kept =
    !current && manifest.definitions_sha256
      ? await keptDefinitions(project, manifest.definitions_sha256)
      : undefined;
  const definitions = current ? project.definitions : kept;
  return {
    version,
    manifest,
    title: `${name}@${version.version}`,
    defined: definitions ? { definitions, name, sources: Object.keys(manifest.horizons) } : null,
  };
}

const keyOf = ({ manifest, defined, version }: Side): { fields: readonly string[]; time: string } | null => {
  if (manifest.observation_key) return manifest.observation_key;
  const dataset = defined?.definitions.datasets.get(version.name);
  const from = dataset?.observations.from;
  if (!dataset || !from) return null;
  const source = from.kind === 'source' ? defined!.definitions.sources.get(from.source) : undefined;
  return { fields: source?.recordKey ?? [dataset.observations.time], time: dataset.observations.time };
};

interface Compared {
  readonly rows: RowDifference;
  readonly labels: number;
  readonly samples: DiffSamples;
}

/** Keys of the partitions that both have, under one rule of the split: their rows need not be read. */
function sharedPartitions(a: Side, b: Side): ReadonlySet<string> {
  const rule = ({ manifest }: Side): string => fingerprint({ ...manifest.part_rule });
  if (a.manifest.partitions === undefined || rule(a) !== rule(b)) return new Set();
  const contents = new Map(a.manifest.partitions.map((entry) => [entry.key, entry.sha256]));
  const shared = (b.manifest.partitions ?? []).filter(({ key, sha256 }) => contents.get(key) === sha256);
  return new Set(shared.map(({ key }) => key));
}

async function compareRows(
  store: OfflineStore,
  a: Side,
  b: Side,
  key: { readonly fields: readonly string[]; readonly time: string },
): Promise<Compared> {
  const shared = sharedPartitions(a, b);
  const sides = [a, b].map(({ version, manifest }): TableFile => {
    const at: RowsAt = { folder: version.folder, manifest };
    // Where nothing differs, one partition stands for all.
    return someRows(at, (entry) => !shared.has(entry.key)) ?? rowsOf(version);
  });
  const tables: ObservationTable[] = [];
  try {
    for (const rows of sides)
      tables.push(
        await store.observationsFromFile(rows, { time: key.time, timezone: 'UTC', types: new Map() }),
      );
    const [x, y] = tables as [ObservationTable, ObservationTable];
    const skipped = a.manifest.counts.rows - x.rows;
    const typeIn = (table: ObservationTable, name: string) =>
      table.columns.find((column) => column.name === name)?.type;
    const read = (table: ObservationTable, name: string): Promise<Column> =>
      store.column(table, name, typeIn(table, name)!);
    const fields = [...new Set([...key.fields, key.time])].filter(
      (name) => typeIn(x, name) && typeIn(y, name),
    );
    const keysX = await Promise.all(
      key.fields.filter((name) => fields.includes(name)).map((name) => read(x, name)),
    );
    const keysY = await Promise.all(
      key.fields.filter((name) => fields.includes(name)).map((name) => read(y, name)),
    );
    const shownX = await Promise.all(fields.map((name) => read(x, name)));
    const shownY = await Promise.all(fields.map((name) => read(y, name)));
    const matched = matchRows(rowKeys(keysX), rowKeys(keysY));
    const shown = (columns: readonly Column[], row: number): Record<string, unknown> =>
      Object.fromEntries(
        columns.map((column, i) => [fields[i]!, toJson(column.type, columnValue(column, row))]),
      );
    const touched = new Uint8Array(matched.a.length);
    const columns: { column: string; rows: number; examples: readonly ChangedValue[] }[] = [];
    const samples = new Map<string, readonly [ColumnSample, ColumnSample]>();
    const features = new Set(a.manifest.features.map((feature) => feature.name));
    let labels = 0;
    for (const { name, type } of x.columns) {
      const other = typeIn(y, name);
      if (key.fields.includes(name) || !other || printType(other) !== printType(type)) continue;
      const [left, right] = [await read(x, name), await read(y, name)];
      const changed = changedPairs(matched, left, right);
      for (const i of changed) touched[i] = 1;
      if (name === a.manifest.label?.name && name === b.manifest.label?.name) labels = changed.length;
      const moved = a.manifest.column_sha256[name] !== b.manifest.column_sha256[name];
      if (features.has(name) && moved) {
        const [whole, other] = await Promise.all(
          [a, b].map(async ({ version }) =>
            columnSample((await store.readColumns(rowsOf(version), [{ name, type }])).get(name)!),
          ),
        );
        samples.set(name, [whole!, other!]);
      }
      if (changed.length === 0) continue;
      columns.push({
        column: name,
        rows: changed.length,
        examples: changed.slice(0, EXAMPLES).map((i) => ({
          key: shown(shownX, matched.a[i]!),
          a: toJson(type, columnValue(left, matched.a[i]!)),
          b: toJson(type, columnValue(right, matched.b[i]!)),
        })),
      });
    }
    const changed = touched.reduce((sum, bit) => sum + bit, 0);
    return {
      rows: {
        key: key.fields,
        added: matched.added.length,
        removed: matched.removed.length,
        changed,
        equal: skipped + matched.a.length - changed,
        examples: {
          added: matched.added.slice(0, EXAMPLES).map((row) => shown(shownY, row)),
          removed: matched.removed.slice(0, EXAMPLES).map((row) => shown(shownX, row)),
        },
        columns: columns.sort((p, q) => q.rows - p.rows),
      },
      labels,
      samples,
    };
  } finally {
    for (const table of tables) await store.release(table);
  }
}

/** The definitions that differ, a line for each; without their texts, from the fingerprints of the manifests. */
function definitionsText(
  x: DatasetManifest,
  y: DatasetManifest,
  changes: readonly DefinitionChange[],
): string[] {
  const lines: string[] = [];
  const features = new Map(y.features.map((feature) => [feature.name, feature]));
  for (const feature of x.features) {
    const other = features.get(feature.name);
    if (other && other.fingerprint !== feature.fingerprint)
      lines.push(`feature ${feature.name} is defined differently`);
  }
  for (const change of changes)
    if (!lines.includes(`${change.kind} ${change.name} is defined differently`))
      lines.push(
        `${change.kind} ${change.name} is ${change.change === 'changed' ? 'defined differently' : change.change}`,
      );
  for (const source of new Set([...Object.keys(x.horizons), ...Object.keys(y.horizons)]))
    if (x.horizons[source] !== y.horizons[source])
      lines.push(
        `${source} is read through seq ${x.horizons[source] ?? '-'} and ${y.horizons[source] ?? '-'}`,
      );
  if (x.knowledge !== y.knowledge) lines.push(`knowledge is ${x.knowledge} and ${y.knowledge}`);
  return lines;
}

const json = (value: unknown): string => JSON.stringify(value);

export async function diffDatasets(
  project: Project,
  left: VersionName,
  right: VersionName,
): Promise<{ readonly diff: DatasetDiff; readonly samples: DiffSamples }> {
  const [a, b] = [await sideOf(project, left), await sideOf(project, right)];
  const [x, y] = [a.manifest, b.manifest];
  const equal = x.logical_sha256 === y.logical_sha256;
  const changes = a.defined && b.defined ? definitionChanges(a.defined, b.defined) : [];
  const definitions = definitionsText(x, y, changes);
  const key = keyOf(a);
  const whole = rowsPresent(rowsAt(a.version)) && rowsPresent(rowsAt(b.version));
  if (!whole)
    throw new MillraceError(
      'STORE_CORRUPT',
      `${rowsPresent(rowsAt(a.version)) ? b.title : a.title} has no rows on disk`,
      {
        hint: 'Build the dataset again, or see what `millrace dataset reproduce` says.',
      },
    );
  const compared = key === null ? null : await compareRows(await project.offline(), a, b, key);
  const samples: DiffSamples = compared?.samples ?? new Map();
  const pick = (side: 0 | 1): Record<string, ColumnSample> =>
    Object.fromEntries([...samples].map(([name, pair]) => [name, pair[side]]));
  const distributions = samples.size > 0 ? compareColumns(pick(0), pick(1)) : null;
  const [columnsX, columnsY] = [Object.keys(x.column_sha256), Object.keys(y.column_sha256)];
  const onlyA = columnsX.filter((name) => !columnsY.includes(name));
  const onlyB = columnsY.filter((name) => !columnsX.includes(name));
  const changed = columnsX.filter(
    (name) => y.column_sha256[name] !== undefined && x.column_sha256[name] !== y.column_sha256[name],
  );
  const parts = [...new Set([...x.parts, ...y.parts].map((part) => part.name))].map((part) => ({
    part,
    a: x.parts.find((item) => item.name === part) ?? null,
    b: y.parts.find((item) => item.name === part) ?? null,
  }));
  const rows = compared?.rows ?? null;
  const partLines = parts.flatMap(({ part, a: before, b: after }) =>
    before?.rows === after?.rows && json(before?.label) === json(after?.label)
      ? []
      : [
          `  part ${part}: ${before?.rows ?? 0} and ${after?.rows ?? 0} rows, label ${told(before)} and ${told(after)}`,
        ],
  );
  const lines = [
    `${a.title} and ${b.title} are ${equal ? 'equal' : 'different'}`,
    ...definitions.map((item) => `  ${item}`),
    ...changes.flatMap((change) => [
      `  ${change.kind} ${change.name}: ${change.change}`,
      ...change.lines.flatMap((line) => [
        ...(line.a === null ? [] : [`    - ${line.path}: ${line.a}`]),
        ...(line.b === null ? [] : [`    + ${line.path}: ${line.b}`]),
      ]),
    ]),
    ...(x.counts.rows === y.counts.rows ? [] : [`  rows: ${x.counts.rows} and ${y.counts.rows}`]),
    ...(rows && rows.added + rows.removed + rows.changed > 0
      ? [
          `  by ${rows.key.join(', ')}: ${rows.added} added, ${rows.removed} removed, ${rows.changed} changed, ${rows.equal} equal`,
          ...rows.examples.added.map((item) => `    + ${json(item)}`),
          ...rows.examples.removed.map((item) => `    - ${json(item)}`),
          ...rows.columns.flatMap((column) => [
            `    ${column.column}: ${column.rows} rows differ`,
            ...column.examples.map((item) => `      ${json(item.key)}: ${json(item.a)} → ${json(item.b)}`),
          ]),
        ]
      : []),
    ...(onlyA.length > 0 ? [`  only in ${a.title}: ${onlyA.join(', ')}`] : []),
    ...(onlyB.length > 0 ? [`  only in ${b.title}: ${onlyB.join(', ')}`] : []),
    ...partLines,
    ...(changed.length > 0 ? [`  values differ in: ${changed.join(', ')}`] : []),
    ...(distributions && distributions.drifted.length > 0
      ? [`  distributions differ in: ${distributions.drifted.join(', ')}`]
      : []),
  ];
  return {
    diff: {
      a: a.title,
      b: b.title,
      equal,
      definitions,
      definition_changes: changes,
      rows: [x.counts.rows, y.counts.rows],
      row_changes: rows,
      columns: { changed, only_a: onlyA, only_b: onlyB },
      labels: {
        name: [x.label?.name ?? null, y.label?.name ?? null],
        changed: compared?.labels ?? 0,
        parts,
      },
      distributions,
      lines,
    },
    samples,
  };
}
