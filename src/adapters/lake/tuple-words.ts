import type { Value } from '../../core/schema/types.js';

/** Kinds of values in a message. Texts and vectors are followed by their length, so that no tuple begins another. */
const KIND = { null: 0, number: 1, bigint: 2, true: 3, false: 4, text: 5, vector: 6 } as const;

/**
 * A typed tuple as 32-bit words, for hashing: two tuples have the same words only when they are equal. Integers are
 * expected in their narrowest form (a number when it is safe), as values always are.
 */
export class TupleWords {
  words = new Int32Array(256);
  length = 0;
  readonly #double = new Float64Array(1);
  readonly #long = new BigInt64Array(this.#double.buffer);
  readonly #halves = new Int32Array(this.#double.buffer);

  clear(): void {
    this.length = 0;
  }

  #room(more: number): void {
    if (this.length + more <= this.words.length) return;
    const larger = new Int32Array(2 ** Math.ceil(Math.log2(this.length + more)));
    larger.set(this.words.subarray(0, this.length));
    this.words = larger;
  }

  add(value: Value): void {
    if (typeof value === 'number') this.number(value);
    else if (typeof value === 'string') this.#text(value);
    else if (value === null) this.#kind(KIND.null);
    else if (typeof value === 'boolean') this.#kind(value ? KIND.true : KIND.false);
    else if (typeof value === 'bigint') {
      this.#long[0] = value;
      this.#pair(KIND.bigint);
    } else {
      const items = value as readonly number[];
      this.#room(2);
      this.words[this.length++] = KIND.vector;
      this.words[this.length++] = items.length;
      for (const item of items) this.number(item);
    }
  }

  number(value: number): void {
    this.#double[0] = value;
    this.#pair(KIND.number);
  }

  #kind(kind: number): void {
    this.#room(1);
    this.words[this.length++] = kind;
  }

  #pair(kind: number): void {
    this.#room(3);
    const { words, length } = this;
    words[length] = kind;
    words[length + 1] = this.#halves[0]!;
    words[length + 2] = this.#halves[1]!;
    this.length = length + 3;
  }

  /** Two UTF-16 units a word. */
  #text(text: string): void {
    const units = text.length;
    this.#room(3 + (units >> 1));
    const { words } = this;
    let at = this.length;
    words[at++] = KIND.text;
    words[at++] = units;
    let i = 0;
    for (; i + 1 < units; i += 2) words[at++] = text.charCodeAt(i) | (text.charCodeAt(i + 1) << 16);
    if (i < units) words[at++] = text.charCodeAt(i);
    this.length = at;
  }
}
