import type { OfflineStore } from '../../ports/offline-store.js';
import type { DuckDb } from './connection.js';
import { lookups } from './offline/lookups.js';
import { observations } from './offline/observations.js';
import { records } from './offline/records.js';
import { createSession, type LakeReader } from './offline/session.js';
import { tables } from './offline/tables.js';
import { transforms } from './offline/transforms.js';
import { ONE_THREAD, type SweepLimits } from './sweep-records.js';

/** The offline store over committed segments; each part of the port is a module of offline/. */
export function createOfflineStore(
  db: DuckDb,
  lake: LakeReader,
  limits: SweepLimits = ONE_THREAD,
): OfflineStore {
  const session = createSession(db, lake);
  return {
    ...observations(session),
    ...records(session, limits),
    ...lookups(session),
    ...tables(session),
    ...transforms(session),
    close: async () => db.close(),
  };
}
