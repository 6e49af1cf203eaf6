/** The HTTP server of a project: one process, one port. */

import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type FastifyInstance, fastify, type onRequestHookHandler } from 'fastify';
import { MillraceError } from '../core/base/error.js';
import { createChampions } from '../services/champions.js';
import { createFollower } from '../services/follow.js';
import { createTransformFollower } from '../services/follow-transforms.js';
import { materialize, projectGroups, staleGroups } from '../services/materialize.js';
import { createOutcomeRecorder } from '../services/outcomes.js';
import type { Project } from '../services/project.js';
import { readinessOf } from '../services/status.js';
import { startApplyThread } from './apply-thread.js';
import { type Context, LIMITS, type Limits } from './context.js';
import { directFeatures, directPush } from './direct.js';
import { createMetrics } from './metrics.js';
import { PROBLEM_TYPE, problemOf, RETRY_AFTER, type Refusal, refusalOf } from './problem.js';
import {
  FEATURES_ROUTE,
  inferenceRoutes,
  operationRoutes,
  PUSH_ROUTE,
  pushRoutes,
  readJsonBodies,
  readRoutes,
} from './routes.js';

export interface ServerOptions {
  /** 0: any free port. */
  readonly port: number;
  readonly host: string;
  readonly version: string;
  readonly limits?: Partial<Limits>;
  /** How often the registry is asked for new champions. */
  readonly championPeriodMs?: number;
  /** How long `close` waits for requests under way. */
  readonly graceMs?: number;
  /** Faults of the server, never bodies or headers: route and error. */
  onFault?(route: string, error: unknown): void;
  /** What the operator should know: read-only, materialising. */
  onNotice?(text: string): void;
}

export interface RunningServer {
  readonly url: string;
  readonly port: number;
  /** Resolves when the online store has caught up and champions were looked for; requests are answered before that. */
  readonly settled: Promise<void>;
  /** Answers what is under way, then stops. The project stays open. */
  close(): Promise<void>;
}

const CATCH_UP_MS = 1_000;

/** The groups that a writer has to bring up to the log as it starts, and those of them that hold nothing yet. */
async function groupsToCatchUp(
  project: Project,
): Promise<{ readonly behind: Set<string>; readonly building: Set<string> }> {
  const store = await project.online();
  const behind = new Set(await staleGroups(project));
  const empty = projectGroups(project).filter(({ online }) => (store.applied(online)?.seq ?? 0) === 0);
  return {
    behind,
    building: new Set(empty.map(({ group }) => group.id).filter((id) => behind.has(id))),
  };
}

/** Undefined when this process is the writer now, else why it is not. */
async function takeLock(project: Project): Promise<MillraceError | undefined> {
  try {
    await project.lockForWriting('millrace serve');
    return undefined;
  } catch (error) {
    if (error instanceof MillraceError && error.code === 'STORE_LOCKED') return error;
    throw error;
  }
}

/** As the framework sets them on servers of its own making. */
const TIMES = { requestTimeout: 60_000, keepAliveTimeout: 72_000 };

function buildApp(context: Context, options: ServerOptions): FastifyInstance {
  const { inFlight, limits, metrics } = context;
  const refuse = (caught: unknown, route: string): Refusal => {
    const refusal = refusalOf(caught);
    if (refusal.status >= 500 && !refusal.error.retryable) options.onFault?.(route, caught);
    return refusal;
  };
  const follow = (response: ServerResponse, timed: (status: number, seconds: number) => void): void => {
    const began = performance.now();
    inFlight.requests++;
    response.once('close', () => {
      inFlight.requests--;
      if (response.writableFinished) timed(response.statusCode, (performance.now() - began) / 1000);
      else metrics.aborted();
      // A connection whose last request is answered need not wait for its client.
      if (inFlight.closing) setImmediate(() => app.server.closeIdleConnections());
    });
  };
  const timeFeatures = metrics.timer(FEATURES_ROUTE, 'POST');
  const direct = directFeatures(context, {
    follow: (response) => follow(response, timeFeatures),
    refuse: (caught) => refuse(caught, FEATURES_ROUTE),
  });
  const timePushes = metrics.timer(PUSH_ROUTE, 'POST');
  const push = directPush(context, {
    follow: (response) => follow(response, timePushes),
    refuse: (caught) => refuse(caught, PUSH_ROUTE),
  });
  const app: FastifyInstance = fastify({
    bodyLimit: limits.body,
    forceCloseConnections: 'idle',
    routerOptions: { maxParamLength: 4_096 },
    frameworkErrors: (error, _request, reply) => void answerError(reply as unknown as ReplyLike, error),
    serverFactory: (handler) =>
      createServer(TIMES, (request, response) => {
        if (!direct(request, response) && !push(request, response)) handler(request, response);
      }),
  });
  interface ReplyLike {
    code(status: number): ReplyLike;
    header(name: string, value: string): ReplyLike;
    send(body: string): unknown;
  }
  const answerError = (reply: ReplyLike, caught: unknown, route = ''): unknown => {
    const refusal = refuse(caught, route);
    if (refusal.error.retryable) reply.header('retry-after', RETRY_AFTER);
    return reply
      .code(refusal.status)
      .header('content-type', PROBLEM_TYPE)
      .send(JSON.stringify(problemOf(refusal)));
  };
  app.setErrorHandler((error, request, reply) =>
    answerError(reply as unknown as ReplyLike, error, request.routeOptions.url),
  );
  // Hooks of the route, which know its name, cost less than hooks of the server that ask for it.
  app.addHook('onRoute', (route) => {
    const timed = metrics.timer(route.url, String(route.method));
    const overload = route.method === 'POST';
    const onRequest: onRequestHookHandler = (_request, reply, done) => {
      follow(reply.raw, timed);
      if (overload && inFlight.requests > limits.requests)
        done(new MillraceError('OVERLOADED', `${inFlight.requests} requests are under way`));
      else done();
    };
    route.onRequest = [onRequest, ...[route.onRequest ?? []].flat()];
  });
  const timeUnknown = metrics.timer('unknown', 'any');
  app.setNotFoundHandler((request, reply) => {
    follow(reply.raw, timeUnknown);
    return answerError(
      reply as unknown as ReplyLike,
      new MillraceError(
        'UNKNOWN_NAME',
        `there is no route ${request.method} ${request.url.split('?')[0]!.slice(0, 200)}`,
        { hint: 'See /docs or /openapi.json.' },
      ),
    );
  });
  readJsonBodies(app);
  app.register(async (scope) => pushRoutes(scope, context));
  readRoutes(app, context);
  inferenceRoutes(app, context);
  operationRoutes(app, context);
  return app;
}

