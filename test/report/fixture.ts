/** The flights project with a real registry, log and monitor, filled with what the library computes from drawn numbers. */
import { cp, mkdir, mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fingerprint } from '../../src/core/base/fingerprint.js';
import type { DatasetManifest } from '../../src/core/dataset/manifest.js';
import { type ColumnProfile, profileColumn } from '../../src/core/drift/profile.js';
import { evaluateBinary } from '../../src/core/learn/metrics.js';
import { printType } from '../../src/core/schema/types.js';
import { type OpenedProject, openProject } from '../../src/open.js';
import type { LoggedPrediction } from '../../src/ports/prediction-log.js';
import { isNumericSample, valueSample } from '../../src/services/column-sample.js';
import type { ModelManifest } from '../../src/services/model-manifest.js';
import { runMonitor } from '../../src/services/monitor.js';
import { drawing } from '../drift/random.js';

export const NOW = Date.parse('2015-01-02T09:30:00Z') * 1000;
const DAY = 86_400_000_000;

const EXAMPLE = path.resolve(import.meta.dirname, '../../examples/flights');

export async function emptyProject(): Promise<OpenedProject> {
  const folder = await mkdtemp(path.join(tmpdir(), 'millrace-report-'));
  await cp(path.join(EXAMPLE, 'definitions'), path.join(folder, 'definitions'), { recursive: true });
  await cp(path.join(EXAMPLE, 'millrace.yaml'), path.join(folder, 'millrace.yaml'));
  return openProject(folder, { now: () => NOW });
}

/** Planes, some of them from the future, some twice. */
async function ingestPlanes(project: OpenedProject): Promise<void> {
  const lines = ['tailnum,year,manufacturer,engines,seats,registered_at'];
  for (let i = 0; i < 400; i++)
    lines.push(
      `N${1000 + (i % 380)},${i % 19 === 7 ? 2031 : 1985 + (i % 28)},BOEING,2,${140 + (i % 60)},2000-01-01T00:00:00Z`,
    );
  const file = path.join(project.folder, 'planes.csv');
  await writeFile(file, `${lines.join('\n')}\n`);
  const log = await project.log();
  await log.ingestFiles(project.definitions.sources.get('planes')!, [file], { now: NOW - DAY });
}

type Draw = ReturnType<typeof drawing>;

/** A believable value of a feature of the example, by its name. */
function drawValue(name: string, draw: Draw, shifted: boolean): number | string | boolean | null {
  const { uniform, normal } = draw;
  if (name === 'origin_code') return uniform() < 0.7 ? 'SEA' : 'PDX';
  if (name === 'carrier_code')
    return ['AS', 'WN', 'DL', 'UA', 'OO', 'AA', 'B6', 'HA'][Math.floor(uniform() ** 2 * 8)]!;
  if (name === 'destination') return `D${Math.floor(uniform() ** 2 * (shifted ? 60 : 48))}`;
  if (/hour/.test(name)) return Math.min(23, Math.max(0, Math.round(13 + 5 * normal())));
  if (/weekday/.test(name)) return 1 + Math.floor(uniform() * 7);
  if (/month/.test(name)) return shifted ? 12 : 1 + Math.floor(uniform() * 9);
  if (/share/.test(name))
    return uniform() < 0.05 ? null : Math.round(Math.min(1, Math.max(0, 0.18 + 0.12 * normal())) * 60) / 60;
  if (/gust|wind/.test(name))
    return uniform() < 0.02 ? null : Math.round(Math.abs(7 + 4 * normal()) * 10) / 10;
  if (name === 'precip') return uniform() < 0.9 ? 0 : Math.round(uniform() * 30) / 100;
  if (name === 'temp') return (shifted ? 38 : 57) + 10 * normal();
  if (name === 'visib') return uniform() < 0.8 ? 10 : Math.round(uniform() * 40) / 4;
  if (/delay/.test(name))
    return uniform() < 0.04
      ? null
      : Math.round(Math.exp(2 + normal()) - 9 + (shifted && name.startsWith('origin') ? 6 : 0));
  if (/count|departures|landings|routes/.test(name)) return Math.max(0, Math.round(12 + 5 * normal()));
  if (name === 'distance') return 200 + Math.floor(uniform() * 2500);
  return uniform() < 0.12 && name.startsWith('plane') ? null : Math.abs(20 + 9 * normal());
}

export interface FilledOptions {
  /** Rows of each part. */
  readonly train?: number;
  readonly test?: number;
  readonly served?: number;
}

