/**
 * Shapes: one description of what may be written, from which come the reader, the JSON Schema for editors and the
 * reference page. A shape says what a text means (`read`), so that nothing downstream parses again.
 */
import type { Diagnostic, Place } from '../base/error.js';
import { nearest } from '../base/nearest.js';
import { describeNode, type Node, type ScalarValue, snakeCase } from './node.js';

/** A scalar that was read, and where it stands. */
export interface Located<T> {
  readonly value: T;
  /** As written. */
  readonly text: string;
  readonly place: Place;
  /** The place of a character of a text value. */
  readonly at: (offset: number) => Place;
}

/** Where an object and its keys stand. */
export interface ObjectPlaces {
  readonly place: Place;
  readonly keys: ReadonlyMap<string, Place>;
}

export interface Key {
  readonly shape: Shape<unknown, unknown>;
  readonly description: string;
  readonly required: boolean;
}

/** What keys that are not listed hold, and whether TypeScript's camelCase is read as snake_case in them. */
interface Rest<I = unknown> {
  readonly shape: Shape<unknown, I>;
  readonly snakeCase: boolean;
}

type Kind =
  | {
      readonly kind: 'text';
      readonly read: ((text: string) => unknown) | null;
      /** Numbers and booleans are taken as they are written. */
      readonly loose: boolean;
      readonly examples: readonly string[];
      readonly pattern: string | null;
    }
  | {
      readonly kind: 'number';
      readonly integer: boolean;
      readonly min: number | null;
      readonly max: number | null;
    }
  | { readonly kind: 'boolean' }
  | {
      readonly kind: 'choice';
      readonly values: readonly string[];
      readonly aliases: Readonly<Record<string, string>>;
    }
  | { readonly kind: 'reference'; readonly to: string }
  | { readonly kind: 'scalar' }
  | { readonly kind: 'function' }
  | {
      readonly kind: 'list';
      readonly of: Shape<unknown, unknown>;
      readonly lone: boolean;
      readonly size: number | null;
    }
  | {
      readonly kind: 'mapping';
      readonly of: Shape<unknown, unknown>;
      readonly keys: readonly string[] | null;
    }
  | { readonly kind: 'object'; readonly keys: Readonly<Record<string, Key>>; readonly rest: Rest | null }
  | { readonly kind: 'either'; readonly options: readonly Shape<unknown, unknown>[] };

/** `Out`: what reading gives; `In`: what TypeScript may write. */
export type Shape<Out, In = Out> = Kind & {
  /** `a duration such as 30d`: stands after "expected" in messages. */
  readonly what: string;
  readonly title?: string;
  readonly _out?: Out;
  readonly _in?: In;
};
export type AnyShape = Shape<unknown, unknown>;
export type Out<S> = S extends { readonly _out?: infer T } ? Exclude<T, undefined> : never;
export type In<S> = S extends { readonly _in?: infer T } ? Exclude<T, undefined> : never;

export const text = <T = string, I = string>(
  what: string,
  read: ((text: string) => T | undefined) | null = null,
  details: {
    readonly examples?: readonly string[];
    readonly loose?: boolean;
    readonly pattern?: string;
  } = {},
): Shape<Located<T>, I> => ({
  kind: 'text',
  what,
  read,
  loose: details.loose ?? false,
  examples: details.examples ?? [],
  pattern: details.pattern ?? null,
});

export const number = (
  what: string,
  limits: { readonly integer?: boolean; readonly min?: number; readonly max?: number } = {},
): Shape<Located<number>, number> => ({
  kind: 'number',
  what,
  integer: limits.integer ?? false,
  min: limits.min ?? null,
  max: limits.max ?? null,
});

export const boolean: Shape<Located<boolean>, boolean> = { kind: 'boolean', what: 'true or false' };
export const scalar: Shape<Located<ScalarValue>, ScalarValue> = {
  kind: 'scalar',
  what: 'one text, number or boolean',
};
export const compute = { kind: 'function', what: 'a TypeScript function' } as Shape<
  (inputs: never) => unknown,
  (inputs: never) => unknown
>;

export const choice = <const V extends string>(
  values: readonly V[],
  aliases: Readonly<Record<string, V>> = {},
): Shape<Located<V>, V> => ({ kind: 'choice', what: `one of ${values.join(', ')}`, values, aliases });

/** The name of another definition. TypeScript may give the definition itself. */
export const reference = (to: string): Shape<Located<string>, string | { readonly name: string }> => ({
  kind: 'reference',
  what: `the name of ${/^[aeiou]/.test(to) ? 'an' : 'a'} ${to}`,
  to,
});

