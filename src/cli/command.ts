import type { Io } from './io.js';

/** Options by their names in camel case: text, a list of texts, or true. */
export type Options = Readonly<Record<string, unknown>>;

/** What a file of commands/ exports: decode, one use case, encode; the value is the exit status. */
export type Command = (io: Io, args: readonly string[], options: Options) => Promise<number>;
