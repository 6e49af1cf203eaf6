/** What would let the future into a training set, told from the observations and from what was known at them. */
import { randomUUID } from 'node:crypto';
import { mkdir, rm } from 'node:fs/promises';
import path from 'node:path';
import { printInstant } from '../core/base/time.js';
import { type LeakageFinding, sourceAncestors } from '../core/dataset/leakage.js';
import type { Dataset, Feature, Label } from '../core/define/types.js';
import { columnValue } from '../core/engine/columns.js';
import type { FeaturePlan } from '../core/engine/feature-plan.js';
import type { Column } from '../core/engine/types.js';
import { areaUnderRoc } from '../core/learn/metrics.js';
import type { ObservationTable, OfflineStore } from '../ports/offline-store.js';
import { type Project, stopIfInterrupted } from './project.js';

/** Shares of observations whose own record is known only later: beyond them the feature is flagged, or refused. */
const OWN_RECORD_FLAGGED = 0.01;
const OWN_RECORD_REFUSED = 0.2;

/** Of the records that exist once for an observation: 0 there is none, 1 known at it, 2 known only after it. */
export type OwnRecords = ReadonlyMap<string, Uint8Array>;

/** By source, for the sources that hold a record of each observation. */
export async function findOwnRecords(
  project: Project,
  store: OfflineStore,
  table: ObservationTable,
  dataset: Dataset,
  plan: FeaturePlan,
  horizons: ReadonlyMap<string, number>,
): Promise<OwnRecords> {
  const found = new Map<string, Uint8Array>();
  const label = dataset.label === null ? null : project.definitions.labels.get(dataset.label)!;
  const columns = new Set(table.columns.map((column) => column.name));
  const observed = dataset.observations.from;
  for (const { source, keyFields } of plan.groups) {
    const own =
      source.name !== label?.source &&
      !(observed.kind === 'source' && observed.source === source.name) &&
      source.recordKey.length === keyFields.length &&
      source.recordKey.every((key) => keyFields.includes(key) && columns.has(key));
    if (!own || source.kind === 'states' || found.has(source.name)) continue;
    const outcome = await store.outcomes(table, source, horizons.get(source.name) ?? 0, null);
    found.set(
      source.name,
      Uint8Array.from(outcome.found, (is, i) => (is ? (outcome.availableAt[i]! > table.at[i]! ? 2 : 1) : 0)),
    );
  }
  return found;
}

/** Records that exist once for an observation, yet are written only after it, can never be served. */
export function auditOwnRecords(
  plan: FeaturePlan,
  counts: ReadonlyMap<string, readonly [late: number, total: number]>,
): LeakageFinding[] {
  return [...counts].flatMap(([source, [late, total]]) =>
    total === 0 || late / total < OWN_RECORD_FLAGGED
      ? []
      : plan.groups
          .filter((group) => group.source.name === source)
          .flatMap((group) => group.features)
          .map(
            (feature): LeakageFinding => ({
              rule: 'known_too_late',
              severity: late / total < OWN_RECORD_REFUSED ? 'warn' : 'refuse',
              feature: feature.name,
              message: `feature ${feature.name} reads the observation's own record in ${source}, which becomes known only after the observation for ${late} of ${total} observations`,
              remedy: 'leave it out, or move the observation time to when it is known',
            }),
          ),
  );
}

/** Outcomes that were known at or before their observation: of `total` outcomes that are labels. */
export function auditOutcomes(label: Label, known: number, total: number): LeakageFinding[] {
  if (label.kind !== 'record' || total === 0 || known / total <= 0.01) return [];
  return [
    {
      rule: 'outcome_known_before',
      severity: known / total > 0.5 ? 'refuse' : 'warn',
      feature: null,
      message: `${label.source} says that ${known} of ${total} outcomes were known at or before their observation; a feature over it would see the answer`,
      remedy: `declare \`available_at\` on source ${label.source} with the instant at which an outcome is known`,
    },
  ];
}

