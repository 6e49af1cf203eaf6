/** Events in hand, sent in order by one sender at a time. What cannot be sent is dropped with one warning, never thrown. */
import type { RunEvent } from '../../core/lineage/openlineage.js';
import type { LineageSink } from '../../ports/lineage-sink.js';

/**
 * Sends events in order; rejects when the receiver is not there, and is then asked again. What the receiver will never
 * take is counted instead.
 */
export type Transport = (
  events: readonly RunEvent[],
) => Promise<{ readonly refused: number; readonly reason: string } | undefined>;

export interface BufferOptions {
  /** Said once for each spell of failures. */
  warn(message: string): void;
  /** Events held while the receiver does not answer; beyond it the oldest go. */
  readonly capacity?: number;
  readonly attempts?: number;
  /** Before the second attempt; doubled each time. */
  readonly pauseMs?: number;
  /** How long `close` waits. */
  readonly closeMs?: number;
}

export function bufferedSink(send: Transport, options: BufferOptions): LineageSink {
  const { capacity = 10_000, attempts = 3, pauseMs = 200, closeMs = 5_000 } = options;
  let held: RunEvent[] = [];
  let dropped = 0;
  let failing = false;
  let closing = false;
  let sending: Promise<void> | undefined;

  const pause = (ms: number): Promise<void> =>
    new Promise((resolve) => {
      // Between attempts the process may end.
      setTimeout(resolve, ms).unref();
    });
  const sendAll = async (): Promise<void> => {
    while (held.length > 0) {
      const batch = held;
      held = [];
      let reason = '';
      let sent = false;
      for (let attempt = 0; attempt < attempts && !sent; attempt++) {
        if (attempt > 0) await pause(pauseMs * 2 ** (attempt - 1));
        try {
          const answer = await send(batch);
          sent = true;
          if (answer && answer.refused > 0) {
            dropped += answer.refused;
            options.warn(`lineage events were refused (${answer.reason}); the work itself goes on`);
          }
        } catch (error) {
          reason = error instanceof Error ? error.message : String(error);
        }
      }
      if (sent) failing = false;
      else {
        dropped += batch.length;
        if (!failing) options.warn(`lineage events cannot be sent (${reason}); the work itself goes on`);
        failing = true;
        if (closing) return;
      }
    }
  };
  const start = (): void => {
    sending ??= sendAll().finally(() => {
      sending = undefined;
      if (held.length > 0 && !closing) start();
    });
  };
  return {
    emit: (event) => {
      if (held.length >= capacity) {
        held.shift();
        dropped++;
      }
      held.push(event);
      start();
    },
    close: async () => {
      closing = true;
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise<'late'>((resolve) => {
        timer = setTimeout(() => resolve('late'), closeMs);
      });
      const outcome = await Promise.race([(async () => sending)(), late]);
      clearTimeout(timer);
      const lost = dropped + held.length;
      if (outcome === 'late') options.warn('lineage events were still under way when the work ended');
      else if (lost > 0)
        options.warn(
          `${lost} lineage event${lost === 1 ? ' was' : 's were'} not delivered; nothing else is affected`,
        );
    },
  };
}
