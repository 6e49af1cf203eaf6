/** A model version fitted again from what it is registered to follow from, and what is to blame where it differs. */
import { MillraceError } from '../core/base/error.js';
import type { VersionRecord } from '../ports/registry.js';
import { type CodeVersion, trainerCode } from './code-version.js';
import { manifestOfDataset } from './dataset-versions.js';
import { fitModel } from './fit-model.js';
import { type StoredState, storedState } from './load-model.js';
import { manifestOf } from './model-manifest.js';
import type { Project } from './project.js';
import { keepFiles } from './register-model.js';
import { storedRows, withRebuilt } from './reproduce-dataset.js';
import { type Environment, environmentOf } from './training-record.js';

export interface ModelReproduction {
  readonly model: string;
  readonly version: number;
  /** Byte for byte. */
  readonly same: boolean;
  readonly stored: StoredState;
  /** The new files were put in the place of those that were missing or damaged. */
  readonly restored: boolean;
  /** Where the rows came from: the files of the dataset version, or its recipe. */
  readonly rows: 'stored' | 'rebuilt';
  /** Null where it is the same and its files are whole, or were missing. */
  readonly cause: 'stored_copy' | 'code' | 'data' | 'environment' | 'trainer' | null;
  readonly evidence: readonly string[];
}

/** Files of a command's code that are not what they were. */
function codeDifferences(then: CodeVersion, now: CodeVersion): string[] {
  const [before, after] = [
    { ...then.files, ...then.locks },
    { ...now.files, ...now.locks },
  ];
  return [...new Set([...Object.keys(before), ...Object.keys(after)])]
    .filter((file) => before[file] !== after[file])
    .map((file) => `${file} is ${before[file] ? (after[file] ? 'another one now' : 'gone') : 'new'}`);
}

/** What the fit ran in that may change its bits. */
export function environmentDifferences(then: Environment, now: Environment): string[] {
  const told = ({ millrace, node, v8, processor, process }: Environment): Map<string, string> =>
    new Map([
      ['millrace', millrace],
      ['node', node],
      ['v8', v8 ?? ''],
      ['processor', processor ?? ''],
      ['python', process?.python ?? ''],
      ...(process?.packages ?? []).map((each): [string, string] => {
        const [name = each, version = ''] = each.split('==');
        return [name, version];
      }),
    ]);
  const [before, after] = [told(then), told(now)];
  return [...new Set([...before.keys(), ...after.keys()])]
    .filter((name) => (before.get(name) ?? '') !== (after.get(name) ?? ''))
    .map((name) => `${name} ${before.get(name) || 'absent'}, now ${after.get(name) || 'absent'}`);
}

/**
 * Fits a version again, whatever the definitions say now: its trainer, parameters and seed are registered, its rows are
 * a dataset version. `restore` puts files that are missing or damaged back, where the model is the same byte for byte.
 * @throws MillraceError USAGE for a model that was imported
 */
export async function reproduceModel(
  project: Project,
  version: VersionRecord,
  options: { readonly restore?: boolean } = {},
): Promise<ModelReproduction> {
  const manifest = manifestOf(version);
  const title = `${version.name}@${version.version}`;
  if (manifest.imported)
    throw new MillraceError(
      'USAGE',
      `${title} was imported from ${manifest.imported.from}, not trained here`,
      {
        hint: 'What was imported is kept by its hash: import it again to compare.',
      },
    );
  const { name, version: number } = manifest.dataset;
  const dataset = (await project.registry()).version('dataset', name, number)!;
  const stored = await storedState(version);
  const found = { model: version.name, version: version.version, stored, restored: false };
  const differs = (
    rows: ModelReproduction['rows'],
    cause: ModelReproduction['cause'],
    evidence: readonly string[],
  ): ModelReproduction => ({ ...found, rows, same: false, cause, evidence });

  const code = await trainerCode(project, manifest);
  if (code && manifest.code && code.sha256 !== manifest.code.sha256)
    return differs('stored', 'code', codeDifferences(manifest.code, code));

  const compared = async (rows: ModelReproduction['rows'], at: VersionRecord): Promise<ModelReproduction> => {
    const { fitted } = await fitModel(project, { ...manifest, name: version.name, code }, at);
    try {
      if (fitted.model_sha256 !== manifest.model_sha256) {
        const environment = environmentDifferences(
          manifest.environment,
          environmentOf(project, fitted.process),
        );
        return environment.length > 0
          ? differs(rows, 'environment', environment)
          : differs(rows, 'trainer', ['data, code, seed and environment are the same']);
      }
      const restored = options.restore === true && stored !== 'whole';
      if (restored) await keepFiles(version.folder, fitted, manifest);
      const cause = stored === 'damaged' ? 'stored_copy' : null;
      return { ...found, restored, rows, same: true, cause, evidence: [] };
    } finally {
      await fitted.discard();
    }
  };
  if ((await storedRows(dataset)) === 'whole') return compared('stored', dataset);
  return withRebuilt(project, dataset, async ({ folder, manifest: again }) => {
    if (again.logical_sha256 !== manifestOfDataset(dataset).logical_sha256)
      return differs('rebuilt', 'data', [
        `${name}@${number} cannot be built again as it was: \`millrace dataset reproduce ${name}@${number}\` says why`,
      ]);
    return compared('rebuilt', {
      ...dataset,
      folder,
      manifest: again as unknown as VersionRecord['manifest'],
    });
  });
}