export const list = <O, I>(
  of: Shape<O, I>,
  details: { readonly lone?: boolean; readonly size?: number; readonly what?: string } = {},
): Shape<readonly O[], readonly I[] | I> => ({
  kind: 'list',
  what: details.what ?? `a list, each ${of.what}`,
  of: of as AnyShape,
  lone: details.lone ?? false,
  size: details.size ?? null,
});

export const mapping = <O, I>(
  of: Shape<O, I>,
  what: string,
  keys: readonly string[] | null = null,
): Shape<ReadonlyMap<string, MappingEntry<O>>, Readonly<Record<string, I>>> => ({
  kind: 'mapping',
  what,
  of: of as AnyShape,
  keys,
});

export interface MappingEntry<O> {
  readonly value: O;
  readonly keyPlace: Place;
}

type Keys = Readonly<Record<string, Key>>;
export interface TypedKey<O, I, R extends boolean> extends Key {
  readonly required: R;
  readonly _out?: O;
  readonly _in?: I;
}
export const required = <O, I>(shape: Shape<O, I>, description: string): TypedKey<O, I, true> => ({
  shape: shape as AnyShape,
  description,
  required: true,
});
export const optional = <O, I>(shape: Shape<O, I>, description: string): TypedKey<O, I, false> => ({
  shape: shape as AnyShape,
  description,
  required: false,
});

/** Every key may be missing in what is read, the required ones too: then a diagnostic says so. */
export type ObjectOut<K extends Keys> = {
  readonly [N in keyof K]?: K[N] extends TypedKey<infer O, unknown, boolean> ? O : never;
} & { readonly $: ObjectPlaces; readonly $rest: ReadonlyMap<string, MappingEntry<unknown>> };
type RequiredNames<K extends Keys> = { [N in keyof K]: K[N]['required'] extends true ? N : never }[keyof K];
type KeyIn<K> = K extends TypedKey<unknown, infer I, boolean> ? I : never;
export type ObjectIn<K extends Keys> = { readonly [N in RequiredNames<K>]: KeyIn<K[N]> } & {
  readonly [N in Exclude<keyof K, RequiredNames<K>>]?: KeyIn<K[N]>;
};

type RestIn<K extends Keys, I> = [I] extends [never]
  ? unknown
  : { readonly [key: string]: I | ObjectIn<K>[keyof ObjectIn<K>] | undefined };

export const object = <K extends Keys, I = never>(
  title: string,
  keys: K,
  rest: Rest<I> | null = null,
): Shape<ObjectOut<K>, ObjectIn<K> & RestIn<K, I>> => ({
  kind: 'object',
  what: `an object with ${Object.keys(keys).slice(0, 4).join(', ')}${Object.keys(keys).length > 4 ? ', ...' : ''}`,
  title,
  keys,
  rest: rest as Rest | null,
});

export const either = <O1, I1, O2, I2>(
  first: Shape<O1, I1>,
  second: Shape<O2, I2>,
): Shape<O1 | O2, I1 | I2> => ({
  kind: 'either',
  what: `${first.what}, or ${second.what}`,
  options: [first as AnyShape, second as AnyShape],
});

export interface ReadContext {
  readonly diagnostics: Diagnostic[];
  /** TypeScript: `joinKey` is read as `join_key`, and a definition stands for its name. */
  readonly typescript: boolean;
  /** The definition that is being read, for messages: `feature \`x\``. */
  readonly owner?: string;
}

const REFUSED = new WeakMap<ReadonlyMap<string, unknown>, readonly string[]>();

/** Names of a mapping whose values were not what they should be: they are written, but not there. */
export const refusedKeys = (mapping: ReadonlyMap<string, unknown>): readonly string[] =>
  REFUSED.get(mapping) ?? [];

const fault = (
  context: ReadContext,
  label: string,
  node: Node,
  shape: AnyShape,
  extra: Partial<Diagnostic> = {},
): undefined => {
  const examples =
    shape.kind === 'text' && shape.examples.length > 0 ? ` such as ${shape.examples.join(', ')}` : '';
  context.diagnostics.push({
    code: 'DEF_INVALID_VALUE',
    severity: 'error',
    message: `${label} is ${describeNode(node)}: expected ${shape.what}${examples}`,
    place: node.place,
    ...extra,
  });
  return undefined;
};

