import { writeFile } from 'node:fs/promises';
import { MillraceError } from '../../core/base/error.js';
import { printInstant } from '../../core/base/time.js';
import { versionTitle } from '../../core/dataset/retention.js';
import type { VersionRecord } from '../../ports/registry.js';
import type { DifferingValue } from '../../report/comparison.js';
import { compareModels } from '../../services/compare-models.js';
import { exportModel } from '../../services/export-model.js';
import { importModel } from '../../services/import-model.js';
import { catchUp } from '../../services/materialize.js';
import { type ModelManifest, manifestOf } from '../../services/model-manifest.js';
import {
  editNotes,
  type NoteEdit,
  type NoteSubject,
  type Notes,
  notesOf,
} from '../../services/model-notes.js';
import { aliasModel, type FoundVersion, knownVersions, searchModels } from '../../services/model-registry.js';
import type { Project } from '../../services/project.js';
import { CHAMPION, promoteModel, rollbackModel } from '../../services/promote.js';
import { reproduceModel } from '../../services/reproduce-model.js';
import { trainModel } from '../../services/train.js';
import { promotionError } from '../gates.js';
import type { Io } from '../io.js';
import { integer, known, list as splitList, versioned } from '../parse.js';
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
    const versions = await knownVersions(project, args[0]);
    io.print(
      table(
        ['model', 'version', 'stage', 'aliases', 'owner', 'tags', 'trainer', 'test', 'trained'],
        versions.map(({ version, aliases, stage, notes }) => {
          const manifest = manifestOf(version);
          return [
            version.name,
            version.version,
            stage,
            aliases.join(' '),
            notes.owner ?? '',
            tagsText(notes),
            manifest.imported ? `imported (${manifest.imported.format})` : manifest.trainer.kind,
            mainMetric(manifest),
            printInstant(version.createdAt),
          ];
        }),
      ),
    );
    io.result({
      models: versions.map((found) => ({
        name: found.version.name,
        version: found.version.version,
        champion: found.aliases.includes(CHAMPION),
        stage: found.stage,
        aliases: found.aliases,
        ...found.notes,
        metrics: manifestOf(found.version).metrics,
        created_at: printInstant(found.version.createdAt),
      })),
      history: registry.aliasHistory(args[0]).map((change) => ({ ...change, at: printInstant(change.at) })),
    });
    return 0;
  });

const tagsText = ({ tags }: Notes): string =>
  Object.entries(tags)
    .map(([name, value]) => (value === '' ? name : `${name}=${value}`))
    .join(' ');

function mainMetric({ metrics }: ModelManifest): string {
  const test = metrics['test'] ?? {};
  const name = MAIN_METRICS.find((candidate) => test[candidate] !== undefined);
  return name ? `${name} ${metric(test[name])}` : '-';
}

/** NAME, or NAME@VERSION. */
async function subjectOf(project: Project, text: string): Promise<NoteSubject> {
  const { name, version } = versioned(text);
  const found = await find(project, text).catch((error: unknown) => {
    // A model that is defined and not yet trained can be spoken of too.
    if (version === undefined && project.definitions.models.has(name)) return undefined;
    throw error;
  });
  return { model: name, version: version === undefined ? null : (found?.version ?? null) };
}

async function edit(io: Io, text: string, given: NoteEdit): Promise<number> {
  return within(io, async (project) => {
    const subject = await subjectOf(project, text);
    const changes = await editNotes(project, subject, given);
    for (const change of changes)
      io.print(
        change.value === null
          ? `${change.field} of ${text} is gone, it was "${change.previous}"`
          : `${change.field} of ${text} is "${change.value}"${change.previous === null ? '' : `, it was "${change.previous}"`}`,
      );
    if (changes.length === 0) io.print('nothing to change: it says so already');
    const history = (await project.registry()).noteHistory(subject.model);
    io.result({
      ...subject,
      ...notesOf(project, history, subject),
      changes: changes.map((change) => ({ ...change, at: printInstant(change.at) })),
    });
    return 0;
  });
}

export const tag = (io: Io, args: readonly string[], options: Options): Promise<number> => {
  const [text, ...given] = args;
  const tags = Object.fromEntries(
    given.map((each) => {
      const at = each.indexOf('=');
      return at < 0 ? [each, ''] : [each.slice(0, at), each.slice(at + 1)];
    }),
  );
  const untag = splitList(options['remove']);
  if (given.length + untag.length === 0)
    throw new MillraceError('USAGE', 'there is no tag to set or to remove', {
      hint: 'For example `millrace models tag churn@3 reviewed ticket=OPS-12 --reason "review done"`.',
    });
  return edit(io, text!, { tags, untag, reason: String(options['reason']) });
};

