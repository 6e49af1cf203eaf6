/** Named lists of features, and lists that name them. */

import { fingerprint } from '../base/fingerprint.js';
import { documentationOf } from './collect.js';
import type { Resolved } from './context.js';
import type { Located } from './shape.js';
import type { FeatureSet } from './types.js';

/** Features of a written list, sets and `windows` expanded, each once. Broken ones are left out (and reported). */
export function expandNames(
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

export const featurePrints = (context: Resolved, names: readonly string[]): readonly string[] =>
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
