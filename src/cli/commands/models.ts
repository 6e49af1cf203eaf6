import { MillraceError } from '../../core/base/error.js';
import { printInstant } from '../../core/base/time.js';
import type { VersionRecord } from '../../ports/registry.js';
import { exportModel } from '../../services/export-model.js';
import { manifestOf } from '../../services/model-manifest.js';
import { aliasModel, searchModels } from '../../services/model-registry.js';
import type { Project } from '../../services/project.js';
import { CHAMPION, promoteModel, rollbackModel } from '../../services/promote.js';
import { trainModel } from '../../services/train.js';
import { promotionError } from '../gates.js';
import type { Io } from '../io.js';
import { integer, known, versioned } from '../parse.js';
import { metric, table } from '../table.js';
import { within } from '../within.js';

type Options = Readonly<Record<string, unknown>>;

const MAIN_METRICS = [
  'auc',
  'average_precision',
  'log_loss',
  'brier',
  'ece',
  'accuracy',
  'macro_f1',
  'rmse',
  'mae',
  'r2',
];

function printVersion(io: Io, version: VersionRecord, champion: number | undefined): void {
  const manifest = manifestOf(version);
  io.print(
    `${version.name}@${version.version}${champion === version.version ? '  (champion)' : ''}  ${manifest.trainer.kind}, dataset ${manifest.dataset.name}@${manifest.dataset.version}`,
  );
  const parts = Object.keys(manifest.metrics);
  const names = MAIN_METRICS.filter((name) =>
    parts.some((part) => manifest.metrics[part]![name] !== undefined),
  );
  io.print(
    table(
      ['part', ...names],
      parts.map((part) => [part, ...names.map((name) => metric(manifest.metrics[part]![name]))]),
    ),
  );
}

export const train = (
  io: Io,
  args: readonly string[],
  options: Readonly<Record<string, unknown>>,
): Promise<number> =>
  within(
    io,
    async (project) => {
      await project.lockForWriting(io.command);
      const { version, manifest, built, reproduced } = await trainModel(project, args[0]!, {
        again: options['again'] === true,
      });
      printVersion(io, version, (await project.registry()).alias(version.name, CHAMPION));
      io.print(
        built
          ? `trained in ${version.folder}`
          : reproduced === null
            ? 'unchanged: nothing it depends on has changed'
            : reproduced
              ? 'trained again: the same data, code and seed gave the same model, byte for byte'
              : 'trained again: the same data, code and seed gave ANOTHER model; the version is as it was',
      );
      io.result({
        model: version.name,
        version: version.version,
        built,
        reproduced,
        metrics: manifest.metrics,
        folder: version.folder,
      });
      return 0;
    },
    { ignoreAvailability: options['ignoreAvailability'] === true },
  );

export const list = (io: Io, args: readonly string[]): Promise<number> =>
  within(io, async (project) => {
    const registry = await project.registry();
    if (args[0] !== undefined)
      known(
        args[0],
        new Set([
          ...project.definitions.models.keys(),
          ...registry.versions('model').map((item) => item.name),
        ]),
        'model',
      );
    const versions = registry.versions('model', args[0]);
    io.print(
      table(
        ['model', 'version', 'champion', 'trainer', 'test', 'trained'],
        versions.map((item) => {
          const manifest = manifestOf(item);
          const test = manifest.metrics['test'] ?? {};
          const name = MAIN_METRICS.find((candidate) => test[candidate] !== undefined);
          return [
            item.name,
            item.version,
            registry.alias(item.name, CHAMPION) === item.version ? 'yes' : '',
            manifest.trainer.kind,
            name ? `${name} ${metric(test[name])}` : '-',
            printInstant(item.createdAt),
          ];
        }),
      ),
    );
    io.result({
      models: versions.map((item) => ({
        name: item.name,
        version: item.version,
        champion: registry.alias(item.name, CHAMPION) === item.version,
        metrics: manifestOf(item).metrics,
        created_at: printInstant(item.createdAt),
      })),
      history: registry.aliasHistory(args[0]).map((change) => ({ ...change, at: printInstant(change.at) })),
    });
    return 0;
  });

function find(project: Project, text: string): Promise<VersionRecord> {
  const { name, version } = versioned(text);
  return project.registry().then((registry) => {
    const found = registry.version('model', name, version);
    if (!found && registry.versions('model', name).length === 0)
      known(name, project.definitions.models.keys(), 'model');
    if (!found)
      throw new MillraceError('MODEL_MISSING', `there is no model version ${text}`, {
        hint: 'See `millrace models list`.',
      });
    return found;
  });
}

export const show = (io: Io, args: readonly string[]): Promise<number> =>
  within(io, async (project) => {
    const version = await find(project, args[0]!);
    const registry = await project.registry();
    printVersion(io, version, registry.alias(version.name, CHAMPION));
    const manifest = manifestOf(version);
    io.print();
    io.print(
      table(
        ['feature', 'gain'],
        manifest.importance.slice(0, 20).map((item) => [item.feature, item.gain.toFixed(4)]),
      ),
    );
    io.result({
      model: version.name,
      version: version.version,
      champion: registry.alias(version.name, CHAMPION) === version.version,
      manifest,
    });
    return 0;
  });

