/** The public names, one by one. */

export { CATALOGUE, type ErrorCode } from './core/base/catalogue.js';
export { type Diagnostic, MillraceError, type Place } from './core/base/error.js';
export { VERSION } from './core/base/version.js';
export {
  type Camel,
  type Definition,
  dataset,
  entity,
  feature,
  featureSet,
  label,
  model,
  monitor,
  project,
  schedule,
  sensor,
  service,
  source,
  transform,
} from './core/define/builders.js';
export type { Definitions } from './core/define/types.js';
export type { Value, ValueType } from './core/schema/types.js';
export type { IngestResult } from './ports/record-log.js';
export {
  type MillraceProject,
  type OnlineRequest,
  type OpenOptions,
  open,
  type When,
} from './project-handle.js';
export type { BuiltDataset } from './services/build-dataset.js';
export type { HistoricalRequest, HistoricalResult } from './services/historical.js';
export type { MaterializeResult } from './services/materialize.js';
export type { PredictAnswer } from './services/predict.js';
export type { FeatureAnswer } from './services/serve.js';
