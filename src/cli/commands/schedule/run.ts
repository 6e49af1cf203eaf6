import { printInstant } from '../../../core/base/time.js';
import { openProject } from '../../../open.js';
import type { Command } from '../../command.js';
import { instant } from '../../parse.js';
import { firingJson } from '../../print/firing.js';

export const command: Command = async (io, _args, options) => {
  const until = instant(options['until'], '--until') ?? null;
  const once = options['once'] === true;
  const { runScheduler } = await import('../../../services/schedule.js');
  const quiet = { progress: io.progress, warn: io.warn, signal: io.signal };
  const fired = await runScheduler({
    open: (command) => openProject(io.projectFolder, { ...quiet, command }),
    command: io.command,
    once,
    until,
    signal: io.signal,
    onEnd: (firing) =>
      io.print(
        `${printInstant(firing.due)} ${firing.trigger}: ${firing.status}${firing.run === null ? '' : `, run ${firing.run}`}${firing.detail === '' ? '' : `, ${firing.detail}`}`,
      ),
    onReason: (trigger, reason) => io.note(`${trigger}: ${reason}`),
    warn: (message) => io.warn(message),
  });
  io.result({ fired: fired.map(firingJson) });
  if (io.signal.aborted) return 0;
  if (fired.some(({ status }) => status === 'failed')) return 1;
  if (fired.some(({ status }) => status === 'refused')) return 3;
  return once && fired.length === 0 ? 99 : 0;
};
