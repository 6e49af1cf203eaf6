/** The online store follows the log: each group applies what it has not applied yet. */
import { MillraceError } from '../core/base/error.js';
import { type FeatureGroup, planFeatures } from '../core/engine/feature-plan.js';
import { type OnlineGroup, planGroup } from '../core/engine/online/plan.js';
import { type Project, stopIfInterrupted } from './project.js';

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
  readonly groups: readonly {
    readonly group: string;
    readonly records: number;
    readonly seq: number;
    readonly rebuilt: boolean;
  }[];
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

export interface MaterializeOptions {
  /** From nothing. */
  readonly rebuild?: boolean;
  /** Ids of the groups to bring up; absent: all that the project's features need. */
  readonly only?: ReadonlySet<string>;
}

export async function materialize(
  project: Project,
  options: MaterializeOptions = {},
): Promise<MaterializeResult> {
  const store = await project.online();
  const log = await project.log();
  const all = projectGroups(project);
  const groups = options.only === undefined ? all : all.filter(({ group }) => options.only!.has(group.id));
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
        for (const record of chunk)
          availableAt = availableAt === null ? record.availableAt : Math.max(availableAt, record.availableAt);
        await store.apply(online, chunk, { seq: last.seq, availableAt });
        records += chunk.length;
        stopIfInterrupted(project, `the online store has applied ${group.id} through seq ${last.seq}`);
      }
    }
    results.push({
      group: group.id,
      records,
      seq: store.applied(online)?.seq ?? 0,
      rebuilt: options.rebuild === true,
    });
  }
  await store.activate(
    all.filter(({ online }) => store.applied(online) !== null).map(({ online }) => online.fingerprint),
  );
  return { groups: results, records: results.reduce((sum, item) => sum + item.records, 0) };
}

/**
 * Brings the given groups up to the log when this process may write. Where another process is the writer (a server),
 * that one follows the log, and what it has applied so far is read.
 */
export async function catchUp(project: Project, groups: readonly string[], command: string): Promise<void> {
  const behind = new Set((await staleGroups(project)).filter((id) => groups.includes(id)));
  if (behind.size === 0) return;
  try {
    await project.lockForWriting(command);
  } catch (error) {
    if (error instanceof MillraceError && error.code === 'STORE_LOCKED') return;
    throw error;
  }
  await materialize(project, { only: behind });
}
