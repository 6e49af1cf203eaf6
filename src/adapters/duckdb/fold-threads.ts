/**
 * Columns of a file that can be read column by column, shared out among threads: each reads its own through a DuckDB of
 * its own, so that no value passes between them. What a column comes to does not depend on who reads it.
 */
import type { ErrorCode } from '../../core/base/catalogue.js';
import { MillraceError } from '../../core/base/error.js';
import { startModule } from '../../thread.js';
import { type Fold, type Folded, foldColumns, isText, type ReadColumn, TOGETHER_MB } from './column-fold.js';
import type { DuckDbConnection } from './connection.js';

/** Values that are worth a thread: to start one costs as much as to take in some millions. */
const VALUES_A_THREAD = 12_000_000;

export interface FoldJob {
  readonly fold: Fold;
  readonly temporaryDirectory: string;
}

export type FoldAnswer =
  | { readonly folded: Folded }
  | { readonly failure: { readonly code: ErrorCode | null; readonly message: string } };

/** How many threads, this one included, so many values are for. */
export const threadsFor = (values: number, cores: number): number =>
  Math.max(1, Math.min(cores, Math.floor(values / VALUES_A_THREAD)));

/** Places of the columns by thread: texts first, which take about twice as long; the first of them stays here. */
function shareOut(columns: readonly ReadColumn[], threads: number): readonly (readonly number[])[] {
  const shares = Array.from({ length: Math.min(threads, columns.length) }, () => [] as number[]);
  const work = shares.map(() => 0);
  const weight = (place: number): number => (isText(columns[place]!) ? 2 : 1);
  for (const place of [...columns.keys()].sort((a, b) => weight(b) - weight(a) || a - b)) {
    const least = work.indexOf(Math.min(...work));
    shares[least]!.push(place);
    work[least]! += weight(place);
  }
  return shares;
}

function foldAside(job: FoldJob): Promise<Folded> {
  const worker = startModule(new URL('./fold-worker.js', import.meta.url), job);
  return new Promise((resolve, reject) => {
    let answer: FoldAnswer | undefined;
    worker.once('message', (told: FoldAnswer) => {
      answer = told;
    });
    worker.once('error', reject);
    worker.once('exit', (status) => {
      if (answer === undefined) reject(new Error(`a thread that reads columns ended with status ${status}`));
      else if ('folded' in answer) resolve(answer.folded);
      else {
        const { code, message } = answer.failure;
        reject(code === null ? new Error(message) : new MillraceError(code, message));
      }
    });
  });
}

/** Like `foldColumns`, to the bit, by so many threads at the most. */
export async function foldOnThreads(
  db: DuckDbConnection,
  { from, columns }: Fold,
  threads: number,
  temporaryDirectory: string,
): Promise<Folded> {
  const shares = shareOut(columns, threads);
  const room = TOGETHER_MB / shares.length;
  const folds = shares.map((places) => ({ from, columns: places.map((place) => columns[place]!), room }));
  // Nobody leaves before all have ended: they read the same file.
  const settled = await Promise.allSettled(
    folds.map(async (fold, i) =>
      i === 0 ? (await foldColumns(db, fold))! : foldAside({ fold, temporaryDirectory }),
    ),
  );
  const folded = settled.map((one) => {
    if (one.status === 'rejected') throw one.reason;
    return one.value;
  });
  const taken = columns.map((_, place) => {
    const thread = shares.findIndex((places) => places.includes(place));
    return folded[thread]!.taken[shares[thread]!.indexOf(place)]!;
  });
  return { rows: folded[0]!.rows, taken };
}
