import { uniformInt } from 'pure-rand/distribution/uniformInt';
import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus';
import type { JumpableRandomGenerator } from 'pure-rand/types/JumpableRandomGenerator';
import { sigmoid, softmax, softplus } from './logistic.js';

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

export interface BoostingOptions {
  readonly trees: number;
  readonly learningRate: number;
  readonly maxLeaves: number;
  /** 0: no limit. */
  readonly maxDepth: number;
  readonly minChildRows: number;
  readonly minGain: number;
  readonly l2: number;
  readonly subsample: number;
  readonly colsample: number;
  readonly maxBins: number;
  readonly categorySmoothing: number;
  /** 0: never stop early. */
  readonly earlyStoppingRounds: number;
  readonly seed: number;
}

export type Objective = 'squared' | 'logistic' | 'softmax';

/** Encoded columns; `codes` is the number of codes of a category column (0 for numbers). */
export interface BoostingColumn {
  readonly values: Float64Array;
  readonly codes: number;
}

export interface BoostingData {
  readonly rows: number;
  readonly columns: Iterable<BoostingColumn>;
  readonly target: ArrayLike<number>;
  readonly weights: Float64Array;
}

export interface Round {
  readonly round: number;
  /** Weighted mean loss: half the squared error, or log-loss in nats. */
  readonly training: number;
  readonly validation?: number;
}

export interface BoostingFit {
  readonly forest: Forest;
  readonly rounds: readonly Round[];
  readonly bestRound: number;
  readonly stoppedEarly: boolean;
  /** Sum of split gains of each encoded column, over the kept rounds. */
  readonly gains: readonly number[];
}

/** Rows looked at to place the bin edges. */
const BIN_SAMPLE = 200_000;
/** Categories up to this many are split one against the rest. */
const ONE_AGAINST_REST = 4;
/** Extra l2 for the gain of splits of sorted categories, as in LightGBM (`cat_l2`). */
const CATEGORY_L2 = 10;
const MIN_CHILD_HESSIAN = 1e-3;
const EPSILON = 1e-15;

/**
 * Upper bounds of bins (all but the last bin): midpoints between neighbouring distinct values, or cuts of about equal
 * row counts when there are more distinct values than bins. A value x is in the first bin whose bound is ≥ x.
 */
export function binEdges(values: Float64Array, maxBins: number): Float64Array {
  const stride = Math.max(1, Math.ceil(values.length / BIN_SAMPLE));
  const sample = new Float64Array(Math.ceil(values.length / stride));
  let known = 0;
  for (let r = 0; r < values.length; r += stride) {
    const x = values[r]!;
    if (Number.isFinite(x)) sample[known++] = x;
  }
  const sorted = sample.subarray(0, known).sort();
  const distinct: number[] = [];
  const counts: number[] = [];
  for (let i = 0; i < known; i++) {
    const x = sorted[i]!;
    if (i > 0 && x === sorted[i - 1]) counts[counts.length - 1]!++;
    else {
      distinct.push(x + 0);
      counts.push(1);
    }
  }
  const edges: number[] = [];
  const cut = (i: number): void => {
    const low = distinct[i]!;
    const high = distinct[i + 1]!;
    const middle = low / 2 + high / 2;
    edges.push(middle >= low && middle < high ? middle : low);
  };
  if (distinct.length <= maxBins) {
    for (let i = 0; i + 1 < distinct.length; i++) cut(i);
    return Float64Array.from(edges);
  }
  let remaining = known;
  let inBin = 0;
  for (let i = 0; i + 1 < distinct.length && edges.length < maxBins - 1; i++) {
    inBin += counts[i]!;
    const goal = (remaining / (maxBins - edges.length)) | 0;
    if (inBin >= goal || inBin + counts[i + 1]! / 2 > goal) {
      cut(i);
      remaining -= inBin;
      inBin = 0;
    }
  }
  return Float64Array.from(edges);
}

