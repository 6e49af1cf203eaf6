/**
 * Scores by a command, one JSON value a line: it hears what it is, then lists of rows, and answers each with as many
 * scores. It is started when it is asked, and again after it failed; idle, it does not keep this process alive.
 */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, writeSync } from 'node:fs';
import type { Socket } from 'node:net';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { MillraceError } from '../../core/base/error.js';
import type { Prediction } from '../../core/learn/model.js';
import { type Cell, rowCells, settleScores, toPrediction } from '../../core/learn/scores.js';
import type { ModelRuntime, ScoringModel } from '../../ports/model-runtime.js';
import { killGroup, masker } from './group.js';

type Rows = readonly (readonly Cell[])[];

interface Pending {
  readonly rows: number;
  resolve(scores: readonly Float64Array[]): void;
  reject(error: MillraceError): void;
}

/** Requests that wait in the command's pipe. */
const WINDOW = 64;
const TAIL_LINES = 8;
const GRACE_MS = 2_000;
/** A command that has failed so often in a row is asked again only after a pause, which doubles. */
const QUICK_FAILURES = 3;
const PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 30_000;

/** One life of the command. */
interface Life {
  /** Resolves when it said that it is ready. */
  readonly ready: Promise<void>;
  ask(rows: Rows): Promise<readonly Float64Array[]>;
  /** No more questions. It ends by itself; if not, it is ended. */
  finish(): Promise<void>;
  readonly dead: () => boolean;
}

type Failed = (message: string, hint?: string) => MillraceError;

/** A line that is an object. Python's json writes NaN and Infinity, which JSON has not: they are null. */
function messageOf(line: string): Readonly<Record<string, unknown>> | undefined {
  if (!line.startsWith('{')) return undefined;
  for (const text of [line, line.replaceAll(/\bNaN\b|-?\bInfinity\b/g, 'null')])
    try {
      return JSON.parse(text) as Record<string, unknown>;
    } catch {}
  return undefined;
}

