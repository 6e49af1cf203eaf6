/** `open(folder)`: the whole product in process, for scripts and back ends. */

import { MillraceError } from './core/base/error.js';
import { parseInstant } from './core/base/time.js';
import type { Source } from './core/define/types.js';
import { type OpenOptions, openProject } from './open.js';
import type { IngestResult } from './ports/record-log.js';
import { type BuiltDataset, buildDataset } from './services/build-dataset.js';
import { createFollower, type Follower, findSource } from './services/follow.js';
import { transformsOf } from './services/follow-transforms.js';
import { type HistoricalRequest, type HistoricalResult, historicalFeatures } from './services/historical.js';
import { ingestFiles } from './services/ingest.js';
import { type MaterializeResult, materialize } from './services/materialize.js';
import { openPredictor, type PredictAnswer, type Predictor, predict } from './services/predict.js';
import { readSource } from './services/read-source.js';
import { answerFeatures, type FeatureAnswer, type FeatureReader, featureReader } from './services/serve.js';
import { runTransform } from './services/transform.js';

export type { OpenOptions };

/** Microseconds since 1970, a Date, ISO 8601 text (without an offset: UTC); absent: now. */
export type When = number | Date | string;

/** Which features, of which entities, at which instant. */
export interface OnlineRequest {
  /** Names of features and of feature sets. */
  readonly features: readonly string[];
  /** Entity keys by name, one object a row. */
  readonly entities: readonly Readonly<Record<string, unknown>>[];
  /** Fields that only the request knows, one object for each entity, in the same order. */
  readonly request?: readonly Readonly<Record<string, unknown>>[];
  /** The instant of observation: windows end there, and nothing that became known later is seen. */
  readonly at?: When;
}

/** A project in hand. Instants that it answers are ISO 8601 in UTC; what is not known is null, never NaN. */
export interface MillraceProject {
  /**
   * Records in hand. When it resolves they are durable, and the next read sees them, through transforms too.
   * STORE_LOCKED while another process writes to the project; BATCH_REFUSED; UNKNOWN_NAME.
   */
  ingest(source: string, rows: readonly Readonly<Record<string, unknown>>[]): Promise<IngestResult>;
  /**
   * The same for files by path; absent: what the source itself has to say, by its files, query or transform. Null: a
   * source that was asked had nothing new.
   */
  ingestFiles(source: string, files?: readonly string[]): Promise<IngestResult | null>;
  /** Point-in-time values for a file of observations. */
  historical(request: HistoricalRequest): Promise<HistoricalResult>;
  /** Brings the online store up to the log: before the first `online`, unless this process ingests. */
  materialize(): Promise<MaterializeResult>;
  /** NOT_MATERIALIZED when the online store has never been built for these features; ENTITY_KEY_INVALID, REQUEST_INVALID. */
  online(request: OnlineRequest): Promise<FeatureAnswer>;
  /** What the champion of the service's model says of each entity. MODEL_MISSING when there is none. */
  predict(service: string, request: Omit<OnlineRequest, 'features'>): Promise<PredictAnswer>;
  /** A new version of a dataset, or the present one where nothing has changed. LEAKAGE; DATASET_REJECTED by its checks; UNKNOWN_NAME. */
  buildDataset(name: string): Promise<BuiltDataset>;
  /** Waits for what is under way and gives the project free. A second call is the first. */
  close(): Promise<void>;
}

function instantOf(when: When | undefined): number | undefined {
  if (when === undefined) return undefined;
  if (typeof when === 'number') return when;
  const micros = when instanceof Date ? when.getTime() * 1000 : parseInstant(when);
  if (micros === undefined || Number.isNaN(micros))
    throw new MillraceError('USAGE', `"${String(when)}" is no instant`, {
      hint: 'Give ISO 8601, a Date or microseconds.',
    });
  return micros;
}

const computed = (name: string, parents: readonly string[]): MillraceError =>
  new MillraceError(
    'USAGE',
    `source ${name} is computed from ${parents.join(', ')}; nothing can be sent to it`,
    {
      hint: 'Send records to its parents, then call `ingestFiles` with its name alone.',
    },
  );

/**
 * Opens the project in `folder`.
 * @throws MillraceError PROJECT_NOT_FOUND, DEF_INVALID with all diagnostics.
 */
export async function open(folder: string, options: OpenOptions = {}): Promise<MillraceProject> {
  const project = await openProject(folder, options);
  const readers = new Map<string, FeatureReader>();
  const predictors = new Map<string, Predictor>();
  let follower: Promise<Follower> | undefined;
  let closed: Promise<void> | undefined;
  /** Sources appended to since what is computed from them was. */
  const changed = new Set<string>();
  let settling: Promise<void> = Promise.resolve();
  const following = (): Promise<Follower> => {
    follower ??= (async () => {
      await project.lockForWriting('open()', 'if_free');
      const made = await createFollower(project);
      await materialize(project);
      made.start();
      return made;
    })();
    follower.catch(() => {
      follower = undefined;
    });
    return follower;
  };
  /** Appends durably, then brings the online store up to it. */
  const appended = async <T extends IngestResult | null>(
    source: Source,
    append: () => Promise<T>,
  ): Promise<T> => {
    const applying = await following();
    const result = await append();
    if (result === null || result.accepted === 0) return result;
    changed.add(source.name);
    await applying.apply(source);
    return result;
  };
  const recompute = async (): Promise<void> => {
    for (const name of [...changed]) {
      for (const transform of transformsOf(project, name)) {
        const result = await runTransform(project, transform.name);
        if (result.accepted > 0) await (await following()).apply(transform);
      }
      changed.delete(name);
    }
  };
  /** Before anything is read: transforms follow what this process has appended, once for many appends. */
  const settle = (): Promise<void> => {
    settling = settling.catch(() => undefined).then(recompute);
    return settling;
  };
  return {
    ingest: async (name, rows) => {
      const source = findSource(project, name);
      if (source.read.kind === 'transform') throw computed(source.name, source.read.parents);
      const log = await project.log();
      return appended(source, () => log.ingestRows(source, rows, { now: project.now() }));
    },
    ingestFiles: async (name, files) => {
      const source = findSource(project, name);
      if (files !== undefined) {
        if (source.read.kind === 'transform') throw computed(source.name, source.read.parents);
        return appended(source, () => ingestFiles(project, source, files));
      }
      return appended(source, () => readSource(project, source));
    },
    historical: async (request) => {
      await settle();
      return historicalFeatures(project, request);
    },
    materialize: async () => {
      await settle();
      return materialize(project);
    },
    online: async ({ features, at, ...request }) => {
      await settle();
      const key = features.join(',');
      const reader = readers.get(key) ?? (await featureReader(project, features));
      readers.set(key, reader);
      return answerFeatures(reader, { ...request, at: instantOf(at) }, project.now());
    },
    predict: async (name, { at, ...request }) => {
      await settle();
      const predictor = predictors.get(name) ?? (await openPredictor(project, name));
      predictors.set(name, predictor);
      return predict(project, predictor, { ...request, at: instantOf(at) });
    },
    buildDataset: async (name) => {
      await settle();
      return buildDataset(project, name);
    },
    close: () => {
      closed ??= (async () => {
        await (await follower?.catch(() => undefined))?.close();
        await project.close();
      })();
      return closed;
    },
  };
}
