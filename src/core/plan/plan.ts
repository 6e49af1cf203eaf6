/**
 * Deciding is a pure function: definitions and a snapshot of the world → a frozen list of steps. `plan` prints it,
 * `apply` performs it, tests assert on it.
 */
import { MillraceError } from '../base/error.js';
import { type Fingerprint, fingerprint } from '../base/fingerprint.js';
import { nearest } from '../base/nearest.js';
import type { Instant } from '../base/time.js';
import type { Definitions } from '../define/types.js';
import type { ContractDiff } from '../quality/contract-diff.js';
import type { DefinitionChange } from './definition-changes.js';
import {
  type Cost,
  costOf,
  type Expected,
  expectedRows,
  expectedSeconds,
  type Measured,
} from './estimate.js';

export type AssetKind = 'source' | 'online' | 'dataset' | 'model' | 'service' | 'monitor';

export interface Asset {
  /** `source.purchases`, `model.flight_late`, `online.store`. */
  readonly id: string;
  readonly kind: AssetKind;
  readonly name: string;
  readonly parents: readonly string[];
}

export type Action = 'ingest' | 'transform' | 'materialize' | 'build' | 'train' | 'backtest' | 'monitor';

/** What is known of an asset now. */
export interface AssetState {
  /** Why it must be recomputed whatever its parents do; null when its own inputs are unchanged. */
  readonly stale: string | null;
  /** Files to ingest (sources). */
  readonly files?: readonly string[];
  readonly bytes?: number;
  /** Rows that it reads as its parents stand now; null: that says nothing of its cost. */
  readonly rows?: number | null;
  /** Changes whenever what it is made of changes: tells whether the world has moved. */
  readonly mark?: string;
  /** The version that is trained already (models): only its gate has to judge it. */
  readonly trained?: number;
  /** How a transform is brought up to date: by new records alone, or by all of them and why. */
  readonly how?: string;
  /** Set where the contract is not as it was when records last came in (sources). */
  readonly contract?: ContractNews;
}

export interface ContractNews extends ContractDiff {
  /** Semantic version under which records last came in, and the one of the next batch. */
  readonly from: string;
  readonly to: string;
}

export interface Snapshot {
  readonly assets: ReadonlyMap<string, AssetState>;
  /** Earlier runs of each asset's step, newest first. */
  readonly timings?: ReadonlyMap<string, readonly Measured[]>;
  /** Changes of the definitions since they were last applied. */
  readonly changes?: readonly DefinitionChange[];
  /** Model → its champion. */
  readonly champions?: ReadonlyMap<string, number>;
}

export interface Step {
  readonly asset: string;
  readonly kind: AssetKind;
  readonly name: string;
  readonly action: Action;
  /** `stale`: will be recomputed. `follows`: recomputed when a parent's content really changes. */
  readonly certainty: 'stale' | 'follows';
  readonly reason: string;
  readonly files: readonly string[];
  readonly bytes: number;
  /** Assets of the plan that it waits for: those of its parents that are in it. */
  readonly after: readonly string[];
  readonly expected: Expected;
  /** Only what lies in `[from, to)`, whether or not it is stale: a backfill. */
  readonly range?: { readonly from: Instant; readonly to: Instant };
}

export interface Promotion {
  readonly model: string;
  /** The version that is there already and is judged; null: a new one, or that one if its data turn out the same. */
  readonly version: number | null;
  readonly champion: number | null;
}

export interface Plan {
  readonly steps: readonly Step[];
  /** Assets that need nothing. */
  readonly fresh: readonly string[];
  /** Contracts that have changed, with what the change means. */
  readonly contracts: readonly (ContractNews & { readonly source: string })[];
  readonly changes: readonly DefinitionChange[];
  /** Models that a gate judges: the version replaces the champion if it passes. */
  readonly promotions: readonly Promotion[];
  readonly cost: Cost;
  /** Of the world that the plan was made in, and of what was asked for. */
  readonly world: Fingerprint;
}

const ONLINE = 'online.store';

/** Every asset with its parents, parents first. */
export function assetGraph(definitions: Definitions): readonly Asset[] {
  const assets: Asset[] = [];
  const seen = new Set<string>();
  const add = (kind: AssetKind, name: string, parents: readonly string[]): void => {
    assets.push({ id: `${kind}.${name}`, kind, name, parents: [...new Set(parents)].sort() });
  };
  const addSource = (name: string): void => {
    if (seen.has(name)) return;
    seen.add(name);
    const read = definitions.sources.get(name)!.read;
    const parents = read.kind === 'transform' ? read.parents : [];
    for (const parent of parents) addSource(parent);
    add(
      'source',
      name,
      parents.map((parent) => `source.${parent}`),
    );
  };
  for (const name of definitions.sources.keys()) addSource(name);

  const sourcesOf = (features: Iterable<string>): string[] => {
    const found = new Set<string>();
    const visit = (name: string): void => {
      const feature = definitions.features.get(name);
      if (!feature) return;
      const computation = feature.computation;
      if ('source' in computation) found.add(`source.${computation.source}`);
      for (const dependency of feature.dependsOn) visit(dependency);
    };
    for (const name of features) visit(name);
    return [...found];
  };
  if (definitions.features.size > 0) add('online', 'store', sourcesOf(definitions.features.keys()));
  for (const dataset of definitions.datasets.values())
    add('dataset', dataset.name, [
      ...sourcesOf(dataset.features),
      ...(dataset.observations.from.kind === 'source' ? [`source.${dataset.observations.from.source}`] : []),
      ...(dataset.label === null ? [] : [`source.${definitions.labels.get(dataset.label)!.source}`]),
    ]);
  for (const model of definitions.models.values()) add('model', model.name, [`dataset.${model.dataset}`]);
  for (const service of definitions.services.values())
    add('service', service.name, [`model.${service.model}`, ONLINE]);
  for (const monitor of definitions.monitors.values())
    add('monitor', monitor.name, [`service.${monitor.service}`]);
  return assets;
}

