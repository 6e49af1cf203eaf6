import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fingerprint } from '../../core/base/fingerprint.js';
import type { Source } from '../../core/define/types.js';
import { makeFolder, publishFile } from '../files/durable.js';
import { newSipKey, type SipKey } from './siphash.js';
import { type Found, mergeRuns, VersionRun, writeRun } from './version-run.js';
import { DIGEST_WORDS, type Digest, isLater, VersionTable } from './version-table.js';

/** What the log holds of a record already. */
export type Familiarity = 'new' | 'version' | 'duplicate';

/** Rows of the table in memory that become a file. */
const TABLE_ROWS = 262_144;
/** Files of about one size that become one. */
const FAN_IN = 4;

interface Manifest {
  readonly shape: string;
  readonly key: readonly number[];
  /** Records through this seq are in the runs. */
  readonly position: number;
  /** Oldest first. */
  readonly runs: readonly { readonly file: string; readonly entries: number }[];
}

/** Runs whose sizes lie between the same powers of FAN_IN belong together. */
const tierOf = (entries: number): number =>
  Math.max(0, Math.floor(Math.log(entries / TABLE_ROWS) / Math.log(FAN_IN) + 0.5));

/**
 * The versions of one source's records, by digests of key and content: a table of the newest in memory and sorted
 * files of the others, merged as they grow. It is a cache of the log. A file is named by the manifest only after it
 * is on the disk, so after any stop the index is that of an earlier position, and `position` says which.
 */
export class VersionIndex {
  #table = new VersionTable();
  /** Full tables on their way to files, oldest first. */
  #frozen: { readonly table: VersionTable; readonly position: number }[] = [];
  #runs: VersionRun[] = [];
  #position = 0;
  #written = 0;
  #work: Promise<void> = Promise.resolve();
  #failure: unknown;
  readonly #shape: string;
  readonly #lastOnly: boolean;
  readonly #found: Found = { availableAt: 0, order: 0, content: new Int32Array(DIGEST_WORDS) };
  #files = 0;
  /** The key of all digests in this index, made at random: nobody outside can make two records collide. */
  key: SipKey;

