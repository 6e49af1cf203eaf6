/** What applying is given and what it counts. */
import type { Instant } from '../../base/time.js';
import type { Value } from '../../schema/types.js';

/** A record of the log, as `LogRecord` of the record log. */
export interface AppliedRecord {
  readonly fields: Readonly<Record<string, Value>>;
  readonly eventTime: Instant;
  readonly availableAt: Instant;
  readonly order: number;
  readonly seq: number;
  readonly deleted: boolean;
  /** False: known to be the first of its record key. Otherwise earlier versions are looked for. */
  readonly version?: boolean;
}

/** Bytes by key inside one transaction. What `get` gives is valid until the next call only; `put` copies. */
export interface Bytes {
  get(key: Uint8Array): Uint8Array | undefined;
  put(key: Uint8Array, value: Uint8Array): void;
  remove(key: Uint8Array): void;
}

/** Events before this instant, and known by it, were forgotten (`expireEntity`). Null: nothing was. */
export type Floor = Instant | null;

export interface Counts {
  entities: number;
  events: number;
  bytes: number;
}
