/**
 * The definitions that a model's features had. Where the project has changed them since, those kept with the version
 * are read again: what is served, scored and judged is what the model was trained on.
 */
import { MillraceError } from '../core/base/error.js';
import type { Definitions, Source } from '../core/define/types.js';
import { expandFeatures, planFeatures } from '../core/engine/feature-plan.js';
import { planGroup } from '../core/engine/online/index.js';
import { printType } from '../core/schema/types.js';
import type { VersionRecord } from '../ports/registry.js';
import { keptDefinitions } from './definition-snapshot.js';
import { type ModelManifest, manifestOf } from './model-manifest.js';
import type { KeptModel, Project } from './project.js';

export interface FeatureDefinitions {
  /** Sources are always the present ones: the log is read as it stands. */
  readonly definitions: Definitions;
  /** Not the project's: kept with the version. */
  readonly kept: boolean;
}

type Trained = Pick<ModelManifest, 'features' | 'dataset' | 'definitions_sha256'>;

/** Features of the model that the definitions do not have, or have otherwise. */
export const changedFeatures = (
  definitions: Definitions,
  { features }: Pick<ModelManifest, 'features'>,
): readonly string[] =>
  features
    .filter(({ name, fingerprint }) => definitions.features.get(name)?.fingerprint !== fingerprint)
    .map(({ name }) => name);

/** What a fold reads of a source; the rest of it may change. */
const shapeOf = ({ kind, recordKey, eventTime, deleted, sequence, keys }: Source): string =>
  JSON.stringify([
    kind,
    recordKey,
    eventTime,
    deleted ?? null,
    sequence ?? null,
    Object.entries(keys).sort(),
  ]);

/** Why features of kept definitions cannot be computed from the present sources; null when they can. */
function whyNot(kept: Definitions, present: Definitions, names: readonly string[]): string | null {
  for (const group of planFeatures(kept, expandFeatures(kept, names)).groups) {
    const { name } = group.source;
    const source = present.sources.get(name);
    if (!source) return `source ${name} is no longer defined`;
    if (shapeOf(source) !== shapeOf(group.source))
      return `source ${name} has other keys, event time or kind than it had`;
    const types = new Map(source.fields.map((field) => [field.name, printType(field.type)]));
    for (const field of planGroup(group).fields)
      if (types.get(field.name) !== printType(field.type))
        return `field ${field.name} of source ${name} is ${types.get(field.name) ?? 'gone'}, it was ${printType(field.type)}`;
  }
  return null;
}

/** Loaded once for all that work with the same definitions. */
const loaded = new WeakMap<Definitions, Map<string, Promise<Definitions | undefined>>>();

function load(project: Project, sha256: string): Promise<Definitions | undefined> {
  const known = loaded.get(project.definitions) ?? new Map<string, Promise<Definitions | undefined>>();
  loaded.set(project.definitions, known);
  const found = known.get(sha256) ?? keptDefinitions(project, sha256);
  known.set(sha256, found);
  return found;
}

/**
 * @throws MillraceError MODEL_MISSING where the definitions have changed and those of the version are not kept, or
 * cannot be computed from the present sources.
 */
export async function definitionsOfModel(
  project: Project,
  title: string,
  manifest: Trained,
): Promise<FeatureDefinitions> {
  const { definitions } = project;
  const changed = changedFeatures(definitions, manifest);
  if (changed.length === 0) return { definitions, kept: false };
  const what = `model ${title} was trained with another definition of feature ${changed.join(', ')}`;
  const hint = 'Train it with the present definitions, or bring the former ones back.';
  const dataset = (await project.registry()).version(
    'dataset',
    manifest.dataset.name,
    manifest.dataset.version,
  );
  const sha256 =
    manifest.definitions_sha256 ?? (dataset?.manifest['definitions_sha256'] as string | null | undefined);
  const former = sha256 ? await load(project, sha256) : undefined;
  if (!former || changedFeatures(former, manifest).length > 0)
    throw new MillraceError('MODEL_MISSING', `${what}, which is not kept`, { hint });
  const names = manifest.features.map(({ name }) => name);
  const reason = whyNot(former, definitions, names);
  if (reason !== null)
    throw new MillraceError('MODEL_MISSING', `${what}, and it cannot be computed any more: ${reason}`, {
      hint,
    });
  return {
    definitions: { ...former, sources: definitions.sources, settings: definitions.settings },
    kept: true,
  };
}

/** The champions of services that were trained with other definitions than the present ones and can be served. */
export async function keptModels(project: Project): Promise<readonly KeptModel[]> {
  const registry = await project.registry();
  const found: KeptModel[] = [];
  for (const model of new Set([...project.definitions.services.values()].map((service) => service.model))) {
    const champion = registry.alias(model, 'champion');
    const version: VersionRecord | undefined =
      champion === undefined ? undefined : registry.version('model', model, champion);
    if (!version) continue;
    const title = `${model}@${version.version}`;
    const manifest = manifestOf(version);
    // Who serves it says why it cannot be.
    const former = await definitionsOfModel(project, title, manifest).catch(() => undefined);
    if (former?.kept)
      found.push({
        title,
        definitions: former.definitions,
        features: manifest.features.map(({ name }) => name),
      });
  }
  return found;
}
