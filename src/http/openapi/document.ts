/** The contract, as OpenAPI 3.1: the routes, and what this project's definitions make of them. */
import type { Definitions } from '../../core/define/types.js';
import {
  describeFeatures,
  describeInference,
  describeIngest,
  describeOperations,
  describeServices,
} from './pipeline.js';
import { describeBatches, describeMarks, describeQuarantine, describeSource } from './quality.js';
import { type Description, operation, pathParameter, SCHEMAS, type Schema } from './schema.js';

export function openApi(definitions: Definitions, version: string): Schema {
  const paths: Record<string, Schema> = {};
  const schemas: Record<string, Schema> = { ...SCHEMAS };
  const description: Description = {
    add: (method, path, given) => {
      paths[path] = { ...paths[path], [method]: operation(given) };
    },
    schemas,
  };
  describeIngest(description, definitions);
  describeFeatures(description, definitions);
  describeServices(description, definitions);
  describeInference(description, definitions);
  const source = pathParameter('name', `Sources: ${[...definitions.sources.keys()].join(', ')}`);
  describeBatches(description, source);
  describeQuarantine(description, source);
  describeMarks(description, source);
  describeSource(description, source);
  describeOperations(description);
  return {
    openapi: '3.1.0',
    info: {
      title: `${definitions.settings.project} on millrace`,
      version,
      description: 'Features and predictions of this project. Errors are problem+json with stable codes.',
    },
    servers: [{ url: '/' }],
    paths,
    components: { schemas },
  };
}
