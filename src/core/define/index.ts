export type { DefinitionInput } from './collect.js';
export { type DefineResult, define, type Environment } from './define.js';
export { readDefinitionModule } from './module.js';
export { readYaml } from './node.js';
export { METRICS } from './training.js';
