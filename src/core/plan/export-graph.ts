/** What a file for another orchestrator says of a project: its assets, their edges and how they are run. */
import { fingerprint } from '../base/fingerprint.js';
import type { Duration } from '../base/time.js';
import type { Definitions } from '../define/types.js';
import { type Asset, assetGraph, selectAssets } from './plan.js';

export const ORCHESTRATORS = ['airflow', 'dagster'] as const;
export type Orchestrator = (typeof ORCHESTRATORS)[number];

export interface ExportOptions {
  /** Bare names or ids; they and their parents. Empty: everything. */
  readonly select: readonly string[];
  /** Five cron fields in the project's time zone; null: run by hand, or by what the orchestrator has. */
  readonly schedule: string | null;
  /** Attempts after the first, of failures that a repetition may cure. */
  readonly retries: number;
  readonly retryDelay: Duration;
  /** Concurrency pool of the orchestrator; null: none. */
  readonly pool: string | null;
  /** The project folder as seen from the folder of the file, with `/`. */
  readonly folder: string;
}

export interface ExportGraph extends ExportOptions {
  /** Name of the DAG, and of the first part of asset keys: letters, digits and `_`. */
  readonly name: string;
  /** IANA zone of the schedule. */
  readonly timezone: string;
  /** Parents first. */
  readonly assets: readonly Asset[];
  /** SHA-256 over all of this: equal hashes are equal files. Windows, types and rules are not in it: the CLI reads them. */
  readonly hash: string;
}

/** UNKNOWN_NAME where `select` names nothing. */
export function exportGraph(definitions: Definitions, options: ExportOptions): ExportGraph {
  const { project, timezone } = definitions.settings;
  const name = project.replaceAll(/\W/g, '_');
  const assets = selectAssets(assetGraph(definitions), options.select);
  const content = { ...options, select: [...options.select].sort(), name, timezone, assets };
  return {
    ...content,
    hash: fingerprint({ ...content, assets: assets.map(({ id, parents }) => ({ id, parents })) }),
  };
}

/** A string as Python reads it: every JSON string is one. */
export const pythonString = (text: string): string => JSON.stringify(text);

const pythonList = (items: readonly string[]): string => `[${items.map(pythonString).join(', ')}]`;

/** What both files begin with: the notice, the hash, where things are, the graph. `imports` are sorted. */
export function pythonHead(target: Orchestrator, graph: ExportGraph, imports: readonly string[]): string[] {
  return [
    `# Written by \`millrace export ${target}\`; do not edit. The same command with --check says whether it is current.`,
    `# graph: sha256:${graph.hash}`,
    ...imports,
    '',
    '# Both can be set where this runs: the folder of the project, and the words that call the CLI.',
    'PROJECT = os.environ.get(',
    '    "MILLRACE_PROJECT",',
    `    os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), ${pythonString(graph.folder)})),`,
    ')',
    'COMMAND = shlex.split(os.environ.get("MILLRACE_COMMAND", "millrace"))',
    '',
    '# Asset: parents. Parents first.',
    'ASSETS = {',
    ...graph.assets.map((asset) => `    ${pythonString(asset.id)}: ${pythonList(asset.parents)},`),
    '}',
    '',
    '',
    'def call(*words):',
    '    """Exit status, and the JSON object of the last line. Progress goes to this task\'s log."""',
    '    command = [*COMMAND, *words, "--project", PROJECT, "--json"]',
    '    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:',
    '        try:',
    '            out, _ = child.communicate()',
    '        except BaseException:',
    '            child.terminate()  # it finishes what must not be left half done',
    '            raise',
    '    lines = out.strip().splitlines()',
    '    try:',
    '        result = json.loads(lines[-1]) if lines else {}',
    '    except ValueError:',
    '        result = {}',
    '    return child.returncode, result',
    '',
    '',
    'def why(status, result):',
    '    error = result.get("error", {})',
    `    return f"exit {status}: {error.get('code', 'no code')}: {error.get('message', 'see the log')}"`,
    '',
    '',
  ];
}

/** Seconds, at least one. */
export const wholeSeconds = (duration: Duration): number => Math.max(1, Math.round(duration / 1_000_000));
