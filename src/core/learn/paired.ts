/** Two models on the same rows: what the difference of a metric is worth, and where a regression errs. */
import { normalIsf } from '../base/special.js';
import { sumOf } from '../base/summation.js';

/** `value` of the one less that of the other, with a 95 % interval for rows taken as independent. */
export interface PairedDifference {
  readonly value: number;
  readonly interval: readonly [low: number, high: number] | null;
}

const NORMAL_95 = normalIsf(0.025);

/** Mean of row-wise differences; the interval is the normal one of a mean. Null without rows. */
export function pairedMean(differences: Float64Array): PairedDifference | null {
  const rows = differences.length;
  if (rows === 0) return null;
  const value = sumOf(rows, (i) => differences[i]!) / rows;
  if (rows < 2) return { value, interval: null };
  const variance = sumOf(rows, (i) => (differences[i]! - value) ** 2) / (rows - 1) / rows;
  const half = NORMAL_95 * Math.sqrt(variance);
  return { value, interval: [value - half, value + half] };
}

/**
 * Of every row the share of rows of the other class that it is ranked rightly against, ties counting half: the placement
 * values of DeLong. O(n log n).
 */
function placements(labels: ArrayLike<number>, scores: ArrayLike<number>): Float64Array {
  const order = Uint32Array.from({ length: scores.length }, (_, i) => i).sort(
    (x, y) => scores[x]! - scores[y]!,
  );
  const total = [0, 0];
  for (let i = 0; i < labels.length; i++) total[labels[i] ? 1 : 0]!++;
  const below = [0, 0];
  const found = new Float64Array(scores.length);
  for (let from = 0; from < order.length; ) {
    let to = from;
    const tied = [0, 0];
    while (to < order.length && scores[order[to]!] === scores[order[from]!])
      tied[labels[order[to++]!] ? 1 : 0]!++;
    for (let k = from; k < to; k++) {
      const row = order[k]!;
      found[row] = labels[row]
        ? (below[0]! + tied[0]! / 2) / total[0]!
        : (total[1]! - below[1]! - tied[1]! / 2) / total[1]!;
    }
    below[0]! += tied[0]!;
    below[1]! += tied[1]!;
    from = to;
  }
  return found;
}

/**
 * Difference of two areas under the ROC curve over the same rows, with DeLong's interval for correlated curves
 * (E. R. DeLong et al., Biometrics 44, 1988). Null where a class is missing.
 */
export function pairedAuc(
  labels: ArrayLike<number>,
  a: ArrayLike<number>,
  b: ArrayLike<number>,
): PairedDifference | null {
  const [left, right] = [placements(labels, a), placements(labels, b)];
  const sides: [number[], number[]] = [[], []];
  for (let i = 0; i < labels.length; i++) sides[labels[i] ? 1 : 0]!.push(left[i]! - right[i]!);
  if (sides[0].length === 0 || sides[1].length === 0) return null;
  const [negatives, positives] = sides.map((side) => pairedMean(Float64Array.from(side))!);
  const value = positives!.value;
  if (!negatives!.interval || !positives!.interval) return { value, interval: null };
  const half = ({ interval }: PairedDifference): number => (interval![1] - interval![0]) / 2;
  const both = Math.hypot(half(negatives!), half(positives!));
  return { value, interval: [value - both, value + both] };
}

/** Rows with neighbouring predictions. Residual: truth less prediction. */
export interface ResidualBin {
  readonly low: number;
  readonly high: number;
  readonly rows: number;
  readonly mean_prediction: number;
  readonly mean_truth: number;
  readonly mean_residual: number;
  readonly p10: number;
  readonly p90: number;
}

/** At most `bins` bins of about as many rows, by rising prediction; rows of one prediction stay together. */
export function residualBins(
  truth: ArrayLike<number>,
  predicted: ArrayLike<number>,
  bins = 12,
): readonly ResidualBin[] {
  const rows = predicted.length;
  const order = Uint32Array.from({ length: rows }, (_, i) => i).sort((x, y) => predicted[x]! - predicted[y]!);
  const found: ResidualBin[] = [];
  for (let from = 0, bin = 1; from < rows; bin++) {
    let to = Math.max(from + 1, Math.round((bin * rows) / bins));
    while (to < rows && predicted[order[to]!] === predicted[order[to - 1]!]) to++;
    const own = order.subarray(from, to);
    const mean = (of: (row: number) => number): number => sumOf(own.length, (i) => of(own[i]!)) / own.length;
    const residuals = Float64Array.from(own, (row) => truth[row]! - predicted[row]!).sort();
    const quantile = (q: number): number => residuals[Math.min(own.length - 1, Math.floor(q * own.length))]!;
    found.push({
      low: predicted[own[0]!]!,
      high: predicted[own.at(-1)!]!,
      rows: own.length,
      mean_prediction: mean((row) => predicted[row]!),
      mean_truth: mean((row) => truth[row]!),
      mean_residual: mean((row) => truth[row]! - predicted[row]!),
      p10: quantile(0.1),
      p90: quantile(0.9),
    });
    from = to;
  }
  return found;
}
