import { printInstant, printOptionalInstant } from '../../core/base/time.js';
import type { Firing } from '../../ports/schedule-store.js';

export const firingJson = (firing: Firing): Record<string, unknown> => ({
  name: firing.trigger,
  due: printInstant(firing.due),
  status: firing.status,
  run: firing.run,
  started_at: printOptionalInstant(firing.startedAt),
  ended_at: printOptionalInstant(firing.endedAt),
  detail: firing.detail,
});
