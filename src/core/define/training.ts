import type { Place } from '../base/error.js';
import { fingerprint } from '../base/fingerprint.js';
import { isNumeric, printType, sameType } from '../schema/types.js';
import { readAggregation } from './aggregation.js';
import { documentationOf } from './collect.js';
import { checkColumns, foldName, PART_COLUMN } from './columns.js';
import {
  fieldOf,
  findField,
  findSource,
  joinKeysOf,
  keyField,
  type Resolved,
  recordScope,
} from './context.js';
import { readCondition, readExpression } from './expressions.js';
import { canonicalAggregation, declaredType, typedDefault } from './features.js';
import { type Located, type Out, suggestion } from './shape.js';
import type { datasetShape, labelShape, modelShape } from './shapes/training.js';
import { PART_NAMES } from './shapes/words.js';
import { canonicalValue, refuseUrl } from './sources.js';
import { checkTrainer } from './trainers.js';
import type {
  Dataset,
  DatasetChecks,
  Feature,
  FeatureCheck,
  FeatureSet,
  Label,
  Limits,
  MetricRequirement,
  Model,
  Observations,
  PartName,
  Source,
  Split,
  Task,
} from './types.js';

type RawDataset = Out<typeof datasetShape>;
type RawLabel = Out<typeof labelShape>;
type RawModel = Out<typeof modelShape>;

/** Features of a written list, sets and `windows` expanded, each once. Broken ones are left out (and reported). */
function expandNames(
  context: Resolved,
  subject: string,
  written: readonly Located<string>[],
  open: readonly string[] = [],
): readonly string[] {
  const { raw, report, expansions } = context;
  const names: string[] = [];
  for (const item of written) {
    const set = raw.featureSets.get(item.value);
    if (open.includes(item.value)) {
      report.add(
        'DEF_CYCLE',
        item.place,
        `feature sets contain each other: ${[...open, item.value].join(' → ')}`,
      );
    } else if (expansions.has(item.value))
      names.push(...expansions.get(item.value)!.filter((name) => context.features.has(name)));
    else if (context.features.has(item.value)) names.push(item.value);
    else if (set)
      names.push(
        ...expandNames(context, `feature set \`${item.value}\``, set.features ?? [], [...open, item.value]),
      );
    else if (!raw.features.has(item.value) && !isExpanded(context, item.value)) {
      report.unknown(subject, 'feature', item, [
        ...raw.features.keys(),
        ...[...expansions.values()].flat(),
        ...raw.featureSets.keys(),
      ]);
    }
  }
  return [...new Set(names)];
}

const isExpanded = ({ expansions }: Resolved, name: string): boolean =>
  [...expansions.values()].some((names) => names.includes(name));

const featurePrints = (context: Resolved, names: readonly string[]): readonly string[] =>
  names.map((name) => context.features.get(name)!.fingerprint);

export function resolveFeatureSets(context: Resolved): ReadonlyMap<string, FeatureSet> {
  const sets = new Map<string, FeatureSet>();
  for (const [name, raw] of context.raw.featureSets) {
    if (!raw.features) continue;
    const subject = `feature set \`${name}\``;
    const before = context.report.diagnostics.length;
    const features = expandNames(context, subject, raw.features, [name]);
    if (features.length === 0 && raw.features.length === 0 && context.report.diagnostics.length === before) {
      context.report.add(
        'DEF_INVALID_VALUE',
        raw.$.keys.get('features'),
        `${subject} has no features: expected at least one`,
      );
    }
    const print = fingerprint({ kind: 'feature_set', name, features: featurePrints(context, features) });
    sets.set(name, { ...documentationOf(raw), name, features, fingerprint: print });
  }
  return sets;
}

export function resolveLabels(context: Resolved): ReadonlyMap<string, Label> {
  const labels = new Map<string, Label>();
  for (const [name, raw] of context.raw.labels) {
    const label = resolveLabel(context, name, raw);
    if (label) labels.set(name, label);
  }
  return labels;
}

