import { MillraceError } from '../../../core/base/error.js';
import { importModel } from '../../../services/import-model.js';
import { CHAMPION } from '../../../services/model-manifest.js';
import { inProject } from '../../in-project.js';
import { printVersion } from '../../print/model.js';

export const command = inProject(async (project, io, args, options) => {
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
