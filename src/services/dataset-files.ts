/** The files of partitions: named by their content, found by their key. */
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import type { Fingerprint } from '../core/base/fingerprint.js';
import type { PartitionColumns, PartitionEntry } from '../core/dataset/manifest.js';
import { takeUpFile } from './objects.js';
import type { Project } from './project.js';

/** Where versions, partitions and their keys are. */
export const datasetFolder = (project: Project, name: string): string =>
  path.join(project.definitions.settings.lake, '_datasets', name);

export const OBJECTS = 'objects';
export const KEYS = 'keys';

export const rowsObject = (folder: string, sha256: string): string =>
  path.join(folder, OBJECTS, `${sha256}.parquet`);
export const columnsObject = (folder: string, sha256: string): string =>
  path.join(folder, OBJECTS, `${sha256}.json`);
export const keyFile = (folder: string, key: string): string => path.join(folder, KEYS, `${key}.json`);

/** Whether the files of a partition are there; `gc` then leaves them alone for a while. */
export const takeUpEntry = (folder: string, entry: PartitionEntry): boolean =>
  (entry.sha256 === null || takeUpFile(rowsObject(folder, entry.sha256))) &&
  takeUpFile(columnsObject(folder, entry.columns_sha256));

/** Partitions that were made before, by their key; `known`: some that need not be looked for. */
export function findEntries(
  folder: string,
  keys: readonly Fingerprint[],
  known: readonly PartitionEntry[],
): Map<Fingerprint, PartitionEntry> {
  const entries = new Map(known.map((entry) => [entry.key, entry]));
  const found = new Map<Fingerprint, PartitionEntry>();
  for (const key of keys) {
    const entry = entries.get(key) ?? readEntry(keyFile(folder, key));
    if (entry && takeUpEntry(folder, entry)) found.set(key, entry);
  }
  return found;
}

/** What a stop of the machine has torn is not there. */
function readEntry(file: string): PartitionEntry | undefined {
  if (!existsSync(file)) return undefined;
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as PartitionEntry;
  } catch {
    return undefined;
  }
}

export const columnsOf = (folder: string, entry: PartitionEntry): PartitionColumns =>
  JSON.parse(readFileSync(columnsObject(folder, entry.columns_sha256), 'utf8')) as PartitionColumns;
