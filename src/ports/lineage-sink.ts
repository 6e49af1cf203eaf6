/** Where OpenLineage events go. Sending never fails the work that it tells of. */
import type { RunEvent } from '../core/lineage/openlineage.js';

export interface LineageSink {
  /** Takes the event and returns at once. */
  emit(event: RunEvent): void;
  /** Sends what is held, within a few seconds; what could not be sent has been said by a warning. */
  close(): Promise<void>;
}