function resolveLabel(context: Resolved, name: string, raw: RawLabel): Label | undefined {
  const { report } = context;
  const subject = `label \`${name}\``;
  const horizon = raw.horizon?.value;
  const grace = raw.grace?.value ?? 0;
  const common = { ...documentationOf(raw), name, grace };
  if (name.startsWith('_') || [PART_COLUMN, 'rowid'].includes(foldName(name))) {
    report.add(
      'DEF_INVALID_VALUE',
      raw.name!.place,
      `a label cannot be named \`${name}\`: \`${PART_COLUMN}\`, \`rowid\` and names that begin with _ are kept for the system`,
      { hint: 'Give it another name.' },
    );
  }
  if (raw.$.keys.has('aggregation')) {
    for (const key of ['source', 'expression'] as const) {
      if (raw[key])
        report.add(
          'DEF_INVALID_VALUE',
          raw[key].place,
          `${subject} has both \`aggregation\` and \`${key}\`: expected one form`,
        );
    }
    if (!raw.entity) {
      return report.add(
        'DEF_MISSING_KEY',
        raw.$.place,
        `${subject} has no \`entity\`: expected whose records are aggregated`,
      );
    }
    if (!context.raw.entities.has(raw.entity.value))
      return report.unknown(subject, 'entity', raw.entity, context.raw.entities.keys());
    if (!raw.aggregation || horizon === undefined) return undefined;
    for (const key of ['window', 'windows', 'offset', 'include_current'] as const) {
      const place = raw.aggregation.$.keys.get(key);
      if (place)
        report.add(
          'DEF_UNKNOWN_KEY',
          place,
          `${subject}: a label looks forward by \`horizon\` and takes no \`${key}\``,
          { hint: `Remove \`${key}\`.` },
        );
    }
    const found = readAggregation(context, subject, raw.aggregation, horizon);
    if (!found || !context.entities.has(raw.entity.value)) return undefined;
    const missing = joinKeysOf(context, [raw.entity.value]).find((key) => !keyField(found.source, key.name));
    if (missing) {
      return report.add(
        'DEF_UNKNOWN_NAME',
        raw.aggregation.source!.place,
        `${subject}: source \`${found.source.name}\` has no field for the join key \`${missing.name}\``,
        {
          hint: `Add \`keys: { ${missing.name}: FIELD }\` to the source if the field has another name.`,
        },
      );
    }
    const valueType = declaredType(context, subject, raw.value_type, found.type);
    if (!valueType) return undefined;
    const written = raw.aggregation.default;
    const fallback =
      written && written.value !== null ? typedDefault(context, subject, written, valueType) : undefined;
    if (fallback === 'invalid') return undefined;
    const { aggregation } = found;
    const print = fingerprint({
      kind: 'label',
      name,
      aggregation: canonicalAggregation(aggregation),
      source: found.source.fingerprint,
      entity: context.entities.get(raw.entity.value)!.fingerprint,
      horizon,
      grace,
      valueType: printType(valueType),
      default: fallback === undefined ? undefined : [canonicalValue(fallback)],
    });
    return {
      ...common,
      default: fallback,
      source: found.source.name,
      kind: 'aggregation',
      expression: null,
      aggregation,
      entity: raw.entity.value,
      horizon,
      valueType,
      fingerprint: print,
    };
  }
  for (const key of ['source', 'expression'] as const) {
    if (raw.$.keys.has(key)) continue;
    report.add('DEF_MISSING_KEY', raw.$.place, `${subject} has no \`${key}\``, {
      hint: 'Write `source` and `expression`, or `entity` and `aggregation`.',
    });
  }
  const source = raw.source && findSource(context, subject, raw.source);
  if (raw.entity && !context.raw.entities.has(raw.entity.value))
    report.unknown(subject, 'entity', raw.entity, context.raw.entities.keys());
  if (!source || !raw.expression) return undefined;
  const expression = readExpression(report, subject, raw.expression, recordScope(context, source));
  const valueType = expression && declaredType(context, subject, raw.value_type, expression.type);
  if (!expression || !valueType || horizon === undefined) return undefined;
  const print = fingerprint({
    kind: 'label',
    name,
    expression: expression.canonical,
    source: source.fingerprint,
    horizon,
    grace,
    valueType: printType(valueType),
  });
  return {
    ...common,
    default: undefined,
    source: source.name,
    kind: 'record',
    expression,
    aggregation: null,
    entity: raw.entity?.value ?? null,
    horizon,
    valueType,
    fingerprint: print,
  };
}

