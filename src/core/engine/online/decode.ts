/** Stored bytes as blocks and entities that can be changed. */
import type { Value } from '../../schema/types.js';
import {
  type Block,
  CORE,
  type Entity,
  EVENT,
  FROM,
  freshColumn,
  freshMask,
  ORDER,
  SEQ,
  tieColumns,
  UNTIL,
} from './block.js';
import { WORD } from './layout.js';
import { directoryStride, type OnlineGroup } from './plan.js';
import { directoryOf, readTail, type View, viewOf } from './view.js';

/** A mutable copy. */
function blockOf(group: OnlineGroup, view: View, dictionaries: (Value[] | null)[]): Block {
  const { n, words } = view;
  const copy = (start: number): Float64Array => {
    const column = freshColumn(n);
    if (n < 32) for (let i = 0; i < n; i++) column[i] = words[start + i]!;
    else column.set(words.subarray(start, start + n));
    return column;
  };
  const columns: Float64Array[] = new Array(CORE + group.fields.length);
  columns[EVENT] = copy(view.event);
  columns[FROM] = copy(view.from);
  columns[UNTIL] = view.until < 0 ? freshColumn(n).fill(Infinity, 0, n) : copy(view.until);
  columns[ORDER] = copy(view.order);
  columns[SEQ] = copy(view.seq);
  for (let field = 0; field < group.fields.length; field++)
    columns[CORE + field] = copy(view.fields + field * view.capacity);
  return {
    n,
    ...tieColumns(group),
    columns,
    masks: group.predicates.map((_, index) => {
      const mask = freshMask(n);
      const start = view.masks + index * view.maskStride;
      for (let i = 0; i < n; i++) mask[i] = view.bytes[start + i]!;
      return mask;
    }),
    dictionaries,
    indexes: group.fields.map(() => null),
  };
}

export function decodeSegment(group: OnlineGroup, bytes: Uint8Array): Block {
  const view = viewOf(group, bytes);
  return blockOf(group, view, readTail(group, view).dictionaries);
}

/** An entity from its stored bytes; `fetch` gives the directory that stands apart. */
export function decodeEntity(
  group: OnlineGroup,
  tuple: Uint8Array,
  bytes: Uint8Array,
  fetch: () => Uint8Array,
): Entity {
  const view = viewOf(group, bytes);
  const { words, base } = view;
  const { dictionaries } = readTail(group, view);
  const ghosts = words[base + WORD.ghosts]!;
  const head = blockOf(group, view, dictionaries);
  const liveGhosts = words[base + WORD.liveGhosts]!;
  const forgotten = [...words.subarray(base + WORD.header, base + WORD.header + ghosts)];
  const directory = directoryOf(view, fetch);
  const stride = directoryStride(group);
  return {
    tuple,
    head,
    liveGhosts,
    ghosts: forgotten,
    directory: Array.from({ length: directory.rows }, (_, row) =>
      directory.words.slice(directory.start + row * stride, directory.start + (row + 1) * stride),
    ),
  };
}
