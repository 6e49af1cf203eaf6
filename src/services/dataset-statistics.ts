/**
 * What a manifest says of the rows of all partitions together. What was found of a partition is kept beside them, by the
 * name of its content: a build reads only partitions that are new. Without these files everything is read, and found alike.
 */
import { randomUUID } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, open, readdir, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { type Fingerprint, fingerprint } from '../core/base/fingerprint.js';
import { type Instant, parseInstant } from '../core/base/time.js';
import type { PartitionColumns, PartitionEntry, PartSummary } from '../core/dataset/manifest.js';
import {
  AT_COLUMN,
  cutRanks,
  type PartRule,
  PLACE_COLUMN,
  partIndex,
  partRule,
} from '../core/dataset/split.js';
import { addTallies, type PartTally, tallyName, tallyParts, wholePart } from '../core/dataset/tally.js';
import type { Dataset, Definitions, Label } from '../core/define/types.js';
import { columnLength, columnValue } from '../core/engine/columns.js';
import type { Column } from '../core/engine/types.js';
import { FLOAT64, INT64, printType, type ValueType } from '../core/schema/types.js';
import type { OfflineStore } from '../ports/offline-store.js';
import { rowsObject } from './dataset-files.js';

/** Beside the partitions of a dataset. */
export const STATISTICS = 'statistics';
/** A training part of more rows than this is told from a sample: every 2ᵏ-th of each partition. */
const ALL_ROWS = 65_536;
/** Rows of a sample at most: shares are then off by less than 0.004, as a rule. */
const SAMPLE_ROWS = 16_384;

const AT = { name: AT_COLUMN, type: INT64 };
const PLACE = { name: PLACE_COLUMN, type: FLOAT64 };

interface FilledEntry extends PartitionEntry {
  readonly sha256: string;
}

const filled = (entries: readonly PartitionEntry[]): readonly FilledEntry[] =>
  entries.filter((entry): entry is FilledEntry => entry.sha256 !== null);

const trainIndex = (rule: PartRule): number =>
  Math.max(
    0,
    rule.parts.findIndex(({ name }) => name === 'train'),
  );

/** The rule of the split over the rows of all partitions: instants at given ranks are in one partition each. */
export async function ruleOf(
  store: OfflineStore,
  folder: string,
  dataset: Dataset,
  horizon: number,
  entries: readonly PartitionEntry[],
): Promise<PartRule> {
  const total = entries.reduce((sum, { rows }) => sum + rows, 0);
  const cuts: Instant[] = [];
  for (const rank of cutRanks(dataset.split, total)) {
    let before = 0;
    const entry = entries.find(({ rows }) => {
      if (rank < before + rows) return true;
      before += rows;
      return false;
    })!;
    const column = (await store.readColumns(rowsObject(folder, entry.sha256!), [AT])).get(AT_COLUMN)!;
    const times = Float64Array.from({ length: columnLength(column) }, (_, i) =>
      Number(columnValue(column, i)),
    );
    cuts.push(times.sort()[rank - before]!);
  }
  return partRule(dataset.split, horizon, cuts);
}

const boundsOf = ({ from, to }: PartitionEntry) => ({
  from: from === null ? null : parseInstant(from)!,
  to: to === null ? null : parseInstant(to)!,
});

type KeptTallies = Readonly<Record<string, readonly PartTally[]>>;

function keptTallies(file: string): KeptTallies {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as KeptTallies;
  } catch {
    return {};
  }
}

/** What each part of the rule has. `statistics`: of the entries' columns. */
export async function tallyRows(
  store: OfflineStore,
  folder: string,
  rule: PartRule,
  label: Label | null,
  entries: readonly PartitionEntry[],
  statistics: readonly PartitionColumns[],
): Promise<readonly PartTally[]> {
  const file = path.join(folder, STATISTICS, 'tallies.json');
  const kept = keptTallies(file);
  const told = [AT_COLUMN, PLACE_COLUMN, ...(label ? [label.name] : [])];
  const partitions = entries.flatMap((entry, i) => {
    const { sha256, rows } = entry;
    if (sha256 === null) return [];
    const whole = wholePart(rule, boundsOf(entry));
    const columns = told.map((column) => statistics[i]![column]!.sha256);
    return [{ sha256, rows, whole, name: tallyName(columns, whole === undefined ? rule : null) }];
  });
  const tallies = new Map<string, readonly PartTally[]>();
  for (const { name } of partitions) if (kept[name]) tallies.set(name, kept[name]);
  const missing = partitions.filter(({ name }) => !tallies.has(name));
  if (missing.length > 0) {
    const columns = await store.readColumns(
      { files: missing.map(({ sha256 }) => rowsObject(folder, sha256)), rule },
      [AT, PLACE, ...(label ? [{ name: label.name, type: label.valueType }] : [])],
      { raw: true },
    );
    const at = columns.get(AT_COLUMN)!;
    const place = columns.get(PLACE_COLUMN)!;
    let row = 0;
    for (const { rows, whole, name } of missing) {
      const slice = { from: row, to: row + rows };
      const own = { at, place, label: label ? columns.get(label.name)! : null };
      tallies.set(name, tallyParts(whole === undefined ? rule : null, own, slice));
      row = slice.to;
    }
    await mkdir(path.dirname(file), { recursive: true });
    const staged = `${file}.${process.pid}.tmp`;
    await writeFile(staged, JSON.stringify(Object.fromEntries(tallies)));
    await rename(staged, file);
  }
  return rule.parts.map((_, part) =>
    addTallies(
      partitions.flatMap(({ whole, name }) => {
        const own = tallies.get(name)!;
        if (whole === undefined) return [own[part]!];
        return whole === part ? own : [];
      }),
      label?.valueType ?? null,
    ),
  );
}

