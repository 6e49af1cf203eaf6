/** `POST /get-online-features`: the shape that clients of existing feature stores send and read. */
import type { Status } from '../core/engine/types.js';
import { toJson } from '../core/schema/coerce-print.js';
import type { FeatureAnswer, FeatureReader } from '../services/serve.js';
import { bodyObject, type EntityBody, instantOf, invalid, MAX_ENTITIES } from './bodies.js';
import { isObject } from './json.js';

const KEYS = ['features', 'feature_service', 'entities', 'request_context', 'full_feature_names', 'at'];

/** Names of features or sets; a prefix `view:` is dropped. */
export function feastNames(body: unknown): readonly string[] {
  const given = bodyObject(body, KEYS);
  const { features, feature_service: service } = given;
  if (typeof service === 'string') return [service];
  if (
    !Array.isArray(features) ||
    features.length === 0 ||
    !features.every((name) => typeof name === 'string')
  )
    throw invalid('features', 'give features, an array of names, or feature_service, the name of a set');
  return (features as string[]).map((name) => name.slice(name.lastIndexOf(':') + 1));
}

/** Columns of entity keys and request fields → rows. */
export function feastEntities(body: unknown, reader: FeatureReader): EntityBody {
  const given = bodyObject(body, KEYS);
  const columns = new Map<string, readonly unknown[]>();
  let rows: number | undefined;
  for (const part of ['entities', 'request_context']) {
    const lists = given[part];
    if (lists === undefined && part === 'request_context') continue;
    if (!isObject(lists)) throw invalid(part, `${part} must be an object of arrays`);
    for (const [name, list] of Object.entries(lists)) {
      // The Python client of the field sends `{"val": [...]}` for repeated values.
      const values = isObject(list) ? list['val'] : list;
      if (!Array.isArray(values)) throw invalid(`${part}.${name}`, `${part}.${name} must be an array`);
      rows ??= values.length;
      if (values.length !== rows)
        throw invalid(
          `${part}.${name}`,
          `${part}.${name} has ${values.length} values, the first has ${rows}`,
        );
      columns.set(name, values);
    }
  }
  const count = rows ?? 0;
  if (count > MAX_ENTITIES)
    throw invalid('entities', `${count} entities, at most ${MAX_ENTITIES} are answered at once`);
  const pick = (names: readonly { readonly name: string }[]): readonly Record<string, unknown>[] =>
    Array.from({ length: count }, (_, i) =>
      Object.fromEntries(
        names.flatMap(({ name }) => (columns.has(name) ? [[name, columns.get(name)![i]]] : [])),
      ),
    );
  return {
    entities: pick(reader.plan.joinKeys),
    request: pick(reader.plan.requestFields),
    at: instantOf(given['at'], 'at'),
  };
}

type FeastStatus = 'PRESENT' | 'NULL_VALUE' | 'NOT_FOUND' | 'OUTSIDE_MAX_AGE';

function feastStatus(status: Status, value: unknown): FeastStatus {
  if (value !== null) return 'PRESENT';
  if (status === 'never_seen') return 'NOT_FOUND';
  return status === 'expired' ? 'OUTSIDE_MAX_AGE' : 'NULL_VALUE';
}

/** By column: the entity keys first, then the features. */
export function encodeFeast(
  reader: FeatureReader,
  body: EntityBody,
  answer: FeatureAnswer,
): Readonly<Record<string, unknown>> {
  const keys = reader.plan.joinKeys;
  const times = answer.rows.map(() => answer.as_of);
  const parsed = body.entities.map((entity, i) => reader.parseEntity(entity, i, false));
  const keyColumns = keys.map((key) => {
    const values = parsed.map((entity) => toJson(key.type, entity[key.name]!));
    return {
      values,
      statuses: values.map((value) => (value === null ? 'NULL_VALUE' : 'PRESENT')),
      event_timestamps: times,
    };
  });
  const featureColumns = answer.features.map((_, j) => ({
    values: answer.rows.map((row) => row.values[j]),
    statuses: answer.rows.map((row) => feastStatus(row.statuses[j]!, row.values[j])),
    event_timestamps: times,
  }));
  return {
    metadata: { feature_names: [...keys.map((key) => key.name), ...answer.features] },
    results: [...keyColumns, ...featureColumns],
  };
}
