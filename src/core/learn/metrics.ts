import { normalIsf } from '../base/special.js';
import { CompensatedSum, sumOf } from '../base/summation.js';

/** A metric that cannot be computed is null, and `reasons` says why; never NaN. */
export interface Evaluation {
  readonly rows: number;
  readonly metrics: Readonly<Record<string, number | null>>;
  /** 95 % confidence intervals, for unweighted or weighted rows taken as independent. */
  readonly intervals: Readonly<Record<string, readonly [low: number, high: number]>>;
  readonly reasons: Readonly<Record<string, string>>;
}

export interface Confusion {
  readonly threshold: number;
  readonly true_positives: number;
  readonly false_positives: number;
  readonly true_negatives: number;
  readonly false_negatives: number;
}

export interface CurvePoint {
  readonly x: number;
  readonly y: number;
  readonly threshold: number;
}

export interface CalibrationBin {
  readonly low: number;
  readonly high: number;
  readonly weight: number;
  readonly mean_score: number;
  readonly positive_rate: number;
}

export interface BinaryEvaluation extends Evaluation {
  readonly positives: number;
  readonly confusion: Confusion;
  readonly curves: {
    /** x = false positive rate, y = true positive rate. */
    readonly roc: readonly CurvePoint[];
    /** x = recall, y = precision. */
    readonly precision_recall: readonly CurvePoint[];
    readonly calibration: readonly CalibrationBin[];
  };
}

export interface MulticlassEvaluation extends Evaluation {
  readonly classes: readonly string[];
  /** Weighted counts: row = true class, column = predicted class. */
  readonly confusion: readonly (readonly number[])[];
}

export interface BinaryOptions {
  readonly weights?: ArrayLike<number>;
  /** A score at or above it is predicted positive. Default 0.5. */
  readonly threshold?: number;
  /** Calibration bins. Default 10. */
  readonly bins?: number;
  /** Bins of equal width over [0, 1], or of equal numbers of rows. Default equal width. */
  readonly binning?: 'equal_width' | 'equal_mass';
  /** Points kept of each curve. Default 200. */
  readonly curvePoints?: number;
}

/** Probabilities are kept this far from 0 and 1 in the log loss: the machine epsilon, as in scikit-learn. */
const PROBABILITY_EPSILON = 2 ** -52;
const NORMAL_95 = normalIsf(0.025);
const ONE_CLASS = 'only one class is present';
const NO_ROWS = 'there are no rows';
const NOT_PROBABILITIES = 'scores are not probabilities between 0 and 1';

const clip = (p: number): number => Math.min(1 - PROBABILITY_EPSILON, Math.max(PROBABILITY_EPSILON, p));
const ratio = (part: number, whole: number): number | null => (whole > 0 ? part / whole : null);

/** Rows with one score, in falling order of score; weights of both classes summed within ties. */
interface Ties {
  readonly scores: readonly number[];
  readonly positives: Float64Array;
  readonly negatives: Float64Array;
  readonly positive: number;
  readonly negative: number;
}

function groupTies(
  labels: ArrayLike<number>,
  scores: ArrayLike<number>,
  weight: (i: number) => number,
): Ties {
  const order = Uint32Array.from({ length: scores.length }, (_, i) => i).sort(
    (x, y) => scores[y] - scores[x],
  );
  const distinct: number[] = [];
  const positives = new Float64Array(order.length);
  const negatives = new Float64Array(order.length);
  for (const row of order) {
    const w = weight(row);
    if (w === 0) continue;
    if (distinct.length === 0 || distinct[distinct.length - 1] !== scores[row]) distinct.push(scores[row]);
    const counts = labels[row] ? positives : negatives;
    counts[distinct.length - 1] += w;
  }
  const size = distinct.length;
  return {
    scores: distinct,
    positives: positives.subarray(0, size),
    negatives: negatives.subarray(0, size),
    positive: sumOf(size, (i) => positives[i]),
    negative: sumOf(size, (i) => negatives[i]),
  };
}

