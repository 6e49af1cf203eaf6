/** The predictors of a long-running process: each service's champion, swapped in one step when the registry names another. */
import { MillraceError } from '../core/base/error.js';
import { keptModels } from './feature-versions.js';
import { CHAMPION } from './model-manifest.js';
import { findService, openPredictor, type Predictor } from './predict.js';
import type { Project } from './project.js';

export interface Champions {
  /** The predictor to answer with; loads it when there is none yet. UNKNOWN_NAME, MODEL_MISSING, NOT_MATERIALIZED. */
  get(service: string): Promise<Predictor>;
  current(service: string): Predictor | undefined;
  /** Compares with the registry and loads what changed. A champion that does not load leaves the last good one. */
  refresh(): Promise<void>;
  /** Why a service has no predictor, or not the one the registry names. */
  failures(): ReadonlyMap<string, Error>;
  close(): void;
}

const PERIOD_MS = 1_000;
/** A version that failed to load is tried again after this. */
const RETRY_MS = 10_000;

export interface ChampionsOptions {
  readonly periodMs?: number;
  /** A champion has features of its own that this project does not follow: it was named after the project was opened. */
  lacking?(): void;
}

export function createChampions(project: Project, options: ChampionsOptions = {}): Champions {
  const loaded = new Map<string, Predictor>();
  const loading = new Map<string, Promise<Predictor>>();
  const failed = new Map<
    string,
    { readonly error: Error; readonly version: number | undefined; readonly at: number }
  >();

  const versionOf = async (service: string): Promise<number | undefined> =>
    (await project.registry()).alias(findService(project, service).model, CHAMPION);

  const load = (service: string): Promise<Predictor> => {
    const present = loading.get(service);
    if (present) return present;
    const work = (async () => {
      const version = await versionOf(service);
      try {
        const predictor = await openPredictor(project, service);
        // What is asked of the one before is answered first.
        loaded.get(service)?.compiled.close?.();
        loaded.set(service, predictor);
        failed.delete(service);
        return predictor;
      } catch (error) {
        failed.set(service, { error: error as Error, version, at: performance.now() });
        throw error;
      }
    })().finally(() => loading.delete(service));
    loading.set(service, work);
    return work;
  };

  const refresh = async (): Promise<void> => {
    for (const service of project.definitions.services.keys()) {
      const version = await versionOf(service).catch(() => undefined);
      const present = loaded.get(service);
      if (present && (version === undefined || present.version === version)) {
        failed.delete(service);
        continue;
      }
      const before = failed.get(service);
      if (before && before.version === version && present && performance.now() - before.at < RETRY_MS)
        continue;
      await load(service).catch(noteLacking);
    }
  };
  const noteLacking = async (error: unknown): Promise<void> => {
    if (!(error instanceof MillraceError) || error.code !== 'NOT_MATERIALIZED') return;
    const followed = new Set(project.keptModels?.().map(({ title }) => title));
    if ((await keptModels(project)).some(({ title }) => !followed.has(title))) options.lacking?.();
  };

  let busy = false;
  const timer = setInterval(() => {
    if (busy) return;
    busy = true;
    void refresh().finally(() => {
      busy = false;
    });
  }, options.periodMs ?? PERIOD_MS);
  timer.unref();

  return {
    get: async (service) => loaded.get(service) ?? (await load(findService(project, service).name)),
    current: (service) => loaded.get(service),
    refresh,
    failures: () => new Map([...failed].map(([service, { error }]) => [service, error])),
    close: () => {
      clearInterval(timer);
      for (const { compiled } of loaded.values()) compiled.close?.();
    },
  };
}