export const alias = (io: Io, args: readonly string[], options: Options): Promise<number> =>
  within(io, async (project) => {
    await project.lockForWriting(io.command);
    const change = await aliasModel(project, await find(project, args[0]!), args[1]!, {
      reason: String(options['reason']),
    });
    io.print(
      `${change.model}@${change.version} is ${change.alias}${change.previous === null ? '' : `, before it ${change.previous}`}`,
    );
    io.result(change);
    return 0;
  });

export const search = (io: Io, args: readonly string[]): Promise<number> =>
  within(io, async (project) => {
    const found = await searchModels(project, args);
    io.print(
      table(
        ['model', 'version', 'aliases', 'trainer', 'trained'],
        found.map(({ version, aliases }) => [
          version.name,
          version.version,
          aliases.join(' '),
          manifestOf(version).trainer.kind,
          printInstant(version.createdAt),
        ]),
      ),
    );
    io.result({
      models: found.map(({ version, aliases }) => ({
        name: version.name,
        version: version.version,
        aliases,
        metrics: manifestOf(version).metrics,
        created_at: printInstant(version.createdAt),
      })),
    });
    return 0;
  });

export const exportVersion = (io: Io, args: readonly string[], options: Options): Promise<number> =>
  within(io, async (project) => {
    if (options['format'] !== 'mlflow')
      throw new MillraceError('USAGE', `there is no format "${String(options['format'])}" of models`, {
        hint: 'Formats: mlflow.',
      });
    const exported = await exportModel(project, await find(project, args[0]!), String(options['out']));
    io.print(
      `${exported.model}@${exported.version} is in ${exported.out}; mlflow.pyfunc.load_model takes it`,
    );
    io.result(exported);
    return 0;
  });

export const compare = (io: Io, args: readonly string[]): Promise<number> =>
  within(io, async (project) => {
    const a = await find(project, args[0]!);
    const registry = await project.registry();
    const champion = registry.alias(a.name, CHAMPION);
    const b = await find(project, args[1] ?? `${a.name}@${champion ?? a.version}`);
    const left = manifestOf(a);
    const right = manifestOf(b);
    const rows = Object.keys(left.metrics).flatMap((part) =>
      MAIN_METRICS.filter(
        (name) => left.metrics[part]?.[name] !== undefined || right.metrics[part]?.[name] !== undefined,
      ).map((name) => {
        const x = left.metrics[part]?.[name] ?? null;
        const y = right.metrics[part]?.[name] ?? null;
        return { metric: `${part}.${name}`, a: x, b: y, difference: x === null || y === null ? null : x - y };
      }),
    );
    const names = [`${a.name}@${a.version}`, `${b.name}@${b.version}`] as const;
    io.print(
      table(
        ['metric', ...names, 'difference'],
        rows.map((row) => [row.metric, metric(row.a), metric(row.b), metric(row.difference)]),
      ),
    );
    const features = new Set(left.features.map((feature) => feature.name));
    const other = new Set(right.features.map((feature) => feature.name));
    const only = [
      [...features].filter((name) => !other.has(name)),
      [...other].filter((name) => !features.has(name)),
    ] as const;
    if (only[0].length > 0) io.print(`only in ${names[0]}: ${only[0].join(', ')}`);
    if (only[1].length > 0) io.print(`only in ${names[1]}: ${only[1].join(', ')}`);
    io.result({ a: names[0], b: names[1], metrics: rows, only_in_a: only[0], only_in_b: only[1] });
    return 0;
  });

export const promote = (io: Io, args: readonly string[], options: Options): Promise<number> =>
  within(io, async (project) => {
    await project.lockForWriting(io.command);
    const version = integer(options['version'], '--version');
    const result = await promoteModel(project, args[0]!, {
      ...(version === undefined ? {} : { version }),
      ...(options['reason'] === undefined ? {} : { reason: String(options['reason']) }),
      force: options['force'] === true,
    });
    for (const check of result.checks)
      io.print(
        `${check.passed ? 'holds' : 'FAILS'}  ${check.text} (observed ${check.observed ?? 'nothing'})`,
      );
    io.print(
      result.promoted
        ? `${result.model}@${result.version} is the champion${result.previous === null ? '' : `, before it ${result.previous}`}`
        : `not promoted: ${result.reason}`,
    );
    if (!result.promoted && result.previous !== result.version)
      return io.refuse(promotionError(result), { ...result });
    io.result(result);
    return 0;
  });

export const rollback = (io: Io, args: readonly string[], options: Options): Promise<number> =>
  within(io, async (project) => {
    await project.lockForWriting(io.command);
    const to = integer(options['to'], '--to');
    const change = await rollbackModel(project, args[0]!, {
      ...(to === undefined ? {} : { to }),
      ...(options['reason'] === undefined ? {} : { reason: String(options['reason']) }),
    });
    io.print(`${change.model}@${change.version} is the champion again, before it ${change.previous}`);
    io.result(change);
    return 0;
  });