export function resolveDatasets(
  context: Resolved,
  labels: ReadonlyMap<string, Label>,
): ReadonlyMap<string, Dataset> {
  const datasets = new Map<string, Dataset>();
  for (const [name, raw] of context.raw.datasets) {
    const dataset = resolveDataset(context, name, raw, labels);
    if (dataset) datasets.set(name, dataset);
  }
  return datasets;
}

function resolveDataset(
  context: Resolved,
  name: string,
  raw: RawDataset,
  labels: ReadonlyMap<string, Label>,
): Dataset | undefined {
  const { report } = context;
  const subject = `dataset \`${name}\``;
  const before = report.diagnostics.length;
  const observations = readObservations(context, subject, raw);
  const features = expandNames(context, subject, raw.features ?? []);
  if (raw.features?.length === 0) {
    report.add(
      'DEF_INVALID_VALUE',
      raw.$.keys.get('features'),
      `${subject} has no features: expected at least one`,
    );
  }
  if (raw.label && !context.raw.labels.has(raw.label.value))
    report.unknown(subject, 'label', raw.label, context.raw.labels.keys());
  const label = raw.label && labels.get(raw.label.value);
  const source =
    observations?.from.kind === 'source' ? context.sources.get(observations.from.source) : undefined;
  if (source) checkObservations(context, subject, raw, source, features, label);
  checkColumns(
    context,
    subject,
    { features: raw.$.keys.get('features'), label: raw.label },
    features,
    label,
    source,
  );
  const split = readSplit(context, subject, raw, features, source);
  const checks = readChecks(context, subject, raw, features);
  if (raw.partition && raw.partition.value !== 'none' && observations?.from.kind === 'file')
    report.add(
      'DEF_INVALID_VALUE',
      raw.partition.place,
      `\`partition\` of ${subject} needs observations from a source: a file of observations is one partition`,
      { hint: 'Remove it, or read the observations as a source.' },
    );
  const failed = report.diagnostics.slice(before).some((diagnostic) => diagnostic.severity === 'error');
  if (failed || !observations || (raw.label && !label)) return undefined;
  const knowledge = raw.knowledge?.value ?? 'as_of';
  const print = fingerprint({
    kind: 'dataset',
    name,
    observations: {
      from: { ...observations.from },
      time: observations.time,
      where: observations.where?.canonical ?? null,
    },
    source: source?.fingerprint ?? null,
    features: featurePrints(context, features),
    label: label?.fingerprint ?? null,
    split,
    knowledge,
  });
  return {
    ...documentationOf(raw),
    name,
    observations,
    features,
    label: label?.name ?? null,
    split,
    knowledge,
    partition:
      observations.from.kind === 'file' ? 'none' : (raw.partition?.value ?? { unit: 'month', count: 1 }),
    checks,
    fingerprint: print,
  };
}

const limitsOf = (
  written:
    | { readonly min?: Located<number> | undefined; readonly max?: Located<number> | undefined }
    | undefined,
): Limits => ({ min: written?.min?.value ?? null, max: written?.max?.value ?? null });

/** Those of all features are given to each; a feature's own stand before them. */
function readChecks(
  { report }: Resolved,
  subject: string,
  raw: RawDataset,
  features: readonly string[],
): DatasetChecks {
  const written = raw.checks;
  const checks = new Map<string, FeatureCheck>();
  const common = { nullRate: written?.null_rate?.value ?? null, drift: written?.drift?.value ?? null };
  if (common.nullRate !== null || common.drift !== null)
    for (const name of features) checks.set(name, { ...common, min: null, max: null });
  for (const item of written?.features ?? []) {
    if (!item.feature) continue;
    if (!features.includes(item.feature.value)) {
      report.unknown(`\`checks\` of ${subject}`, 'feature', item.feature, features);
      continue;
    }
    checks.set(item.feature.value, {
      nullRate: item.null_rate?.value ?? common.nullRate,
      drift: item.drift?.value ?? common.drift,
      ...limitsOf(item),
    });
  }
  if (written?.label_rate && !raw.label)
    report.add(
      'DEF_INVALID_VALUE',
      written.label_rate.$.place,
      `\`label_rate\` of ${subject} needs a label`,
      { hint: 'Give the dataset a `label`, or remove the check.' },
    );
  return { rows: limitsOf(written?.rows), labelRate: limitsOf(written?.label_rate), features: checks };
}

