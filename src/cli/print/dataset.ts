import { balanceText } from '../../core/dataset/balance.js';
import { type DatasetManifest, emptyParts } from '../../core/dataset/manifest.js';
import type { Io } from '../io.js';
import { count, table } from './table.js';

export function printManifest(
  io: Io,
  name: string,
  version: number | 'rejected',
  manifest: DatasetManifest,
): void {
  const { counts } = manifest;
  io.print(
    `${name}@${version}  ${count(counts.rows)} rows of ${count(counts.observations)} observations, ${manifest.features.length} features`,
  );
  io.print(
    `left out: ${count(counts.immature_label)} immature label, ${count(counts.no_outcome)} no outcome, ${count(counts.outside_horizon)} outside the horizon, ${count(counts.purged)} purged`,
  );
  io.print(
    table(
      ['part', 'rows', 'from', 'to', 'label'],
      manifest.parts.map((part) => [
        part.name,
        part.rows,
        part.from,
        part.to,
        part.label ? balanceText(part.label) : '-',
      ]),
    ),
  );
  const { partitions } = manifest;
  if (partitions !== undefined && partitions.length > 1)
    io.print(
      `${partitions.length} partitions from ${partitions[0]!.from} to ${partitions.at(-1)!.to}, ${count(partitions.reduce((sum, { bytes }) => sum + bytes, 0))} bytes`,
    );
  const empty = emptyParts(manifest);
  if (empty !== null) io.warn(`${empty} → longer parts, or a shorter horizon`);
  for (const finding of manifest.leakage) io.warn(`[${finding.rule}] ${finding.message} → ${finding.remedy}`);
  io.print(`knowledge ${manifest.knowledge}; logical hash ${manifest.logical_sha256}`);
}

export function printPartitions(io: Io, { partitions }: DatasetManifest): void {
  if (partitions === undefined || partitions.length < 2) return;
  io.print(
    table(
      ['from', 'to', 'rows', 'observations', 'bytes', 'rows are'],
      partitions.map((entry) => [
        entry.from,
        entry.to,
        entry.rows,
        entry.observations,
        entry.bytes,
        entry.sha256?.slice(0, 16) ?? '-',
      ]),
    ),
  );
}
