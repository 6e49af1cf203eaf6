// `npm test`: everything, real components included. Prints `N passed, N failed` alone on a line at the end.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { provideSystemPackages } from './system-packages.mjs';

const missing = provideSystemPackages();
if (missing.length > 0) {
  console.error(
    `missing system packages: ${missing.join(', ')}. Install them: apt-get install -y ${missing.join(' ')}`,
  );
  if (process.env.CI) {
    console.log('0 passed, 1 failed');
    process.exit(1);
  }
  console.error('the tests that need them are skipped');
}

const run = (command, args, env = {}) =>
  spawnSync(command, args, { stdio: 'inherit', env: { ...process.env, ...env } }).status ?? 1;

const folder = mkdtempSync(path.join(tmpdir(), 'millrace-test-'));
const report = path.join(folder, 'totals.json');
let failedSteps = 0;
const steps = [
  ['build', process.execPath, ['scripts/build.mjs', '--clean']],
  ['types of tests', 'npx', ['tsc', '-p', 'tsconfig.test.json']],
  ['lint', 'npx', ['biome', 'check', '.']],
  ['generated pages', process.execPath, ['scripts/docs.mjs', '--check']],
];
for (const [name, command, args] of steps) {
  if (run(command, args) !== 0) {
    console.error(`step failed: ${name}`);
    failedSteps++;
  }
}
const status = run('npx', ['vitest', 'run', ...process.argv.slice(2)], { MILLRACE_TEST_REPORT: report });
const totals = existsSync(report)
  ? JSON.parse(readFileSync(report, 'utf8'))
  : { passed: 0, failed: 1, skipped: 0 };
rmSync(folder, { recursive: true, force: true });
if (status !== 0 && totals.failed === 0) totals.failed = 1;
totals.failed += failedSteps;
totals.passed += steps.length - failedSteps;
console.log(
  `${totals.passed} passed, ${totals.failed} failed${totals.skipped ? `, ${totals.skipped} skipped` : ''}`,
);
process.exit(totals.failed === 0 ? 0 : 1);