const located = <T>(node: Extract<Node, { kind: 'scalar' }>, value: T): Located<T> => ({
  value,
  text: node.text,
  place: node.place,
  at: node.at,
});

/** Reads a node by a shape. Undefined: it was not what it should be, and a diagnostic says so. */
export function read<O>(
  node: Node,
  shape: Shape<O, unknown>,
  label: string,
  context: ReadContext,
): O | undefined {
  return readAny(node, shape as AnyShape, label, context) as O | undefined;
}

function readAny(node: Node, shape: AnyShape, label: string, context: ReadContext): unknown {
  switch (shape.kind) {
    case 'text': {
      if (node.kind !== 'scalar' || node.value === null) return fault(context, label, node, shape);
      if (typeof node.value !== 'string' && !shape.loose) {
        const hint = 'Put it in quotes to make it a text.';
        return fault(context, label, node, shape, { hint });
      }
      const written = typeof node.value === 'string' ? node.value : node.text;
      const value = shape.read ? shape.read(written) : written;
      return value === undefined ? fault(context, label, node, shape) : located(node, value);
    }
    case 'number': {
      if (node.kind !== 'scalar' || typeof node.value !== 'number' || !Number.isFinite(node.value)) {
        return fault(context, label, node, shape);
      }
      const { value } = node;
      const outside =
        (shape.integer && !Number.isInteger(value)) ||
        (shape.min !== null && value < shape.min) ||
        (shape.max !== null && value > shape.max);
      return outside ? fault(context, label, node, shape) : located(node, value);
    }
    case 'boolean':
      if (node.kind !== 'scalar' || typeof node.value !== 'boolean')
        return fault(context, label, node, shape);
      return located(node, node.value);
    case 'scalar':
      if (node.kind !== 'scalar') return fault(context, label, node, shape);
      return located(node, node.value);
    case 'function':
      return node.kind === 'function' ? node.value : fault(context, label, node, shape);
    case 'choice': {
      if (node.kind !== 'scalar') return fault(context, label, node, shape);
      const written = String(node.value);
      const value = shape.values.includes(written)
        ? written
        : Object.hasOwn(shape.aliases, written)
          ? shape.aliases[written]
          : undefined;
      if (value !== undefined) return located(node, value);
      return fault(context, label, node, shape, suggestion(written, shape.values));
    }
    case 'reference': {
      const inner = context.typescript && node.kind === 'map' ? node.entries.get('name')?.node : node;
      if (inner?.kind !== 'scalar' || inner.value === null || typeof inner.value === 'boolean') {
        return fault(context, label, node, shape);
      }
      return located(inner, inner.text);
    }
    case 'list': {
      if (node.kind !== 'list') {
        if (!shape.lone || (node.kind === 'scalar' && node.value === null))
          return fault(context, label, node, shape);
        const item = readAny(node, shape.of, label, context);
        return item === undefined ? [] : [item];
      }
      if (shape.size !== null && node.items.length !== shape.size) return fault(context, label, node, shape);
      return node.items.flatMap((item, index) => {
        const title = titleOf(item, shape.of);
        const value = readAny(
          item,
          shape.of,
          title ?? `item ${index + 1} of ${label}`,
          title ? { ...context, owner: title } : context,
        );
        return value === undefined ? [] : [value];
      });
    }
    case 'mapping': {
      if (node.kind !== 'map') return fault(context, label, node, shape);
      const entries = new Map<string, MappingEntry<unknown>>();
      const refused: string[] = [];
      for (const [name, entry] of node.entries) {
        if (shape.keys && !shape.keys.includes(name)) {
          unknownKey(context, label, name, entry.keyPlace, shape.keys);
          continue;
        }
        const value = readAny(entry.node, shape.of, `\`${name}\` in ${label}`, context);
        if (value === undefined) refused.push(name);
        else entries.set(name, { value, keyPlace: entry.keyPlace });
      }
      REFUSED.set(entries, refused);
      return entries;
    }
    case 'object':
      return readObject(node, shape, label, context);
    case 'either':
      return readEither(node, shape, label, context);
  }
}

/** `feature \`x\``, for an item that has a name. */
function titleOf(node: Node, shape: AnyShape): string | undefined {
  if (shape.kind !== 'object' || node.kind !== 'map' || !shape.keys.name) return undefined;
  const name = node.entries.get('name')?.node;
  return name?.kind === 'scalar' && name.value !== null
    ? `${shape.title} \`${name.text}\``
    : `${/^[aeiou]/.test(shape.title!) ? 'an' : 'a'} ${shape.title}`;
}

