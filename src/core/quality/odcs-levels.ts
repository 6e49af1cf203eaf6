/** Service levels of ODCS as ours, and ours as theirs. */
import { MICROS_PER_DAY, MICROS_PER_SECOND } from '../base/time.js';
import { type Form, type FormValue, isObject } from './form.js';
import { objects, textOf } from './odcs-terms.js';

const UNITS: readonly (readonly [unit: string, micros: number, words: RegExp])[] = [
  ['d', MICROS_PER_DAY, /^(d|days?)$/i],
  ['h', 3600 * MICROS_PER_SECOND, /^(h|hours?)$/i],
  ['m', 60 * MICROS_PER_SECOND, /^(m|min|minutes?)$/i],
  ['s', MICROS_PER_SECOND, /^(s|sec|seconds?)$/i],
];

const FRESHNESS = /^(latency|ly|freshness|fy)$/i;
const ERROR_RATE = /^(errorRate|er)$/i;
const COMPLETENESS = /^(timeOfAvailability|ta|completeness)$/i;

/** `-08:00` → the zone of that offset; undefined: no zone has it all year round. */
function zoneOfOffset(offset: string): string | undefined {
  if (/^(Z|[+-]00:?00)$/i.test(offset)) return 'UTC';
  const hours = /^([+-])0?(\d{1,2})(?::?00)?$/.exec(offset);
  const most = hours?.[1] === '+' ? 14 : 12;
  return hours && Number(hours[2]) <= most
    ? `Etc/GMT${hours[1] === '+' ? '-' : '+'}${Number(hours[2])}`
    : undefined;
}

/** The offset of such a zone, as it stands behind a time of day; empty for others. */
function offsetOfZone(zone: FormValue | undefined): string {
  if (zone === 'UTC') return 'Z';
  const hours = typeof zone === 'string' ? /^Etc\/GMT([+-])(\d{1,2})$/.exec(zone) : null;
  return hours ? `${hours[1] === '+' ? '-' : '+'}${hours[2]!.padStart(2, '0')}:00` : '';
}

/** A service level of ODCS as one of ours; undefined: it says something that is not measured here. */
export function levelOfSla(item: Form): Form | undefined {
  const property = textOf(item['property']) ?? '';
  const value = item['value'];
  const unit = textOf(item['unit']) ?? 'd';
  if (FRESHNESS.test(property)) {
    const known = UNITS.find(([, , words]) => words.test(unit));
    const number = Number(value);
    return known && Number.isFinite(number) && number > 0 ? { freshness: `${number}${known[0]}` } : undefined;
  }
  if (ERROR_RATE.test(property)) {
    const number = Number(value) / (/^(percent|%)$/i.test(unit) ? 100 : 1);
    return number >= 0 && number < 1 ? { passing: Number((1 - number).toFixed(12)) } : undefined;
  }
  if (COMPLETENESS.test(property)) {
    const match = /^(\d{1,2}):(\d{2})(?::00)?\s*(Z|[+-]\d{1,2}(?::?\d{2})?)?$/i.exec(textOf(value) ?? '');
    if (!match) return undefined;
    const timezone = match[3] === undefined ? undefined : zoneOfOffset(match[3]);
    if (match[3] !== undefined && timezone === undefined) return undefined;
    const by = `${match[1]!.padStart(2, '0')}:${match[2]}`;
    return { completeness: { by, ...(timezone === undefined ? {} : { timezone }) } };
  }
  return undefined;
}

const concerns = (item: Form, table: FormValue | undefined): boolean => {
  const element = textOf(item['element']);
  return element === undefined || element.split(',').some((part) => part.trim().split('.')[0] === table);
};

/** The service levels that a document states for a table. Of several about one thing the first is ours. */
export function levelsOfDocument(document: Form, table: FormValue | undefined): Form {
  let levels: Form = {};
  for (const item of objects(document['slaProperties']))
    if (concerns(item, table)) levels = { ...levelOfSla(item), ...levels };
  return levels;
}

/** Service levels of a table that nothing here measures, by their place: others' things, and second ones. */
export function unmeasured(document: Form, table: FormValue | undefined): ReadonlySet<number> {
  const out = new Set<number>();
  const seen = new Set<string>();
  objects(document['slaProperties']).forEach((item, at) => {
    if (!concerns(item, table)) return;
    const [level] = Object.keys(levelOfSla(item) ?? {});
    if (level === undefined || seen.has(level)) out.add(at);
    else seen.add(level);
  });
  return out;
}

/** Service levels of a document with ours in the place of those that say the same; the others stay. */
export function slaProperties(
  present: readonly Form[],
  levels: FormValue | undefined,
  table: string,
  eventTime: string | undefined,
): readonly Form[] {
  const said = isObject(levels) ? levels : {};
  const part = (level: FormValue | undefined, key: string): FormValue | undefined =>
    isObject(level) ? level[key] : level;
  const wanted = new Map<string, Form>();
  const within = part(said['freshness'], 'within');
  const parsed = typeof within === 'string' ? /^(\d+(?:\.\d+)?)([smhd])$/.exec(within) : null;
  if (parsed)
    wanted.set('freshness', {
      property: 'latency',
      value: Number(parsed[1]),
      unit: parsed[2]!,
      element: eventTime === undefined ? table : `${table}.${eventTime}`,
    });
  const share = part(said['passing'], 'share');
  if (typeof share === 'number')
    wanted.set('passing', {
      property: 'errorRate',
      value: Number(((1 - share) * 100).toFixed(10)),
      unit: 'percent',
      element: table,
    });
  const due = isObject(said['completeness']) ? said['completeness'] : {};
  const by = due['by'];
  if (typeof by === 'string')
    wanted.set('completeness', {
      property: 'timeOfAvailability',
      value: `${by}${offsetOfZone(due['timezone'])}`,
      element: table,
    });
  const out: Form[] = [];
  const stated = new Set<string>();
  for (const item of present) {
    const ours = concerns(item, table) ? levelOfSla(item) : undefined;
    const level = ours && Object.keys(ours)[0];
    const next = level === undefined ? undefined : wanted.get(level);
    if (level === undefined || (next && stated.has(level))) out.push(item);
    else if (next) {
      stated.add(level);
      const same = JSON.stringify(levelOfSla(next)) === JSON.stringify(ours);
      out.push(same ? item : { ...item, ...next });
    }
  }
  return [...out, ...[...wanted].flatMap(([level, next]) => (stated.has(level) ? [] : [next]))];
}