function startLife(model: ScoringModel, failed: Failed, width: number): Life {
  const { scoring } = model;
  const env = {
    ...process.env,
    PYTHONUNBUFFERED: '1',
    PYTHONDONTWRITEBYTECODE: '1',
    ...scoring.env,
    MILLRACE_MODEL: model.folder,
  };
  const mask = masker(env);
  mkdirSync(path.dirname(model.log), { recursive: true });
  const log = openSync(model.log, 'a');
  const tail: string[] = [];
  const note = (text: string): void => {
    const line = mask(text);
    tail.push(line);
    if (tail.length > TAIL_LINES) tail.shift();
    if (!closed) writeSync(log, `${line}\n`);
  };
  const said = (): string =>
    `${tail.length === 0 ? 'It printed nothing.' : `Its last lines:\n  ${tail.join('\n  ')}`}\nAll it printed: ${model.log}`;
  const shown = scoring.command.join(' ');
  const child: ChildProcessWithoutNullStreams = spawn(scoring.command[0]!, scoring.command.slice(1), {
    cwd: model.folder,
    env,
    detached: true,
    stdio: 'pipe',
  });
  const pending = new Map<number, Pending>();
  let closed = false;
  let end: MillraceError | undefined;
  let questions = 0;
  let finishing = false;
  let isReady = false;
  let begin = (): void => undefined;
  let refuse = (_: MillraceError): void => undefined;
  const ready = new Promise<void>((resolve, reject) => {
    begin = resolve;
    refuse = reject;
  });
  ready.catch(() => undefined);

  const sockets = [child.stdin, child.stdout, child.stderr] as unknown as Socket[];
  /** Only what is asked keeps this process alive. */
  const hold = (): void => {
    // A socket that is closed would wait for its next connection, which never comes.
    const handles = [child, ...sockets.filter((socket) => !socket.destroyed)];
    const asked = pending.size > 0 || !isReady || finishing;
    for (const handle of handles)
      if (asked) handle.ref();
      else handle.unref();
  };
  let timer: NodeJS.Timeout | undefined;
  const watch = (): void => {
    clearTimeout(timer);
    if (isReady && pending.size === 0) return;
    const limit = isReady ? scoring.timeout_ms : scoring.start_timeout_ms;
    timer = setTimeout(
      () =>
        kill(
          failed(
            `\`${shown}\` ${isReady ? 'gave no answer' : 'was not ready'} within ${limit / 1000} s. ${said()}`,
          ),
        ),
      limit,
    );
  };
  const leave = (): void => {
    if (child.pid !== undefined) killGroup(child.pid, 'SIGKILL');
  };
  const fail = (error: MillraceError): void => {
    end ??= error;
    clearTimeout(timer);
    refuse(end);
    for (const { reject } of pending.values()) reject(end);
    pending.clear();
  };
  const kill = (error: MillraceError): void => {
    fail(error);
    leave();
  };
  const stop = (): void => kill(new MillraceError('INTERRUPTED', `scoring by ${model.name} was interrupted`));

  /** @throws MillraceError for what is no score of one row. */
  const scoresOf = (given: unknown, row: number): Float64Array => {
    const list = width === 1 && !Array.isArray(given) ? [given] : given;
    if (!Array.isArray(list) || list.length !== width || !list.every(Number.isFinite)) {
      const each = width === 1 ? 'a number' : `${width} numbers`;
      const shownScore = mask(JSON.stringify(given) ?? 'nothing').slice(0, 200);
      throw failed(`\`${shown}\` answered row ${row + 1} with ${shownScore}: expected ${each}`);
    }
    const scores = Float64Array.from(list as number[]);
    const flaw = settleScores(model.task, scores);
    if (flaw) throw failed(`\`${shown}\` answered row ${row + 1} with ${flaw.score}`, flaw.hint);
    return scores;
  };
  const settle = ({ rows, resolve, reject }: Pending, answer: Readonly<Record<string, unknown>>): void => {
    if (answer['error'] !== undefined) {
      reject(failed(`\`${shown}\` refuses: ${mask(String(answer['error'])).slice(0, 500)}`));
      return;
    }
    const given = answer['scores'];
    if (!Array.isArray(given) || given.length !== rows) {
      const told = mask(JSON.stringify(answer)).slice(0, 200);
      reject(failed(`\`${shown}\` answered ${rows} rows with ${told}: expected "scores", one for each row`));
      return;
    }
    try {
      resolve(given.map(scoresOf));
    } catch (error) {
      reject(error as MillraceError);
    }
  };
  const hear = (line: string): void => {
    const message = messageOf(line);
    const asked = typeof message?.['id'] === 'number' ? pending.get(message['id']) : undefined;
    if (message?.['ready'] === true) {
      isReady = true;
      begin();
    } else if (message && asked) {
      pending.delete(message['id'] as number);
      settle(asked, message);
    } else note(line);
    watch();
    hold();
  };

  process.once('exit', leave);
  model.signal.addEventListener('abort', stop, { once: true });
  const ended = new Promise<void>((resolve) => {
    child.once('error', (cause: NodeJS.ErrnoException) => {
      fail(
        failed(
          cause.code === 'ENOENT'
            ? `there is no program "${scoring.command[0]}"`
            : `\`${shown}\` cannot be started: ${cause.message}`,
        ),
      );
      resolve();
    });
    child.once('close', (status, signal) => {
      const how = status === null ? `was ended by ${signal}` : `ended with exit code ${status}`;
      fail(failed(`\`${shown}\` ${how}. ${said()}`));
      resolve();
    });
  });
  void ended.then(() => {
    closed = true;
    closeSync(log);
    process.removeListener('exit', leave);
    model.signal.removeEventListener('abort', stop);
    leave();
  });
  createInterface({ input: child.stdout }).on('line', hear);
  createInterface({ input: child.stderr }).on('line', note);
  // A command that has ended does not read: its exit says why.
  child.stdin.on('error', () => undefined);
  const send = (value: unknown): void => {
    child.stdin.write(`${JSON.stringify(value)}\n`);
  };
  send({
    millrace: 1,
    model: model.name,
    task: model.task,
    classes: model.classes,
    features: model.features.map(({ name, type }) => ({ name, type })),
  });
  watch();

  return {
    ready,
    dead: () => end !== undefined || finishing,
    ask: (rows) => {
      if (end) return Promise.reject(end);
      const id = ++questions;
      return new Promise((resolve, reject) => {
        pending.set(id, { rows: rows.length, resolve, reject });
        send({ id, rows });
        watch();
        hold();
      });
    },
    finish: async () => {
      finishing = true;
      hold();
      child.stdin.end();
      const force = setTimeout(leave, GRACE_MS);
      await ended;
      clearTimeout(force);
    },
  };
}