export const describe = (io: Io, args: readonly string[], options: Options): Promise<number> => {
  const [text, description] = args;
  const owner = options['owner'] === undefined ? undefined : String(options['owner']);
  if (description === undefined && owner === undefined)
    throw new MillraceError('USAGE', 'there is neither a description nor an owner', {
      hint: 'For example `millrace models describe churn "Who leaves in 30 days" --owner risk --reason "new team"`.',
    });
  return edit(io, text!, { description, owner, reason: String(options['reason']) });
};

export const history = (io: Io, args: readonly string[]): Promise<number> =>
  within(io, async (project) => {
    const { model, version } = await subjectOf(project, args[0]!);
    const registry = await project.registry();
    const changes = [
      ...registry.versions('model', model).map((each) => ({
        at: each.createdAt,
        version: each.version as number | null,
        what: manifestOf(each).imported ? 'imported' : 'trained',
        from: null as string | null,
        to: `${model}@${each.version}` as string | null,
        actor: manifestOf(each).imported?.actor ?? manifestOf(each).actor ?? '',
        reason: manifestOf(each).imported?.reason ?? `on ${versionTitle(manifestOf(each).dataset)}`,
      })),
      ...registry.aliasHistory(model).map(({ alias: what, previous, ...change }) => ({
        ...change,
        version: change.version as number | null,
        what: `alias ${what}`,
        from: previous === null ? null : `${model}@${previous}`,
        to: `${model}@${change.version}` as string | null,
      })),
      ...registry.noteHistory(model).map(({ field: what, previous, value, ...change }) => ({
        ...change,
        what,
        from: previous,
        to: value,
      })),
    ]
      .filter((change) => version === null || change.version === version)
      .sort((a, b) => a.at - b.at)
      .map(({ at, version: of, what, from, to, actor, reason }) => ({
        at: printInstant(at),
        version: of,
        what,
        from,
        to,
        actor,
        reason,
      }));
    io.print(
      table(
        ['when', 'version', 'what', 'from', 'to', 'who', 'why'],
        changes.map((change) => [
          change.at,
          change.version ?? '',
          change.what,
          change.from ?? '',
          change.to ?? '',
          change.actor,
          change.reason,
        ]),
      ),
    );
    io.result({ model, version, changes });
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
    const about = (await knownVersions(project, version.name)).find(
      (each) => each.version.version === version.version,
    )!;
    printRecord(io, manifest, about);
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
      stage: about.stage,
      aliases: about.aliases,
      ...about.notes,
      manifest,
    });
    return 0;
  });

const shortHash = (sha256: string): string => sha256.slice(0, 12);

