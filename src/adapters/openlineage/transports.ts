/** To a file (one JSON event a line) or an HTTP receiver (one POST an event, as Marquez and DataHub take them). */
import { appendFile, mkdir } from 'node:fs/promises';
import path from 'node:path';
import type { LineageSink } from '../../ports/lineage-sink.js';
import { type BufferOptions, bufferedSink, type Transport } from './buffer.js';

const TIMEOUT_MS = 5_000;

/** Where an address without a path of its own takes events. */
const ENDPOINT = 'api/v1/lineage';

function fileTransport(file: string): Transport {
  return async (events) => {
    await mkdir(path.dirname(file), { recursive: true });
    await appendFile(file, events.map((event) => `${JSON.stringify(event)}\n`).join(''));
    return undefined;
  };
}

/** `apiKey` is sent as a bearer token and stands in no message. */
function httpTransport(url: string, apiKey: string | undefined): Transport {
  const address = new URL(url);
  if (address.pathname === '/' || address.pathname === '') address.pathname = `/${ENDPOINT}`;
  let done = new Set<string>();
  return async (events) => {
    let refused = 0;
    let reason = '';
    for (const event of events) {
      // After a failure in the middle, what has arrived is not sent again.
      const key = `${event.run.runId} ${event.eventType}`;
      if (done.has(key)) continue;
      const response = await fetch(address, {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          ...(apiKey === undefined ? {} : { authorization: `Bearer ${apiKey}` }),
        },
        body: JSON.stringify(event),
        signal: AbortSignal.timeout(TIMEOUT_MS),
        redirect: 'error',
      }).catch((error: unknown) => {
        throw new Error(`${address.origin} does not answer: ${reasonOf(error)}`);
      });
      await response.body?.cancel();
      const answer = `${address.origin} answers ${response.status}`;
      if (response.status >= 500 || response.status === 408 || response.status === 429)
        throw new Error(answer);
      if (!response.ok) {
        refused++;
        reason = answer;
      }
      done.add(key);
    }
    done = new Set();
    return { refused, reason };
  };
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { cause } = error;
  return cause instanceof Error && 'code' in cause ? String(cause.code) : error.message;
}

export function openLineageSink(
  target: string,
  apiKey: string | undefined,
  options: BufferOptions,
): LineageSink {
  const transport = /^https?:\/\//i.test(target) ? httpTransport(target, apiKey) : fileTransport(target);
  return bufferedSink(transport, options);
}
