/** What a command prints and how it ends. Data on stdout; progress and errors on stderr. */
import { writeSync } from 'node:fs';
import colors from 'picocolors';
import { type Diagnostic, MillraceError, printPlace } from '../core/base/error.js';
import { createProgressFilter, type ProgressEvent, printShare } from '../services/project.js';

export interface Io {
  readonly projectFolder: string;
  readonly json: boolean;
  readonly command: string;
  readonly signal: AbortSignal;
  /** A line for people, on stdout unless --json. */
  print(text?: string): void;
  /** The result: the last line of stdout with --json. */
  result(value: unknown): void;
  /** A gate is closed: the error on stderr, the result with it on stdout, the exit status back. */
  refuse(error: MillraceError, result: Readonly<Record<string, unknown>>): number;
  note(text: string): void;
  warn(text: string): void;
  progress(event: ProgressEvent): void;
}

export interface IoOptions {
  readonly project: string;
  readonly json: boolean;
  readonly quiet: boolean;
  readonly command: string;
}

/** Writes all of it before it returns, pipes included. */
function write(fd: number, text: string): void {
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; ) {
    try {
      at += writeSync(fd, bytes, at);
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code;
      if (code === 'EPIPE') return;
      if (code !== 'EAGAIN') throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2);
    }
  }
}

const interruption = new AbortController();
let interruptions = 0;

/** First Ctrl-C asks; the second ends at once. Either way the log is as before or as after. */
function onSignal(): void {
  interruptions++;
  if (interruptions > 1) process.exit(130);
  write(2, '\ninterrupted: finishing what must not be left half done (again to stop at once)\n');
  interruption.abort();
}

export function createIo(options: IoOptions): Io {
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
  const terminal = process.stderr.isTTY === true && !options.quiet;
  let open = false;
  const clear = (): void => {
    if (open) write(2, '\r\u001b[K');
    open = false;
  };
  const started = Date.now();
  const isWorthALine = createProgressFilter();
  return {
    projectFolder: options.project,
    json: options.json,
    command: options.command,
    signal: interruption.signal,
    print: (text = '') => {
      clear();
      if (!options.json) write(1, `${text}\n`);
    },
    result: (value) => {
      clear();
      if (options.json) write(1, `${JSON.stringify(value)}\n`);
    },
    refuse: (error, result) => {
      clear();
      printError(error);
      if (options.json) write(1, `${JSON.stringify({ ...result, error: errorObject(error) })}\n`);
      return error.exit;
    },
    note: (text) => {
      clear();
      if (!options.quiet) write(2, `${text}\n`);
    },
    warn: (text) => {
      clear();
      write(2, `${colors.yellow('warning')} ${text}\n`);
    },
    progress: (event) => {
      if (options.quiet) return;
      const text = `${colors.dim(`[${((Date.now() - started) / 1000).toFixed(1)}s]`)} ${colors.cyan(event.step)} ${event.message}${printShare(event)}`;
      if (!terminal) {
        if (isWorthALine(event)) write(2, `${text}\n`);
        return;
      }
      clear();
      write(2, event.done ? `${text}\n` : text.slice(0, (process.stderr.columns ?? 100) + 24));
      open = !event.done;
    },
  };
}

export function printDiagnostic(diagnostic: Diagnostic): string {
  const place = diagnostic.place ? `${printPlace(diagnostic.place)}: ` : '';
  const tone = diagnostic.severity === 'error' ? colors.red : colors.yellow;
  const near =
    diagnostic.nearest && !`${diagnostic.message}${diagnostic.hint ?? ''}`.includes(diagnostic.nearest)
      ? ` Did you mean "${diagnostic.nearest}"?`
      : '';
  const hint = diagnostic.hint ? `\n    → ${diagnostic.hint}` : '';
  return `${place}${tone(diagnostic.severity)} ${colors.bold(diagnostic.code)} ${diagnostic.message}${near}${hint}`;
}

export function errorObject(error: MillraceError): Record<string, unknown> {
  return {
    code: error.code,
    message: error.message,
    ...(error.place ? { place: error.place } : {}),
    ...(error.hint ? { hint: error.hint } : {}),
    ...(error.diagnostics.length > 0 ? { diagnostics: error.diagnostics } : {}),
    ...(error.data ? { data: error.data } : {}),
  };
}

function printError(error: MillraceError): void {
  for (const diagnostic of error.diagnostics) write(2, `${printDiagnostic(diagnostic)}\n`);
  const place = error.place ? `${printPlace(error.place)}: ` : '';
  write(2, `${colors.red('error')} ${colors.bold(error.code)} ${place}${error.message}\n`);
  if (error.hint) write(2, `    → ${error.hint}\n`);
}

/** A full disk shows wherever something is written. */
const codeOf = (caught: unknown): 'DISK_FULL' | 'INTERNAL' =>
  /^(ENOSPC|EDQUOT|EFBIG)$/.test((caught as NodeJS.ErrnoException | null)?.code ?? '')
    ? 'DISK_FULL'
    : 'INTERNAL';

/** Runs a command and turns what it throws into a message, a JSON error and an exit status. */
export async function runHandled(io: Io, work: () => Promise<number>): Promise<number> {
  try {
    return await work();
  } catch (caught) {
    const error =
      caught instanceof MillraceError
        ? caught
        : new MillraceError(codeOf(caught), caught instanceof Error ? caught.message : String(caught), {
            cause: caught,
          });
    printError(error);
    if (error.code === 'INTERNAL' && caught instanceof Error && process.env['MILLRACE_DEBUG'])
      write(2, `${caught.stack}\n`);
    io.result({ error: errorObject(error) });
    return error.exit;
  }
}
