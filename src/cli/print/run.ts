import path from 'node:path';
import type { RunResult } from '../../services/apply-plan.js';
import type { Project } from '../../services/project.js';
import type { VerifyResult } from '../../services/verify.js';
import type { Io } from '../io.js';
import { count, metric } from './table.js';

/** Records from outside; what transforms compute from them is not counted twice. */
export function totals(
  project: Project,
  result: RunResult,
): { rows: number; accepted: number; quarantined: number; duplicates: number; dropped: number } {
  const sum = { rows: 0, accepted: 0, quarantined: 0, duplicates: 0, dropped: 0 };
  for (const item of result.ingested) {
    if (project.definitions.sources.get(item.source)?.read.kind === 'transform') continue;
    sum.rows += item.rows;
    sum.accepted += item.accepted;
    sum.quarantined += item.quarantined;
    sum.duplicates += item.duplicates;
    sum.dropped += item.dropped;
  }
  return sum;
}

const HEADLINES = ['auc', 'log_loss', 'rmse', 'r2', 'accuracy'];

export function printSummary(
  io: Io,
  project: Project,
  result: RunResult,
  proof: VerifyResult | null,
  report: string | null,
): void {
  const records = totals(project, result);
  const lines: [string, string][] = [];
  if (result.ingested.length > 0)
    lines.push([
      'records',
      `${count(records.rows)} in = ${count(records.accepted)} accepted + ${count(records.quarantined)} quarantined + ${count(records.duplicates)} duplicates + ${count(records.dropped)} dropped`,
    ]);
  for (const { version, manifest } of result.datasets)
    lines.push([
      'training set',
      `${version.name}@${version.version}: ${count(manifest.counts.rows)} rows (${manifest.parts.map((part) => `${part.name} ${count(part.rows)}`).join(', ')})`,
    ]);
  for (const { version, manifest } of result.models) {
    const part = manifest.metrics['test'] ? 'test' : Object.keys(manifest.metrics)[0]!;
    const metrics = manifest.metrics[part]!;
    lines.push([
      'model',
      `${version.name}@${version.version}: ${part} ${HEADLINES.filter((name) => metrics[name] !== undefined)
        .map((name) => `${name} ${metric(metrics[name])}`)
        .join(', ')}`,
    ]);
  }
  for (const promotion of result.promotions)
    lines.push([
      'promotion',
      promotion.promoted
        ? `${promotion.model}@${promotion.version} is the champion`
        : `${promotion.model}@${promotion.version}${promotion.passed ? '' : promotion.previous === promotion.version ? ', the champion, does not pass its gate' : ' is not promoted'}: ${promotion.reason}`,
    ]);
  for (const monitor of result.monitors)
    lines.push([
      'drift',
      `${monitor.monitor}: ${monitor.verdict}${monitor.alerts.length > 0 ? ` (${monitor.alerts.slice(0, 4).join('; ')}${monitor.alerts.length > 4 ? '; ...' : ''})` : ''}`,
    ]);
  if (proof)
    lines.push([
      'offline = online',
      proof.differing === 0
        ? `equal to the bit on ${count(proof.checked)} values`
        : `${count(proof.differing)} of ${count(proof.checked)} values DIFFER (millrace verify)`,
    ]);
  lines.push(['state', project.stateFolder]);
  if (report) lines.push(['report', report]);
  const service = [...project.definitions.services.keys()][0];
  if (service)
    lines.push([
      'serve it',
      `npx millrace serve --project ${path.relative(process.cwd(), project.folder) || '.'} --port 8080`,
    ]);
  const width = Math.max(...lines.map(([name]) => name.length));
  io.print();
  for (const [name, text] of lines) io.print(`${name.padEnd(width)}  ${text}`);
}
