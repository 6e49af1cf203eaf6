/** What happens to pushed records, whichever way the request came in. */
import type { ServerResponse } from 'node:http';
import { MillraceError } from '../core/base/error.js';
import { findSource, pushRecords } from '../services/follow.js';
import type { Context } from './context.js';
import { recordsOf } from './json.js';

/** Before the body is read: what cannot be taken is not read either. OVERLOADED. */
export function admitPush(context: Context, response: ServerResponse, bytes: number): void {
  const { inFlight, limits, metrics } = context;
  if (
    inFlight.pushes >= limits.pushes ||
    (inFlight.pushes > 0 && inFlight.pushBytes + bytes > limits.pushBytes)
  ) {
    metrics.refused('in_flight');
    throw new MillraceError('OVERLOADED', `${inFlight.pushes} pushes are under way`);
  }
  inFlight.pushes++;
  inFlight.pushBytes += bytes;
  response.once('close', () => {
    inFlight.pushes--;
    inFlight.pushBytes -= bytes;
  });
}

/** The answer as JSON. */
export async function answerPush(context: Context, name: string, body: unknown): Promise<string> {
  const { follower, metrics, project, transforms } = context;
  findSource(project, name);
  const rows = recordsOf(body);
  context.requireWriter();
  const result = await pushRecords(project, follower, name, rows);
  metrics.pushed(result);
  await transforms.follow(name, result);
  const { source: _, rows: __, ...answer } = result;
  return JSON.stringify(answer);
}
