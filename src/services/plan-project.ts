/** Reads the world into a snapshot and decides by the pure plan. */
import {
  definitionChanges,
  type KnownDefinitions,
  knownDefinitions,
} from '../core/plan/definition-changes.js';
import {
  type AssetState,
  assetGraph,
  type Plan,
  planRun,
  type Snapshot,
  selectAssets,
} from '../core/plan/plan.js';
import type { LogState, RecordLog } from '../ports/record-log.js';
import type { Registry } from '../ports/registry.js';
import type { Timing } from '../ports/run-store.js';
import { CHAMPION } from './model-manifest.js';
import { pendingContracts } from './pending-contracts.js';
import type { Project } from './project.js';
import { stateOf } from './runs/asset-state.js';

/** The world as far as the assets asked for and their parents go; no names: all of it. */
export async function snapshot(opened: Project, names: readonly string[] = []): Promise<Snapshot> {
  const project = await atOneInstant(opened);
  const assets = new Map<string, AssetState>();
  for (const asset of selectAssets(assetGraph(project.definitions), names))
    assets.set(asset.id, await stateOf(project, asset.kind, asset.name));
  for (const { source, from, to, diff } of await pendingContracts(project)) {
    const id = `source.${source}`;
    const state = assets.get(id);
    if (state) assets.set(id, { ...state, contract: { from, to, ...diff } });
  }
  const registry = await project.registry();
  const timings = new Map<string, Timing[]>();
  for (const timing of (await project.runs()).timings(TIMINGS)) {
    const known = timings.get(timing.step);
    if (known) known.push(timing);
    else timings.set(timing.step, [timing]);
  }
  const champions = new Map<string, number>();
  for (const model of project.definitions.models.keys()) {
    const champion = registry.alias(model, CHAMPION);
    if (champion !== undefined) champions.set(model, champion);
  }
  return {
    assets,
    timings,
    champions,
    changes: changesOf(project, registry),
  };
}

/** Each log is asked for its state once, though many assets read it. */
async function atOneInstant(project: Project): Promise<Project> {
  const log = await project.log();
  const states = new Map<string, Promise<LogState>>();
  const view: RecordLog = {
    ...log,
    state: (source) => {
      const state = states.get(source.name) ?? log.state(source);
      states.set(source.name, state);
      return state;
    },
  };
  return { ...project, log: async () => view };
}

function changesOf(project: Project, registry: Registry): Snapshot['changes'] {
  if (project.digest !== undefined && registry.getFact(KNOWN_DIGEST) === project.digest) return [];
  const known = registry.getFact(KNOWN_DEFINITIONS) as KnownDefinitions | undefined;
  return known === undefined ? [] : definitionChanges(known, knownDefinitions(project.definitions));
}

/** Notes the definitions that a whole run has applied, also when there was nothing to compute for them. */
export function rememberDefinitions(project: Project, registry: Registry): void {
  if (project.digest !== undefined && registry.getFact(KNOWN_DIGEST) === project.digest) return;
  registry.setFact(KNOWN_DEFINITIONS, knownDefinitions(project.definitions));
  registry.setFact(KNOWN_DIGEST, project.digest ?? null);
}

/** Endings of steps that estimates look back on. */
const TIMINGS = 2000;

/** The definitions that a whole run has applied. */
const KNOWN_DEFINITIONS = 'definitions:lines';
const KNOWN_DIGEST = 'definitions:digest';

export const planProject = async (project: Project, names: readonly string[] = []): Promise<Plan> =>
  planRun(project.definitions, await snapshot(project, names), names);
