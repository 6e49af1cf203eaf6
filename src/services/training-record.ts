/** What a fit ran in and how long it took: remembered with the version, outside of its key. */
import os from 'node:os';
import path from 'node:path';
import { VERSION } from '../core/base/version.js';
import type { GitState, ProcessEnvironment } from '../ports/model-runtime.js';
import { lockFiles } from './code-version.js';
import type { Project } from './project.js';

export interface Environment {
  readonly node: string;
  readonly millrace: string;
  readonly v8?: string;
  readonly platform?: string;
  readonly processor?: string;
  readonly processors?: number;
  readonly memory_bytes?: number;
  /** Of the project's settings; no result depends on it. */
  readonly threads?: number;
  /** Of a trainer that is a command. */
  readonly process?: ProcessEnvironment;
}

/** Seconds by the wall clock. */
export interface Timings {
  readonly dataset: number;
  readonly read: number;
  readonly fit: number;
  readonly evaluate: number;
  readonly total: number;
}

export interface Stopwatch {
  lap(name: Exclude<keyof Timings, 'total'>): void;
  finish(): Timings;
}

export function stopwatch(): Stopwatch {
  const began = performance.now();
  let last = began;
  const laps = { dataset: 0, read: 0, fit: 0, evaluate: 0 };
  const seconds = (ms: number): number => Math.round(ms) / 1000;
  return {
    lap: (name) => {
      const now = performance.now();
      laps[name] = seconds(now - last);
      last = now;
    },
    finish: () => ({ ...laps, total: seconds(performance.now() - began) }),
  };
}

export function environmentOf(project: Project, process_?: ProcessEnvironment): Environment {
  const processors = os.cpus();
  return {
    node: process.version,
    millrace: VERSION,
    v8: process.versions.v8,
    platform: `${process.platform} ${process.arch} ${os.release()}`,
    processor: processors[0]?.model ?? 'unknown',
    processors: processors.length,
    memory_bytes: os.totalmem(),
    threads: project.definitions.settings.threads,
    ...(process_ ? { process: process_ } : {}),
  };
}

/** The project as code: its commit, and the lock files that its packages came from. */
export async function codeOf(
  project: Project,
): Promise<{ readonly git: GitState | null; readonly locks: Readonly<Record<string, string>> }> {
  const { lake, online, registry } = project.definitions.settings;
  const apart = [project.stateFolder, lake, online, registry]
    .map((place) => path.relative(project.folder, place))
    .filter((place) => place !== '' && !place.startsWith('..') && !path.isAbsolute(place));
  const git = await (await project.processes()).git(project.folder, [...new Set(apart)]);
  return { git, locks: await lockFiles(project.folder) };
}
