/** `scoring.json`: how a trainer, or an imported model, wants to be asked for scores. docs/reference/models.md */
import { access, readFile } from 'node:fs/promises';
import path from 'node:path';
import { MillraceError } from '../core/base/error.js';
import { nearest } from '../core/base/nearest.js';
import { parseDuration } from '../core/base/time.js';
import type { ScoringCommand } from '../ports/model-runtime.js';
import type { Project } from './project.js';

/** In the folder of a version. */
export const SCORING_FILE = 'scoring.json';

const KEYS = ['command', 'mode', 'rows_at_once', 'timeout', 'start_timeout', 'env'];
const DEFAULT_TIMEOUT = '30s';
const DEFAULT_START_TIMEOUT = '60s';
const MOST_ROWS = 100_000;

const exists = (file: string): Promise<boolean> =>
  access(file).then(
    () => true,
    () => false,
  );

/** Null where the folder has none. @throws MillraceError TRAIN_FAILED naming the key that is wrong. */
export async function readScoring(
  project: Pick<Project, 'folder'>,
  folder: string,
): Promise<ScoringCommand | null> {
  const text = await readFile(path.join(folder, SCORING_FILE), 'utf8').catch(() => null);
  if (text === null) return null;
  const wrong = (message: string, hint?: string): MillraceError =>
    new MillraceError('TRAIN_FAILED', `${SCORING_FILE}: ${message}`, {
      hint: hint ?? 'For example {"command": ["python3", "score.py"]}.',
    });
  let given: unknown;
  try {
    given = JSON.parse(text);
  } catch (cause) {
    throw wrong(`is not JSON: ${(cause as Error).message}`);
  }
  if (typeof given !== 'object' || given === null || Array.isArray(given)) throw wrong('must hold an object');
  const value = given as Readonly<Record<string, unknown>>;
  for (const key of Object.keys(value))
    if (!KEYS.includes(key)) {
      const near = nearest(key, KEYS);
      throw wrong(
        `there is no key \`${key}\``,
        near ? `Did you mean \`${near}\`?` : `Keys: ${KEYS.join(', ')}.`,
      );
    }
  const { command, mode = 'server', rows_at_once: rowsAtOnce = 1, env = {} } = value;
  if (!Array.isArray(command) || command.length === 0 || !command.every((part) => typeof part === 'string'))
    throw wrong('`command` must be a list of texts: the program and its arguments');
  if (mode !== 'server' && mode !== 'batch') throw wrong('`mode` must be `server` or `batch`');
  if (!Number.isInteger(rowsAtOnce) || Number(rowsAtOnce) < 1 || Number(rowsAtOnce) > MOST_ROWS)
    throw wrong(`\`rows_at_once\` must be a whole number from 1 to ${MOST_ROWS}`);
  if (typeof env !== 'object' || env === null || Array.isArray(env)) throw wrong('`env` must be an object');
  const duration = (key: 'timeout' | 'start_timeout', standard: string): number => {
    const micros = parseDuration(String(value[key] ?? standard)) ?? 0;
    if (micros <= 0 || micros / 1000 > 2 ** 31 - 1)
      throw wrong(`\`${key}\` must be a duration, for example "30s"`);
    return micros / 1000;
  };
  // A program of the project, such as the Python of a virtual environment, is named from the project.
  const [program, ...rest] = command as string[];
  const own =
    program!.includes('/') && !(await exists(path.resolve(folder, program!)))
      ? path.resolve(project.folder, program!)
      : program!;
  return {
    command: [own, ...rest],
    mode,
    rows_at_once: Number(rowsAtOnce),
    timeout_ms: duration('timeout', DEFAULT_TIMEOUT),
    start_timeout_ms: duration('start_timeout', DEFAULT_START_TIMEOUT),
    env: Object.fromEntries(Object.entries(env).map(([name, each]) => [name, String(each)])),
  };
}
