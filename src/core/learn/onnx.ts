/**
 * Built-in models as ONNX: an input a feature (`[N, 1]`, double or string), our encoding, the scores in double. The
 * file is written field by field: protocol buffers are tags, varints and lengths (onnx.proto3 of ONNX 1.16).
 */
import { MillraceError } from '../base/error.js';
import { encodingWidth, type FeatureEncoding } from './encode.js';
import type { Forest } from './forest.js';
import type { TrainedModel } from './model.js';

type Bytes = readonly Uint8Array[];

function varint(value: number | bigint): Uint8Array {
  let rest = BigInt.asUintN(64, BigInt(value));
  const out: number[] = [];
  while (rest > 127n) {
    out.push(Number(rest & 127n) | 128);
    rest >>= 7n;
  }
  out.push(Number(rest));
  return Uint8Array.from(out);
}
const whole = (field: number, value: number | bigint): Bytes => [varint(field << 3), varint(value)];
const bytes = (field: number, value: Uint8Array): Bytes => [
  varint((field << 3) | 2),
  varint(value.length),
  value,
];
const text = (field: number, value: string): Bytes => bytes(field, Buffer.from(value, 'utf8'));
const message = (field: number, ...parts: readonly Bytes[]): Bytes =>
  bytes(field, Buffer.concat(parts.flat()));

const DOUBLE = 11;
const INT64 = 7;
const STRING = 8;
const UINT8 = 2;

interface Tensor {
  readonly type: number;
  readonly dims: readonly number[];
  readonly data: Uint8Array;
}

const raw = (array: Float64Array | BigInt64Array | Uint8Array): Uint8Array =>
  new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
const doubles = (values: readonly number[], dims: readonly number[] = [values.length]): Tensor => ({
  type: DOUBLE,
  dims,
  data: raw(Float64Array.from(values)),
});
const integers = (values: readonly number[], dims: readonly number[] = [values.length]): Tensor => ({
  type: INT64,
  dims,
  data: raw(BigInt64Array.from(values, BigInt)),
});
const small = (values: readonly number[]): Tensor => ({
  type: UINT8,
  dims: [values.length],
  data: Uint8Array.from(values),
});

const tensorFields = (tensor: Tensor, name: string): Bytes[] => [
  ...tensor.dims.map((dim) => whole(1, dim)),
  whole(2, tensor.type),
  text(8, name),
  bytes(9, tensor.data),
];

type Attribute = number | string | readonly number[] | readonly string[] | Tensor;

function attributeFields(name: string, value: Attribute): Bytes[] {
  const field = text(1, name);
  if (typeof value === 'number') return [field, whole(3, value), whole(20, 2)];
  if (typeof value === 'string') return [field, text(4, value), whole(20, 3)];
  if ('dims' in value) return [field, message(5, ...tensorFields(value, name)), whole(20, 4)];
  if (value.length > 0 && typeof value[0] === 'string')
    return [field, ...(value as readonly string[]).map((each) => text(9, each)), whole(20, 8)];
  return [field, ...(value as readonly number[]).map((each) => whole(8, each)), whole(20, 7)];
}

interface Graph {
  node(operator: string, inputs: readonly string[], attributes?: Readonly<Record<string, Attribute>>): string;
  constant(tensor: Tensor): string;
  finish(
    inputs: readonly { readonly name: string; readonly type: number }[],
    output: { readonly from: string; readonly name: string; readonly width: number },
  ): Uint8Array;
}

const ML_OPERATORS = new Set(['LabelEncoder', 'TreeEnsemble']);

function createGraph(name: string): Graph {
  const nodes: Bytes[] = [];
  const initializers: Bytes[] = [];
  let count = 0;
  const append = (
    operator: string,
    inputs: readonly string[],
    output: string,
    attributes: Readonly<Record<string, Attribute>> = {},
  ): void => {
    nodes.push(
      message(
        1,
        ...inputs.map((input) => text(1, input)),
        text(2, output),
        text(3, `${operator}_${nodes.length}`),
        text(4, operator),
        ...Object.entries(attributes).map(([key, value]) => message(5, ...attributeFields(key, value))),
        text(7, ML_OPERATORS.has(operator) ? 'ai.onnx.ml' : ''),
      ),
    );
  };
  const valueInfo = (field: number, value: string, type: number, width: number): Bytes =>
    message(
      field,
      text(1, value),
      message(
        2,
        message(1, whole(1, type), message(2, message(1, text(2, 'N')), message(1, whole(1, width)))),
      ),
    );
  return {
    // A name that no feature has: features are words.
    node: (operator, inputs, attributes) => {
      const output = `/${count++}`;
      append(operator, inputs, output, attributes);
      return output;
    },
    constant: (tensor) => {
      const constant = `/${count++}`;
      initializers.push(message(5, ...tensorFields(tensor, constant)));
      return constant;
    },
    finish: (inputs, output) => {
      append('Identity', [output.from], output.name);
      const graph = message(
        7,
        ...nodes,
        text(2, name),
        ...initializers,
        ...inputs.map((input) => valueInfo(11, input.name, input.type, 1)),
        valueInfo(12, output.name, DOUBLE, output.width),
      );
      return Buffer.concat(
        [
          whole(1, 10),
          text(2, 'millrace'),
          graph,
          message(8, text(1, ''), whole(2, 18)),
          message(8, text(1, 'ai.onnx.ml'), whole(2, 5)),
        ].flat(),
      );
    },
  };
}

