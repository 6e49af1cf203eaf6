import { printInstant, printOptionalInstant } from '../../core/base/time.js';
import type { RunDetail } from '../../ports/run-store.js';

export const elapsed = ({ startedAt, endedAt }: RunDetail): string =>
  endedAt === null ? '-' : `${((endedAt - startedAt) / 1e6).toFixed(1)} s`;

/** A run whose process has gone is not running, whatever the table says. */
export const statusOf = (run: RunDetail): string =>
  run.status !== 'running'
    ? run.status
    : run.alive
      ? run.cancelling
        ? 'cancelling'
        : 'running'
      : 'left behind';

export const runJson = ({ startedAt, endedAt, ...run }: RunDetail): Record<string, unknown> => ({
  ...run,
  started_at: printInstant(startedAt),
  ended_at: printOptionalInstant(endedAt),
});
