/** A project for other orchestrators: the file that calls the CLI, and the data versions that it reports. */
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { fingerprint } from '../core/base/fingerprint.js';
import type { Definitions } from '../core/define/types.js';
import { printAirflow } from '../core/plan/export-airflow.js';
import { printDagster } from '../core/plan/export-dagster.js';
import {
  type ExportGraph,
  type ExportOptions,
  exportGraph,
  type Orchestrator,
} from '../core/plan/export-graph.js';
import { type Asset, assetGraph, selectAssets } from '../core/plan/plan.js';
import { projectGroups } from './online-groups.js';
import type { Project } from './project.js';
import { backtestKey } from './runs/asset-state.js';

const PRINTERS: Readonly<Record<Orchestrator, (graph: ExportGraph) => string>> = {
  airflow: printAirflow,
  dagster: printDagster,
};

export interface Exported {
  readonly text: string;
  readonly graph: ExportGraph;
}

/** `root` is the project folder and `file` where the text will stand, both absolute. */
export function exportProject(
  definitions: Definitions,
  target: Orchestrator,
  root: string,
  file: string,
  options: Omit<ExportOptions, 'folder'>,
): Exported {
  const folder = path.relative(path.dirname(file), root).replaceAll(path.sep, '/') || '.';
  const graph = exportGraph(definitions, { ...options, folder });
  return { text: PRINTERS[target](graph), graph };
}

/** The hash in the head of a file that was exported; null without one. */
export const exportedHash = (text: string): string | null =>
  /^# graph: sha256:([0-9a-f]{64})$/m.exec(text)?.[1] ?? null;

/** Null where there is no file. */
export const presentText = (file: string): Promise<string | null> =>
  readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null;
    throw error;
  });

export interface AssetVersion {
  readonly asset: string;
  readonly kind: Asset['kind'];
  readonly parents: readonly string[];
  /** SHA-256 of what the asset holds; equal means nothing has changed. Null: it holds nothing yet. */
  readonly data_version: string | null;
  /** Of datasets and models; null of others and before the first. */
  readonly version: number | null;
  /** Rows of the dataset; null of others. */
  readonly rows: number | null;
}

type Held = Pick<AssetVersion, 'data_version' | 'version' | 'rows'>;
const NOTHING: Held = { data_version: null, version: null, rows: null };

async function held(project: Project, asset: Asset): Promise<Held> {
  const { definitions } = project;
  const registry = await project.registry();
  const hash = (content: unknown): Held => ({ ...NOTHING, data_version: fingerprint(content) });
  switch (asset.kind) {
    case 'source': {
      // The log is only ever appended: the position names the content.
      const source = definitions.sources.get(asset.name)!;
      const { lastSeq } = await (await project.log()).state(source);
      return lastSeq === 0 ? NOTHING : hash({ source: asset.name, seq: lastSeq });
    }
    case 'online': {
      const store = await project.online();
      const groups = projectGroups(project).map(({ group, online }) => ({
        group: group.id,
        seq: store.applied(online)?.seq ?? null,
      }));
      return groups.some(({ seq }) => seq !== null) ? hash({ groups }) : NOTHING;
    }
    case 'dataset': {
      const latest = registry.version('dataset', asset.name);
      if (!latest) return NOTHING;
      const { logical_sha256, counts } = latest.manifest as {
        readonly logical_sha256: string;
        readonly counts: { readonly rows: number };
      };
      return { data_version: logical_sha256, version: latest.version, rows: counts.rows };
    }
    case 'model': {
      const latest = registry.version('model', asset.name);
      return latest ? { data_version: latest.key, version: latest.version, rows: null } : NOTHING;
    }
    case 'service': {
      const key = await backtestKey(project, definitions.services.get(asset.name)!);
      return key === null ? NOTHING : hash({ service: asset.name, key });
    }
    case 'monitor': {
      const key = registry.getFact(`monitored:${asset.name}`);
      return typeof key === 'string' ? hash({ monitor: asset.name, key }) : NOTHING;
    }
  }
}

/** What the assets asked for (all when none is) and their parents hold now; parents first. */
export async function assetVersions(
  project: Project,
  names: readonly string[],
): Promise<readonly AssetVersion[]> {
  const versions: AssetVersion[] = [];
  for (const asset of selectAssets(assetGraph(project.definitions), names))
    versions.push({
      asset: asset.id,
      kind: asset.kind,
      parents: asset.parents,
      ...(await held(project, asset)),
    });
  return versions;
}
