/** Contracts that are not as they were when records last came in. */
import { type ContractDiff, diffContracts, nextVersion } from '../core/quality/contract-diff.js';
import { contractFingerprint, snapshotOf } from '../core/quality/contract-snapshot.js';
import type { Project } from './project.js';

export interface PendingContract {
  readonly source: string;
  readonly from: string;
  readonly to: string;
  readonly diff: ContractDiff;
}

export async function pendingContracts(project: Project): Promise<readonly PendingContract[]> {
  const pending: PendingContract[] = [];
  const known = await (await project.log()).lastContracts();
  for (const source of project.definitions.sources.values()) {
    const last = known.get(source.name);
    if (last === undefined) continue;
    const now = snapshotOf(source);
    if (last.fingerprint === contractFingerprint(now)) continue;
    const { readersOf } = await import('./contract.js');
    const before = last.contract();
    pending.push({
      source: source.name,
      from: last.semver,
      to: nextVersion(last.semver, diffContracts(before, now).bump),
      diff: diffContracts(before, now, await readersOf(project, source.name)),
    });
  }
  return pending;
}
