// Builds dist/ with the TypeScript compiler; `--if-missing` leaves an existing build alone (npm's prepare).
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const main = path.join(root, 'dist/cli/main.js');
if (process.argv.includes('--if-missing') && existsSync(main)) process.exit(0);
if (process.argv.includes('--clean')) rmSync(path.join(root, 'dist'), { recursive: true, force: true });
const require = createRequire(import.meta.url);
let tsc;
try {
  tsc = path.join(path.dirname(require.resolve('typescript/package.json')), 'bin/tsc');
} catch {
  if (existsSync(main)) process.exit(0);
  console.error('millrace: building needs the development dependencies; run `npm ci` first');
  process.exit(1);
}
const built = spawnSync(process.execPath, [tsc, '-p', path.join(root, 'tsconfig.json')], {
  stdio: 'inherit',
  cwd: root,
});
if (built.status !== 0) process.exit(built.status ?? 1);
chmodSync(main, 0o755);
