/** min, max and the values at the extremes of another field. */
import type { Value } from '../../schema/types.js';
import { compareValues, decodeValue, encodeValue } from '../compare.js';
import type { Fold } from '../fold.js';

interface Extreme {
  value: Value;
}

const extreme = (name: 'min' | 'max', sign: 1 | -1) => (): Fold<Extreme> => {
  const take = (state: Extreme, value: Value): void => {
    if (value !== null && (state.value === null || sign * compareValues(value, state.value) < 0))
      state.value = value;
  };
  return {
    function: name,
    commutative: true,
    init: () => ({ value: null }),
    add: (state, member) => take(state, member.value),
    merge: (into, from) => take(into, from.value),
    finish: (state) => state.value,
    encode: (state) => encodeValue(state.value),
    decode: (encoded) => ({ value: decodeValue(encoded) }),
  };
};

export const min = extreme('min', 1);
export const max = extreme('max', -1);

interface ExtremeBy {
  by: Value;
  value: Value;
}

/** The value of the member whose `by` is least or greatest; members with a null value or `by` are skipped; of ties the latest. */
const extremeBy = (name: 'min_by' | 'max_by', sign: 1 | -1) => (): Fold<ExtremeBy> => {
  const take = (state: ExtremeBy, value: Value, by: Value): void => {
    if (value === null || by === null) return;
    if (state.by !== null && sign * compareValues(by, state.by) > 0) return;
    state.by = by;
    state.value = value;
  };
  return {
    function: name,
    commutative: false,
    init: () => ({ by: null, value: null }),
    add: (state, member) => take(state, member.value, member.by),
    merge: (into, from) => take(into, from.value, from.by),
    finish: (state) => state.value,
    encode: (state) => [encodeValue(state.by), encodeValue(state.value)],
    decode: (encoded) => {
      const [by, value] = encoded as [unknown, unknown];
      return { by: decodeValue(by), value: decodeValue(value) };
    },
  };
};

export const minBy = extremeBy('min_by', 1);
export const maxBy = extremeBy('max_by', -1);
