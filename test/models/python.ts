/** Python with packages from PyPI, made once and kept beside the other caches. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const CACHE = path.join(path.dirname(fileURLToPath(import.meta.url)), '../../node_modules/.cache');

/**
 * Folder of the packages, for PYTHONPATH. Null, with a loud word, where they cannot be had; on a build server that is
 * a failure.
 */
export function pythonPackages(
  name: string,
  requirements: readonly string[],
  options: readonly string[] = [],
): string | null {
  const id = createHash('sha256').update(requirements.join('\n')).digest('hex').slice(0, 12);
  const folder = path.join(CACHE, `${name}-${id}`);
  if (existsSync(folder)) return folder;
  mkdirSync(CACHE, { recursive: true });
  const fresh = mkdtempSync(path.join(CACHE, `${name}-`));
  try {
    const list = path.join(fresh, 'requirements.txt');
    writeFileSync(list, `${requirements.join('\n')}\n`);
    execFileSync(
      'python3',
      [
        '-m',
        'pip',
        'install',
        '-q',
        '--no-warn-script-location',
        '--no-compile',
        ...options,
        '--only-binary',
        ':all:',
        '--target',
        fresh,
        '-r',
        list,
      ],
      { stdio: ['ignore', 'ignore', 'pipe'], timeout: 280_000 },
    );
    renameSync(fresh, folder);
    return folder;
  } catch (error) {
    rmSync(fresh, { recursive: true, force: true });
    if (existsSync(folder)) return folder;
    if (process.env['CI']) throw error;
    console.warn(`SKIPPED: ${name} could not be installed from PyPI: ${String(error).slice(0, 400)}`);
    return null;
  }
}
