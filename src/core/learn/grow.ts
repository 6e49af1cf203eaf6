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
