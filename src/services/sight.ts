/** What a sensor sees in the project now. */
import { fingerprint } from '../core/base/fingerprint.js';
import { MICROS_PER_DAY, printInstant } from '../core/base/time.js';
import type { Sensor } from '../core/define/types.js';
import { zoneOffset } from '../core/expression/zone.js';
import { assetGraph, selectAssets } from '../core/plan/plan.js';
import type { Sight } from '../core/schedule/sense.js';
import { newFiles } from './file-marks.js';
import type { Project } from './project.js';
import { isPulled, pullReason } from './pull-mark.js';
import { sourceLevels } from './service-levels.js';

export async function sightOf(project: Project, { on }: Pick<Sensor, 'on'>): Promise<Sight> {
  if (on.kind === 'updated') return updated(project, on.asset);
  const source = project.definitions.sources.get(on.source)!;
  const log = await project.log();
  if (on.kind === 'new_files') {
    if (isPulled(source)) {
      const reason = await pullReason(project, source);
      if (reason === null) return { mark: null, reason: `${source.name} has nothing new` };
      // A query over another system does not say what it would give: it is asked as often as the sensor may fire.
      return { mark: fingerprint({ at: project.now() }), reason: `${source.name}: ${reason}` };
    }
    const { files, mark } = await newFiles(project, source);
    if (files.length === 0) return { mark: null, reason: `${source.name} has no new or changed file` };
    return {
      mark,
      reason: `${source.name} has ${files.length} new or changed file${files.length === 1 ? '' : 's'}`,
    };
  }
  const level = (await sourceLevels(project, source)).find((one) => one.level === on.kind);
  if (level === undefined) return { mark: null, reason: `${source.name} promises no ${on.kind}` };
  if (level.available === false) return { mark: null, reason: `${source.name}: ${level.reason}` };
  if (on.kind === 'freshness') {
    const { lastSeq } = await log.state(source);
    return { mark: `${lastSeq}`, reason: `${source.name} is fresh, through record ${lastSeq}` };
  }
  const { timezone } = source.serviceLevels!.completeness!;
  const now = project.now();
  const day = Math.floor((now + zoneOffset(timezone)(now)) / MICROS_PER_DAY);
  return {
    mark: `day ${day}`,
    reason: `${source.name} is complete on ${printInstant(day * MICROS_PER_DAY).slice(0, 10)}`,
  };
}

async function updated(project: Project, name: string): Promise<Sight> {
  const registry = await project.registry();
  const parts: string[] = [];
  const graph = assetGraph(project.definitions);
  for (const asset of selectAssets(graph, [name]).filter(
    ({ id, name: bare }) => id === name || bare === name,
  )) {
    if (asset.kind === 'source') {
      const { lastSeq } = await (await project.log()).state(project.definitions.sources.get(asset.name)!);
      if (lastSeq > 0) parts.push(`${asset.id} through record ${lastSeq}`);
    } else if (asset.kind === 'dataset' || asset.kind === 'model') {
      const version = registry.version(asset.kind, asset.name)?.version;
      if (version !== undefined) parts.push(`${asset.id} version ${version}`);
    } else {
      const [last] = (await project.runs()).ended(asset.id, 1);
      if (last !== undefined) parts.push(`${asset.id} at ${printInstant(last)}`);
    }
  }
  return parts.length === 0
    ? { mark: null, reason: `there is nothing of ${name} yet` }
    : { mark: parts.join(', '), reason: `${parts.join(', ')} is new` };
}
