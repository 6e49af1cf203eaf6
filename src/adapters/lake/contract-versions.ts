/** Versions of the sources' contracts in registry.db: one row for each time a contract was not as before. */
import type { Instant } from '../../core/base/time.js';
import type { Source } from '../../core/define/types.js';
import { diffContracts, nextVersion } from '../../core/quality/contract-diff.js';
import {
  type ContractSnapshot,
  contractFingerprint,
  snapshotOf,
} from '../../core/quality/contract-snapshot.js';
import type { ContractVersion, KnownContract } from '../../ports/record-log.js';
import { type Database, transaction } from '../sqlite/database.js';

type Row = Record<string, unknown>;

/** Notes the contract under which records are about to come in; nothing happens when it is the last known one. */
export function recordContract(db: Database, source: Source, at: Instant): void {
  const contract = snapshotOf(source);
  const fingerprint = contractFingerprint(contract);
  transaction(db, () => {
    const last = db
      .prepare('SELECT * FROM contract_version WHERE source = ? ORDER BY version DESC LIMIT 1')
      .get(source.name) as Row | undefined;
    if (last?.['fingerprint'] === fingerprint) return;
    const semver =
      last === undefined
        ? '1.0.0'
        : nextVersion(
            last['semver'] as string,
            diffContracts(JSON.parse(last['contract'] as string) as ContractSnapshot, contract).bump,
          );
    db.prepare('INSERT INTO contract_version VALUES (?, ?, ?, ?, ?, ?)').run(
      source.name,
      Number(last?.['version'] ?? 0) + 1,
      semver,
      fingerprint,
      JSON.stringify(contract),
      at,
    );
  });
}

/** Ties a batch to the contract that judged it; part of the batch's transaction. */
export function tieBatch(db: Database, batch: string, source: string): void {
  db.prepare(
    'INSERT INTO batch_contract SELECT ?, source, version FROM contract_version WHERE source = ? ORDER BY version DESC LIMIT 1',
  ).run(batch, source);
}

/** Oldest first. */
export function listContracts(db: Database, source: string): readonly ContractVersion[] {
  const rows = db
    .prepare(
      `SELECT v.*, count(b.batch) AS batches, coalesce(sum(b.accepted), 0) AS accepted, max(b.at) AS last_at
       FROM contract_version v
       LEFT JOIN batch_contract t ON t.source = v.source AND t.version = v.version
       LEFT JOIN log_batch b ON b.batch = t.batch
       WHERE v.source = ? GROUP BY v.version ORDER BY v.version`,
    )
    .all(source) as Row[];
  return rows.map((row) => ({
    source,
    version: Number(row['version']),
    semver: row['semver'] as string,
    fingerprint: row['fingerprint'] as string,
    contract: JSON.parse(row['contract'] as string) as ContractSnapshot,
    since: Number(row['since']),
    batches: Number(row['batches']),
    accepted: Number(row['accepted']),
    lastBatchAt: row['last_at'] === null ? null : Number(row['last_at']),
  }));
}

export function lastContracts(db: Database): ReadonlyMap<string, KnownContract> {
  const rows = db
    .prepare(
      'SELECT source, max(version), semver, fingerprint, contract FROM contract_version GROUP BY source',
    )
    .all() as Row[];
  return new Map(
    rows.map((row) => {
      const text = row['contract'] as string;
      return [
        row['source'] as string,
        {
          semver: row['semver'] as string,
          fingerprint: row['fingerprint'] as string,
          contract: () => JSON.parse(text) as ContractSnapshot,
        },
      ];
    }),
  );
}
