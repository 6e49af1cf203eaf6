export { type DefinitionInput } from './collect.js';
export { define, type DefineResult, type Environment } from './define.js';
export { readDefinitionModule } from './module.js';
export { readYaml } from './node.js';
export { METRICS } from './training.js';
