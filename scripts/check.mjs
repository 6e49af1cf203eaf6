// The quick loop: types, lint, architecture, and the tests of core, in under a minute on a quiet machine. `npm test` runs
// all of them.
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const test = path.join(root, 'test');
const core = path.join(root, 'src/core') + path.sep;
const IMPORT = /(?:^|[\s;}])(?:from|import)\s*\(?\s*'([^']+)'/g;
const LIBRARIES = ['vitest', 'fast-check', 'node:crypto', 'node:fs', 'node:path', 'node:url'];

/** Whether a file asks for nothing beyond core, itself or through another file of the tests: no project, no process. */
const isOfCore = (file) =>
  [...readFileSync(file, 'utf8').matchAll(IMPORT)].every(([, name]) => {
    if (!name.startsWith('.')) return LIBRARIES.includes(name);
    const target = path.resolve(path.dirname(file), name.replace(/\.js$/, '.ts'));
    return target.startsWith(core) || (target.startsWith(test + path.sep) && isOfCore(target));
  });

const quick = readdirSync(test, { recursive: true })
  .filter((name) => name.endsWith('.test.ts'))
  .map((name) => path.join(test, name))
  .filter((file) => file === path.join(test, 'architecture.test.ts') || isOfCore(file))
  .map((file) => path.relative(root, file));

const steps = [
  ['types', ['tsc', '-p', 'tsconfig.test.json']],
  ['lint', ['biome', 'check', '.']],
  ['tests of core', ['vitest', 'run', '--project', 'unit', ...quick]],
];
for (const [name, args] of steps) {
  const started = Date.now();
  const { status } = spawnSync('npx', args, { stdio: 'inherit', cwd: root });
  console.error(
    `${status === 0 ? 'ok  ' : 'FAIL'} ${name} (${((Date.now() - started) / 1000).toFixed(1)} s)`,
  );
  if (status !== 0) process.exit(status ?? 1);
}
