/** Every logged feature vector recomputed from the log, at its own instant and through the positions it was answered at. */
import { mkdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { type Instant, printInstant } from '../core/base/time.js';
import type { Feature } from '../core/define/types.js';
import { columnValue } from '../core/engine/columns.js';
import {
  expandFeatures,
  type FeatureGroup,
  type FeaturePlan,
  planFeatures,
} from '../core/engine/feature-plan.js';
import { STATUS_NAMES } from '../core/engine/types.js';
import { toJson } from '../core/schema/coerce-print.js';
import type { ObservationTable, OfflineStore } from '../ports/offline-store.js';
import type { LoggedPrediction } from '../ports/prediction-log.js';
import { changedFeatures, definitionsOfModel } from './feature-versions.js';
import { computeFeatures, type FeatureColumn, observationTypes } from './historical.js';
import { manifestOf } from './model-manifest.js';
import { findService } from './predict.js';
import { currentHorizons, type Project } from './project.js';

/**
 * `late_record`, `correction`: a record, or a new version of one, that was appended after the answer and that would
 * have been known at its instant. `expired`: a state that is too old by one reading and not by the other.
 */
export type ReplayCause = 'changed_definition' | 'late_record' | 'correction' | 'expired' | 'unexplained';

export interface ReplayResult {
  readonly service: string;
  readonly predictions: number;
  readonly equal: number;
  readonly different: number;
  readonly values: number;
  readonly causes: Readonly<Partial<Record<ReplayCause, number>>>;
  /** Values that the present log would give otherwise, though the answer was right when it was given. */
  readonly outdated: number;
  /** Why: each of them once. */
  readonly outdated_causes: Readonly<Partial<Record<ReplayCause, number>>>;
  readonly examples: readonly {
    readonly prediction_id: string;
    readonly feature: string;
    readonly logged: unknown;
    readonly recomputed: unknown;
    readonly cause: ReplayCause;
  }[];
}

const quoted = (value: unknown): string =>
  value === null || value === undefined
    ? ''
    : `"${String(typeof value === 'object' ? JSON.stringify(value) : value).replaceAll('"', '""')}"`;

/** What was appended to a source after a position, by the entities that it concerns. */
type Later = ReadonlyMap<string, readonly { readonly availableAt: Instant; readonly correction: boolean }[]>;

const keyText = (values: readonly unknown[]): string => JSON.stringify(values.map(String));

/** A version that moves a record to another entity concerns both. */
async function laterRecords(project: Project, group: FeatureGroup, after: number): Promise<Later> {
  const log = await project.log();
  const { source, keyFields } = group;
  const found = new Map<string, { availableAt: Instant; correction: boolean }[]>();
  const entities = new Map<string, Set<string>>();
  for await (const chunk of log.read(source, 0, Number.MAX_SAFE_INTEGER))
    for (const { fields, seq, availableAt } of chunk) {
      const record = keyText(source.recordKey.map((name) => fields[name]));
      const before = entities.get(record);
      const of = (before ?? new Set()).add(keyText(keyFields.map((name) => fields[name])));
      entities.set(record, of);
      if (seq <= after) continue;
      for (const entity of of) {
        const list = found.get(entity) ?? [];
        list.push({ availableAt, correction: before !== undefined });
        found.set(entity, list);
      }
    }
  return found;
}

const TIME = '__as_of';
const BATCH = 50_000;

export async function replayService(
  project: Project,
  name: string,
  options: { readonly since?: Instant | undefined },
): Promise<ReplayResult> {
  const service = findService(project, name);
  const registry = await project.registry();
  const folder = path.join(project.stateFolder, 'tmp');
  await mkdir(folder, { recursive: true });
  const file = path.join(folder, `replay-${process.pid}.csv`);
  const store = await project.offline();
  const causes: Partial<Record<ReplayCause, number>> = {};
  const examples: ReplayResult['examples'][number][] = [];
  const outdatedCauses: Partial<Record<ReplayCause, number>> = {};
  let [predictions, equal, different, values, outdated] = [0, 0, 0, 0, 0];

  const check = async (batch: readonly LoggedPrediction[]): Promise<void> => {
    const first = batch[0]!;
    const [modelName, version] = first.model.split('@');
    const trained = registry.version('model', modelName!, Number(version));
    // By the definitions that the model has; where they are gone, by the present ones.
    const { definitions } = trained
      ? await definitionsOfModel(project, first.model, manifestOf(trained)).catch(() => project)
      : project;
    const features = Object.keys(first.features).filter((feature) => definitions.features.has(feature));
    const plan = planFeatures(definitions, expandFeatures(definitions, features));
    const changed = new Set(trained ? changedFeatures(definitions, manifestOf(trained)) : []);
    const renewed = new Set(trained ? changedFeatures(project.definitions, manifestOf(trained)) : []);
    const columns = [
      ...plan.joinKeys.map((key) => ({ name: key.name, of: 'entity' as const })),
      ...plan.requestFields.map((field) => ({ name: field.name, of: 'request' as const })),
    ];
    const lines = batch.map((item) =>
      [
        ...columns.map((column) => quoted(item[column.of][column.name])),
        quoted(printInstant(item.as_of)),
      ].join(','),
    );
    await writeFile(
      file,
      `${[...columns.map((column) => quoted(column.name)), TIME].join(',')}\n${lines.join('\n')}\n`,
    );
    const table = await store.observationsFromFile(file, {
      time: TIME,
      timezone: 'UTC',
      types: observationTypes(plan),
    });
    try {
      const now = await currentHorizons(
        project,
        plan.groups.map((group) => group.source.name),
      );
      const then = new Map(
        [...now].map(([source, seq]) => [source, Math.min(seq, first.applied[source] ?? seq)]),
      );
      const computed = await computeFeatures(store, table, plan, {
        horizons: then,
        knowledge: 'as_of',
        project,
      });
      const moved = [...now].some(([source, seq]) => seq !== then.get(source));
      const latest = moved
        ? await computeFeatures(store, table, plan, { horizons: now, knowledge: 'as_of', project })
        : computed;
      // A value by the model's own definition is right; that the project has another one now makes it outdated.
      const redefined = await otherwise(store, table, plan, [...renewed], now);
      const present = latest.map((item) => redefined.get(item.feature.name) ?? item);
      const later = new Map<FeatureGroup, Promise<Later>>();
      const laterOf = (group: FeatureGroup): Promise<Later> => {
        const known = later.get(group) ?? laterRecords(project, group, then.get(group.source.name) ?? 0);
        later.set(group, known);
        return known;
      };
      /** Groups that a feature reads, directly or through others. */
      const groupsOf = (feature: Feature): FeatureGroup[] => [
        ...plan.groups.filter((group) => group.features.includes(feature)),
        ...feature.dependsOn.flatMap((name) => groupsOf(definitions.features.get(name)!)),
      ];
      const arrived = async (feature: Feature, item: LoggedPrediction): Promise<ReplayCause> => {
        let cause: ReplayCause = 'unexplained';
        for (const group of groupsOf(feature)) {
          const entity = keyText(group.joinKeys.map(({ name: key }) => item.entity[key]));
          for (const { availableAt, correction } of (await laterOf(group)).get(entity) ?? []) {
            if (availableAt > item.as_of) continue;
            if (correction) return 'correction';
            cause = 'late_record';
          }
        }
        return cause;
      };
      for (const [row, item] of batch.entries()) {
        let same = true;
        for (const [i, { feature, column, status }] of computed.entries()) {
          values++;
          const logged = JSON.stringify(item.features[feature.name] ?? null);
          const again = toJson(feature.valueType, columnValue(column, row));
          const current = present[i]!;
          const nowValue = JSON.stringify(
            toJson(current.feature.valueType, columnValue(current.column, row)) ?? null,
          );
          const expired = (codes: Uint8Array): boolean =>
            (STATUS_NAMES[codes[row]!] === 'expired') !== (item.statuses[feature.name] === 'expired');
          const why = async (codes: Uint8Array, by: ReadonlySet<string>): Promise<ReplayCause> =>
            by.has(feature.name) ? 'changed_definition' : expired(codes) ? 'expired' : arrived(feature, item);
          if (nowValue !== logged) {
            outdated++;
            const cause = await why(current.status, renewed);
            outdatedCauses[cause] = (outdatedCauses[cause] ?? 0) + 1;
          }
          if (JSON.stringify(again ?? null) === logged) continue;
          same = false;
          const cause = await why(status, changed);
          causes[cause] = (causes[cause] ?? 0) + 1;
          if (examples.length < 100)
            examples.push({
              prediction_id: item.prediction_id,
              feature: feature.name,
              logged: item.features[feature.name] ?? null,
              recomputed: again,
              cause,
            });
        }
        predictions++;
        if (same) equal++;
        else different++;
      }
    } finally {
      await store.release(table);
    }
  };

  /** Features of the project by its present definitions, where they take what the logged ones took. */
  const otherwise = async (
    from: OfflineStore,
    table: ObservationTable,
    plan: FeaturePlan,
    wanted: readonly string[],
    horizons: ReadonlyMap<string, number>,
  ): Promise<ReadonlyMap<string, FeatureColumn>> => {
    const { definitions } = project;
    const names = wanted.filter((each) => definitions.features.has(each));
    const given = new Set([...plan.joinKeys, ...plan.requestFields].map((field) => field.name));
    const found = new Map<string, FeatureColumn>();
    for (const each of names) {
      const own = planFeatures(definitions, expandFeatures(definitions, [each]));
      if (![...own.joinKeys, ...own.requestFields].every((field) => given.has(field.name))) continue;
      const through = new Map([
        ...(await currentHorizons(
          project,
          own.groups.map((group) => group.source.name),
        )),
        ...horizons,
      ]);
      const [item] = await computeFeatures(from, table, own, {
        horizons: through,
        knowledge: 'as_of',
        project,
      });
      found.set(each, item!);
    }
    return found;
  };

  try {
    let batch: LoggedPrediction[] = [];
    let key = '';
    for await (const prediction of project
      .predictions()
      .predictions(service.name, options.since === undefined ? {} : { since: options.since })) {
      // One recomputation serves every neighbour that was answered by the same model through the same positions.
      const own = JSON.stringify([prediction.model, prediction.applied]);
      if (batch.length > 0 && (own !== key || batch.length >= BATCH)) {
        await check(batch);
        batch = [];
      }
      key = own;
      batch.push(prediction);
    }
    if (batch.length > 0) await check(batch);
  } finally {
    await rm(file, { force: true });
  }
  return {
    service: service.name,
    predictions,
    equal,
    different,
    values,
    causes,
    outdated,
    outdated_causes: outdatedCauses,
    examples,
  };
}
