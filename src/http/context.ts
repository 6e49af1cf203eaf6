/** What the routes share: the project, its live parts, and what was prepared for earlier requests. */
import { MillraceError } from '../core/base/error.js';
import type { Champions } from '../services/champions.js';
import type { Follower } from '../services/follow.js';
import type { TransformFollower } from '../services/follow-transforms.js';
import type { OutcomeRecorder } from '../services/outcomes.js';
import type { Predictor } from '../services/predict.js';
import type { Project } from '../services/project.js';
import { type FeatureReader, featureReader } from '../services/serve.js';
import type { Readiness } from '../services/status.js';
import type { Metrics } from './metrics.js';

export interface Limits {
  /** Bytes of a request body. */
  readonly body: number;
  /** Pushes under way, and the bytes of their bodies. */
  readonly pushes: number;
  readonly pushBytes: number;
  /** Requests of all kinds under way. */
  readonly requests: number;
}

export const LIMITS: Limits = { body: 16 * 2 ** 20, pushes: 512, pushBytes: 256 * 2 ** 20, requests: 4_096 };

export interface Context {
  readonly project: Project;
  readonly version: string;
  readonly champions: Champions;
  readonly follower: Follower;
  /** Keeps computed sources up with what is pushed to their parents. */
  readonly transforms: TransformFollower;
  readonly outcomes: OutcomeRecorder;
  readonly metrics: Metrics;
  readonly limits: Limits;
  readonly inFlight: { requests: number; pushes: number; pushBytes: number; closing: boolean };
  readiness(): Promise<Readiness>;
  /** Ids of the groups that are built from nothing as the server starts: until then they do not answer. */
  readonly building: ReadonlySet<string>;
  /** STORE_LOCKED when another process was the writer as this server started. */
  requireWriter(): void;
  readonly readers: Map<string, FeatureReader>;
}

const MAX_READERS = 1_000;

function requireBuilt({ building }: Context, { groups }: FeatureReader): void {
  if (building.size === 0) return;
  const missing = groups.filter(({ group }) => building.has(group.id));
  if (missing.length > 0)
    throw new MillraceError(
      'NOT_MATERIALIZED',
      `the online store is being built: ${missing.map(({ group }) => group.id).join(', ')}`,
      { hint: 'Ask again when /readyz says so.' },
    );
}

/** The prepared reader of a set or of names separated by commas. */
export async function readerOf(context: Context, names: string): Promise<FeatureReader> {
  const present = context.readers.get(names);
  if (present) return present;
  const list = names
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '');
  if (list.length === 0) throw new MillraceError('REQUEST_INVALID', 'no feature is named');
  const reader = await featureReader(context.project, list);
  requireBuilt(context, reader);
  if (context.readers.size >= MAX_READERS) context.readers.clear();
  context.readers.set(names, reader);
  return reader;
}

export async function predictorOf(context: Context, service: string): Promise<Predictor> {
  const predictor = context.champions.current(service) ?? (await context.champions.get(service));
  requireBuilt(context, predictor.reader);
  return predictor;
}
