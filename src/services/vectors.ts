/** The vectors that searches go through: of the log for observations, of the online store for requests. */
import type { Source } from '../core/define/types.js';
import type { FeatureGroup, FeaturePlan, Indexes, SearchFeature } from '../core/engine/feature-plan.js';
import { intervals } from '../core/engine/intervals.js';
import { type KnownState, type VectorIndex, vectorIndex } from '../core/engine/neighbours.js';
import type { OnlineGroup } from '../core/engine/online/index.js';
import { compileJsRow } from '../core/expression/index.js';
import type { Value } from '../core/schema/types.js';
import type { OnlineStore } from '../ports/online-store.js';
import type { LogRecord } from '../ports/record-log.js';
import type { Project } from './project.js';

type Fields = Readonly<Record<string, Value>>;

/** Searches over the same vectors share an index. */
const indexName = ({ computation }: SearchFeature): string =>
  JSON.stringify([computation.key, computation.field, computation.where?.canonical ?? null]);

function eachIndex(
  searches: readonly SearchFeature[],
  build: (search: SearchFeature, accepts: (fields: Fields) => boolean) => VectorIndex,
): [string, VectorIndex][] {
  const built = new Map<string, VectorIndex>();
  return searches.map((search) => {
    const name = indexName(search);
    let index = built.get(name);
    if (!index) {
      const where = search.computation.where && compileJsRow(search.computation.where);
      index = build(search, (fields) => where === null || where(fields) === true);
      built.set(name, index);
    }
    return [search.name, index];
  });
}

/** The versions of each record key of a source up to a position. */
async function versionsOf(
  project: Pick<Project, 'log'>,
  source: Source,
  through: number,
): Promise<readonly (readonly LogRecord[])[]> {
  const log = await project.log();
  const byKey = new Map<string, LogRecord[]>();
  for await (const chunk of log.read(source, 0, through))
    for (const record of chunk) {
      const key = JSON.stringify(source.recordKey.map((field) => String(record.fields[field])));
      const versions = byKey.get(key);
      if (versions) versions.push(record);
      else byKey.set(key, [record]);
    }
  return [...byKey.values()];
}

/** Indexes of a plan's searches over the log up to the horizons. */
export async function offlineIndexes(
  project: Pick<Project, 'log'>,
  plan: FeaturePlan,
  horizons: ReadonlyMap<string, number>,
  knowledge: 'as_of' | 'hindsight',
): Promise<Indexes> {
  const indexes = new Map<string, VectorIndex>();
  for (const { source, searches } of plan.groups) {
    if (searches.length === 0) continue;
    const versions = await versionsOf(project, source, horizons.get(source.name) ?? 0);
    const known = versions.flatMap((list) => intervals(list));
    for (const [name, index] of eachIndex(searches, ({ computation: { key, field } }, accepts) => {
      const states = known
        .filter(({ version }) => accepts(version.fields))
        .map(
          ({ version, from, until }): KnownState => ({
            key: version.fields[key] ?? null,
            validFrom: version.eventTime,
            from,
            until,
            availableAt: version.availableAt,
            order: version.order,
            seq: version.seq,
            vector: (version.fields[field] ?? null) as readonly number[] | null,
          }),
        );
      return vectorIndex(states, knowledge, source.sequence !== undefined);
    }))
      indexes.set(name, index);
  }
  return indexes;
}

/** Indexes over what the online store holds now; those of a group are built again when it has applied more. */
export function onlineIndexes(
  store: OnlineStore,
  groups: readonly { readonly group: FeatureGroup; readonly online: OnlineGroup }[],
): () => Indexes {
  const searched = groups.filter(({ group }) => group.searches.length > 0);
  const held = new Map<
    string,
    { readonly seq: number; readonly indexes: readonly [string, VectorIndex][] }
  >();
  const indexesOf = ({ group, online }: (typeof searched)[number]): readonly [string, VectorIndex][] => {
    const seq = store.applied(online)?.seq ?? 0;
    const present = held.get(group.id);
    if (present?.seq === seq) return present.indexes;
    const entities = [...store.dump(online)];
    const place = new Map(online.fields.map((field, i) => [field.name, i]));
    const indexes = eachIndex(group.searches, ({ computation: { field } }, accepts) => {
      const states: KnownState[] = [];
      for (const { key, events } of entities)
        for (const { eventTime, from, until, order, seq: at, values } of events) {
          const fields = Object.fromEntries(online.fields.map(({ name }, i) => [name, values[i] ?? null]));
          if (!accepts(fields)) continue;
          const vector = (values[place.get(field)!] ?? null) as readonly number[] | null;
          states.push({
            key: key[0]!,
            validFrom: eventTime,
            from,
            until,
            availableAt: from,
            order,
            seq: at,
            vector,
          });
        }
      return vectorIndex(states, 'as_of', online.sequenced);
    });
    held.set(group.id, { seq, indexes });
    return indexes;
  };
  return () => new Map(searched.flatMap(indexesOf));
}