/** Area under the ROC curve: the share of (positive, negative) pairs in the right order, ties counting half. */
function areaOf(ties: Ties): number {
  const pairs = new CompensatedSum();
  let above = 0;
  ties.scores.forEach((_, i) => {
    pairs.add(ties.negatives[i] * (above + ties.positives[i] / 2));
    above += ties.positives[i];
  });
  return pairs.value / ties.positive / ties.negative;
}

/**
 * Area under the ROC curve of `scores` (larger means 1) against 0/1 `labels`; null if a class is missing.
 */
export function areaUnderRoc(
  labels: ArrayLike<number>,
  scores: ArrayLike<number>,
  weights?: ArrayLike<number>,
): number | null {
  const ties = groupTies(labels, scores, weighing(weights));
  return ties.positive > 0 && ties.negative > 0 ? areaOf(ties) : null;
}

/**
 * DeLong's standard error of the AUC (E. R. DeLong et al., Biometrics 44, 1988) from the placement values of each
 * row, in O(n log n); weights enter as w². Undefined for fewer than two rows of a class.
 */
function delongError(
  ties: Ties,
  auc: number,
  labels: ArrayLike<number>,
  scores: ArrayLike<number>,
  weight: (i: number) => number,
): number | undefined {
  const place = new Map<number, number>();
  const beatsNegatives = new Float64Array(ties.scores.length);
  const beatenByPositives = new Float64Array(ties.scores.length);
  let [positivesAbove, negativesAbove] = [0, 0];
  ties.scores.forEach((score, i) => {
    place.set(score, i);
    beatenByPositives[i] = (positivesAbove + ties.positives[i] / 2) / ties.positive;
    beatsNegatives[i] = 1 - (negativesAbove + ties.negatives[i] / 2) / ties.negative;
    positivesAbove += ties.positives[i];
    negativesAbove += ties.negatives[i];
  });
  const squares = [new CompensatedSum(), new CompensatedSum()];
  const rows = [0, 0];
  for (let i = 0; i < scores.length; i++) {
    const w = weight(i);
    if (w === 0) continue;
    const side = labels[i] ? 1 : 0;
    const placement = (side ? beatsNegatives : beatenByPositives)[place.get(scores[i])!];
    squares[side].add((w * (placement - auc)) ** 2);
    rows[side]++;
  }
  if (rows[0] < 2 || rows[1] < 2) return undefined;
  const part = (side: number, total: number): number =>
    ((squares[side].value / total / total) * rows[side]) / (rows[side] - 1);
  return Math.sqrt(part(1, ties.positive) + part(0, ties.negative));
}

/** Average precision: Σ (recallᵢ − recallᵢ₋₁) · precisionᵢ over falling thresholds, without interpolation. */
function averagePrecision(ties: Ties): number {
  const sum = new CompensatedSum();
  let [hits, all] = [0, 0];
  ties.scores.forEach((_, i) => {
    hits += ties.positives[i];
    all += ties.positives[i] + ties.negatives[i];
    if (ties.positives[i] > 0) sum.add(ties.positives[i] * (hits / all));
  });
  return sum.value / ties.positive;
}

/** Weighted mean of a loss and the half-width of its normal 95 % interval. */
function meanLoss(
  length: number,
  loss: (i: number) => number,
  weight: (i: number) => number,
): { readonly mean: number; readonly half: number | undefined } {
  const total = sumOf(length, weight);
  const rows = sumOf(length, (i) => (weight(i) > 0 ? 1 : 0));
  const mean = sumOf(length, (i) => weight(i) * loss(i)) / total;
  if (rows < 2) return { mean, half: undefined };
  const squares = sumOf(length, (i) => (weight(i) * (loss(i) - mean)) ** 2) / total / total;
  return { mean, half: NORMAL_95 * Math.sqrt((squares * rows) / (rows - 1)) };
}

const around = (mean: number, half: number, low = 0, high = Number.POSITIVE_INFINITY): [number, number] => [
  Math.max(low, mean - half),
  Math.min(high, mean + half),
];

