#!/usr/bin/env node
/** The command line: decode, one use case, encode. Commands are imported when they are run, so `--help` is quick. */
import { Command, CommanderError, Help, Option } from 'commander';
import { VERSION } from '../core/base/version.js';
import type { Io } from './io.js';

type Handler = (
  io: Io,
  args: readonly string[],
  options: Readonly<Record<string, unknown>>,
) => Promise<number>;

const plainHelp = new Help();

const program = new Command('millrace')
  .description(
    'An intelligence pipeline for machine learning: raw records in, the same features in training and in serving.',
  )
  .version(VERSION)
  .option('--project <dir>', 'project folder', '.')
  .option('--json', 'print the result as one JSON object on the last line of stdout')
  .option('--quiet', 'no progress on stderr')
  .enablePositionalOptions()
  .configureHelp({
    optionDescription: (option) =>
      `${plainHelp.optionDescription(option)}${option.mandatory ? ' (required)' : ''}`,
  })
  .configureOutput({ outputError: () => {} })
  .exitOverride();

let exit = 0;

/** `module` is a file of ./commands, `name` its exported handler. */
function define(command: Command, module: string, name: string): Command {
  return command
    .addOption(new Option('--project <dir>').hideHelp())
    .addOption(new Option('--json').hideHelp())
    .addOption(new Option('--quiet').hideHelp())
    .exitOverride()
    .action(async (...parameters: unknown[]) => {
      const self = parameters.at(-1) as Command;
      const { createIo, runHandled } = await import('./io.js');
      const options = { ...program.opts(), ...self.parent?.opts(), ...self.opts() };
      const io = createIo({
        project: String(self.opts()['project'] ?? program.opts()['project'] ?? '.'),
        json: Boolean(self.opts()['json'] ?? program.opts()['json']),
        quiet: Boolean(self.opts()['quiet'] ?? program.opts()['quiet']),
        command: `millrace ${process.argv.slice(2).join(' ')}`,
      });
      exit = await runHandled(io, async () => {
        const handlers = (await import(`./commands/${module}.js`)) as Record<string, Handler>;
        return handlers[name]!(io, self.args, options);
      });
    });
}

const collect = (value: string, previous: string[] | undefined): string[] => [...(previous ?? []), value];

