// The quick loop: types, lint, architecture, and the fast tests, in under a minute on a quiet machine.
import { spawnSync } from 'node:child_process';

// Processes that are killed, and properties over many seeds: `npm test` runs them.
const SLOW = [
  'test/ingest/**',
  'test/parity/**',
  'test/api/**',
  'test/online/**',
  'test/http/**',
  'test/quality/**',
  'test/report/**',
  'test/learn/**',
];

const steps = [
  ['npx', ['tsc', '-p', 'tsconfig.test.json']],
  ['npx', ['biome', 'check', '.']],
  ['npx', ['vitest', 'run', '--project', 'unit', ...SLOW.flatMap((pattern) => ['--exclude', pattern])]],
];
for (const [command, args] of steps) {
  const started = Date.now();
  const { status } = spawnSync(command, args, { stdio: 'inherit' });
  console.error(
    `${status === 0 ? 'ok  ' : 'FAIL'} ${[command, ...args].join(' ')} (${((Date.now() - started) / 1000).toFixed(1)} s)`,
  );
  if (status !== 0) process.exit(status ?? 1);
}
