/**
 * THE TABLE of commands: what each takes and what it is for, in the order of the help. Its words name the file that
 * performs it (`models compare` is commands/models/compare.ts, imported when it is run); a row whose words other rows
 * continue is a group. The help and docs/reference/commands.md are read off it.
 */

/** What an option or an argument means; as an object where more than the words is to be said. */
export type Meaning =
  | string
  | { readonly text: string; readonly required?: true; readonly repeats?: true; readonly byDefault?: string };

export type Meanings = Readonly<Record<string, Meaning>>;

export interface CommandRow {
  /** Words, then arguments: `<required>`, `[optional]`, `...` for any number. */
  readonly usage: string;
  readonly does: string;
  /** Arguments that want a word of explanation, by name. */
  readonly args?: Meanings;
  /** Options by their flags; `required`, `repeats` and `byDefault` as they say. */
  readonly options?: Meanings;
}

const IGNORE_AVAILABILITY: Meanings = {
  '--ignore-availability': 'go on although sources do not have what they promise',
};

/** When a run may begin without a person. */
const APPROVAL: Meanings = {
  '--policy <policy>': 'auto or ask; that of millrace.yaml when absent',
  '--yes': 'do not ask',
};

/** Which rows of the quarantine. */
const QUARANTINED: Meanings = {
  '--source <name>': 'rows of this source',
  '--rule <id>': 'rows that broke this rule',
  '--batch <id>': 'rows of this batch',
};

/** For whom and when a feature is read. */
const OBSERVATION: Meanings = {
  '--entity <key=value>': { text: 'entity key', repeats: true },
  '--request <key=value>': { text: 'request field', repeats: true },
  '--at <instant>': 'observation instant; now when absent',
};

const REASON: Meanings = {
  '--reason <text>': { text: 'why; kept in the history', required: true },
};

/** How a file for another orchestrator is written. */
const EXPORTED: Meanings = {
  '--out <file>': { text: 'Python file', required: true },
  '--select <assets>': { text: 'these and their parents; everything when absent', repeats: true },
  '--schedule <cron>': 'five fields, in the time zone of the project',
  '--retries <n>': { text: 'attempts after the first', byDefault: '2' },
  '--retry-delay <duration>': { text: 'wait before the next attempt', byDefault: '5m' },
  '--pool <name>': 'concurrency pool of the orchestrator',
  '--check': 'write nothing; exit 3 when the file is not current',
  '--force': 'write over a file that was not exported',
};

