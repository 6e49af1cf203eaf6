/** Command-line values to what the services take. */
import { MillraceError } from '../core/base/error.js';
import { nearest } from '../core/base/nearest.js';
import { type Instant, parseInstant } from '../core/base/time.js';

export const list = (value: unknown): string[] =>
  (Array.isArray(value) ? value : value === undefined ? [] : [value])
    .flatMap((item) => String(item).split(','))
    .map((item) => item.trim())
    .filter((item) => item !== '');

/** Names separated by commas, one at least. */
export function names(value: unknown, option: string): string[] {
  const given = list(value);
  if (given.length === 0)
    throw new MillraceError('USAGE', `${option} names nothing`, {
      hint: 'Give names separated by commas.',
    });
  return given;
}

export function instant(value: unknown, option: string): Instant | undefined {
  if (value === undefined) return undefined;
  if (value === 'now') return Date.now() * 1000;
  const parsed = parseInstant(String(value));
  if (parsed === undefined)
    throw new MillraceError('USAGE', `${option} is "${String(value)}", which is no instant`, {
      hint: 'Give ISO 8601, for example 2024-03-01T12:00:00Z.',
    });
  return parsed;
}

export function integer(value: unknown, option: string): number | undefined {
  if (value === undefined) return undefined;
  const number = Number(value);
  if (!Number.isSafeInteger(number) || number < 0)
    throw new MillraceError('USAGE', `${option} is "${String(value)}", which is no whole number`);
  return number;
}

/** `k=v` pairs; the value is text, typed later by the field it names. */
export function pairs(value: unknown, option: string): Record<string, string> {
  const result: Record<string, string> = {};
  for (const item of Array.isArray(value) ? value : value === undefined ? [] : [value]) {
    const text = String(item);
    const at = text.indexOf('=');
    if (at <= 0)
      throw new MillraceError('USAGE', `${option} "${text}" is not key=value`, {
        hint: `For example ${option} user_id=7.`,
      });
    result[text.slice(0, at)] = text.slice(at + 1);
  }
  return result;
}

/** `NAME@VERSION`; the version is absent when it is not given. */
export function versioned(text: string): { name: string; version: number | undefined } {
  const at = text.lastIndexOf('@');
  if (at <= 0) return { name: text, version: undefined };
  const version = Number(text.slice(at + 1));
  if (!Number.isSafeInteger(version) || version < 1)
    throw new MillraceError('USAGE', `"${text}" is not NAME@VERSION`);
  return { name: text.slice(0, at), version };
}

export function knowledge(value: unknown): 'as_of' | 'hindsight' | undefined {
  if (value === undefined || value === 'as_of' || value === 'hindsight') return value;
  throw new MillraceError('USAGE', `--knowledge is "${String(value)}"`, { hint: 'Give as_of or hindsight.' });
}

/** `name` when it is one of `known`; UNKNOWN_NAME with the nearest one when not. */
export function known(name: string, of: Iterable<string>, what: string): string {
  const names = [...of];
  if (names.includes(name)) return name;
  const near = nearest(name, names);
  throw new MillraceError('UNKNOWN_NAME', `there is no ${what} named "${name}"`, {
    hint: near
      ? `Did you mean "${near}"?`
      : names.length > 0
        ? `There are: ${names.slice(0, 20).join(', ')}.`
        : `No ${what} is defined.`,
  });
}
