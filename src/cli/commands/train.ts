import { CHAMPION } from '../../services/model-manifest.js';
import { trainModel } from '../../services/train.js';
import { inProject } from '../in-project.js';
import { printVersion } from '../print/model.js';

export const command = inProject(async (project, io, args, options) => {
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
});
