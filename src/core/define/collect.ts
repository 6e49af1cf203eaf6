/** Definitions as written, by kind and name. */
import type { Diagnostic } from '../base/error.js';
import { printPlace } from '../base/error.js';
import type { Node } from './node.js';
import { createReport } from './report.js';
import { type Located, type ObjectPlaces, type Out, read } from './shape.js';
import type { featureSetShape, featureShape } from './shapes/feature.js';
import type { monitorShape, scheduleShape, sensorShape, serviceShape } from './shapes/operation.js';
import type { entityShape, sourceShape, transformShape } from './shapes/source.js';
import type { datasetShape, labelShape, modelShape } from './shapes/training.js';
import { definitionFileShape, type ListKey, listKeys, projectFileShape } from './shapes.js';
import type { Documentation } from './types.js';

/** One YAML document or the exports of one TypeScript file, as a tree. */
export interface DefinitionInput {
  readonly root: Node;
  /** millrace.yaml: settings may stand here. */
  readonly settings: boolean;
  readonly typescript: boolean;
}

export type RawSettings = Out<typeof projectFileShape>;

export interface RawDefinitions {
  readonly settings: readonly RawSettings[];
  readonly entities: ReadonlyMap<string, Out<typeof entityShape>>;
  readonly sources: ReadonlyMap<string, Out<typeof sourceShape>>;
  readonly transforms: ReadonlyMap<string, Out<typeof transformShape>>;
  readonly features: ReadonlyMap<string, Out<typeof featureShape>>;
  readonly featureSets: ReadonlyMap<string, Out<typeof featureSetShape>>;
  readonly labels: ReadonlyMap<string, Out<typeof labelShape>>;
  readonly datasets: ReadonlyMap<string, Out<typeof datasetShape>>;
  readonly models: ReadonlyMap<string, Out<typeof modelShape>>;
  readonly services: ReadonlyMap<string, Out<typeof serviceShape>>;
  readonly monitors: ReadonlyMap<string, Out<typeof monitorShape>>;
  readonly schedules: ReadonlyMap<string, Out<typeof scheduleShape>>;
  readonly sensors: ReadonlyMap<string, Out<typeof sensorShape>>;
}

const SINGULAR: Readonly<Record<ListKey, string>> = {
  entities: 'entity',
  sources: 'source',
  transforms: 'transform',
  features: 'feature',
  feature_sets: 'feature set',
  labels: 'label',
  datasets: 'dataset',
  models: 'model',
  services: 'service',
  monitors: 'monitor',
  schedules: 'schedule',
  sensors: 'sensor',
};

/** Kinds that share one space of names: a transform is a source, a set stands wherever features are listed, and
 * schedules and sensors are asked for by name. */
const NAME_SPACES: Readonly<Partial<Record<ListKey, string>>> = {
  transforms: 'sources',
  feature_sets: 'features',
  sensors: 'schedules',
};

/** Kinds whose names are folders and tables. */
const FOLDED: ReadonlySet<ListKey> = new Set(['sources', 'transforms']);

interface RawItem {
  readonly name?: Located<string>;
  readonly $: ObjectPlaces;
}

export function collect(inputs: readonly DefinitionInput[], diagnostics: Diagnostic[]): RawDefinitions {
  const report = createReport(diagnostics);
  const byKind = new Map<ListKey, Map<string, RawItem>>();
  const kinds = Object.keys(listKeys) as ListKey[];
  for (const kind of kinds) byKind.set(kind, new Map());
  const taken = new Map<string, { readonly item: RawItem; readonly kind: ListKey }>();
  const folded = new Map<string, Located<string>>();
  const settings: RawSettings[] = [];

  for (const input of inputs) {
    if (input.root.kind === 'scalar' && input.root.value === null) continue;
    const context = { diagnostics, typescript: input.typescript };
    if (input.settings) {
      const raw = read(pick(input.root, kinds, false), projectFileShape, 'the file', context);
      if (raw) settings.push(raw);
    }
    const root = pick(input.root, kinds, true, input.settings);
    const file = root.kind === 'map' ? labelled(root) : root;
    const lists = read(file, definitionFileShape, 'the file', context);
    if (!lists) continue;
    for (const kind of kinds) {
      for (const item of (lists[kind] ?? []) as readonly RawItem[]) {
        if (!item.name) continue;
        const space = `${NAME_SPACES[kind] ?? kind}\0${item.name.value}`;
        const earlier = taken.get(space);
        if (earlier) {
          const first = printPlace(earlier.item.name!.place);
          const other = earlier.kind === kind ? '' : ` as a ${SINGULAR[earlier.kind]}`;
          report.add(
            'DEF_DUPLICATE_NAME',
            item.name.place,
            `the ${SINGULAR[kind]} \`${item.name.value}\` is defined twice: first${other} at ${first}`,
            { hint: 'Rename or remove one of them.' },
          );
          continue;
        }
        if (FOLDED.has(kind)) {
          const like = folded.get(item.name.value.toLowerCase());
          folded.set(item.name.value.toLowerCase(), item.name);
          if (like) {
            report.add(
              'DEF_DUPLICATE_NAME',
              item.name.place,
              `the sources \`${like.value}\` and \`${item.name.value}\` differ only in case: first at ${printPlace(like.place)}`,
              { hint: 'Rename one of them: SQL and some file systems do not tell them apart.' },
            );
          }
        }
        taken.set(space, { item, kind });
        byKind.get(kind)!.set(item.name.value, item);
      }
    }
  }
  const of = <T>(kind: ListKey): ReadonlyMap<string, T> =>
    byKind.get(kind) as ReadonlyMap<string, unknown> as ReadonlyMap<string, T>;
  return {
    settings,
    entities: of('entities'),
    sources: of('sources'),
    transforms: of('transforms'),
    features: of('features'),
    featureSets: of('feature_sets'),
    labels: of('labels'),
    datasets: of('datasets'),
    models: of('models'),
    services: of('services'),
    monitors: of('monitors'),
    schedules: of('schedules'),
    sensors: of('sensors'),
  };
}

/** The lists of definitions, or all other keys: each is read once. */
function pick(root: Node, names: readonly string[], keep: boolean, active = true): Node {
  if (root.kind !== 'map' || !active) return root;
  return { ...root, entries: new Map([...root.entries].filter(([name]) => names.includes(name) === keep)) };
}

/** Lists written as one object are read as lists of one, and a missing value as an empty list. */
function labelled(root: Extract<Node, { kind: 'map' }>): Node {
  const entries = new Map(
    [...root.entries].filter(([, { node }]) => !(node.kind === 'scalar' && node.value === null)),
  );
  return { ...root, entries };
}

interface Documented {
  readonly description?: Located<string>;
  readonly owner?: Located<string>;
  readonly tags?: readonly Located<string>[];
  readonly name?: Located<string>;
  readonly $: ObjectPlaces;
}

export function documentationOf(raw: Documented): Documentation {
  return {
    ...(raw.description ? { description: raw.description.value } : {}),
    ...(raw.owner ? { owner: raw.owner.value } : {}),
    tags: (raw.tags ?? []).map((tag) => tag.value),
    place: raw.name?.place ?? raw.$.place,
  };
}
