/** What a store holds, byte for byte. */
import { open } from 'lmdb';
import type { ByteEngine, OnlineGroup } from '../../src/core/engine/online/index.js';

type Stored = Pick<ByteEngine, 'get' | 'keys'>;

/** Keys and values of one group without the number that the store gave it. */
export function groupBytes(engine: Stored, group: OnlineGroup): readonly string[] {
  const meta = engine.get(
    Buffer.concat([Buffer.from([0, 0, 0, 0, 1]), Buffer.from(group.fingerprint, 'latin1')]),
  );
  if (!meta) return [];
  const head = Buffer.from(meta);
  const prefix = Buffer.alloc(4);
  prefix.writeUInt32BE(head.readDoubleLE(0));
  return [
    head.subarray(8).toString('hex'),
    ...[...engine.keys(prefix)].map(
      (key) =>
        `${Buffer.from(key.subarray(4)).toString('hex')}=${Buffer.from(engine.get(key)!).toString('hex')}`,
    ),
  ];
}

/** All that the file of a store on LMDB holds, for a look at a moment when nothing is written. */
export async function lmdbBytes(file: string): Promise<Stored> {
  const root = open<Uint8Array, Uint8Array>({
    path: file,
    noSubdir: true,
    pageSize: 8192,
    noSync: true,
    useWritemap: true,
    overlappingSync: false,
    keyEncoding: 'binary',
    encoding: 'binary',
    maxReaders: 512,
  });
  const held = new Map<string, Uint8Array>();
  for (const { key, value } of root.getRange({}))
    held.set(Buffer.from(key).toString('latin1'), new Uint8Array(value));
  await root.close();
  const names = [...held.keys()].sort();
  return {
    get: (key) => held.get(Buffer.from(key).toString('latin1')),
    keys: (prefix) => {
      const start = Buffer.from(prefix).toString('latin1');
      return names.filter((name) => name.startsWith(start)).map((name) => Buffer.from(name, 'latin1'));
    },
  };
}
