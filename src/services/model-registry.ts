/** Names for model versions, and finding versions by what is known of them. */
import { MillraceError } from '../core/base/error.js';
import { nearest } from '../core/base/nearest.js';
import { METRICS } from '../core/define/models.js';
import { PART_NAMES } from '../core/define/shapes/words.js';
import type { MetricRequirement } from '../core/define/types.js';
import type { AliasChange, VersionRecord } from '../ports/registry.js';
import { userName } from './actor.js';
import { CHAMPION, manifestOf } from './model-manifest.js';
import { type Notes, notesOf, type Stage, stageOf } from './model-notes.js';
import type { Project } from './project.js';
import { holds } from './promote.js';

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
function aliasesOf(history: readonly AliasChange[]): ReadonlyMap<string, number> {
  return new Map(history.map((change) => [change.alias, change.version]));
}

export interface FoundVersion {
  readonly version: VersionRecord;
  readonly aliases: readonly string[];
  readonly stage: Stage;
  readonly notes: Notes;
}

type Test = (found: FoundVersion) => boolean;

const KEYS = ['tag', 'owner', 'alias', 'stage', 'feature', 'dataset'];

/** @throws MillraceError USAGE for what no model has. */
function known(name: string, names: readonly string[], what: string): void {
  if (names.includes(name)) return;
  const near = nearest(name, names);
  throw new MillraceError('USAGE', `no model has a ${what} "${name}"`, {
    hint: near ? `Did you mean "${near}"?` : `There are ${names.join(', ')}.`,
  });
}

function testOf(term: string): Test {
  const limit = /^(\w+)\.(\w+)(>=|<=|>|<|=)(-?\d+(?:\.\d+)?(?:e-?\d+)?)$/i.exec(term);
  if (limit) {
    const [, part, metric, operator, bound] = limit as unknown as [
      string,
      string,
      string,
      MetricRequirement['operator'],
      string,
    ];
    known(part, PART_NAMES, 'part');
    known(metric, [...new Set(Object.values(METRICS).flat())], 'metric');
    return ({ version }) => {
      const value = manifestOf(version).metrics[part]?.[metric];
      return typeof value === 'number' && holds(value, { operator, value: Number(bound) });
    };
  }
  const [, key, wanted] = /^(\w+):(.+)$/.exec(term) ?? [];
  switch (key) {
    case 'tag': {
      const [, tag, value] = /^([^=]+)(?:=(.*))?$/.exec(wanted!) ?? [];
      return ({ notes: { tags } }) =>
        tag !== undefined && Object.hasOwn(tags, tag) && (value === undefined || tags[tag] === value);
    }
    case 'owner':
      return ({ notes }) => notes.owner === wanted;
    case 'alias':
      return ({ aliases }) => aliases.includes(wanted!);
    case 'stage':
      return ({ stage }) => stage === wanted;
    case 'feature':
      return ({ version }) => manifestOf(version).features.some((feature) => feature.name === wanted);
    case 'dataset':
      return ({ version }) => manifestOf(version).dataset.name === wanted;
    default: {
      const near = key && nearest(key, KEYS);
      if (key !== undefined || /[<>=]/.test(term))
        throw new MillraceError('USAGE', `"${term}" is no term to search by`, {
          hint: near
            ? `Did you mean "${near}:${wanted}"?`
            : `A text, ${KEYS.map((each) => `${each}:x`).join(', ')} or a metric as in "test.auc>=0.7".`,
        });
      const text = term.toLowerCase();
      return ({ version, notes }) =>
        [version.name, manifestOf(version).trainer.kind, manifestOf(version).label, notes.description]
          .filter((each) => each !== undefined && each !== null)
          .some((each) => each!.toLowerCase().includes(text));
    }
  }
}

/** Versions with all that is said of them, oldest first; of one model, or of all. */
export async function knownVersions(project: Project, name?: string): Promise<readonly FoundVersion[]> {
  const registry = await project.registry();
  const changes = registry.aliasHistory(name);
  const said = registry.noteHistory(name);
  return registry.versions('model', name).map((version): FoundVersion => {
    const own = changes.filter((change) => change.model === version.name);
    return {
      version,
      aliases: [...aliasesOf(own)].filter(([, number]) => number === version.version).map(([alias]) => alias),
      stage: stageOf(version, own),
      notes: notesOf(project, said, { model: version.name, version: version.version }),
    };
  });
}

/**
 * Versions that meet all terms, newest first: `tag:x`, `tag:x=y`, `owner:x`, `alias:x`, `stage:x`, `feature:x`,
 * `dataset:x`, `test.auc>=0.7`, or a text within name, description, trainer or label. Tags, owners and descriptions are
 * those of the version, else of the model, else of the present definitions.
 * @throws MillraceError USAGE for a term that is none of these
 */
export async function searchModels(
  project: Project,
  terms: readonly string[],
): Promise<readonly FoundVersion[]> {
  const tests = terms.map(testOf);
  return (await knownVersions(project))
    .filter((found) => tests.every((test) => test(found)))
    .sort((a, b) => b.version.createdAt - a.version.createdAt);
}
