import { execFileSync } from 'node:child_process';
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { columnLength, columnValue } from '../../src/core/engine/columns.js';
import { toJson } from '../../src/core/schema/coerce-print.js';
import { parseType } from '../../src/core/schema/types.js';
import { openProject } from '../../src/open.js';
import { datasetColumns } from '../../src/services/dataset-table.js';
import { exportModel } from '../../src/services/export-model.js';
import { ingestFiles } from '../../src/services/ingest.js';
import { loadModel } from '../../src/services/load-model.js';
import { trainModel } from '../../src/services/train.js';
import { pythonPackages } from './python.js';

const EXAMPLE = path.join(path.dirname(fileURLToPath(import.meta.url)), '../../examples/sklearn');
const REQUIREMENTS = [
  'mlflow-skinny==2.22.0',
  'numpy==1.26.4',
  'onnx==1.17.0',
  'onnxruntime==1.23.2',
  'pandas==2.2.3',
  'protobuf==5.29.3',
];

const SCRIPT = `
import json, sys
import mlflow.pyfunc, mlflow.onnx, onnx, pandas as pd
from mlflow.models import Model
folder, rows = sys.argv[1], json.load(open(sys.argv[2]))
model = mlflow.pyfunc.load_model(folder)
signature = model.metadata.signature
frame = pd.DataFrame(rows["data"], columns=rows["columns"]).astype(
    {each.name: "float64" for each in signature.inputs if each.type.name == "double"})
onnx.checker.check_model(mlflow.onnx.load_model(folder))
example = Model.load(folder).load_input_example(folder)
try:
    model.predict(frame.drop(columns=rows["columns"][0]))
    refused = None
except Exception as error:
    refused = str(error)
print(json.dumps({
    "outputs": [each.name for each in signature.outputs],
    "scores": model.predict(frame)["probability"].tolist(),
    "example": model.predict(example)["probability"].tolist(),
    "flavors": sorted(model.metadata.flavors),
    "ids": model.metadata.flavors["millrace"]["model"],
    "refused": refused,
}))
`;

it('an exported model is what real MLflow loads, and its predictions are ours to 1e-12', async (context) => {
  const packages = pythonPackages('mlflow-skinny', REQUIREMENTS);
  if (packages === null) return context.skip();
  const folder = await mkdtemp(path.join(tmpdir(), 'millrace-mlflow-'));
  const root = path.join(folder, 'machines');
  await cp(EXAMPLE, root, { recursive: true });
  const definitions = path.join(root, 'definitions/machines.yaml');
  const written = await readFile(definitions, 'utf8');
  await writeFile(
    definitions,
    written.replace(
      / {4}trainer:\n( {6}.*\n)+/,
      '    trainer: { kind: gradient_boosted_trees, trees: 40 }\n',
    ),
  );
  const project = await openProject(root, { now: () => Date.UTC(2024, 3, 1) * 1000 });
  try {
    for (const name of ['machines', 'readings', 'shifts', 'shift_ends'])
      await ingestFiles(project, project.definitions.sources.get(name)!, [
        path.join(root, 'data', name === 'machines' ? 'machines.csv' : `${name}.csv.gz`),
      ]);
    const { version, manifest } = await trainModel(project, 'stops');
    expect(manifest.trainer.kind).toBe('gradient_boosted_trees');
    const out = path.join(folder, 'exported');
    await exportModel(project, version, out);
    await expect(exportModel(project, version, out)).rejects.toMatchObject({ code: 'USAGE' });

    const registry = await project.registry();
    const dataset = registry.version('dataset', 'shifts_train')!;
    const types = manifest.features.map(({ name, type }) => ({ name, type: parseType(type)! }));
    const columns = await datasetColumns(await project.offline(), dataset, types);
    const values = types.map(({ name }) => columns.get(name)!);
    const rows = Array.from({ length: columnLength(values[0]!) }, (_, row) =>
      values.map((column) => columnValue(column, row)),
    );
    expect(rows.some((row) => row.includes(null))).toBe(true);
    const ours = await (await loadModel(project, version)).compiled.predictRows(rows);
    const data = rows.map((row) => row.map((value, i) => toJson(types[i]!.type, value)));
    const file = path.join(folder, 'rows.json');
    await writeFile(file, JSON.stringify({ columns: types.map(({ name }) => name), data }));
    const answer = JSON.parse(
      execFileSync('python3', ['-c', SCRIPT, out, file], {
        encoding: 'utf8',
        env: { ...process.env, PYTHONPATH: packages, MLFLOW_TRACKING_URI: folder },
        stdio: ['ignore', 'pipe', 'pipe'],
      })
        .trim()
        .split('\n')
        .at(-1)!,
    ) as {
      outputs: string[];
      scores: number[];
      example: number[];
      flavors: string[];
      ids: string;
      refused: string | null;
    };
    const expected = ours.map((each) => (each as { probability: number }).probability);
    expect(new Set(expected).size).toBeGreaterThan(100);
    expect(answer.scores).toHaveLength(expected.length);
    for (const [i, score] of answer.scores.entries())
      expect(Math.abs(score - expected[i]!)).toBeLessThanOrEqual(1e-12);
    expect(answer.example).toEqual(answer.scores.slice(0, 5));
    expect(answer.outputs).toEqual(['probability']);
    expect(answer.flavors).toEqual(['millrace', 'onnx', 'python_function']);
    expect(answer.ids).toBe('stops@1');
    expect(answer.refused).toContain('missing inputs');
  } finally {
    await project.close();
    await rm(folder, { recursive: true, force: true });
  }
}, 300_000);
