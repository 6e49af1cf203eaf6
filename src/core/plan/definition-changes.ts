/** What has changed in definitions since they were last applied. */
import { type Fingerprint, fingerprint } from '../base/fingerprint.js';
import type { Definitions } from '../define/types.js';

export type ChangeClass = 'cosmetic' | 'additive' | 'breaking';

export interface DefinitionChange {
  /** `feature.spend_30d`. */
  readonly thing: string;
  readonly class: ChangeClass;
  readonly what: string;
}

/** Thing → the fingerprint of its meaning and that of all that is written of it. */
export type KnownDefinitions = Readonly<Record<string, readonly [meaning: Fingerprint, text: Fingerprint]>>;

/** Maps and big integers have canonical bytes as lists and text. */
const plain = (value: unknown): unknown =>
  JSON.parse(
    JSON.stringify(value, (_, item: unknown) =>
      item instanceof Map
        ? [...item]
        : item instanceof Set
          ? [...item]
          : typeof item === 'bigint'
            ? `${item}`
            : item,
    ),
  );

export function knownDefinitions(definitions: Definitions): KnownDefinitions {
  const known: Record<string, readonly [Fingerprint, Fingerprint]> = {};
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
    for (const thing of things.values())
      known[`${kind}.${thing.name}`] = [thing.fingerprint, fingerprint(plain(thing))];
  return known;
}

/**
 * `cosmetic`: what is computed stays, to the byte. `additive`: something new, what there is stays. `breaking`: values
 */
export function definitionChanges(
  before: KnownDefinitions,
  after: KnownDefinitions,
): readonly DefinitionChange[] {
  const changes: DefinitionChange[] = [];
  for (const [thing, [meaning, text]] of Object.entries(after)) {
    const old = before[thing];
    if (old === undefined) changes.push({ thing, class: 'additive', what: 'is new' });
    else if (old[0] !== meaning) changes.push({ thing, class: 'breaking', what: 'means something else' });
    else if (old[1] !== text)
      changes.push({ thing, class: 'cosmetic', what: 'is described or owned otherwise' });
  }
  for (const thing of Object.keys(before))
    if (after[thing] === undefined) changes.push({ thing, class: 'breaking', what: 'is no more' });
  return changes;
}
