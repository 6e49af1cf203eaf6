/**
 * What a change of a contract means to those who write the source and to those who read it.
 *
 * - compatible: the same records are accepted with the same values.
 * - additive: there is more to read; nothing that was there has changed.
 * - risky: a record or a value may now be judged differently; whether anyone notices depends on the data.
 * - breaking: what was promised to a reader or a writer no longer holds.
 */
import { nearest } from '../base/nearest.js';
import { printDuration } from '../base/time.js';
import { parseType } from '../schema/types.js';
import {
  type ContractSnapshot,
  contractFingerprint,
  type Plain,
  type SnapshotRule,
  withoutSpelling,
} from './contract-snapshot.js';
import { patternWithin } from './pattern-order.js';
import { compareValues } from './rules.js';

export const CHANGE_CLASSES = ['compatible', 'additive', 'risky', 'breaking'] as const;
export type ChangeClass = (typeof CHANGE_CLASSES)[number];

export interface ContractChange {
  readonly class: ChangeClass;
  /** Null for what concerns the whole source. */
  readonly field: string | null;
  /** `field.removed`, `field.type`, `rule.tightened`, `record_key`. */
  readonly change: string;
  /** What was and what is, on one line. */
  readonly message: string;
  /** Why it has its class. */
  readonly reason: string;
  /** Names of what reads it: `feature.spend_30d`, `model.fraud`. */
  readonly readers: readonly string[];
}

export type Bump = 'none' | 'patch' | 'minor' | 'major';

export interface ContractDiff {
  /** The gravest class of all changes; null when the contracts are the same. */
  readonly class: ChangeClass | null;
  readonly bump: Bump;
  readonly changes: readonly ContractChange[];
}

/** `now`: the name that the field has afterwards, where it is another. */
type Change = Omit<ContractChange, 'readers'> & { readonly now?: string };
/** Names of what reads a field, or anything of the source (null). */
export type Readers = (field: string | null) => readonly string[];

const BUMPS: Readonly<Record<ChangeClass, Bump>> = {
  compatible: 'patch',
  additive: 'minor',
  risky: 'minor',
  breaking: 'major',
};

const graver = (a: ChangeClass | null, b: ChangeClass): ChangeClass =>
  a === null || CHANGE_CLASSES.indexOf(b) > CHANGE_CLASSES.indexOf(a) ? b : a;

/** The version that follows (semver.org): `1.2.3` and `minor` → `1.3.0`. */
export function nextVersion(version: string, bump: Bump): string {
  const [major = 1, minor = 0, patch = 0] = version.split('.').map(Number);
  if (bump === 'major') return `${major + 1}.0.0`;
  if (bump === 'minor') return `${major}.${minor + 1}.0`;
  return bump === 'patch' ? `${major}.${minor}.${patch + 1}` : version;
}

/** Every change from one contract to another, the gravest first. */
export function diffContracts(
  before: ContractSnapshot,
  after: ContractSnapshot,
  readers: Readers = () => [],
): ContractDiff {
  const changes =
    contractFingerprint(before) === contractFingerprint(after)
      ? []
      : [...fieldChanges(before, after), ...shapeChanges(before, after), ...ruleChanges(before, after)];
  const worst = changes.reduce<ChangeClass | null>((found, change) => graver(found, change.class), null);
  const rank = (change: Change): number => -CHANGE_CLASSES.indexOf(change.class);
  return {
    class: worst,
    bump: worst === null ? 'none' : BUMPS[worst],
    changes: changes
      .map(({ now, ...change }) => ({
        ...change,
        readers: [...new Set([change.field, ...(now === undefined ? [] : [now])].flatMap(readers))],
      }))
      .sort((a, b) => rank(a) - rank(b)),
  };
}

const text = (value: unknown): string =>
  value === undefined || value === null
    ? 'none'
    : Array.isArray(value)
      ? value.join(', ')
      : typeof value === 'object'
        ? JSON.stringify(value)
        : String(value);

const requires = (contract: ContractSnapshot, field: string): boolean =>
  contract.rows.some(
    (rule) => rule.field === field && rule.check.kind === 'not_null' && REFUSES.has(rule.action),
  );

