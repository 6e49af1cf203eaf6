/** Numbers and instants for people. Null is an en dash, never an empty cell. */
import { type Duration, type Instant, MICROS_PER_SECOND, printInstant } from '../core/base/time.js';

export const NONE = '–';

const WHOLE = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 });

/** 12,345 */
export const count = (n: number | null | undefined): string =>
  n === null || n === undefined || !Number.isFinite(n) ? NONE : WHOLE.format(n);

/** As many significant digits as asked for, without trailing zeros: 0.0123, 45.2, 1.2e-9, 12,345. */
export function number(n: number | null | undefined, digits = 4): string {
  if (n === null || n === undefined || !Number.isFinite(n)) return NONE;
  if (n === 0) return '0';
  const size = Math.abs(n);
  if (size >= 1e15 || size < 1e-4) return n.toExponential(Math.max(0, Math.min(2, digits - 1)));
  if (size >= 10 ** (digits - 1)) return WHOLE.format(n);
  return Number(n.toPrecision(digits)).toLocaleString('en-US', { maximumFractionDigits: 8 });
}

/** A metric with fixed decimals, so that columns line up. */
export const metric = (n: number | null | undefined): string =>
  n === null || n === undefined || !Number.isFinite(n) ? NONE : Math.abs(n) >= 1000 ? count(n) : n.toFixed(4);

/** 0 … 1 as a percentage. What is not quite none or all says so. */
export function percent(share: number | null | undefined, decimals = 1): string {
  if (share === null || share === undefined || !Number.isFinite(share)) return NONE;
  const smallest = 10 ** -decimals;
  const value = share * 100;
  if (value > 0 && value < smallest / 2) return `<${smallest}%`;
  if (value < 100 && value > 100 - smallest / 2) return `>${(100 - smallest).toFixed(decimals)}%`;
  return `${value === 0 || value === 100 ? value : value.toFixed(decimals)}%`;
}

export const pValue = (p: number | null | undefined): string =>
  p === null || p === undefined || !Number.isFinite(p)
    ? NONE
    : p < 1e-4
      ? '<0.0001'
      : p >= 0.1
        ? p.toFixed(2)
        : Number(p.toPrecision(2)).toString();

/** 2024-03-01 12:00 UTC */
export const instant = (at: Instant | null | undefined): string =>
  at === null || at === undefined || !Number.isFinite(at) ? NONE : instantText(printInstant(at));

/** The same of an instant that is printed already. */
export const instantText = (text: string | null | undefined): string => {
  if (text === null || text === undefined) return NONE;
  const match = /^(\d{4,}-\d\d-\d\d)T(\d\d:\d\d)/.exec(text);
  return match ? `${match[1]} ${match[2]} UTC` : text;
};

export const day = (text: string | null | undefined): string => text?.slice(0, 10) ?? NONE;

/** 3m 12s */
export function elapsed(micros: Duration | null): string {
  if (micros === null) return NONE;
  const seconds = micros / MICROS_PER_SECOND;
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const minutes = Math.floor(seconds / 60);
  return minutes < 60
    ? `${minutes}m ${Math.floor(seconds % 60)}s`
    : `${Math.floor(minutes / 60)}h ${minutes % 60}m`;
}

export function bytes(n: number): string {
  const unit = Math.min(4, Math.max(0, Math.floor(Math.log10(Math.max(1, n)) / 3)));
  const value = n / 1000 ** unit;
  return `${unit === 0 ? n : value.toFixed(value < 10 ? 1 : 0)} ${['B', 'kB', 'MB', 'GB', 'TB'][unit]}`;
}

export const plural = (n: number, one: string, many = `${one}s`): string =>
  `${count(n)} ${n === 1 ? one : many}`;

const METRIC_NAMES: Readonly<Record<string, string>> = {
  auc: 'ROC AUC',
  average_precision: 'Average precision',
  log_loss: 'Log loss',
  brier: 'Brier score',
  ece: 'Calibration error',
  accuracy: 'Accuracy',
  precision: 'Precision',
  recall: 'Recall',
  specificity: 'Specificity',
  f1: 'F1',
  positive_rate: 'Positive rate',
  macro_f1: 'Macro F1',
  macro_auc: 'Macro AUC',
  rmse: 'RMSE',
  mse: 'MSE',
  mae: 'MAE',
  median_absolute_error: 'Median absolute error',
  r2: 'R²',
  mape: 'MAPE',
  mean_error: 'Mean error',
};

export const metricName = (name: string): string => METRIC_NAMES[name] ?? name;
