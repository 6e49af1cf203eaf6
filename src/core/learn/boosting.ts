import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus';
import { type BoostingColumn, binTable } from './bins.js';
import type { Forest, Tree } from './forest.js';
import { addTree, type BoostingOptions, Grower } from './grow.js';
import { softmax } from './logistic.js';

export type Objective = 'squared' | 'logistic' | 'softmax';

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

const EPSILON = 1e-15;

interface Scored {
  readonly rows: number;
  readonly target: ArrayLike<number>;
  readonly weights: Float64Array;
  /** One list an output. */
  readonly scores: readonly Float64Array[];
}

/** Mean loss of the scores; writes gradients when asked. */
function lossOf(
  objective: Objective,
  data: Scored,
  gradients?: readonly { g: Float64Array; h: Float64Array }[],
): number {
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
      // softplus(z) and sigmoid(z) from one exponential
      const z = first[r]!;
      const e = Math.exp(-Math.abs(z));
      loss += weight * ((z > 0 ? z : 0) + Math.log1p(e) - y * z);
      if (gradients) {
        const q = z >= 0 ? 1 / (1 + e) : e / (1 + e);
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
  const binned = binTable(train.rows, train.columns, options.maxBins);
  const checkBinned = validation && binTable(validation.rows, validation.columns, binned);
  const start = constantScores(objective, train.target, train.weights, outputs);
  const scored = (data: BoostingData): Scored => ({
    rows: data.rows,
    target: data.target,
    weights: data.weights,
    scores: start.map((each) => new Float64Array(data.rows).fill(each)),
  });
  const training = scored(train);
  const checking = validation && scored(validation);
  const gradients = start.map(() => ({ g: new Float64Array(train.rows), h: new Float64Array(train.rows) }));
  const unit = objective === 'squared' && train.weights.every((weight) => weight === 1);
  const grower = new Grower(binned, options, xoroshiro128plus(options.seed), unit);
  const rounds: Round[] = [];
  const forest: Tree[][] = [];
  let bestRound = 0;
  let bestLoss = checking ? lossOf(objective, checking) : Number.POSITIVE_INFINITY;
  let stoppedEarly = false;
  lossOf(objective, training, gradients);
  for (let round = 1; round <= options.trees; round++) {
    const trees = gradients.map(({ g, h }, k) => grower.grow(g, h, training.scores[k]!));
    forest.push(trees);
    if (checking) for (const [k, tree] of trees.entries()) addTree(tree, checkBinned!, checking.scores[k]!);
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
    if (trees.every((tree) => tree.feature.length === 1) && options.subsample >= 1 && options.colsample >= 1)
      break;
  }
  const kept = forest.slice(0, bestRound);
  const gains = binned.columns.map(() => 0);
  for (const tree of kept.flat()) {
    tree.feature.forEach((column, node) => {
      if (column >= 0) gains[column]! += tree.gain[node]!;
    });
  }
  return { forest: { start, rounds: kept }, rounds, bestRound, stoppedEarly, gains };
}
