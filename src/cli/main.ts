#!/usr/bin/env node
/** The command line. A command is imported when it is run, so `--help` is quick. */
import { CommanderError } from 'commander';
import type { Command } from './command.js';
import { createProgram } from './program.js';

let exit = 0;

const program = createProgram(async (words, args, options) => {
  const { createIo, runHandled } = await import('./io.js');
  const io = createIo({
    project: String(options['project']),
    json: options['json'] === true,
    quiet: options['quiet'] === true,
    command: `millrace ${process.argv.slice(2).join(' ')}`,
  });
  exit = await runHandled(io, async () => {
    const { command } = (await import(`./commands/${words.join('/')}.js`)) as { readonly command: Command };
    return command(io, args, options);
  });
});

/** A misuse is told like any other error, as JSON too. */
async function refuseUsage({ message }: CommanderError): Promise<void> {
  const { createIo, runHandled } = await import('./io.js');
  const { MillraceError } = await import('../core/base/error.js');
  const [first, ...more] = message.replace(/^error: /, '').split('\n');
  const io = createIo({
    project: '.',
    json: process.argv.slice(2).includes('--json'),
    quiet: true,
    command: 'millrace',
  });
  const hint = more.join(' ').replace(/^\((.*)\)$/, '$1');
  await runHandled(io, async () => {
    throw new MillraceError('USAGE', first!, hint === '' ? {} : { hint });
  });
}

try {
  await program.parseAsync(process.argv);
} catch (error) {
  if (!(error instanceof CommanderError)) throw error;
  exit = error.exitCode === 0 ? 0 : 2;
  // `commander.help` is a group without its verb: the help has been printed.
  if (exit !== 0 && error.code !== 'commander.help') await refuseUsage(error);
}
process.exitCode = exit;