/** The index of a category, one more for another one, two more for none; `''` is none where it is no category. */
function categoryCodes(graph: Graph, feature: FeatureEncoding, categories: readonly string[]): string {
  const missing = categories.includes('') ? [] : [''];
  return graph.node('LabelEncoder', [feature.name], {
    keys_strings: [...categories, ...missing],
    values_int64s: [...categories.map((_, i) => i), ...missing.map(() => categories.length + 1)],
    default_int64: categories.length,
  });
}

const asDouble = (graph: Graph, value: string): string => graph.node('Cast', [value], { to: DOUBLE });

/** A number and whether it is none: NaN or infinite. */
function finite(graph: Graph, name: string): { value: string; unknown: string } {
  const infinite = graph.node('IsInf', [name]);
  const unknown = graph.node('Or', [infinite, graph.node('IsNaN', [name])]);
  return { value: name, unknown };
}

function encodeFeature(graph: Graph, feature: FeatureEncoding): string[] {
  switch (feature.kind) {
    case 'category':
      return [asDouble(graph, categoryCodes(graph, feature, feature.categories))];
    case 'number': {
      const { value, unknown } = finite(graph, feature.name);
      return [graph.node('Where', [unknown, graph.constant(doubles([Number.NaN], [1, 1])), value])];
    }
    case 'one_hot': {
      const count = feature.categories.length;
      const kept = [
        ...feature.categories.map((_, i) => i),
        ...(feature.other ? [count] : []),
        ...(feature.missing ? [count + 1] : []),
      ];
      if (kept.length === 0) return [];
      const codes = categoryCodes(graph, feature, feature.categories);
      const same = graph.node('Equal', [codes, graph.constant(integers(kept, [1, kept.length]))]);
      return [asDouble(graph, same)];
    }
    case 'standard': {
      const { value, unknown } = finite(graph, feature.name);
      const centred = graph.node('Sub', [value, graph.constant(doubles(feature.means, [1, 1]))]);
      const scaled = graph.node('Div', [centred, graph.constant(doubles(feature.scales, [1, 1]))]);
      const zero = graph.constant(doubles([0], [1, 1]));
      const known = graph.node('Where', [unknown, zero, scaled]);
      return [known, ...(feature.indicators[0] ? [asDouble(graph, unknown)] : [])];
    }
  }
}

const LEQ = 0;
const MEMBER = 6;

