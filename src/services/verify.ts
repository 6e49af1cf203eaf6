/** Offline = online, on the project's own data: the same features at the same instants by both paths, bit for bit. */
import { MillraceError } from '../core/base/error.js';
import { printInstant } from '../core/base/time.js';
import { columnValue } from '../core/engine/columns.js';
import { expandFeatures, planFeatures } from '../core/engine/feature-plan.js';
import { STATUS_NAMES } from '../core/engine/types.js';
import { toJson } from '../core/schema/coerce-print.js';
import type { Value } from '../core/schema/types.js';
import type { ObservationTable, OfflineStore } from '../ports/offline-store.js';
import { computeFeatures, currentHorizons } from './historical.js';
import { materialize } from './materialize.js';
import type { Project } from './project.js';
import { createFeatureReader } from './serve.js';

export interface Difference {
  readonly dataset: string;
  readonly feature: string;
  readonly at: string;
  readonly entity: Readonly<Record<string, unknown>>;
  readonly offline: unknown;
  readonly online: unknown;
  readonly offline_status: string;
  readonly online_status: string;
}

export interface VerifyResult {
  readonly features: number;
  readonly observations: number;
  /** Values compared. */
  readonly checked: number;
  readonly differing: number;
  /** The first hundred. */
  readonly differences: readonly Difference[];
  readonly at: string;
}

/** The same bits: numbers by Object.is, everything else by content. */
export function sameValue(a: Value, b: Value): boolean {
  if (Object.is(a, b)) return true;
  if (Array.isArray(a) && Array.isArray(b))
    return a.length === b.length && a.every((item, i) => sameValue(item as Value, b[i] as Value));
  if (a instanceof Map && b instanceof Map)
    return a.size === b.size && [...a].every(([key, item]) => b.has(key) && sameValue(item, b.get(key)!));
  return false;
}

export interface VerifyOptions {
  readonly features?: readonly string[];
  /** Observations to compare for each set of observations; null: all. */
  readonly sample: number | null;
  readonly seed: number;
}

/** Observations that the project's datasets are built on: where a wrong value would do harm. */
async function observationTables(
  project: Project,
  store: OfflineStore,
  options: VerifyOptions,
): Promise<{ name: string; table: ObservationTable; features: string[] }[]> {
  const found: { name: string; table: ObservationTable; features: string[] }[] = [];
  const seen = new Set<string>();
  for (const dataset of project.definitions.datasets.values()) {
    const from = dataset.observations.from;
    const wanted = options.features
      ? expandFeatures(project.definitions, options.features).map((feature) => feature.name)
      : [...dataset.features];
    const id = JSON.stringify([from, dataset.observations.time, wanted]);
    if (seen.has(id)) continue;
    seen.add(id);
    if (from.kind !== 'source') continue;
    const source = project.definitions.sources.get(from.source)!;
    const horizons = await currentHorizons(project, [source.name]);
    const table = await store.observationsFromSource(source, horizons.get(source.name)!, {
      time: dataset.observations.time,
      where: dataset.observations.where,
    });
    found.push({
      name: dataset.name,
      table: await store.sample(table, options.sample, options.seed),
      features: wanted,
    });
  }
  return found;
}

export async function verify(project: Project, options: VerifyOptions): Promise<VerifyResult> {
  await materialize(project);
  const offline = await project.offline();
  const online = await project.online();
  const tables = await observationTables(project, offline, options);
  if (tables.length === 0)
    throw new MillraceError('USAGE', 'there are no observations to verify at', {
      hint: 'Define a dataset whose observations come from a source.',
    });
  let checked = 0;
  let differing = 0;
  let observations = 0;
  const differences: Difference[] = [];
  const names = new Set<string>();
  for (const { name, table, features } of tables) {
    const plan = planFeatures(project.definitions, expandFeatures(project.definitions, features));
    const horizons = await currentHorizons(
      project,
      plan.groups.map((group) => group.source.name),
    );
    project.progress({
      step: 'verify',
      message: `${name}: ${plan.outputs.length} features at ${table.rows} observations`,
    });
    const computed = await computeFeatures(offline, table, plan, { horizons, knowledge: 'as_of', project });
    const reader = createFeatureReader(online, plan, project);
    const keys = await Promise.all(
      plan.joinKeys.map(async (key) => ({ key, column: await offline.column(table, key.name, key.type) })),
    );
    const fields = await Promise.all(
      plan.requestFields.map(async (field) => ({
        field,
        column: await offline.column(table, field.name, field.type),
      })),
    );
    observations += table.rows;
    for (let row = 0; row < table.rows; row++) {
      const entity = Object.fromEntries(keys.map(({ key, column }) => [key.name, columnValue(column, row)]));
      const request = Object.fromEntries(
        fields.map(({ field, column }) => [`request.${field.name}`, columnValue(column, row)]),
      );
      const [answer] = reader.read([entity], [request], table.at[row]!).rows;
      for (const { feature, column, status } of computed) {
        names.add(feature.name);
        checked++;
        const expected = columnValue(column, row);
        const got = answer!.slots[feature.name] ?? null;
        const expectedStatus = STATUS_NAMES[status[row]!]!;
        const gotStatus = answer!.statuses[feature.name]!;
        if (sameValue(expected, got) && expectedStatus === gotStatus) continue;
        differing++;
        if (differences.length < 100)
          differences.push({
            dataset: name,
            feature: feature.name,
            at: printInstant(table.at[row]!),
            entity: Object.fromEntries(
              keys.map(({ key }) => [key.name, toJson(key.type, entity[key.name]!)]),
            ),
            offline: toJson(feature.valueType, expected),
            online: toJson(feature.valueType, got),
            offline_status: expectedStatus,
            online_status: gotStatus,
          });
      }
    }
    await offline.release(table);
  }
  const result: VerifyResult = {
    features: names.size,
    observations,
    checked,
    differing,
    differences,
    at: printInstant(project.now()),
  };
  (await project.registry()).setFact('verify', result);
  return result;
}
