import { uniformInt } from 'pure-rand/distribution/uniformInt';
import type { JumpableRandomGenerator } from 'pure-rand/types/JumpableRandomGenerator';
import { type BinnedTable, binOf } from './bins.js';
import type { Tree } from './forest.js';

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

/** Categories up to this many are split one against the rest. */
const ONE_AGAINST_REST = 4;
/** Extra l2 for the gain of splits of sorted categories, as in LightGBM (`cat_l2`). */
const CATEGORY_L2 = 10;
const MIN_CHILD_HESSIAN = 1e-3;

interface Split {
  gain: number;
  /** Sums of gradients and second derivatives of what goes left. */
  g: number;
  h: number;
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
  histogram: Histogram | undefined;
  split: Split | undefined;
}

/** Places of a bin: gradient, second derivative, rows, and one that is not used (bins are then addressed by shifts). */
const FIELDS = 4;
/** Places of a column. */
const COLUMN = 256 * FIELDS;

/** One list for each four columns. */
type Histogram = readonly Float64Array[];

/** Bytes that the histograms of open leaves may take; beyond them children are built anew instead of subtracted. */
const HISTOGRAM_LIMIT = 1e9;

/**
 * Adds rows to the histograms of four columns. `g` and `h` are in the order of `rows`. One pass for four columns reads
 * rows and gradients once, and the additions do not wait for each other.
 */
function accumulate(
  histogram: Float64Array,
  words: Int32Array,
  rows: Int32Array,
  start: number,
  end: number,
  g: Float64Array,
  h: Float64Array,
): void {
  for (let i = start; i < end; i++) {
    const word = words[rows[i]!]!;
    const gradient = g[i]!;
    const curvature = h[i]!;
    const a = (word & 255) << 2;
    histogram[a]! += gradient;
    histogram[a + 1]! += curvature;
    histogram[a + 2]! += 1;
    const b = ((word >>> 6) & 1020) | 1024;
    histogram[b]! += gradient;
    histogram[b + 1]! += curvature;
    histogram[b + 2]! += 1;
    const c = ((word >>> 14) & 1020) | 2048;
    histogram[c]! += gradient;
    histogram[c + 1]! += curvature;
    histogram[c + 2]! += 1;
    const d = ((word >>> 22) & 1020) | 3072;
    histogram[d]! += gradient;
    histogram[d + 1]! += curvature;
    histogram[d + 2]! += 1;
  }
}

/** As `accumulate`, where every second derivative is 1: their sum is the number of rows. */
function accumulateUnit(
  histogram: Float64Array,
  words: Int32Array,
  rows: Int32Array,
  start: number,
  end: number,
  g: Float64Array,
): void {
  for (let i = start; i < end; i++) {
    const word = words[rows[i]!]!;
    const gradient = g[i]!;
    const a = (word & 255) << 2;
    histogram[a]! += gradient;
    histogram[a + 2]! += 1;
    const b = ((word >>> 6) & 1020) | 1024;
    histogram[b]! += gradient;
    histogram[b + 2]! += 1;
    const c = ((word >>> 14) & 1020) | 2048;
    histogram[c]! += gradient;
    histogram[c + 2]! += 1;
    const d = ((word >>> 22) & 1020) | 3072;
    histogram[d]! += gradient;
    histogram[d + 2]! += 1;
  }
  for (let at = 0; at < histogram.length; at += FIELDS) histogram[at + 1] = histogram[at + 2]!;
}

/** Grows trees over binned columns. Holds the buffers that all trees of one training share. */
export class Grower {
  private readonly rows: Int32Array;
  private readonly spare: Int32Array;
  private readonly orderedG: Float64Array;
  private readonly orderedH: Float64Array;
  private readonly pool: Histogram[] = [];
  private readonly mark: Uint8Array;
  private readonly subtracts: boolean;
  private columns: readonly number[] = [];
  private groups: readonly number[] = [];