export function createScorer(model: ScoringModel): ModelRuntime {
  const { scoring, task } = model;
  const classes = model.classes ?? [];
  const width = task === 'multiclass' ? classes.length : 1;
  const cells = rowCells(model.features);
  const failed: Failed = (message, hint) =>
    new MillraceError(
      'SCORING_FAILED',
      `model ${model.name}: ${message}`,
      hint === undefined ? {} : { hint },
    );
  let life: Life | undefined;
  let failures = 0;
  let pauseUntil = 0;
  let last: MillraceError | undefined;
  let busy = 0;
  let closing = false;

  const failure = (error: MillraceError): void => {
    failures++;
    last = error;
    if (failures >= QUICK_FAILURES)
      pauseUntil =
        performance.now() + Math.min(LONGEST_PAUSE_MS, PAUSE_MS * 2 ** (failures - QUICK_FAILURES));
  };
  const alive = async (): Promise<Life> => {
    if (life && !life.dead()) {
      await life.ready;
      return life;
    }
    if (performance.now() < pauseUntil)
      throw new MillraceError(
        'SCORING_FAILED',
        `model ${model.name}: its command has failed ${failures} times in a row and is started again in ${Math.ceil((pauseUntil - performance.now()) / 1000)} s. ${last!.message}`,
      );
    const fresh = startLife(model, failed, width);
    life = fresh;
    try {
      await fresh.ready;
    } catch (error) {
      failure(error as MillraceError);
      throw error;
    }
    return fresh;
  };

  /** Scores of many rows; a window of requests is under way at once. */
  const ask = async (count: number, row: (i: number) => readonly Cell[]): Promise<Float64Array[]> => {
    const scores: Float64Array[] = new Array(count);
    busy++;
    try {
      const running = await alive();
      const size = scoring.rows_at_once;
      let next = 0;
      const worker = async (): Promise<void> => {
        while (next < count) {
          const from = next;
          next = Math.min(count, from + size);
          const rows = Array.from({ length: next - from }, (_, i) => row(from + i));
          for (const [i, each] of (await running.ask(rows)).entries()) scores[from + i] = each;
        }
      };
      try {
        await Promise.all(Array.from({ length: Math.min(WINDOW, Math.ceil(count / size)) }, worker));
        failures = 0;
      } catch (error) {
        if (running.dead()) failure(error as MillraceError);
        throw error;
      }
      return scores;
    } finally {
      busy--;
      if (busy === 0 && (closing || scoring.mode === 'batch')) await end();
    }
  };
  const end = async (): Promise<void> => {
    const ending = life;
    life = undefined;
    if (ending && !ending.dead()) await ending.finish();
  };

  return {
    predictRows: async (rows) => {
      const scores = await ask(rows.length, (i) => cells.ofValues(rows[i]!));
      return scores.map((each): Prediction => toPrediction(task, classes, each));
    },
    predictTable: async (table) => {
      const scores = await ask(table.rows, (i) => cells.ofTable(table, i));
      const columns = Array.from({ length: width }, (_, k) => Float64Array.from(scores, (each) => each[k]!));
      return task === 'multiclass' ? columns : columns[0]!;
    },
    close: () => {
      closing = true;
      if (busy === 0) void end();
    },
  };
}