export async function filledProject({
  train = 3_000,
  test = 1_500,
  served = 700,
}: FilledOptions = {}): Promise<OpenedProject> {
  const project = await emptyProject();
  const { definitions } = project;
  await ingestPlanes(project);
  const registry = await project.registry();
  const dataset = definitions.datasets.get('flights_train')!;
  const features = dataset.features.map((name) => definitions.features.get(name)!);
  const draw = drawing(7);
  const profile: Record<string, ColumnProfile> = {};
  for (const feature of features) {
    const values = Array.from({ length: train }, () => drawValue(feature.name, draw, false));
    profile[feature.name] = profileColumn(
      valueSample(
        feature.valueType,
        isNumericSample(feature.valueType)
          ? values.map((value) => (typeof value === 'number' ? value : null))
          : values,
      ),
    );
  }
  const listed = features.map((feature) => ({
    name: feature.name,
    type: printType(feature.valueType),
    fingerprint: feature.fingerprint,
  }));
  const manifest: DatasetManifest = {
    format: 1,
    dataset: dataset.name,
    fingerprint: dataset.fingerprint,
    engine_version: 1,
    knowledge: 'as_of',
    horizons: { schedule: 162_049, landed: 160_748, departed: 161_188, weather: 17_516, planes: 379 },
    observations_sha256: null,
    counts: {
      observations: train + 2 * test + 166,
      rows: train + 2 * test,
      immature_label: 31,
      no_outcome: 122,
      outside_horizon: 1,
      purged: 12,
    },
    parts: [
      {
        name: 'train',
        rows: train,
        from: '2014-01-01T08:00:00Z',
        to: '2014-08-31T06:55:00Z',
        label: { false: train - Math.round(train * 0.2), true: Math.round(train * 0.2) },
      },
      {
        name: 'validation',
        rows: test,
        from: '2014-09-01T12:00:00Z',
        to: '2014-09-30T06:55:00Z',
        label: { false: test - Math.round(test * 0.13), true: Math.round(test * 0.13) },
      },
      {
        name: 'test',
        rows: test,
        from: '2014-10-01T12:00:00Z',
        to: '2014-12-30T06:55:00Z',
        label: { false: test - Math.round(test * 0.19), true: Math.round(test * 0.19) },
      },
    ],
    label: {
      name: 'late15',
      type: 'boolean',
      horizon: '36h',
      grace: '0s',
      known_through: '2015-01-01T07:00:00Z',
    },
    features: listed,
    profile,
    leakage: [
      {
        rule: 'predicts_alone',
        severity: 'warn',
        feature: 'aircraft_last_delay',
        message: 'feature aircraft_last_delay alone separates the label with AUC 0.957',
        remedy: 'check that it is known at the observation time and is no form of the outcome',
      },
    ],
    files: [{ file: 'data.parquet', rows: train + 2 * test, bytes: 4_812_331, sha256: fingerprint('file') }],
    logical_sha256: fingerprint('rows'),
    column_sha256: {},
  };
  registry.addVersion({
    kind: 'dataset',
    name: dataset.name,
    key: fingerprint('k1'),
    folder: project.stateFolder,
    manifest: manifest as unknown as Record<string, unknown>,
    createdAt: NOW - 3 * DAY,
  });

  for (const [i, strength] of [1.1, 1.5].entries()) {
    const parts = { test, train, validation: test } as const;
    const evaluation: Record<string, ReturnType<typeof evaluateBinary>> = {};
    const scoreProfile: Record<string, ColumnProfile> = {};
    for (const [part, rows] of Object.entries(parts)) {
      const risk = Float64Array.from(
        { length: rows },
        () => -1.7 + (part === 'train' ? strength * 1.25 : strength) * draw.normal(),
      );
      const scores = risk.map((each) => 1 / (1 + Math.exp(-each)));
      const labels = scores.map((score) => (draw.uniform() < score * 0.92 ? 1 : 0));
      evaluation[part] = evaluateBinary(labels, scores);
      scoreProfile[part] = profileColumn({ type: 'numeric', values: scores, nulls: 0 });
    }
    const model: ModelManifest = {
      format: 1,
      model: 'flight_late',
      task: 'binary',
      trainer: definitions.models.get('flight_late')!.trainer,
      dataset: { name: dataset.name, version: 1, logical_sha256: manifest.logical_sha256 },
      features: listed,
      label: 'late15',
      classes: null,
      metrics: Object.fromEntries(Object.entries(evaluation).map(([part, item]) => [part, item.metrics])),
      evaluation,
      importance: features.map((feature, rank) => ({
        feature: feature.name,
        gain: 900 * Math.exp(-rank / 6),
      })),
      profile,
      score_profile: scoreProfile,
      model_sha256: fingerprint(`model ${i}`),
      environment: { node: process.version, millrace: '0.1.0' },
    };
    registry.addVersion({
      kind: 'model',
      name: 'flight_late',
      key: fingerprint(`m${i}`),
      folder: project.stateFolder,
      manifest: model as unknown as Record<string, unknown>,
      createdAt: NOW - (2 - i) * DAY,
    });
    registry.setAlias({
      model: 'flight_late',
      alias: 'champion',
      version: i + 1,
      at: NOW - (2 - i) * DAY,
      actor: 'maria',
      reason: 'passed its gate',
    });
  }

  const predictions: LoggedPrediction[] = Array.from({ length: served }, (_, i) => ({
    prediction_id: `p${i}`,
    service: 'flight_late',
    model: 'flight_late@2',
    made_at: NOW,
    as_of: NOW - Math.round((i / served) * 6 * DAY),
    origin: 'online',
    entity: {},
    request: {},
    features: Object.fromEntries(
      features.map((feature) => [feature.name, drawValue(feature.name, draw, true)]),
    ),
    statuses: {},
    applied: {},
    score: 1 / (1 + Math.exp(1.4 - 1.2 * draw.normal())),
    prediction: null,
  }));
  await project.predictions().append('flight_late', predictions);
  await project.predictions().appendOutcomes(
    'flight_late',
    predictions.slice(0, Math.round(served * 0.8)).map((item) => ({
      prediction_id: item.prediction_id,
      service: item.service,
      label: draw.uniform() < item.score!,
      at: NOW,
      received_at: NOW,
    })),
  );
  await runMonitor(project, 'flight_drift');
  registry.setFact('verify', {
    features: features.length,
    observations: 2_000,
    checked: 2_000 * features.length,
    differing: 0,
    differences: [],
    at: '2015-01-02T09:00:00Z',
  });
  registry.endRun(registry.startRun('millrace run', NOW - DAY), 'done', NOW - DAY + 193_000_000, {});
  registry.endRun(
    registry.startRun('millrace run flight_late', NOW - DAY / 2),
    'interrupted',
    NOW - DAY / 2 + 4_000_000,
    {},
  );
  await mkdir(project.stateFolder, { recursive: true });
  return project;
}
