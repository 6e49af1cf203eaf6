/** Whether a plan may be done without asking. */
import type { Settings } from '../define/types.js';
import type { Cost } from './estimate.js';

export type RunPolicy = Settings['policy'];

/** Why the plan has to be approved; null when it need not be. What never ran costs nothing here: its cost is not known. */
export function approvalReason(cost: Cost, policy: RunPolicy): string | null {
  if (policy.run === 'ask') return 'the policy is `ask`';
  const { seconds, rows } = policy.budget;
  if (seconds !== undefined && cost.seconds > seconds)
    return `about ${Math.ceil(cost.seconds)} s are expected and the budget is ${seconds} s`;
  if (rows !== undefined && cost.rows > rows)
    return `about ${cost.rows} rows are expected and the budget is ${rows} rows`;
  return null;
}