interface Renames {
  /** Old name → new name, and whether the column of the file proves it. */
  readonly of: ReadonlyMap<string, { readonly to: string; readonly certain: boolean }>;
}

/** A field that is gone and a new one that reads the same column, or has the same type and nearly the same name. */
function findRenames(before: ContractSnapshot, after: ContractSnapshot): Renames {
  const gone = before.fields.filter((field) => !after.fields.some((other) => other.name === field.name));
  let fresh = after.fields.filter((field) => !before.fields.some((other) => other.name === field.name));
  const of = new Map<string, { to: string; certain: boolean }>();
  const pair = (from: string, to: string, certain: boolean): void => {
    of.set(from, { to, certain });
    fresh = fresh.filter((field) => field.name !== to);
  };
  for (const { name, from = name } of gone) {
    const same = fresh.find((field) => (field.from ?? field.name) === from);
    if (same) pair(name, same.name, true);
  }
  for (const { name, type } of gone) {
    if (of.has(name)) continue;
    const alike = fresh.filter((field) => field.type === type).map((field) => field.name);
    const words = (other: string): boolean =>
      other.split('_').sort().join() === name.split('_').sort().join();
    const near = alike.find(words) ?? nearest(name, alike);
    if (near !== undefined) pair(name, near, false);
  }
  return { of };
}

function* fieldChanges(before: ContractSnapshot, after: ContractSnapshot): Iterable<Change> {
  const renames = findRenames(before, after);
  const renamedTo = new Set([...renames.of.values()].map(({ to }) => to));
  for (const old of before.fields) {
    const now = after.fields.find((field) => field.name === old.name);
    const renamed = renames.of.get(old.name);
    if (renamed) {
      yield {
        class: 'breaking',
        field: old.name,
        now: renamed.to,
        change: 'field.renamed',
        message: `${old.name} is ${renamed.certain ? '' : 'probably '}renamed to ${renamed.to}`,
        reason:
          'readers know it by its old name; keep the name and write `{ type, from }` for a renamed column',
      };
      const type = after.fields.find((field) => field.name === renamed.to)!.type;
      if (type !== old.type) yield typeChange(old.name, old.type, type);
    } else if (!now) {
      yield {
        class: 'breaking',
        field: old.name,
        change: 'field.removed',
        message: `${old.name} (${old.type}) is removed`,
        reason: 'readers of the field have nothing to read',
      };
    } else {
      if (now.type !== old.type) yield typeChange(old.name, old.type, now.type);
      if ((now.from ?? now.name) !== (old.from ?? old.name))
        yield {
          class: 'risky',
          field: old.name,
          change: 'field.column',
          message: `${old.name} is read from the column ${now.from ?? now.name}, no longer from ${old.from ?? old.name}`,
          reason: 'files written for the old column are refused; nothing tells whether both mean the same',
        };
    }
  }
  for (const field of after.fields) {
    if (renamedTo.has(field.name) || before.fields.some((other) => other.name === field.name)) continue;
    const required = requires(after, field.name);
    yield {
      class: required ? 'breaking' : 'additive',
      field: field.name,
      change: 'field.added',
      message: `${field.name} (${field.type}) is added${required ? ' and must not be null' : ''}`,
      reason: required
        ? 'records from writers that do not know the field are refused'
        : 'there is more to read; delimited files must have the column',
    };
  }
}

/** Conversions that every value of the old type survives, exactly or nearly. */
function typeChange(field: string, before: string, after: string): Change {
  const from = parseType(before);
  const to = parseType(after);
  const widened = ((): string | undefined => {
    if (!from || !to) return undefined;
    if (from.kind === 'int64' && to.kind === 'decimal') return 'whole numbers become decimals';
    if (from.kind === 'int64' && to.kind === 'float64') return 'numbers beyond 2^53 are rounded';
    if (from.kind === 'decimal' && to.kind === 'float64') return 'decimals become the nearest doubles';
    if (from.kind === 'decimal' && to.kind === 'decimal' && to.scale > from.scale)
      return 'more decimals leave fewer digits before the point';
    if (from.kind === 'date' && to.kind === 'timestamp') return 'days become their first instant';
    if (from.kind === 'float64_vector' && to.kind === 'float64_vector' && to.dimension === undefined)
      return 'vectors of any length are accepted';
    return undefined;
  })();
  return {
    class: widened === undefined ? 'breaking' : 'risky',
    field,
    change: 'field.type',
    message: `${field} is ${after}, was ${before}`,
    reason:
      widened === undefined
        ? 'values of the old type are not all values of the new one, and readers expect the old one'
        : `a wider type: ${widened}; the types of what is computed from it may change`,
  };
}

