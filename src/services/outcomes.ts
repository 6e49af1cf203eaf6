/** What came of predictions: labels that arrive later, kept beside the predictions they belong to. */
import { MillraceError } from '../core/base/error.js';
import { type Instant, parseInstant } from '../core/base/time.js';
import type { Service } from '../core/define/types.js';
import type { LoggedOutcome } from '../ports/prediction-log.js';
import { findService, isLogged } from './predict.js';
import type { Project } from './project.js';

export interface OutcomeInput {
  readonly prediction_id: string;
  readonly label: number | string | boolean | null;
  /** ISO instant of the outcome; the instant of receipt when absent. */
  readonly at?: string | undefined;
}

export interface OutcomeRecorder {
  /**
   * Durable when it resolves; all of them or none. UNKNOWN_NAME when a prediction that the service would have
   * logged is not in its log. A later outcome of the same prediction replaces the earlier one.
   */
  record(service: string, outcomes: readonly OutcomeInput[]): Promise<number>;
}

/** Predictions logged by other processes are looked for at most this often. */
const RESCAN_MS = 1_000;

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

interface Known {
  ids: Set<string>;
  scannedAt: number;
  scanning: Promise<void> | undefined;
}

/** The 16 bytes of a UUID as a short text: a third of the memory of its 36 characters. */
const compact = (id: string): string =>
  !UUID.test(id) ? id : Buffer.from(id.replaceAll('-', ''), 'hex').toString('latin1');

export function createOutcomeRecorder(project: Project): OutcomeRecorder {
  const services = new Map<string, Known>();

  const scan = (service: Service, known: Known): Promise<void> =>
    (known.scanning ??= (async () => {
      known.scannedAt = performance.now();
      for await (const { prediction_id } of project.predictions().predictions(service.name))
        known.ids.add(compact(prediction_id));
    })().finally(() => {
      known.scanning = undefined;
    }));

  const requireKnown = async (service: Service, outcomes: readonly OutcomeInput[]): Promise<void> => {
    const wanted = outcomes.filter((outcome) => isLogged(service, outcome.prediction_id));
    if (wanted.length === 0) return;
    const known = services.get(service.name) ?? {
      ids: new Set<string>(),
      scannedAt: Number.NEGATIVE_INFINITY,
      scanning: undefined,
    };
    services.set(service.name, known);
    const missing = (): OutcomeInput[] =>
      wanted.filter((outcome) => !known.ids.has(compact(outcome.prediction_id)));
    if (missing().length === 0) return;
    const wait = known.scannedAt + RESCAN_MS - performance.now();
    if (wait > 0 && known.scanning === undefined) await new Promise((resolve) => setTimeout(resolve, wait));
    await known.scanning;
    if (missing().length === 0) return;
    await scan(service, known);
    const unknown = missing();
    if (unknown.length > 0)
      throw new MillraceError(
        'UNKNOWN_NAME',
        `service ${service.name} has logged no prediction "${unknown[0]!.prediction_id}"${unknown.length > 1 ? ` (and ${unknown.length - 1} more)` : ''}`,
        {
          place: { path: `[${outcomes.indexOf(unknown[0]!)}].prediction_id` },
          hint: 'Send the prediction_id that /predict answered with. None of these outcomes was stored.',
        },
      );
  };

  return {
    record: async (name, outcomes) => {
      const service = findService(project, name);
      const receivedAt = project.now();
      const entries = outcomes.map((outcome, i): LoggedOutcome => {
        const at: Instant | undefined = outcome.at === undefined ? receivedAt : parseInstant(outcome.at);
        if (at === undefined)
          throw new MillraceError('REQUEST_INVALID', `"${outcome.at}" is not an instant`, {
            place: { path: `[${i}].at` },
            hint: 'Write it as 2024-03-01T12:00:00Z.',
          });
        return {
          prediction_id: outcome.prediction_id,
          service: name,
          label: outcome.label,
          at,
          received_at: receivedAt,
        };
      });
      await requireKnown(service, outcomes);
      await project.predictions().appendOutcomes(name, entries);
      return entries.length;
    },
  };
}