function unknownKey(
  context: ReadContext,
  label: string,
  name: string,
  place: Place,
  names: readonly string[],
): void {
  const near = suggestion(name, names);
  context.diagnostics.push({
    code: 'DEF_UNKNOWN_KEY',
    severity: 'error',
    message: `${label} has an unknown key \`${name}\``,
    place,
    ...near,
    hint: near.nearest ? `Did you mean \`${near.nearest}\`?` : `Known keys: ${names.join(', ')}.`,
  });
}

export function suggestion(name: string, names: Iterable<string>): { readonly nearest?: string } {
  const near = nearest(name, names);
  return near === undefined ? {} : { nearest: near };
}

const named = (key: string, { owner }: ReadContext): string =>
  owner ? `\`${key}\` of ${owner}` : `\`${key}\``;

function readObject(
  node: Node,
  shape: Extract<AnyShape, { kind: 'object' }>,
  label: string,
  context: ReadContext,
): unknown {
  if (node.kind !== 'map') return fault(context, label, node, shape);
  const result: Record<string, unknown> = {};
  const places = new Map<string, Place>();
  const rest = new Map<string, MappingEntry<unknown>>();
  const names = Object.keys(shape.keys);
  for (const [written, entry] of node.entries) {
    const snake = snakeCase(written);
    const name = !names.includes(written) && context.typescript && names.includes(snake) ? snake : written;
    const key = Object.hasOwn(shape.keys, name) ? shape.keys[name] : undefined;
    if (!key) {
      if (shape.rest) {
        const value = readAny(entry.node, shape.rest.shape as AnyShape, named(name, context), context);
        const key = context.typescript && shape.rest.snakeCase ? snake : name;
        if (value !== undefined) rest.set(key, { value, keyPlace: entry.keyPlace });
      } else unknownKey(context, label, written, entry.keyPlace, names);
      continue;
    }
    places.set(name, entry.keyPlace);
    if (entry.node.kind === 'scalar' && entry.node.value === null && key.shape.kind !== 'scalar') {
      places.delete(name);
      continue;
    }
    const value = readAny(entry.node, key.shape, named(name, context), context);
    if (value !== undefined) result[name] = value;
  }
  for (const name of names) {
    const key = shape.keys[name]!;
    if (!key.required || places.has(name)) continue;
    context.diagnostics.push({
      code: 'DEF_MISSING_KEY',
      severity: 'error',
      message: `${label} has no \`${name}\`: expected ${key.shape.what}`,
      place: node.place,
      hint: key.description,
    });
  }
  return Object.assign(result, { $: { place: node.place, keys: places }, $rest: rest });
}

function readEither(
  node: Node,
  shape: Extract<AnyShape, { kind: 'either' }>,
  label: string,
  context: ReadContext,
): unknown {
  const fitting = flatten(shape).filter((option) => fits(node, option, context));
  if (fitting.length === 0) return fault(context, label, node, shape);
  const option = fitting.length === 1 || node.kind !== 'map' ? fitting[0]! : mostKeys(node, fitting);
  return readAny(node, option, label, context);
}

const flatten = (shape: AnyShape): readonly AnyShape[] =>
  shape.kind === 'either' ? shape.options.flatMap(flatten) : [shape];

function fits(node: Node, shape: AnyShape, context: ReadContext): boolean {
  switch (shape.kind) {
    case 'object':
    case 'mapping':
      return node.kind === 'map';
    case 'list':
      return node.kind === 'list' || (shape.lone && fits(node, shape.of, context));
    case 'function':
      return node.kind === 'function';
    case 'either':
      return shape.options.some((option) => fits(node, option, context));
    case 'reference':
      return (node.kind === 'scalar' && node.value !== null) || (context.typescript && node.kind === 'map');
    case 'number':
      return node.kind === 'scalar' && typeof node.value === 'number';
    case 'boolean':
      return node.kind === 'scalar' && typeof node.value === 'boolean';
    case 'text':
      return node.kind === 'scalar' && node.value !== null && (shape.loose || typeof node.value === 'string');
    default:
      return node.kind === 'scalar' && node.value !== null;
  }
}

function mostKeys(node: Extract<Node, { kind: 'map' }>, options: readonly AnyShape[]): AnyShape {
  const score = (shape: AnyShape): number =>
    shape.kind === 'object'
      ? [...node.entries.keys()].filter((key) => Object.hasOwn(shape.keys, snakeCase(key))).length
      : 0.5;
  return options.reduce((best, option) => (score(option) > score(best) ? option : best));
}