function readObservations(context: Resolved, subject: string, raw: RawDataset): Observations | undefined {
  const { report } = context;
  const written = raw.observations;
  if (!written) return undefined;
  const hasSource = written.$.keys.has('source');
  const hasFiles = written.$.keys.has('files');
  if (hasSource === hasFiles) {
    return report.add(
      'DEF_MISSING_KEY',
      written.$.place,
      `\`observations\` of ${subject} names ${hasSource ? 'both source and files' : 'neither source nor files'}: expected one of them`,
      {
        hint: 'Write `observations: { source: orders, time: ordered_at }`.',
      },
    );
  }
  if (written.files) {
    refuseUrl(report, written.files, `\`files\` of ${subject}`);
    if (!written.time) {
      if (written.$.keys.has('time')) return undefined;
      return report.add(
        'DEF_MISSING_KEY',
        written.$.place,
        `\`observations\` of ${subject} has no \`time\`: expected the column of the observation time`,
      );
    }
    if (written.where) {
      return report.add(
        'DEF_INVALID_VALUE',
        written.where.place,
        `\`where\` of ${subject} needs a source: the columns of a file have no declared types`,
      );
    }
    return { from: { kind: 'file', path: written.files.value }, time: written.time.value, where: null };
  }
  const source = written.source && findSource(context, subject, written.source);
  if (!source) return undefined;
  const time = written.time
    ? findField(context, `\`time\` of ${subject}`, source, written.time)
    : fieldOf(source, source.eventTime);
  if (time && time.type.kind !== 'timestamp' && time.type.kind !== 'date') {
    return report.add(
      'DEF_TYPE',
      written.time!.place,
      `\`time\` of ${subject} is the field \`${time.name}\` of type ${printType(time.type)}: expected timestamp or date`,
    );
  }
  const where = readCondition(report, `\`where\` of ${subject}`, written.where, recordScope(context, source));
  if (!time || (written.where && !where)) return undefined;
  return { from: { kind: 'source', source: source.name }, time: time.name, where: where ?? null };
}