/** The partitions that may have rows of the training part. */
function trainingEntries(rule: PartRule, entries: readonly PartitionEntry[]): readonly FilledEntry[] {
  const until = rule.by === 'time' ? rule.parts[trainIndex(rule)]!.until : null;
  return filled(entries).filter(({ from }) => until === null || from === null || parseInstant(from)! < until);
}

/** Equal for equal rows of the training part. */
export function trainingContent(
  rule: PartRule,
  entries: readonly PartitionEntry[],
  dataset: Dataset,
): Fingerprint {
  return fingerprint({
    features: [...dataset.features],
    label: dataset.label,
    rule:
      rule.by === 'time'
        ? { parts: rule.parts.slice(0, trainIndex(rule) + 1), horizon: rule.horizon }
        : { ...rule },
    rows: trainingEntries(rule, entries).map(({ logical_sha256 }) => logical_sha256),
  });
}

export interface TrainingRows {
  readonly columns: ReadonlyMap<string, Column>;
  readonly mask: Uint8Array;
  readonly rows: readonly number[];
}

/** Features and label of the rows of the training part, or where they are many of some of them. */
export async function trainingRows(
  store: OfflineStore,
  folder: string,
  given: {
    readonly definitions: Definitions;
    readonly dataset: Dataset;
    readonly rule: PartRule;
    readonly parts: readonly PartSummary[];
    readonly entries: readonly PartitionEntry[];
  },
): Promise<TrainingRows> {
  const { definitions, dataset, rule, parts, entries } = given;
  const train = trainIndex(rule);
  const total = parts[train]!.rows;
  let every = 1;
  if (total > ALL_ROWS) while (total / every > SAMPLE_ROWS) every *= 2;
  const columns = [
    AT,
    PLACE,
    ...dataset.features.map((name) => ({ name, type: definitions.features.get(name)!.valueType })),
    ...(dataset.label === null
      ? []
      : [{ name: dataset.label, type: definitions.labels.get(dataset.label)!.valueType }]),
  ];
  const meaning = fingerprint(columns.map(({ name, type }) => [name, printType(type)])).slice(0, 16);
  const found = await sampleColumns(store, path.join(folder, STATISTICS), {
    meaning,
    every,
    columns,
    parts: trainingEntries(rule, entries).map(({ sha256 }) => ({
      id: sha256,
      file: rowsObject(folder, sha256),
    })),
  });
  const at = found.get(AT_COLUMN)!;
  const place = found.get(PLACE_COLUMN)!;
  const mask = new Uint8Array(columnLength(at));
  const rows: number[] = [];
  for (let row = 0; row < mask.length; row++) {
    if (partIndex(rule, columnValue(at, row) as number, columnValue(place, row) as number) !== train)
      continue;
    mask[row] = 1;
    rows.push(row);
  }
  return { columns: found, mask, rows };
}

/** Every `every`-th row of some partitions. They are kept as a file, in place of that of before, which gives what it can. */
async function sampleColumns(
  store: OfflineStore,
  folder: string,
  sample: {
    readonly meaning: string;
    readonly every: number;
    readonly columns: readonly { readonly name: string; readonly type: ValueType }[];
    readonly parts: readonly { readonly id: string; readonly file: string }[];
  },
): Promise<ReadonlyMap<string, Column>> {
  const { meaning, every, parts, columns } = sample;
  await mkdir(folder, { recursive: true });
  const present = (await readdir(folder)).filter((name) => name.startsWith('sample-'));
  const usable = (step: number): string | undefined =>
    present.find((name) => name.startsWith(`sample-${meaning}-${step}-`));
  let step = every;
  while (step > 1 && usable(step) === undefined) step /= 2;
  const before = usable(step);
  const kept = before === undefined ? null : path.join(folder, before);
  // A name used once: DuckDB remembers the statistics of a file by its name and the second of its change.
  const name = `${meaning}-${every}-${randomUUID()}.parquet`;
  const staged = path.join(folder, name);
  const wanted = { columns: columns.map((column) => column.name), every };
  try {
    await store.sampleRows(parts, { ...wanted, kept }, staged).catch((error: unknown) => {
      // Another build may have taken it away.
      if (kept === null || existsSync(kept)) throw error;
      return store.sampleRows(parts, { ...wanted, kept: null }, staged);
    });
    const found = await store.readColumns(staged, columns);
    const handle = await open(staged, 'r+');
    await handle.sync();
    await handle.close();
    await rename(staged, path.join(folder, `sample-${name}`));
    for (const other of present) await rm(path.join(folder, other), { force: true });
    return found;
  } finally {
    await rm(staged, { force: true });
  }
}