define(
  program
    .command('init')
    .argument('[dir]', 'folder of the new project', '.')
    .option('--example <name>', 'an example with its data (flights)')
    .description('start a project'),
  'init',
  'init',
);
define(
  program.command('check').description('read the definitions and say what is wrong with them'),
  'check',
  'check',
);
define(
  program
    .command('plan')
    .argument('[assets...]')
    .option('--out <file>', 'save the plan as JSON, for `apply FILE`')
    .description('what a run would change and recompute, and why'),
  'run',
  'plan',
);
define(
  program
    .command('apply')
    .argument('[assets...]', 'assets, or one saved plan (.json)')
    .option('--ignore-availability', 'go on although sources do not have what they promise')
    .description('do what `plan` prints'),
  'run',
  'apply',
);
define(
  program
    .command('run')
    .argument('[assets...]')
    .option('--policy <policy>', 'auto or ask; that of millrace.yaml when absent')
    .option('--yes', 'do not ask')
    .option('--idempotency-key <key>', 'run once under this key; again it gives the first result')
    .option('--ignore-availability', 'go on although sources do not have what they promise')
    .description('the main job: bring every stale asset up to date'),
  'run',
  'run',
);
const runs = program.command('runs').description('what ran, how it went, and stopping it');
define(
  runs.command('list').option('--limit <n>', 'runs to show', '20').description('runs, newest first'),
  'runs',
  'list',
);
define(
  runs.command('show').argument('[run]', 'number; the last when absent').description('the steps of a run'),
  'runs',
  'show',
);
define(
  runs
    .command('logs')
    .argument('[run]', 'number, or `last`')
    .argument('[step]', 'asset; all when absent')
    .description('what the steps of a run said'),
  'runs',
  'logs',
);
define(
  runs
    .command('cancel')
    .argument('<run>', 'number, or `last`')
    .description('ask a run to stop, wherever it is'),
  'runs',
  'cancel',
);
define(
  runs
    .command('retry')
    .argument('[run]', 'number; the last when absent')
    .option('--policy <policy>', 'auto or ask; that of millrace.yaml when absent')
    .option('--yes', 'do not ask')
    .option('--ignore-availability', 'go on although sources do not have what they promise')
    .description('run again what a failed, interrupted or cancelled run left'),
  'runs',
  'retry',
);
define(
  program
    .command('backfill')
    .argument('<asset>', 'a source, a transform or a dataset')
    .requiredOption('--from <instant>', 'from this instant on')
    .requiredOption('--to <instant>', 'up to and without this instant')
    .option('--dry-run', 'say what would be done')
    .option('--ignore-availability', 'go on although sources do not have what they promise')
    .description('compute an asset again over a range of time'),
  'backfill',
  'backfill',
);
const schedule = program.command('schedule').description('runs by the clock and by what has come about');
define(
  schedule.command('list').description('schedules and sensors: when next, what was last, why not'),
  'schedule',
  'list',
);
define(
  schedule
    .command('next')
    .argument('[schedules...]', 'names; all when absent')
    .option('--count <n>', 'times of each', '5')
    .option('--from <instant>', 'after this instant; now when absent')
    .description('the times to come'),
  'schedule',
  'next',
);
define(
  schedule
    .command('log')
    .argument('[name]', 'a schedule or a sensor; all when absent')
    .option('--limit <n>', 'firings to show', '20')
    .description('what fired and what was skipped, newest first'),
  'schedule',
  'log',
);
define(
  schedule
    .command('run')
    .option('--once', 'only what is due now')
    .option('--until <instant>', 'end then')
    .description('fire what is due, until Ctrl-C'),
  'schedule',
  'run',
);
define(
  program
    .command('ingest')
    .argument('<source>')
    .argument('[files...]')
    .option('--watch', 'go on looking for new files, or asking for new rows, until Ctrl-C')
    .option('--every <duration>', 'with --watch: how often; 2s is the default')
    .option('--dry-run', 'say what would come of the files; nothing is written')
    .option('--show <n>', 'with --dry-run: refused rows to show', '10')
    .description('validate, quarantine, append'),
  'ingest',
  'ingest',
);

define(
  program
    .command('accept')
    .argument('<source>')
    .option('--rename <column=field>', 'a new column and the field that it is read for', collect)
    .description('write an accepted rename into the definition of a source'),
  'batches',
  'accept',
);
define(
  program
    .command('status')
    .argument('[source]')
    .description('how far sources have come, how they were judged, what they promise'),
  'batches',
  'status',
);

const batches = program.command('batches').description('batches, and what history says of them');
define(
  batches
    .command('list')
    .argument('<source>')
    .option('--limit <n>', 'batches to show', '20')
    .description('batches of a source with their verdicts, newest first'),
  'batches',
  'batchesList',
);
define(
  batches
    .command('show')
    .argument('<batch>', 'its id, or how that begins')
    .description('what was found of one batch'),
  'batches',
  'batchesShow',
);
define(
  batches
    .command('accept')
    .argument('<batch>')
    .option('--reason <text>', 'why; kept with the batch')
    .description('this was fine: it counts as ordinary, and a refused file may come in'),
  'batches',
  'batchesAccept',
);
define(
  batches
    .command('incident')
    .argument('<batch>')
    .option('--reason <text>', 'why; kept with the batch')
    .description('this was not fine: nothing of it counts as ordinary'),
  'batches',
  'batchesIncident',
);
define(
  batches.command('reset').argument('<batch>').description('take back what was said of a batch'),
  'batches',
  'batchesReset',
);