/** Observations carry every join key and request field that the features need, and the key of the label's records. */
function checkObservations(
  context: Resolved,
  subject: string,
  raw: RawDataset,
  source: Source,
  features: readonly string[],
  label: Label | undefined,
): void {
  const { report } = context;
  const place = raw.observations!.source!.place;
  const closure = new Map<string, Feature>();
  const visit = (name: string): void => {
    const feature = context.features.get(name);
    if (!feature || closure.has(name)) return;
    closure.set(name, feature);
    feature.dependsOn.forEach(visit);
  };
  features.forEach(visit);
  const told = new Set<string>();
  for (const feature of closure.values()) {
    for (const key of joinKeysOf(context, feature.entities)) {
      if (told.has(key.name)) continue;
      const field = keyField(source, key.name);
      if (field && sameType(field.type, key.type)) continue;
      told.add(key.name);
      if (field) {
        report.add(
          'DEF_TYPE',
          place,
          `${subject}: join key \`${key.name}\` is ${printType(field.type)} in source \`${source.name}\` and ${printType(key.type)} for feature \`${feature.name}\``,
          {
            hint: 'Keys are compared exactly: give the fields one type.',
          },
        );
      } else {
        report.add(
          'DEF_UNKNOWN_NAME',
          place,
          `${subject}: observations of \`${source.name}\` have no field \`${key.name}\`, which feature \`${feature.name}\` needs`,
          {
            ...suggestion(
              key.name,
              source.fields.map((known) => known.name),
            ),
            hint: `Add \`keys: { ${key.name}: FIELD }\` to the source if the field has another name.`,
          },
        );
      }
    }
    for (const request of feature.requestFields) {
      const field = fieldOf(source, request.name);
      const token = `request.${request.name}`;
      if (told.has(token)) continue;
      if (!field) {
        told.add(token);
        report.add(
          'DEF_UNKNOWN_NAME',
          place,
          `${subject}: observations of \`${source.name}\` have no field \`${request.name}\`, which feature \`${feature.name}\` reads as \`request.${request.name}\``,
          suggestion(
            request.name,
            source.fields.map((known) => known.name),
          ),
        );
      } else if (
        !sameType(field.type, request.type) &&
        !(isNumeric(field.type) && request.type.kind === 'float64')
      ) {
        told.add(token);
        report.add(
          'DEF_TYPE',
          place,
          `${subject}: \`${request.name}\` is ${printType(field.type)} in source \`${source.name}\` and ${printType(request.type)} as \`request.${request.name}\` of feature \`${feature.name}\``,
        );
      }
    }
  }
  if (label?.kind === 'record') {
    const outcomes = context.sources.get(label.source)!;
    for (const name of outcomes.recordKey) {
      const own = fieldOf(source, name);
      const theirs = fieldOf(outcomes, name)!;
      if (!own) {
        report.add(
          'DEF_UNKNOWN_NAME',
          raw.label!.place,
          `${subject}: label \`${label.name}\` finds its records by \`${name}\`, which source \`${source.name}\` does not have`,
          {
            hint: 'The outcome must have the record key of the observation.',
          },
        );
      } else if (!sameType(own.type, theirs.type)) {
        report.add(
          'DEF_TYPE',
          raw.label!.place,
          `${subject}: \`${name}\` is ${printType(own.type)} in \`${source.name}\` and ${printType(theirs.type)} in \`${outcomes.name}\``,
          {
            hint: 'Keys are compared exactly: give the fields one type.',
          },
        );
      }
    }
  }
  if (label?.kind === 'aggregation') {
    const missing = joinKeysOf(context, [label.entity!]).find((key) => !keyField(source, key.name));
    if (missing) {
      report.add(
        'DEF_UNKNOWN_NAME',
        raw.label!.place,
        `${subject}: observations of \`${source.name}\` have no field \`${missing.name}\`, which label \`${label.name}\` needs`,
      );
    }
  }
}

function readSplit(
  context: Resolved,
  subject: string,
  raw: RawDataset,
  features: readonly string[],
  source: Source | undefined,
): Split | null {
  const { report } = context;
  const split = raw.split;
  if (!split?.by) return null;
  const where = `\`split\` of ${subject}`;
  const by = split.by.value;
  const wants = by === 'cuts' || (by === 'time' && split.$.keys.has('cuts')) ? 'cuts' : 'parts';
  const other = wants === 'cuts' ? 'parts' : 'cuts';
  const stray = split.$.keys.get(other);
  if (stray)
    report.add(
      'DEF_INVALID_VALUE',
      stray,
      `${where} by ${by} does not take \`${other}\`: expected \`${wants}\``,
    );
  if (!split.$.keys.has(wants)) {
    report.add('DEF_MISSING_KEY', split.$.place, `${where} has no \`${wants}\``, {
      hint:
        wants === 'cuts'
          ? "Write `cuts: { train: '2014-08-15', validation: '2014-10-01', test: end }`."
          : 'Write `parts: { train: 0.7, validation: 0.15, test: 0.15 }`.',
    });
    return null;
  }
  for (const [key, allowed] of [
    ['seed', by === 'entity' || by === 'random'],
    ['entity', by === 'entity'],
  ] as const) {
    const place = split.$.keys.get(key);
    if (place && !allowed)
      report.add('DEF_INVALID_VALUE', place, `${where} by ${by} does not take \`${key}\``);
  }
  if (wants === 'cuts') {
    const parts = PART_NAMES.flatMap((name) => {
      const entry = split.cuts?.get(name);
      return entry
        ? [{ name, until: entry.value.value, place: entry.value.place, text: entry.value.text }]
        : [];
    });
    for (const [index, part] of parts.entries()) {
      const last = index === parts.length - 1;
      const previous = parts[index - 1]?.until;
      if (part.until === null && !last)
        report.add(
          'DEF_INVALID_VALUE',
          part.place,
          `${where}: only the last part may end at \`end\`, and ${part.name} is not the last`,
        );
      else if (last && part.until !== null)
        report.add(
          'DEF_INVALID_VALUE',
          part.place,
          `${where}: the last part, ${part.name}, ends at ${part.text}: expected end`,
          { hint: 'Use `where` of the observations to leave later rows out.' },
        );
      else if (part.until !== null && typeof previous === 'number' && part.until <= previous) {
        report.add(
          'DEF_INVALID_VALUE',
          part.place,
          `${where}: ${part.name} ends at ${part.text}, which is not after the part before it`,
          { hint: 'Parts follow each other: train, validation, test, holdout.' },
        );
      }
    }
    return { by: 'time_cuts', parts: parts.map(({ name, until }) => ({ name, until })) };
  }
  const parts = PART_NAMES.flatMap((name) => {
    const entry = split.parts?.get(name);
    return entry ? [{ name, share: entry.value.value }] : [];
  });
  const sum = parts.reduce((total, part) => total + part.share, 0);
  if (Math.abs(sum - 1) > 1e-9 && parts.length === split.parts?.size) {
    report.add(
      'DEF_INVALID_VALUE',
      split.$.keys.get('parts'),
      `shares of ${where} sum to ${Number(sum.toFixed(9))}: expected 1`,
    );
  }
  if (by === 'time') return { by, parts };
  const seed = split.seed?.value ?? 0;
  if (by === 'random') return { by, parts, seed };
  const entity = splitEntity(context, where, split.entity, features, split.$.place);
  if (entity === undefined) return null;
  const missing = source && joinKeysOf(context, [entity]).find((key) => !keyField(source, key.name));
  if (missing) {
    report.add(
      'DEF_UNKNOWN_NAME',
      split.entity?.place ?? split.$.place,
      `${where}: observations of \`${source!.name}\` have no field \`${missing.name}\` of entity \`${entity}\``,
    );
  }
  return { by: 'entity', parts, seed, entity };
}

