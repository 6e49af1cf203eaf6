import { describe, it } from 'vitest';
import { openLmdbOnlineStore } from '../../src/adapters/lmdb/online-store.js';
import { memoryOnlineStore } from '../../src/adapters/memory/online-store.js';
import { onlineStoreContract } from '../../src/testing/online-contract.js';

describe('the online store in memory', () => {
  for (const { name, run } of onlineStoreContract(() => memoryOnlineStore(), false)) it(name, run);
});

describe('the online store on LMDB', () => {
  for (const { name, run } of onlineStoreContract((folder) => openLmdbOnlineStore(folder), true))
    it(name, run);
});
