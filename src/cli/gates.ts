/** What closed gates say. */
import { MillraceError } from '../core/base/error.js';
import type { MonitorResult } from '../services/monitor.js';
import type { PromotionResult } from '../services/promote.js';
import type { ReplayResult } from '../services/replay.js';
import type { VerifyResult } from '../services/verify.js';

export const parityError = (result: VerifyResult): MillraceError =>
  new MillraceError(
    'PARITY',
    `${result.differing} of ${result.checked} values differ between offline and online`,
    {
      hint: 'Rebuild the online store with `millrace materialize --rebuild`; if they still differ, please report it.',
    },
  );

export const replayError = (result: ReplayResult): MillraceError =>
  new MillraceError(
    'PARITY',
    `${result.different} of ${result.predictions} logged vectors are not what their definitions give: ${Object.entries(
      result.causes,
    )
      .map(([cause, n]) => `${cause} ${n}`)
      .join(', ')}`,
    {
      hint: 'The examples name features and causes; a changed definition explains itself, anything else please report.',
    },
  );

export function promotionError({ model, version, previous, reason }: PromotionResult): MillraceError {
  const stands = previous === version;
  return new MillraceError(
    'PROMOTION_REFUSED',
    `${model}@${version} ${stands ? 'is the champion and does not pass its gate' : 'is not promoted'}: ${reason}`,
    {
      hint: stands
        ? `It serves on. Train another, or go back: \`millrace rollback ${model}\`.`
        : `See \`millrace models compare ${model}@${version}\`; \`millrace promote --force\` goes past the gate and says so in the history.`,
    },
  );
}

export const driftError = (results: readonly MonitorResult[]): MillraceError =>
  new MillraceError(
    'DRIFT',
    results.flatMap((result) => result.alerts.map((alert) => `${result.monitor}: ${alert}`)).join('; '),
    {
      hint: 'Look at the report; retrain with `millrace run` once the data are right.',
    },
  );
