/** Words that many definitions share: names, durations, types, documentation, how steps are performed. */

import { parseDuration } from '../../base/time.js';
import { parseType, TYPE_NAMES } from '../../schema/types.js';
import { boolean, list, number, object, optional, text } from '../shape.js';

export const PART_NAMES = ['train', 'validation', 'test', 'holdout'] as const;

const NAME_PATTERN = '^[A-Za-z_][A-Za-z0-9_]*$';
const NAME = new RegExp(NAME_PATTERN);

export const name = text(
  'a name of letters, digits and underscores',
  (written) => (NAME.test(written) ? written : undefined),
  {
    pattern: NAME_PATTERN,
  },
);
export const anyText = text('a text');
export const field = text('the name of a field', null, { loose: true });
export const expression = text('an expression', null, { loose: true });
export const duration = text('a duration', (written) => positive(parseDuration(written)), {
  examples: ['30s', '5m', '1h', '7d'],
});
export const signedDuration = text('a duration', parseDuration, { examples: ['2h', '-1d'] });
export const window = text<number | 'all'>(
  'a duration or all',
  (written) => (['all', 'inf', 'unbounded'].includes(written) ? 'all' : strictly(parseDuration(written))),
  { examples: ['1h', '30d', 'all'] },
);
export const valueType = text('a type', parseType, { examples: TYPE_NAMES });
export const zone = text('an IANA time zone', (written) => (isZone(written) ? written : undefined), {
  examples: ['UTC', 'Europe/Berlin'],
});
export const oneOrMore = list(field, { lone: true, what: 'the name of a field, or a list of them' });

export function positive(micros: number | undefined): number | undefined {
  return micros !== undefined && micros >= 0 ? micros : undefined;
}
export function strictly(micros: number | undefined): number | undefined {
  return micros !== undefined && micros > 0 ? micros : undefined;
}
function isZone(written: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: written });
    return true;
  } catch {
    return false;
  }
}

const BYTES: Readonly<Record<string, number>> = {
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  tb: 1e12,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
  tib: 2 ** 40,
};
/** Bytes of a size as it is written: 64MiB. */
export function parseBytes(written: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?)\s*([kmgt]i?b)$/i.exec(written);
  const unit = match && BYTES[match[2]!.toLowerCase()];
  return unit ? Math.floor(Number(match[1]) * unit) : undefined;
}

export const documentation = {
  description: optional(anyText, 'What it is, for people. Outside of the fingerprint.'),
  owner: optional(anyText, 'Who answers for it. Outside of the fingerprint.'),
  tags: optional(list(anyText), 'Words to find it by. Outside of the fingerprint.'),
};

export const stepSettings = {
  tries: optional(
    number('a whole number from 1', { integer: true, min: 1 }),
    'Tries that may fail, of kinds that may pass, before the step has failed; 3 is the default.',
  ),
  backoff: optional(
    duration,
    'Wait before the second try, doubled before every further one; 1s is the default.',
  ),
  timeout: optional(
    text('a duration', (written) => strictly(parseDuration(written)), { examples: ['10m', '2h'] }),
    'A try is stopped after so long. Absent: never.',
  ),
  priority: optional(
    number('a whole number', { integer: true }),
    'Of several steps that are ready the greatest goes first; 0 is the default.',
  ),
  pool: optional(
    name,
    'Steps of one pool share its places; `engine` is the default: one step at a time, with all threads and memory.',
  ),
};

/** Of an asset: how its steps are performed. */
export const performed = {
  executor: optional(
    object('executor', stepSettings),
    'How its steps are performed, where otherwise than the settings say. Outside of the fingerprint.',
  ),
};

export const share = number('a share from 0 to 1', { min: 0, max: 1 });
export const timeOfDay = text(
  'a time of day',
  (written) => {
    const match = /^([01]?\d|2[0-3]):([0-5]\d)$/.exec(written);
    return match ? Number(match[1]) * 60 + Number(match[2]) : undefined;
  },
  { examples: ['06:00'], loose: true },
);
export const positiveNumber = number('a number from 0', { min: 0 });

export const enabled = optional(boolean, 'false: it stands, and does nothing.');
