/** Exact nearest neighbours over the states of a source as of any instant: brute force over what is known then. */
import { compareValues } from '../algebra/compare.js';
import type { Instant } from '../base/time.js';
import type { Neighbours, VectorMetric } from '../define/types.js';
import { vectorMetrics } from '../expression/index.js';
import type { Value } from '../schema/types.js';

/** One version of a state while it is known: for knowledge instants k with `from` <= k < `until`. */
export interface KnownState {
  readonly key: Value;
  readonly validFrom: Instant;
  readonly from: Instant;
  readonly until: Instant;
  readonly availableAt: Instant;
  readonly order: number;
  readonly seq: number;
  readonly vector: readonly number[] | null;
}

export interface Neighbour {
  readonly key: Value;
  readonly distance: number;
  readonly state: KnownState;
}

/** What the current state of a key is from `since` on. */
interface Era {
  readonly since: Instant;
  readonly state: KnownState | null;
}

interface Timeline {
  readonly key: Value;
  readonly eras: readonly Era[];
}

export interface VectorIndex {
  /** Keys with a vector at t, by key. */
  readonly timelines: readonly Timeline[];
}

const DISTANCE: Readonly<
  Record<VectorMetric, (a: readonly number[], b: readonly number[]) => number | null>
> = {
  cosine: (a, b) => {
    const similarity = vectorMetrics.cosineSimilarity(a, b);
    return similarity === null ? null : 1 - similarity;
  },
  euclidean: vectorMetrics.euclideanDistance,
  dot_product: (a, b) => {
    const product = vectorMetrics.dotProduct(a, b);
    return product === null ? null : 0 - product;
  },
};

/** A heap whose first is the greatest. */
function push<T>(heap: T[], item: T, less: (a: T, b: T) => boolean): void {
  heap.push(item);
  for (let i = heap.length - 1; i > 0; ) {
    const parent = (i - 1) >> 1;
    if (!less(heap[parent]!, heap[i]!)) return;
    [heap[parent], heap[i]] = [heap[i]!, heap[parent]!];
    i = parent;
  }
}

function pop<T>(heap: T[], less: (a: T, b: T) => boolean): void {
  const last = heap.pop()!;
  if (heap.length === 0) return;
  heap[0] = last;
  for (let i = 0; ; ) {
    let greatest = i;
    for (const child of [2 * i + 1, 2 * i + 2])
      if (child < heap.length && less(heap[greatest]!, heap[child]!)) greatest = child;
    if (greatest === i) return;
    [heap[greatest], heap[i]] = [heap[i]!, heap[greatest]!];
    i = greatest;
  }
}

/** When each version of a key is the current one: of those seen at t, the greatest by valid_from and then by order. */
function erasOf(states: readonly KnownState[], knowledge: 'as_of' | 'hindsight', sequenced: boolean): Era[] {
  const less = (a: KnownState, b: KnownState): boolean =>
    (a.validFrom - b.validFrom ||
      (sequenced ? 0 : a.availableAt - b.availableAt) ||
      a.order - b.order ||
      a.seq - b.seq) < 0;
  const seen =
    knowledge === 'as_of' ? states : states.filter((state) => state.until === Number.POSITIVE_INFINITY);
  const enter = (state: KnownState): Instant =>
    knowledge === 'as_of' ? Math.max(state.validFrom, state.from) : state.validFrom;
  const leave = (state: KnownState): Instant => state.until;
  const entering = seen.filter((state) => enter(state) < leave(state)).sort((a, b) => enter(a) - enter(b));
  const instants = [...new Set(entering.flatMap((state) => [enter(state), leave(state)]))]
    .filter((at) => at !== Number.POSITIVE_INFINITY)
    .sort((a, b) => a - b);
  const heap: KnownState[] = [];
  const eras: Era[] = [];
  let next = 0;
  for (const at of instants) {
    while (next < entering.length && enter(entering[next]!) <= at) push(heap, entering[next++]!, less);
    while (heap.length > 0 && leave(heap[0]!) <= at) pop(heap, less);
    const state = heap[0] ?? null;
    if (state !== (eras.at(-1)?.state ?? null)) eras.push({ since: at, state });
  }
  return eras;
}

/** The index over all versions of a source's states. `hindsight`: as all is known at the end. */
export function vectorIndex(
  states: Iterable<KnownState>,
  knowledge: 'as_of' | 'hindsight',
  sequenced: boolean,
): VectorIndex {
  const byKey = new Map<Value, KnownState[]>();
  for (const state of states) {
    if (state.key === null) continue;
    const list = byKey.get(state.key);
    if (list) list.push(state);
    else byKey.set(state.key, [state]);
  }
  const timelines = [...byKey]
    .map(([key, list]): Timeline => ({ key, eras: erasOf(list, knowledge, sequenced) }))
    .sort((a, b) => compareValues(a.key, b.key));
  return { timelines };
}

/** How many keys have a state at t. */
export const statesAt = (index: VectorIndex, at: Instant): number =>
  index.timelines.reduce((count, { eras }) => count + (currentAt(eras, at) === null ? 0 : 1), 0);

function currentAt(eras: readonly Era[], at: Instant): KnownState | null {
  let low = 0;
  let high = eras.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (eras[middle]!.since <= at) low = middle + 1;
    else high = middle;
  }
  return low === 0 ? null : eras[low - 1]!.state;
}

/**
 * The k nearest at t, nearest first, ties by key. Vectors of another length than the query's, zero vectors under
 * cosine and states older than `maxAge` are no neighbours.
 */
export function nearestNeighbours(
  index: VectorIndex,
  query: readonly number[],
  at: Instant,
  search: Pick<Neighbours, 'k' | 'metric' | 'maxAge'>,
  exclude: Value,
): readonly Neighbour[] {
  const distanceOf = DISTANCE[search.metric];
  const found: Neighbour[] = [];
  for (const { key, eras } of index.timelines) {
    if (key === exclude) continue;
    const state = currentAt(eras, at);
    if (state === null || state.vector === null) continue;
    if (search.maxAge !== null && at - state.validFrom > search.maxAge) continue;
    const distance = distanceOf(query, state.vector);
    if (distance === null) continue;
    if (found.length === search.k && distance >= found[found.length - 1]!.distance) continue;
    // Keys come in ascending order: behind all that are as near.
    let place = found.length;
    while (place > 0 && found[place - 1]!.distance > distance) place--;
    found.splice(place, 0, { key, distance, state });
    if (found.length > search.k) found.pop();
  }
  return found;
}
