import { CHAMPION, type ModelManifest, manifestOf } from '../../../services/model-manifest.js';
import { type FoundVersion, knownVersions } from '../../../services/model-registry.js';
import { modelVersion } from '../../find.js';
import { inProject } from '../../in-project.js';
import type { Io } from '../../io.js';
import { printVersion, tagsText } from '../../print/model.js';
import { table } from '../../print/table.js';

export const command = inProject(async (project, io, args) => {
  const version = await modelVersion(project, args[0]!);
  const registry = await project.registry();
  printVersion(io, version, registry.alias(version.name, CHAMPION));
  const manifest = manifestOf(version);
  const about = (await knownVersions(project, version.name)).find(
    (each) => each.version.version === version.version,
  )!;
  printRecord(io, manifest, about);
  if (manifest.importance.length > 0) {
    io.print();
    io.print(
      table(
        ['feature', 'gain'],
        manifest.importance.slice(0, 20).map((item) => [item.feature, item.gain.toFixed(4)]),
      ),
    );
  }
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