  /** `unit`: every second derivative is 1. */
  constructor(
    private readonly data: BinnedTable,
    private readonly options: BoostingOptions,
    private readonly random: JumpableRandomGenerator,
    private readonly unit: boolean,
  ) {
    this.rows = new Int32Array(data.rows);
    this.spare = new Int32Array(data.rows);
    this.orderedG = new Float64Array(data.rows);
    this.orderedH = new Float64Array(data.rows);
    this.mark = new Uint8Array(data.rows);
    const leaves = Math.min(options.maxLeaves, Math.ceil(data.rows / options.minChildRows));
    this.subtracts = leaves * data.words.length * 4 * COLUMN * 8 <= HISTOGRAM_LIMIT;
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
    const { rows, options, mark } = this;
    const count = rows.length;
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
    const { options } = this;
    const count = this.data.columns.length;
    const take = Math.min(count, Math.max(1, Math.round(options.colsample * count)));
    this.columns =
      options.colsample >= 1 ? Array.from({ length: count }, (_, j) => j) : this.draw(count, take);
    this.groups = [...new Set(this.columns.map((j) => j >> 2))];
  }

  private build(start: number, end: number, g: Float64Array, h: Float64Array): Histogram {
    const { rows, orderedG, orderedH, data, unit } = this;
    const histogram = this.pool.pop() ?? data.words.map(() => new Float64Array(4 * COLUMN));
    for (let i = start; i < end; i++) orderedG[i] = g[rows[i]!]!;
    if (!unit) for (let i = start; i < end; i++) orderedH[i] = h[rows[i]!]!;
    for (const group of this.groups) {
      const part = histogram[group]!.fill(0);
      if (unit) accumulateUnit(part, data.words[group]!, rows, start, end, orderedG);
      else accumulate(part, data.words[group]!, rows, start, end, orderedG, orderedH);
    }
    return histogram;
  }

  private subtract(parent: Histogram, child: Histogram): Histogram {
    for (const j of this.columns) {
      const from = parent[j >> 2]!;
      const part = child[j >> 2]!;
      const base = (j & 3) * COLUMN;
      const end = base + this.data.columns[j]!.count * FIELDS;
      for (let at = base; at < end; at++) from[at]! -= part[at]!;
    }
    return parent;
  }

  private release(leaf: Leaf): void {
    if (leaf.histogram) this.pool.push(leaf.histogram);
    leaf.histogram = undefined;
  }

  /** Finds the best split of a leaf; its histogram stays only for its children. */
  private prepare(leaf: Leaf, g: Float64Array, h: Float64Array): void {
    leaf.histogram ??= this.build(leaf.start, leaf.end, g, h);
    leaf.split = this.search(leaf);
    if (!leaf.split || !this.subtracts) this.release(leaf);
  }

  private search(leaf: Leaf): Split | undefined {
    const best: Split = {
      gain: this.options.minGain,
      g: 0,
      h: 0,
      column: -1,
      bin: -1,
      missingLeft: false,
      left: undefined,
    };
    for (const j of this.columns) {
      if (this.data.columns[j]!.categorical) this.searchCategories(leaf, j, best);
      else this.searchNumbers(leaf, j, best);
    }
    return best.column < 0 ? undefined : best;
  }

