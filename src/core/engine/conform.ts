/** What a user's function gave, as a value of the feature's declared type. */
import type { Value, ValueType } from '../schema/types.js';

/** Half of a character: no file and no wire can hold it. */
const LONE_SURROGATE = /\p{Surrogate}/gu;
const INT64 = 2n ** 63n;

function integer(given: unknown): Value | undefined {
  if (typeof given === 'number') return Number.isSafeInteger(given) ? given + 0 : undefined;
  if (typeof given !== 'bigint' || given < -INT64 || given >= INT64) return undefined;
  return Number.isSafeInteger(Number(given)) ? Number(given) : given;
}

/**
 * Null for null, undefined and numbers that are not finite; undefined for what is no value of the type. Lists, maps
 * and vectors are copied, so that nothing that the function keeps can change a value later.
 */
export function conform(type: ValueType, given: unknown): Value | undefined {
  if (given === null || given === undefined) return null;
  if (typeof given === 'number' && !Number.isFinite(given)) return null;
  switch (type.kind) {
    case 'float64':
      return typeof given === 'number' ? given + 0 : undefined;
    case 'int64':
    case 'decimal':
    case 'timestamp':
    case 'date':
      return integer(given);
    case 'string':
      return typeof given === 'string' ? given.replaceAll(LONE_SURROGATE, '\uFFFD') : undefined;
    case 'boolean':
      return typeof given === 'boolean' ? given : undefined;
    case 'float64_vector': {
      if (!Array.isArray(given) || (type.dimension !== undefined && given.length !== type.dimension))
        return undefined;
      const numbers = given.map((item: unknown) =>
        typeof item === 'number' && Number.isFinite(item) ? item + 0 : undefined,
      );
      return numbers.includes(undefined) ? undefined : (numbers as number[]);
    }
    case 'list': {
      if (!Array.isArray(given)) return undefined;
      const items = given.map((item: unknown) => conform(type.of, item));
      return items.includes(undefined) ? undefined : (items as Value[]);
    }
    case 'map': {
      if (!(given instanceof Map)) return undefined;
      const entries = [...given].map(([key, item]) => [key, conform(type.of, item)] as const);
      return entries.some(([key, item]) => typeof key !== 'string' || item === undefined)
        ? undefined
        : new Map(entries as [string, Value][]);
    }
  }
}
