import path from 'node:path';
import { MillraceError } from '../../core/base/error.js';
import type { AliasChange, NoteChange, Registry, RunRecord, VersionRecord } from '../../ports/registry.js';
import { type Database, firstRow, type Row, rows, transaction } from './database.js';
import { FACT_TABLE, readFact, writeFacts } from './facts.js';

export const RUN_TABLE = `
CREATE TABLE IF NOT EXISTS run (
  id INTEGER PRIMARY KEY, command TEXT NOT NULL, started_at INTEGER NOT NULL, ended_at INTEGER,
  status TEXT NOT NULL, summary TEXT NOT NULL
) STRICT;`;

/** Tables of the registry; the record log keeps its own beside them in the same file. */
const SCHEMA = `
CREATE TABLE IF NOT EXISTS version (
  kind TEXT NOT NULL, name TEXT NOT NULL, version INTEGER NOT NULL, key TEXT NOT NULL,
  folder TEXT NOT NULL, manifest TEXT NOT NULL, created_at INTEGER NOT NULL,
  PRIMARY KEY (kind, name, version), UNIQUE (kind, name, key)
) STRICT;
CREATE TABLE IF NOT EXISTS alias_change (
  id INTEGER PRIMARY KEY, model TEXT NOT NULL, alias TEXT NOT NULL, version INTEGER NOT NULL, previous INTEGER,
  at INTEGER NOT NULL, actor TEXT NOT NULL, reason TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS alias_change_by_name ON alias_change (model, alias, id);
CREATE TABLE IF NOT EXISTS note_change (
  id INTEGER PRIMARY KEY, model TEXT NOT NULL, version INTEGER, field TEXT NOT NULL, value TEXT, previous TEXT,
  at INTEGER NOT NULL, actor TEXT NOT NULL, reason TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS note_change_by_name ON note_change (model, version, field, id);
${FACT_TABLE}
${RUN_TABLE}
`;

/** Manifests hold whole profiles, megabytes of them, and many who ask for a version want its key: read when looked at. */
const toVersion = (row: Row, root: string): VersionRecord => {
  let manifest: VersionRecord['manifest'] | undefined;
  return {
    kind: row['kind'] as VersionRecord['kind'],
    name: row['name'] as string,
    version: Number(row['version']),
    key: row['key'] as string,
    folder: path.resolve(root, row['folder'] as string),
    get manifest() {
      manifest ??= JSON.parse(row['manifest'] as string) as VersionRecord['manifest'];
      return manifest;
    },
    createdAt: Number(row['created_at']),
  };
};

const toAlias = (row: Row): AliasChange => ({
  model: row['model'] as string,
  alias: row['alias'] as string,
  version: Number(row['version']),
  previous: row['previous'] === null ? null : Number(row['previous']),
  at: Number(row['at']),
  actor: row['actor'] as string,
  reason: row['reason'] as string,
});

const toNote = (row: Row): NoteChange => ({
  model: row['model'] as string,
  version: row['version'] === null ? null : Number(row['version']),
  field: row['field'] as string,
  value: row['value'] as string | null,
  previous: row['previous'] as string | null,
  at: Number(row['at']),
  actor: row['actor'] as string,
  reason: row['reason'] as string,
});

const toRun = (row: Row): RunRecord => ({
  id: Number(row['id']),
  command: row['command'] as string,
  startedAt: Number(row['started_at']),
  endedAt: row['ended_at'] === null ? null : Number(row['ended_at']),
  status: row['status'] as RunRecord['status'],
  summary: JSON.parse(row['summary'] as string),
});

export interface RegistryOptions {
  /** The project's folder, which those of its versions are kept relative to: a project that is moved has its own. */
  readonly root?: string;
  /** Runs in the transaction of each write of a version, an alias or a fact, and stops it by throwing. */
  readonly guard?: () => void;
}

function storedFolder(root: string, folder: string): string {
  const within = path.relative(root, folder);
  return within.startsWith('..') || path.isAbsolute(within) ? folder : within;
}

