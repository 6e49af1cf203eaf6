import path from 'node:path';
import { exportContract, writeNew } from '../../../services/contract.js';
import { sourceOf } from '../../find.js';
import { inProject } from '../../in-project.js';

export const command = inProject(async (project, io, args, options) => {
  const source = sourceOf(project, args[0]!);
  const out = options['out'] === undefined ? undefined : path.resolve(String(options['out']));
  const { document, text, base } = await exportContract(project, source, out);
  if (base !== null)
    io.note(`kept from ${path.relative(process.cwd(), base)}: what the definition does not speak of`);
  if (out === undefined) io.print(text.trimEnd());
  else {
    await writeNew(new Map([[out, text]]), true);
    io.print(
      `wrote ${path.relative(process.cwd(), out)}: ${source.name} ${String(document['version'])}, Open Data Contract Standard ${String(document['apiVersion'])}`,
    );
  }
  io.result({ source: source.name, version: document['version'], file: out ?? null, document });
  return 0;
});