const quarantine = program
  .command('quarantine')
  .description('rows that were refused, repaired or flagged, and why');
const filtered = (command: Command): Command =>
  command
    .option('--source <name>', 'rows of this source')
    .option('--rule <id>', 'rows that broke this rule')
    .option('--batch <id>', 'rows of this batch');
define(
  filtered(quarantine.command('list')).description('refused rows by source and rule'),
  'quarantine',
  'quarantineList',
);
define(
  filtered(quarantine.command('show').argument('[ids...]'))
    .option('--status <status>', 'open, replayed or dropped')
    .option('--limit <n>', 'rows to show', '20')
    .description('refused rows with file, line, field, value and reason'),
  'quarantine',
  'quarantineShow',
);
define(
  filtered(quarantine.command('replay').argument('[ids...]')).description(
    'feed open rows through the present rules',
  ),
  'quarantine',
  'quarantineReplay',
);
define(
  filtered(quarantine.command('drop').argument('[ids...]'))
    .requiredOption('--reason <text>', 'why; kept with the rows')
    .description('settle open rows without feeding them'),
  'quarantine',
  'quarantineDrop',
);
define(
  quarantine
    .command('repairs')
    .argument('<source>')
    .option('--rule <id>', 'only what this rule changed')
    .option('--limit <n>', 'repairs to show', '20')
    .description(
      'values that rules capped or imputed: what was delivered, what it became, and by which contract',
    ),
  'quarantine',
  'quarantineRepairs',
);
define(
  quarantine
    .command('flagged')
    .argument('<source>')
    .option('--rule <id>', 'only records with the flag of this rule')
    .option('--limit <n>', 'records to show', '20')
    .description('records that were let in with the flag of a rule'),
  'quarantine',
  'quarantineFlagged',
);

const contract = program.command('contract').description('contracts as documents and versions');
define(
  contract
    .command('export')
    .argument('<source>')
    .option('--out <file>', 'where it is written; what stands there is kept where the definition is silent')
    .description('a contract as Open Data Contract Standard 3.1.0'),
  'contract',
  'contractExport',
);
define(
  contract
    .command('import')
    .argument('<file>', 'Open Data Contract Standard 3.0 or 3.1, YAML or JSON')
    .option('--out <file>', 'definition file; the document is kept in contracts/')
    .option('--force', 'write over files that are there')
    .description('a document as a source definition, saying what could not be taken over'),
  'contract',
  'contractImport',
);
define(
  contract
    .command('suggest')
    .argument('<files...>', 'files of one shape')
    .option('--out <file>', 'definition file')
    .option('--name <source>', 'name of the source; that of the file when absent')
    .option('--force', 'write over a file that is there')
    .description('a source with a contract, proposed from data, with reasons'),
  'contract',
  'contractSuggest',
);
define(
  contract
    .command('diff')
    .argument('<source>')
    .argument('[a]', 'version, `current` or the file of a document; the last version when absent')
    .argument('[b]', 'the same; the definition when absent')
    .option('--fail-on <class>', 'exit 3 from this class on: compatible, additive, risky, breaking')
    .description('what a change of a contract means, and who reads what changed'),
  'contract',
  'contractDiff',
);
define(
  contract.command('versions').argument('<source>').description('contracts under which records have come in'),
  'contract',
  'contractVersions',
);

const features = program.command('features').description('feature values');
define(
  features
    .command('historical')
    .requiredOption('--observations <file>', 'CSV or Parquet with entity keys and a time')
    .requiredOption('--time <column>', 'column of the observation time')
    .requiredOption('--features <list>', 'features and sets, separated by commas', collect)
    .requiredOption('--out <file>', '.csv or .parquet')
    .option('--knowledge <kind>', 'as_of (default) or hindsight')
    .option('--horizon <seq>', 'read nothing beyond this log position')
    .description('point-in-time values for any file of observations'),
  'features',
  'historical',
);
define(
  features
    .command('online')
    .requiredOption('--features <list>', 'features and sets, separated by commas', collect)
    .option('--entity <key=value>', 'entity key', collect)
    .option('--request <key=value>', 'request field', collect)
    .option('--at <instant>', 'observation instant; now when absent')
    .description('what serving would answer'),
  'features',
  'online',
);
define(
  features
    .command('explain')
    .argument('<feature>')
    .option('--entity <key=value>', 'entity key', collect)
    .option('--request <key=value>', 'request field', collect)
    .option('--at <instant>', 'observation instant; now when absent')
    .description('the records, the arithmetic and the SQL behind one value'),
  'features',
  'explain',
);

