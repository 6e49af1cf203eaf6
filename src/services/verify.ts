/** Offline = online, on the project's own data: the same features at the same instants by both paths, bit for bit. */
import path from 'node:path';
import { MillraceError } from '../core/base/error.js';
import { printInstant } from '../core/base/time.js';
import type { Dataset, Definitions, Feature, Source } from '../core/define/types.js';
import { columnValue } from '../core/engine/columns.js';
import { expandFeatures, type FeaturePlan, planFeatures } from '../core/engine/feature-plan.js';
import { STATUS_NAMES } from '../core/engine/types.js';
import type { Expression } from '../core/expression/index.js';
import { toJson } from '../core/schema/coerce-print.js';
import { sameType, type Value } from '../core/schema/types.js';
import type { ObservationTable, OfflineStore } from '../ports/offline-store.js';
import { computeFeatures, observationTypes } from './historical.js';
import { materialize } from './materialize.js';
import { currentHorizons, type Project } from './project.js';
import { createFeatureReader } from './serve.js';

export interface Difference {
  /** The dataset, or the source, at whose observations it was found. */
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
  /** Features that were not compared: no observations have their keys and request fields. */
  readonly unverified: readonly string[];
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
  /** Absent: those of datasets, and all that nothing else is computed from. */
  readonly features?: readonly string[];
  /** Observations to compare for each set of observations; null: all. */
  readonly sample: number | null;
  readonly seed: number;
}

/** Where features are compared: at the observations of a dataset, or at the records of a source. */
interface Place {
  readonly name: string;
  readonly features: readonly string[];
  open(store: OfflineStore, plan: FeaturePlan): Promise<ObservationTable>;
}

async function recordsAt(
  project: Project,
  store: OfflineStore,
  source: Source,
  time: string,
  where: Expression | null,
): Promise<ObservationTable> {
  const horizons = await currentHorizons(project, [source.name]);
  return store.observationsFromSource(source, horizons.get(source.name)!, { time, where });
}

function observationsOf(project: Project, dataset: Dataset): Place['open'] {
  const { from, time, where } = dataset.observations;
  const { sources, settings } = project.definitions;
  if (from.kind === 'source')
    return (store) => recordsAt(project, store, sources.get(from.source)!, time, where);
  return (store, plan) =>
    store.observationsFromFile(path.resolve(project.folder, from.path), {
      time,
      timezone: settings.timezone,
      types: observationTypes(plan),
    });
}

/** The source whose records carry all that a feature is asked by: its own first; undefined: there is none. */
function sourceFor({ definitions }: Project, feature: Feature): Source | undefined {
  const { groups, joinKeys, requestFields } = planFeatures(definitions, [feature]);
  const carries = ({ fields }: Source): boolean =>
    [...joinKeys, ...requestFields].every(({ name, type }) =>
      fields.some((field) => field.name === name && sameType(field.type, type)),
    );
  return [...groups.map(({ source }) => source), ...definitions.sources.values()].find(carries);
}

/**
 * The observations of the datasets come first, since a wrong value would do harm there. Features that no dataset has are
 * compared at the records of a source.
 */
function placesToCompare(
  project: Project,
  names: readonly string[],
): { readonly places: readonly Place[]; readonly left: readonly string[] } {
  const { definitions } = project;
  const { datasets, features } = definitions;
  const places = new Map<string, Place>();
  const covered = new Set<string>();
  for (const dataset of datasets.values()) {
    const reached = planFeatures(definitions, expandFeatures(definitions, dataset.features)).closure;
    const wanted = names.filter((name) => reached.some((feature) => feature.name === name));
    if (wanted.length === 0) continue;
    for (const name of wanted) covered.add(name);
    const { from, time } = dataset.observations;
    const id = JSON.stringify([from, time, wanted]);
    if (!places.has(id))
      places.set(id, { name: dataset.name, features: wanted, open: observationsOf(project, dataset) });
  }
  const bySource = new Map<Source, string[]>();
  const left: string[] = [];
  for (const name of names) {
    if (covered.has(name)) continue;
    const source = sourceFor(project, features.get(name)!);
    if (source === undefined) left.push(name);
    else bySource.set(source, [...(bySource.get(source) ?? []), name]);
  }
  return {
    places: [
      ...places.values(),
      ...[...bySource].map(([source, features]) => ({
        name: source.name,
        features,
        open: (store: OfflineStore) => recordsAt(project, store, source, source.eventTime, null),
      })),
    ],
    left,
  };
}

/** Features of datasets, and what nothing else is computed from: the others are compared through these. */
function featuresInUse({ datasets, features }: Definitions): string[] {
  const trained = new Set([...datasets.values()].flatMap((dataset) => dataset.features));
  const inputs = new Set([...features.values()].flatMap(({ dependsOn }) => dependsOn));
  return [...features.keys()].filter((name) => trained.has(name) || !inputs.has(name));
}

export async function verify(project: Project, options: VerifyOptions): Promise<VerifyResult> {
  await materialize(project);
  const offline = await project.offline();
  const online = await project.online();
  const asked = options.features ?? featuresInUse(project.definitions);
  const { places, left } = placesToCompare(
    project,
    expandFeatures(project.definitions, asked).map(({ name }) => name),
  );
  if (places.length === 0)
    throw new MillraceError('USAGE', 'there are no observations to verify at', {
      hint: 'Define a dataset whose observations have the keys and request fields of the features.',
    });
  let checked = 0;
  let differing = 0;
  let observations = 0;
  const differences: Difference[] = [];
  const names = new Set<string>();
  for (const { name, features, open } of places) {
    const plan = planFeatures(project.definitions, expandFeatures(project.definitions, features));
    const table = await offline.sample(await open(offline, plan), options.sample, options.seed);
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
    unverified: left,
    differences,
    at: printInstant(project.now()),
  };
  (await project.registry()).setFact('verify', result);
  return result;
}
