/** Routes that the definitions make: records in, features and predictions out, and the states of the server. */
import type { Definitions } from '../../core/define/types.js';
import { expandFeatures } from '../../core/engine/feature-plan.js';
import {
  answer,
  any,
  array,
  type Description,
  entityRequest,
  featureAnswer,
  json,
  object,
  pathParameter,
  predictionSchema,
  problem,
  ready,
  recordSchema,
  ref,
} from './schema.js';

/** Appending records: one route a source. */
export function describeIngest({ add, schemas }: Description, definitions: Definitions): void {
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
}

/** Feature values: one route a set, one for any features, and the form of other feature stores. */
export function describeFeatures({ add, schemas }: Description, definitions: Definitions): void {
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
}

/** Predictions and their outcomes: two routes a service. */
export function describeServices({ add, schemas }: Description, definitions: Definitions): void {
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
}

/** The Open Inference Protocol. */
export function describeInference({ add }: Description, definitions: Definitions): void {
  const model = [pathParameter('model', `Models: ${[...definitions.models.keys()].join(', ')}`)];
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
}

/** Is it up, is it ready, how does it go. */
export function describeOperations({ add }: Description): void {
  add('get', '/v1/status', {
    tag: 'operations',
    id: 'status',
    summary: 'Sources, groups, models, services, monitors',
    answers: any,
  });
  add('get', '/healthz', { tag: 'operations', id: 'healthz', summary: 'The process answers', answers: any });
  add('get', '/readyz', {
    tag: 'operations',
    id: 'readyz',
    summary: 'Every group is materialized and every champion loaded',
    answers: ready,
  });
  add('get', '/metrics', {
    tag: 'operations',
    id: 'metrics',
    summary: 'Prometheus metrics',
    answers: { 200: { description: 'Text format', content: { 'text/plain': {} } } },
  });
}
