/** The online store in this process's memory: for tests and one-shot commands. */
import {
  activateGroups,
  activeGroups,
  applyBatch,
  type ByteEngine,
  dropGroup,
  dumpGroup,
  expireGroup,
  listGroups,
  openGroup,
  positionOf,
  publishDraft,
  readRows,
} from '../../core/engine/online/index.js';
import type { OnlineStore } from '../../ports/online-store.js';

const nameOf = (key: Uint8Array): string =>
  Buffer.from(key.buffer, key.byteOffset, key.length).toString('latin1');

export function memoryByteEngine(): ByteEngine {
  const held = new Map<string, Uint8Array>();
  return {
    get: (key) => held.get(nameOf(key)),
    keys: (prefix) => {
      const start = nameOf(prefix);
      return [...held.keys()]
        .filter((name) => name.startsWith(start))
        .sort()
        .map((name) => Buffer.from(name, 'latin1'));
    },
    write: (body) => {
      const undo: [string, Uint8Array | undefined][] = [];
      const set = (name: string, value: Uint8Array | undefined): void => {
        undo.push([name, held.get(name)]);
        if (value === undefined) held.delete(name);
        else held.set(name, value);
      };
      try {
        return body({
          get: (key) => held.get(nameOf(key)),
          put: (key, value) => set(nameOf(key), new Uint8Array(value)),
          remove: (key) => set(nameOf(key), undefined),
        });
      } catch (error) {
        for (const [name, value] of undo.reverse()) {
          if (value === undefined) held.delete(name);
          else held.set(name, value);
        }
        throw error;
      }
    },
  };
}

/** An OnlineStore over any byte engine. */
export function onlineStoreOver(
  engine: ByteEngine,
  life: {
    readonly condition: OnlineStore['condition'];
    refresh(): void;
    sync(): Promise<void>;
    close(): Promise<void>;
  },
): OnlineStore {
  return {
    condition: life.condition,
    groups: () => listGroups(engine),
    open: async (group) => openGroup(engine, group),
    apply: async (group, records, through, options) => applyBatch(engine, group, records, through, options),
    read: (reader, keys, at) => readRows(engine, reader, keys, at),
    applied: (group) => positionOf(engine, group),
    activate: async (fingerprints) => activateGroups(engine, fingerprints),
    active: () => activeGroups(engine),
    publish: async (group) => publishDraft(engine, group),
    drop: async (fingerprint) => dropGroup(engine, fingerprint),
    expire: async (group, now) => expireGroup(engine, group, now),
    dump: (group) => dumpGroup(engine, group),
    refresh: () => life.refresh(),
    sync: () => life.sync(),
    close: () => life.close(),
  };
}

export const memoryOnlineStore = (): OnlineStore =>
  onlineStoreOver(memoryByteEngine(), {
    condition: 'ready',
    refresh: () => {},
    sync: async () => {},
    close: async () => {},
  });
