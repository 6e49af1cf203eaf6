/** One project as it is served: definitions and stores at one time. A server changes from one to the next while it runs. */
import { createServer, type RequestListener, type Server, type ServerResponse } from 'node:http';
import { type FastifyInstance, fastify, type onRequestHookHandler } from 'fastify';
import { MillraceError } from '../core/base/error.js';
import type { Source } from '../core/define/types.js';
import { type Champions, createChampions } from '../services/champions.js';
import { createFollower } from '../services/follow.js';
import { createTransformFollower } from '../services/follow-transforms.js';
import { materialize } from '../services/materialize.js';
import { projectGroups, staleGroups } from '../services/online-groups.js';
import { createOutcomeRecorder } from '../services/outcomes.js';
import type { Project } from '../services/project.js';
import { readinessOf } from '../services/status.js';
import { failureText, type WatchEvents, watchSource } from '../services/watch.js';
import { startApplyThread } from './apply-thread.js';
import { type Context, LIMITS, type Limits } from './context.js';
import { directFeatures, directPush } from './direct.js';
import type { Metrics } from './metrics.js';
import { PROBLEM_TYPE, problemOf, RETRY_AFTER, type Refusal, refusalOf } from './problem.js';
import { qualityRoutes } from './quality-routes.js';
import {
  FEATURES_ROUTE,
  inferenceRoutes,
  operationRoutes,
  PUSH_ROUTE,
  pushRoutes,
  readJsonBodies,
  readRoutes,
} from './routes.js';

export interface GenerationOptions {
  readonly version: string;
  readonly limits?: Partial<Limits>;
  readonly championPeriodMs?: number;
  onFault?(route: string, error: unknown): void;
  onNotice?(text: string): void;
  onFatal?(error: MillraceError): void;
}

/** What all generations of a server share. */
export interface Shared {
  readonly metrics: Metrics;
  /** Takes every request that comes in. */
  readonly entry: RequestListener;
  /** A champion needs features that no generation follows yet. */
  lacking(): void;
  /** The server that listens. */
  listening(): Server;
}

