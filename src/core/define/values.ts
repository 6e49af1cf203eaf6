import { daysFromCivil, parseInstant, parseTimestampParts } from '../base/time.js';
import type { Integer, Value, ValueType } from '../schema/types.js';
import type { ScalarValue } from './node.js';

const INT64_LIMIT = 2n ** 63n;

/** A scalar of a definition as a value of a type, exactly; undefined when it is none. */
export function literalValue(value: ScalarValue, text: string, type: ValueType): Value | undefined {
  if (value === null) return null;
  switch (type.kind) {
    case 'int64':
      return typeof value === 'bigint' || (typeof value === 'number' && Number.isSafeInteger(value))
        ? integer(BigInt(value))
        : undefined;
    case 'float64':
      if (typeof value === 'bigint') return Number(value);
      return typeof value === 'number' && Number.isFinite(value) ? value + 0 : undefined;
    case 'decimal':
      return typeof value === 'number' || typeof value === 'bigint' ? unscaled(text, type.scale) : undefined;
    case 'string':
      return typeof value === 'string' ? value : text;
    case 'boolean':
      return typeof value === 'boolean' ? value : undefined;
    case 'timestamp':
      return typeof value === 'string' ? parseInstant(value) : undefined;
    case 'date': {
      const match = typeof value === 'string' ? /^(\d{4})-(\d{2})-(\d{2})$/.exec(value) : null;
      if (!match || !parseTimestampParts(match[0])) return undefined;
      return daysFromCivil(Number(match[1]), Number(match[2]), Number(match[3]));
    }
    default:
      return undefined;
  }
}

const integer = (value: bigint): Integer | undefined => {
  if (value < -INT64_LIMIT || value >= INT64_LIMIT) return undefined;
  return Number.isSafeInteger(Number(value)) ? Number(value) : value;
};

function unscaled(text: string, scale: number): Integer | undefined {
  const match = /^([-+]?)(\d*)(?:\.(\d*))?$/.exec(text);
  if (!match) return undefined;
  const fraction = (match[3] ?? '').replace(/0+$/, '');
  if (fraction.length > scale) return undefined;
  const digits = BigInt(`${match[2]}${fraction.padEnd(scale, '0')}` || '0');
  return integer(match[1] === '-' ? -digits : digits);
}
