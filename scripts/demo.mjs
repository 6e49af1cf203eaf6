// `npm run demo`: builds millrace and runs the main job on examples/flights, in ./demo.
import { spawnSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const demo = path.join(root, 'demo');
const node = (...args) => {
  const { status } = spawnSync(process.execPath, args, { stdio: 'inherit', cwd: root });
  if (status !== 0) process.exit(status ?? 1);
};
const started = Date.now();
node('scripts/build.mjs');
rmSync(demo, { recursive: true, force: true });
node('dist/cli/main.js', 'init', 'demo', '--example', 'flights');
node('dist/cli/main.js', 'run', '--project', 'demo');
console.log(`\ndone in ${((Date.now() - started) / 1000).toFixed(0)} s`);