export interface Generation {
  readonly project: Project;
  readonly app: FastifyInstance;
  readonly champions: Champions;
  readonly inFlight: Context['inFlight'];
  /** Undefined: this process is the writer. */
  readonly locked: MillraceError | undefined;
  readonly handle: RequestListener;
  /** Applies what the online store lacks, then follows the log. `keep`: groups of an earlier generation still serve. */
  settle(keep?: boolean): Promise<void>;
  /** Records are no longer taken nor applied; reads are answered. */
  stopWriting(): Promise<void>;
  /** Ends everything but the project. */
  retire(): Promise<void>;
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
export async function takeLock(project: Project): Promise<MillraceError | undefined> {
  try {
    await project.lockForWriting('millrace serve', 'gives_way');
    return undefined;
  } catch (error) {
    if (error instanceof MillraceError && error.code === 'STORE_LOCKED') return error;
    throw error;
  }
}

/** As the framework sets them on servers of its own making. */
const TIMES = { requestTimeout: 60_000, keepAliveTimeout: 72_000 };

function buildApp(
  context: Context,
  options: GenerationOptions,
  { entry, listening }: Shared,
): { readonly app: FastifyInstance; readonly handle: RequestListener } {
  const { inFlight, limits, metrics } = context;
  const refuse = (caught: unknown, route: string): Refusal => {
    const refusal = refusalOf(caught, limits.body);
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
      if (inFlight.closing) setImmediate(() => listening().closeIdleConnections());
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
  let handle: RequestListener | undefined;
  const app: FastifyInstance = fastify({
    bodyLimit: limits.body,
    forceCloseConnections: 'idle',
    routerOptions: { maxParamLength: 4_096 },
    frameworkErrors: (error, _request, reply) => void answerError(reply as unknown as ReplyLike, error),
    serverFactory: (handler) => {
      handle ??= (request, response) => {
        if (!direct(request, response) && !push(request, response)) handler(request, response);
      };
      return createServer(TIMES, entry);
    },
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
  const routes: { readonly path: RegExp; readonly methods: readonly string[] }[] = [];
  // Hooks of the route, which know its name, cost less than hooks of the server that ask for it.
  app.addHook('onRoute', (route) => {
    const timed = metrics.timer(route.url, String(route.method));
    routes.push({
      path: new RegExp(`^${route.url.replace(/:\w+/g, '[^/]+')}$`),
      methods: [route.method].flat(),
    });
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
    const path = request.url.split('?')[0]!;
    const allowed = new Set(routes.flatMap((route) => (route.path.test(path) ? route.methods : [])));
    if (allowed.size > 0) {
      reply.header('allow', [...allowed].join(', '));
      return answerError(
        reply as unknown as ReplyLike,
        new MillraceError(
          'METHOD_NOT_ALLOWED',
          `${path.slice(0, 200)} takes ${[...allowed].join(' or ')}, not ${request.method}`,
        ),
      );
    }
    return answerError(
      reply as unknown as ReplyLike,
      new MillraceError('UNKNOWN_NAME', `there is no route ${request.method} ${path.slice(0, 200)}`, {
        hint: 'See /docs or /openapi.json.',
      }),
    );
  });
  readJsonBodies(app);
  app.register(async (scope) => pushRoutes(scope, context));
  readRoutes(app, context);
  inferenceRoutes(app, context);
  operationRoutes(app, context);
  qualityRoutes(app, context);
  return { app, handle: handle! };
}

/** Whatever opening the stores throws. */
export async function createGeneration(
  project: Project,
  options: GenerationOptions,
  shared: Shared,
): Promise<Generation> {
  // Before the online store is opened: beside another writer it is opened for reading only.
  const locked = await takeLock(project);
  const follower = await createFollower(
    project,
    locked ? undefined : await startApplyThread(project, options),
  );
  const transforms = createTransformFollower(project, (source) => follower.apply(source));
  const champions = createChampions(project, {
    ...(options.championPeriodMs === undefined ? {} : { periodMs: options.championPeriodMs }),
    lacking: shared.lacking,
  });
  const { metrics } = shared;
  const { behind, building } = locked
    ? { behind: new Set<string>(), building: new Set<string>() }
    : await groupsToCatchUp(project);
  const inFlight = { requests: 0, pushes: 0, pushBytes: 0, closing: false };
  let taking = true;
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
      if (!locked && taking) return;
      metrics.refused('locked');
      if (locked)
        throw new MillraceError('STORE_LOCKED', `this server only reads: ${locked.message}`, {
          hint: 'Send records to that process if it is a server. This one takes its place when it has ended.',
        });
      throw new MillraceError('STORE_LOCKED', 'this server is changing to other definitions', {
        hint: 'Send the records again.',
      });
    },
    readers: new Map(),
  };
  const { app, handle } = buildApp(context, options, shared);
  const noteCaughtUp = async (): Promise<void> => {
    const stale = new Set(await staleGroups(project));
    for (const groups of [behind, building]) for (const id of groups) if (!stale.has(id)) groups.delete(id);
  };
  let started = false;
  const closeWindows = async (): Promise<void> => {
    try {
      await (await project.log()).closeWindows(project.now());
    } catch (error) {
      options.onFault?.('windows', error);
    }
  };
  const catchUp = setInterval(() => {
    if (follower.failures().size > 0) void follower.applyAll().catch(() => undefined);
    if (started && behind.size > 0) void noteCaughtUp().catch(() => undefined);
    if (!locked && taking) void closeWindows();
  }, CATCH_UP_MS);
  catchUp.unref();
  const stopWatching = new AbortController();
  const watching: Promise<void>[] = [];
  const watch = (source: Source): void => {
    const events: WatchEvents = {
      onResult: async ({ name }, result) => {
        await follower.apply(source);
        await transforms.follow(name, result);
      },
      onFailure: ({ name }, error) => options.onNotice?.(`source ${name}: ${failureText(error)}`),
    };
    const pace = { everyMs: source.watch! / 1000, signal: stopWatching.signal };
    watching.push(
      watchSource(project, source, events, pace).catch((error: unknown) => options.onFault?.('watch', error)),
    );
  };
  let stopped: Promise<void> | undefined;
  const stopWriting = (): Promise<void> => {
    stopped ??= (async () => {
      taking = false;
      clearInterval(catchUp);
      stopWatching.abort();
      await Promise.all(watching);
      await transforms.close();
      await follower.close();
    })();
    return stopped;
  };
  return {
    project,
    app,
    champions,
    inFlight,
    locked,
    handle,
    settle: async (keep = false) => {
      if (locked) options.onNotice?.(`read-only: ${locked.message}. Pushes are answered with 503.`);
      else {
        try {
          if (behind.size > 0) await materialize(project, { keep });
          behind.clear();
          building.clear();
        } catch (error) {
          if (!project.signal.aborted) options.onFault?.('materialize', error);
        }
        follower.start();
        // A failure stays in `failures` and is tried again by the timer.
        await follower.applyAll().catch(() => undefined);
        started = true;
        for (const source of project.definitions.sources.values())
          if (source.watch !== undefined && !stopWatching.signal.aborted) watch(source);
      }
      await champions.refresh();
      for (const [service, error] of champions.failures())
        options.onNotice?.(`service ${service} is not ready: ${error.message}`);
    },
    stopWriting,
    retire: async () => {
      await stopWriting();
      champions.close();
    },
  };
}
