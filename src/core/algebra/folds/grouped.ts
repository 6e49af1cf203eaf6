/** `group_by`: a map from category to the value of the inner fold over that category's members. */
import type { Value } from '../../schema/types.js';
import { compareText } from '../compare.js';
import type { Fold } from '../fold.js';

type Groups<S> = Map<string, { state: S; rows: number }>;

/** Members with a null category are in no group. Categories come in code point order; none at all is null. */
export function grouped<S>(inner: Fold<S>): Fold<Groups<S>> {
  const groupOf = (state: Groups<S>, category: string) => {
    let group = state.get(category);
    if (!group) {
      group = { state: inner.init(), rows: 0 };
      state.set(category, group);
    }
    return group;
  };
  const sorted = (state: Groups<S>) => [...state].sort((a, b) => compareText(a[0], b[0]));
  const { remove, nullStatus } = inner;
  return {
    function: inner.function,
    commutative: inner.commutative,
    init: () => new Map(),
    add: (state, member) => {
      if (member.group === null || member.group === undefined) return;
      const group = groupOf(state, member.group);
      group.rows++;
      inner.add(group.state, member);
    },
    ...(remove && {
      remove: (state: Groups<S>, member: Parameters<typeof remove>[1]) => {
        if (member.group === null || member.group === undefined) return;
        const group = groupOf(state, member.group);
        group.rows--;
        remove(group.state, member);
        if (group.rows === 0) state.delete(member.group);
      },
    }),
    merge: (into, from) => {
      for (const [category, { state, rows }] of from) {
        const group = groupOf(into, category);
        group.rows += rows;
        inner.merge(group.state, state);
      }
    },
    finish: (state, at) =>
      state.size === 0
        ? null
        : new Map<string, Value>(
            sorted(state).map(([category, group]) => [category, inner.finish(group.state, at)]),
          ),
    ...(nullStatus && {
      partFailed: (state: Groups<S>, value: Value) =>
        [...(value as ReadonlyMap<string, Value>)].some(
          ([category, part]) => part === null && nullStatus(state.get(category)!.state) === 'error',
        ),
    }),
    encode: (state) =>
      sorted(state).map(([category, group]) => [category, group.rows, inner.encode(group.state)]),
    decode: (encoded) =>
      new Map(
        (encoded as [string, number, unknown][]).map(([category, rows, state]) => [
          category,
          { state: inner.decode(state), rows },
        ]),
      ),
  };
}