const SHAPE: readonly (readonly [
  key: 'kind' | 'recordKey' | 'eventTime' | 'availableAt' | 'deleted' | 'sequence' | 'keys',
  name: string,
  change: ChangeClass,
  reason: string,
])[] = [
  ['recordKey', 'record_key', 'breaking', 'what counts as a correction and as a duplicate changes'],
  ['eventTime', 'event_time', 'breaking', 'every window over the source holds other records'],
  ['availableAt', 'available_at', 'breaking', 'what could be known when changes, and training sets with it'],
  ['kind', 'kind', 'breaking', 'events and states are read differently'],
  ['deleted', 'deleted', 'breaking', 'which records count as deleted changes'],
  ['sequence', 'sequence', 'risky', 'which of several versions at one instant holds may change'],
  ['keys', 'keys', 'breaking', 'records belong to other entities'],
];

function* shapeChanges(before: ContractSnapshot, after: ContractSnapshot): Iterable<Change> {
  const shown = (key: (typeof SHAPE)[number][0], value: unknown): string => {
    if (key !== 'availableAt') return text(value);
    const { kind, field, delay } = value as { kind: string; field?: string; delay?: number };
    return kind === 'field' ? field! : kind === 'delay' ? `event_time + ${printDuration(delay!)}` : kind;
  };
  for (const [key, name, change, reason] of SHAPE) {
    const [old, now] = [before[key], after[key]];
    if (JSON.stringify(old ?? null) === JSON.stringify(now ?? null)) continue;
    yield {
      class: change,
      field: null,
      change: name,
      message: `${name} is ${shown(key, now)}, was ${shown(key, old)}`,
      reason,
    };
  }
  const clocks = before.fields.some((field) => field.type === 'timestamp');
  if (before.timezone !== after.timezone)
    yield {
      class: clocks ? 'breaking' : 'compatible',
      field: null,
      change: 'timezone',
      message: `timezone is ${after.timezone}, was ${before.timezone}`,
      reason: clocks ? 'timestamps without an offset are other instants' : 'no field is a timestamp',
    };
  if (before.ambiguousTime !== after.ambiguousTime)
    yield {
      class: clocks ? 'risky' : 'compatible',
      field: null,
      change: 'ambiguous_time',
      message: `ambiguous_time is ${after.ambiguousTime}, was ${before.ambiguousTime}`,
      reason: 'local times that exist twice or not at all are read differently',
    };
}

/** Actions that keep a record out of the log. */
const REFUSES: ReadonlySet<string> = new Set(['fail', 'quarantine', 'drop']);
/** Actions that only say something; others change the record. */
const ONLY_SAYS: ReadonlySet<string> = new Set(['flag', 'warn', 'observe']);

/** How the second of two sets of accepted values lies to the first; null: it cannot be told. */
type Direction = 'same' | 'tighter' | 'looser' | null;

const both = (a: Direction, b: Direction): Direction =>
  a === 'same' ? b : b === 'same' || a === b ? a : null;

const isNumber = (value: unknown): boolean =>
  typeof value === 'number' || (typeof value === 'string' && /^-?\d+(\.\d+)?$/.test(value));

/** `side` 1: a lower limit, where more is tighter; -1: an upper one. Absent is no limit. */
function limitDirection(before: unknown, after: unknown, side: 1 | -1): Direction {
  if (before === undefined && after === undefined) return 'same';
  if (before === undefined) return 'tighter';
  if (after === undefined) return 'looser';
  const [a, b] =
    isNumber(before) && isNumber(after) ? [Number(before), Number(after)] : [String(before), String(after)];
  const order = compareValues(b, a) * side;
  return order === 0 ? 'same' : order > 0 ? 'tighter' : 'looser';
}

