export type { DefinitionInput } from './collect.js';
export { type DefineResult, define, type Environment } from './define.js';
export { METRICS } from './models.js';
export { readDefinitionModule } from './module.js';
export { readYaml } from './node.js';