/** Wilson's score interval, as the weights allow: n is Kish's effective number of rows. */
function wilson(share: number, n: number): [number, number] {
  const z2 = NORMAL_95 ** 2;
  const centre = share + z2 / (2 * n);
  const half = NORMAL_95 * Math.sqrt((share * (1 - share)) / n + z2 / (4 * n * n));
  return [Math.max(0, (centre - half) / (1 + z2 / n)), Math.min(1, (centre + half) / (1 + z2 / n))];
}

/** Effective number of rows (Σw)² / Σw². */
function effectiveRows(length: number, weight: (i: number) => number): number {
  const total = sumOf(length, weight);
  return total ** 2 / sumOf(length, (i) => weight(i) ** 2);
}

/**
 * Calibration bins. Equal width: (i/k, (i+1)/k], the first closed below, as `sklearn.calibration_curve` cuts;
 * equal mass: cut at the type-7 quantiles of the scores, right-closed. Empty bins are left out.
 */
function calibrationBins(
  labels: ArrayLike<number>,
  scores: ArrayLike<number>,
  weight: (i: number) => number,
  count: number,
  binning: 'equal_width' | 'equal_mass',
): CalibrationBin[] {
  const sorted = binning === 'equal_mass' ? Float64Array.from(scores).sort() : undefined;
  const cut = (i: number): number => {
    if (i === 0) return 0;
    if (i === count) return 1;
    if (sorted === undefined) return i * (1 / count);
    const position = ((sorted.length - 1) * i) / count;
    const below = Math.floor(position);
    const next = Math.min(below + 1, sorted.length - 1);
    return sorted[below] + (sorted[next] - sorted[below]) * (position - below);
  };
  const cuts = Float64Array.from({ length: count + 1 }, (_, i) => cut(i));
  const sums = Array.from({ length: count }, () => ({
    weight: new CompensatedSum(),
    score: new CompensatedSum(),
    hits: new CompensatedSum(),
  }));
  for (let row = 0; row < scores.length; row++) {
    let [low, high] = [1, count];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (cuts[middle] < scores[row]) low = middle + 1;
      else high = middle;
    }
    const w = weight(row);
    const bin = sums[low - 1];
    bin.weight.add(w);
    bin.score.add(w * scores[row]);
    if (labels[row]) bin.hits.add(w);
  }
  return sums.flatMap((bin, i) => {
    const total = bin.weight.value;
    if (total <= 0) return [];
    return [
      {
        low: cuts[i],
        high: cuts[i + 1],
        weight: total,
        mean_score: bin.score.value / total,
        positive_rate: bin.hits.value / total,
      },
    ];
  });
}

/** Expected calibration error: Σ share · |positive rate − mean score|. */
function calibrationError(bins: readonly CalibrationBin[]): number {
  const total = sumOf(bins.length, (i) => bins[i].weight);
  return (
    sumOf(bins.length, (i) => bins[i].weight * Math.abs(bins[i].positive_rate - bins[i].mean_score)) / total
  );
}

function confusionAt(
  labels: ArrayLike<number>,
  scores: ArrayLike<number>,
  weight: (i: number) => number,
  threshold: number,
): Confusion {
  const share = (label: boolean, predicted: boolean): number =>
    sumOf(scores.length, (i) =>
      Boolean(labels[i]) === label && scores[i] >= threshold === predicted ? weight(i) : 0,
    );
  return {
    threshold,
    true_positives: share(true, true),
    false_positives: share(false, true),
    true_negatives: share(false, false),
    false_negatives: share(true, false),
  };
}

/** At most `limit` indices of 0 … length − 1 at equal steps, both ends among them. */
function thin(length: number, limit: number): number[] {
  if (length <= limit) return Array.from({ length }, (_, i) => i);
  return Array.from({ length: limit }, (_, i) => Math.round((i * (length - 1)) / (limit - 1)));
}

