/** Schemas of values and of what routes of this project answer; the parts that operations are made of. */
import type { Definitions, Feature, JoinKey, Source } from '../../core/define/types.js';
import { planFeatures } from '../../core/engine/feature-plan.js';
import { STATUS_NAMES } from '../../core/engine/types.js';
import { printType, type ValueType } from '../../core/schema/types.js';

export type Schema = Readonly<Record<string, unknown>>;

const described = (schema: Schema, description: string | undefined): Schema =>
  description === undefined ? schema : { ...schema, description };

/** JSON form of a value type, as answers give it and requests may send it. */
export function schemaOf(type: ValueType): Schema {
  const note = printType(type);
  switch (type.kind) {
    case 'int64':
      return {
        type: ['integer', 'string', 'null'],
        format: 'int64',
        description: 'int64; as text beyond 2^53',
      };
    case 'float64':
      return { type: ['number', 'null'], format: 'double' };
    case 'decimal':
      return { type: ['number', 'string', 'null'], description: `${note}; as text beyond 15 digits` };
    case 'string':
      return { type: ['string', 'null'] };
    case 'boolean':
      return { type: ['boolean', 'null'] };
    case 'timestamp':
      return { type: ['string', 'null'], format: 'date-time' };
    case 'date':
      return { type: ['string', 'null'], format: 'date' };
    case 'float64_vector':
      return {
        type: ['array', 'null'],
        items: { type: 'number' },
        ...(type.dimension === undefined ? {} : { minItems: type.dimension, maxItems: type.dimension }),
      };
    case 'list':
      return { type: ['array', 'null'], items: schemaOf(type.of) };
    case 'map':
      return { type: ['object', 'null'], additionalProperties: schemaOf(type.of) };
  }
}

export const ref = (name: string): Schema => ({ $ref: `#/components/schemas/${name}` });
export const array = (items: Schema): Schema => ({ type: 'array', items });
export const object = (
  properties: Readonly<Record<string, Schema>>,
  required: readonly string[] = Object.keys(properties),
): Schema => ({ type: 'object', properties, required });
export const json = (schema: Schema): Schema => ({ 'application/json': { schema } });
export const answer = (description: string, schema: Schema): Schema => ({
  description,
  content: json(schema),
});
export const problem = (description: string): Schema => ({
  description,
  content: { 'application/problem+json': { schema: ref('Problem') } },
});

const COMMON: Readonly<Record<string, Schema>> = {
  400: problem('The body or a value in it is not what the route expects; `place.path` says where'),
  404: problem('Nothing has this name; `hint` gives the nearest'),
  413: problem('The body is larger than this server accepts'),
  415: problem('The content type is not one that this route reads'),
  429: problem('The server has more work than it can take; see Retry-After'),
  503: problem('Not materialized, not ready or locked; see Retry-After'),
};

interface Operation {
  readonly tag: string;
  readonly id: string;
  readonly summary: string;
  readonly description?: string | undefined;
  readonly body?: Schema;
  readonly answers: Readonly<Record<string, Schema>>;
  readonly parameters?: readonly Schema[];
}

export function operation({ tag, id, summary, description, body, answers, parameters }: Operation): Schema {
  return {
    tags: [tag],
    operationId: id,
    summary,
    ...(description === undefined ? {} : { description }),
    ...(parameters ? { parameters } : {}),
    ...(body ? { requestBody: { required: true, content: body } } : {}),
    responses: body ? { ...answers, ...COMMON } : answers,
  };
}

export const pathParameter = (name: string, description: string): Schema => ({
  name,
  in: 'path',
  required: true,
  description,
  schema: { type: 'string' },
});

const exampleOf = (type: ValueType): unknown =>
  ({
    int64: 1,
    float64: 1.5,
    decimal: 9.99,
    string: 'text',
    boolean: true,
    timestamp: '2024-03-01T12:00:00Z',
    date: '2024-03-01',
    float64_vector: [0.5],
    list: [],
    map: {},
  })[type.kind];

const keysSchema = (keys: readonly JoinKey[]): Schema =>
  object(Object.fromEntries(keys.map((key) => [key.name, schemaOf(key.type)])));

/** The body of a features or predict route for these features. */
export function entityRequest(definitions: Definitions, features: readonly Feature[]): Schema {
  const plan = planFeatures(definitions, features);
  const example = {
    entities: [Object.fromEntries(plan.joinKeys.map((key) => [key.name, exampleOf(key.type)]))],
    ...(plan.requestFields.length > 0
      ? {
          request: [
            Object.fromEntries(plan.requestFields.map((field) => [field.name, exampleOf(field.type)])),
          ],
        }
      : {}),
  };
  return {
    ...object(
      {
        entities: array(keysSchema(plan.joinKeys)),
        ...(plan.requestFields.length > 0
          ? {
              request: array(
                object(
                  Object.fromEntries(plan.requestFields.map((field) => [field.name, schemaOf(field.type)])),
                  [],
                ),
              ),
            }
          : {}),
        at: { type: 'string', format: 'date-time', description: 'Observation instant; now when absent' },
      },
      ['entities'],
    ),
    additionalProperties: false,
    example,
  };
}

export function featureAnswer(features: readonly Feature[]): Schema {
  return {
    allOf: [
      ref('AsOf'),
      object({
        features: { type: 'array', const: features.map((feature) => feature.name) },
        rows: array(
          object({
            values: {
              type: 'array',
              prefixItems: features.map((feature) =>
                described({ ...schemaOf(feature.valueType), title: feature.name }, feature.description),
              ),
            },
            statuses: array(ref('Status')),
          }),
        ),
      }),
    ],
  };
}

