/** `open(folder)`: the whole product in process, for scripts and back ends. */
import { parseInstant } from './core/base/time.js';
import { MillraceError } from './core/base/error.js';
import { openProject, type OpenOptions } from './open.js';
import type { IngestResult } from './ports/record-log.js';
import { type BuiltDataset, buildDataset } from './services/build-dataset.js';
import { type HistoricalRequest, type HistoricalResult, historicalFeatures } from './services/historical.js';
import { materialize, type MaterializeResult } from './services/materialize.js';
import { openPredictor, predict, type PredictAnswer, type Predictor } from './services/predict.js';
import { answerFeatures, type FeatureAnswer, featureReader, type FeatureReader } from './services/serve.js';

/** Microseconds, a Date, ISO text; absent: now. */
export type When = number | Date | string;

export interface OnlineRequest {
  readonly features: readonly string[];
  readonly entities: readonly Readonly<Record<string, unknown>>[];
  readonly request?: readonly Readonly<Record<string, unknown>>[];
  readonly at?: When;
}

export interface MillraceProject {
  /** Records in hand, or files by path. Durable when it resolves. */
  ingest(source: string, rows: readonly Readonly<Record<string, unknown>>[]): Promise<IngestResult>;
  ingestFiles(source: string, files?: readonly string[]): Promise<IngestResult>;
  /** Point-in-time values for a file of observations. */
  historical(request: HistoricalRequest): Promise<HistoricalResult>;
  /** Brings the online store up to the log. */
  materialize(): Promise<MaterializeResult>;
  online(request: OnlineRequest): Promise<FeatureAnswer>;
  predict(service: string, request: Omit<OnlineRequest, 'features'>): Promise<PredictAnswer>;
  buildDataset(name: string): Promise<BuiltDataset>;
  close(): Promise<void>;
}

function instantOf(when: When | undefined): number | undefined {
  if (when === undefined) return undefined;
  if (typeof when === 'number') return when;
  const micros = when instanceof Date ? when.getTime() * 1000 : parseInstant(when);
  if (micros === undefined || Number.isNaN(micros)) throw new MillraceError('USAGE', `"${String(when)}" is no instant`, { hint: 'Give ISO 8601, a Date or microseconds.' });
  return micros;
}

/**
 * Opens the project in `folder`.
 * @throws MillraceError PROJECT_NOT_FOUND, DEF_INVALID with all diagnostics.
 */
export async function open(folder: string, options: OpenOptions = {}): Promise<MillraceProject> {
  const project = await openProject(folder, options);
  const readers = new Map<string, FeatureReader>();
  const predictors = new Map<string, Predictor>();
  const sourceOf = (name: string) => {
    const source = project.definitions.sources.get(name);
    if (!source) throw new MillraceError('UNKNOWN_NAME', `there is no source named "${name}"`);
    return source;
  };
  return {
    ingest: async (name, rows) => (await project.log()).ingestRows(sourceOf(name), rows, { now: project.now() }),
    ingestFiles: async (name, files) => {
      const log = await project.log();
      const source = sourceOf(name);
      return log.ingestFiles(source, files ?? log.expand(source), { now: project.now() });
    },
    historical: (request) => historicalFeatures(project, request),
    materialize: () => materialize(project),
    online: async ({ features, at, ...request }) => {
      const key = features.join(',');
      const reader = readers.get(key) ?? (await featureReader(project, features));
      readers.set(key, reader);
      return answerFeatures(reader, { ...request, at: instantOf(at) }, project.now());
    },
    predict: async (name, { at, ...request }) => {
      const predictor = predictors.get(name) ?? (await openPredictor(project, name));
      predictors.set(name, predictor);
      return predict(project, predictor, { ...request, at: instantOf(at) });
    },
    buildDataset: (name) => buildDataset(project, name),
    close: () => project.close(),
  };
}