function curvesOf(ties: Ties, limit: number): Pick<BinaryEvaluation['curves'], 'roc' | 'precision_recall'> {
  const kept = new Set(thin(ties.scores.length, limit));
  const roc: CurvePoint[] = [];
  const precisionRecall: CurvePoint[] = [];
  let [hits, misses] = [0, 0];
  ties.scores.forEach((threshold, i) => {
    hits += ties.positives[i];
    misses += ties.negatives[i];
    if (!kept.has(i)) return;
    if (ties.positive > 0 && ties.negative > 0) {
      roc.push({ x: misses / ties.negative, y: hits / ties.positive, threshold });
    }
    if (ties.positive > 0) {
      precisionRecall.push({ x: hits / ties.positive, y: hits / (hits + misses), threshold });
    }
  });
  return { roc, precision_recall: precisionRecall };
}

/** Collects metrics, leaving nulls with their reason. */
function book(): {
  readonly metrics: Record<string, number | null>;
  readonly intervals: Record<string, [number, number]>;
  readonly reasons: Record<string, string>;
  readonly put: (name: string, value: number | null, reason?: string, interval?: [number, number]) => void;
} {
  const metrics: Record<string, number | null> = {};
  const intervals: Record<string, [number, number]> = {};
  const reasons: Record<string, string> = {};
  const put = (name: string, value: number | null, reason = NO_ROWS, interval?: [number, number]): void => {
    const usable = value !== null && Number.isFinite(value);
    metrics[name] = usable ? value : null;
    if (!usable) reasons[name] = reason;
    else if (interval) intervals[name] = interval;
  };
  return { metrics, intervals, reasons, put };
}

const weighing = (weights: ArrayLike<number> | undefined): ((i: number) => number) =>
  weights === undefined ? () => 1 : (i) => weights[i];

/**
 * Evaluates a binary classifier. `labels` are 0 or 1, `scores` grow with the belief in 1 and are not NaN, weights
 * are not negative. Ranking metrics take any scores; log loss, Brier and ECE need probabilities.
 */
export function evaluateBinary(
  labels: ArrayLike<number>,
  scores: ArrayLike<number>,
  options: BinaryOptions = {},
): BinaryEvaluation {
  const { threshold = 0.5, bins = 10, binning = 'equal_width', curvePoints = 200 } = options;
  const rows = scores.length;
  const weight = weighing(options.weights);
  const ties = groupTies(labels, scores, weight);
  const { metrics, intervals, reasons, put } = book();
  const why = ties.positive + ties.negative === 0 ? NO_ROWS : ONE_CLASS;
  const both = ties.positive > 0 && ties.negative > 0;

  const auc = both ? areaOf(ties) : null;
  const error = auc === null ? undefined : delongError(ties, auc, labels, scores, weight);
  put('auc', auc, why, error === undefined ? undefined : around(auc!, NORMAL_95 * error, 0, 1));

  const precision = ties.positive > 0 ? averagePrecision(ties) : null;
  const hits = effectiveRows(rows, (i) => (labels[i] ? weight(i) : 0));
  put(
    'average_precision',
    precision,
    why === NO_ROWS ? NO_ROWS : 'there are no positives',
    precision === null ? undefined : logitInterval(precision, hits),
  );

  let probabilities = ties.scores.length > 0;
  for (const score of ties.scores) probabilities &&= score >= 0 && score <= 1;
  const calibration = probabilities ? calibrationBins(labels, scores, weight, bins, binning) : [];
  const reason = ties.scores.length === 0 ? NO_ROWS : NOT_PROBABILITIES;
  const losses = {
    log_loss: (i: number) => -Math.log(clip(labels[i] ? scores[i] : 1 - scores[i])),
    brier: (i: number) => (scores[i] - (labels[i] ? 1 : 0)) ** 2,
  };
  for (const [name, loss] of Object.entries(losses)) {
    const { mean, half } = probabilities ? meanLoss(rows, loss, weight) : { mean: null, half: undefined };
    put(name, mean, reason, mean === null || half === undefined ? undefined : around(mean, half));
  }
  put('ece', probabilities ? calibrationError(calibration) : null, reason);

  const confusion = confusionAt(labels, scores, weight, threshold);
  const { true_positives: tp, false_positives: fp, true_negatives: tn, false_negatives: fn } = confusion;
  const size = effectiveRows(rows, weight);
  const proportion = (name: string, part: number, whole: number, none: string): void => {
    const share = ratio(part, whole);
    const n = (size * whole) / (tp + fp + tn + fn);
    put(name, share, none, share === null ? undefined : wilson(share, n));
  };
  proportion('accuracy', tp + tn, tp + fp + tn + fn, NO_ROWS);
  proportion('precision', tp, tp + fp, 'nothing is predicted positive');
  proportion('recall', tp, tp + fn, 'there are no positives');
  proportion('specificity', tn, tn + fp, 'there are no negatives');
  put('f1', ratio(2 * tp, 2 * tp + fp + fn), 'there are no positives, true or predicted');
  put('positive_rate', ratio(ties.positive, ties.positive + ties.negative));
  return {
    rows,
    positives: sumOf(rows, (i) => (labels[i] ? 1 : 0)),
    metrics,
    intervals,
    reasons,
    confusion,
    curves: { ...curvesOf(ties, curvePoints), calibration },
  };
}

