import type { Diagnostic } from '../base/error.js';
import { BUILT, type BuiltKind } from './builders.js';
import type { DefinitionInput } from './collect.js';
import { type Entry, type Node, readValue } from './node.js';
import type { ListKey } from './shapes.js';

const LISTS: Readonly<Record<Exclude<BuiltKind, 'project'>, ListKey>> = {
  entity: 'entities',
  source: 'sources',
  transform: 'transforms',
  feature: 'features',
  featureSet: 'feature_sets',
  label: 'labels',
  dataset: 'datasets',
  model: 'models',
  service: 'services',
  monitor: 'monitors',
  schedule: 'schedules',
  sensor: 'sensors',
};

/** A definition that a builder made carries its kind and, when the engine tells, the line that made it. */
interface Built {
  readonly kind: BuiltKind;
  readonly line?: number;
  readonly column?: number;
}

const builtOf = (value: unknown): Built | undefined =>
  typeof value === 'object' && value !== null ? (value as { readonly [BUILT]?: Built })[BUILT] : undefined;

/**
 * The definitions among a module's exports: builders' results, lists and records of them. Other exports are left
 * alone; a module that calls builders (`buildsDefinitions`) and exports no definition is a warning.
 */
export function readDefinitionModule(
  exports: unknown,
  file: string,
  buildsDefinitions = true,
): { readonly inputs: readonly DefinitionInput[]; readonly diagnostics: readonly Diagnostic[] } {
  const place = { file };
  const lists = new Map<ListKey, Node[]>();
  const settings = new Map<string, Entry>();
  const seen = new Set<unknown>();
  const visit = (value: unknown): void => {
    if (typeof value !== 'object' || value === null || seen.has(value)) return;
    seen.add(value);
    const built = builtOf(value);
    if (!built) {
      for (const item of value instanceof Map || value instanceof Set ? value.values() : Object.values(value))
        visit(item);
      return;
    }
    const where = {
      file,
      ...(built.line ? { line: built.line } : {}),
      ...(built.column ? { column: built.column } : {}),
    };
    const name = (value as { readonly name?: unknown }).name;
    const node = readValue(value, { ...where, ...(typeof name === 'string' ? { path: name } : {}) });
    if (node?.kind !== 'map') return;
    if (built.kind === 'project') for (const [key, entry] of node.entries) settings.set(key, entry);
    else lists.set(LISTS[built.kind], [...(lists.get(LISTS[built.kind]) ?? []), node]);
  };
  visit(exports);
  if (lists.size === 0 && settings.size === 0) {
    if (!buildsDefinitions) return { inputs: [], diagnostics: [] };
    const message = 'the file exports no definitions';
    const hint = "Export what `entity()`, `source()`, `feature()` ... from 'millrace' give.";
    return { inputs: [], diagnostics: [{ code: 'DEF_SYNTAX', severity: 'warning', message, place, hint }] };
  }
  const entries = new Map<string, Entry>(settings);
  for (const [kind, items] of lists)
    entries.set(kind, { keyPlace: place, node: { kind: 'list', items, place } });
  const root: Node = { kind: 'map', entries, place };
  return { inputs: [{ root, settings: settings.size > 0, typescript: true }], diagnostics: [] };
}
