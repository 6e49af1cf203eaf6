/** Routes: decode, one service, encode. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { MillraceError } from '../core/base/error.js';
import { nearest } from '../core/base/nearest.js';
import { type Predictor, predict } from '../services/predict.js';
import { answerFeatures, type FeatureReader } from '../services/serve.js';
import { projectStatus } from '../services/status.js';
import { encodeFeatures } from './answers.js';
import { entityBody, outcomesBody } from './bodies.js';
import { type Context, predictorOf, readerOf } from './context.js';
import { encodeFeast, feastEntities, feastNames } from './feast.js';
import { decodeInfer, encodeInfer, modelMetadata } from './inference.js';
import { JSON_TYPE, LINE_TYPES, readJson, readLines } from './json.js';
import { openApi } from './openapi/document.js';
import { docsPage, landingPage, PAGE_HEADERS } from './pages.js';
import { PROBLEM_TYPE, problemOf, RETRY_AFTER } from './problem.js';
import { admitPush, answerPush } from './push.js';

const sendText = (reply: FastifyReply, json: string): FastifyReply =>
  reply.header('content-type', JSON_TYPE).send(json);
const send = (reply: FastifyReply, value: unknown): FastifyReply => sendText(reply, JSON.stringify(value));

type Parsed = (error: Error | null, value?: unknown) => void;

/** A parser of bodies that calls back with what `read` gives or throws. */
const parser =
  (read: (body: Buffer) => unknown) => (_request: FastifyRequest, body: Buffer, done: Parsed) => {
    let value: unknown;
    try {
      value = read(body);
    } catch (error) {
      done(error as Error);
      return;
    }
    done(null, value);
  };

export function readJsonBodies(app: FastifyInstance): void {
  app.removeAllContentTypeParsers();
  for (const type of ['application/json', /^application\/[\w.+-]+\+json$/])
    app.addContentTypeParser(type, { parseAs: 'buffer' }, parser(readJson));
}

interface Named {
  readonly Params: { readonly name: string };
}

export const PUSH_ROUTE = '/v1/sources/:name/records';

export function pushRoutes(app: FastifyInstance, context: Context): void {
  app.addContentTypeParser(LINE_TYPES, { parseAs: 'buffer' }, parser(readLines));
  app.addHook('onRequest', (request, reply, done) => {
    try {
      admitPush(context, reply.raw, Number(request.headers['content-length'] ?? context.limits.body));
    } catch (error) {
      done(error as Error);
      return;
    }
    done();
  });
  app.post<Named>(PUSH_ROUTE, async (request, reply) =>
    sendText(reply, await answerPush(context, request.params.name, request.body)),
  );
}

export const FEATURES_ROUTE = '/v1/features/:name';

export function readRoutes(app: FastifyInstance, context: Context): void {
  const { metrics, project } = context;
  app.post<Named>(FEATURES_ROUTE, (request, reply) => {
    const answer = (reader: FeatureReader): FastifyReply =>
      sendText(reply, encodeFeatures(answerFeatures(reader, entityBody(request.body), project.now())));
    const reader = context.readers.get(request.params.name);
    return reader ? answer(reader) : readerOf(context, request.params.name).then(answer);
  });
  app.post<Named>('/v1/services/:name/predict', async (request, reply) => {
    const predictor = await predictorOf(context, request.params.name);
    const answer = await predict(project, predictor, entityBody(request.body));
    metrics.predicted(request.params.name, answer.model, answer.predictions.length);
    return send(reply, answer);
  });
  app.post<Named>('/v1/services/:name/outcomes', async (request, reply) =>
    send(reply, { accepted: await context.outcomes.record(request.params.name, outcomesBody(request.body)) }),
  );
  app.post('/get-online-features', async (request, reply) => {
    const reader = await readerOf(context, feastNames(request.body).join(','));
    const body = feastEntities(request.body, reader);
    return send(reply, encodeFeast(reader, body, answerFeatures(reader, body, project.now())));
  });
}

interface OfModel {
  readonly Params: { readonly model: string; readonly version?: string };
}

export function inferenceRoutes(app: FastifyInstance, context: Context): void {
  const { metrics, project } = context;
  const { services } = project.definitions;
  const serviceOf = (model: string): string => {
    const found = [...services.values()].find((service) => service.model === model);
    if (found) return found.name;
    const near = nearest(
      model,
      [...services.values()].map((service) => service.model),
    );
    throw new MillraceError(
      'UNKNOWN_NAME',
      `no service serves a model named "${model}"`,
      near ? { hint: `Did you mean "${near}"?` } : {},
    );
  };
  const predictorFor = async ({ model, version }: OfModel['Params']): Promise<Predictor> => {
    const predictor = await predictorOf(context, serviceOf(model));
    if (version !== undefined && version !== String(predictor.version))
      throw new MillraceError('UNKNOWN_NAME', `version ${version} of ${model} is not served`, {
        hint: `Version ${predictor.version} is the champion.`,
      });
    return predictor;
  };
  app.get('/v2', async (_request, reply) =>
    send(reply, { name: 'millrace', version: context.version, extensions: [] }),
  );
  app.get('/v2/health/live', async (_request, reply) => send(reply, { live: true }));
  app.get('/v2/health/ready', async (_request, reply) => answerReadiness(context, reply));
  for (const prefix of ['/v2/models/:model', '/v2/models/:model/versions/:version']) {
    app.get<OfModel>(prefix, async (request, reply) =>
      send(reply, modelMetadata(await predictorFor(request.params))),
    );
    app.get<OfModel>(`${prefix}/ready`, async (request, reply) => {
      const { model, version } = await predictorFor(request.params);
      return send(reply, { ready: true, name: model.name, version: String(version) });
    });
    app.post<OfModel>(`${prefix}/infer`, async (request, reply) => {
      const predictor = await predictorFor(request.params);
      const infer = decodeInfer(request.body, predictor);
      const answer = await predict(project, predictor, infer.body);
      metrics.predicted(predictor.service.name, answer.model, answer.predictions.length);
      return send(reply, encodeInfer(predictor, infer, answer));
    });
  }
}

async function answerReadiness(context: Context, reply: FastifyReply): Promise<FastifyReply> {
  const { ready, missing } = await context.readiness();
  if (ready) return send(reply, { ready });
  const error = new MillraceError('NOT_READY', missing.join('; '), { data: { missing } });
  return reply
    .code(503)
    .header('retry-after', RETRY_AFTER)
    .header('content-type', PROBLEM_TYPE)
    .send(JSON.stringify({ ready, ...problemOf({ status: 503, error }) }));
}

export function operationRoutes(app: FastifyInstance, context: Context): void {
  const { definitions } = context.project;
  const contract = JSON.stringify(openApi(definitions, context.version));
  const docs = docsPage(definitions);
  const landing = landingPage(definitions, context.version);
  app.get('/healthz', async (_request, reply) => send(reply, { live: true }));
  app.get('/readyz', async (_request, reply) => answerReadiness(context, reply));
  app.get('/v1/status', async (_request, reply) =>
    send(reply, await projectStatus(context.project, context.champions)),
  );
  app.get('/metrics', async (_request, reply) => {
    const text = await context.metrics.print(
      await projectStatus(context.project, context.champions),
      context.inFlight.requests,
    );
    return reply.header('content-type', context.metrics.contentType).send(text);
  });
  app.get('/openapi.json', async (_request, reply) => reply.header('content-type', JSON_TYPE).send(contract));
  app.get('/docs', async (_request, reply) => reply.headers(PAGE_HEADERS).send(docs));
  app.get('/', async (_request, reply) => reply.headers(PAGE_HEADERS).send(landing));
}
