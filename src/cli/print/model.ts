import type { VersionRecord } from '../../ports/registry.js';
import { type ModelManifest, manifestOf } from '../../services/model-manifest.js';
import type { Notes } from '../../services/model-notes.js';
import type { Io } from '../io.js';
import { metric, table } from './table.js';

export const MAIN_METRICS = [
  'auc',
  'average_precision',
  'log_loss',
  'brier',
  'ece',
  'accuracy',
  'macro_f1',
  'rmse',
  'mae',
  'r2',
];

export function printVersion(io: Io, version: VersionRecord, champion: number | undefined): void {
  const manifest = manifestOf(version);
  io.print(
    `${version.name}@${version.version}${champion === version.version ? '  (champion)' : ''}  ${manifest.trainer.kind}, dataset ${manifest.dataset.name}@${manifest.dataset.version}`,
  );
  const parts = Object.keys(manifest.metrics);
  const names = MAIN_METRICS.filter((name) =>
    parts.some((part) => manifest.metrics[part]![name] !== undefined),
  );
  io.print(
    table(
      ['part', ...names],
      parts.map((part) => [part, ...names.map((name) => metric(manifest.metrics[part]![name]))]),
    ),
  );
}

export const tagsText = ({ tags }: Notes): string =>
  Object.entries(tags)
    .map(([name, value]) => (value === '' ? name : `${name}=${value}`))
    .join(' ');

export function mainMetric({ metrics }: ModelManifest): string {
  const test = metrics['test'] ?? {};
  const name = MAIN_METRICS.find((candidate) => test[candidate] !== undefined);
  return name ? `${name} ${metric(test[name])}` : '-';
}
