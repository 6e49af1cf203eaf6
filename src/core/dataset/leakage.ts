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

export function auditLeakage(definitions: Definitions, dataset: Dataset): readonly LeakageFinding[] {
  const findings: LeakageFinding[] = [];
  const label = dataset.label === null ? null : definitions.labels.get(dataset.label)!;
  if (dataset.knowledge === 'hindsight')
    findings.push({
      rule: 'hindsight',
      severity: 'warn',
      feature: null,
      message: `dataset ${dataset.name} is built with hindsight: its features see corrections and late records that serving could not have seen`,
      remedy: 'leave out `knowledge: hindsight` for anything that trains a model',
    });
  if (label === null) return findings;

  const outcome = definitions.sources.get(label.source)!;
  const outcomeReads = outcomeFields(label);
  const observations = dataset.observations.from;
  const observationSource =
    observations.kind === 'source' ? definitions.sources.get(observations.source)! : null;

  for (const feature of featureClosure(definitions, dataset.features)) {
    const computation = feature.computation;
    if (computation.kind === 'aggregation' || computation.kind === 'lookup') {
      const source = definitions.sources.get(computation.source)!;
      const isOutcome = source.name === outcome.name;
      const derived = !isOutcome && sourceAncestors(definitions, source.name).has(outcome.name);
      const keyFields = feature.joinKeys.map((key) => source.keys[key] ?? key);
      const perRecord =
        sameMembers(keyFields, source.recordKey) && sameMembers(feature.joinKeys, outcome.recordKey);
      const availability =
        source.availableAt.kind === 'event_time'
          ? 'at its event_time'
          : source.availableAt.kind === 'delay'
            ? `${printDuration(source.availableAt.delay)} after its event_time`
            : 'when it arrives';
      const touched = computedFields(computation);
      const readsOutcome = [...touched].filter((field) => outcomeReads.has(field));
      if ((isOutcome || derived) && perRecord && source.kind !== 'states' && readsOutcome.length > 0) {
        findings.push({
          rule: 'outcome_field',
          severity: 'refuse',
          feature: feature.name,
          message: `feature ${feature.name} reads ${source.name}.${readsOutcome[0]} of the very record that label ${label.name} judges`,
          remedy: 'leave it out, or aggregate over an entity that earlier outcomes share',
        });
        continue;
      }
      if (isOutcome && perRecord) {
        findings.push({
          rule: 'outcome_field',
          severity: 'refuse',
          feature: feature.name,
          message: `feature ${feature.name} reads a field of the outcome record itself (${source.name}, keyed by ${feature.joinKeys.join(', ')})`,
          remedy: 'leave it out: the outcome record is written after the prediction',
        });
        continue;
      }
      // A record that an aggregate label counts is a fact at its own event_time: windows before t and after t share none.
      const judgedLater = derived || label.kind === 'record';
      if ((isOutcome || derived) && judgedLater && label.horizon > 0 && !declaresAvailability(source)) {
        findings.push({
          rule: derived ? 'derived_from_outcome' : 'outcome_available_at_event',
          severity: 'refuse',
          feature: feature.name,
          message: derived
            ? `feature ${feature.name} reads ${source.name}, which is computed from ${outcome.name}, the source of label ${label.name}, and is said to be known ${availability}, though an outcome is known only up to ${printDuration(label.horizon)} after the observation`
            : `feature ${feature.name} reads ${source.name}, the source of label ${label.name}, as if each outcome were known ${availability}, though the label says it takes up to ${printDuration(label.horizon)}`,
          remedy: `declare \`available_at\` on source ${source.name}: the field with the instant at which the outcome was known${derived ? ' (for an aggregate, when its last input was known)' : ''}`,
        });
        continue;
      }
      if ((isOutcome || derived) && computation.kind === 'aggregation' && computation.includeCurrent)
        findings.push({
          rule: 'includes_current',
          severity: 'refuse',
          feature: feature.name,
          message: `feature ${feature.name} includes the current instant over ${source.name}, from which label ${label.name} comes`,
          remedy: 'leave out `include_current`',
        });
    }
    for (const field of feature.requestFields) {
      const leaky =
        observationSource !== null &&
        (observationSource.name === outcome.name ||
          (sourceAncestors(definitions, observationSource.name).has(outcome.name) &&
            outcome.fields.some((item) => item.name === field.name) &&
            !inOtherParent(definitions, observationSource, outcome, field.name)));
      if (leaky && !outcome.recordKey.includes(field.name) && field.name !== dataset.observations.time)
        findings.push({
          rule: 'outcome_request_field',
          severity: 'refuse',
          feature: feature.name,
          message: `feature ${feature.name} reads request.${field.name}, which the observations take from ${outcome.name}, the source of label ${label.name}`,
          remedy:
            'take observations from a source that is written before the prediction, without the outcome in it',
        });
    }
  }
  return findings;
}

/** A transform's column may come from a parent that is not the outcome. */
function inOtherParent(definitions: Definitions, transform: Source, outcome: Source, field: string): boolean {
  if (transform.read.kind !== 'transform') return false;
  return transform.read.parents.some(
    (parent) =>
      parent !== outcome.name && definitions.sources.get(parent)?.fields.some((item) => item.name === field),
  );
}
