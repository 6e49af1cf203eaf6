/**
 * Definitions as typed values. Keys are those of YAML, in camelCase (`joinKey`) or as YAML spells them (`join_key`);
 * where a name is expected, the definition itself may stand. A file in `definitions/` exports what these give.
 */

import type { Value } from '../schema/types.js';
import type { In } from './shape.js';
import type { featureSetShape, featureShape } from './shapes/feature.js';
import type { monitorShape, scheduleShape, sensorShape, serviceShape } from './shapes/operation.js';
import type { entityShape, sourceShape, transformShape } from './shapes/source.js';
import type { datasetShape, labelShape, modelShape } from './shapes/training.js';
import type { projectFileShape } from './shapes.js';

/** Marks what a builder made. Registered, so that two copies of the package agree. */
export const BUILT: unique symbol = Symbol.for('millrace.definition') as never;

export type BuiltKind =
  | 'project'
  | 'entity'
  | 'source'
  | 'transform'
  | 'feature'
  | 'featureSet'
  | 'label'
  | 'dataset'
  | 'model'
  | 'service'
  | 'monitor'
  | 'schedule'
  | 'sensor';

type CamelKey<K> = K extends `${infer Head}_${infer Tail}` ? `${Head}${Capitalize<CamelKey<Tail>>}` : K;
type Primitive = string | number | bigint | boolean | null | undefined | ((...inputs: never[]) => unknown);
/** The same object with camelCase keys, all the way down. */
export type Camel<T> = T extends Primitive
  ? T
  : T extends readonly (infer Item)[]
    ? readonly Camel<Item>[]
    : { readonly [K in keyof T as CamelKey<K>]: Camel<T[K]> };
type Written<T> = T | Camel<T>;

/** A definition in hand: what was written, under the name that other definitions use. */
export type Definition<K extends BuiltKind, T> = T & { readonly [BUILT]: { readonly kind: K } };

function build<K extends BuiltKind, T extends object>(kind: K, written: T): Definition<K, T> {
  const mark = { kind, ...callSite() };
  return Object.freeze(Object.defineProperty({ ...written }, BUILT, { value: mark })) as Definition<K, T>;
}

/** The line that called the builder, as far as the stack tells. */
function callSite(): { readonly line?: number; readonly column?: number } {
  const frame = new Error().stack?.split('\n')[4] ?? '';
  const match = /:(\d+):(\d+)\)?$/.exec(frame);
  return match ? { line: Number(match[1]), column: Number(match[2]) } : {};
}

type KeysOf<S> = S extends unknown ? keyof S : never;
type PropertyOf<S, K> = S extends unknown ? (K extends keyof S ? Exclude<S[K], undefined> : never) : never;
/** What was written, with `never` where there is no such key: a misspelt key does not compile. */
type Strict<T, S> = T extends Primitive | readonly unknown[] | { readonly [BUILT]: unknown }
  ? T
  : string extends KeysOf<S>
    ? T
    : { readonly [K in keyof T]: K extends KeysOf<S> ? Strict<T[K], PropertyOf<S, K>> : never };

type Entity = Written<In<typeof entityShape>>;
type Source = Written<In<typeof sourceShape>>;
type Transform = Written<In<typeof transformShape>>;
type FeatureSet = Written<In<typeof featureSetShape>>;
type Label = Written<In<typeof labelShape>>;
type Dataset = Written<In<typeof datasetShape>>;
type Model = Written<In<typeof modelShape>>;
type Service = Written<In<typeof serviceShape>>;
type Monitor = Written<In<typeof monitorShape>>;
type Schedule = Written<In<typeof scheduleShape>>;
type Sensor = Written<In<typeof sensorShape>>;
type Project = Written<In<typeof projectFileShape>>;

/**
 * A pure function of the values named in `inputs`: the same function runs over training rows and requests. It must
 * depend on nothing else; its text is part of the fingerprint, what it closes over is not.
 */
type Compute<I extends string> = (inputs: { readonly [K in SlotOf<I>]: Value }) => Value;
/** `user.total` is given as `total`; `request.rate` keeps its name. */
type SlotOf<I extends string> = I extends `request.${string}`
  ? I
  : I extends `${string}.${infer Name}`
    ? Name
    : I;
type Feature = Written<Omit<In<typeof featureShape>, 'compute' | 'inputs'>>;
interface Function<I extends string> {
  readonly inputs?: readonly I[];
  readonly compute?: Compute<I>;
}

/** Settings of the project, as in millrace.yaml; definitions may stand beside them. */
export const project = <const T extends Project>(written: T & Strict<T, Project>) =>
  build<'project', T>('project', written);
/** What features are about: `entity({ name: 'user', joinKey: 'user_id' })`. */
export const entity = <const T extends Entity>(written: T & Strict<T, Entity>) =>
  build<'entity', T>('entity', written);
/** An append-only log of records. */
export const source = <const T extends Source>(written: T & Strict<T, Source>) =>
  build<'source', T>('source', written);
/** A source computed by SQL from other sources. */
export const transform = <const T extends Transform>(written: T & Strict<T, Transform>) =>
  build<'transform', T>('transform', written);
/** A value about entities at an instant. */
export const feature = <const T extends Feature, const I extends string = never>(
  written: T & Strict<T, Feature & Function<I>> & Function<I>,
) => build<'feature', T>('feature', written);
/** A named list of features. */
export const featureSet = <const T extends FeatureSet>(written: T & Strict<T, FeatureSet>) =>
  build<'featureSet', T>('featureSet', written);
/** An outcome to predict. */
export const label = <const T extends Label>(written: T & Strict<T, Label>) =>
  build<'label', T>('label', written);
/** A training set. */
export const dataset = <const T extends Dataset>(written: T & Strict<T, Dataset>) =>
  build<'dataset', T>('dataset', written);
/** What is trained, and when it may serve. */
export const model = <const T extends Model>(written: T & Strict<T, Model>) =>
  build<'model', T>('model', written);
/** A model that answers. */
export const service = <const T extends Service>(written: T & Strict<T, Service>) =>
  build<'service', T>('service', written);
/** What is watched, and who is told. */
export const monitor = <const T extends Monitor>(written: T & Strict<T, Monitor>) =>
  build<'monitor', T>('monitor', written);
/** Runs assets by the clock. */
export const schedule = <const T extends Schedule>(written: T & Strict<T, Schedule>) =>
  build<'schedule', T>('schedule', written);
/** Runs assets when something has come about. */
export const sensor = <const T extends Sensor>(written: T & Strict<T, Sensor>) =>
  build<'sensor', T>('sensor', written);
