/** What has changed in definitions since they were last applied. */
import type { Fingerprint } from '../base/fingerprint.js';
import { type DifferingLine, definitionLines, differingLines } from '../define/lines.js';
import type { Definitions } from '../define/types.js';

export type ChangeClass = 'cosmetic' | 'additive' | 'breaking';

export interface DefinitionChange {
  /** `feature.spend_30d`. */
  readonly thing: string;
  readonly class: ChangeClass;
  readonly what: string;
}

/** Thing → the fingerprint of its meaning, and the lines of all that is written of it. */
export type KnownDefinitions = Readonly<
  Record<string, readonly [meaning: Fingerprint, lines: Readonly<Record<string, string>>]>
>;

const isSource = (thing: string): boolean => thing.startsWith('source.');

export function knownDefinitions(definitions: Definitions): KnownDefinitions {
  const known: Record<string, readonly [Fingerprint, Readonly<Record<string, string>>]> = {};
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
      known[`${kind}.${thing.name}`] = [
        // Fields and contract are judged by their lines.
        'records' in thing ? thing.records : thing.fingerprint,
        Object.fromEntries(definitionLines(thing, { documentation: true })),
      ];
  return known;
}

const THROUGH = 'through what is read, which means something else now';
const SHOWN = 6;
const WIDTH = 60;
const short = (text: string): string => (text.length > WIDTH ? `${text.slice(0, WIDTH - 1)}…` : text);

/** `computation.window 30d → 7d, default 0 is new`. */
function told(lines: readonly DifferingLine[]): string {
  const texts = lines
    .slice(0, SHOWN)
    .map(({ path, a, b }) =>
      a === null
        ? `${path} ${short(b!)} is new`
        : b === null
          ? `${path} ${short(a)} is gone`
          : `${path} ${short(a)} → ${short(b)}`,
    );
  return [...texts, ...(lines.length > SHOWN ? [`${lines.length - SHOWN} more`] : [])].join(', ');
}

/** A source whose records are the same otherwise: who reads it reads fields, and its contract judges what comes. */
function sourceChange(thing: string, lines: readonly DifferingLine[]): DefinitionChange | undefined {
  const fields = lines.filter(({ path }) => path.startsWith('fields.'));
  if (fields.some(({ a }) => a !== null))
    return { thing, class: 'breaking', what: `has other fields: ${told(fields)}` };
  if (fields.length > 0) return { thing, class: 'additive', what: `has more fields: ${told(fields)}` };
  // What that means is told of its contract.
  if (lines.some(({ path }) => path.startsWith('contract.')))
    return { thing, class: 'additive', what: 'judges new records otherwise' };
  return lines.length === 0
    ? undefined
    : { thing, class: 'cosmetic', what: `holds the same: ${told(lines)}` };
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
    const lines = differingLines(new Map(Object.entries(old[1])), new Map(Object.entries(written)));
    if (old[0] !== meaning)
      changes.push({
        thing,
        class: 'breaking',
        what: lines.length === 0 ? THROUGH : `means something else: ${told(lines)}`,
      });
    else if (isSource(thing)) changes.push(...[sourceChange(thing, lines)].flatMap((change) => change ?? []));
    else if (lines.length > 0)
      changes.push({ thing, class: 'cosmetic', what: `computes the same: ${told(lines)}` });
  }
  for (const thing of Object.keys(before))
    if (after[thing] === undefined) changes.push({ thing, class: 'breaking', what: 'is no more' });
  return changes;
}
