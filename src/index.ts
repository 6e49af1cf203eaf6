/** The public names, one by one. */
export {
  type Camel,
  dataset,
  type Definition,
  entity,
  feature,
  featureSet,
  label,
  model,
  monitor,
  project,
  service,
  source,
  transform,
} from './core/define/builders.js';
export { type Diagnostic, MillraceError, type Place } from './core/base/error.js';
export { CATALOGUE, type ErrorCode } from './core/base/catalogue.js';
export type { Definitions } from './core/define/types.js';
export type { Value, ValueType } from './core/schema/types.js';
export { type MillraceProject, open } from './project-handle.js';
