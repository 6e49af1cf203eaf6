/** Open Inference Protocol v2: tensors in, tensors out. Inputs are entity keys and request fields, one row each. */
import { MillraceError } from '../core/base/error.js';
import { nearest } from '../core/base/nearest.js';
import type { ValueType } from '../core/schema/types.js';
import type { PredictAnswer, Predictor } from '../services/predict.js';
import { bodyObject, type EntityBody, instantOf, invalid, MAX_ENTITIES, objects } from './bodies.js';

export type Datatype = 'BOOL' | 'INT64' | 'FP64' | 'BYTES';

export interface TensorMetadata {
  readonly name: string;
  readonly datatype: Datatype;
  readonly shape: readonly number[];
}

export interface Tensor extends TensorMetadata {
  readonly data: readonly unknown[];
}

const KINDS: Readonly<Record<string, 'boolean' | 'number' | 'string'>> = {
  BOOL: 'boolean',
  UINT8: 'number',
  UINT16: 'number',
  UINT32: 'number',
  UINT64: 'number',
  INT8: 'number',
  INT16: 'number',
  INT32: 'number',
  INT64: 'number',
  FP16: 'number',
  FP32: 'number',
  FP64: 'number',
  BYTES: 'string',
};

/** Decimals, instants and dates travel as text, so that none is rounded on its way. */
function datatypeOf(type: ValueType): Datatype {
  switch (type.kind) {
    case 'int64':
      return 'INT64';
    case 'float64':
    case 'float64_vector':
      return 'FP64';
    case 'boolean':
      return 'BOOL';
    default:
      return 'BYTES';
  }
}

const shapeOf = (type: ValueType): readonly number[] =>
  type.kind === 'float64_vector' ? [-1, type.dimension ?? -1] : [-1];

export function inputsOf(predictor: Predictor): readonly TensorMetadata[] {
  const { joinKeys, requestFields } = predictor.reader.plan;
  return [...joinKeys, ...requestFields].map(({ name, type }) => ({
    name,
    datatype: datatypeOf(type),
    shape: shapeOf(type),
  }));
}

export function outputsOf(predictor: Predictor): readonly TensorMetadata[] {
  const output = (name: string, datatype: Datatype): TensorMetadata => ({ name, datatype, shape: [-1] });
  const classes = predictor.manifest.classes ?? [];
  const own = {
    binary: [output('probability', 'FP64'), output('label', 'INT64')],
    multiclass: [output('label', 'BYTES'), ...classes.map((name) => output(`probability.${name}`, 'FP64'))],
    regression: [output('score', 'FP64')],
  }[predictor.manifest.task];
  return [...own, output('prediction_id', 'BYTES')];
}

export interface InferRequest {
  readonly id: string | undefined;
  readonly body: EntityBody;
  readonly outputs: readonly string[] | undefined;
}

function tensorRows(
  input: Readonly<Record<string, unknown>>,
  path: string,
  type: ValueType,
  name: string,
): readonly unknown[] {
  const { shape, datatype, data } = input;
  if (!Array.isArray(shape) || !shape.every((size) => Number.isSafeInteger(size) && (size as number) >= 0))
    throw invalid(`${path}.shape`, `input ${name}: shape must be an array of sizes`);
  const kind = typeof datatype === 'string' ? KINDS[datatype] : undefined;
  if (kind === undefined)
    throw invalid(
      `${path}.datatype`,
      `input ${name}: ${JSON.stringify(datatype)} is not a datatype`,
      `It must be ${datatypeOf(type)}.`,
    );
  if (!Array.isArray(data))
    throw invalid(`${path}.data`, `input ${name}: data must be an array`, 'Binary tensors are not read.');
  const flat = data.flat(8) as unknown[];
  const size = (shape as number[]).reduce((product, item) => product * item, 1);
  if (flat.length !== size)
    throw invalid(
      `${path}.data`,
      `input ${name} has ${flat.length} values, its shape [${shape.join(', ')}] holds ${size}`,
    );
  const wrong = flat.findIndex((value) => value !== null && typeof value !== kind);
  if (wrong >= 0)
    throw invalid(
      `${path}.data[${wrong}]`,
      `input ${name}: ${datatype as string} data cannot hold a ${typeof flat[wrong]}`,
    );
  const rows = (shape as number[])[0] ?? 1;
  const width = rows === 0 ? 0 : size / rows;
  if (type.kind === 'float64_vector')
    return Array.from({ length: rows }, (_, i) => flat.slice(i * width, (i + 1) * width));
  if (width !== 1 && rows > 0)
    throw invalid(
      `${path}.shape`,
      `input ${name} holds one value a row, its shape [${shape.join(', ')}] gives ${width}`,
      'Send shape [n].',
    );
  return flat;
}