export const COMMANDS: readonly CommandRow[] = [
  {
    usage: 'init [dir]',
    does: 'start a project',
    args: { dir: { text: 'folder of the new project', byDefault: '.' } },
    options: { '--example <name>': 'an example with its data (flights, retail, sklearn)' },
  },
  { usage: 'check', does: 'read the definitions and say what is wrong with them' },
  {
    usage: 'plan [assets...]',
    does: 'what a run would change and recompute, and why',
    options: { '--out <file>': 'save the plan as JSON, for `apply FILE`' },
  },
  {
    usage: 'apply [assets...]',
    does: 'do what `plan` prints',
    args: { assets: 'assets, or one saved plan (.json)' },
    options: { ...IGNORE_AVAILABILITY },
  },
  {
    usage: 'run [assets...]',
    does: 'the main job: bring every stale asset up to date',
    options: {
      ...APPROVAL,
      '--idempotency-key <key>': 'run once under this key; again it gives the first result',
      ...IGNORE_AVAILABILITY,
    },
  },
  { usage: 'runs', does: 'what ran, how it went, and stopping it' },
  {
    usage: 'runs list',
    does: 'runs, newest first',
    options: { '--limit <n>': { text: 'runs to show', byDefault: '20' } },
  },
  { usage: 'runs show [run]', does: 'the steps of a run', args: { run: 'number; the last when absent' } },
  {
    usage: 'runs logs [run] [step]',
    does: 'what the steps of a run said',
    args: { run: 'number, or `last`', step: 'asset; all when absent' },
  },
  {
    usage: 'runs cancel <run>',
    does: 'ask a run to stop, wherever it is',
    args: { run: 'number, or `last`' },
  },
  {
    usage: 'runs retry [run]',
    does: 'run again what a failed, interrupted or cancelled run left',
    args: { run: 'number; the last when absent' },
    options: { ...APPROVAL, ...IGNORE_AVAILABILITY },
  },
  {
    usage: 'backfill <asset>',
    does: 'compute an asset again over a range of time',
    args: { asset: 'a source, a transform or a dataset' },
    options: {
      '--from <instant>': { text: 'from this instant on', required: true },
      '--to <instant>': { text: 'up to and without this instant', required: true },
      '--dry-run': 'say what would be done',
      ...IGNORE_AVAILABILITY,
    },
  },
  { usage: 'schedule', does: 'runs by the clock and by what has come about' },
  { usage: 'schedule list', does: 'schedules and sensors: when next, what was last, why not' },
  {
    usage: 'schedule next [schedules...]',
    does: 'the times to come',
    args: { schedules: 'names; all when absent' },
    options: {
      '--count <n>': { text: 'times of each', byDefault: '5' },
      '--from <instant>': 'after this instant; now when absent',
    },
  },
  {
    usage: 'schedule log [name]',
    does: 'what fired and what was skipped, newest first',
    args: { name: 'a schedule or a sensor; all when absent' },
    options: { '--limit <n>': { text: 'firings to show', byDefault: '20' } },
  },
  {
    usage: 'schedule run',
    does: 'fire what is due, until Ctrl-C',
    options: { '--once': 'only what is due now', '--until <instant>': 'end then' },
  },
  {
    usage: 'ingest <source> [files...]',
    does: 'validate, quarantine, append',
    options: {
      '--watch': 'go on looking for new files, or asking for new rows, until Ctrl-C',
      '--every <duration>': 'with --watch: how often; 2s is the default',
      '--dry-run': 'say what would come of the files; nothing is written',
      '--show <n>': { text: 'with --dry-run: refused rows to show', byDefault: '10' },
    },
  },
  {
    usage: 'accept <source>',
    does: 'write an accepted rename into the definition of a source',
    options: {
      '--rename <column=field>': { text: 'a new column and the field that it is read for', repeats: true },
    },
  },
  { usage: 'status [source]', does: 'how far sources have come, how they were judged, what they promise' },
  { usage: 'batches', does: 'batches, and what history says of them' },
  {
    usage: 'batches list <source>',
    does: 'batches of a source with their verdicts, newest first',
    options: { '--limit <n>': { text: 'batches to show', byDefault: '20' } },
  },
  {
    usage: 'batches show <batch>',
    does: 'what was found of one batch',
    args: { batch: 'its id, or how that begins' },
  },
  {
    usage: 'batches accept <batch>',
    does: 'this was fine: it counts as ordinary, and a refused file may come in',
    options: { '--reason <text>': 'why; kept with the batch' },
  },
  {
    usage: 'batches incident <batch>',
    does: 'this was not fine: nothing of it counts as ordinary',
    options: { '--reason <text>': 'why; kept with the batch' },
  },
  { usage: 'batches reset <batch>', does: 'take back what was said of a batch' },
  { usage: 'quarantine', does: 'rows that were refused, repaired or flagged, and why' },
  { usage: 'quarantine list', does: 'refused rows by source and rule', options: { ...QUARANTINED } },
  {
    usage: 'quarantine show [ids...]',
    does: 'refused rows with file, line, field, value and reason',
    options: {
      ...QUARANTINED,
      '--status <status>': 'open, replayed or dropped',
      '--limit <n>': { text: 'rows to show', byDefault: '20' },
    },
  },
  {
    usage: 'quarantine replay [ids...]',
    does: 'feed open rows through the present rules',
    options: { ...QUARANTINED },
  },
  {
    usage: 'quarantine drop [ids...]',
    does: 'settle open rows without feeding them',
    options: { ...QUARANTINED, '--reason <text>': { text: 'why; kept with the rows', required: true } },
  },
  {
    usage: 'quarantine repairs <source>',
    does: 'values that rules capped or imputed: what was delivered, what it became, and by which contract',
    options: {
      '--rule <id>': 'only what this rule changed',
      '--limit <n>': { text: 'repairs to show', byDefault: '20' },
    },
  },
  {
    usage: 'quarantine flagged <source>',
    does: 'records that were let in with the flag of a rule',
    options: {
      '--rule <id>': 'only records with the flag of this rule',
      '--limit <n>': { text: 'records to show', byDefault: '20' },
    },
  },
  { usage: 'contract', does: 'contracts as documents and versions' },
  {
    usage: 'contract export <source>',
    does: 'a contract as Open Data Contract Standard 3.1.0',
    options: {
      '--out <file>': 'where it is written; what stands there is kept where the definition is silent',
    },
  },
  {
    usage: 'contract import <file>',
    does: 'a document as a source definition, saying what could not be taken over',
    args: { file: 'Open Data Contract Standard 3.0 or 3.1, YAML or JSON' },
    options: {
      '--out <file>': 'definition file; the document is kept in contracts/',
      '--force': 'write over files that are there',
    },
  },
  {
    usage: 'contract suggest <files...>',
    does: 'a source with a contract, proposed from data, with reasons',
    args: { files: 'files of one shape' },
    options: {
      '--out <file>': 'definition file',
      '--name <source>': 'name of the source; that of the file when absent',
      '--force': 'write over a file that is there',
    },
  },
  {
    usage: 'contract diff <source> [a] [b]',
    does: 'what a change of a contract means, and who reads what changed',
    args: {
      a: 'version, `current` or the file of a document; the last version when absent',
      b: 'the same; the definition when absent',
    },
    options: { '--fail-on <class>': 'exit 3 from this class on: compatible, additive, risky, breaking' },
  },
  { usage: 'contract versions <source>', does: 'contracts under which records have come in' },
  { usage: 'features', does: 'feature values' },
  {
    usage: 'features historical',
    does: 'point-in-time values for any file of observations',
    options: {
      '--observations <file>': { text: 'CSV or Parquet with entity keys and a time', required: true },
      '--time <column>': { text: 'column of the observation time', required: true },
      '--features <list>': { text: 'features and sets, separated by commas', required: true, repeats: true },
      '--out <file>': { text: '.csv or .parquet', required: true },
      '--knowledge <kind>': 'as_of (default) or hindsight',
      '--horizon <seq>': 'read nothing beyond this log position',
    },
  },
  {
    usage: 'features online',
    does: 'what serving would answer',
    options: {
      '--features <list>': { text: 'features and sets, separated by commas', required: true, repeats: true },
      ...OBSERVATION,
    },
  },
  {
    usage: 'features explain <feature>',
    does: 'the records, the arithmetic and the SQL behind one value',
    options: { ...OBSERVATION },
  },
  { usage: 'dataset', does: 'training sets and their versions' },
  {
    usage: 'dataset build <name>',
    does: 'build a training set',
    options: {
      '--out <file>': 'a copy as .csv or .parquet',
      '--knowledge <kind>': 'as_of or hindsight; as the definition says when absent',
      '--horizon <source=seq>': { text: 'read a source up to a position', repeats: true },
      ...IGNORE_AVAILABILITY,
    },
  },
  { usage: 'dataset list', does: 'all versions' },
  { usage: 'dataset show <name>', does: 'the manifest of a version', args: { name: 'NAME or NAME@VERSION' } },
  {
    usage: 'dataset diff <a> <b>',
    does: 'what differs between two versions',
    options: { '--html <file>': 'the difference as a page' },
  },
  {
    usage: 'dataset export <name>',
    does: 'a version as Parquet with a README',
    args: { name: 'NAME or NAME@VERSION' },
    options: {
      '--out <dir>': { text: 'a folder', required: true },
      '--licence <text>': 'under which others may use it',
    },
  },
  {
    usage: 'dataset reproduce <name>',
    does: 'build a version again and compare the bytes',
    args: { name: 'NAME@VERSION' },
    options: { '--restore': 'put files that are missing or damaged back' },
  },
  { usage: 'dataset pin <name>', does: 'keep its files through every gc', args: { name: 'NAME@VERSION' } },
  { usage: 'dataset unpin <name>', does: 'let gc judge it again', args: { name: 'NAME@VERSION' } },
  {
    usage: 'gc',
    does: 'free the files that no living model, pinned dataset or logged prediction needs',
    options: {
      '--dry-run': 'say what would go',
      '--retention <duration>': { text: 'how long an alias or a build keeps a version', byDefault: '90d' },
    },
  },
  {
    usage: 'train <model>',
    does: 'train a model version',
    options: {
      ...IGNORE_AVAILABILITY,
      '--again': 'train although nothing has changed, and compare the bytes',
    },
  },
  { usage: 'models', does: 'model versions' },
  { usage: 'models list [model]', does: 'versions: stage, aliases, owner, tags, metric' },
  { usage: 'models show <model>', does: 'one version', args: { model: 'NAME or NAME@VERSION' } },
  {
    usage: 'models reproduce <model>',
    does: 'train a version again, whatever the definitions say now, and compare the bytes',
    args: { model: 'NAME@VERSION' },
    options: { '--restore': 'put files that are missing or damaged back' },
  },
  {
    usage: 'models alias <model> <alias>',
    does: 'name a version; the history keeps who, when and why',
    args: { model: 'NAME or NAME@VERSION', alias: 'staging, shadow, ...' },
    options: { ...REASON },
  },
  {
    usage: 'models tag <model> [tags...]',
    does: 'tag a model or a version; the history keeps who, when and why',
    args: { model: 'NAME or NAME@VERSION', tags: 'NAME or NAME=VALUE' },
    options: { '--remove <names>': 'tags to take away, separated by commas', ...REASON },
  },
  {
    usage: 'models describe <model> [description]',
    does: 'describe a model or a version, or name its owner',
    args: { model: 'NAME or NAME@VERSION' },
    options: { '--owner <name>': 'who answers for it', ...REASON },
  },
  {
    usage: 'models history <model>',
    does: 'every change: what, who, when, why',
    args: { model: 'NAME or NAME@VERSION' },
  },
  {
    usage: 'models search <terms...>',
    does: 'versions that meet all terms',
    args: { terms: 'text, tag:x, owner:x, alias:x, stage:x, feature:x, dataset:x, test.auc>=0.7' },
  },
  {
    usage: 'models export <model>',
    does: 'a version as a directory that MLflow loads',
    args: { model: 'NAME or NAME@VERSION' },
    options: {
      '--out <dir>': { text: 'a folder that is not there', required: true },
      '--format <format>': { text: 'mlflow', byDefault: 'mlflow' },
    },
  },
  {
    usage: 'models import <path>',
    does: 'a model made elsewhere as a version: judged, gated and served like the others',
    args: { path: 'a directory of MLflow, or an ONNX file' },
    options: {
      '--model <name>': { text: 'the definition that it becomes a version of', required: true },
      ...REASON,
      '--signature <file>': 'JSON: {"inputs": [names], "classes": [names]}',
      '--flavor <name>': 'of MLflow: onnx or pyfunc',
      '--python <program>': { text: 'what scores a pyfunc', byDefault: 'python3' },
    },
  },
  {
    usage: 'models compare <versions...>',
    does: 'versions side by side, and on the same rows',
    args: { versions: 'NAME@VERSION; one alone is held against the champion' },
    options: { '--html <file>': 'a page with plots' },
  },
  {
    usage: 'promote <model>',
    does: 'make a version the champion, if it passes its gate',
    options: {
      '--version <n>': 'the latest when absent',
      '--reason <text>': 'why; kept in the history',
      '--force': 'past a gate that does not hold',
    },
  },
  {
    usage: 'rollback <model>',
    does: 'back to the champion before',
    options: {
      '--to <n>': 'a version; the champion before when absent',
      '--reason <text>': 'why; kept in the history',
    },
  },
  {
    usage: 'materialize',
    does: 'bring the online store up to the log',
    options: { '--rebuild': 'from the log, from nothing' },
  },
  {
    usage: 'score <service>',
    does: 'batch scoring',
    options: {
      '--observations <file>': { text: 'CSV or Parquet with entity keys and a time', required: true },
      '--out <file>': { text: '.csv or .parquet', required: true },
      '--time <column>': 'column of the observation time',
      '--no-log': 'do not log the predictions',
    },
  },
  {
    usage: 'serve',
    does: 'HTTP API',
    options: {
      '--port <n>': { text: 'TCP port', byDefault: '8080' },
      '--host <address>': { text: 'address to listen on', byDefault: '127.0.0.1' },
      '--max-body <size>': { text: 'largest request body that is read', byDefault: '16MiB' },
    },
  },
  {
    usage: 'verify',
    does: 'offline = online, on the project’s own data',
    options: {
      '--features <list>': { text: 'features and sets', repeats: true },
      '--sample <n>': { text: 'observations to check; `all` for all', byDefault: '2000' },
      '--seed <n>': { text: 'which sample', byDefault: '1' },
    },
  },
  {
    usage: 'replay <service>',
    does: 'recompute logged feature vectors and compare',
    options: { '--since <instant>': 'predictions from then on; all when absent' },
  },
  {
    usage: 'monitor [name]',
    does: 'drift, performance, alerts',
    options: { '--at <instant>': 'end of the window', '--fail': 'exit 3 when a monitor alerts' },
  },
  {
    usage: 'report',
    does: 'a self-contained HTML report of the project',
    options: { '--out <file>': 'HTML file' },
  },
  {
    usage: 'profile <file>',
    does: 'statistics of every column of a file',
    options: {
      '--suggest': 'propose a source with a contract instead: see `contract suggest`',
      '--out <file>': 'with --suggest: definition file',
      '--name <source>': 'with --suggest: name of the source',
      '--force': 'with --suggest: write over a file that is there',
    },
  },
  { usage: 'compare <reference> <current>', does: 'drift between two files' },
  {
    usage: 'evaluate <file>',
    does: 'metrics of scores against labels in a file',
    options: {
      '--label <column>': { text: 'what came true', required: true },
      '--score <column>': { text: 'what was predicted', required: true },
      '--weight <column>': 'weight of a row; 1 when absent',
      '--threshold <t>': 'score from which on a row counts as positive',
      '--task <task>': { text: 'binary or regression', byDefault: 'binary' },
    },
  },
  {
    usage: 'lineage <asset>',
    does: 'where it comes from and what it feeds',
    args: { asset: 'ASSET or ASSET.FIELD' },
    options: { '--up': 'only where it comes from', '--down': 'only what it feeds' },
  },
  { usage: 'export', does: 'a file for another orchestrator that calls this CLI' },
  { usage: 'export airflow', does: 'an Airflow DAG: one task an asset', options: { ...EXPORTED } },
  { usage: 'export dagster', does: 'Dagster assets with data versions', options: { ...EXPORTED } },
  { usage: 'assets [assets...]', does: 'assets with their parents and the versions of what they hold' },
  { usage: 'doctor', does: 'what is wrong with this installation' },
];

/** Words of a row: `models compare` of `models compare <versions...>`. */
export const wordsOf = ({ usage }: CommandRow): readonly string[] =>
  usage.split(' ').filter((part) => !/^[<[]/.test(part));

/** Whether other rows continue the words of this one: then it has no file of its own. */
export const isGroup = (row: CommandRow): boolean =>
  COMMANDS.some(({ usage }) => usage.startsWith(`${row.usage} `));