/** What a version came from, as far as it is known. */
function printRecord(io: Io, manifest: ModelManifest, { aliases, stage, notes }: FoundVersion): void {
  const { environment, git, locks, timings, imported, trainer, code } = manifest;
  const parameters = Object.entries(manifest.parameters ?? trainer.parameters).map(
    ([name, value]) => `${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
  );
  const lines: [string, string | undefined][] = [
    ['stage', [stage, ...aliases.map((each) => `alias ${each}`)].join(', ')],
    ['description', notes.description ?? undefined],
    ['owner', notes.owner ?? undefined],
    ['tags', tagsText(notes) || undefined],
    [
      'imported',
      imported &&
        `${imported.format}${imported.flavor ? ` (${imported.flavor})` : ''} ${imported.from}, sha256 ${shortHash(imported.sha256)}, by ${imported.actor}: ${imported.reason}`,
    ],
    ['parameters', `seed=${trainer.seed}${parameters.map((each) => ` ${each}`).join('')}`],
    [
      'timings',
      timings &&
        `dataset ${timings.dataset} s, read ${timings.read} s, fit ${timings.fit} s, evaluate ${timings.evaluate} s, total ${timings.total} s`,
    ],
    [
      'environment',
      `millrace ${environment.millrace}, node ${environment.node}${environment.platform ? `, ${environment.platform}, ${environment.processors} × ${environment.processor}, threads ${environment.threads}` : ''}${environment.process?.python ? `, python ${environment.process.python} with ${environment.process.packages.length} packages` : ''}`,
    ],
    [
      'git',
      git
        ? `${git.commit}${git.dirty ? ', with changes that are not committed' : ''}`
        : git === null
          ? 'no repository'
          : undefined,
    ],
    [
      'locks',
      locks && Object.keys(locks).length > 0
        ? Object.entries(locks)
            .map(([file, sha256]) => `${file} ${shortHash(sha256)}`)
            .join(', ')
        : undefined,
    ],
    ['code', code && `${shortHash(code.sha256)}: ${Object.keys(code.files).join(', ')}`],
    ['scored by', manifest.scoring ? manifest.scoring.command.join(' ') : (manifest.runtime ?? 'millrace')],
    ['model', `sha256 ${manifest.model_sha256}`],
  ];
  io.print();
  for (const [name, text] of lines) if (text !== undefined) io.print(`${name.padEnd(12)} ${text}`);
}

export const reproduce = (io: Io, args: readonly string[], options: Options): Promise<number> =>
  within(io, async (project) => {
    const restore = options['restore'] === true;
    if (restore) await project.lockForWriting(io.command);
    const version = await find(project, args[0]!);
    const result = await reproduceModel(project, version, { restore });
    const title = `${result.model}@${result.version}`;
    io.print(`${title}: ${result.same ? 'the same model, byte for byte' : 'NOT reproduced'}`);
    if (result.rows === 'rebuilt')
      io.print('the rows of its training set are gone: they were built again from their recipe');
    if (result.restored) io.print(`its files were ${result.stored}; they are back`);
    else if (result.stored !== 'whole') io.warn(`the stored files of ${title} are ${result.stored}`);
    if (!result.same) io.print(`differs by: ${result.cause}`);
    for (const line of result.evidence) io.print(`  ${line}`);
    io.result(result);
    return result.same && (result.stored !== 'damaged' || result.restored) ? 0 : 3;
  });

export const alias = (io: Io, args: readonly string[], options: Options): Promise<number> =>
  within(io, async (project) => {
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
        ['model', 'version', 'stage', 'aliases', 'owner', 'tags', 'trainer', 'trained'],
        found.map(({ version, aliases, stage, notes }) => [
          version.name,
          version.version,
          stage,
          aliases.join(' '),
          notes.owner ?? '',
          tagsText(notes),
          manifestOf(version).trainer.kind,
          printInstant(version.createdAt),
        ]),
      ),
    );
    io.result({
      models: found.map(({ version, aliases, stage, notes }) => ({
        name: version.name,
        version: version.version,
        stage,
        aliases,
        ...notes,
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

export const importVersion = (io: Io, args: readonly string[], options: Options): Promise<number> =>
  within(io, async (project) => {
    const flavor = options['flavor'];
    if (flavor !== undefined && flavor !== 'onnx' && flavor !== 'pyfunc')
      throw new MillraceError('USAGE', `--flavor is "${String(flavor)}"`, { hint: 'Give onnx or pyfunc.' });
    await project.lockForWriting(io.command);
    const text = (name: string): string | undefined =>
      options[name] === undefined ? undefined : String(options[name]);
    const { version, manifest, built } = await importModel(project, args[0]!, {
      model: String(options['model']),
      reason: String(options['reason']),
      signature: text('signature'),
      python: text('python'),
      flavor,
    });
    printVersion(io, version, (await project.registry()).alias(version.name, CHAMPION));
    io.print(built ? `imported into ${version.folder}` : 'unchanged: it is that version already');
    io.result({
      model: version.name,
      version: version.version,
      built,
      imported: manifest.imported,
      metrics: manifest.metrics,
      folder: version.folder,
    });
    return 0;
  });

export const compare = (io: Io, args: readonly string[], options: Options): Promise<number> =>
  within(io, async (project) => {
    const registry = await project.registry();
    const versions: VersionRecord[] = [];
    for (const text of args) versions.push(await find(project, text));
    if (versions.length === 1) {
      const [{ name, version }] = versions as [VersionRecord];
      const champion = registry.alias(name, CHAMPION);
      if (champion === undefined || champion === version)
        throw new MillraceError(
          'USAGE',
          champion === undefined
            ? `${name} has no champion to hold ${name}@${version} against`
            : `${name}@${version} is the champion itself`,
          { hint: `Name two versions or more: \`millrace models list ${name}\` has them.` },
        );
      versions.unshift(await find(project, `${name}@${champion}`));
    }
    const comparison = await compareModels(project, versions);
    const { models, same_rows: same } = comparison;
    const names = models.map(({ name }) => name);
    const side = (head: string, rows: readonly DifferingValue[]): void => {
      if (rows.length > 0)
        io.print(
          table(
            [head, ...names],
            rows.map((row) => [row.name, ...row.values.map((each) => each ?? '-')]),
          ),
        );
    };
    side('made', [
      { name: 'trainer', values: models.map(({ trainer }) => trainer) },
      { name: 'dataset', values: models.map(({ dataset }) => dataset) },
      {
        name: 'rows',
        values: models.map(({ rows }) =>
          Object.entries(rows)
            .map(([part, count]) => `${part} ${count}`)
            .join(', '),
        ),
      },
      { name: 'fit seconds', values: models.map(({ timings }) => (timings ? String(timings.fit) : null)) },
    ]);
    side('parameter', comparison.parameters);
    for (const feature of comparison.features) {
      const held = names.filter((_, i) => feature.fingerprints[i] !== null);
      if (held.length < names.length) io.print(`feature ${feature.feature} is only in ${held.join(', ')}`);
      else {
        io.print(`feature ${feature.feature} has another definition`);
        side(feature.feature, feature.lines);
      }
    }
    const pair = names.length === 2;
    const own = comparison.metrics.filter(({ metric: name }) => MAIN_METRICS.includes(name.split('.')[1]!));
    io.print(
      table(
        ['metric, each on its own rows', ...names, ...(pair ? [`${names[1]} less ${names[0]}`] : [])],
        own.map((row) => [row.metric, ...row.values.map(metric), ...(pair ? [metric(row.difference)] : [])]),
      ),
    );
    io.print(
      same.rows === null
        ? 'they could not be judged on the same rows:'
        : `on the same ${same.rows} rows, ${same.part} of ${same.dataset}:`,
    );
    for (const [i, reason] of same.reasons.entries())
      if (reason !== null) io.print(`  ${names[i]} is not judged on them: ${reason}`);
    for (const [i, computed] of same.computed.entries())
      if (computed.length > 0)
        io.print(`  ${computed.join(', ')} of ${names[i]} by the definitions that it was trained on`);
    const judged = MAIN_METRICS.filter((name) =>
      same.evaluations.some((each) => each?.metrics[name] !== undefined),
    );
    if (judged.length > 0)
      io.print(
        table(
          ['metric', ...names],
          judged.map((name) => [
            name,
            ...same.evaluations.map((each) => {
              const interval = each?.intervals[name];
              return `${metric(each?.metrics[name])}${interval ? ` (${metric(interval[0])} to ${metric(interval[1])})` : ''}`;
            }),
          ]),
        ),
      );
    for (const { metric: name, model, against, difference } of same.differences)
      io.print(
        `${name}: ${model} less ${against} ${metric(difference.value)}${difference.interval ? ` (${metric(difference.interval[0])} to ${metric(difference.interval[1])})` : ''}`,
      );
    side('environment', comparison.environment);
    if (options['html'] !== undefined) {
      const { renderModelComparison } = await import('../../report/model-comparison.js');
      await writeFile(String(options['html']), renderModelComparison(comparison));
      io.print(`page in ${String(options['html'])}`);
    }
    io.result({ ...comparison, at: printInstant(comparison.at) });
    return 0;
  });

export const promote = (io: Io, args: readonly string[], options: Options): Promise<number> =>
  within(io, async (project) => {
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
    if (!result.promoted && !result.passed) return io.refuse(promotionError(result), { ...result });
    io.result(result);
    return 0;
  });

export const rollback = (io: Io, args: readonly string[], options: Options): Promise<number> =>
  within(io, async (project) => {
    const to = integer(options['to'], '--to');
    const change = await rollbackModel(project, args[0]!, {
      ...(to === undefined ? {} : { to }),
      ...(options['reason'] === undefined ? {} : { reason: String(options['reason']) }),
    });
    io.print(`${change.model}@${change.version} is the champion again, before it ${change.previous}`);
    if (change.features === 'kept') {
      io.print('its features have other definitions now: it is served with those that it was trained on');
      // A server that writes builds them itself, beside what it serves.
      await catchUp(project, null, io.command);
    }
    io.result(change);
    return 0;
  });
