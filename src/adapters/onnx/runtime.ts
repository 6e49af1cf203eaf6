/**
 * ONNX models through onnxruntime. A row is always run alone: a matrix product of many rows may round otherwise than
 * one of a single row, and a prediction must not depend on its company.
 */
import { MillraceError } from '../../core/base/error.js';
import {
  categoryValue,
  type Feature,
  type FeatureTable,
  featureKind,
  featureWidth,
  writeNumbers,
} from '../../core/learn/matrix.js';
import type { Prediction } from '../../core/learn/model.js';
import { settleScores, toPrediction } from '../../core/learn/scores.js';
import { parseType, type Value } from '../../core/schema/types.js';
import type { ForeignModel, ModelRuntime, OnnxRuntime } from '../../ports/model-runtime.js';

type Ort = typeof import('onnxruntime-node');
type Session = Awaited<ReturnType<Ort['InferenceSession']['create']>>;
type Tensor = import('onnxruntime-node').Tensor;

async function load(): Promise<Ort> {
  try {
    const loaded = (await import('onnxruntime-node')) as Ort & { default?: Ort };
    return loaded.default ?? loaded;
  } catch (cause) {
    throw new MillraceError('MODEL_MISSING', 'this model is served by onnxruntime, which is not installed', {
      cause,
      hint: 'Run `npm install onnxruntime-node`.',
    });
  }
}

/** A model input: where its numbers, or its category, lie among the cells of a row. */
interface Input {
  readonly name: string;
  readonly type: string;
  readonly dims: readonly number[];
  readonly text: number | null;
  readonly from: number;
  readonly width: number;
}

interface Slot {
  readonly feature: Feature;
  readonly text: number | null;
  readonly from: number;
  readonly width: number;
}

/** Numbers of all features one after the other, and categories of those that are text. */
interface Cells {
  readonly numbers: Float64Array;
  readonly texts: (string | undefined)[];
}

const unfit = (model: ForeignModel, message: string, hint?: string): MillraceError =>
  new MillraceError('TRAIN_FAILED', `the ONNX model ${message}`, {
    place: { file: model.file },
    ...(hint === undefined ? {} : { hint }),
  });

function slotsOf(model: ForeignModel): Slot[] {
  let from = 0;
  let text = 0;
  return model.features.map(({ name, type }) => {
    const feature = { name, type: parseType(type)! };
    const categorical = featureKind(feature) === 'categorical';
    const width = categorical ? 0 : featureWidth(feature.type);
    const slot = { feature, text: categorical ? text++ : null, from, width };
    from += width;
    return slot;
  });
}

function inputsOf(session: Session, model: ForeignModel, slots: readonly Slot[]): Input[] {
  const metadata = session.inputMetadata;
  const total = slots.reduce((sum, slot) => sum + slot.width, 0);
  const byName = new Map(slots.map((slot) => [slot.feature.name, slot]));
  const hint =
    'Give it one float input of shape [N, all numbers] in the order of schema.json, or one input a feature, named like it.';
  const [first] = metadata;
  if (metadata.length === 1 && first?.isTensor && !byName.has(first.name)) {
    const text = slots.find((slot) => slot.text !== null);
    if (text)
      throw unfit(model, `has one input "${first.name}", and feature "${text.feature.name}" is text`, hint);
    const last = first.shape.at(-1);
    if (typeof last === 'number' && last !== total)
      throw unfit(model, `takes ${last} numbers a row, and the features are ${total}`, hint);
    return [{ name: first.name, type: first.type, dims: [1, total], text: null, from: 0, width: total }];
  }
  return metadata.map((input) => {
    const slot = byName.get(input.name);
    if (!slot || !input.isTensor)
      throw unfit(model, `has an input "${input.name}", which is no feature of the model`, hint);
    if ((slot.text !== null) !== (input.type === 'string'))
      throw unfit(model, `takes "${input.name}" as ${input.type}`, hint);
    const width = slot.text === null ? slot.width : 1;
    return {
      name: input.name,
      type: input.type,
      dims: input.shape.length === 1 ? [1] : [1, width],
      text: slot.text,
      from: slot.from,
      width,
    };
  });
}

function whole(input: Input, value: number): number {
  if (Number.isInteger(value)) return value;
  throw new MillraceError(
    'EVALUATION',
    `input "${input.name}" of the ONNX model is ${input.type} and cannot hold ${Number.isNaN(value) ? 'a missing value' : value}`,
    { hint: 'Declare the input as float: a missing number is NaN there.' },
  );
}

