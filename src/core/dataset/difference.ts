/** What two dataset versions say of each other: definitions as text, rows by key, labels. */
import { type DifferingLine, definitionLines, differingLines } from '../define/lines.js';
import type { Definitions } from '../define/types.js';
import type { Comparison } from '../drift/comparison.js';
import { expandFeatures } from '../engine/feature-plan.js';
import type { PartSummary } from './manifest.js';

export interface DefinitionChange {
  readonly kind: 'dataset' | 'feature' | 'label' | 'source';
  readonly name: string;
  readonly change: 'added' | 'removed' | 'changed';
  /** Lines of the definition that differ; null where a side has none. */
  readonly lines: readonly DifferingLine[];
}

export interface ChangedValue {
  readonly key: Readonly<Record<string, unknown>>;
  readonly a: unknown;
  readonly b: unknown;
}

export interface RowDifference {
  /** What names a row. */
  readonly key: readonly string[];
  readonly added: number;
  readonly removed: number;
  readonly changed: number;
  readonly equal: number;
  /** Keys of the first few. */
  readonly examples: {
    readonly added: readonly Readonly<Record<string, unknown>>[];
    readonly removed: readonly Readonly<Record<string, unknown>>[];
  };
  /** Columns of both sides with rows of the same key that differ. */
  readonly columns: readonly {
    readonly column: string;
    readonly rows: number;
    readonly examples: readonly ChangedValue[];
  }[];
}

export interface DatasetDiff {
  readonly a: string;
  readonly b: string;
  readonly equal: boolean;
  readonly definitions: readonly string[];
  readonly definition_changes: readonly DefinitionChange[];
  readonly rows: readonly [number, number];
  readonly row_changes: RowDifference | null;
  readonly columns: {
    readonly changed: readonly string[];
    readonly only_a: readonly string[];
    readonly only_b: readonly string[];
  };
  readonly labels: {
    readonly name: readonly [string | null, string | null];
    /** Rows of both sides whose label differs. */
    readonly changed: number;
    readonly parts: readonly {
      readonly part: string;
      readonly a: PartSummary | null;
      readonly b: PartSummary | null;
    }[];
  };
  readonly distributions: Comparison | null;
  readonly lines: readonly string[];
}

type Described = ReadonlyMap<
  string,
  { kind: DefinitionChange['kind']; name: string; value: object; fingerprint: string }
>;

/** What a dataset stands on: itself, its features and theirs, its label, and the sources that it reads. */
function standsOn(definitions: Definitions, name: string, sources: Iterable<string>): Described {
  const found = new Map<
    string,
    { kind: DefinitionChange['kind']; name: string; value: object; fingerprint: string }
  >();
  const add = (
    kind: DefinitionChange['kind'],
    value: { name: string; fingerprint: string } | undefined,
  ): void => {
    if (value)
      found.set(`${kind} ${value.name}`, { kind, name: value.name, value, fingerprint: value.fingerprint });
  };
  const dataset = definitions.datasets.get(name);
  add('dataset', dataset);
  for (const feature of expandFeatures(definitions, dataset?.features ?? [])) add('feature', feature);
  if (dataset && dataset.label !== null) add('label', definitions.labels.get(dataset.label));
  for (const source of sources) add('source', definitions.sources.get(source));
  return found;
}

export interface DefinedDataset {
  readonly definitions: Definitions;
  readonly name: string;
  readonly sources: Iterable<string>;
}

export function definitionChanges(a: DefinedDataset, b: DefinedDataset): readonly DefinitionChange[] {
  const [left, right] = [
    standsOn(a.definitions, a.name, a.sources),
    standsOn(b.definitions, b.name, b.sources),
  ];
  const changes: DefinitionChange[] = [];
  for (const id of new Set([...left.keys(), ...right.keys()])) {
    const [x, y] = [left.get(id), right.get(id)];
    if (x && y && x.fingerprint === y.fingerprint) continue;
    const lines = differingLines(definitionLines(x?.value ?? {}), definitionLines(y?.value ?? {}));
    // Only what it depends on has changed: that stands in the list by itself.
    if (x && y && lines.length === 0) continue;
    const { kind, name } = (x ?? y)!;
    changes.push({ kind, name, change: x ? (y ? 'changed' : 'removed') : 'added', lines });
  }
  return changes;
}
