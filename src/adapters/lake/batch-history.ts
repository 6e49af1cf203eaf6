/** A batch of a source against its history. */
import type { Instant } from '../../core/base/time.js';
import { DEFAULT_HISTORY, HISTORY_MEASURES } from '../../core/define/promises.js';
import type { HistoryPolicy, Source } from '../../core/define/types.js';
import type { BatchProfile } from '../../core/drift/batch-profile.js';
import {
  type BatchFacts,
  type BatchPart,
  factsOf,
  type HistoryJudgement,
  judgeHistory,
  type PastBatch,
} from '../../core/drift/history.js';
import { zoneOffset } from '../../core/expression/zone.js';
import type { ProfiledRelation } from './profile.js';

/** Facts to keep of a batch, and what history says of it. `profiles`: of the last ordinary batches, newest first. */
export function judgeBatchHistory(
  source: Source,
  batch: ProfiledRelation & {
    readonly rows: number;
    readonly now: Instant;
    readonly parts?: readonly BatchPart[];
  },
  past: readonly PastBatch[],
  profiles: () => readonly BatchProfile[],
): { readonly facts: BatchFacts; readonly history: HistoryJudgement } {
  const facts = factsOf(batch.rows, batch.profile, batch.now);
  const context = {
    policy: source.history ?? DEFAULT_HISTORY,
    fields: source.fields,
    running: new Set([
      ...source.recordKey,
      source.eventTime,
      ...(source.sequence === undefined ? [] : [source.sequence]),
    ]),
    offset: zoneOffset(source.timezone),
  };
  const history = judgeHistory(context, { ...batch, at: batch.now, facts }, past, profiles);
  return { facts, history };
}

/** Sealed pushes are cut by size and are durable already: their numbers of rows and ages say nothing, nothing refuses. */
export function pushedHistory(source: Source): Source {
  const policy = source.history ?? DEFAULT_HISTORY;
  const softened = Object.fromEntries(
    HISTORY_MEASURES.map((measure) => {
      const { action, severity } = policy.measures[measure];
      const ignored = measure === 'row_count' || measure === 'freshness' || action === 'ignore';
      return [measure, { action: ignored ? 'ignore' : 'warn', severity }];
    }),
  ) as HistoryPolicy['measures'];
  return { ...source, history: { ...policy, measures: softened } };
}