export function recordSchema(source: Source): Schema {
  const required = source.recordKey;
  return {
    ...object(Object.fromEntries(source.fields.map((field) => [field.name, schemaOf(field.type)])), required),
    example: Object.fromEntries(source.fields.map((field) => [field.name, exampleOf(field.type)])),
  };
}

const rowsByRule = (description: string): Schema => ({
  type: 'object',
  description: `Rule → ${description}`,
  additionalProperties: { type: 'integer' },
});
export const BY_RULE: Readonly<Record<string, Schema>> = {
  reasons: rowsByRule('rows it sent to quarantine'),
  repairs: rowsByRule('accepted records it repaired'),
  drops: rowsByRule('rows it left out'),
  flags: rowsByRule('accepted records that carry it'),
};

export const SCHEMAS: Readonly<Record<string, Schema>> = {
  Problem: object(
    {
      type: { type: 'string' },
      title: { type: 'string' },
      status: { type: 'integer' },
      detail: { type: 'string' },
      code: { type: 'string', description: 'Stable; the same as on the command line' },
      hint: { type: 'string' },
      place: {
        type: 'object',
        properties: { path: { type: 'string' }, line: { type: 'integer' }, column: { type: 'integer' } },
      },
    },
    ['type', 'title', 'status', 'detail', 'code'],
  ),
  Batch: object(
    {
      batch: { type: 'string' },
      source: { type: 'string' },
      at: { type: 'string', format: 'date-time' },
      status: { type: 'string', enum: ['committed', 'refused'] },
      verdict: { type: 'string' },
      rows: { type: 'integer', description: 'accepted + quarantined + duplicates + dropped' },
      accepted: { type: 'integer' },
      quarantined: { type: 'integer' },
      duplicates: { type: 'integer' },
      dropped: { type: 'integer' },
      reason: { type: ['string', 'null'], description: 'Why it was refused' },
      ...BY_RULE,
      warnings: array({ type: 'object' }),
      history: { type: ['object', 'null'] },
      mark: { type: ['object', 'null'] },
    },
    [
      'batch',
      'source',
      'at',
      'status',
      'verdict',
      'rows',
      'accepted',
      'quarantined',
      'duplicates',
      'dropped',
    ],
  ),
  QuarantinedRow: object(
    {
      id: { type: 'integer' },
      source: { type: 'string' },
      batch: { type: 'string' },
      file: { type: ['string', 'null'] },
      line: { type: 'integer' },
      row: { type: 'object', description: 'As it was delivered' },
      reasons: array(object({ rule: { type: 'string' }, message: { type: 'string' } })),
      status: { type: 'string', enum: ['open', 'replayed', 'dropped'] },
      at: { type: 'string', format: 'date-time' },
      note: { type: ['string', 'null'] },
    },
    ['id', 'source', 'batch', 'line', 'row', 'reasons', 'status', 'at'],
  ),
  Status: { type: 'string', enum: STATUS_NAMES },
  Applied: {
    type: 'object',
    description: 'By source: how much of its log the answer knows',
    additionalProperties: object({
      seq: { type: 'integer' },
      available_at: { type: ['string', 'null'], format: 'date-time' },
    }),
  },
  AsOf: object({
    as_of: { type: 'string', format: 'date-time' },
    applied: ref('Applied'),
    data_age_seconds: { type: ['number', 'null'] },
  }),
  IngestResult: object({
    accepted: { type: 'integer' },
    quarantined: { type: 'integer' },
    duplicates: { type: 'integer' },
    dropped: { type: 'integer' },
    corrections: { type: 'integer', description: 'Accepted records that are new versions of known ones' },
    repaired: { type: 'integer', description: 'Accepted records that rules repaired' },
    seq: { type: 'integer', description: 'Last position of the source’s log' },
    batch: { type: 'string' },
    ...BY_RULE,
    warnings: array(object({ rule: { type: 'string' }, message: { type: 'string' } })),
  }),
  Outcome: object(
    {
      prediction_id: { type: 'string' },
      label: { type: ['number', 'string', 'boolean', 'null'] },
      at: { type: 'string', format: 'date-time' },
    },
    ['prediction_id', 'label'],
  ),
  Tensor: object({
    name: { type: 'string' },
    shape: array({ type: 'integer' }),
    datatype: { type: 'string', enum: ['BOOL', 'INT64', 'FP64', 'BYTES'] },
    data: { type: 'array' },
  }),
};

export function predictionSchema(task: 'binary' | 'multiclass' | 'regression'): Schema {
  if (task === 'binary')
    return object({ probability: { type: 'number' }, label: { type: 'integer', enum: [0, 1] } });
  if (task === 'regression') return object({ score: { type: 'number' } });
  return object({
    label: { type: 'string' },
    probabilities: { type: 'object', additionalProperties: { type: 'number' } },
  });
}

export const ready = {
  200: answer('Ready', { type: 'object' }),
  503: problem('Not ready; says what is missing'),
};
export const any = { 200: answer('', { type: 'object' }) };

/** What a document is made of: operations by path, and schemas by name. */
export interface Description {
  add(method: 'get' | 'post', path: string, given: Operation): void;
  readonly schemas: Record<string, Schema>;
}

export const missing = { 404: problem('Nothing has this name; `hint` gives the nearest') };
export const parameter = (name: string, schema: Schema): Schema => ({
  name,
  in: 'query',
  required: false,
  schema,
});
