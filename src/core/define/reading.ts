/** What is read of a source. How its records are judged, and fields that are not read, concern nobody who reads. */
import { type Fingerprint, fingerprint } from '../base/fingerprint.js';
import { printType } from '../schema/types.js';
import type { Aggregation, Computation, Source } from './types.js';

/** Fields that an aggregation is told by; keys and times aside. */
export function aggregatedFields(aggregation: Aggregation): ReadonlySet<string> {
  const fields = new Set<string>();
  for (const name of [aggregation.field, aggregation.arguments.by, aggregation.groupBy])
    if (name) fields.add(name);
  for (const expression of [aggregation.where, aggregation.ratioWhere])
    for (const slot of expression?.slots ?? []) fields.add(slot.slot);
  return fields;
}

/** Fields that a computation is told by; keys and times aside. */
export function computedFields(computation: Computation): ReadonlySet<string> {
  switch (computation.kind) {
    case 'aggregation':
      return aggregatedFields(computation);
    case 'lookup':
      return new Set([computation.field]);
    case 'neighbours':
      return new Set([computation.field, ...(computation.where?.slots ?? []).map(({ slot }) => slot)]);
    default:
      return new Set();
  }
}

/** Keys, instants and the record's end: whoever reads a source reads these. */
const always = ({ recordKey, eventTime, availableAt, deleted, sequence }: Source): readonly string[] => [
  ...recordKey,
  eventTime,
  ...(availableAt.kind === 'field' ? [availableAt.field] : []),
  ...[deleted, sequence].flatMap((name) => name ?? []),
];

/** Equal where a reader of `fields` finds the same in the same log. */
export function readingPrint(source: Source, fields: Iterable<string>): Fingerprint {
  const read = new Set([...always(source), ...fields]);
  return fingerprint({
    records: source.records,
    fields: Object.fromEntries(
      source.fields
        .filter(({ name }) => read.has(name))
        .map(({ name, type, from, format }) => [name, [printType(type), from ?? null, format ?? null]]),
    ),
  });
}

export const wholeReading = (source: Source): Fingerprint =>
  readingPrint(
    source,
    source.fields.map(({ name }) => name),
  );
