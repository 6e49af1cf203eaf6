/**
 * What YAML definitions were read as, kept in `.millrace/cache`: loading what reads them and reading a dozen assets takes
 * a third of the time of a command, reading a thousand most of a run that has nothing to do. It is a cache: whatever is
 * wrong with it, the files are read.
 */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { deserialize, serialize } from 'node:v8';
import { VERSION } from '../core/base/version.js';
import type { DefineResult, Environment } from '../core/define/index.js';

/** Of what is read, of the machine that settings are taken from, and of the code that reads. */
export function definitionsDigest(
  texts: ReadonlyMap<string, string>,
  settings: string | undefined,
  environment: Environment,
): string {
  const hash = createHash('sha256');
  const add = (text: string): void => void hash.update(`${Buffer.byteLength(text)}:`).update(text);
  add(JSON.stringify([VERSION, process.versions.v8, settings, environment, readerMark()]));
  for (const [file, text] of texts) {
    add(file);
    add(text);
  }
  return hash.digest('hex');
}

/** Sizes and times of the files that give definitions their meaning: a build of the same version may read otherwise. */
function readerMark(): readonly (readonly [string, number, number])[] {
  const core = fileURLToPath(new URL('../core', import.meta.url));
  return ['base', 'schema', 'expression', 'algebra', 'define'].flatMap((room) =>
    readdirSync(path.join(core, room), { withFileTypes: true })
      .filter((entry) => entry.isFile() && /\.[jt]s$/.test(entry.name))
      .map(({ name }) => {
        const { size, mtimeMs } = statSync(path.join(core, room, name));
        return [`${room}/${name}`, size, mtimeMs] as const;
      }),
  );
}

const cacheFile = (root: string): string => path.join(root, '.millrace', 'cache', 'definitions');

const CHECKSUM_BYTES = 32;
const checksum = (bytes: Uint8Array): Buffer => createHash('sha256').update(bytes).digest();

export async function keptReading(root: string, digest: string): Promise<DefineResult | undefined> {
  const bytes = await readFile(cacheFile(root)).catch(() => undefined);
  if (bytes === undefined || bytes.length < CHECKSUM_BYTES) return undefined;
  const body = bytes.subarray(CHECKSUM_BYTES);
  if (!checksum(body).equals(bytes.subarray(0, CHECKSUM_BYTES))) return undefined;
  const kept = deserialize(body) as { readonly digest: string; readonly reading: DefineResult };
  return kept.digest === digest ? kept.reading : undefined;
}

/** Keeps what was read without an error, in a project that has a state folder. */
export async function keepReading(root: string, digest: string, reading: DefineResult): Promise<void> {
  if (!existsSync(path.join(root, '.millrace'))) return;
  if (reading.diagnostics.some(({ severity }) => severity === 'error')) return;
  const file = cacheFile(root);
  const mine = `${file}.${process.pid}`;
  try {
    const body = serialize({ digest, reading });
    await mkdir(path.dirname(file), { recursive: true });
    await writeFile(mine, Buffer.concat([checksum(body), body]));
    await rename(mine, file);
  } catch {
    // A folder that cannot be written to has no cache.
  }
}