function forestNode(graph: Graph, forest: Forest, encoded: string): string {
  const node = {
    featureids: [] as number[],
    modes: [] as number[],
    splits: [] as number[],
    missing: [] as number[],
    trueIds: [] as number[],
    trueLeafs: [] as number[],
    falseIds: [] as number[],
    falseLeafs: [] as number[],
  };
  const leafTargets: number[] = [];
  const leafWeights: number[] = [];
  const members: number[] = [];
  const roots: number[] = [];
  const leaf = (target: number, weight: number): number => {
    leafTargets.push(target);
    return leafWeights.push(weight) - 1;
  };
  const inner = (feature: number, mode: number, split: number, missing: number): number => {
    node.featureids.push(feature);
    node.modes.push(mode);
    node.splits.push(split);
    node.missing.push(missing);
    node.trueIds.push(0);
    node.trueLeafs.push(0);
    node.falseIds.push(0);
    return node.falseLeafs.push(0) - 1;
  };
  /** A tree must have an inner node: one whose both branches are the leaf. */
  const stump = (target: number, weight: number): void => {
    const at = inner(0, LEQ, 0, 0);
    const id = leaf(target, weight);
    roots.push(at);
    node.trueIds[at] = id;
    node.trueLeafs[at] = 1;
    node.falseIds[at] = id;
    node.falseLeafs[at] = 1;
  };
  for (const round of forest.rounds)
    for (const [target, tree] of round.entries()) {
      if (tree.feature[0]! < 0) {
        stump(target, tree.value[0]!);
        continue;
      }
      // Parents before children, and the member lists in the order of their nodes.
      const visit = (at: number): { id: number; isLeaf: number } => {
        if (tree.feature[at]! < 0) return { id: leaf(target, tree.value[at]!), isLeaf: 1 };
        const codes = tree.categories[String(at)];
        const split = codes ? 0 : tree.threshold[at]!;
        const id = inner(tree.feature[at]!, codes ? MEMBER : LEQ, split, codes ? 0 : tree.missing[at]!);
        if (codes) members.push(...codes, Number.NaN);
        const yes = visit(tree.left[at]!);
        const no = visit(tree.right[at]!);
        node.trueIds[id] = yes.id;
        node.trueLeafs[id] = yes.isLeaf;
        node.falseIds[id] = no.id;
        node.falseLeafs[id] = no.isLeaf;
        return { id, isLeaf: 0 };
      };
      roots.push(visit(0).id);
    }
  if (roots.length === 0) for (const target of forest.start.keys()) stump(target, 0);
  const sums = graph.node('TreeEnsemble', [encoded], {
    aggregate_function: 1,
    post_transform: 0,
    n_targets: forest.start.length,
    tree_roots: roots,
    nodes_featureids: node.featureids,
    nodes_modes: small(node.modes),
    nodes_splits: doubles(node.splits),
    nodes_missing_value_tracks_true: node.missing,
    nodes_truenodeids: node.trueIds,
    nodes_trueleafs: node.trueLeafs,
    nodes_falsenodeids: node.falseIds,
    nodes_falseleafs: node.falseLeafs,
    leaf_targetids: leafTargets,
    leaf_weights: doubles(leafWeights),
    ...(members.length > 0 ? { membership_values: doubles(members) } : {}),
  });
  return graph.node('Add', [sums, graph.constant(doubles([...forest.start], [1, forest.start.length]))]);
}

/** Whether a feature is a text input of the ONNX model. */
export const isText = (feature: FeatureEncoding): boolean =>
  feature.kind === 'one_hot' || feature.kind === 'category';

/**
 * The model as bytes of an ONNX file. Output `probabilities` `[N, classes]`, or `prediction` `[N, 1]` of a regression.
 * Scores are those of the model up to the rounding of sums and of exp: 1e-12 of the largest term.
 * @throws MillraceError USAGE for what has no such form: a baseline, vectors.
 */
export function toOnnx(model: TrainedModel): Uint8Array {
  const { encoder, predictor, task } = model;
  const wide = encoder.features.find(
    (feature) => !isText(feature) && encodingWidth(feature) > (feature.kind === 'standard' ? 2 : 1),
  );
  if (predictor.kind === 'constant')
    throw new MillraceError('USAGE', 'a baseline has no inputs, and so no ONNX form');
  if (wide)
    throw new MillraceError(
      'USAGE',
      `feature ${wide.name} is a vector, which has no column of its own in ONNX`,
      {
        hint: 'Leave it out of the model with `exclude`.',
      },
    );
  const graph = createGraph('millrace');
  const columns = encoder.features.flatMap((feature) => encodeFeature(graph, feature));
  const encoded = graph.node('Concat', columns, { axis: 1 });
  let scores: string;
  let outputs: number;
  if (predictor.kind === 'forest') {
    outputs = predictor.forest.start.length;
    scores = forestNode(graph, predictor.forest, encoded);
  } else {
    outputs = predictor.outputs.length;
    const weights = Array.from({ length: encoder.width }, (_, j) =>
      predictor.outputs.map((output) => output.coefficients[j]!),
    );
    const product = graph.node('MatMul', [
      encoded,
      graph.constant(doubles(weights.flat(), [encoder.width, outputs])),
    ]);
    scores = graph.node('Add', [
      product,
      graph.constant(
        doubles(
          predictor.outputs.map((output) => output.intercept),
          [1, outputs],
        ),
      ),
    ]);
  }
  const inputs = encoder.features.map((feature) => ({
    name: feature.name,
    type: isText(feature) ? STRING : DOUBLE,
  }));
  if (task === 'regression') return graph.finish(inputs, { from: scores, name: 'prediction', width: 1 });
  if (outputs > 1) {
    const from = graph.node('Softmax', [scores], { axis: 1 });
    return graph.finish(inputs, { from, name: 'probabilities', width: outputs });
  }
  const both = [graph.node('Sigmoid', [graph.node('Neg', [scores])]), graph.node('Sigmoid', [scores])];
  const from = graph.node('Concat', both, { axis: 1 });
  return graph.finish(inputs, { from, name: 'probabilities', width: 2 });
}