const dataset = program.command('dataset').description('training sets and their versions');
define(
  dataset
    .command('build')
    .argument('<name>')
    .option('--out <file>', 'a copy as .csv or .parquet')
    .option('--knowledge <kind>', 'as_of or hindsight; as the definition says when absent')
    .option('--horizon <source=seq>', 'read a source up to a position', collect)
    .option('--ignore-availability', 'go on although sources do not have what they promise')
    .description('build a training set'),
  'dataset',
  'build',
);
define(dataset.command('list').description('all versions'), 'dataset', 'list');
define(
  dataset.command('show').argument('<name>', 'NAME or NAME@VERSION').description('the manifest of a version'),
  'dataset',
  'show',
);
define(
  dataset
    .command('diff')
    .argument('<a>')
    .argument('<b>')
    .option('--html <file>', 'the difference as a page')
    .description('what differs between two versions'),
  'dataset',
  'diff',
);
define(
  dataset
    .command('export')
    .argument('<name>', 'NAME or NAME@VERSION')
    .requiredOption('--out <dir>', 'a folder')
    .option('--licence <text>', 'under which others may use it')
    .description('a version as Parquet with a README'),
  'dataset',
  'exportVersion',
);
define(
  dataset
    .command('reproduce')
    .argument('<name>', 'NAME@VERSION')
    .option('--restore', 'put files that are missing or damaged back')
    .description('build a version again and compare the bytes'),
  'dataset',
  'reproduce',
);
define(
  dataset.command('pin').argument('<name>', 'NAME@VERSION').description('keep its files through every gc'),
  'dataset',
  'pin',
);
define(
  dataset.command('unpin').argument('<name>', 'NAME@VERSION').description('let gc judge it again'),
  'dataset',
  'unpin',
);
define(
  program
    .command('gc')
    .option('--dry-run', 'say what would go')
    .option('--retention <duration>', 'how long an alias or a build keeps a version', '90d')
    .description('free the files that no living model, pinned dataset or logged prediction needs'),
  'gc',
  'gc',
);