/** The assets asked for (bare names or ids) and all their parents. Nothing asked for is everything. */
export function selectAssets(assets: readonly Asset[], names: readonly string[]): readonly Asset[] {
  if (names.length === 0) return assets;
  const byId = new Map(assets.map((asset) => [asset.id, asset]));
  const wanted = new Set<string>();
  const want = (id: string): void => {
    if (wanted.has(id)) return;
    wanted.add(id);
    for (const parent of byId.get(id)?.parents ?? []) want(parent);
  };
  for (const name of names) {
    const found = assets.filter((asset) => asset.id === name || asset.name === name);
    if (found.length === 0) {
      const near = nearest(
        name,
        assets.flatMap((asset) => [asset.id, asset.name]),
      );
      throw new MillraceError('UNKNOWN_NAME', `there is no asset named "${name}"`, {
        hint: near ? `Did you mean "${near}"?` : 'See `millrace plan`.',
      });
    }
    for (const asset of found) want(asset.id);
  }
  return assets.filter((asset) => wanted.has(asset.id));
}

const ACTIONS: Readonly<Record<AssetKind, Action>> = {
  source: 'ingest',
  online: 'materialize',
  dataset: 'build',
  model: 'train',
  service: 'backtest',
  monitor: 'monitor',
};

export function planRun(definitions: Definitions, snapshot: Snapshot, names: readonly string[] = []): Plan {
  const steps: Step[] = [];
  const fresh: string[] = [];
  const contracts: Plan['contracts'][number][] = [];
  const planned = new Map<string, Step>();
  for (const asset of selectAssets(assetGraph(definitions), names)) {
    const state = snapshot.assets.get(asset.id) ?? { stale: 'nothing is known of it' };
    if (state.contract) contracts.push({ source: asset.name, ...state.contract });
    const moved = asset.parents.filter((parent) => planned.has(parent));
    if (state.stale === null && moved.length === 0) {
      fresh.push(asset.id);
      continue;
    }
    const transform =
      asset.kind === 'source' && definitions.sources.get(asset.name)!.read.kind === 'transform';
    const step: Step = {
      asset: asset.id,
      kind: asset.kind,
      name: asset.name,
      action: transform ? 'transform' : ACTIONS[asset.kind],
      certainty: state.stale === null ? 'follows' : 'stale',
      reason: `${state.stale ?? `${moved.join(', ')} may change`}${state.how ? ` (${state.how})` : ''}`,
      files: state.files ?? [],
      bytes: state.bytes ?? 0,
      after: moved,
      expected: expectedOf(
        state,
        snapshot.timings?.get(asset.id) ?? [],
        moved.map((parent) => planned.get(parent)!),
      ),
    };
    planned.set(asset.id, step);
    steps.push(step);
  }
  return {
    steps,
    fresh,
    contracts,
    changes: snapshot.changes ?? [],
    promotions: steps
      .filter(({ action }) => action === 'train')
      .map(({ name, asset, after }) => ({
        model: name,
        version: after.length > 0 ? null : (snapshot.assets.get(asset)?.trained ?? null),
        champion: snapshot.champions?.get(name) ?? null,
      })),
    cost: costOf(steps),
    world: fingerprint({
      names: [...names].sort(),
      assets: [...snapshot.assets].map(([id, { stale, files, bytes, mark }]) => ({
        id,
        stale,
        files,
        bytes,
        mark,
      })),
      changes: snapshot.changes,
      champions: [...(snapshot.champions ?? [])],
    }),
  };
}

/** Files are counted by their bytes; else by the rows of the parents, and what comes into them before. */
function expectedOf(state: AssetState, earlier: readonly Measured[], parents: readonly Step[]): Expected {
  const bytes = state.bytes ?? null;
  let rows: number | null = null;
  if (bytes !== null) rows = expectedRows(earlier, bytes);
  else if (state.rows !== undefined && state.rows !== null) {
    rows = state.rows;
    for (const { action, expected } of parents)
      if (action === 'ingest') rows = rows === null || expected.rows === null ? null : rows + expected.rows;
  }
  return { rows, bytes, seconds: expectedSeconds(earlier, { rows, bytes }) };
}
