/** Datasets: observations, features, checks, the split. */

import type { Place } from '../base/error.js';
import { fingerprint } from '../base/fingerprint.js';
import { isNumeric, printType, sameType } from '../schema/types.js';
import { documentationOf } from './collect.js';
import { checkColumns } from './columns.js';
import {
  fieldOf,
  findField,
  findSource,
  joinKeysOf,
  keyField,
  type Resolved,
  recordScope,
} from './context.js';
import { readCondition } from './expressions.js';
import { expandNames, featurePrints } from './feature-sets.js';
import { wholeReading } from './reading.js';
import { type Located, type Out, suggestion } from './shape.js';
import type { datasetShape } from './shapes/training.js';
import { PART_NAMES } from './shapes/words.js';
import { refuseUrl } from './sources.js';
import type {
  Dataset,
  DatasetChecks,
  Feature,
  FeatureCheck,
  Label,
  Limits,
  Observations,
  Source,
  Split,
} from './types.js';

type RawDataset = Out<typeof datasetShape>;
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
    source: source ? wholeReading(source) : null,
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