function splitEntity(
  context: Resolved,
  where: string,
  written: Located<string> | undefined,
  features: readonly string[],
  place: Place,
): string | undefined {
  if (written) {
    if (context.raw.entities.has(written.value)) return written.value;
    return context.report.unknown(where, 'entity', written, context.raw.entities.keys());
  }
  const entities = [...new Set(features.flatMap((name) => context.features.get(name)?.entities ?? []))];
  if (entities.length === 1) return entities[0];
  return context.report.add(
    'DEF_MISSING_KEY',
    place,
    `${where} by entity has no \`entity\`: expected one of ${entities.join(', ') || 'the entities'}`,
    {
      hint: 'All rows of one of these stay in one part.',
    },
  );
}

/** What evaluation reports, by task. */
export const METRICS: Readonly<Record<Task, readonly string[]>> = {
  binary: [
    'auc',
    'average_precision',
    'log_loss',
    'brier',
    'ece',
    'accuracy',
    'precision',
    'recall',
    'specificity',
    'f1',
    'positive_rate',
  ],
  multiclass: ['accuracy', 'log_loss', 'macro_f1', 'macro_auc'],
  regression: ['rmse', 'mse', 'mae', 'median_absolute_error', 'r2', 'mape', 'mean_error'],
};

const OPERATORS: Readonly<Record<string, MetricRequirement['operator']>> = {
  '>=': '>=',
  '>': '>',
  '<=': '<=',
  '<': '<',
  '=': '=',
  '==': '=',
};

/** `test.auc >= 0.70`; where there are no parts (monitors), `auc >= 0.65`. */
export function readRequirement(
  context: Resolved,
  subject: string,
  written: Located<string>,
  task: Task,
  parts: readonly PartName[] | null,
): MetricRequirement | undefined {
  const { report } = context;
  const match = /^\s*(?:(\w+)\.)?(\w+)\s*(>=|<=|==|=|>|<)\s*(-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)\s*$/.exec(
    written.value,
  );
  const example = parts ? 'test.auc >= 0.70' : 'auc >= 0.65';
  if (!match || (parts && match[1] === undefined)) {
    return report.add(
      'DEF_INVALID_VALUE',
      written.place,
      `${subject} requires \`${written.value}\`: expected ${parts ? 'a part, ' : ''}a metric and a limit such as ${example}`,
    );
  }
  const part = match[1] === undefined ? 'test' : readPart(context, subject, written, match[1], parts);
  const metric = readMetric(context, subject, written, match[2]!, task);
  if (!part || !metric) return undefined;
  return {
    part,
    metric,
    operator: OPERATORS[match[3]!]!,
    value: Number(match[4]),
    text: written.value.trim(),
  };
}