/**
 * Interval of an average precision on the logit scale, logit(AP) ± z / √(n₊ AP (1 − AP)) (K. Boyd, K. H. Eng and
 * C. D. Page, ECML 2013); a point at 0 and 1.
 */
function logitInterval(precision: number, positives: number): [number, number] {
  if (precision <= 0 || precision >= 1) return [precision, precision];
  const centre = Math.log(precision / (1 - precision));
  const half = NORMAL_95 / Math.sqrt(positives * precision * (1 - precision));
  const expit = (x: number): number => 1 / (1 + Math.exp(-x));
  return [expit(centre - half), expit(centre + half)];
}

export interface MulticlassOptions {
  /** Names of the classes in the order of the probabilities; default their indices. */
  readonly classes?: readonly string[];
  readonly weights?: ArrayLike<number>;
}

/**
 * Evaluates a multiclass classifier. `labels[i]` is the index of row i's class; `probabilities[c][i]` is the
 * probability of class c. The predicted class is the first of the largest. Macro F1 is over the
 * classes that occur in labels or predictions, as in scikit-learn, 0 where a class is never right; macro AUC is
 * one class against the rest over the classes that occur and do not fill the labels.
 */
export function evaluateMulticlass(
  labels: ArrayLike<number>,
  probabilities: readonly ArrayLike<number>[],
  options: MulticlassOptions = {},
): MulticlassEvaluation {
  const rows = labels.length;
  const width = probabilities.length;
  const { classes = probabilities.map((_, c) => String(c)) } = options;
  const weight = weighing(options.weights);
  const confusion = classes.map(() => new Array<number>(width).fill(0));
  for (let row = 0; row < rows; row++) {
    let best = 0;
    for (let c = 1; c < width; c++) {
      if (probabilities[c][row] > probabilities[best][row]) best = c;
    }
    confusion[labels[row]][best] += weight(row);
  }
  const { metrics, intervals, reasons, put } = book();
  const total = sumOf(rows, weight);
  const loss = meanLoss(rows, (i) => -Math.log(clip(probabilities[labels[i]][i])), weight);
  put(
    'log_loss',
    total > 0 ? loss.mean : null,
    NO_ROWS,
    loss.half === undefined ? undefined : around(loss.mean, loss.half),
  );
  const right = sumOf(width, (c) => confusion[c][c]);
  const accuracy = ratio(right, total);
  put(
    'accuracy',
    accuracy,
    NO_ROWS,
    accuracy === null ? undefined : wilson(accuracy, effectiveRows(rows, weight)),
  );
  const trueOf = (c: number): number => sumOf(width, (other) => confusion[c][other]);
  const predictedOf = (c: number): number => sumOf(width, (row) => confusion[row][c]);
  const scores = classes.flatMap((_, c) => {
    const whole = trueOf(c) + predictedOf(c);
    return whole > 0 ? [(2 * confusion[c][c]) / whole] : [];
  });
  put(
    'macro_f1',
    ratio(
      sumOf(scores.length, (i) => scores[i]),
      scores.length,
    ),
  );
  const areas = classes.flatMap((_, c) => {
    const is = Uint8Array.from({ length: rows }, (_, i) => (labels[i] === c ? 1 : 0));
    const ties = groupTies(is, probabilities[c], weight);
    return ties.positive > 0 && ties.negative > 0 ? [areaOf(ties)] : [];
  });
  put(
    'macro_auc',
    ratio(
      sumOf(areas.length, (i) => areas[i]),
      areas.length,
    ),
    rows === 0 ? NO_ROWS : ONE_CLASS,
  );
  return { rows, classes, metrics, intervals, reasons, confusion };
}

