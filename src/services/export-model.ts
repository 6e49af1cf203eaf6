/** A model version as a directory that MLflow loads: pyfunc through a loader of its own, and the onnx flavour. */
import { createHash } from 'node:crypto';
import { access, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { stringify } from 'yaml';
import { MillraceError } from '../core/base/error.js';
import { VERSION } from '../core/base/version.js';
import { columnLength, columnValue } from '../core/engine/columns.js';
import { categoryValue, featureKind, featureWidth, numericValue } from '../core/learn/matrix.js';
import { toOnnx } from '../core/learn/onnx.js';
import { parseType } from '../core/schema/types.js';
import type { VersionRecord } from '../ports/registry.js';
import { datasetColumns, rowsAt, rowsPresent } from './dataset-table.js';
import { readTrained } from './load-model.js';
import type { ModelManifest } from './model-manifest.js';
import type { Project } from './project.js';
import { pythonFile } from './python-files.js';
import { ONNX_FILE } from './train-process.js';

const LOADER = 'millrace_pyfunc';
const EXAMPLE_ROWS = 5;
const REQUIREMENTS = ['mlflow', 'numpy', 'onnx>=1.16', 'onnxruntime>=1.23', 'pandas'];

interface ExampleColumn {
  readonly name: string;
  readonly text: boolean;
  readonly values: readonly (number | string | null)[];
}

/** The first rows of the training set, as a caller of the exported model gives them; none when it is gone. */
async function example(
  project: Project,
  manifest: ModelManifest,
  columns: readonly { readonly name: string; readonly type: string }[],
): Promise<readonly ExampleColumn[] | null> {
  const registry = await project.registry();
  const dataset = registry.version('dataset', manifest.dataset.name, manifest.dataset.version);
  if (!dataset || !rowsPresent(rowsAt(dataset))) return null;
  const typed = columns.map(({ name, type }) => ({ name, type: parseType(type)! }));
  const read = await datasetColumns(await project.offline(), dataset, typed);
  return typed.map((feature): ExampleColumn => {
    const column = read.get(feature.name)!;
    const text = featureKind(feature) === 'categorical';
    const rows = Math.min(EXAMPLE_ROWS, columnLength(column));
    const values = Array.from({ length: rows }, (_, row) => {
      const value = columnValue(column, row);
      if (text) return categoryValue(feature, value) ?? '';
      const number = numericValue(feature, value);
      return Number.isNaN(number) ? null : number;
    });
    return { name: feature.name, text, values };
  });
}

export interface ExportedModel {
  readonly model: string;
  readonly version: number;
  readonly format: 'mlflow';
  readonly out: string;
  readonly files: readonly string[];
}

/**
 * Writes the directory, which must not be there.
 * @throws MillraceError USAGE where the model has no such form or something stands there.
 */
export async function exportModel(
  project: Project,
  version: VersionRecord,
  folder: string,
): Promise<ExportedModel> {
  const manifest = version.manifest as unknown as ModelManifest;
  const out = path.resolve(folder);
  if (
    await access(out).then(
      () => true,
      () => false,
    )
  )
    throw new MillraceError('USAGE', `"${folder}" is there already`, {
      hint: 'Name a folder that is not, or remove it first.',
    });
  const features = manifest.features;
  const wide = features.find((feature) => {
    const type = parseType(feature.type)!;
    return type.kind === 'float64_vector' && featureWidth(type) !== 1;
  });
  if (wide)
    throw new MillraceError(
      'USAGE',
      `feature ${wide.name} is a vector, which has no column in an MLflow signature`,
      {
        hint: 'Leave it out of the model with `exclude`.',
      },
    );
  if (manifest.runtime !== undefined && manifest.encoders)
    throw new MillraceError('USAGE', 'its model file takes encoded columns, which only millrace encodes', {
      hint: 'Leave `encode` out of the trainer, or take the model file and encoders.json from the folder of the version.',
    });
  const onnx =
    manifest.runtime === 'onnx'
      ? await readFile(path.join(version.folder, ONNX_FILE))
      : toOnnx(await readTrained(version));
  const shown = await example(project, manifest, features);
  const isText = (type: string): boolean => parseType(type)!.kind === 'string';
  const outputs =
    manifest.task === 'regression'
      ? ['prediction']
      : manifest.task === 'binary'
        ? ['probability']
        : manifest.classes!.map((name) => `probability_${name}`);
  const field = (type: string, name: string): object => ({ type, name, required: true });
  const about = {
    version: 1,
    millrace: VERSION,
    model: `${version.name}@${version.version}`,
    task: manifest.task,
    classes: manifest.classes,
    label: manifest.label,
    dataset: `${manifest.dataset.name}@${manifest.dataset.version}`,
    dataset_sha256: manifest.dataset.logical_sha256,
    model_sha256: manifest.model_sha256,
    onnx_sha256: createHash('sha256').update(onnx).digest('hex'),
    features,
    metrics: manifest.metrics,
  };
  const created = new Date(version.createdAt / 1000).toISOString().replace('T', ' ').replace('Z', '000');
  const mlmodel = {
    artifact_path: version.name,
    flavors: {
      python_function: {
        loader_module: LOADER,
        code: 'code',
        data: 'data',
        python_version: '3.11',
        env: { conda: 'conda.yaml', virtualenv: 'python_env.yaml' },
      },
      onnx: {
        onnx_version: '1.16.0',
        data: `data/${ONNX_FILE}`,
        providers: ['CPUExecutionProvider'],
        code: 'code',
      },
      millrace: about,
    },
    model_uuid: createHash('sha256').update(JSON.stringify(about)).digest('hex').slice(0, 32),
    utc_time_created: created,
    model_size_bytes: onnx.length,
    ...(shown
      ? {
          saved_input_example_info: {
            artifact_path: 'input_example.json',
            type: 'dataframe',
            pandas_orient: 'split',
          },
        }
      : {}),
    signature: {
      inputs: JSON.stringify(
        features.map((feature) => field(isText(feature.type) ? 'string' : 'double', feature.name)),
      ),
      outputs: JSON.stringify(outputs.map((name) => field('double', name))),
      params: null,
    },
  };
  const files: Record<string, string | Uint8Array> = {
    MLmodel: stringify(mlmodel, { lineWidth: 0 }),
    [`data/${ONNX_FILE}`]: onnx,
    'data/millrace.json': `${JSON.stringify(about, null, 2)}\n`,
    [`code/${LOADER}.py`]: await readFile(pythonFile(`${LOADER}.py`)),
    'requirements.txt': `${REQUIREMENTS.join('\n')}\n`,
    'conda.yaml': stringify({
      name: 'millrace',
      channels: ['conda-forge'],
      dependencies: ['python>=3.10', 'pip', { pip: REQUIREMENTS }],
    }),
    'python_env.yaml': stringify({
      python: '3.11',
      build_dependencies: ['pip'],
      dependencies: ['-r requirements.txt'],
    }),
    ...(shown
      ? {
          'input_example.json': `${JSON.stringify({
            columns: shown.map((column) => column.name),
            data: (shown[0]?.values ?? []).map((_, row) => shown.map((column) => column.values[row] ?? null)),
          })}\n`,
        }
      : {}),
  };
  const staging = `${out}.${process.pid}.tmp`;
  try {
    for (const [name, content] of Object.entries(files)) {
      await mkdir(path.dirname(path.join(staging, name)), { recursive: true });
      await writeFile(path.join(staging, name), content);
    }
    await rename(staging, out);
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
  return {
    model: version.name,
    version: version.version,
    format: 'mlflow',
    out,
    files: Object.keys(files).sort(),
  };
}