function readPart(
  context: Resolved,
  subject: string,
  written: Located<string>,
  part: string,
  parts: readonly PartName[] | null,
): PartName | undefined {
  const known = parts ?? PART_NAMES;
  const found = known.find((name) => name === part);
  if (found) return found;
  return context.report.add(
    'DEF_UNKNOWN_NAME',
    written.at(written.value.indexOf(part)),
    `${subject} names the part \`${part}\`, which its dataset does not have`,
    {
      ...suggestion(part, known),
      hint: known.length > 0 ? `Parts: ${known.join(', ')}.` : 'Give the dataset a `split`.',
    },
  );
}

function readMetric(
  context: Resolved,
  subject: string,
  written: Located<string>,
  metric: string,
  task: Task,
): string | undefined {
  if (METRICS[task].includes(metric)) return metric;
  return context.report.add(
    'DEF_UNKNOWN_NAME',
    written.at(Math.max(0, written.value.indexOf(metric))),
    `${subject} names the metric \`${metric}\`, which a ${task} model does not have`,
    {
      ...suggestion(metric, METRICS[task]),
      hint: `Metrics: ${METRICS[task].join(', ')}.`,
    },
  );
}

export function resolveModels(
  context: Resolved,
  datasets: ReadonlyMap<string, Dataset>,
  labels: ReadonlyMap<string, Label>,
): ReadonlyMap<string, Model> {
  const models = new Map<string, Model>();
  for (const [name, raw] of context.raw.models) {
    const model = resolveModel(context, name, raw, datasets, labels);
    if (model) models.set(name, model);
  }
  return models;
}

function resolveModel(
  context: Resolved,
  name: string,
  raw: RawModel,
  datasets: ReadonlyMap<string, Dataset>,
  labels: ReadonlyMap<string, Label>,
): Model | undefined {
  const { report } = context;
  const subject = `model \`${name}\``;
  const before = report.diagnostics.length;
  if (raw.dataset && !context.raw.datasets.has(raw.dataset.value))
    report.unknown(subject, 'dataset', raw.dataset, context.raw.datasets.keys());
  const dataset = raw.dataset && datasets.get(raw.dataset.value);
  const task = raw.task?.value;
  if (dataset && dataset.label === null) {
    report.add(
      'DEF_MISSING_KEY',
      raw.dataset!.place,
      `${subject} learns from \`${dataset.name}\`, which has no label`,
      { hint: 'Give the dataset a `label`.' },
    );
  }
  const label = dataset?.label ? labels.get(dataset.label) : undefined;
  if (label && task) checkTask(context, subject, raw, label, task);

  const exclude = expandNames(context, `\`exclude\` of ${subject}`, raw.exclude ?? []);
  const absent = dataset && exclude.find((feature) => !dataset.features.includes(feature));
  if (absent) {
    report.add(
      'DEF_UNKNOWN_NAME',
      raw.$.keys.get('exclude'),
      `\`exclude\` of ${subject} names \`${absent}\`, which dataset \`${dataset.name}\` does not have`,
      suggestion(absent, dataset.features),
    );
  }
  if (
    dataset &&
    dataset.features.length > 0 &&
    dataset.features.every((feature) => exclude.includes(feature))
  ) {
    report.add(
      'DEF_INVALID_VALUE',
      raw.$.keys.get('exclude'),
      `${subject} excludes every feature of \`${dataset.name}\``,
    );
  }
  const parts = dataset?.split?.parts.map((part) => part.name) ?? (dataset ? [] : PART_NAMES);
  const require: MetricRequirement[] = [];
  for (const written of raw.promote?.require ?? []) {
    const found = task && readRequirement(context, subject, written, task, parts);
    if (found) require.push(found);
  }
  const beatChampion = task ? readChampion(context, subject, raw, task, parts) : null;
  const parameters = trainerOf(context, subject, raw, task);
  const failed = report.diagnostics.slice(before).some((diagnostic) => diagnostic.severity === 'error');
  if (failed || !dataset || !task || !raw.trainer?.kind) return undefined;
  const trainer = { kind: raw.trainer.kind.value, seed: raw.trainer.seed?.value ?? 0, parameters };
  const promote = { require, beatChampion };
  const print = fingerprint({
    kind: 'model',
    name,
    dataset: dataset.fingerprint,
    task,
    trainer,
    exclude,
    promote,
  });
  return {
    ...documentationOf(raw),
    name,
    dataset: dataset.name,
    task,
    trainer,
    exclude,
    promote,
    fingerprint: print,
  };
}

