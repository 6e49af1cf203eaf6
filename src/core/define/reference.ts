/** The reference page of definitions, from the shapes. */
import { FOLDS } from '../algebra/catalogue.js';
import { TYPE_NAMES } from '../schema/types.js';
import { argumentsOf, variantsOf } from './functions.js';
import { METRICS } from './models.js';
import type { AnyShape } from './shape.js';
import { settingsKeys } from './shapes/operation.js';
import { listKeys } from './shapes.js';
import { FUNCTION_NAMES } from './types.js';

const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('\n', ' ');

const EXACTNESS: readonly string[] = [
  'Values are exact: integers and decimals are summed as integers, doubles in an exact accumulator, and every result is',
  'rounded once, so that order, threads, merging and engine do not show. `top_k`, `mode`, `median`, `quantile` and',
  '`count_distinct` keep counts of all values, however many there are. Two functions are sketches, with small states of',
  'plain integers that merge without loss, and equal members give equal states on every engine:',
  '',
  '- `approx_quantile`: counts by logarithmic bucket. The result is within 1/128 (0.8 %) of the value of rank',
  '  floor((n - 1) q), for sizes from 2.3e-308 up.',
  '- `approx_count_distinct`: HyperLogLog of 4096 registers. The relative standard error is 1.6 %; four standard errors',
  '  are passed about once in 16,000 results. Small counts are almost always right.',
  '',
  'A result that does not fit its type (int64, a decimal of 18 digits, a finite float64) is null with the status `error`,',
  'which no `default` hides; `features historical` says how many there were. With `group_by` every function gives a map',
  'from category to its value; rows with a null category are in none. A category whose result does not fit is null in the',
  'map, and the status of the map is `error`.',
  '',
  'A `computation` of `nearest_neighbours` compares the query with the current vector (at t, as known at t) of every',
  'key of its source. It is exact: no index, no approximation; ties go by key. Vectors of another length, zero vectors',
  'under `cosine` and nulls are no neighbours; with fewer than `k` the list is shorter, with none it is null.',
];

export function definitionsReference(): string {
  const lines: string[] = [
    '# Definitions',
    '',
    'Generated from the shapes that read the files (`npm run docs`). Every list may stand in any YAML file of',
    '`definitions/`, in `millrace.yaml`, or in TypeScript, where keys may be written in camelCase. Names are unique for',
    'each kind. For an editor: `# yaml-language-server: $schema=node_modules/millrace/schema/millrace.schema.json`.',
    '',
    '## millrace.yaml',
    '',
    'All keys are optional.',
    '',
    ...table(settingsKeys),
  ];
  for (const [name, key] of Object.entries(listKeys)) {
    lines.push('', `## ${name}`, '', key.description, '');
    const shape = key.shape;
    if (shape.kind === 'list' && shape.of.kind === 'object') lines.push(...section(shape.of, ''));
  }
  lines.push(
    '',
    '## Aggregation functions',
    '',
    '| function | also written | over a field of | arguments | nothing to aggregate |',
    '|---|---|---|---|---|',
  );
  for (const name of FUNCTION_NAMES) {
    const fold = FOLDS[name];
    const use = argumentsOf(name);
    const takes = [
      ...use.required.map((argument) => `\`${argument}\``),
      ...use.optional.map((argument) => `\`${argument}\` (optional)`),
    ];
    const over =
      fold.needsField === false
        ? 'records, no field'
        : `${fold.acceptsText}${fold.needsField === 'optional' ? '; or records' : ''}`;
    const variants = [...variantsOf(name), ...(name === 'quantile' ? ['p50, p95, ...'] : [])];
    lines.push(
      `| \`${name}\` | ${variants.join(', ')} | ${over} | ${takes.join(', ')} | ${fold.emptyValue ?? 'null'} |`,
    );
  }
  lines.push(
    '',
    ...EXACTNESS,
    '',
    '## Types',
    '',
    TYPE_NAMES.map((name) => `\`${name}\``).join(', '),
    '',
    '## Metrics',
    '',
  );
  for (const [task, metrics] of Object.entries(METRICS))
    lines.push(`- ${task}: ${metrics.map((metric) => `\`${metric}\``).join(', ')}`);
  return `${lines.join('\n')}\n`;
}

type Keys = Extract<AnyShape, { kind: 'object' }>['keys'];

function table(keys: Keys, path = ''): readonly string[] {
  const rows = Object.entries(keys).map(
    ([name, key]) =>
      `| \`${path}${name}\`${key.required ? ' **required**' : ''} | ${cell(valueText(key.shape))} | ${cell(key.description)} |`,
  );
  return ['| key | value | meaning |', '|---|---|---|', ...rows];
}

/** A table for an object, and one for each object inside of it. */
function section(shape: Extract<AnyShape, { kind: 'object' }>, path: string): readonly string[] {
  const lines = [...table(shape.keys)];
  const inner: (readonly [string, AnyShape])[] = Object.entries(shape.keys).map(([name, key]) => [
    `${path}${name}`,
    key.shape,
  ]);
  if (shape.rest) inner.push([`${path}FIELD`, shape.rest.shape]);
  for (const [name, child] of inner) {
    for (const object of objectsIn(child)) {
      if (Object.keys(object.keys).length === 0) continue;
      lines.push('', `### \`${name}\``, '', ...section(object, `${name}.`));
    }
  }
  return lines;
}

function objectsIn(shape: AnyShape): readonly Extract<AnyShape, { kind: 'object' }>[] {
  switch (shape.kind) {
    case 'object':
      return [shape];
    case 'list':
    case 'mapping':
      return objectsIn(shape.of);
    case 'either':
      return shape.options.flatMap(objectsIn);
    default:
      return [];
  }
}

function valueText(shape: AnyShape): string {
  switch (shape.kind) {
    case 'text':
      return `${shape.what}${shape.examples.length > 0 ? `: ${shape.examples.map((example) => `\`${example}\``).join(', ')}` : ''}`;
    case 'choice':
      return shape.values.map((value) => `\`${value}\``).join(', ');
    case 'object':
      return 'an object, see below';
    case 'list':
      return shape.of.kind === 'object' ? 'a list of objects, see below' : shape.what;
    case 'mapping':
      return shape.what;
    case 'either':
      return shape.options.map(valueText).join(', or ');
    default:
      return shape.what;
  }
}
