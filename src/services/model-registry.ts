/** Names for model versions, and finding versions by what is known of them. */
import { MillraceError } from '../core/base/error.js';
import type { Model } from '../core/define/types.js';
import type { AliasChange, VersionRecord } from '../ports/registry.js';
import type { Project } from './project.js';
import { CHAMPION, manifestOf, userName } from './promote.js';

/** Points an alias at a version; the champion's has a gate and goes by `promote`. */
export async function aliasModel(
  project: Project,
  version: VersionRecord,
  alias: string,
  options: { readonly reason: string; readonly actor?: string },
): Promise<AliasChange> {
  if (alias === CHAMPION)
    throw new MillraceError('USAGE', `the alias ${CHAMPION} is set by the gate`, {
      hint: `Run \`millrace promote ${version.name} --version ${version.version}\`.`,
    });
  if (!/^[a-z][a-z0-9_-]*$/.test(alias))
    throw new MillraceError('USAGE', `"${alias}" is no alias: lower-case letters, digits, - and _`);
  const registry = await project.registry();
  return registry.setAlias({
    model: version.name,
    alias,
    version: version.version,
    at: project.now(),
    actor: options.actor ?? userName(),
    reason: options.reason,
    expected: registry.alias(version.name, alias) ?? null,
  });
}

/** Present aliases of a model by name. */
export function aliasesOf(history: readonly AliasChange[]): ReadonlyMap<string, number> {
  return new Map(history.map((change) => [change.alias, change.version]));
}

export interface FoundVersion {
  readonly version: VersionRecord;
  readonly aliases: readonly string[];
}

type Test = (found: FoundVersion, model: Model | undefined) => boolean;

const COMPARE: Readonly<Record<string, (a: number, b: number) => boolean>> = {
  '>=': (a, b) => a >= b,
  '<=': (a, b) => a <= b,
  '>': (a, b) => a > b,
  '<': (a, b) => a < b,
  '=': (a, b) => a === b,
};

function testOf(term: string): Test {
  const limit = /^(\w+)\.(\w+)(>=|<=|>|<|=)(-?\d+(?:\.\d+)?(?:e-?\d+)?)$/i.exec(term);
  if (limit) {
    const [, part, metric, operator, bound] = limit;
    return ({ version }) => {
      const value = manifestOf(version).metrics[part!]?.[metric!];
      return typeof value === 'number' && COMPARE[operator!]!(value, Number(bound));
    };
  }
  const [, key, wanted] = /^(tag|owner|alias|feature|dataset):(.+)$/.exec(term) ?? [];
  switch (key) {
    case 'tag':
      return (_, model) => model?.tags.includes(wanted!) ?? false;
    case 'owner':
      return (_, model) => model?.owner === wanted;
    case 'alias':
      return ({ aliases }) => aliases.includes(wanted!);
    case 'feature':
      return ({ version }) => manifestOf(version).features.some((feature) => feature.name === wanted);
    case 'dataset':
      return ({ version }) => manifestOf(version).dataset.name === wanted;
    default: {
      const text = term.toLowerCase();
      return ({ version }, model) =>
        [version.name, manifestOf(version).trainer.kind, manifestOf(version).label, model?.description]
          .filter((each) => each !== undefined && each !== null)
          .some((each) => each!.toLowerCase().includes(text));
    }
  }
}

/**
 * Versions that meet all terms, newest first: `tag:x`, `owner:x`, `alias:x`, `feature:x`, `dataset:x`,
 * `test.auc>=0.7`, or a text within name, description, trainer or label. Tags and owners are those of the present
 * definitions.
 */
export async function searchModels(
  project: Project,
  terms: readonly string[],
): Promise<readonly FoundVersion[]> {
  const registry = await project.registry();
  const tests = terms.map(testOf);
  return registry
    .versions('model')
    .map(
      (version): FoundVersion => ({
        version,
        aliases: [...aliasesOf(registry.aliasHistory(version.name))]
          .filter(([, number]) => number === version.version)
          .map(([alias]) => alias),
      }),
    )
    .filter((found) => tests.every((test) => test(found, project.definitions.models.get(found.version.name))))
    .sort((a, b) => b.version.createdAt - a.version.createdAt);
}