  private constructor(
    readonly folder: string,
    source: Source,
  ) {
    this.#lastOnly = source.availableAt.kind === 'append';
    this.#shape = fingerprint([
      'siphash-1-3-128',
      source.fields.map((field) => [field.name, JSON.stringify(field.type)]),
      [...source.recordKey],
      source.eventTime,
      { ...source.availableAt },
      source.deleted ?? null,
      source.sequence ?? null,
    ]);
    this.key = newSipKey();
  }

  static open(folder: string, source: Source): VersionIndex {
    const index = new VersionIndex(folder, source);
    makeFolder(folder);
    const manifest = readManifest(join(folder, 'index.json'));
    if (manifest?.shape === index.#shape) {
      index.key = Int32Array.from(manifest.key);
      for (const { file, entries } of manifest.runs) {
        const run = VersionRun.open(join(folder, file), entries);
        if (run) index.#runs.push(run);
      }
      index.#position = index.#written = manifest.position;
      if (index.#runs.length < manifest.runs.length) index.clear();
    }
    const held = new Set(index.#runs.map((run) => run.file));
    for (const name of readdirSync(folder))
      if (name.endsWith('.run') && !held.has(join(folder, name))) rmSync(join(folder, name), { force: true });
    return index;
  }

  /** Records through this seq are in the index, those included that are still on their way to the log. */
  get position(): number {
    return this.#position;
  }

  /** True when the table in memory should become a file soon. */
  get full(): boolean {
    return this.#table.size >= TABLE_ROWS;
  }

  /**
   * A delivery is a duplicate when it says nothing new: equal in content to any version of its key, or, where
   * availability is the instant of the append, to the one that is known last.
   */
  look(key: Digest, content: Digest): Familiarity {
    return this.#lastOnly ? this.#lookLast(key, content) : this.#lookAny(key, content);
  }

  #lookAny(key: Digest, content: Digest): Familiarity {
    let familiar: Familiarity = 'new';
    for (let i = this.#frozen.length; i >= 0; i--) {
      const table = i === this.#frozen.length ? this.#table : this.#frozen[i]!.table;
      for (let row = table.newest(key); row >= 0; row = table.before(row)) {
        if (table.sameContent(row, content)) return 'duplicate';
        familiar = 'version';
      }
    }
    const found = this.#found;
    for (let i = this.#runs.length - 1; i >= 0; i--) {
      const run = this.#runs[i]!;
      if (!run.find(key, NO_CONTENT, found)) continue;
      familiar = 'version';
      if (sameDigest(found.content, content)) return 'duplicate';
      if (run.find(key, content, found) && sameDigest(found.content, content)) return 'duplicate';
    }
    return familiar;
  }

  #lookLast(key: Digest, content: Digest): Familiarity {
    let familiar: Familiarity = 'new';
    let availableAt = 0;
    let order = 0;
    let same = false;
    for (let i = this.#frozen.length; i >= 0; i--) {
      const table = i === this.#frozen.length ? this.#table : this.#frozen[i]!.table;
      const newest = table.newest(key);
      if (newest < 0) continue;
      const row = table.last(newest);
      const [at, by] = [table.clocks[row * 3]!, table.clocks[row * 3 + 1]!];
      if (familiar !== 'new' && !isLater(at, by, availableAt, order)) continue;
      familiar = 'version';
      [availableAt, order] = [at, by];
      same = table.sameContent(row, content);
    }
    const found = this.#found;
    for (let i = this.#runs.length - 1; i >= 0; i--) {
      if (!this.#runs[i]!.find(key, NO_CONTENT, found)) continue;
      if (familiar !== 'new' && !isLater(found.availableAt, found.order, availableAt, order)) continue;
      familiar = 'version';
      ({ availableAt, order } = found);
      same = sameDigest(found.content, content);
    }
    return same ? 'duplicate' : familiar;
  }

  /** One more version; seqs ascend. */
  add(key: Digest, content: Digest, availableAt: number, order: number, seq: number): void {
    this.#table.add(key, content, availableAt, order, seq);
    this.#position = seq;
  }

  /** The log did not take the records beyond this seq. Not before the last `freeze`. */
  truncate(seq: number): void {
    this.#table.truncate(seq);
    this.#position = Math.min(this.#position, seq);
  }

  /** Lets the table become a file, in the background. All of its records must be durable in the log. */
  freeze(): void {
    if (this.#table.size === 0) return;
    this.#frozen.push({ table: this.#table, position: this.#position });
    this.#table = new VersionTable();
    this.#work = this.#work.then(() => this.#write());
  }

  /** Waits until all frozen tables are files. What could not be written stays in memory; the next call tries again. */
  async flush(): Promise<void> {
    if (this.#failure !== undefined) this.#work = this.#work.then(() => this.#write());
    await this.#work;
  }

  async #write(): Promise<void> {
    this.#failure = undefined;
    try {
      while (this.#frozen.length > 0) {
        const { table, position } = this.#frozen[0]!;
        const run = await writeRun(this.#newFile(), table, this.#lastOnly);
        this.#runs.push(run);
        this.#frozen.shift();
        this.#written = position;
        this.#publish();
      }
      for (let tier = this.#crowded(); tier !== undefined; tier = this.#crowded()) {
        const [from, to] = tier;
        const old = this.#runs.slice(from, to);
        const merged = await mergeRuns(this.#newFile(), old, this.#lastOnly);
        this.#runs = [...this.#runs.slice(0, from), merged, ...this.#runs.slice(to)];
        this.#publish();
        for (const run of old) run.remove();
      }
    } catch (error) {
      // The index is a cache: what is not written now is read from the log by whoever opens it next.
      this.#failure = error;
    }
  }

  /** The youngest FAN_IN neighbours of one tier. A run counts as large as any that is younger. */
  #crowded(): readonly [number, number] | undefined {
    const tiers = this.#runs.map((run) => tierOf(run.entries));
    for (let i = tiers.length - 2; i >= 0; i--) tiers[i] = Math.max(tiers[i]!, tiers[i + 1]!);
    for (let to = tiers.length; to >= FAN_IN; to--)
      if (tiers[to - FAN_IN] === tiers[to - 1]) return [to - FAN_IN, to];
    return undefined;
  }

  #newFile(): string {
    this.#files++;
    return join(this.folder, `${Date.now().toString(36)}-${process.pid}-${this.#files}.run`);
  }

  #publish(): void {
    const manifest: Manifest = {
      shape: this.#shape,
      key: [...this.key],
      position: this.#written,
      runs: this.#runs.map((run) => ({ file: run.file.slice(this.folder.length + 1), entries: run.entries })),
    };
    const file = join(this.folder, 'index.json');
    writeFileSync(`${file}.tmp`, JSON.stringify(manifest));
    publishFile(`${file}.tmp`, file);
  }

  /** Forgets everything: the log is shorter than the index believed, or a file is damaged. */
  clear(): void {
    rmSync(join(this.folder, 'index.json'), { force: true });
    for (const run of this.#runs) run.remove();
    this.#runs = [];
    this.#frozen = [];
    this.#table = new VersionTable();
    this.#position = this.#written = 0;
  }

  async close(): Promise<void> {
    await this.flush();
    for (const run of this.#runs) run.close();
  }
}

const NO_CONTENT: Digest = new Int32Array(DIGEST_WORDS);

const sameDigest = (a: Digest, b: Digest): boolean =>
  a[0] === b[0] && a[1] === b[1] && a[2] === b[2] && a[3] === b[3];

function readManifest(file: string): Manifest | undefined {
  if (!existsSync(file)) return undefined;
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Manifest;
  } catch {
    return undefined;
  }
}
