/** The online store follows the log: each group applies what it has not applied yet. */
import { MillraceError } from '../core/base/error.js';
import type { Source } from '../core/define/types.js';
import { draftOf, type OnlineGroup } from '../core/engine/online/index.js';
import type { OnlineStore } from '../ports/online-store.js';
import type { LogRecord } from '../ports/record-log.js';
import { materializeRun, recordRun } from './lineage-events.js';
import { type BoundGroup, projectGroups, staleGroups } from './online-groups.js';
import { type Project, stopIfInterrupted } from './project.js';

/** What was applied: by group of features, the records, the last position, and whether it began from nothing. */
export interface MaterializeResult {
  readonly groups: readonly {
    readonly group: string;
    readonly records: number;
    readonly seq: number;
    readonly rebuilt: boolean;
  }[];
  readonly records: number;
}

export interface MaterializeOptions {
  /** From nothing. */
  readonly rebuild?: boolean;
  /** Ids of the groups to bring up; absent: all that the project's features need. */
  readonly only?: ReadonlySet<string>;
  /** Groups of other definitions stay: they serve. */
  readonly keep?: boolean;
}

/** Records applied in one transaction: an entity is opened and written once for all of its records in it. */
const BATCH_RECORDS = 200_000;

/** What `read` gives, in batches of about BATCH_RECORDS. */
async function* inBatches(chunks: AsyncIterable<readonly LogRecord[]>): AsyncGenerator<readonly LogRecord[]> {
  let batch: LogRecord[] = [];
  for await (const chunk of chunks) {
    for (const record of chunk) batch.push(record);
    if (batch.length < BATCH_RECORDS) continue;
    yield batch;
    batch = [];
  }
  if (batch.length > 0) yield batch;
}

export const materialize = (project: Project, options: MaterializeOptions = {}): Promise<MaterializeResult> =>
  recordRun(project, materializeRun(project), () => bringUp(project, options));

/** Groups that were built before under another definition, or by a release that stored them otherwise. */
function sayRebuilt(project: Project, store: OnlineStore, groups: readonly BoundGroup[]): void {
  const held = new Set(store.groups().map(({ id }) => id));
  for (const { group, online } of groups) {
    if (!held.has(group.id) || store.applied(online) !== null) continue;
    project.progress({
      step: 'materialize',
      message: `${group.id}: its definition or the format of the store has changed, it is built anew from the log`,
      fraction: 0,
    });
  }
}

async function bringUp(project: Project, options: MaterializeOptions): Promise<MaterializeResult> {
  const store = await project.online();
  const log = await project.log();
  const all = projectGroups(project);
  const groups = options.only === undefined ? all : all.filter(({ group }) => options.only!.has(group.id));
  sayRebuilt(project, store, groups);
  const records = new Map<string, number>();
  const bySource = new Map<Source, BoundGroup[]>();
  /** What is built from nothing is built as a draft: until it is published the last good version serves. */
  const drafts = new Map<BoundGroup, OnlineGroup>();
  for (const bound of groups) {
    const { online } = bound;
    const draft = draftOf(online);
    if (options.rebuild) await store.drop(draft.fingerprint);
    if (options.rebuild || store.applied(online) === null) {
      drafts.set(bound, draft);
      await store.open(draft);
    }
    bySource.set(bound.group.source, [...(bySource.get(bound.group.source) ?? []), bound]);
  }
  const target = (bound: BoundGroup): OnlineGroup => drafts.get(bound) ?? bound.online;
  const positionOf = (bound: BoundGroup): number => store.applied(target(bound))?.seq ?? 0;
  let done = 0;
  for (const [source, members] of bySource) {
    const { lastSeq, hasVersions } = await log.state(source);
    const first = Math.min(...members.map(positionOf));
    if (first < lastSeq) {
      // One reading of the log serves every group of the source; a group skips what it has applied before.
      for await (const batch of inBatches(log.read(source, first, lastSeq))) {
        const { seq } = batch.at(-1)!;
        let latest = batch[0]!.availableAt;
        for (const record of batch) if (record.availableAt > latest) latest = record.availableAt;
        for (const [i, bound] of members.entries()) {
          const { group } = bound;
          const online = target(bound);
          const share = (seq - first) / (lastSeq - first) / bySource.size;
          project.progress({
            step: 'materialize',
            message: group.id,
            fraction: done / bySource.size + share * ((i + 1) / members.length),
          });
          const before = store.applied(online);
          if (before !== null && before.seq >= seq) continue;
          const availableAt = Math.max(before?.availableAt ?? latest, latest);
          await store.apply(online, batch, { seq, availableAt }, { firsts: !hasVersions });
          const behind = batch.findIndex((record) => record.seq > (before?.seq ?? 0));
          records.set(group.id, (records.get(group.id) ?? 0) + batch.length - behind);
          stopIfInterrupted(project, `the online store has applied ${group.id} through seq ${seq}`);
        }
      }
    }
    done++;
  }
  for (const bound of drafts.keys()) await store.publish(bound.online);
  drafts.clear();
  const results = groups.map((bound) => ({
    group: bound.group.id,
    records: records.get(bound.group.id) ?? 0,
    seq: positionOf(bound),
    rebuilt: options.rebuild === true,
  }));
  if (options.keep) return { groups: results, records: results.reduce((sum, item) => sum + item.records, 0) };
  const serving = all.filter(({ online }) => store.applied(online) !== null);
  await store.activate(serving.map(({ online }) => online.fingerprint));
  if (serving.length === all.length) {
    const wanted = new Set(all.map(({ online }) => online.fingerprint));
    for (const { fingerprint } of store.groups()) if (!wanted.has(fingerprint)) await store.drop(fingerprint);
  }
  return { groups: results, records: results.reduce((sum, item) => sum + item.records, 0) };
}

/**
 * Brings the given groups (null: all) up to the log when this process may write. Where another process is the writer (a server),
 * that one follows the log, and what it has applied so far is read.
 */
export async function catchUp(
  project: Project,
  groups: readonly string[] | null,
  command: string,
): Promise<void> {
  const behind = new Set((await staleGroups(project)).filter((id) => groups === null || groups.includes(id)));
  if (behind.size === 0) return;
  try {
    await project.lockForWriting(command, 'if_free');
  } catch (error) {
    if (error instanceof MillraceError && error.code === 'STORE_LOCKED') return;
    throw error;
  }
  await materialize(project, { only: behind });
}
