/**
 * The leakage audit: what would let a training row see its own future. It reads definitions only, so it runs
 * before any query. Findings that refuse stop the build (exit 3); findings that warn are printed and kept in the
 * manifest.
 */
import { printDuration } from '../base/time.js';
import { aggregatedFields, computedFields } from '../define/reading.js';
import type { Dataset, Definitions, Feature, Label, Source } from '../define/types.js';

export interface LeakageFinding {
  readonly rule:
    | 'outcome_field'
    | 'outcome_request_field'
    | 'outcome_available_at_event'
    | 'derived_from_outcome'
    | 'includes_current'
    | 'hindsight'
    | 'known_too_late'
    | 'known_too_early'
    | 'outcome_known_before'
    | 'predicts_alone';
  readonly severity: 'refuse' | 'warn';
  readonly feature: string | null;
  readonly message: string;
  readonly remedy: string;
}

/** Every source that `source` is computed from, itself included. */
export function sourceAncestors(definitions: Definitions, source: string): ReadonlySet<string> {
  const seen = new Set<string>();
  const visit = (name: string): void => {
    if (seen.has(name)) return;
    seen.add(name);
    const read = definitions.sources.get(name)?.read;
    if (read?.kind === 'transform') for (const parent of read.parents) visit(parent);
  };
  visit(source);
  return seen;
}

/** A feature and every feature it reads, directly or not, in dependency order. */
function featureClosure(definitions: Definitions, names: readonly string[]): readonly Feature[] {
  const ordered: Feature[] = [];
  const seen = new Set<string>();
  const visit = (name: string): void => {
    if (seen.has(name)) return;
    seen.add(name);
    const feature = definitions.features.get(name);
    if (!feature) return;
    for (const dependency of feature.dependsOn) visit(dependency);
    ordered.push(feature);
  };
  for (const name of names) visit(name);
  return ordered;
}

/** Fields of the outcome that the label reads. */
function outcomeFields(label: Label): ReadonlySet<string> {
  const fields = new Set<string>();
  for (const slot of label.expression?.slots ?? []) fields.add(slot.slot);
  return label.aggregation ? new Set([...fields, ...aggregatedFields(label.aggregation)]) : fields;
}

/** True when the source says when its records became known, rather than leaving it at the event time. */
const declaresAvailability = (source: Source): boolean =>
  source.availableAt.kind === 'field' ||
  source.availableAt.kind === 'append' ||
  (source.availableAt.kind === 'delay' && source.availableAt.delay > 0);

const sameMembers = (a: readonly string[], b: readonly string[]): boolean =>
  a.length === b.length && a.every((item) => b.includes(item));

/** A feature that reads records of the label's source, or of one that is computed from it. */
interface OutcomeReading {
  readonly feature: Feature;
  readonly source: Source;
  readonly label: Label;
  readonly outcome: Source;
  /** It reads the outcome itself; false: a source that is computed from it. */
  readonly direct: boolean;
  /** One record of the source for each outcome record, and the feature reads just that one. */
  readonly perRecord: boolean;
  /** A field that it reads and the label too. */
  readonly shared: string | undefined;
  readonly includesCurrent: boolean;
}

interface ReadingRule {
  readonly rule: LeakageFinding['rule'];
  readonly when: (reading: OutcomeReading) => boolean;
  readonly message: (reading: OutcomeReading) => string;
  readonly remedy: (reading: OutcomeReading) => string;
}

/** The records count as known before the label says that their outcome is. */
const isKnownTooEarly = ({ label, source, direct }: OutcomeReading): boolean =>
  // A record that an aggregate label counts is a fact at its own event_time: windows before t and after t share none.
  (!direct || label.kind === 'record') && label.horizon > 0 && !declaresAvailability(source);

const availabilityOf = ({ availableAt }: Source): string =>
  availableAt.kind === 'event_time'
    ? 'at its event_time'
    : availableAt.kind === 'delay'
      ? `${printDuration(availableAt.delay)} after its event_time`
      : 'when it arrives';

const declareAvailability = ({ source }: OutcomeReading): string =>
  `declare \`available_at\` on source ${source.name}: the field with the instant at which the outcome was known`;