const exclusive = (before: unknown, after: unknown): Direction =>
  (before ?? false) === (after ?? false) ? 'same' : after ? 'tighter' : 'looser';

function direction(before: SnapshotRule['check'], after: SnapshotRule['check']): Direction {
  if (JSON.stringify(withoutSpelling(before)) === JSON.stringify(withoutSpelling(after))) return 'same';
  if (before.kind !== after.kind) return null;
  const ends = (): Direction =>
    both(limitDirection(before['min'], after['min'], 1), limitDirection(before['max'], after['max'], -1));
  switch (before.kind) {
    case 'range': {
      const open = (key: string, end: string): Direction =>
        before[end] === after[end] ? exclusive(before[key], after[key]) : 'same';
      return both(ends(), both(open('minExclusive', 'min'), open('maxExclusive', 'max')));
    }
    case 'length':
    case 'row_count':
    case 'null_rate':
    case 'quarantine_rate':
    case 'distinct_count':
    case 'mean':
      return ends();
    case 'set': {
      const [old, now] = [before['values'], after['values']] as readonly (readonly Plain[])[];
      const lost = old!.some((value) => !now!.includes(value));
      const gained = now!.some((value) => !old!.includes(value));
      return lost && gained ? null : lost ? 'tighter' : gained ? 'looser' : 'same';
    }
    case 'pattern': {
      const [old, now] = [String(before['pattern']), String(after['pattern'])];
      const [wider, narrower] = [patternWithin(old, now), patternWithin(now, old)];
      return wider && narrower ? 'same' : wider ? 'looser' : narrower ? 'tighter' : null;
    }
    case 'extra_columns': {
      const order = ['ignore', 'warn', 'refuse'];
      const step = order.indexOf(String(after['policy'])) - order.indexOf(String(before['policy']));
      return step > 0 ? 'tighter' : step < 0 ? 'looser' : 'same';
    }
    default:
      return null;
  }
}

const shownCheck = ({ kind, ...rest }: SnapshotRule['check']): string => {
  const parts = Object.entries(rest)
    .filter(([key, value]) => value !== false && value !== undefined && key !== 'field')
    .map(([key, value]) => {
      const object = value as { readonly text?: Plain } | null;
      if (typeof object === 'object' && object !== null && typeof object.text === 'string')
        return object.text;
      return `${key} ${text(value)}`;
    });
  return parts.length === 0 ? kind : parts.join(', ');
};

function* ruleChanges(before: ContractSnapshot, after: ContractSnapshot): Iterable<Change> {
  const fields = new Set(after.fields.map((field) => field.name));
  const known = new Set(before.fields.map((field) => field.name));
  const lists = [
    [before.rows, after.rows, 'record'],
    [before.batch, after.batch, 'batch'],
  ] as const;
  for (const [old, now, scope] of lists) {
    for (const rule of old) {
      const next = now.find((other) => other.id === rule.id);
      if (next) yield* changedRule(rule, next, scope);
      else if (rule.field === null || fields.has(rule.field)) yield removedRule(rule, scope);
    }
    for (const rule of now) {
      if (old.some((other) => other.id === rule.id)) continue;
      // What a new field must be is told with the field.
      if (rule.field !== null && !known.has(rule.field)) continue;
      yield addedRule(rule, scope);
    }
  }
}

function addedRule(rule: SnapshotRule, scope: 'record' | 'batch'): Change {
  const base = { field: rule.field, change: 'rule.added' };
  const message = `${rule.id} is added: ${shownCheck(rule.check)} (${rule.action})`;
  if (scope === 'batch')
    return rule.action === 'fail'
      ? { ...base, class: 'risky', message, reason: 'batches that were taken before may be refused whole' }
      : { ...base, class: 'compatible', message, reason: 'it only reports' };
  if (ONLY_SAYS.has(rule.action))
    return {
      ...base,
      class: 'compatible',
      message,
      reason: `records stay accepted: the action is ${rule.action}`,
    };
  if (!REFUSES.has(rule.action))
    return { ...base, class: 'risky', message, reason: `values that break it are changed by ${rule.action}` };
  if (rule.check.kind === 'not_null')
    return {
      ...base,
      class: 'breaking',
      change: 'rule.required',
      message,
      reason: 'writers could leave it out before',
    };
  if (rule.check.kind === 'set')
    return { ...base, class: 'breaking', message, reason: 'writers could send any value before' };
  return { ...base, class: 'risky', message, reason: 'records that were accepted before may be refused' };
}

