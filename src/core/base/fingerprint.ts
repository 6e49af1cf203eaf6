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
function write(value: Canonical, parts: string[]): void {
  if (value === null) parts.push('z');
  else if (typeof value === 'boolean') parts.push(value ? 't' : 'f');
  else if (typeof value === 'number' || typeof value === 'bigint') {
    const text = Object.is(value, -0) ? '0' : String(value);
    parts.push(`n${text.length}:${text}`);
  } else if (typeof value === 'string') parts.push(`s${Buffer.byteLength(value)}:${value}`);
  else if (Array.isArray(value)) {
    parts.push(`a${value.length}:`);
    for (const item of value as readonly Canonical[]) write(item, parts);
  } else {
    const entries = Object.entries(value as Record<string, Canonical | undefined>).filter(
      ([, item]) => item !== undefined,
    );
    entries.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
    parts.push(`o${entries.length}:`);
    for (const [key, item] of entries) {
      write(key, parts);
      write(item as Canonical, parts);
    }
  }
}

export function canonicalText(value: unknown): string {
  const parts: string[] = [];
  write(value as Canonical, parts);
  return parts.join('');
}

export function fingerprint(value: unknown): Fingerprint {
  return createHash('sha256').update(canonicalText(value)).digest('hex');
}
