/** Checks of request bodies: plain code, since a schema library costs more than the answer. */
import { MillraceError } from '../core/base/error.js';
import { nearest } from '../core/base/nearest.js';
import { type Instant, parseInstant } from '../core/base/time.js';
import type { OutcomeInput } from '../services/outcomes.js';
import { isObject } from './json.js';

type JsonObject = Readonly<Record<string, unknown>>;

export interface EntityBody {
  readonly entities: readonly JsonObject[];
  readonly request: readonly JsonObject[] | undefined;
  readonly at: Instant | undefined;
}

/** Entities in one request. */
export const MAX_ENTITIES = 10_000;

export function invalid(path: string, message: string, hint?: string): MillraceError {
  return new MillraceError('REQUEST_INVALID', message, {
    place: { path },
    ...(hint === undefined ? {} : { hint }),
  });
}

const nameOf = (value: unknown): string =>
  value === null
    ? 'null'
    : value === undefined
      ? 'missing'
      : Array.isArray(value)
        ? 'an array'
        : typeof value;

export function bodyObject(body: unknown, keys: readonly string[]): JsonObject {
  if (!isObject(body)) throw invalid('', `the body must be a JSON object, it is ${nameOf(body)}`);
  for (const key in body) {
    if (keys.includes(key)) continue;
    const near = nearest(key, keys);
    throw invalid(
      key,
      `this route knows no "${key}"`,
      near ? `Did you mean "${near}"?` : `It reads ${keys.join(', ')}.`,
    );
  }
  return body;
}

export function objects(value: unknown, path: string): readonly JsonObject[] {
  if (!Array.isArray(value))
    throw invalid(path, `${path} must be an array of objects, it is ${nameOf(value)}`);
  if (value.length > MAX_ENTITIES)
    throw new MillraceError(
      'PAYLOAD_TOO_LARGE',
      `${path} has ${value.length} items, at most ${MAX_ENTITIES} are answered at once`,
      { place: { path } },
    );
  for (let i = 0; i < value.length; i++)
    if (!isObject(value[i]))
      throw invalid(`${path}[${i}]`, `${path}[${i}] must be an object, it is ${nameOf(value[i])}`);
  return value as JsonObject[];
}

export function instantOf(value: unknown, path: string): Instant | undefined {
  if (value === undefined || value === null) return undefined;
  const at = typeof value === 'string' ? parseInstant(value) : undefined;
  if (at === undefined)
    throw invalid(path, `${path} must be an instant`, 'Write it as 2024-03-01T12:00:00Z.');
  return at;
}

const ENTITY_KEYS = ['entities', 'request', 'at'];

/** `{"entities": [{...}], "request": [{...}], "at": "..."}`. */
export function entityBody(body: unknown): EntityBody {
  const given = bodyObject(body, ENTITY_KEYS);
  return {
    entities: objects(given['entities'], 'entities'),
    request:
      given['request'] === undefined || given['request'] === null
        ? undefined
        : objects(given['request'], 'request'),
    at: instantOf(given['at'], 'at'),
  };
}

const OUTCOME_KEYS = ['prediction_id', 'label', 'at'];

/** One outcome, or an array of them. */
export function outcomesBody(body: unknown): readonly OutcomeInput[] {
  const list = Array.isArray(body) ? objects(body, 'outcomes') : [body];
  return list.map((item, i): OutcomeInput => {
    const given = bodyObject(item, OUTCOME_KEYS);
    const { prediction_id: id, label, at } = given;
    if (typeof id !== 'string' || id === '')
      throw invalid(`[${i}].prediction_id`, 'prediction_id must be the text that /predict answered with');
    if (label === undefined || (typeof label === 'object' && label !== null))
      throw invalid(`[${i}].label`, 'label must be a number, a text, a boolean or null');
    if (at !== undefined && typeof at !== 'string')
      throw invalid(`[${i}].at`, 'at must be an instant', 'Write it as 2024-03-01T12:00:00Z.');
    return { prediction_id: id, label: label as OutcomeInput['label'], at };
  });
}
