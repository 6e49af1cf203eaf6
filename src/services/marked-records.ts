/** What rules changed or remarked in the records of a source, as JSON values. */
import { printInstant } from '../core/base/time.js';
import type { Source } from '../core/define/types.js';
import { toJson } from '../core/schema/coerce-print.js';
import type { Value } from '../core/schema/types.js';
import type { MarkFilter } from '../ports/record-log.js';
import type { Project } from './project.js';

export interface ListedRepair {
  readonly seq: number;
  readonly record_key: readonly unknown[];
  readonly field: string;
  readonly original: unknown;
  readonly repaired: unknown;
  readonly rule: string;
  readonly contract: string;
}

export interface ListedFlags {
  readonly seq: number;
  readonly event_time: string;
  readonly flags: readonly string[];
  readonly record: Readonly<Record<string, unknown>>;
}

const printer = (source: Source): ((name: string, value: Value) => unknown) => {
  const types = new Map(source.fields.map(({ name, type }) => [name, type]));
  return (name, value) => toJson(types.get(name)!, value);
};

/** Newest record first. */
export async function listRepairs(
  project: Project,
  source: Source,
  filter: MarkFilter,
): Promise<readonly ListedRepair[]> {
  const print = printer(source);
  return (await (await project.log()).repairs(source, filter)).map(
    ({ seq, recordKey, field, original, repaired, rule, contract }) => ({
      seq,
      record_key: recordKey.map((value, i) => print(source.recordKey[i]!, value)),
      field,
      original: print(field, original),
      repaired: print(field, repaired),
      rule,
      contract,
    }),
  );
}

/** Newest record first. */
export async function listFlagged(
  project: Project,
  source: Source,
  filter: MarkFilter,
): Promise<readonly ListedFlags[]> {
  const print = printer(source);
  return (await (await project.log()).flagged(source, filter)).map(({ seq, eventTime, flags, fields }) => ({
    seq,
    event_time: printInstant(eventTime),
    flags,
    record: Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, print(name, value)])),
  }));
}
