/** The shapes as JSON Schema (draft 7, which editors' YAML servers read). */
import type { AnyShape } from './shape.js';
import { projectFileShape } from './shapes.js';

type Schema = { readonly [key: string]: unknown };

/** One schema for millrace.yaml and for every file of definitions. */
export function jsonSchema(): Schema {
  return {
    $schema: 'http://json-schema.org/draft-07/schema#',
    title: 'millrace definitions',
    ...schemaOf(projectFileShape as AnyShape),
  };
}

function schemaOf(shape: AnyShape): Schema {
  switch (shape.kind) {
    case 'text':
      return {
        type: shape.loose ? ['string', 'number', 'boolean'] : 'string',
        ...(shape.pattern === null ? {} : { pattern: shape.pattern }),
        ...(shape.examples.length === 0 ? {} : { examples: shape.examples }),
      };
    case 'number':
      return {
        type: shape.integer ? 'integer' : 'number',
        ...(shape.min === null ? {} : { minimum: shape.min }),
        ...(shape.max === null ? {} : { maximum: shape.max }),
      };
    case 'boolean':
      return { type: 'boolean' };
    case 'choice':
      return { enum: [...shape.values, ...Object.keys(shape.aliases)] };
    case 'reference':
      return { type: 'string' };
    case 'scalar':
      return { type: ['string', 'number', 'boolean', 'null'] };
    case 'function':
      return { not: {}, description: 'Only in TypeScript.' };
    case 'list': {
      const size = shape.size === null ? {} : { minItems: shape.size, maxItems: shape.size };
      const list = { type: 'array', items: schemaOf(shape.of), ...size };
      return shape.lone ? { anyOf: [schemaOf(shape.of), list] } : list;
    }
    case 'mapping':
      return {
        type: 'object',
        additionalProperties: schemaOf(shape.of),
        ...(shape.keys === null ? {} : { propertyNames: { enum: shape.keys } }),
      };
    case 'object': {
      const keys = Object.entries(shape.keys);
      const needed = keys.flatMap(([name, key]) => (key.required ? [name] : []));
      const properties = keys.map(
        ([name, key]) => [name, { description: key.description, ...schemaOf(key.shape) }] as const,
      );
      return {
        type: 'object',
        properties: Object.fromEntries(properties),
        ...(needed.length === 0 ? {} : { required: needed }),
        additionalProperties: shape.rest === null ? false : schemaOf(shape.rest.shape),
      };
    }
    case 'either':
      return { anyOf: shape.options.map(schemaOf) };
  }
}
