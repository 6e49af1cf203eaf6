import type { PromotionResult } from './promote.js';

/** The version did not pass its gate and was not put past it by force: the command ends with 3. */
export const gateRefused = ({ promoted, passed }: Pick<PromotionResult, 'promoted' | 'passed'>): boolean =>
  !promoted && !passed;
