import { closeSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { type NewQuarantinedRow, type PrintedQuarantinedRow, toJsonText } from '../ledger.js';

const READ_BYTES = 1 << 20;
const WRITE_CHARACTERS = 1 << 18;

/** Refused rows on their way from the file to the ledger: printed, in a file, so that they take no memory. */
export class RefusedRows {
  readonly #descriptor: number;
  #waiting: string[] = [];
  #characters = 0;
  #bytes = 0;
  fresh = 0;
  again = 0;

  constructor(readonly path: string) {
    this.#descriptor = openSync(path, 'w+');
  }

  /** `again`: the ledger holds the row already. */
  add(row: NewQuarantinedRow, again: boolean): void {
    if (again) this.again++;
    else this.fresh++;
    const text = `${again ? 'a' : 'f'}\n${toJsonText([row.file, row.line, row.digest])}\n${toJsonText(row.row)}\n${toJsonText(row.reasons)}\n`;
    this.#waiting.push(text);
    this.#characters += text.length;
    if (this.#characters >= WRITE_CHARACTERS) this.#flush();
  }

  #flush(): void {
    const bytes = Buffer.from(this.#waiting.join(''), 'utf8');
    for (let done = 0; done < bytes.length; )
      done += writeSync(this.#descriptor, bytes, done, bytes.length - done, this.#bytes + done);
    this.#bytes += bytes.length;
    this.#waiting = [];
    this.#characters = 0;
  }

  /** The rows in the order in which they came: those that the ledger holds, or the others. */
  *rows(again: boolean): Generator<PrintedQuarantinedRow> {
    this.#flush();
    const lines = this.#lines();
    for (;;) {
      const kind = lines.next();
      if (kind.done) return;
      const [place, row, reasons] = [lines.next().value!, lines.next().value!, lines.next().value!];
      if ((kind.value === 'a') !== again) continue;
      const [file, line, digest] = JSON.parse(place) as [string | null, number, string];
      yield { file, line, digest, rowText: row, reasonsText: reasons };
    }
  }

  *#lines(): Generator<string, undefined> {
    let rest: Buffer = Buffer.alloc(0);
    for (let at = 0; at < this.#bytes; ) {
      const block = Buffer.alloc(Math.min(READ_BYTES, this.#bytes - at));
      const read = readSync(this.#descriptor, block, 0, block.length, at);
      at += read;
      const bytes =
        rest.length === 0 ? block.subarray(0, read) : Buffer.concat([rest, block.subarray(0, read)]);
      let from = 0;
      for (let end = bytes.indexOf(10); end >= 0; end = bytes.indexOf(10, from)) {
        yield bytes.toString('utf8', from, end);
        from = end + 1;
      }
      rest = bytes.subarray(from);
    }
    return undefined;
  }

  close(): void {
    closeSync(this.#descriptor);
    rmSync(this.path, { force: true });
  }
}
