/**
 * A regression tree as parallel lists over its nodes; node 0 is the root. For an inner node `feature` is the encoded
 * column, `left` and `right` are nodes. A number goes left when it is ≤ `threshold`; NaN goes left when `missing` is 1.
 * A category goes left when its code is in `categories[node]`; a code that no training row of the node had follows
 * `missing` too. A leaf has feature -1 and its `value`, shrinkage included.
 */
export interface Tree {
  readonly feature: readonly number[];
  readonly threshold: readonly number[];
  readonly missing: readonly number[];
  readonly left: readonly number[];
  readonly right: readonly number[];
  readonly value: readonly number[];
  readonly rows: readonly number[];
  readonly gain: readonly number[];
  /** Codes that go left, for nodes that split categories. */
  readonly categories: Readonly<Record<string, readonly number[]>>;
}

/** Score k of a row = start[k] + the sum over rounds of the value of tree k. */
export interface Forest {
  readonly start: readonly number[];
  /** Rounds of one tree an output. */
  readonly rounds: readonly (readonly Tree[])[];
}

/** Fills `scores` (one an output) for an encoded row. */
export type ForestScorer = (encoded: Float64Array, scores: Float64Array) => void;

/** Lays all trees out in typed arrays. */
export function compileForest(forest: Forest): ForestScorer {
  const trees = forest.rounds.flat();
  const size = trees.reduce((sum, tree) => sum + tree.feature.length, 0);
  const feature = new Int32Array(size);
  const threshold = new Float64Array(size);
  const left = new Int32Array(size);
  const right = new Int32Array(size);
  /** -1 for numbers, else the first word of the node's bit set. */
  const words = new Int32Array(size).fill(-1);
  const missing = new Uint8Array(size);
  const bits: number[] = [];
  const roots = new Int32Array(trees.length);
  let base = 0;
  trees.forEach((tree, t) => {
    roots[t] = base;
    tree.feature.forEach((column, node) => {
      const at = base + node;
      feature[at] = column;
      threshold[at] = column < 0 ? tree.value[node]! : tree.threshold[node]!;
      left[at] = base + tree.left[node]!;
      right[at] = base + tree.right[node]!;
      missing[at] = tree.missing[node]!;
      const codes = tree.categories[String(node)];
      if (codes) {
        words[at] = bits.length;
        const set = new Uint32Array(8);
        for (const code of codes) set[code >>> 5]! |= 1 << (code & 31);
        bits.push(...set);
      }
    });
    base += tree.feature.length;
  });
  const sets = Uint32Array.from(bits);
  const start = Float64Array.from(forest.start);
  const outputs = start.length;
  return (encoded, scores) => {
    scores.set(start);
    for (let t = 0, k = 0; t < roots.length; t++) {
      let node = roots[t]!;
      for (let column = feature[node]!; column >= 0; column = feature[node]!) {
        const x = encoded[column]!;
        const word = words[node]!;
        const goesLeft =
          word < 0
            ? x <= threshold[node]! || (missing[node] === 1 && Number.isNaN(x))
            : ((sets[word + (x >>> 5)]! >>> (x & 31)) & 1) === 1;
        node = goesLeft ? left[node]! : right[node]!;
      }
      scores[k]! += threshold[node]!;
      if (++k === outputs) k = 0;
    }
  };
}