function tensorOf(ort: Ort, input: Input, { numbers, texts }: Cells): Tensor {
  if (input.text !== null) return new ort.Tensor('string', [texts[input.text] ?? ''], [...input.dims]);
  const part = numbers.subarray(input.from, input.from + input.width);
  switch (input.type) {
    case 'float32':
      return new ort.Tensor('float32', Float32Array.from(part), [...input.dims]);
    case 'float64':
      return new ort.Tensor('float64', Float64Array.from(part), [...input.dims]);
    case 'int64':
      return new ort.Tensor(
        'int64',
        BigInt64Array.from(part, (value) => BigInt(whole(input, value))),
        [...input.dims],
      );
    case 'int32':
      return new ort.Tensor(
        'int32',
        Int32Array.from(part, (value) => whole(input, value)),
        [...input.dims],
      );
    case 'bool':
      return new ort.Tensor(
        'bool',
        Uint8Array.from(part, (value) => Number(whole(input, value) !== 0)),
        [...input.dims],
      );
    default:
      throw new MillraceError(
        'TRAIN_FAILED',
        `input "${input.name}" of the ONNX model has type ${input.type}`,
        {
          hint: 'Use float, double, int64, int32, bool or string.',
        },
      );
  }
}

/** The output that holds scores: `probabilities` of a classifier, else the last one of floating point. */
function outputOf(session: Session, model: ForeignModel): string {
  const floats = session.outputMetadata.filter(
    (output) => output.isTensor && (output.type === 'float32' || output.type === 'float64'),
  );
  const found = floats.find((output) => /probabilit/i.test(output.name)) ?? floats.at(-1);
  if (!found)
    throw unfit(
      model,
      'has no output of floating point numbers',
      'skl2onnx makes maps of probabilities unless told `options={"zipmap": False}`.',
    );
  return found.name;
}

export function createOnnxRuntime(): OnnxRuntime {
  return {
    open: async (model) => {
      const ort = await load();
      const session = await ort.InferenceSession.create(model.file, {
        intraOpNumThreads: 1,
        interOpNumThreads: 1,
        executionMode: 'sequential',
        logSeverityLevel: 3,
      }).catch((cause: Error) => {
        throw unfit(model, `cannot be loaded: ${cause.message}`);
      });
      return bind(ort, session, model);
    },
  };
}

function bind(ort: Ort, session: Session, model: ForeignModel): ModelRuntime {
  const slots = slotsOf(model);
  const inputs = inputsOf(session, model, slots);
  const output = outputOf(session, model);
  const classes = model.classes ?? [];
  const width = model.task === 'multiclass' ? classes.length : 1;
  const total = slots.reduce((sum, slot) => sum + slot.width, 0);
  const texts = slots.filter((slot) => slot.text !== null).length;
  const emptyCells = (): Cells => ({ numbers: new Float64Array(total), texts: new Array(texts) });

  /** Scores of one row, as many as `width`. */
  const score = async (cells: Cells): Promise<Float64Array> => {
    const feeds = Object.fromEntries(inputs.map((input) => [input.name, tensorOf(ort, input, cells)]));
    const answer = (await session.run(feeds, [output]))[output]!;
    const data = Float64Array.from(answer.data as Float32Array | Float64Array);
    // A classifier of two classes gives both probabilities; the second is that of class 1.
    const scores = model.task === 'binary' && data.length === 2 ? data.subarray(1) : data;
    if (scores.length !== width)
      throw unfit(model, `gives ${data.length} numbers a row in "${output}", expected ${width}`);
    const flaw = settleScores(model.task, scores);
    if (flaw) throw unfit(model, `gives ${flaw.score} for a row`, flaw.hint);
    return scores;
  };
  const rowCells = (values: readonly (Value | undefined)[]): Cells => {
    const cells = emptyCells();
    for (const [i, slot] of slots.entries()) {
      if (slot.text !== null) cells.texts[slot.text] = categoryValue(slot.feature, values[i]);
      else writeNumbers(slot.feature, slot.width, values[i], cells.numbers, slot.from);
    }
    return cells;
  };
  const tableCells = (table: FeatureTable, row: number): Cells => {
    const cells = emptyCells();
    for (const [i, slot] of slots.entries()) {
      const column = table.columns[i]!;
      if (column.kind === 'categorical') {
        const code = column.codes[row]!;
        cells.texts[slot.text!] = code < 0 ? undefined : column.dictionary[code];
      } else {
        const start = row * column.width;
        cells.numbers.set(column.values.subarray(start, start + column.width), slot.from);
      }
    }
    return cells;
  };
  return {
    predictRows: async (rows) => {
      const predictions: Prediction[] = [];
      for (const values of rows) {
        const scores = await score(rowCells(values));
        predictions.push(toPrediction(model.task, classes, scores));
      }
      return predictions;
    },
    predictTable: async (table) => {
      const columns = Array.from({ length: width }, () => new Float64Array(table.rows));
      for (let row = 0; row < table.rows; row++) {
        const scores = await score(tableCells(table, row));
        for (let k = 0; k < width; k++) columns[k]![row] = scores[k]!;
      }
      return model.task === 'multiclass' ? columns : columns[0]!;
    },
  };
}
