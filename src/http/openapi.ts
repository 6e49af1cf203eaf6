/** The contract, as OpenAPI 3.1: the routes, and what this project's definitions make of them. */
import type { Definitions, Feature, JoinKey, Source } from '../core/define/types.js';
import { expandFeatures, planFeatures } from '../core/engine/feature-plan.js';
import { STATUS_NAMES } from '../core/engine/types.js';
import { printType, type ValueType } from '../core/schema/types.js';

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

const ref = (name: string): Schema => ({ $ref: `#/components/schemas/${name}` });
const array = (items: Schema): Schema => ({ type: 'array', items });
const object = (
  properties: Readonly<Record<string, Schema>>,
  required: readonly string[] = Object.keys(properties),
): Schema => ({ type: 'object', properties, required });
const json = (schema: Schema): Schema => ({ 'application/json': { schema } });
const answer = (description: string, schema: Schema): Schema => ({ description, content: json(schema) });
const problem = (description: string): Schema => ({
  description,
  content: { 'application/problem+json': { schema: ref('Problem') } },
});

const COMMON: Readonly<Record<string, Schema>> = {
  400: problem('The body or a value in it is not what the route expects; `place.path` says where'),
  404: problem('Nothing has this name; `hint` gives the nearest'),
  413: problem('The body is larger than this server accepts'),
  415: problem('The content type is not one that this route reads'),
  429: problem('The server has more work than it can take; see Retry-After'),
  503: problem('Not materialised, not ready or locked; see Retry-After'),
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

function operation({ tag, id, summary, description, body, answers, parameters }: Operation): Schema {
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

const pathParameter = (name: string, description: string): Schema => ({
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
function entityRequest(definitions: Definitions, features: readonly Feature[]): Schema {
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

function featureAnswer(features: readonly Feature[]): Schema {
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

function recordSchema(source: Source): Schema {
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
const BY_RULE: Readonly<Record<string, Schema>> = {
  reasons: rowsByRule('rows it sent to quarantine'),
  repairs: rowsByRule('accepted records it repaired'),
  drops: rowsByRule('rows it left out'),
  flags: rowsByRule('accepted records that carry it'),
};

const SCHEMAS: Readonly<Record<string, Schema>> = {
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

function predictionSchema(task: 'binary' | 'multiclass' | 'regression'): Schema {
  if (task === 'binary')
    return object({ probability: { type: 'number' }, label: { type: 'integer', enum: [0, 1] } });
  if (task === 'regression') return object({ score: { type: 'number' } });
  return object({
    label: { type: 'string' },
    probabilities: { type: 'object', additionalProperties: { type: 'number' } },
  });
}

export function openApi(definitions: Definitions, version: string): Schema {
  const paths: Record<string, Schema> = {};
  const schemas: Record<string, Schema> = { ...SCHEMAS };
  const add = (method: 'get' | 'post', path: string, given: Operation): void => {
    paths[path] = { ...paths[path], [method]: operation(given) };
  };

  for (const source of definitions.sources.values()) {
    if (source.read.kind === 'transform') continue;
    schemas[`Record.${source.name}`] = recordSchema(source);
    const record = ref(`Record.${source.name}`);
    add('post', `/v1/sources/${source.name}/records`, {
      tag: 'ingest',
      id: `push_${source.name}`,
      summary: `Append records to ${source.name}`,
      description: source.description,
      body: {
        'application/json': { schema: { oneOf: [array(record), record] } },
        'application/x-ndjson': { schema: { type: 'string', description: 'One record a line' } },
      },
      answers: {
        200: answer('Durable, and by then mostly visible', ref('IngestResult')),
        422: problem('The batch broke a batch rule; nothing was appended'),
      },
    });
  }
  for (const set of definitions.featureSets.values()) {
    const features = set.features.map((name) => definitions.features.get(name)!);
    schemas[`FeatureRequest.${set.name}`] = entityRequest(definitions, features);
    schemas[`FeatureAnswer.${set.name}`] = featureAnswer(features);
    add('post', `/v1/features/${set.name}`, {
      tag: 'features',
      id: `features_${set.name}`,
      summary: `Values of ${set.name}`,
      description: set.description,
      body: json(ref(`FeatureRequest.${set.name}`)),
      answers: { 200: answer('One row for each entity, in order', ref(`FeatureAnswer.${set.name}`)) },
    });
  }
  add('post', '/v1/features/{features}', {
    tag: 'features',
    id: 'features',
    summary: 'Values of any features: names of features and sets, separated by commas',
    parameters: [
      pathParameter('features', `Features: ${[...definitions.features.keys()].slice(0, 40).join(', ')}`),
    ],
    body: json(
      object(
        {
          entities: array({ type: 'object' }),
          request: array({ type: 'object' }),
          at: { type: 'string', format: 'date-time' },
        },
        ['entities'],
      ),
    ),
    answers: {
      200: answer('One row for each entity, in order', {
        allOf: [
          ref('AsOf'),
          object({
            features: array({ type: 'string' }),
            rows: array(object({ values: { type: 'array' }, statuses: array(ref('Status')) })),
          }),
        ],
      }),
    },
  });
  for (const service of definitions.services.values()) {
    const model = definitions.models.get(service.model)!;
    const dataset = definitions.datasets.get(model.dataset)!;
    const features = expandFeatures(definitions, dataset.features).filter(
      (feature) => !model.exclude.includes(feature.name),
    );
    schemas[`PredictRequest.${service.name}`] = entityRequest(definitions, features);
    add('post', `/v1/services/${service.name}/predict`, {
      tag: 'predictions',
      id: `predict_${service.name}`,
      summary: `Predict with the champion of ${model.name}`,
      description: service.description ?? model.description,
      body: json(ref(`PredictRequest.${service.name}`)),
      answers: {
        200: answer('One prediction for each entity, in order', {
          allOf: [
            ref('AsOf'),
            object({
              predictions: array(predictionSchema(model.task)),
              model: { type: 'string' },
              prediction_ids: array({ type: 'string', format: 'uuid' }),
            }),
          ],
        }),
        409: problem('There is no champion to serve'),
      },
    });
    add('post', `/v1/services/${service.name}/outcomes`, {
      tag: 'predictions',
      id: `outcomes_${service.name}`,
      summary: `Tell what came of predictions of ${service.name}`,
      body: json({ oneOf: [ref('Outcome'), array(ref('Outcome'))] }),
      answers: { 200: answer('All of them are stored', object({ accepted: { type: 'integer' } })) },
    });
  }
  const model = [pathParameter('model', `Models: ${[...definitions.models.keys()].join(', ')}`)];
  const ready = { 200: answer('Ready', { type: 'object' }), 503: problem('Not ready; says what is missing') };
  const any = { 200: answer('', { type: 'object' }) };
  add('get', '/v2', {
    tag: 'open inference',
    id: 'server_metadata',
    summary: 'Server metadata',
    answers: any,
  });
  add('get', '/v2/health/live', { tag: 'open inference', id: 'live', summary: 'Liveness', answers: any });
  add('get', '/v2/health/ready', {
    tag: 'open inference',
    id: 'ready',
    summary: 'Readiness',
    answers: ready,
  });
  add('get', '/v2/models/{model}', {
    tag: 'open inference',
    id: 'model_metadata',
    summary: 'Inputs and outputs of a model',
    parameters: model,
    answers: any,
  });
  add('get', '/v2/models/{model}/ready', {
    tag: 'open inference',
    id: 'model_ready',
    summary: 'Is the champion loaded',
    parameters: model,
    answers: ready,
  });
  add('post', '/v2/models/{model}/infer', {
    tag: 'open inference',
    id: 'infer',
    summary: 'Predict; inputs are entity keys and request fields',
    parameters: model,
    body: json(
      object(
        {
          id: { type: 'string' },
          inputs: array(ref('Tensor')),
          outputs: array({ type: 'object' }),
          parameters: { type: 'object' },
        },
        ['inputs'],
      ),
    ),
    answers: {
      200: answer(
        'One row for each input row',
        object({
          model_name: { type: 'string' },
          model_version: { type: 'string' },
          outputs: array(ref('Tensor')),
        }),
      ),
    },
  });
  add('post', '/get-online-features', {
    tag: 'features',
    id: 'get_online_features',
    summary: 'Values by column, in the shape of existing feature-store clients',
    body: json(
      object(
        {
          features: array({ type: 'string' }),
          feature_service: { type: 'string' },
          entities: { type: 'object', additionalProperties: { type: 'array' } },
        },
        ['entities'],
      ),
    ),
    answers: {
      200: answer(
        'One column for each key and feature',
        object({ metadata: { type: 'object' }, results: { type: 'array' } }),
      ),
    },
  });
  add('get', '/v1/status', {
    tag: 'operations',
    id: 'status',
    summary: 'Sources, groups, models, services, monitors',
    answers: any,
  });
  const source = pathParameter('name', `Sources: ${[...definitions.sources.keys()].join(', ')}`);
  const missing = { 404: problem('Nothing has this name; `hint` gives the nearest') };
  const parameter = (name: string, schema: Schema): Schema => ({
    name,
    in: 'query',
    required: false,
    schema,
  });
  const limit = parameter('limit', { type: 'integer', minimum: 0, default: 20 });
  const batch = pathParameter('batch', 'A batch; the first characters of its id are enough');
  const reason = json(object({ reason: { type: 'string' } }, []));
  add('get', '/v1/sources/{name}/batches', {
    tag: 'quality',
    id: 'source_batches',
    summary: 'Batches of a source with what history says of them, newest first',
    parameters: [source, limit],
    answers: {
      200: answer('', object({ source: { type: 'string' }, batches: array(ref('Batch')) })),
      ...missing,
    },
  });
  add('get', '/v1/sources/{name}/batches/{batch}', {
    tag: 'quality',
    id: 'source_batch',
    summary: 'One batch: its counts, why it was refused, what history and rules found',
    parameters: [source, batch],
    answers: { 200: answer('', ref('Batch')), ...missing },
  });
  for (const [verb, summary] of [
    [
      'accept',
      'This was fine: all of it counts as ordinary, and files that history refused go in when ingested again',
    ],
    ['incident', 'This was not fine: nothing of it counts as ordinary'],
    ['reset', 'Take back what was said: as history judged it'],
  ] as const)
    add('post', `/v1/sources/{name}/batches/{batch}/${verb}`, {
      tag: 'quality',
      id: `batch_${verb}`,
      summary,
      parameters: [source, batch],
      body: reason,
      answers: { 200: answer('The batch as it is now', ref('Batch')) },
    });
  add('get', '/v1/sources/{name}/quarantine', {
    tag: 'quality',
    id: 'quarantine',
    summary: 'Refused rows of a source with their reasons',
    parameters: [
      source,
      limit,
      parameter('status', { type: 'string', enum: ['open', 'replayed', 'dropped'] }),
      parameter('rule', { type: 'string' }),
      parameter('batch', { type: 'string' }),
    ],
    answers: {
      200: answer(
        'The first of them, and how many there are',
        object({
          source: { type: 'string' },
          total: { type: 'integer' },
          rows: array(ref('QuarantinedRow')),
        }),
      ),
      ...missing,
    },
  });
  add('get', '/v1/sources/{name}/quarantine/{id}', {
    tag: 'quality',
    id: 'quarantined_row',
    summary: 'One refused row',
    parameters: [source, pathParameter('id', 'Its number')],
    answers: { 200: answer('', ref('QuarantinedRow')), ...missing },
  });
  const marked = {
    flagged: [
      'Records that were let in with the flag of a rule, newest first',
      object({
        seq: { type: 'integer' },
        event_time: { type: 'string', format: 'date-time' },
        flags: array({ type: 'string' }),
        record: { type: 'object' },
      }),
    ],
    repairs: [
      'Values that rules changed, newest record first',
      object({
        seq: { type: 'integer' },
        record_key: { type: 'array' },
        field: { type: 'string' },
        original: {},
        repaired: {},
        rule: { type: 'string' },
        contract: { type: 'string', description: 'Fingerprint of the source that had the rule' },
      }),
    ],
  } as const;
  for (const [name, [summary, item]] of Object.entries(marked))
    add('get', `/v1/sources/{name}/${name}`, {
      tag: 'quality',
      id: name,
      summary,
      parameters: [source, limit, parameter('rule', { type: 'string' })],
      answers: { 200: answer('', object({ source: { type: 'string' }, [name]: array(item) })), ...missing },
    });
  const selection = {
    ids: array({ type: 'integer', minimum: 1 }),
    rule: { type: 'string' },
    batch: { type: 'string' },
  };
  add('post', '/v1/sources/{name}/quarantine/replay', {
    tag: 'quality',
    id: 'quarantine_replay',
    summary: 'Feed open rows through the rules and renames of today; all of them, or those chosen',
    parameters: [source],
    body: json(object(selection, [])),
    answers: {
      200: answer(
        'rows = accepted + quarantined (still) + duplicates + dropped',
        object({
          ...Object.fromEntries(
            ['rows', 'accepted', 'quarantined', 'duplicates', 'dropped'].map((name) => [
              name,
              { type: 'integer' },
            ]),
          ),
          ...BY_RULE,
        }),
      ),
    },
  });
  add('post', '/v1/sources/{name}/quarantine/drop', {
    tag: 'quality',
    id: 'quarantine_drop',
    summary: 'Settle open rows for good; the reason stays with them',
    parameters: [source],
    body: json(object({ ...selection, reason: { type: 'string' } }, ['reason'])),
    answers: {
      200: answer('', object({ source: { type: 'string' }, dropped: { type: 'integer' } })),
    },
  });
  add('post', '/v1/sources/{name}/renames', {
    tag: 'quality',
    id: 'accept_rename',
    summary:
      'Read a new column for a field: writes `rename` into the definition; the server reads it when it reloads',
    parameters: [source],
    body: json({
      type: 'object',
      additionalProperties: { type: 'string' },
      example: { price_per_unit: 'unit_price' },
    }),
    answers: {
      200: answer(
        'The line that stands there now',
        object({ file: { type: 'string' }, line: { type: 'integer' }, text: { type: 'string' } }),
      ),
    },
  });
  add('get', '/v1/sources/{name}/status', {
    tag: 'quality',
    id: 'source_status',
    summary: 'How far a source has come, its last batch, its service levels',
    parameters: [source],
    answers: { ...any, 404: problem('Nothing has this name; `hint` gives the nearest') },
  });
  add('get', '/healthz', { tag: 'operations', id: 'healthz', summary: 'The process answers', answers: any });
  add('get', '/readyz', {
    tag: 'operations',
    id: 'readyz',
    summary: 'Every group is materialised and every champion loaded',
    answers: ready,
  });
  add('get', '/metrics', {
    tag: 'operations',
    id: 'metrics',
    summary: 'Prometheus metrics',
    answers: { 200: { description: 'Text format', content: { 'text/plain': {} } } },
  });
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
