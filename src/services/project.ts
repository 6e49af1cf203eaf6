/** What a use case works with: definitions and the ports behind them. Adapters are opened when first asked for. */
import { MillraceError } from '../core/base/error.js';
import type { Instant } from '../core/base/time.js';
import type { Definitions, Source } from '../core/define/types.js';
import type { LineageSink } from '../ports/lineage-sink.js';
import type { OnnxRuntime, ProcessRunner } from '../ports/model-runtime.js';
import type { OfflineStore } from '../ports/offline-store.js';
import type { OnlineStore } from '../ports/online-store.js';
import type { PredictionLog } from '../ports/prediction-log.js';
import type { Puller } from '../ports/puller.js';
import type { RecordLog } from '../ports/record-log.js';
import type { Registry } from '../ports/registry.js';
import type { RunStore } from '../ports/run-store.js';
import type { ScheduleStore } from '../ports/schedule-store.js';
import type { SqlParser } from '../ports/sql-parser.js';

/** A model whose features the online store holds beside those of the project. */
export interface KeptModel {
  /** NAME@VERSION */
  readonly title: string;
  readonly definitions: Definitions;
  readonly features: readonly string[];
}

export interface ProgressEvent {
  readonly step: string;
  readonly message: string;
  /** 0..1 where it is known. */
  readonly fraction?: number;
  readonly done?: boolean;
}

/** How far it is, as it stands behind a message; empty where it is not known. */
export const printShare = ({ fraction }: ProgressEvent): string =>
  fraction === undefined ? '' : ` ${Math.round(fraction * 100)}%`;

/**
 * Which events of long work are worth a line that stays: not each hundredth of it, but each tenth, and whatever is no
 * share of anything.
 */
export function createProgressFilter(): (event: ProgressEvent) => boolean {
  let last = '';
  return ({ step, message, fraction, done }) => {
    const now = `${step} ${fraction === undefined || done ? message : Math.floor(fraction * 10)}`;
    if (now === last) return false;
    last = now;
    return true;
  };
}

/**
 * asks: a server that holds the lock is asked to give way, and waited for. if_free: the lock as it is found.
 * gives_way: if it is free and nobody asks for it; who asks later sees it in `lockAsked`.
 */
export type LockManner = 'asks' | 'if_free' | 'gives_way';

export interface Project {
  /** Absolute folder of the project, and of its state. */
  readonly folder: string;
  readonly stateFolder: string;
  readonly definitions: Definitions;
  /** The definition files they were read from, relative to the folder. Absent: they came from elsewhere. */
  readonly texts?: ReadonlyMap<string, string>;
  /** Equal when all that was read as definitions is. Absent where code was read, or they came from elsewhere. */
  readonly digest?: string;
  log(): Promise<RecordLog>;
  offline(): Promise<OfflineStore>;
  /** Name and version of what `offline` scans with, known without opening it. */
  engine(): Promise<string>;
  online(): Promise<OnlineStore>;
  /** Champions with definitions of their own, as they were when `online` was opened; the store holds their groups. */
  keptModels?(): readonly KeptModel[];
  registry(): Promise<Registry>;
  runs(): Promise<RunStore>;
  schedules(): Promise<ScheduleStore>;
  /** What asks the system that a source reads from. */
  puller(source: Source): Promise<Puller>;
  /** What scores models of other makes, and what runs trainers of other makes. */
  onnx(): Promise<OnnxRuntime>;
  processes(): Promise<ProcessRunner>;
  /** Loaded when a transform's SQL has to be read. */
  sqlParser(): Promise<SqlParser>;
  /** Where events of runs go; null when the settings name no place. */
  readonly lineageSink: LineageSink | null;
  predictions(): PredictionLog;
  /** Takes the one-writer lock until the project is closed; a second writer is STORE_LOCKED. `asks` is the default. */
  lockForWriting(command: string, manner?: LockManner): Promise<void>;
  /** Another process waits for this one, which gives way, to let go of the lock. */
  lockAsked(): boolean;
  now(): Instant;
  /** True: work goes on although sources do not have what they promise. */
  readonly ignoreAvailability?: boolean;
  progress(event: ProgressEvent): void;
  readonly signal: AbortSignal;
  close(): Promise<void>;
}

/** Where work may end when the user has asked for it: INTERRUPTED, between two steps that are each all or nothing. */
export function stopIfInterrupted(
  project: Pick<Project, 'signal'>,
  kept = 'what was finished is kept',
): void {
  if (project.signal.aborted) throw new MillraceError('INTERRUPTED', `interrupted; ${kept}`);
}

/** Every source's last committed position: what a build reads up to, unless told otherwise. */
export async function currentHorizons(
  project: Project,
  sources?: Iterable<string>,
): Promise<Map<string, number>> {
  const log = await project.log();
  const horizons = new Map<string, number>();
  for (const name of sources ?? project.definitions.sources.keys())
    horizons.set(name, (await log.state(project.definitions.sources.get(name)!)).lastSeq);
  return horizons;
}