export function createRegistry(
  db: Database,
  { root = '/', guard = () => {} }: RegistryOptions = {},
): Registry {
  db.exec(SCHEMA);
  const transact = <T>(work: () => T): T =>
    transaction(db, () => {
      guard();
      return work();
    });
  const byKey: Registry['byKey'] = (kind, name, key) => {
    const row = firstRow(
      db,
      'SELECT * FROM version WHERE kind = ? AND name = ? AND key = ?',
      kind,
      name,
      key,
    );
    return row && toVersion(row, root);
  };
  const alias: Registry['alias'] = (model, name) => {
    const row = firstRow(
      db,
      'SELECT version FROM alias_change WHERE model = ? AND alias = ? ORDER BY id DESC LIMIT 1',
      model,
      name,
    );
    return row && Number(row['version']);
  };

  return {
    addVersion: (record) =>
      transact(() => {
        const present = byKey(record.kind, record.name, record.key);
        if (present) return present;
        const last = firstRow(
          db,
          'SELECT max(version) AS v FROM version WHERE kind = ? AND name = ?',
          record.kind,
          record.name,
        );
        const version = Number(last?.['v'] ?? 0) + 1;
        db.prepare('INSERT INTO version VALUES (?, ?, ?, ?, ?, ?, ?)').run(
          record.kind,
          record.name,
          version,
          record.key,
          storedFolder(root, record.folder),
          JSON.stringify(record.manifest),
          record.createdAt,
        );
        return { ...record, version };
      }),
    versions: (kind, name) =>
      (name === undefined
        ? rows(db, 'SELECT * FROM version WHERE kind = ? ORDER BY name, version', kind)
        : rows(db, 'SELECT * FROM version WHERE kind = ? AND name = ? ORDER BY version', kind, name)
      ).map((row) => toVersion(row, root)),
    version: (kind, name, version) => {
      const row =
        version === undefined
          ? firstRow(
              db,
              'SELECT * FROM version WHERE kind = ? AND name = ? ORDER BY version DESC LIMIT 1',
              kind,
              name,
            )
          : firstRow(
              db,
              'SELECT * FROM version WHERE kind = ? AND name = ? AND version = ?',
              kind,
              name,
              version,
            );
      return row && toVersion(row, root);
    },
    byKey,
    setAlias: ({ expected, ...change }) =>
      transact(() => {
        const previous = alias(change.model, change.alias) ?? null;
        if (expected !== undefined && expected !== previous)
          throw new MillraceError(
            'STORE_LOCKED',
            `${change.alias} of ${change.model} was ${expected === null ? 'no version' : `version ${expected}`} and is ${previous === null ? 'none' : `version ${previous}`} now: someone else has changed it`,
            { hint: `Look at \`millrace models list ${change.model}\`, then decide again.` },
          );
        db.prepare(
          'INSERT INTO alias_change (model, alias, version, previous, at, actor, reason) VALUES (?, ?, ?, ?, ?, ?, ?)',
        ).run(change.model, change.alias, change.version, previous, change.at, change.actor, change.reason);
        return { ...change, previous };
      }),
    alias,
    aliasHistory: (model) =>
      (model === undefined
        ? rows(db, 'SELECT * FROM alias_change ORDER BY id')
        : rows(db, 'SELECT * FROM alias_change WHERE model = ? ORDER BY id', model)
      ).map(toAlias),
    setNote: ({ expected, ...change }) =>
      transact(() => {
        const { model, version, field } = change;
        const row = firstRow(
          db,
          'SELECT value FROM note_change WHERE model = ? AND version IS ? AND field = ? ORDER BY id DESC LIMIT 1',
          model,
          version,
          field,
        );
        const previous = (row?.['value'] ?? null) as string | null;
        if (expected !== undefined && expected !== previous)
          throw new MillraceError(
            'STORE_LOCKED',
            `${field} of ${model}${version === null ? '' : `@${version}`} is ${previous === null ? 'gone' : `"${previous}"`} now: someone else has changed it`,
            { hint: `Look at \`millrace models history ${model}\`, then decide again.` },
          );
        db.prepare(
          'INSERT INTO note_change (model, version, field, value, previous, at, actor, reason) VALUES (?, ?, ?, ?, ?, ?, ?, ?)',
        ).run(model, version, field, change.value, previous, change.at, change.actor, change.reason);
        return { ...change, previous };
      }),
    noteHistory: (model) =>
      (model === undefined
        ? rows(db, 'SELECT * FROM note_change ORDER BY id')
        : rows(db, 'SELECT * FROM note_change WHERE model = ? ORDER BY id', model)
      ).map(toNote),
    getFact: (name) => readFact(db, name),
    setFact: (name, value) => transact(() => writeFacts(db, { [name]: value })),
    setFacts: (facts) => transact(() => writeFacts(db, facts)),
    startRun: (command, at) =>
      Number(
        db
          .prepare("INSERT INTO run (command, started_at, status, summary) VALUES (?, ?, 'running', '{}')")
          .run(command, at).lastInsertRowid,
      ),
    endRun: (id, status, at, summary) => {
      db.prepare('UPDATE run SET status = ?, ended_at = ?, summary = ? WHERE id = ?').run(
        status,
        at,
        JSON.stringify(summary),
        id,
      );
    },
    runs: (limit) => rows(db, 'SELECT * FROM run ORDER BY id DESC LIMIT ?', limit).map(toRun),
    close: () => db.close(),
  };
}