define(
  program
    .command('train')
    .argument('<model>')
    .option('--ignore-availability', 'go on although sources do not have what they promise')
    .option('--again', 'train although nothing has changed, and compare the bytes')
    .description('train a model version'),
  'models',
  'train',
);
const models = program.command('models').description('model versions');
define(
  models.command('list').argument('[model]').description('versions: stage, aliases, owner, tags, metric'),
  'models',
  'list',
);
define(
  models.command('show').argument('<model>', 'NAME or NAME@VERSION').description('one version'),
  'models',
  'show',
);
define(
  models
    .command('reproduce')
    .argument('<model>', 'NAME@VERSION')
    .option('--restore', 'put files that are missing or damaged back')
    .description('train a version again, whatever the definitions say now, and compare the bytes'),
  'models',
  'reproduce',
);
define(
  models
    .command('alias')
    .argument('<model>', 'NAME or NAME@VERSION')
    .argument('<alias>', 'staging, shadow, ...')
    .requiredOption('--reason <text>', 'why; kept in the history')
    .description('name a version; the history keeps who, when and why'),
  'models',
  'alias',
);
define(
  models
    .command('tag')
    .argument('<model>', 'NAME or NAME@VERSION')
    .argument('[tags...]', 'NAME or NAME=VALUE')
    .option('--remove <names>', 'tags to take away, separated by commas')
    .requiredOption('--reason <text>', 'why; kept in the history')
    .description('tag a model or a version; the history keeps who, when and why'),
  'models',
  'tag',
);
define(
  models
    .command('describe')
    .argument('<model>', 'NAME or NAME@VERSION')
    .argument('[description]')
    .option('--owner <name>', 'who answers for it')
    .requiredOption('--reason <text>', 'why; kept in the history')
    .description('describe a model or a version, or name its owner'),
  'models',
  'describe',
);
define(
  models
    .command('history')
    .argument('<model>', 'NAME or NAME@VERSION')
    .description('every change: what, who, when, why'),
  'models',
  'history',
);
define(
  models
    .command('search')
    .argument('<terms...>', 'text, tag:x, owner:x, alias:x, stage:x, feature:x, dataset:x, test.auc>=0.7')
    .description('versions that meet all terms'),
  'models',
  'search',
);
define(
  models
    .command('export')
    .argument('<model>', 'NAME or NAME@VERSION')
    .requiredOption('--out <dir>', 'a folder that is not there')
    .option('--format <format>', 'mlflow', 'mlflow')
    .description('a version as a directory that MLflow loads'),
  'models',
  'exportVersion',
);
define(
  models
    .command('import')
    .argument('<path>', 'a directory of MLflow, or an ONNX file')
    .requiredOption('--model <name>', 'the definition that it becomes a version of')
    .requiredOption('--reason <text>', 'why; kept in the history')
    .option('--signature <file>', 'JSON: {"inputs": [names], "classes": [names]}')
    .option('--flavor <name>', 'of MLflow: onnx or pyfunc')
    .option('--python <program>', 'what scores a pyfunc', 'python3')
    .description('a model made elsewhere as a version: judged, gated and served like the others'),
  'models',
  'importVersion',
);
define(
  models
    .command('compare')
    .argument('<versions...>', 'NAME@VERSION; one alone is held against the champion')
    .option('--html <file>', 'a page with plots')
    .description('versions side by side, and on the same rows'),
  'models',
  'compare',
);
define(
  program
    .command('promote')
    .argument('<model>')
    .option('--version <n>', 'the latest when absent')
    .option('--reason <text>', 'why; kept in the history')
    .option('--force', 'past a gate that does not hold')
    .description('make a version the champion, if it passes its gate'),
  'models',
  'promote',
);
define(
  program
    .command('rollback')
    .argument('<model>')
    .option('--to <n>', 'a version; the champion before when absent')
    .option('--reason <text>', 'why; kept in the history')
    .description('back to the champion before'),
  'models',
  'rollback',
);

define(
  program
    .command('materialize')
    .option('--rebuild', 'from the log, from nothing')
    .description('bring the online store up to the log'),
  'serving',
  'materialize',
);
define(
  program
    .command('score')
    .argument('<service>')
    .requiredOption('--observations <file>', 'CSV or Parquet with entity keys and a time')
    .requiredOption('--out <file>', '.csv or .parquet')
    .option('--time <column>', 'column of the observation time')
    .option('--no-log', 'do not log the predictions')
    .description('batch scoring'),
  'serving',
  'score',
);
define(
  program
    .command('serve')
    .option('--port <n>', 'TCP port', '8080')
    .option('--host <address>', 'address to listen on', '127.0.0.1')
    .option('--max-body <size>', 'largest request body that is read', '16MiB')
    .description('HTTP API'),
  'serve',
  'serve',
);
define(
  program
    .command('verify')
    .option('--features <list>', 'features and sets', collect)
    .option('--sample <n>', 'observations to check; `all` for all', '2000')
    .option('--seed <n>', 'which sample', '1')
    .description('offline = online, on the project’s own data'),
  'serving',
  'verify',
);
define(
  program
    .command('replay')
    .argument('<service>')
    .option('--since <instant>', 'predictions from then on; all when absent')
    .description('recompute logged feature vectors and compare'),
  'serving',
  'replay',
);
define(
  program
    .command('monitor')
    .argument('[name]')
    .option('--at <instant>', 'end of the window')
    .option('--fail', 'exit 3 when a monitor alerts')
    .description('drift, performance, alerts'),
  'monitor',
  'monitor',
);
define(
  program
    .command('report')
    .option('--out <file>', 'HTML file')
    .description('a self-contained HTML report of the project'),
  'report',
  'report',
);

