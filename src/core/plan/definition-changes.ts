/** What has changed in definitions since they were last applied. */
import type { Fingerprint } from '../base/fingerprint.js';
import type { Definitions } from '../define/types.js';

export type ChangeClass = 'cosmetic' | 'additive' | 'breaking';

export interface DefinitionChange {
  /** `feature.spend_30d`. */
  readonly thing: string;
  readonly class: ChangeClass;
  readonly what: string;
}

type Plain = null | boolean | number | string | readonly Plain[] | { readonly [key: string]: Plain };

/** Thing → the fingerprint of its meaning, and all that is written of it. */
export type KnownDefinitions = Readonly<Record<string, readonly [meaning: Fingerprint, written: Plain]>>;

/** As JSON, without where it stands in its file and without fingerprints, which say the same in another way. */
const plain = (value: unknown): Plain =>
  JSON.parse(
    JSON.stringify(value, (key, item: unknown) => {
      if (key === 'fingerprint') return undefined;
      if (key === 'place' && typeof item === 'object') return undefined;
      if (item instanceof Map || item instanceof Set) return [...item];
      return typeof item === 'bigint' ? `${item}` : item;
    }),
  ) as Plain;

export function knownDefinitions(definitions: Definitions): KnownDefinitions {
  const known: Record<string, readonly [Fingerprint, Plain]> = {};
  const kinds = {
    source: definitions.sources,
    feature: definitions.features,
    label: definitions.labels,
    dataset: definitions.datasets,
    model: definitions.models,
    service: definitions.services,
    monitor: definitions.monitors,
  };
  for (const [kind, things] of Object.entries(kinds))
    for (const thing of things.values()) known[`${kind}.${thing.name}`] = [thing.fingerprint, plain(thing)];
  return known;
}

/** Deeper than this, what differs is named by what holds it. */
const DEPTH = 2;

/** Where two definitions differ: `computation.window`. */
function differences(before: Plain | undefined, after: Plain | undefined, path: string, depth = 0): string[] {
  if (before === after) return [];
  const isObject = (value: Plain | undefined): value is { readonly [key: string]: Plain } =>
    typeof value === 'object' && value !== null && !Array.isArray(value);
  if (depth < DEPTH && isObject(before) && isObject(after))
    return [...new Set([...Object.keys(before), ...Object.keys(after)])].flatMap((key) =>
      differences(before[key], after[key], path === '' ? key : `${path}.${key}`, depth + 1),
    );
  return JSON.stringify(before) === JSON.stringify(after) ? [] : [path];
}

/**
 * `cosmetic`: what is computed stays, to the byte. `additive`: something new, what there is stays. `breaking`: values
 * become others, or something is no more.
 */
export function definitionChanges(
  before: KnownDefinitions,
  after: KnownDefinitions,
): readonly DefinitionChange[] {
  const changes: DefinitionChange[] = [];
  for (const [thing, [meaning, written]] of Object.entries(after)) {
    const old = before[thing];
    if (old === undefined) {
      changes.push({ thing, class: 'additive', what: 'is new' });
      continue;
    }
    const where = differences(old[1], written, '').join(', ');
    if (old[0] !== meaning)
      changes.push({
        thing,
        class: 'breaking',
        what: where === '' ? 'reads what means something else now' : `means something else: ${where}`,
      });
    else if (where !== '') changes.push({ thing, class: 'cosmetic', what: `computes the same: ${where}` });
  }
  for (const thing of Object.keys(before))
    if (after[thing] === undefined) changes.push({ thing, class: 'breaking', what: 'is no more' });
  return changes;
}
