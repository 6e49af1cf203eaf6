/** Every prediction with the feature vector it was made from, and the outcomes that came later. Append-only. */
import type { Instant } from '../core/base/time.js';

export interface LoggedPrediction {
  readonly prediction_id: string;
  readonly service: string;
  /** `flight_late@7`. */
  readonly model: string;
  /** When the answer was given, and the observation instant it was given for. Microseconds. */
  readonly made_at: Instant;
  readonly as_of: Instant;
  readonly origin: 'online' | 'batch' | 'backtest';
  readonly entity: Readonly<Record<string, unknown>>;
  readonly request: Readonly<Record<string, unknown>>;
  /** Feature values in JSON form, by name, as the model saw them. */
  readonly features: Readonly<Record<string, unknown>>;
  readonly statuses: Readonly<Record<string, string>>;
  /** Log position of every source at the answer. */
  readonly applied: Readonly<Record<string, number>>;
  /** Probability of the positive class, the class probabilities, or the predicted number. */
  readonly score: number | null;
  readonly prediction: unknown;
}

export interface LoggedOutcome {
  readonly prediction_id: string;
  readonly service: string;
  readonly label: number | string | boolean | null;
  readonly at: Instant;
  readonly received_at: Instant;
}

export interface PredictionLog {
  /** Durable when it resolves. */
  append(service: string, predictions: readonly LoggedPrediction[]): Promise<void>;
  appendOutcomes(service: string, outcomes: readonly LoggedOutcome[]): Promise<void>;
  predictions(
    service: string,
    filter?: {
      readonly since?: Instant;
      readonly until?: Instant;
      readonly origin?: LoggedPrediction['origin'];
    },
  ): AsyncIterable<LoggedPrediction>;
  outcomes(service: string): Promise<ReadonlyMap<string, LoggedOutcome>>;
  close(): Promise<void>;
}