/** The written parameters of the trainer; says what is wrong with its kind, its seed and each of them. */
function trainerOf(
  context: Resolved,
  subject: string,
  raw: RawModel,
  task: Task | undefined,
): Readonly<Record<string, unknown>> {
  const parameters: Record<string, unknown> = {};
  const { trainer } = raw;
  for (const [key, { value }] of trainer?.$rest ?? []) {
    parameters[key] = Array.isArray(value)
      ? (value as Located<unknown>[]).map((item) => item.value)
      : (value as Located<unknown>).value;
  }
  if (trainer?.env)
    parameters['env'] = Object.fromEntries([...trainer.env].map(([key, { value }]) => [key, value.value]));
  if (!trainer?.kind || !task) return parameters;
  for (const problem of checkTrainer(trainer.kind.value, task, trainer.seed?.value ?? 0, parameters)) {
    const { parameter } = problem;
    const place =
      parameter === null
        ? trainer.kind.place
        : parameter === 'seed'
          ? trainer.seed?.place
          : parameter === 'env'
            ? trainer.$.keys.get('env')
            : trainer.$rest.get(parameter)?.keyPlace;
    context.report.add(
      problem.unknown ? 'DEF_UNKNOWN_NAME' : 'DEF_INVALID_VALUE',
      place,
      `${subject}: ${problem.message}`,
      {
        ...(problem.nearest === undefined ? {} : { nearest: problem.nearest }),
        hint: problem.nearest === undefined ? problem.hint : `Did you mean \`${problem.nearest}\`?`,
      },
    );
  }
  return parameters;
}

function checkTask(context: Resolved, subject: string, raw: RawModel, label: Label, task: Task): void {
  const { kind } = label.valueType;
  const fits = {
    binary: kind === 'boolean' || kind === 'int64',
    multiclass: kind === 'string' || kind === 'int64' || kind === 'boolean',
    regression: isNumeric(label.valueType),
  }[task];
  if (fits) return;
  const expected = {
    binary: 'boolean (or int64 0 and 1)',
    multiclass: 'string or int64',
    regression: 'a number',
  }[task];
  context.report.add(
    'DEF_TYPE',
    raw.task!.place,
    `${subject} is ${task}, and label \`${label.name}\` is ${printType(label.valueType)}: expected ${expected}`,
    {
      hint:
        kind === 'boolean'
          ? 'Write `task: binary`.'
          : isNumeric(label.valueType)
            ? 'Write `task: regression`.'
            : 'Write `task: multiclass`.',
    },
  );
}

function readChampion(
  context: Resolved,
  subject: string,
  raw: RawModel,
  task: Task,
  parts: readonly PartName[],
): Model['promote']['beatChampion'] {
  const written = raw.promote?.beat_champion;
  if (!written?.metric) return null;
  const match = /^\s*(\w+)\.(\w+)\s*$/.exec(written.metric.value);
  if (!match) {
    context.report.add(
      'DEF_INVALID_VALUE',
      written.metric.place,
      `\`beat_champion\` of ${subject} names \`${written.metric.value}\`: expected a part and a metric such as test.auc`,
    );
    return null;
  }
  const part = readPart(context, subject, written.metric, match[1]!, parts);
  const metric = readMetric(context, subject, written.metric, match[2]!, task);
  return part && metric ? { part, metric, by: written.by?.value ?? 0 } : null;
}