function removedRule(rule: SnapshotRule, scope: 'record' | 'batch'): Change {
  const base = { field: rule.field, change: 'rule.removed', message: `${rule.id} is removed` };
  if (scope === 'record' && ONLY_SAYS.has(rule.action))
    return { ...base, class: 'compatible', reason: 'it refused no record' };
  if (scope === 'batch' && rule.action !== 'fail')
    return { ...base, class: 'compatible', reason: 'it refused no batch' };
  return {
    ...base,
    class: 'risky',
    reason:
      rule.check.kind === 'not_null'
        ? 'readers may now meet nulls'
        : 'readers may meet values and batches that were kept from them',
  };
}

function* changedRule(
  before: SnapshotRule,
  after: SnapshotRule,
  scope: 'record' | 'batch',
): Iterable<Change> {
  const base = { field: after.field };
  const step = direction(before.check, after.check);
  const refuses = (rule: SnapshotRule): boolean =>
    scope === 'batch' ? rule.action === 'fail' : REFUSES.has(rule.action);
  if (step !== 'same') {
    const message = `${after.id} is ${shownCheck(after.check)}, was ${shownCheck(before.check)}`;
    if (!refuses(after) && !refuses(before) && ONLY_SAYS.has(after.action))
      yield { ...base, class: 'compatible', change: 'rule.changed', message, reason: 'it refuses nothing' };
    else if (step === 'tighter')
      yield {
        ...base,
        class: scope === 'batch' ? 'risky' : 'breaking',
        change: 'rule.tightened',
        message,
        reason:
          scope === 'batch'
            ? 'batches that were taken before may be refused whole'
            : 'values that were promised to be accepted are refused',
      };
    else if (step === 'looser')
      yield {
        ...base,
        class: 'risky',
        change: 'rule.loosened',
        message,
        reason: 'readers may meet values and batches that were kept from them',
      };
    else
      yield {
        ...base,
        class: after.check.kind === 'expression' ? 'risky' : 'breaking',
        change: 'rule.changed',
        message,
        reason:
          after.check.kind === 'expression'
            ? 'whether it accepts more or less cannot be told from its text'
            : 'it refuses what was accepted, and not only more or only less',
      };
  } else if (before.check['pattern'] !== after.check['pattern'])
    yield {
      ...base,
      class: 'compatible',
      change: 'rule.changed',
      message: `${after.id} is ${shownCheck(after.check)}, was ${shownCheck(before.check)}`,
      reason: 'another form, for the same texts',
    };
  if (before.action !== after.action) {
    const message = `${after.id} has the action ${after.action}, was ${before.action}`;
    const stricter = !refuses(before) && refuses(after);
    const laxer = refuses(before) && !refuses(after);
    yield stricter
      ? {
          ...base,
          class: scope === 'batch' ? 'risky' : 'breaking',
          change: 'rule.action',
          message,
          reason: 'what was accepted with a remark is now refused',
        }
      : {
          ...base,
          class: laxer || refuses(after) || !ONLY_SAYS.has(after.action) ? 'risky' : 'compatible',
          change: 'rule.action',
          message,
          reason: laxer
            ? 'readers may meet values and batches that were kept from them'
            : refuses(after)
              ? 'what is refused ends in another place'
              : 'records stay accepted',
        };
  }
  if (before.severity !== after.severity)
    yield {
      ...base,
      class: 'compatible',
      change: 'rule.severity',
      message: `${after.id} has the severity ${after.severity}, was ${before.severity}`,
      reason: 'severity is reported; it changes nothing',
    };
}