function findBin(edges: Float64Array, x: number): number {
  let low = 0;
  let high = edges.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (x <= edges[middle]!) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** One column in bins. Numbers: bins 0 ... count-2, missing = count-1. Categories: the code is the bin. */
interface Binned {
  readonly bins: Uint8Array;
  readonly count: number;
  readonly categorical: boolean;
  readonly edges: Float64Array;
  /** Place of its first bin in a histogram. */
  readonly offset: number;
}

function binColumn(column: BoostingColumn, edges: Float64Array, offset: number): Binned {
  const { values, codes } = column;
  const bins = new Uint8Array(values.length);
  const missing = edges.length + 1;
  if (codes > 0) bins.set(values);
  else for (let r = 0; r < values.length; r++) bins[r] = values[r] !== values[r] ? missing : findBin(edges, values[r]!);
  return { bins, count: codes > 0 ? codes : missing + 1, categorical: codes > 0, edges, offset };
}

interface Split {
  gain: number;
  column: number;
  /** Last bin that goes left (numbers). */
  bin: number;
  missingLeft: boolean;
  /** Bins that go left (categories). */
  left: Uint8Array | undefined;
}

interface Leaf {
  readonly node: number;
  readonly start: number;
  readonly end: number;
  readonly depth: number;
  readonly g: number;
  readonly h: number;
  histogram: Float64Array | undefined;
  split: Split | undefined;
}

/** [gradient, second derivative, rows] of every bin. */
const FIELDS = 3;

/** Adds the rows of a leaf to the histogram of one column. `g` and `h` are in the order of `rows`. */
function accumulate(
  histogram: Float64Array,
  column: Binned,
  rows: Int32Array,
  start: number,
  end: number,
  g: Float64Array,
  h: Float64Array,
): void {
  const { bins } = column;
  const base = column.offset * FIELDS;
  for (let i = start; i < end; i++) {
    const at = base + bins[rows[i]!]! * FIELDS;
    histogram[at]! += g[i]!;
    histogram[at + 1]! += h[i]!;
    histogram[at + 2]! += 1;
  }
}

/** Four columns in one pass: rows and gradients are read once, and the additions do not wait for each other. */
function accumulateFour(
  histogram: Float64Array,
  columns: readonly [Binned, Binned, Binned, Binned],
  rows: Int32Array,
  start: number,
  end: number,
  g: Float64Array,
  h: Float64Array,
): void {
  const [a, b, c, d] = columns;
  const [binsA, binsB, binsC, binsD] = [a.bins, b.bins, c.bins, d.bins];
  const [baseA, baseB, baseC, baseD] = [a.offset * FIELDS, b.offset * FIELDS, c.offset * FIELDS, d.offset * FIELDS];
  for (let i = start; i < end; i++) {
    const r = rows[i]!;
    const gradient = g[i]!;
    const curvature = h[i]!;
    const atA = baseA + binsA[r]! * FIELDS;
    const atB = baseB + binsB[r]! * FIELDS;
    const atC = baseC + binsC[r]! * FIELDS;
    const atD = baseD + binsD[r]! * FIELDS;
    histogram[atA]! += gradient;
    histogram[atA + 1]! += curvature;
    histogram[atA + 2]! += 1;
    histogram[atB]! += gradient;
    histogram[atB + 1]! += curvature;
    histogram[atB + 2]! += 1;
    histogram[atC]! += gradient;
    histogram[atC + 1]! += curvature;
    histogram[atC + 2]! += 1;
    histogram[atD]! += gradient;
    histogram[atD + 1]! += curvature;
    histogram[atD + 2]! += 1;
  }
}

/** Grows trees over binned columns. Holds the buffers that all trees of one training share. */
class Grower {
  private readonly size: number;
  private readonly rows: Int32Array;
  private readonly spare: Int32Array;
  private readonly orderedG: Float64Array;
  private readonly orderedH: Float64Array;
  private readonly pool: Float64Array[] = [];
  private readonly mark: Uint8Array;
  private columns: readonly number[] = [];

  constructor(
    private readonly data: readonly Binned[],
    private readonly count: number,
    private readonly options: BoostingOptions,
    private readonly random: JumpableRandomGenerator,
  ) {
    const last = data.at(-1);
    this.size = last ? (last.offset + last.count) * FIELDS : 0;
    this.rows = new Int32Array(count);
    this.spare = new Int32Array(count);
    this.orderedG = new Float64Array(count);
    this.orderedH = new Float64Array(count);
    this.mark = new Uint8Array(count);
  }

  /** Draws `take` of 0 ... n-1 without replacement; ascending. */
  private draw(n: number, take: number): number[] {
    const items = Array.from({ length: n }, (_, i) => i);
    for (let i = 0; i < take; i++) {
      const j = uniformInt(this.random, i, n - 1);
      [items[i], items[j]] = [items[j]!, items[i]!];
    }
    return items.slice(0, take).sort((a, b) => a - b);
  }

  private drawRows(): number {
    const { rows, count, options, mark } = this;
    if (options.subsample >= 1) {
      for (let r = 0; r < count; r++) rows[r] = r;
      mark.fill(1);
      return count;
    }
    const take = Math.min(count, Math.max(1, Math.round(options.subsample * count)));
    mark.fill(0);
    let left = take;
    let used = 0;
    for (let r = 0; r < count && left > 0; r++) {
      if (uniformInt(this.random, 0, count - r - 1) < left) {
        rows[used++] = r;
        mark[r] = 1;
        left--;
      }
    }
    return used;
  }

  private drawColumns(): void {
    const { data, options } = this;
    const take = Math.min(data.length, Math.max(1, Math.round(options.colsample * data.length)));
    this.columns = options.colsample >= 1 ? data.map((_, j) => j) : this.draw(data.length, take);
  }

  private build(start: number, end: number, g: Float64Array, h: Float64Array): Float64Array {
    const { rows, orderedG, orderedH, data } = this;
    const histogram = this.pool.pop() ?? new Float64Array(this.size);
    histogram.fill(0);
    for (let i = start; i < end; i++) {
      const r = rows[i]!;
      orderedG[i] = g[r]!;
      orderedH[i] = h[r]!;
    }
    const columns = this.columns.map((j) => data[j]!);
    let next = 0;
    for (; next + 4 <= columns.length; next += 4) {
      const four = [columns[next]!, columns[next + 1]!, columns[next + 2]!, columns[next + 3]!] as const;
      accumulateFour(histogram, four, rows, start, end, orderedG, orderedH);
    }
    for (; next < columns.length; next++) accumulate(histogram, columns[next]!, rows, start, end, orderedG, orderedH);
    return histogram;
  }

  private subtract(parent: Float64Array, child: Float64Array): Float64Array {
    for (const j of this.columns) {
      const { offset, count } = this.data[j]!;
      for (let at = offset * FIELDS; at < (offset + count) * FIELDS; at++) parent[at]! -= child[at]!;
    }
    return parent;
  }

  private release(leaf: Leaf): void {
    if (leaf.histogram) this.pool.push(leaf.histogram);
    leaf.histogram = undefined;
  }

  private search(leaf: Leaf): Split | undefined {
    const best: Split = { gain: this.options.minGain, column: -1, bin: -1, missingLeft: false, left: undefined };
    for (const j of this.columns) {
      if (this.data[j]!.categorical) this.searchCategories(leaf, j, best);
      else this.searchNumbers(leaf, j, best);
    }
    return best.column < 0 ? undefined : best;
  }

  private searchNumbers(leaf: Leaf, column: number, best: Split): void {
    const { l2, minChildRows } = this.options;
    const { offset, count } = this.data[column]!;
    const histogram = leaf.histogram!;
    const base = offset * FIELDS;
    const last = count - 1;
    const missing = base + last * FIELDS;
    const rows = leaf.end - leaf.start;
    const whole = (leaf.g * leaf.g) / (leaf.h + l2);
    for (let pass = 0; pass < 2; pass++) {
      const missingLeft = pass === 1;
      if (missingLeft && histogram[missing + 2] === 0) return;
      let g = missingLeft ? histogram[missing]! : 0;
      let h = missingLeft ? histogram[missing + 1]! : 0;
      let n = missingLeft ? histogram[missing + 2]! : 0;
      for (let bin = 0, at = base; bin < last; bin++, at += FIELDS) {
        if (histogram[at + 2] === 0) continue;
        g += histogram[at]!;
        h += histogram[at + 1]!;
        n += histogram[at + 2]!;
        if (n < minChildRows || h < MIN_CHILD_HESSIAN) continue;
        const otherH = leaf.h - h;
        if (rows - n < minChildRows || otherH < MIN_CHILD_HESSIAN) break;
        const otherG = leaf.g - g;
        const gain = (g * g) / (h + l2) + (otherG * otherG) / (otherH + l2) - whole;
        if (gain > best.gain) {
          best.gain = gain;
          best.column = column;
          best.bin = bin;
          best.left = undefined;
          best.missingLeft = histogram[missing + 2] === 0 ? 2 * n >= rows : missingLeft;
        }
      }
    }
  }

  private searchCategories(leaf: Leaf, column: number, best: Split): void {
    const { minChildRows, categorySmoothing } = this.options;
    const { offset, count } = this.data[column]!;
    const histogram = leaf.histogram!;
    const base = offset * FIELDS;
    const rows = leaf.end - leaf.start;
    const present: number[] = [];
    for (let bin = 0; bin < count; bin++) if (histogram[base + bin * FIELDS + 2]! > 0) present.push(bin);
    if (present.length < 2) return;
    const single = present.length <= ONE_AGAINST_REST;
    const l2 = this.options.l2 + (single ? 0 : CATEGORY_L2);
    const whole = (leaf.g * leaf.g) / (leaf.h + l2);
    const ratio = (bin: number): number =>
      histogram[base + bin * FIELDS]! / (histogram[base + bin * FIELDS + 1]! + categorySmoothing);
    const order = single ? present : present.map((bin) => [ratio(bin), bin] as const).sort((a, b) => a[0] - b[0] || a[1] - b[1]).map((each) => each[1]);
    let g = 0;
    let h = 0;
    let n = 0;
    for (let i = 0; i < order.length - (single ? 0 : 1); i++) {
      const at = base + order[i]! * FIELDS;
      if (single) g = h = n = 0;
      g += histogram[at]!;
      h += histogram[at + 1]!;
      n += histogram[at + 2]!;
      const otherG = leaf.g - g;
      const otherH = leaf.h - h;
      if (n < minChildRows || rows - n < minChildRows || h < MIN_CHILD_HESSIAN || otherH < MIN_CHILD_HESSIAN) continue;
      const gain = (g * g) / (h + l2) + (otherG * otherG) / (otherH + l2) - whole;
      if (gain > best.gain) {
        const left = new Uint8Array(count);
        for (let k = single ? i : 0; k <= i; k++) left[order[k]!] = 1;
        best.gain = gain;
        best.column = column;
        best.bin = -1;
        best.missingLeft = 2 * n >= rows;
        if (best.missingLeft) for (let bin = 0; bin < count; bin++) if (histogram[base + bin * FIELDS + 2] === 0) left[bin] = 1;
        best.left = left;
      }
    }
  }

  /** Reorders the rows of a leaf, those that go left first; returns where the right ones start. Stable. */
  private partition(leaf: Leaf, split: Split): number {
    const { rows, spare } = this;
    const { bins, count } = this.data[split.column]!;
    const goesLeft = new Uint8Array(count);
    if (split.left) goesLeft.set(split.left);
    else {
      goesLeft.fill(1, 0, split.bin + 1);
      goesLeft[count - 1] = split.missingLeft ? 1 : 0;
    }
    let left = leaf.start;
    let right = 0;
    for (let i = leaf.start; i < leaf.end; i++) {
      const r = rows[i]!;
      if (goesLeft[bins[r]!] === 1) rows[left++] = r;
      else spare[right++] = r;
    }
    for (let i = 0; i < right; i++) rows[left + i] = spare[i]!;
    return left;
  }

  private sums(start: number, end: number, g: Float64Array, h: Float64Array): { g: number; h: number } {
    let sumG = 0;
    let sumH = 0;
    for (let i = start; i < end; i++) {
      sumG += g[this.rows[i]!]!;
      sumH += h[this.rows[i]!]!;
    }
    return { g: sumG, h: sumH };
  }

  /** One tree, best split first, for gradients g and second derivatives h; adds its values to the scores. */
  grow(g: Float64Array, h: Float64Array, scores: Float64Array): Tree {
    const { options, data } = this;
    this.drawColumns();
    const used = this.drawRows();
    const tree = {
      feature: [-1],
      threshold: [0],
      missing: [0],
      left: [-1],
      right: [-1],
      value: [0],
      rows: [used],
      gain: [0],
      categories: {} as Record<string, readonly number[]>,
    };
    const deepest = options.maxDepth === 0 ? Number.POSITIVE_INFINITY : options.maxDepth;
    const splittable = (leaf: Leaf): boolean =>
      leaf.depth < deepest && leaf.end - leaf.start >= 2 * options.minChildRows && leaf.end - leaf.start >= 2;
    const root: Leaf = { node: 0, start: 0, end: used, depth: 0, ...this.sums(0, used, g, h), histogram: undefined, split: undefined };
    if (splittable(root) && data.length > 0) {
      root.histogram = this.build(0, used, g, h);
      root.split = this.search(root);
    }
    const leaves = [root];
    while (leaves.length < options.maxLeaves) {
      let chosen = -1;
      for (let i = 0; i < leaves.length; i++) {
        const gain = leaves[i]!.split?.gain;
        if (gain !== undefined && (chosen < 0 || gain > leaves[chosen]!.split!.gain)) chosen = i;
      }
      if (chosen < 0) break;
      const leaf = leaves[chosen]!;
      const split = leaf.split!;
      const middle = this.partition(leaf, split);
      const node = leaf.node;
      const child = (side: 'left' | 'right', start: number, end: number): Leaf => {
        const id = tree.feature.length;
        tree.feature.push(-1);
        for (const list of [tree.threshold, tree.missing, tree.value, tree.gain]) list.push(0);
        tree.left.push(-1);
        tree.right.push(-1);
        tree.rows.push(end - start);
        tree[side][node] = id;
        return { node: id, start, end, depth: leaf.depth + 1, ...this.sums(start, end, g, h), histogram: undefined, split: undefined };
      };
      const left = child('left', leaf.start, middle);
      const right = child('right', middle, leaf.end);
      const { edges, count } = data[split.column]!;
      tree.feature[node] = split.column;
      tree.gain[node] = split.gain;
      tree.missing[node] = split.missingLeft ? 1 : 0;
      if (split.left) {
        const codes: number[] = [];
        for (let bin = 0; bin < count; bin++) if (split.left[bin] === 1) codes.push(bin);
        tree.categories[String(node)] = codes;
      } else {
        tree.threshold[node] = split.bin < edges.length ? edges[split.bin]! : Number.MAX_VALUE;
      }
      leaves[chosen] = left;
      leaves.push(right);
      const [small, large] = right.end - right.start < left.end - left.start ? [right, left] : [left, right];
      if (leaves.length < options.maxLeaves && (splittable(small) || splittable(large))) {
        small.histogram = this.build(small.start, small.end, g, h);
        large.histogram = this.subtract(leaf.histogram!, small.histogram);
        leaf.histogram = undefined;
        for (const each of [left, right]) {
          if (splittable(each)) each.split = this.search(each);
          if (!each.split) this.release(each);
        }
      } else {
        this.release(leaf);
      }
    }
    for (const leaf of leaves) {
      this.release(leaf);
      const value = (-leaf.g / (leaf.h + options.l2)) * options.learningRate + 0;
      tree.value[leaf.node] = Number.isFinite(value) ? value : 0;
      for (let i = leaf.start; i < leaf.end; i++) scores[this.rows[i]!]! += tree.value[leaf.node]!;
    }
    if (used < this.count) addTree(tree, data, scores, this.mark);
    return tree;
  }
}

/** Adds the tree's values to the scores of binned rows that are not marked. */
function addTree(tree: Tree, data: readonly Binned[], scores: Float64Array, marked?: Uint8Array): void {
  const goesLeft = tree.feature.map((column, node) => {
    if (column < 0) return new Uint8Array(0);
    const { count, edges, categorical } = data[column]!;
    const table = new Uint8Array(count);
    if (categorical) for (const code of tree.categories[String(node)]!) table[code] = 1;
    else {
      for (let bin = 0; bin < count - 1; bin++) {
        table[bin] = (bin < edges.length ? edges[bin]! : Number.MAX_VALUE) <= tree.threshold[node]! ? 1 : 0;
      }
      table[count - 1] = tree.missing[node]!;
    }
    return table;
  });
  for (let r = 0; r < scores.length; r++) {
    if (marked?.[r] === 1) continue;
    let node = 0;
    for (let column = tree.feature[0]!; column >= 0; column = tree.feature[node]!) {
      node = goesLeft[node]![data[column]!.bins[r]!] === 1 ? tree.left[node]! : tree.right[node]!;
    }
    scores[r]! += tree.value[node]!;
  }
}

interface Scored {
  readonly rows: number;
  readonly target: ArrayLike<number>;
  readonly weights: Float64Array;
  /** One list an output. */
  readonly scores: readonly Float64Array[];
}

/** Mean loss of the scores; writes gradients when asked. */
function lossOf(objective: Objective, data: Scored, gradients?: readonly { g: Float64Array; h: Float64Array }[]): number {
  const { rows, target, weights, scores } = data;
  const first = scores[0]!;
  const p = new Float64Array(scores.length);
  let loss = 0;
  let total = 0;
  for (let r = 0; r < rows; r++) {
    const weight = weights[r]!;
    const y = target[r]!;
    total += weight;
    if (objective === 'squared') {
      const residual = first[r]! - y;
      loss += weight * 0.5 * residual * residual;
      if (gradients) {
        gradients[0]!.g[r] = weight * residual;
        gradients[0]!.h[r] = weight;
      }
    } else if (objective === 'logistic') {
      const z = first[r]!;
      loss += weight * (softplus(z) - y * z);
      if (gradients) {
        const q = sigmoid(z);
        gradients[0]!.g[r] = weight * (q - y);
        gradients[0]!.h[r] = weight * q * (1 - q);
      }
    } else {
      for (let k = 0; k < p.length; k++) p[k] = scores[k]![r]!;
      const own = p[y]!;
      loss += weight * (softmax(p) - own);
      if (gradients) {
        for (let k = 0; k < p.length; k++) {
          gradients[k]!.g[r] = weight * (p[k]! - (k === y ? 1 : 0));
          gradients[k]!.h[r] = weight * p[k]! * (1 - p[k]!);
        }
      }
    }
  }
  return total > 0 ? loss / total : 0;
}

/** The best constant scores: the mean, the log-odds, or the logs of the class shares. */
export function constantScores(
  objective: Objective,
  target: ArrayLike<number>,
  weights: Float64Array,
  outputs: number,
): number[] {
  const sums = new Float64Array(objective === 'softmax' ? outputs : 1);
  let total = 0;
  for (let r = 0; r < weights.length; r++) {
    total += weights[r]!;
    if (objective === 'softmax') sums[target[r]!]! += weights[r]!;
    else sums[0]! += weights[r]! * target[r]!;
  }
  const share = (k: number): number => Math.min(1 - EPSILON, Math.max(EPSILON, sums[k]! / total));
  if (objective === 'squared') return [sums[0]! / total + 0];
  if (objective === 'logistic') return [Math.log(share(0) / (1 - share(0)))];
  return Array.from(sums, (_, k) => Math.log(share(k)));
}

/**
 * Gradient boosting of regression trees on histograms (Friedman 2001; second order and leaf-wise as in LightGBM, Ke et
 * al. 2017). The same data, options and seed give the same forest to the bit.
 */
export function fitBoosting(
  objective: Objective,
  outputs: number,
  train: BoostingData,
  validation: BoostingData | undefined,
  options: BoostingOptions,
  onRound?: (round: Round) => void,
): BoostingFit {
  const binned: Binned[] = [];
  let offset = 0;
  for (const column of train.columns) {
    const edges = column.codes > 0 ? new Float64Array(0) : binEdges(column.values, options.maxBins);
    binned.push(binColumn(column, edges, offset));
    offset += binned.at(-1)!.count;
  }
  const start = constantScores(objective, train.target, train.weights, outputs);
  const scored = (data: BoostingData): Scored => ({
    rows: data.rows,
    target: data.target,
    weights: data.weights,
    scores: start.map((each) => new Float64Array(data.rows).fill(each)),
  });
  const training = scored(train);
  const checking = validation && scored(validation);
  const checkBinned: Binned[] = [];
  if (validation) {
    for (const column of validation.columns) {
      const { edges, offset: place } = binned[checkBinned.length]!;
      checkBinned.push(binColumn(column, edges, place));
    }
  }
  const gradients = start.map(() => ({ g: new Float64Array(train.rows), h: new Float64Array(train.rows) }));
  const grower = new Grower(binned, train.rows, options, xoroshiro128plus(options.seed));
  const rounds: Round[] = [];
  const forest: Tree[][] = [];
  let bestRound = 0;
  let bestLoss = checking ? lossOf(objective, checking) : Number.POSITIVE_INFINITY;
  let stoppedEarly = false;
  lossOf(objective, training, gradients);
  for (let round = 1; round <= options.trees; round++) {
    const trees = gradients.map(({ g, h }, k) => grower.grow(g, h, training.scores[k]!));
    forest.push(trees);
    if (checking) trees.forEach((tree, k) => addTree(tree, checkBinned, checking.scores[k]!));
    const record: Round = {
      round,
      training: lossOf(objective, training, gradients),
      ...(checking ? { validation: lossOf(objective, checking) } : {}),
    };
    rounds.push(record);
    onRound?.(record);
    if (record.validation !== undefined && options.earlyStoppingRounds > 0) {
      if (record.validation < bestLoss) [bestLoss, bestRound] = [record.validation, round];
      else if (round - bestRound >= options.earlyStoppingRounds) {
        stoppedEarly = true;
        break;
      }
    } else {
      bestRound = round;
    }
    if (trees.every((tree) => tree.feature.length === 1) && options.subsample >= 1 && options.colsample >= 1) break;
  }
  const kept = forest.slice(0, bestRound);
  const gains = binned.map(() => 0);
  for (const tree of kept.flat()) {
    tree.feature.forEach((column, node) => {
      if (column >= 0) gains[column]! += tree.gain[node]!;
    });
  }
  return { forest: { start, rounds: kept }, rounds, bestRound, stoppedEarly, gains };
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
          word < 0 ? x <= threshold[node]! || (x !== x && missing[node] === 1) : ((sets[word + (x >>> 5)]! >>> (x & 31)) & 1) === 1;
        node = goesLeft ? left[node]! : right[node]!;
      }
      scores[k]! += threshold[node]!;
      if (++k === outputs) k = 0;
    }
  };
}