/** Observation instants at which transforms are held to their word. */
const PROBES = [0.25, 0.5, 0.75];

/**
 * A transform says when each of its records could be known. At an instant, its query over what was known then must
 * give what it claims was known then; where it does not, its features see the future through it.
 */
export async function auditTransforms(
  project: Project,
  store: OfflineStore,
  table: ObservationTable,
  plan: FeaturePlan,
  horizons: ReadonlyMap<string, number>,
): Promise<LeakageFinding[]> {
  const { sources } = project.definitions;
  const transforms = [
    ...new Set(plan.groups.flatMap((group) => [...sourceAncestors(project.definitions, group.source.name)])),
  ].filter((name) => sources.get(name)!.read.kind === 'transform');
  if (transforms.length === 0) return [];
  const times = Float64Array.from(table.at).sort();
  const instants = [
    ...new Set(
      times.length === 0 ? [] : PROBES.map((share) => times[Math.floor(share * (times.length - 1))]!),
    ),
  ];
  const folder = path.join(project.stateFolder, 'tmp');
  await mkdir(folder, { recursive: true });
  const scratches: string[] = [];
  const findings: LeakageFinding[] = [];
  try {
    for (const name of transforms) {
      const source = sources.get(name)!;
      if (source.read.kind !== 'transform') continue;
      const parents = source.read.parents.map((parent) => sources.get(parent)!);
      let [lies, wrong, records] = [0, 0, 0];
      let first: number | undefined;
      for (const at of instants) {
        stopIfInterrupted(project);
        // A name used once: DuckDB remembers the statistics of a file by its name and the second of its change.
        const scratch = path.join(folder, `claims-${randomUUID()}.parquet`);
        scratches.push(scratch);
        const claims = await store.claimsAt(source, parents, horizons, at, scratch);
        records += claims.records;
        wrong += claims.wrong;
        if (claims.wrong > 0) first ??= at;
        if (claims.newestWrong * 2 > claims.newest) lies++;
      }
      if (first === undefined) continue;
      const refused = lies * 2 > instants.length;
      for (const group of plan.groups) {
        if (!sourceAncestors(project.definitions, group.source.name).has(name)) continue;
        for (const feature of group.features)
          findings.push({
            rule: 'known_too_early',
            severity: refused ? 'refuse' : 'warn',
            feature: feature.name,
            message: `feature ${feature.name} reads ${name}, of which ${wrong} of ${records} records claim to be known when they were not: at ${printInstant(first)} the query of ${name} gave other values from what was known then`,
            remedy: `let \`available_at\` of ${name} be the instant at which the last of its inputs was known, for example max("_available_at") in its query`,
          });
      }
    }
  } finally {
    for (const scratch of scratches) await rm(scratch, { force: true });
  }
  return findings;
}

/** A numeric feature that tells a binary label almost alone is more often a leak than a discovery. */
export function auditAlone(
  features: readonly { readonly feature: Feature; readonly column: Column }[],
  label: Column,
  rows: readonly number[],
): LeakageFinding[] {
  if (label.type.kind !== 'boolean') return [];
  const findings: LeakageFinding[] = [];
  for (const { feature, column } of features) {
    if (column.kind !== 'numbers') continue;
    const used = rows.filter((row) => columnValue(column, row) !== null);
    if (used.length < 100) continue;
    const labels = Float64Array.from(used, (row) => (columnValue(label, row) === true ? 1 : 0));
    const scores = Float64Array.from(used, (row) => Number(columnValue(column, row)));
    const auc = areaUnderRoc(labels, scores);
    if (auc === null) continue;
    const strength = Math.max(auc, 1 - auc);
    if (strength > 0.95)
      findings.push({
        rule: 'predicts_alone',
        severity: 'warn',
        feature: feature.name,
        message: `feature ${feature.name} alone separates the label with AUC ${strength.toFixed(3)}`,
        remedy: 'check that it is known at the observation time and is no form of the outcome',
      });
  }
  return findings;
}
