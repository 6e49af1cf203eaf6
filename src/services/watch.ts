/** Looks at sources again and again and reads what is new: files that have come and no longer grow, queries. */
import { stat } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { MillraceError } from '../core/base/error.js';
import type { Source } from '../core/define/types.js';
import type { IngestResult } from '../ports/record-log.js';
import { filesTaken, newFiles } from './file-marks.js';
import { ingestFiles } from './ingest.js';
import type { Project } from './project.js';
import { pullSource } from './pull.js';
import { isPulled, pullReason } from './pull-mark.js';

export interface WatchEvents {
  onResult(source: Source, result: IngestResult): void | Promise<void>;
  /** What was refused or failed; the watch goes on. A file is tried again when it has changed. */
  onFailure(source: Source, error: MillraceError): void;
}

/** What was refused and what to do about it, in one line. */
export const failureText = ({ code, message, hint }: MillraceError): string =>
  `[${code}] ${message}${hint === undefined ? '' : ` → ${hint}`}`;

/** Changes with every writing to the file. */
async function lookOf(file: string): Promise<string> {
  const { size, mtimeMs } = await stat(file);
  return `${size}:${mtimeMs}`;
}

/** One source under watch: what its files looked like last time, and which looks were refused. */
class Watched {
  readonly #seen = new Map<string, string>();
  readonly #refused = new Map<string, string>();
  readonly #project: Project;
  readonly #source: Source;
  readonly #events: WatchEvents;

  constructor(project: Project, source: Source, events: WatchEvents) {
    this.#project = project;
    this.#source = source;
    this.#events = events;
  }

  async look(): Promise<void> {
    try {
      if (isPulled(this.#source)) await this.#pull();
      else await this.#files();
    } catch (error) {
      if (!(error instanceof MillraceError) || error.code === 'INTERRUPTED') throw error;
      // A folder in which nothing has come yet is no failure.
      if (error.code !== 'FILE_NOT_FOUND') this.#events.onFailure(this.#source, error);
    }
  }

  async #pull(): Promise<void> {
    if ((await pullReason(this.#project, this.#source)) === null) return;
    const result = await pullSource(this.#project, this.#source);
    if (result !== null && result.accepted + result.quarantined > 0)
      await this.#events.onResult(this.#source, result);
  }

  /** Each file is a batch of its own, once it looks the same twice. */
  async #files(): Promise<void> {
    const { files } = await newFiles(this.#project, this.#source);
    for (const file of files) {
      const look = await lookOf(file);
      const steady = this.#seen.get(file) === look;
      this.#seen.set(file, look);
      if (!steady || this.#refused.get(file) === look) continue;
      try {
        const taken = await filesTaken(this.#project, this.#source, [file]);
        const result = await ingestFiles(this.#project, this.#source, [file], taken);
        await this.#events.onResult(this.#source, result);
      } catch (error) {
        if (!(error instanceof MillraceError) || error.code === 'INTERRUPTED') throw error;
        this.#refused.set(file, look);
        this.#events.onFailure(this.#source, error);
      }
    }
  }
}

/** Goes on until the signal fires. What has begun is finished first. */
export async function watchSource(
  project: Project,
  source: Source,
  events: WatchEvents,
  options: { readonly everyMs: number; readonly signal: AbortSignal },
): Promise<void> {
  const watched = new Watched(project, source, events);
  while (!options.signal.aborted) {
    await watched.look().catch((error: unknown) => {
      if (!options.signal.aborted) throw error;
    });
    await sleep(options.everyMs, undefined, { signal: options.signal }).catch(() => undefined);
  }
}