define(
  program
    .command('profile')
    .argument('<file>')
    .option('--suggest', 'propose a source with a contract instead: see `contract suggest`')
    .option('--out <file>', 'with --suggest: definition file')
    .option('--name <source>', 'with --suggest: name of the source')
    .option('--force', 'with --suggest: write over a file that is there')
    .description('statistics of every column of a file'),
  'files',
  'profile',
);
define(
  program
    .command('compare')
    .argument('<reference>')
    .argument('<current>')
    .description('drift between two files'),
  'files',
  'compare',
);
define(
  program
    .command('evaluate')
    .argument('<file>')
    .requiredOption('--label <column>', 'what came true')
    .requiredOption('--score <column>', 'what was predicted')
    .option('--weight <column>', 'weight of a row; 1 when absent')
    .option('--threshold <t>', 'score from which on a row counts as positive')
    .option('--task <task>', 'binary or regression', 'binary')
    .description('metrics of scores against labels in a file'),
  'files',
  'evaluate',
);
define(
  program
    .command('lineage')
    .argument('<asset>', 'ASSET or ASSET.FIELD')
    .option('--up', 'only where it comes from')
    .option('--down', 'only what it feeds')
    .description('where it comes from and what it feeds'),
  'lineage',
  'lineage',
);
const exported = program.command('export').description('a file for another orchestrator that calls this CLI');
const exports = (command: Command): Command =>
  command
    .requiredOption('--out <file>', 'Python file')
    .option('--select <assets>', 'these and their parents; everything when absent', collect)
    .option('--schedule <cron>', 'five fields, in the time zone of the project')
    .option('--retries <n>', 'attempts after the first', '2')
    .option('--retry-delay <duration>', 'wait before the next attempt', '5m')
    .option('--pool <name>', 'concurrency pool of the orchestrator')
    .option('--check', 'write nothing; exit 3 when the file is not current')
    .option('--force', 'write over a file that was not exported');
define(
  exports(exported.command('airflow')).description('an Airflow DAG: one task an asset'),
  'export',
  'exportAirflow',
);
define(
  exports(exported.command('dagster')).description('Dagster assets with data versions'),
  'export',
  'exportDagster',
);
define(
  program
    .command('assets')
    .argument('[assets...]')
    .description('assets with their parents and the versions of what they hold'),
  'export',
  'assets',
);

define(program.command('doctor').description('what is wrong with this installation'), 'doctor', 'doctor');

try {
  await program.parseAsync(process.argv);
} catch (error) {
  if (!(error instanceof CommanderError)) throw error;
  exit = error.exitCode === 0 ? 0 : 2;
  // `commander.help` is a command without its verb: the help has been printed.
  if (exit !== 0 && error.code !== 'commander.help') {
    const [{ createIo, runHandled }, { MillraceError }] = await Promise.all([
      import('./io.js'),
      import('../core/base/error.js'),
    ]);
    const [message, ...more] = error.message.replace(/^error: /, '').split('\n');
    const given = process.argv.slice(2);
    const io = createIo({ project: '.', json: given.includes('--json'), quiet: true, command: 'millrace' });
    await runHandled(io, async () => {
      throw new MillraceError(
        'USAGE',
        message!,
        more.length > 0 ? { hint: more.join(' ').replace(/^\((.*)\)$/, '$1') } : {},
      );
    });
  }
}
process.exitCode = exit;
