/** The prediction log as one append-only NDJSON file a service; a line torn by a crash is cut off at the next open. */
import { createReadStream, existsSync } from 'node:fs';
import { type FileHandle, mkdir, open } from 'node:fs/promises';
import path from 'node:path';
import { createInterface } from 'node:readline';
import type { LoggedOutcome, LoggedPrediction, PredictionLog } from '../../ports/prediction-log.js';

/** Appends lines with group commit: calls that come while a write is under way share the next one. */
class LineFile {
  private handle: FileHandle | undefined;
  private waiting: { text: string; done: () => void; failed: (error: unknown) => void }[] = [];
  private writing = false;
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
    await handle.truncate(await endOfLastLine(handle, size));
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
        await handle.appendFile(batch.map((item) => item.text).join(''));
        await handle.datasync();
        for (const item of batch) item.done();
      } catch (error) {
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

/** The offset just after the last newline: what follows was torn by a crash. */
async function endOfLastLine(handle: FileHandle, size: number): Promise<number> {
  const chunk = Buffer.alloc(65_536);
  for (let end = size; end > 0; ) {
    const start = Math.max(0, end - chunk.length);
    const { bytesRead } = await handle.read(chunk, 0, end - start, start);
    const at = chunk.subarray(0, bytesRead).lastIndexOf(10);
    if (at >= 0) return start + at + 1;
    end = start;
  }
  return 0;
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
