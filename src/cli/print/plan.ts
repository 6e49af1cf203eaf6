import type { DefinitionChange } from '../../core/plan/definition-changes.js';
import type { Plan, Promotion } from '../../core/plan/plan.js';
import type { Io } from '../io.js';
import { printChanges } from './changes.js';
import { count, table } from './table.js';

const mebibytes = (bytes: number): string => (bytes === 0 ? '-' : `${(bytes / 2 ** 20).toFixed(1)} MiB`);

const seconds = (value: number | null): string =>
  value === null ? 'unknown' : value < 10 ? `${value.toFixed(1)} s` : `${Math.round(value)} s`;

function outcomeOf({ model, version, champion }: Promotion): string {
  if (version !== null && version === champion)
    return `version ${version}, the champion, is judged by its gate again`;
  const what = version === null ? 'the new version' : `version ${version}`;
  return `${what} ${champion === null ? 'becomes the champion' : `retires ${model}@${champion}`} if it passes its gate`;
}

export function printPlan(io: Io, plan: Plan): void {
  // Many things may read one that has changed: they stand on one line.
  const alike = new Map<string, { readonly things: string[]; readonly of: DefinitionChange }>();
  for (const change of plan.changes) {
    const known = alike.get(`${change.class} ${change.what}`);
    if (known) known.things.push(change.thing);
    else alike.set(`${change.class} ${change.what}`, { things: [change.thing], of: change });
  }
  for (const { things, of } of alike.values()) io.print(`${of.class}: ${things.join(', ')} ${of.what}`);
  for (const { source, from, to, ...diff } of plan.contracts) {
    io.print(`contract of ${source}: ${diff.class}, ${from} → ${to}`);
    printChanges({ print: (line = '') => io.print(`  ${line}`) }, diff.changes);
  }
  if (plan.steps.length === 0) {
    io.print(`nothing to do: ${plan.fresh.length} assets are up to date`);
    return;
  }
  io.print(
    table(
      ['step', 'asset', 'certainty', 'why', 'read', 'rows', 'time'],
      plan.steps.map((step) => [
        step.action,
        step.asset,
        step.certainty === 'stale' ? 'will run' : 'if changed',
        step.reason,
        mebibytes(step.bytes),
        step.expected.rows === null ? '-' : count(step.expected.rows),
        seconds(step.expected.seconds),
      ]),
    ),
  );
  const { cost } = plan;
  io.print(
    `expected: ${cost.unknown === plan.steps.length ? 'unknown, none of it has run before' : `about ${seconds(cost.seconds)}${cost.unknown > 0 ? `, and ${cost.unknown} ${cost.unknown === 1 ? 'step' : 'steps'} that never ran` : ''}`}`,
  );
  for (const promotion of plan.promotions) io.print(`${promotion.model}: ${outcomeOf(promotion)}`);
  if (plan.fresh.length > 0) io.print(`up to date: ${plan.fresh.join(', ')}`);
}
