/** Where everything stands: sources, groups, models, monitors. Reads only what is already known. */
import { printInstant, printOptionalInstant } from '../core/base/time.js';
import type { Champions } from './champions.js';
import { CHAMPION } from './model-manifest.js';
import { type BoundGroup, projectGroups } from './online-groups.js';
import type { Project } from './project.js';
import { type SourceStatus, sourceStatuses } from './source-status.js';

export interface GroupStatus {
  readonly group: string;
  readonly source: string;
  /** Null while the group is not materialized. */
  readonly seq: number | null;
  /** Records of the log that it has yet to apply; sequence numbers have no gaps. */
  readonly behind: number | null;
  readonly available_at: string | null;
}

export interface ProjectStatus {
  readonly project: string;
  readonly as_of: string;
  readonly sources: readonly SourceStatus[];
  readonly groups: readonly GroupStatus[];
  readonly models: readonly {
    readonly model: string;
    readonly champion: number | null;
    readonly latest: number | null;
  }[];
  readonly services: readonly {
    readonly service: string;
    readonly model: string | null;
    readonly problem: string | null;
  }[];
  readonly monitors: readonly {
    readonly monitor: string;
    readonly verdict: string | null;
    readonly at: string | null;
  }[];
}

export async function projectStatus(project: Project, champions: Champions): Promise<ProjectStatus> {
  const [store, registry] = [await project.online(), await project.registry()];
  const now = project.now();
  const sources = await sourceStatuses(project);
  const last = new Map(sources.map(({ source, seq }) => [source, seq]));
  const groups = projectGroups(project).map(({ group, online }): GroupStatus => {
    const applied = store.applied(online);
    return {
      group: group.id,
      source: group.source.name,
      seq: applied?.seq ?? null,
      behind: applied === null ? null : Math.max(0, last.get(group.source.name)! - applied.seq),
      available_at: printOptionalInstant(applied?.availableAt ?? null),
    };
  });
  const failures = champions.failures();
  return {
    project: project.definitions.settings.project,
    as_of: printInstant(now),
    sources,
    groups,
    models: [...project.definitions.models.keys()].map((model) => ({
      model,
      champion: registry.alias(model, CHAMPION) ?? null,
      latest: registry.version('model', model)?.version ?? null,
    })),
    services: [...project.definitions.services.keys()].map((service) => {
      const predictor = champions.current(service);
      return {
        service,
        model: predictor ? `${predictor.model.name}@${predictor.version}` : null,
        problem: failures.get(service)?.message ?? null,
      };
    }),
    monitors: [...project.definitions.monitors.keys()].map((monitor) => {
      const fact = registry.getFact(`monitor:${monitor}`) as
        | { readonly verdict?: string; readonly at?: number }
        | undefined;
      return { monitor, verdict: fact?.verdict ?? null, at: printOptionalInstant(fact?.at ?? null) };
    }),
  };
}

export interface Readiness {
  readonly ready: boolean;
  /** What is missing, in words; empty when ready. */
  readonly missing: readonly string[];
}

/** Ready: every group is in the online store, none is `behind`, and every service has its champion loaded. */
export function readinessOf(
  project: Project,
  champions: Champions,
  behind: ReadonlySet<string> = new Set(),
): () => Promise<Readiness> {
  let groups: readonly BoundGroup[] | undefined;
  return async () => {
    const store = await project.online();
    groups ??= projectGroups(project);
    const missing = groups
      .filter(({ online }) => store.applied(online) === null)
      .map(({ group }) => `group ${group.id} is not materialized`);
    for (const { group, online } of groups)
      if (behind.has(group.id) && store.applied(online) !== null)
        missing.push(`group ${group.id} is being brought up to the log`);
    const failures = champions.failures();
    for (const service of project.definitions.services.keys())
      if (!champions.current(service))
        missing.push(
          `service ${service}: ${failures.get(service)?.message ?? 'its champion is not loaded yet'}`,
        );
    return { ready: missing.length === 0, missing };
  };
}
