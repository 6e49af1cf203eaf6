/** How a transform stands: what it was brought to, by which definition, and whether it has to run. */
import { fingerprint } from '../core/base/fingerprint.js';
import { VERSION } from '../core/base/version.js';
import type { Source } from '../core/define/types.js';
import type { TransformKind } from '../core/lineage/classify.js';
import { currentHorizons, type Project } from './project.js';

/** Through which records of its parents a transform has been brought, and by which definition. */
interface Applied {
  readonly fingerprint: string;
  readonly parents: Readonly<Record<string, number>>;
}

export const appliedFact = (name: string): string => `transform_applied:${name}`;

export async function appliedOf(project: Project, name: string): Promise<Applied | undefined> {
  return (await project.registry()).getFact(appliedFact(name)) as Applied | undefined;
}

/** How a transform stands as its parents are now. */
export async function wantedOf(project: Project, { read, fingerprint }: Source): Promise<Applied> {
  const horizons = await currentHorizons(project, read.kind === 'transform' ? read.parents : []);
  return { fingerprint, parents: Object.fromEntries(horizons) };
}

/** Why a transform has to run, and what it would be brought to. */
export async function transformState(
  project: Project,
  source: Source,
): Promise<{ readonly stale: string | null; readonly mark: string }> {
  const applied = await appliedOf(project, source.name);
  const mark = fingerprint({ ...(await wantedOf(project, source)) });
  const stale =
    applied === undefined
      ? 'never computed'
      : fingerprint({ ...applied }) === mark
        ? null
        : 'its definition or a parent has changed';
  return { stale, mark };
}

/**
 * How it may be brought up to date, as remembered: a server and `plan` need no parser for SQL that has not changed. A
 * writer remembers it.
 */
export async function knownTransformKind(
  project: Project,
  source: Source,
  options: { readonly remember?: boolean } = {},
): Promise<TransformKind> {
  const registry = await project.registry();
  const fact = `transform_kind:${source.name}`;
  const mark = `${VERSION} ${source.fingerprint}`;
  const held = registry.getFact(fact) as { readonly mark: string; readonly kind: TransformKind } | undefined;
  if (held?.mark === mark) return held.kind;
  const { transformKind } = await import('./transform-sql.js');
  const kind = await transformKind(project, source);
  if (options.remember) registry.setFact(fact, { mark, kind });
  return kind;
}
