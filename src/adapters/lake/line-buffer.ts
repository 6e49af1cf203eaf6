const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const ZERO = 0x30;
const MINUS = 0x2d;
const FIRST_BYTES = 64 * 1024;
/** A buffer that one large push made is not kept. */
const KEPT_BYTES = 4 * 2 ** 20;

/** JSON text as bytes, written piece by piece into one growing buffer: no string is made for a line. */
export class LineBuffer {
  #bytes = Buffer.allocUnsafe(FIRST_BYTES);
  length = 0;
  /** The integer of ten and more digits written last, and where it stands: times come two and three in a line. */
  #known = 0;
  #knownAt = 0;
  #knownDigits = 0;

  /** What was written; valid until the next change. */
  get bytes(): Buffer {
    return this.#bytes.subarray(0, this.length);
  }

  clear(): void {
    this.rewind(0);
    if (this.#bytes.length > KEPT_BYTES) this.#bytes = Buffer.allocUnsafe(FIRST_BYTES);
  }

  /** Takes back what was written after `length`. */
  rewind(length: number): void {
    this.length = length;
    this.#known = 0;
  }

  #room(more: number): void {
    if (this.length + more <= this.#bytes.length) return;
    const larger = Buffer.allocUnsafe(Math.max(this.#bytes.length * 2, this.length + more));
    this.#bytes.copy(larger, 0, 0, this.length);
    this.#bytes = larger;
  }

  raw(piece: Uint8Array): void {
    this.#room(piece.length);
    const bytes = this.#bytes;
    const at = this.length;
    for (let i = 0; i < piece.length; i++) bytes[at + i] = piece[i]!;
    this.length = at + piece.length;
  }

  /** A safe integer. */
  integer(value: number): void {
    this.#room(17);
    let rest = value;
    if (rest < 0) {
      this.#bytes[this.length++] = MINUS;
      rest = -rest;
    }
    if (rest < 1e9) {
      this.#digits(rest, 1);
      return;
    }
    const start = this.length;
    if (rest === this.#known) {
      const bytes = this.#bytes;
      const from = this.#knownAt;
      for (let i = 0; i < this.#knownDigits; i++) bytes[start + i] = bytes[from + i]!;
      this.length = start + this.#knownDigits;
      return;
    }
    const high = Math.floor(rest / 1e9);
    this.#digits(high, 1);
    this.#digits(rest - high * 1e9, 9);
    this.#known = rest;
    this.#knownAt = start;
    this.#knownDigits = this.length - start;
  }

  /** An integer below 10^9, with zeros before it up to a width. */
  #digits(value: number, width: number): void {
    let digits = width;
    for (let limit = 10 ** digits; digits < 9 && value >= limit; limit *= 10) digits++;
    const bytes = this.#bytes;
    let rest = value | 0;
    for (let at = this.length + digits - 1; at >= this.length; at--) {
      const tenth = (rest / 10) | 0;
      bytes[at] = ZERO + rest - tenth * 10;
      rest = tenth;
    }
    this.length += digits;
  }

  /** Digits, signs and names of ASCII. */
  ascii(text: string): void {
    this.#room(text.length);
    const bytes = this.#bytes;
    const at = this.length;
    for (let i = 0; i < text.length; i++) bytes[at + i] = text.charCodeAt(i);
    this.length = at + text.length;
  }

  /** A JSON string with its quotes. */
  quoted(text: string): void {
    const units = text.length;
    this.#room(units + 2);
    const bytes = this.#bytes;
    let at = this.length;
    bytes[at++] = QUOTE;
    for (let i = 0; i < units; i++) {
      const unit = text.charCodeAt(i);
      if (unit < 0x20 || unit > 0x7e || unit === QUOTE || unit === BACKSLASH) {
        this.#escaped(text);
        return;
      }
      bytes[at++] = unit;
    }
    bytes[at++] = QUOTE;
    this.length = at;
  }

  #escaped(text: string): void {
    const json = JSON.stringify(text);
    this.#room(3 * json.length);
    this.length += this.#bytes.write(json, this.length, 'utf8');
  }
}
