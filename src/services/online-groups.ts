/** The groups of features that the online store holds, and which of them are behind the log. */
import { expandFeatures, type FeatureGroup, planFeatures } from '../core/engine/feature-plan.js';
import { type OnlineGroup, planGroup } from '../core/engine/online/index.js';
import type { KeptModel, Project } from './project.js';

export interface BoundGroup {
  readonly group: FeatureGroup;
  readonly online: OnlineGroup;
}

const bound = (group: FeatureGroup): BoundGroup => ({ group, online: planGroup(group) });

/** The groups of a model whose features are no longer those of the project; ids say whose they are. */
const groupsOfKept = ({ title, definitions, features }: KeptModel): readonly BoundGroup[] =>
  planFeatures(definitions, expandFeatures(definitions, features)).groups.map((group) =>
    bound({ ...group, id: `${group.id} of ${title}` }),
  );

/**
 * Every group that the project's features need, each with all of its features, then those that champions of other
 * definitions need beside them.
 */
export function projectGroups(project: Project): readonly BoundGroup[] {
  const plan = planFeatures(project.definitions, [...project.definitions.features.values()]);
  const groups = plan.groups.map(bound);
  const held = new Set(groups.map(({ online }) => online.fingerprint));
  for (const each of (project.keptModels?.() ?? []).flatMap(groupsOfKept)) {
    if (held.has(each.online.fingerprint)) continue;
    held.add(each.online.fingerprint);
    groups.push(each);
  }
  return groups;
}

/** Groups whose state is behind the log, or missing. */
export async function staleGroups(project: Project): Promise<readonly string[]> {
  const store = await project.online();
  const log = await project.log();
  const behind: string[] = [];
  for (const { group, online } of projectGroups(project)) {
    const state = await log.state(group.source);
    const applied = store.applied(online);
    if (applied === null || applied.seq < state.lastSeq) behind.push(group.id);
  }
  return behind;
}
