/** Systems that are asked for their rows: a source's rows come as a file, which ingest reads as any other. */
import type { Source } from '../core/define/types.js';

export interface Pulled {
  readonly rows: number;
  /** The greatest value of the cursor, as text; the one given when there was none. Null: the source has no cursor. */
  readonly cursor: string | null;
}

export interface Puller {
  /**
   * Writes the rows whose cursor is at or after `after` less the overlap (null: all rows) to `file`, in the cursor's
   * order. SOURCE_UNREACHABLE after its retries, SOURCE_REFUSED, INTERRUPTED; the file is then not to be used.
   */
  pull(
    source: Source,
    after: string | null,
    file: string,
    options: { readonly signal: AbortSignal; onRetry(error: Error, attempt: number): void },
  ): Promise<Pulled>;
}