/** The value below which half of the weight lies; the mean of the two middle ones where it splits evenly. */
function weightedMedian(values: Float64Array, weight: (i: number) => number): number | null {
  const order = Uint32Array.from(values, (_, i) => i)
    .filter((i) => weight(i) > 0)
    .sort((x, y) => values[x] - values[y]);
  const half = sumOf(order.length, (i) => weight(order[i])) / 2;
  let cumulative = 0;
  for (let k = 0; k < order.length; k++) {
    cumulative += weight(order[k]);
    if (cumulative > half) return values[order[k]];
    if (cumulative === half && k + 1 < order.length) return (values[order[k]] + values[order[k + 1]]) / 2;
  }
  return null;
}

/**
 * Evaluates a regression. MAPE is a share, not a percentage, over the rows whose truth is not 0. R² of a constant
 * truth is null.
 */
export function evaluateRegression(
  truth: ArrayLike<number>,
  predicted: ArrayLike<number>,
  options: { readonly weights?: ArrayLike<number> } = {},
): Evaluation {
  const rows = truth.length;
  const weight = weighing(options.weights);
  const { metrics, intervals, reasons, put } = book();
  const total = sumOf(rows, weight);
  const squared = meanLoss(rows, (i) => (predicted[i] - truth[i]) ** 2, weight);
  const absolute = meanLoss(rows, (i) => Math.abs(predicted[i] - truth[i]), weight);
  const squaredInterval = squared.half === undefined ? undefined : around(squared.mean, squared.half);
  put(
    'rmse',
    total > 0 ? Math.sqrt(squared.mean) : null,
    NO_ROWS,
    squaredInterval && [Math.sqrt(squaredInterval[0]), Math.sqrt(squaredInterval[1])],
  );
  put('mse', total > 0 ? squared.mean : null, NO_ROWS, squaredInterval);
  put(
    'mae',
    total > 0 ? absolute.mean : null,
    NO_ROWS,
    absolute.half === undefined ? undefined : around(absolute.mean, absolute.half),
  );
  const errors = Float64Array.from({ length: rows }, (_, i) => Math.abs(predicted[i] - truth[i]));
  put('median_absolute_error', weightedMedian(errors, weight));
  const mean = sumOf(rows, (i) => weight(i) * truth[i]) / total;
  const spread = sumOf(rows, (i) => weight(i) * (truth[i] - mean) ** 2);
  put(
    'r2',
    spread > 0 ? 1 - (squared.mean * total) / spread : null,
    total > 0 ? 'the truth is constant' : NO_ROWS,
  );
  const nonZero = sumOf(rows, (i) => (truth[i] === 0 ? 0 : weight(i)));
  const relative = sumOf(rows, (i) =>
    truth[i] === 0 ? 0 : weight(i) * Math.abs(predicted[i] / truth[i] - 1),
  );
  put('mape', ratio(relative, nonZero), total > 0 ? 'every true value is 0' : NO_ROWS);
  put('mean_error', total > 0 ? sumOf(rows, (i) => weight(i) * (predicted[i] - truth[i])) / total : null);
  return { rows, metrics, intervals, reasons };
}
