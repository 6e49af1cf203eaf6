/** The HTTP server of a project: one process, one port. */
import type { IncomingMessage, RequestListener, Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { FastifyInstance } from 'fastify';
import { MillraceError } from '../core/base/error.js';
import type { Definitions } from '../core/define/types.js';
import { materialize } from '../services/materialize.js';
import { projectGroups } from '../services/online-groups.js';
import type { Project } from '../services/project.js';
import type { Limits } from './context.js';
import { createGeneration, type Generation, type Shared, takeLock } from './generation.js';
import { createMetrics } from './metrics.js';

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
  /**
   * Opens the project again, with the definitions as they are on disk or with those given. Without it the server can
   * neither reload nor take the place of a writer that has ended. What it gives is closed by the server.
   */
  reopen?(definitions?: Definitions): Promise<Project>;
  /** How often a server that only reads looks whether the writer has ended. */
  readonly takeoverPeriodMs?: number;
  /** Faults of the server, never bodies or headers: route and error. */
  onFault?(route: string, error: unknown): void;
  /** What the operator should know: read-only, materializing. */
  onNotice?(text: string, cause?: unknown): void;
  /** The server cannot go on: the process is to be ended at once, which loses nothing. */
  onFatal?(error: MillraceError): void;
}

export interface RunningServer {
  readonly url: string;
  readonly port: number;
  /** Resolves when the online store has caught up and champions were looked for; requests are answered before that. */
  readonly settled: Promise<void>;
  /**
   * Serves the definitions as they are on disk now: builds what they need while the present ones answer, then changes
   * in one step. Resolves to false when they have errors or their state cannot be built: the present ones stay.
   */
  reload(): Promise<boolean>;
  /** Answers what is under way, then stops. The project it was started with stays open, unless another took its place. */
  close(): Promise<void>;
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

const TAKEOVER_MS = 1_000;
const ASKED_MS = 50;

/** Requests that wait while one generation takes the place of another. */
interface Gate {
  holds(request: IncomingMessage): boolean;
  readonly opened: Promise<void>;
}

/** Everything that writes: records, predictions, outcomes. */
const writes = ({ method, url }: IncomingMessage): boolean =>
  method !== 'GET' && url?.startsWith('/v1/features/') !== true && url !== '/get-online-features';

/** PORT_IN_USE, PERMISSION_DENIED; whatever opening the stores throws. */
export async function startServer(project: Project, options: ServerOptions): Promise<RunningServer> {
  const metrics = createMetrics();
  const graceMs = options.graceMs ?? 5_000;
  let gate: Gate | undefined;
  let current: Generation;
  const entry: RequestListener = (request, response) => {
    if (gate?.holds(request)) void gate.opened.then(() => current.handle(request, response));
    else current.handle(request, response);
  };
  let listener: Server;
  let renew = (): void => undefined;
  const shared: Shared = { metrics, entry, lacking: () => renew(), listening: () => listener };
  const first = await createGeneration(project, options, shared);
  current = first;
  listener = first.app.server;
  let address: AddressInfo;
  try {
    address = await listen(first.app, options);
  } catch (error) {
    await first.retire();
    metrics.close();
    throw error;
  }
  const settled = first.settle();

  /** Until a generation has no requests of a kind under way, at most as long as `close` would wait. */
  const quiet = async (of: Generation, kind: 'requests' | 'pushes'): Promise<void> => {
    for (const end = performance.now() + graceMs; of.inFlight[kind] > 0 && performance.now() < end; )
      await sleep(2);
  };

  const held = async (holds: Gate['holds'], change: () => Promise<void>): Promise<void> => {
    let open = (): void => undefined;
    gate = {
      holds,
      opened: new Promise((resolve) => {
        open = resolve;
      }),
    };
    try {
      await change();
    } finally {
      gate = undefined;
      open();
    }
  };

  /** Beside the present generation: what the next one lacks is built, then requests go to it. */
  const changeAsWriter = async (next: Project): Promise<void> => {
    await next.lockForWriting('millrace serve', 'gives_way');
    const store = await next.online();
    const missing = projectGroups(next).filter(({ online }) => store.applied(online) === null);
    if (missing.length > 0)
      await materialize(next, { only: new Set(missing.map(({ group }) => group.id)), keep: true });
    const before = current;
    await held(writes, async () => {
      await quiet(before, 'pushes');
      await before.stopWriting();
      await (await before.project.log()).close();
      const generation = await createGeneration(next, options, shared);
      await generation.app.ready();
      await generation.settle(true);
      current = generation;
    });
    await quiet(before, 'requests');
    await before.retire();
    await before.project.close();
    await materialize(next);
  };

  /** A store that changes between reading and writing is closed in between: all requests wait. */
  const changeClosed = (next: Project): Promise<void> =>
    held(
      () => true,
      async () => {
        const before = current;
        await quiet(before, 'requests');
        await before.retire();
        await before.project.close();
        const generation = await createGeneration(next, options, shared);
        await generation.app.ready();
        current = generation;
      },
    ).then(() => current.settle());

  let changing: Promise<unknown> = settled;
  let ending = false;
  const oneByOne = <T>(work: () => Promise<T>): Promise<T> => {
    const done = changing.catch(() => undefined).then(work);
    changing = done;
    return done;
  };

  const reload = (): Promise<boolean> =>
    oneByOne(async () => {
      if (!options.reopen || ending) return false;
      let next: Project | undefined;
      try {
        next = await options.reopen();
        if (current.locked) await changeClosed(next);
        else await changeAsWriter(next);
        digest = next.digest;
        options.onNotice?.('definitions reloaded');
        return true;
      } catch (error) {
        if (next && current.project !== next) await next.close();
        options.onNotice?.(
          `the definitions were not reloaded, those from before are served: ${(error as Error).message}`,
          error,
        );
        return false;
      }
    });

  /** Of the definition files that are served; undefined where code was read, which cannot be told. */
  let digest = current.project.digest;
  /** Who wrote may have had other definitions than those that are served. */
  const compareDefinitions = async (): Promise<void> => {
    const onDisk = await options.reopen?.().catch(() => undefined);
    const changed = digest !== undefined && onDisk?.digest !== undefined && onDisk.digest !== digest;
    await onDisk?.close();
    if (changed)
      options.onNotice?.(
        `the definition files have changed and those from before are served; to serve them: kill -HUP ${process.pid}`,
      );
  };

  const takeOver = async (): Promise<void> => {
    if (!options.reopen || ending || !current.locked || (await takeLock(current.project))) return;
    const next = await options.reopen(current.project.definitions);
    await next.lockForWriting('millrace serve', 'gives_way');
    await changeClosed(next);
    options.onNotice?.('the process that wrote to the project has ended; this server takes records now');
    await compareDefinitions();
  };
  /** Another process asks to write: this one only reads until that has ended. */
  const giveWay = async (): Promise<void> => {
    if (!options.reopen || ending || current.locked || !current.project.lockAsked()) return;
    await changeClosed(await options.reopen(current.project.definitions));
  };
  /** The same definitions, with the features that a champion of other definitions brings along. */
  const follow = async (): Promise<void> => {
    if (!options.reopen || ending || current.locked) return;
    const next = await options.reopen(current.project.definitions);
    try {
      await changeAsWriter(next);
      options.onNotice?.('a champion is served with the features that it was trained on');
    } catch (error) {
      if (current.project !== next) await next.close();
      throw error;
    }
  };
  let renewing = false;
  renew = () => {
    if (renewing) return;
    renewing = true;
    void oneByOne(follow)
      .catch((error: unknown) => options.onFault?.('follow', error))
      .finally(() => {
        renewing = false;
      });
  };

  /** Now and then, never twice at once: `work`, where it is called for. */
  const every = (ms: number, name: string, calledFor: () => boolean, work: () => Promise<void>) => {
    let working = false;
    const timer = setInterval(() => {
      if (working || !calledFor()) return;
      working = true;
      void oneByOne(work)
        .catch((error: unknown) => options.onFault?.(name, error))
        .finally(() => {
          working = false;
        });
    }, ms);
    timer.unref();
    return timer;
  };
  const timers = [
    every(options.takeoverPeriodMs ?? TAKEOVER_MS, 'takeover', () => current.locked !== undefined, takeOver),
    every(ASKED_MS, 'give way', () => !current.locked && current.project.lockAsked(), giveWay),
  ];

  let closing: Promise<void> | undefined;
  const host = options.host.includes(':') ? `[${options.host}]` : options.host;
  return {
    url: `http://${host}:${address.port}`,
    port: address.port,
    settled,
    reload,
    close: () =>
      (closing ??= (async () => {
        ending = true;
        timers.forEach(clearInterval);
        const force = setTimeout(() => listener.closeAllConnections(), graceMs);
        current.inFlight.closing = true;
        await first.app.close();
        clearTimeout(force);
        await changing.catch(() => undefined);
        await current.retire();
        if (current !== first) {
          await current.app.close();
          await current.project.close();
        }
        metrics.close();
      })()),
  };
}
