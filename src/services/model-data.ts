/** Rows of a dataset version as trainers and evaluations take them. */
import { MillraceError } from '../core/base/error.js';
import type { Definitions, Task } from '../core/define/types.js';
import { columnLength, columnValue } from '../core/engine/columns.js';
import { expandFeatures, planFeatures } from '../core/engine/feature-plan.js';
import type { Column } from '../core/engine/types.js';
import {
  type FeatureColumn,
  type FeatureTable,
  featureKind,
  featureWidth,
  takeRows,
  writeNumbers,
} from '../core/learn/matrix.js';
import { STRING, type ValueType } from '../core/schema/types.js';
import type { VersionRecord } from '../ports/registry.js';
import { PART_COLUMN } from './build-dataset.js';
import { datasetColumns, datasetTable } from './dataset-table.js';
import { manifestOfDataset } from './dataset-versions.js';
import { computeFeatures } from './historical.js';
import { currentHorizons, type Project } from './project.js';

export interface LabelledPart {
  readonly table: FeatureTable;
  /** 0 and 1, codes of `classes`, or numbers. */
  readonly target: Float64Array;
}

export interface LabelledRows {
  readonly classes: readonly string[] | null;
  /** Rows by part. */
  readonly parts: ReadonlyMap<string, number>;
  part(name: string): LabelledPart | undefined;
}

/** A column as trainers take it. */
function toFeatureColumn(name: string, column: Column): FeatureColumn {
  const feature = { name, type: column.type };
  const rows = columnLength(column);
  if (featureKind(feature) === 'categorical') {
    const codes = column as Extract<Column, { kind: 'codes' }>;
    return {
      ...feature,
      kind: 'categorical',
      codes: codes.codes,
      dictionary: codes.dictionary as readonly string[],
    };
  }
  const width = featureWidth(column.type);
  const values = new Float64Array(rows * width);
  for (let i = 0; i < rows; i++) writeNumbers(feature, width, columnValue(column, i), values, i * width);
  return { ...feature, kind: 'numeric', width, values };
}

/** Label values as trainers take them; classes are those given, or those that occur. */
function targetOf(
  task: Task,
  label: Column,
  given: readonly string[] | null,
): { target: Float64Array; classes: readonly string[] | null } {
  const rows = columnLength(label);
  const target = new Float64Array(rows);
  if (task === 'multiclass') {
    const names =
      given ?? [...new Set(Array.from({ length: rows }, (_, i) => String(columnValue(label, i))))].sort();
    const code = new Map(names.map((name, i) => [name, i]));
    for (let i = 0; i < rows; i++) {
      const name = String(columnValue(label, i));
      const found = code.get(name);
      if (found === undefined)
        throw new MillraceError(
          'TRAIN_FAILED',
          `row ${i + 1} has the class "${name}", which the model lacks`,
          {
            hint: `It knows ${names.join(', ')}.`,
          },
        );
      target[i] = found;
    }
    return { target, classes: names };
  }
  const scale = label.type.kind === 'decimal' ? 10 ** label.type.scale : 1;
  for (let i = 0; i < rows; i++) {
    const value = columnValue(label, i);
    target[i] = typeof value === 'boolean' ? (value ? 1 : 0) : Number(value) / scale;
    if (task === 'binary' && target[i] !== 0 && target[i] !== 1)
      throw new MillraceError(
        'TRAIN_FAILED',
        `a binary label must be boolean or 0 and 1, row ${i + 1} has ${String(value)}`,
        {
          hint: 'Write the label as a comparison, or choose task: multiclass or regression.',
        },
      );
  }
  return { target, classes: null };
}

/** At the observations of a version, from the records that it was built from. */
async function computedColumns(
  project: Project,
  version: VersionRecord,
  wanted: Pick<Parameters<typeof labelledRows>[2], 'features' | 'label'>,
  definitions: Definitions,
): Promise<ReadonlyMap<string, Column>> {
  const store = await project.offline();
  const { horizons, knowledge } = manifestOfDataset(version);
  const names = wanted.features.map(({ name }) => name);
  const plan = planFeatures(definitions, expandFeatures(definitions, names));
  const sources = plan.groups.map((group) => group.source.name);
  const table = await datasetTable(store, version, project.definitions.datasets.get(version.name)!);
  try {
    const through = new Map([...(await currentHorizons(project, sources)), ...Object.entries(horizons)]);
    const computed = await computeFeatures(store, table, plan, {
      horizons: through,
      knowledge,
      project,
    });
    return new Map([
      ...computed.map(({ feature, column }): [string, Column] => [feature.name, column]),
      [wanted.label.name, await store.column(table, wanted.label.name, wanted.label.type)],
      [PART_COLUMN, await store.column(table, PART_COLUMN, STRING)],
    ]);
  } finally {
    await store.release(table);
  }
}

export async function labelledRows(
  project: Project,
  dataset: VersionRecord,
  wanted: {
    readonly task: Task;
    readonly features: readonly { readonly name: string; readonly type: ValueType }[];
    readonly label: { readonly name: string; readonly type: ValueType };
    /** Multiclass: those of the model; absent: those of the rows. */
    readonly classes?: readonly string[] | null;
    /** The features are not those of the dataset: they are computed at its observations by these definitions. */
    readonly definitions?: Definitions | undefined;
  },
): Promise<LabelledRows> {
  const columns = wanted.definitions
    ? await computedColumns(project, dataset, wanted, wanted.definitions)
    : await datasetColumns(await project.offline(), dataset, [
        ...wanted.features,
        wanted.label,
        { name: PART_COLUMN, type: STRING },
      ]);
  const parts = columns.get(PART_COLUMN)!;
  const rowsOf = new Map<string, number[]>();
  for (let i = 0; i < columnLength(parts); i++) {
    const part = columnValue(parts, i) as string;
    const rows = rowsOf.get(part);
    if (rows) rows.push(i);
    else rowsOf.set(part, [i]);
  }
  const { target, classes } = targetOf(wanted.task, columns.get(wanted.label.name)!, wanted.classes ?? null);
  const table: FeatureTable = {
    rows: target.length,
    columns: wanted.features.map(({ name }) => toFeatureColumn(name, columns.get(name)!)),
  };
  return {
    classes,
    parts: new Map(
      manifestOfDataset(dataset).parts.flatMap(({ name }) => {
        const rows = rowsOf.get(name);
        return rows ? [[name, rows.length]] : [];
      }),
    ),
    part: (name) => {
      const rows = rowsOf.get(name);
      return rows && { table: takeRows(table, rows), target: Float64Array.from(rows, (row) => target[row]!) };
    },
  };
}
