/** What two dataset versions say of each other: definitions as text, rows by key, labels. */
import { printDuration } from '../base/time.js';
import type { Definitions } from '../define/types.js';
import type { Comparison } from '../drift/compare.js';
import { expandFeatures } from '../engine/feature-plan.js';
import { printType } from '../schema/types.js';
import type { PartSummary } from './manifest.js';

export interface DefinitionChange {
  readonly kind: 'dataset' | 'feature' | 'label' | 'source';
  readonly name: string;
  readonly change: 'added' | 'removed' | 'changed';
  /** Lines of the definition that differ; null where a side has none. */
  readonly lines: readonly { readonly path: string; readonly a: string | null; readonly b: string | null }[];
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

/** Outside of what a definition means. */
const ASIDE = new Set(['name', 'description', 'owner', 'tags', 'place', 'fingerprint', 'dependsOn']);
const DURATIONS = new Set([
  'window',
  'offset',
  'maxAge',
  'horizon',
  'grace',
  'halfLife',
  'delay',
  'within',
  'over',
]);

function flatten(path: string, value: unknown, into: Map<string, string>): void {
  if (value === null || value === undefined) return;
  const name = path.slice(path.lastIndexOf('.') + 1);
  if (typeof value === 'function') return;
  if (typeof value === 'number' && DURATIONS.has(name)) into.set(path, printDuration(value));
  else if (typeof value !== 'object') into.set(path, String(value));
  else if ('canonical' in value && 'text' in value) into.set(path, String(value.text));
  else if ('kind' in value && (name === 'type' || name === 'valueType'))
    into.set(path, printType(value as never));
  else if (Array.isArray(value) && value.every((item) => item === null || typeof item !== 'object'))
    into.set(path, `[${value.join(', ')}]`);
  else
    for (const [key, item] of Array.isArray(value)
      ? value.map((item, i): [string, unknown] => [
          typeof item?.name === 'string' ? item.name : typeof item?.id === 'string' ? item.id : String(i),
          item,
        ])
      : Object.entries(value))
      if (!ASIDE.has(key)) flatten(path === '' ? key : `${path}.${key}`, item, into);
}

/** The meaning of a definition, a line for each of its properties. */
export function definitionLines(definition: object): ReadonlyMap<string, string> {
  const lines = new Map<string, string>();
  flatten('', definition, lines);
  return lines;
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
    const [linesX, linesY] = [definitionLines(x?.value ?? {}), definitionLines(y?.value ?? {})];
    const lines = [...new Set([...linesX.keys(), ...linesY.keys()])]
      .filter((path) => linesX.get(path) !== linesY.get(path))
      .map((path) => ({ path, a: linesX.get(path) ?? null, b: linesY.get(path) ?? null }));
    // Only what it depends on has changed: that stands in the list by itself.
    if (x && y && lines.length === 0) continue;
    const { kind, name } = (x ?? y)!;
    changes.push({ kind, name, change: x ? (y ? 'changed' : 'removed') : 'added', lines });
  }
  return changes;
}
