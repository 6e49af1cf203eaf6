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
    const match = /^(\d{1,2}):(\d{2})/.exec(textOf(value) ?? '');
    return match ? { completeness: { by: `${match[1]!.padStart(2, '0')}:${match[2]}` } } : undefined;
  }
  return undefined;
}

const concerns = (item: Form, table: FormValue | undefined): boolean => {
  const element = textOf(item['element']);
  return element === undefined || element.split(',').some((part) => part.trim().split('.')[0] === table);
};

/** The service levels that a document states for a table. */
export function levelsOfDocument(document: Form, table: FormValue | undefined): Form {
  const levels: Record<string, FormValue> = {};
  for (const item of objects(document['slaProperties']))
    if (concerns(item, table)) Object.assign(levels, levelOfSla(item));
  return levels;
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
  const by = isObject(said['completeness']) ? said['completeness']['by'] : undefined;
  if (typeof by === 'string')
    wanted.set('completeness', { property: 'timeOfAvailability', value: by, element: table });
  const out: Form[] = [];
  for (const item of present) {
    const ours = concerns(item, table) ? levelOfSla(item) : undefined;
    const level = ours && Object.keys(ours)[0];
    if (level === undefined) out.push(item);
    else {
      const next = wanted.get(level);
      wanted.delete(level);
      if (!next) continue;
      const same = JSON.stringify(levelOfSla(next)) === JSON.stringify(ours);
      out.push(same ? item : { ...item, ...next });
    }
  }
  return [...out, ...wanted.values()];
}