const KEYS = ['id', 'inputs', 'outputs', 'parameters'];

/** REQUEST_INVALID with the path of the first thing that does not fit. */
export function decodeInfer(body: unknown, predictor: Predictor): InferRequest {
  const given = bodyObject(body, KEYS);
  const inputs = objects(given['inputs'], 'inputs');
  const { joinKeys, requestFields } = predictor.reader.plan;
  const types = new Map([...joinKeys, ...requestFields].map(({ name, type }) => [name, type]));
  const columns = new Map<string, readonly unknown[]>();
  let rows: number | undefined;
  for (const [i, input] of inputs.entries()) {
    const name = String(input['name']);
    const type = types.get(name);
    if (!type) {
      const near = nearest(name, types.keys());
      throw invalid(
        `inputs[${i}].name`,
        `the model has no input "${name}"`,
        near ? `Did you mean "${near}"?` : `Its inputs are ${[...types.keys()].join(', ')}.`,
      );
    }
    const column = tensorRows(input, `inputs[${i}]`, type, name);
    rows ??= column.length;
    if (column.length !== rows)
      throw invalid(
        `inputs[${i}].shape`,
        `input ${name} has ${column.length} rows, the first input has ${rows}`,
      );
    columns.set(name, column);
  }
  const count = rows ?? 0;
  if (count > MAX_ENTITIES)
    throw new MillraceError(
      'PAYLOAD_TOO_LARGE',
      `${count} rows, at most ${MAX_ENTITIES} are answered at once`,
      { place: { path: 'inputs' } },
    );
  const missing = joinKeys.find((key) => !columns.has(key.name));
  if (missing)
    throw invalid(
      'inputs',
      `input "${missing.name}" is missing`,
      `The model needs ${joinKeys.map((key) => key.name).join(', ')}.`,
    );
  const pick = (names: readonly { readonly name: string }[]): readonly Record<string, unknown>[] =>
    Array.from({ length: count }, (_, i) =>
      Object.fromEntries(
        names.flatMap(({ name }) => (columns.has(name) ? [[name, columns.get(name)![i]]] : [])),
      ),
    );
  const parameters = (given['parameters'] ?? {}) as Readonly<Record<string, unknown>>;
  const outputs =
    given['outputs'] === undefined
      ? undefined
      : objects(given['outputs'], 'outputs').map((output) => String(output['name']));
  const known = outputsOf(predictor).map((output) => output.name);
  const unknown = outputs?.findIndex((name) => !known.includes(name)) ?? -1;
  if (unknown >= 0)
    throw invalid(
      `outputs[${unknown}].name`,
      `the model has no output "${outputs![unknown]}"`,
      `Its outputs are ${known.join(', ')}.`,
    );
  return {
    id: given['id'] === undefined ? undefined : String(given['id']),
    body: {
      entities: pick(joinKeys),
      request: pick(requestFields),
      at: instantOf(parameters['at'], 'parameters.at'),
    },
    outputs,
  };
}

export function encodeInfer(
  predictor: Predictor,
  request: InferRequest,
  answer: PredictAnswer,
): Readonly<Record<string, unknown>> {
  const predictions = answer.predictions as readonly Readonly<Record<string, unknown>>[];
  const value = (row: Readonly<Record<string, unknown>>, name: string): unknown =>
    name.startsWith('probability.')
      ? (row['probabilities'] as Readonly<Record<string, number>>)[name.slice('probability.'.length)]
      : row[name];
  const tensors = outputsOf(predictor)
    .filter(({ name }) => request.outputs === undefined || request.outputs.includes(name))
    .map(
      ({ name, datatype }): Tensor => ({
        name,
        datatype,
        shape: [predictions.length],
        data: name === 'prediction_id' ? answer.prediction_ids : predictions.map((row) => value(row, name)),
      }),
    );
  return {
    model_name: predictor.model.name,
    model_version: String(predictor.version),
    ...(request.id === undefined ? {} : { id: request.id }),
    parameters: { as_of: answer.as_of, data_age_seconds: answer.data_age_seconds },
    outputs: tensors,
  };
}

export function modelMetadata(predictor: Predictor): Readonly<Record<string, unknown>> {
  return {
    name: predictor.model.name,
    versions: [String(predictor.version)],
    platform: `millrace_${predictor.manifest.trainer.kind}`,
    inputs: inputsOf(predictor),
    outputs: outputsOf(predictor),
  };
}
