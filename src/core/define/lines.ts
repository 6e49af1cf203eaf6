/** Definitions as lines of text, one for each of their properties: what differs between two of them, for people. */
import { printDuration } from '../base/time.js';
import { printType } from '../schema/types.js';

/** What people are told, outside of what a definition means. */
const DOCUMENTATION = new Set(['description', 'owner', 'tags']);
/** Outside of both, or told by something else. */
const ASIDE = new Set(['name', 'place', 'fingerprint', 'records', 'dependsOn']);
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

function flatten(
  path: string,
  value: unknown,
  skipped: ReadonlySet<string>,
  into: Map<string, string>,
): void {
  if (value === null || value === undefined) return;
  const name = path.slice(path.lastIndexOf('.') + 1);
  if (typeof value === 'function') return;
  if (typeof value === 'number' && DURATIONS.has(name)) into.set(path, printDuration(value));
  else if (typeof value !== 'object') into.set(path, String(value));
  // Expressions, and what a gate requires.
  else if ('text' in value && ('canonical' in value || 'operator' in value))
    into.set(path, String(value.text));
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
      : value instanceof Map
        ? value
        : Object.entries(value))
      if (!skipped.has(key)) flatten(path === '' ? key : `${path}.${key}`, item, skipped, into);
}

/** The meaning of a definition, a line for each of its properties; with what is told people of it where that is asked. */
export function definitionLines(
  definition: object,
  options: { readonly documentation?: boolean } = {},
): ReadonlyMap<string, string> {
  const lines = new Map<string, string>();
  flatten('', definition, options.documentation ? ASIDE : new Set([...ASIDE, ...DOCUMENTATION]), lines);
  return lines;
}

export interface DifferingLine {
  readonly path: string;
  /** Null where a side has none. */
  readonly a: string | null;
  readonly b: string | null;
}

export const differingLines = (
  a: ReadonlyMap<string, string>,
  b: ReadonlyMap<string, string>,
): readonly DifferingLine[] =>
  [...new Set([...a.keys(), ...b.keys()])]
    .filter((path) => a.get(path) !== b.get(path))
    .map((path) => ({ path, a: a.get(path) ?? null, b: b.get(path) ?? null }));
