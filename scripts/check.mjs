// The quick loop: types, lint, architecture, and the fast tests, in under a minute.
import { spawnSync } from 'node:child_process';

const steps = [
  ['npx', ['tsc', '-p', 'tsconfig.json', '--noEmit']],
  ['npx', ['biome', 'check', '.']],
  ['npx', ['vitest', 'run', '--project', 'unit']],
];
for (const [command, args] of steps) {
  const started = Date.now();
  const { status } = spawnSync(command, args, { stdio: 'inherit' });
  console.error(
    `${status === 0 ? 'ok  ' : 'FAIL'} ${[command, ...args].join(' ')} (${((Date.now() - started) / 1000).toFixed(1)} s)`,
  );
  if (status !== 0) process.exit(status ?? 1);
}
