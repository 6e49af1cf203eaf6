/**
 * The prediction log as one append-only NDJSON file a service. Several processes may append: nothing is ever cut. What
 * a crash tore is ended by a line break before the next write, and readers pass over lines that are no JSON.
 */
import { createReadStream, existsSync } from 'node:fs';
import { type FileHandle, mkdir, open } from 'node:fs/promises';
import path from 'node:path';
import { createInterface } from 'node:readline';
import type { LoggedOutcome, LoggedPrediction, PredictionLog } from '../../ports/prediction-log.js';

const NEWLINE = 10;

/** Appends lines with group commit: calls that come while a write is under way share the next one. */
class LineFile {
  private handle: FileHandle | undefined;
  private waiting: { text: string; done: () => void; failed: (error: unknown) => void }[] = [];
  private writing = false;
  /** The file may end in the middle of a line. */
  private torn = false;
  constructor(private readonly file: string) {}

  append(text: string): Promise<void> {
    return new Promise((done, failed) => {
      this.waiting.push({ text, done, failed });
      if (!this.writing) void this.drain();
    });
  }

  private async openFile(): Promise<FileHandle> {
    if (this.handle) return this.handle;
    await mkdir(path.dirname(this.file), { recursive: true });
    const handle = await open(this.file, 'a+');
    const { size } = await handle.stat();
    const last = Buffer.alloc(1);
    if (size > 0) await handle.read(last, 0, 1, size - 1);
    this.torn = size > 0 && last[0] !== NEWLINE;
    this.handle = handle;
    return handle;
  }

  private async drain(): Promise<void> {
    this.writing = true;
    while (this.waiting.length > 0) {
      const batch = this.waiting;
      this.waiting = [];
      try {
        const handle = await this.openFile();
        await handle.appendFile((this.torn ? '\n' : '') + batch.map((item) => item.text).join(''));
        this.torn = false;
        await handle.datasync();
        for (const item of batch) item.done();
      } catch (error) {
        this.torn = true;
        for (const item of batch) item.failed(error);
      }
    }
    this.writing = false;
  }

  async close(): Promise<void> {
    await this.handle?.close();
    this.handle = undefined;
  }
}

async function* readLines<T>(file: string): AsyncIterable<T> {
  if (!existsSync(file)) return;
  const lines = createInterface({
    input: createReadStream(file, 'utf8'),
    crlfDelay: Number.POSITIVE_INFINITY,
  });
  for await (const line of lines) {
    if (line === '') continue;
    let record: T;
    try {
      record = JSON.parse(line) as T;
    } catch {
      continue;
    }
    yield record;
  }
}

export function openPredictionLog(folder: string): PredictionLog {
  const files = new Map<string, LineFile>();
  const fileOf = (service: string, kind: string): string => path.join(folder, service, `${kind}.ndjson`);
  const lineFile = (service: string, kind: string): LineFile => {
    const name = fileOf(service, kind);
    let file = files.get(name);
    if (!file) {
      file = new LineFile(name);
      files.set(name, file);
    }
    return file;
  };
  const write = async (service: string, kind: string, records: readonly object[]): Promise<void> => {
    for (let i = 0; i < records.length; i += 5_000)
      await lineFile(service, kind).append(
        records
          .slice(i, i + 5_000)
          .map((record) => `${JSON.stringify(record)}\n`)
          .join(''),
      );
  };
  return {
    append: (service, predictions) => write(service, 'predictions', predictions),
    appendOutcomes: (service, outcomes) => write(service, 'outcomes', outcomes),
    async *predictions(service, filter = {}) {
      for await (const record of readLines<LoggedPrediction>(fileOf(service, 'predictions'))) {
        if (filter.since !== undefined && record.as_of < filter.since) continue;
        if (filter.until !== undefined && record.as_of >= filter.until) continue;
        if (filter.origin !== undefined && record.origin !== filter.origin) continue;
        yield record;
      }
    },
    async outcomes(service) {
      const latest = new Map<string, LoggedOutcome>();
      for await (const record of readLines<LoggedOutcome>(fileOf(service, 'outcomes')))
        latest.set(record.prediction_id, record);
      return latest;
    },
    async close() {
      for (const file of files.values()) await file.close();
      files.clear();
    },
  };
}
