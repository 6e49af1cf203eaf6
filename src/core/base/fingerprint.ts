import { createHash } from 'node:crypto';

/** SHA-256 in lower-case hex. Node's hash is a pure function here: no I/O, no state. */
export type Fingerprint = string;

type Canonical =
  | null
  | boolean
  | number
  | bigint
  | string
  | readonly Canonical[]
  | { readonly [key: string]: Canonical | undefined };

/**
 * Canonical bytes: each value is a tag and a length-prefixed body; object keys are sorted; undefined keys are
 * absent. No two different values share an encoding (`["a;b"]` ≠ `["a","b"]`, 1 ≠ "1", {} ≠ []).
 */
function print(value: Canonical): string {
  if (value === null) return 'z';
  if (typeof value === 'string') return `s${Buffer.byteLength(value)}:${value}`;
  if (typeof value === 'boolean') return value ? 't' : 'f';
  if (typeof value === 'number' || typeof value === 'bigint') {
    const text = Object.is(value, -0) ? '0' : String(value);
    return `n${text.length}:${text}`;
  }
  let text = '';
  if (Array.isArray(value)) {
    for (const item of value as readonly Canonical[]) text += print(item);
    return `a${value.length}:${text}`;
  }
  const object = value as Readonly<Record<string, Canonical | undefined>>;
  let count = 0;
  for (const key of Object.keys(object).sort()) {
    const item = object[key];
    if (item === undefined) continue;
    count++;
    text += print(key) + print(item);
  }
  return `o${count}:${text}`;
}

export const canonicalText = (value: unknown): string => print(value as Canonical);

export function fingerprint(value: unknown): Fingerprint {
  return createHash('sha256').update(canonicalText(value)).digest('hex');
}
