/** The table of commands as a program of commander. */
import { Command, Help, Option } from 'commander';
import { VERSION } from '../core/base/version.js';
import { COMMANDS, type CommandRow, isGroup, type Meaning, wordsOf } from './command-table.js';

/** Performs the command of some words; `options` are those of the command and those before it. */
export type Perform = (
  words: readonly string[],
  args: readonly string[],
  options: Readonly<Record<string, unknown>>,
) => Promise<void>;

/** Options of every command, before or behind its words. */
const EVERYWHERE = [
  ['--project <dir>', 'project folder', '.'],
  ['--json', 'print the result as one JSON object on the last line of stdout'],
  ['--quiet', 'no progress on stderr'],
] as const;

const plainHelp = new Help();

export function createProgram(perform: Perform): Command {
  const program = new Command('millrace')
    .description(
      'An intelligence pipeline for machine learning: raw records in, the same features in training and in serving.',
    )
    .version(VERSION)
    .enablePositionalOptions()
    .configureHelp({
      optionDescription: (option) =>
        `${plainHelp.optionDescription(option)}${option.mandatory ? ' (required)' : ''}`,
    })
    .configureOutput({ outputError: () => {} })
    .exitOverride();
  for (const [flags, text, byDefault] of EVERYWHERE) program.option(flags, text, byDefault);
  const made = new Map([['', program]]);
  for (const row of COMMANDS) {
    const words = wordsOf(row);
    const command = made.get(words.slice(0, -1).join(' '))!.command(words.at(-1)!);
    made.set(words.join(' '), command.description(row.does));
    if (isGroup(row)) continue;
    declare(command, row);
    command.action(() => perform(words, command.args, { ...program.opts(), ...command.opts() }));
  }
  return program;
}

/** What a command takes, and the options of every command. */
function declare(command: Command, row: CommandRow): void {
  for (const argument of row.usage.split(' ').slice(wordsOf(row).length)) {
    const { text, byDefault } = spelled(row.args?.[argument.replaceAll(/[<>[\].]/g, '')] ?? '');
    command.argument(argument, text, byDefault);
  }
  for (const [flags, meaning] of Object.entries(row.options ?? {}))
    command.addOption(optionOf(flags, meaning));
  for (const [flags] of EVERYWHERE) command.addOption(new Option(flags).hideHelp());
  command.exitOverride();
}

const spelled = (meaning: Meaning): Exclude<Meaning, string> =>
  typeof meaning === 'string' ? { text: meaning } : meaning;

function optionOf(flags: string, meaning: Meaning): Option {
  const { text, required, repeats, byDefault } = spelled(meaning);
  const option = new Option(flags, text);
  if (required) option.makeOptionMandatory();
  if (byDefault !== undefined) option.default(byDefault);
  if (repeats)
    option.argParser((value: string, previous: string[] | undefined) => [...(previous ?? []), value]);
  return option;
}