async function listen(app: FastifyInstance, { host, port }: ServerOptions): Promise<AddressInfo> {
  try {
    await app.listen({ host, port });
  } catch (error) {
    await app.close();
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EADDRINUSE')
      throw new MillraceError('PORT_IN_USE', `port ${port} of ${host} is taken`, { cause: error });
    if (code === 'EACCES')
      throw new MillraceError(
        'PERMISSION_DENIED',
        `the system does not let this user listen on port ${port}`,
        { cause: error, hint: 'Choose a port above 1023 with --port.' },
      );
    if (code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND')
      throw new MillraceError('USAGE', `this machine has no address ${host}`, {
        cause: error,
        hint: 'Use --host 127.0.0.1, or 0.0.0.0 for all addresses.',
      });
    throw error;
  }
  return app.server.address() as AddressInfo;
}

/** PORT_IN_USE, PERMISSION_DENIED; whatever opening the stores throws. */
export async function startServer(project: Project, options: ServerOptions): Promise<RunningServer> {
  // Before the online store is opened: beside another writer it is opened for reading only.
  const locked = await takeLock(project);
  const follower = await createFollower(project, locked ? undefined : await startApplyThread(project));
  const transforms = createTransformFollower(project, (source) => follower.apply(source));
  const champions = createChampions(
    project,
    options.championPeriodMs === undefined ? {} : { periodMs: options.championPeriodMs },
  );
  const metrics = createMetrics();
  const { behind, building } = locked
    ? { behind: new Set<string>(), building: new Set<string>() }
    : await groupsToCatchUp(project);
  const inFlight = { requests: 0, pushes: 0, pushBytes: 0, closing: false };
  const context: Context = {
    project,
    version: options.version,
    champions,
    follower,
    transforms,
    outcomes: createOutcomeRecorder(project),
    metrics,
    limits: { ...LIMITS, ...options.limits },
    inFlight,
    readiness: readinessOf(project, champions, behind),
    building,
    requireWriter: () => {
      if (!locked) return;
      metrics.refused('locked');
      throw new MillraceError('STORE_LOCKED', `this server only reads: ${locked.message}`, {
        hint: 'Send records to that process if it is a server. If it has ended, start this server again.',
      });
    },
    readers: new Map(),
  };
  const app = buildApp(context, options);
  const release = (): void => {
    champions.close();
    metrics.close();
  };
  let address: AddressInfo;
  try {
    address = await listen(app, options);
  } catch (error) {
    release();
    await transforms.close();
    await follower.close();
    throw error;
  }
  const noteCaughtUp = async (): Promise<void> => {
    const stale = new Set(await staleGroups(project));
    for (const groups of [behind, building]) for (const id of groups) if (!stale.has(id)) groups.delete(id);
  };
  let started = false;
  const catchUp = setInterval(() => {
    if (follower.failures().size > 0) void follower.applyAll().catch(() => undefined);
    if (started && behind.size > 0) void noteCaughtUp().catch(() => undefined);
  }, CATCH_UP_MS);
  catchUp.unref();
  const settled = (async () => {
    if (locked) options.onNotice?.(`read-only: ${locked.message}. Pushes are answered with 503.`);
    else {
      try {
        if (behind.size > 0) await materialize(project);
        behind.clear();
        building.clear();
      } catch (error) {
        if (!project.signal.aborted) options.onFault?.('materialize', error);
      }
      follower.start();
      // A failure stays in `failures` and is tried again by the timer.
      await follower.applyAll().catch(() => undefined);
      started = true;
    }
    await champions.refresh();
    for (const [service, error] of champions.failures())
      options.onNotice?.(`service ${service} is not ready: ${error.message}`);
  })();

  let closing: Promise<void> | undefined;
  const host = options.host.includes(':') ? `[${options.host}]` : options.host;
  return {
    url: `http://${host}:${address.port}`,
    port: address.port,
    settled,
    close: () =>
      (closing ??= (async () => {
        clearInterval(catchUp);
        const force = setTimeout(() => app.server.closeAllConnections(), options.graceMs ?? 5_000);
        inFlight.closing = true;
        await app.close();
        clearTimeout(force);
        await settled;
        await transforms.close();
        await follower.close();
        release();
      })()),
  };
}
