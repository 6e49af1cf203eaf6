/** The online store follows the log: each group applies what it has not applied yet. */
import type { FeatureGroup } from '../core/engine/feature-plan.js';
import { planFeatures } from '../core/engine/feature-plan.js';
import { type OnlineGroup, planGroup } from '../core/engine/online/plan.js';
import type { Project } from './project.js';

export interface BoundGroup {
  readonly group: FeatureGroup;
  readonly online: OnlineGroup;
}

/** Every group that the project's features need, each with all of its features. */
export function projectGroups(project: Project): readonly BoundGroup[] {
  const plan = planFeatures(project.definitions, [...project.definitions.features.values()]);
  return plan.groups.map((group) => ({ group, online: planGroup(group) }));
}

export interface MaterializeResult {
  readonly groups: readonly { readonly group: string; readonly records: number; readonly seq: number; readonly rebuilt: boolean }[];
  readonly records: number;
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

export async function materialize(project: Project, options: { readonly rebuild?: boolean } = {}): Promise<MaterializeResult> {
  const store = await project.online();
  const log = await project.log();
  const groups = projectGroups(project);
  const results: { group: string; records: number; seq: number; rebuilt: boolean }[] = [];
  for (const [i, { group, online }] of groups.entries()) {
    const state = await log.state(group.source);
    if (options.rebuild) await store.drop(online.fingerprint);
    await store.open(online);
    const from = store.applied(online)?.seq ?? 0;
    let records = 0;
    if (from < state.lastSeq) {
      project.progress({ step: 'materialize', message: group.id, fraction: i / groups.length });
      for await (const chunk of log.read(group.source, from, state.lastSeq)) {
        const last = chunk.at(-1)!;
        let availableAt: number | null = store.applied(online)?.availableAt ?? null;
        for (const record of chunk) availableAt = availableAt === null ? record.availableAt : Math.max(availableAt, record.availableAt);
        await store.apply(online, chunk, { seq: last.seq, availableAt });
        records += chunk.length;
        if (project.signal.aborted) break;
      }
    }
    results.push({ group: group.id, records, seq: store.applied(online)?.seq ?? 0, rebuilt: options.rebuild === true });
  }
  await store.activate(groups.map(({ online }) => online.fingerprint));
  return { groups: results, records: results.reduce((sum, item) => sum + item.records, 0) };
}