/** Why a feature over the outcome may not be; the first that holds is said. */
const READING_RULES: readonly ReadingRule[] = [
  {
    rule: 'outcome_field',
    when: ({ perRecord, source, shared }) => perRecord && source.kind !== 'states' && shared !== undefined,
    message: ({ feature, source, shared, label }) =>
      `feature ${feature.name} reads ${source.name}.${shared} of the very record that label ${label.name} judges`,
    remedy: () => 'leave it out, or aggregate over an entity that earlier outcomes share',
  },
  {
    rule: 'outcome_field',
    when: ({ direct, perRecord }) => direct && perRecord,
    message: ({ feature, source }) =>
      `feature ${feature.name} reads a field of the outcome record itself (${source.name}, keyed by ${feature.joinKeys.join(', ')})`,
    remedy: () => 'leave it out: the outcome record is written after the prediction',
  },
  {
    rule: 'derived_from_outcome',
    when: (reading) => !reading.direct && isKnownTooEarly(reading),
    message: ({ feature, source, outcome, label }) =>
      `feature ${feature.name} reads ${source.name}, which is computed from ${outcome.name}, the source of label ${label.name}, and is said to be known ${availabilityOf(source)}, though an outcome is known only up to ${printDuration(label.horizon)} after the observation`,
    remedy: (reading) => `${declareAvailability(reading)} (for an aggregate, when its last input was known)`,
  },
  {
    rule: 'outcome_available_at_event',
    when: (reading) => reading.direct && isKnownTooEarly(reading),
    message: ({ feature, source, label }) =>
      `feature ${feature.name} reads ${source.name}, the source of label ${label.name}, as if each outcome were known ${availabilityOf(source)}, though the label says it takes up to ${printDuration(label.horizon)}`,
    remedy: declareAvailability,
  },
  {
    rule: 'includes_current',
    when: ({ includesCurrent }) => includesCurrent,
    message: ({ feature, source, label }) =>
      `feature ${feature.name} includes the current instant over ${source.name}, from which label ${label.name} comes`,
    remedy: () => 'leave out `include_current`',
  },
];

/** What a feature reads of the outcome; null: nothing. */
function outcomeReading(definitions: Definitions, feature: Feature, label: Label): OutcomeReading | null {
  const { computation } = feature;
  if (computation.kind !== 'aggregation' && computation.kind !== 'lookup') return null;
  const source = definitions.sources.get(computation.source)!;
  const outcome = definitions.sources.get(label.source)!;
  const direct = source.name === outcome.name;
  if (!direct && !sourceAncestors(definitions, source.name).has(outcome.name)) return null;
  const keyFields = feature.joinKeys.map((key) => source.keys[key] ?? key);
  const judged = outcomeFields(label);
  return {
    feature,
    source,
    label,
    outcome,
    direct,
    perRecord: sameMembers(keyFields, source.recordKey) && sameMembers(feature.joinKeys, outcome.recordKey),
    shared: [...computedFields(computation)].find((field) => judged.has(field)),
    includesCurrent: computation.kind === 'aggregation' && computation.includeCurrent,
  };
}

/** Request fields that the observations take from the outcome. */
function leakyRequestFields(
  definitions: Definitions,
  dataset: Dataset,
  outcome: Source,
  feature: Feature,
): readonly string[] {
  const { from, time } = dataset.observations;
  if (from.kind !== 'source') return [];
  const source = definitions.sources.get(from.source)!;
  const direct = source.name === outcome.name;
  if (!direct && !sourceAncestors(definitions, source.name).has(outcome.name)) return [];
  const comesFromOutcome = (field: string): boolean =>
    direct ||
    (outcome.fields.some(({ name }) => name === field) &&
      !inOtherParent(definitions, source, outcome, field));
  return feature.requestFields
    .map(({ name }) => name)
    .filter((name) => comesFromOutcome(name) && !outcome.recordKey.includes(name) && name !== time);
}

/** What of a dataset would let a training row see its own future; empty: nothing that definitions can tell. */
export function auditLeakage(definitions: Definitions, dataset: Dataset): readonly LeakageFinding[] {
  const hindsight: LeakageFinding = {
    rule: 'hindsight',
    severity: 'warn',
    feature: null,
    message: `dataset ${dataset.name} is built with hindsight: its features see corrections and late records that serving could not have seen`,
    remedy: 'leave out `knowledge: hindsight` for anything that trains a model',
  };
  const general = dataset.knowledge === 'hindsight' ? [hindsight] : [];
  if (dataset.label === null) return general;
  const label = definitions.labels.get(dataset.label)!;
  const outcome = definitions.sources.get(label.source)!;
  const ofFeatures = featureClosure(definitions, dataset.features).flatMap((feature): LeakageFinding[] => {
    const common = { severity: 'refuse' as const, feature: feature.name };
    const reading = outcomeReading(definitions, feature, label);
    const broken = reading && READING_RULES.find((rule) => rule.when(reading));
    return [
      ...(broken
        ? [{ rule: broken.rule, ...common, message: broken.message(reading), remedy: broken.remedy(reading) }]
        : []),
      ...leakyRequestFields(definitions, dataset, outcome, feature).map((field) => ({
        rule: 'outcome_request_field' as const,
        ...common,
        message: `feature ${feature.name} reads request.${field}, which the observations take from ${outcome.name}, the source of label ${label.name}`,
        remedy:
          'take observations from a source that is written before the prediction, without the outcome in it',
      })),
    ];
  });
  return [...general, ...ofFeatures];
}

/** A transform's column may come from a parent that is not the outcome. */
function inOtherParent(definitions: Definitions, transform: Source, outcome: Source, field: string): boolean {
  if (transform.read.kind !== 'transform') return false;
  return transform.read.parents.some(
    (parent) =>
      parent !== outcome.name && definitions.sources.get(parent)?.fields.some((item) => item.name === field),
  );
}
