/** Which versions something still needs. Pure: what the registry and the prediction log say, in; reasons, out. */
import type { Duration, Instant } from '../base/time.js';

export interface KnownVersion {
  readonly name: string;
  readonly version: number;
  readonly createdAt: Instant;
  /** Made again it has the same bytes. */
  readonly repeatable: boolean;
}

export interface KnownModel extends KnownVersion {
  readonly dataset: { readonly name: string; readonly version: number };
}

export interface AliasStep {
  readonly model: string;
  readonly alias: string;
  readonly version: number;
  readonly at: Instant;
}

export interface RetentionInput {
  readonly now: Instant;
  readonly retention: Duration;
  readonly datasets: readonly KnownVersion[];
  /** One is repeatable if its dataset is. */
  readonly models: readonly KnownModel[];
  /** In the order of the changes. */
  readonly aliases: readonly AliasStep[];
  /** `model@7` of predictions in the log. */
  readonly predicted: ReadonlySet<string>;
  /** `set@3`. */
  readonly pinned: ReadonlySet<string>;
}

export const versionTitle = (of: { readonly name: string; readonly version: number }): string =>
  `${of.name}@${of.version}`;

const latest = (all: readonly KnownVersion[]): ReadonlySet<string> => {
  const found = new Map<string, KnownVersion>();
  for (const item of all) {
    const other = found.get(item.name);
    if (!other || other.version < item.version) found.set(item.name, item);
  }
  return new Set([...found.values()].map(versionTitle));
};

/** Versions that held an alias at any instant after `since`, with the alias. */
function aliased(steps: readonly AliasStep[], since: Instant): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  const open = new Map<string, AliasStep>();
  const keep = (step: AliasStep, words: string): void => {
    found.set(`${step.model}@${step.version}`, words);
  };
  for (const step of steps) {
    const id = JSON.stringify([step.model, step.alias]);
    const before = open.get(id);
    if (before && step.at > since) keep(before, `was ${before.alias} within the retention`);
    open.set(id, step);
  }
  for (const step of open.values()) keep(step, `is ${step.alias}`);
  return found;
}

export interface Kept {
  /** Title → why. What is not named may go. */
  readonly models: ReadonlyMap<string, string>;
  readonly datasets: ReadonlyMap<string, string>;
}

export function keptVersions(input: RetentionInput): Kept {
  const since = input.now - input.retention;
  const held = aliased(input.aliases, since);
  const newestModels = latest(input.models);
  const newestSets = latest(input.datasets);
  const models = new Map<string, string>();
  const datasets = new Map<string, string>();
  for (const model of input.models) {
    const title = versionTitle(model);
    const why =
      held.get(title) ??
      (input.predicted.has(title)
        ? 'made predictions of the log'
        : newestModels.has(title)
          ? 'is the latest'
          : model.createdAt > since
            ? 'is within the retention'
            : model.repeatable
              ? undefined
              : 'cannot be trained again to the byte');
    if (why === undefined) continue;
    models.set(title, why);
    datasets.set(versionTitle(model.dataset), `model ${title} was trained on it`);
  }
  for (const dataset of input.datasets) {
    const title = versionTitle(dataset);
    if (input.pinned.has(title)) datasets.set(title, 'is pinned');
    else if (newestSets.has(title)) datasets.set(title, 'is the latest');
    else if (dataset.createdAt > since) datasets.set(title, 'is within the retention');
    else if (!dataset.repeatable && !datasets.has(title)) datasets.set(title, 'cannot be built again');
  }
  return { models, datasets };
}