  private searchNumbers(leaf: Leaf, column: number, best: Split): void {
    const { l2, minChildRows } = this.options;
    const { count } = this.data.columns[column]!;
    const histogram = leaf.histogram![column >> 2]!;
    const base = (column & 3) * COLUMN;
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
          best.g = g;
          best.h = h;
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
    const { count } = this.data.columns[column]!;
    const histogram = leaf.histogram![column >> 2]!;
    const base = (column & 3) * COLUMN;
    const rows = leaf.end - leaf.start;
    const present: number[] = [];
    for (let bin = 0; bin < count; bin++) if (histogram[base + bin * FIELDS + 2]! > 0) present.push(bin);
    if (present.length < 2) return;
    const single = present.length <= ONE_AGAINST_REST;
    const l2 = this.options.l2 + (single ? 0 : CATEGORY_L2);
    const whole = (leaf.g * leaf.g) / (leaf.h + l2);
    const ratio = (bin: number): number =>
      histogram[base + bin * FIELDS]! / (histogram[base + bin * FIELDS + 1]! + categorySmoothing);
    const order = single
      ? present
      : present
          .map((bin) => [ratio(bin), bin] as const)
          .sort((a, b) => a[0] - b[0] || a[1] - b[1])
          .map((each) => each[1]);
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
      if (n < minChildRows || rows - n < minChildRows || h < MIN_CHILD_HESSIAN || otherH < MIN_CHILD_HESSIAN)
        continue;
      const gain = (g * g) / (h + l2) + (otherG * otherG) / (otherH + l2) - whole;
      if (gain > best.gain) {
        const left = new Uint8Array(count);
        for (let k = single ? i : 0; k <= i; k++) left[order[k]!] = 1;
        best.gain = gain;
        best.g = g;
        best.h = h;
        best.column = column;
        best.bin = -1;
        best.missingLeft = 2 * n >= rows;
        if (best.missingLeft)
          for (let bin = 0; bin < count; bin++) if (histogram[base + bin * FIELDS + 2] === 0) left[bin] = 1;
        best.left = left;
      }
    }
  }

  /** Reorders the rows of a leaf, those that go left first; returns where the right ones start. Stable. */
  private partition(leaf: Leaf, split: Split): number {
    const { rows, spare, data } = this;
    const goesLeft = new Uint8Array(256);
    if (split.left) goesLeft.set(split.left);
    else {
      goesLeft.fill(1, 0, split.bin + 1);
      goesLeft[data.columns[split.column]!.count - 1] = split.missingLeft ? 1 : 0;
    }
    const words = data.words[split.column >> 2]!;
    const shift = (split.column & 3) << 3;
    let left = leaf.start;
    let right = 0;
    for (let i = leaf.start; i < leaf.end; i++) {
      const r = rows[i]!;
      const side = goesLeft[(words[r]! >>> shift) & 255]!;
      rows[left] = r;
      spare[right] = r;
      left += side;
      right += 1 - side;
    }
    rows.set(spare.subarray(0, right), left);
    return left;
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
    let sumG = 0;
    let sumH = 0;
    for (let i = 0; i < used; i++) {
      sumG += g[this.rows[i]!]!;
      sumH += h[this.rows[i]!]!;
    }
    const root: Leaf = {
      node: 0,
      start: 0,
      end: used,
      depth: 0,
      g: sumG,
      h: sumH,
      histogram: undefined,
      split: undefined,
    };
    if (splittable(root) && data.columns.length > 0) this.prepare(root, g, h);
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
      const child = (
        side: 'left' | 'right',
        start: number,
        end: number,
        sumG: number,
        sumH: number,
      ): Leaf => {
        const id = tree.feature.length;
        tree.feature.push(-1);
        for (const list of [tree.threshold, tree.missing, tree.value, tree.gain]) list.push(0);
        tree.left.push(-1);
        tree.right.push(-1);
        tree.rows.push(end - start);
        tree[side][node] = id;
        return {
          node: id,
          start,
          end,
          depth: leaf.depth + 1,
          g: sumG,
          h: sumH,
          histogram: undefined,
          split: undefined,
        };
      };
      const left = child('left', leaf.start, middle, split.g, split.h);
      const right = child('right', middle, leaf.end, leaf.g - split.g, leaf.h - split.h);
      const { edges, count } = data.columns[split.column]!;
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
        if (leaf.histogram) {
          small.histogram = this.build(small.start, small.end, g, h);
          large.histogram = this.subtract(leaf.histogram, small.histogram);
          leaf.histogram = undefined;
        }
        for (const each of [left, right]) {
          if (splittable(each)) this.prepare(each, g, h);
          else this.release(each);
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
    if (used < data.rows) addTree(tree, data, scores, this.mark);
    return tree;
  }
}

/** Adds the tree's values to the scores of binned rows that are not marked. */
export function addTree(tree: Tree, data: BinnedTable, scores: Float64Array, marked?: Uint8Array): void {
  const goesLeft = tree.feature.map((column, node) => {
    if (column < 0) return new Uint8Array(0);
    const { count, edges, categorical } = data.columns[column]!;
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
      node = goesLeft[node]![binOf(data, column, r)] === 1 ? tree.left[node]! : tree.right[node]!;
    }
    scores[r]! += tree.value[node]!;
  }
}
