import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { VERSION } from '../../src/core/base/version.js';
import { BASE, check, fromYaml } from './check.js';

const CASES: readonly (readonly [string, string, readonly string[]])[] = [
  [
    'fields that tables have of themselves, or that differ only in case',
    `sources:
  - name: s
    read: push
    record_key: id
    event_time: at
    fields: { id: string, »_order: int64, »RowId: int64, Id_2: string, »ID_2: string, at: timestamp }
`,
    [
      'DEF_INVALID_VALUE field `_order` of source `s`: rowid and names that begin with _ are kept for the system',
      'DEF_INVALID_VALUE field `RowId` of source `s`: rowid and names that begin with _ are kept for the system',
      'DEF_DUPLICATE_NAME fields `Id_2` and `ID_2` of source `s` differ only in case',
    ],
  ],
  [
    'sources that differ only in case',
    `transforms:
  - { name: »Orders, sql: SELECT * FROM users, record_key: k, event_time: t, fields: { k: string, t: timestamp } }
`,
    ['DEF_DUPLICATE_NAME the sources `orders` and `Orders` differ only in case: first at a.yaml:5:11'],
  ],
  [
    'features, labels and join keys with names that mean something else',
    `entities:
  - { name: place, join_key: »_place }
features:
  - { name: »Part, entity: user, lookup: { source: users.city } }
  - { name: »user_id, entity: user, lookup: { source: users.city } }
  - { name: »_f, entity: user, lookup: { source: users.city } }
  - { name: »as_of, entity: user, lookup: { source: users.city } }
labels:
  - { name: »part, source: orders, expression: paid, horizon: 1d }
`,
    [
      'DEF_INVALID_VALUE entity `place` has the join key `_place`: `part`, `rowid` and names that begin with _ are kept for the system',
      'DEF_INVALID_VALUE a feature cannot be named `Part`: datasets have a column of that name for the split',
      'DEF_INVALID_VALUE a feature cannot be named `user_id`: it is a join key of entity `user`',
      'DEF_INVALID_VALUE a feature cannot be named `_f`: names that begin with _ are kept for the system',
      'DEF_INVALID_VALUE a feature cannot be named `as_of`: expressions mean something else by it',
      'DEF_INVALID_VALUE a label cannot be named `part`: `part`, `rowid` and names that begin with _ are kept for the system',
    ],
  ],
  [
    'columns of a dataset that differ only in case, or that would replace a field with another meaning',
    `features:
  - { name: City, entity: user, lookup: { source: users.city } }
  - { name: city, entity: user, lookup: { source: users.city } }
  - { name: status, entity: user, lookup: { source: users.city } }
  - { name: paid, entity: user, lookup: { source: users.city } }
  - { name: TOTAL, entity: user, expression: request.total, request: { total: decimal(2) } }
labels:
  - { name: paid, source: orders, expression: "total > 5", horizon: 1d }
datasets:
  - { name: a, observations: { source: orders }, »features: [City, city], split: { by: time, parts: { train: 0.8, test: 0.2 } } }
  - { name: b, observations: { source: orders }, »»features: [status, TOTAL] }
  - { name: c, observations: { source: orders }, features: [paid], label: »»paid }
`,
    [
      'DEF_DUPLICATE_NAME dataset `a` has the feature `city` and `City`, which differ only in case',
      'DEF_DUPLICATE_NAME dataset `b`: its observations have a field `total`, and the feature `TOTAL` is something else',
      'DEF_DUPLICATE_NAME dataset `b`: its observations have a field `status`, and the feature `status` is something else',
      'DEF_DUPLICATE_NAME dataset `c` has a feature and a label named `paid`',
      'DEF_DUPLICATE_NAME dataset `c`: its observations have a field `paid`, and the label `paid` is something else',
    ],
  ],
  [
    'an observation field that the split would replace',
    `sources:
  - { name: parts, read: push, record_key: id, event_time: at, fields: { id: string, user_id: int64, Part: string, at: timestamp } }
features:
  - { name: f, entity: user, lookup: { source: users.city } }
datasets:
  - { name: d, observations: { source: parts }, »features: [f] }
`,
    [
      'DEF_DUPLICATE_NAME dataset `d`: its observations have a field `Part`, and `part` is the column of the split',
    ],
  ],
  [
    'a field under its own name, as a feature of the request and as a label',
    `features:
  - { name: total, entity: user, expression: request.total, value_type: float64, request: { total: decimal(2) } }
  - { name: status, entity: user, expression: request.status, request: { status: string } }
labels:
  - { name: paid, source: orders, expression: paid, horizon: 1d }
datasets:
  - { name: d, observations: { source: orders }, features: [total, status], label: paid }
`,
    [],
  ],
  [
    'patterns that engines read differently, and files that are not on this machine',
    `sources:
  - name: s
    read: { files: »"s3://bucket/a.csv" }
    record_key: id
    event_time: at
    fields: { id: string, at: timestamp }
    contract: { id: { pattern: »'(?<=a)b' } }
features:
  - { name: f, entity: user, lookup: { source: users.city } }
datasets:
  - { name: d, observations: { files: »"https://example.org/a.csv", time: t }, features: [f] }
`,
    [
      'DEF_INVALID_VALUE `files` of source `s` is `s3://bucket/a.csv`: s3:// is not in this version',
      'DEF_INVALID_VALUE `pattern` of field `id` is no pattern that every engine reads alike: (?...) groups other than (?:...) are not supported',
      'DEF_INVALID_VALUE `files` of dataset `d` is `https://example.org/a.csv`: https:// is not in this version',
    ],
  ],
];

describe('a name stands for one thing', () => {
  it.each(CASES)('%s', (_, text, expected) => check(`${BASE}---\n${text}`, expected));

  it('a misspelt setting is told from those that there are', () => {
    const said = (text: string) =>
      fromYaml(text, true).diagnostics.map(({ nearest, hint }) => nearest ?? hint);
    expect(said('timezon: UTC\n')).toEqual(['timezone']);
    expect(said('entitiez: []\n')).toEqual(['entities']);
    expect(said('quux: 1\n')).toEqual([expect.stringMatching(/^Known keys: .*timezone.*lineage.*sources/)]);
  });

  it('settings name what is in this version', () => {
    const found = fromYaml(
      'engine: spark://host:15002\nlake: s3://bucket/prefix\nonline: redis://host:6379\nregistry: postgres://u@h/db\n',
      true,
    ).diagnostics;
    expect(
      found.map(({ code, message, place, hint }) => [code, message, `${place?.line}:${place?.column}`, hint]),
    ).toEqual([
      [
        'DEF_INVALID_VALUE',
        'the engine `spark://host:15002` is not in this version',
        '1:9',
        'Write `engine: duckdb`, or leave it out.',
      ],
      [
        'DEF_INVALID_VALUE',
        '`lake` is `s3://bucket/prefix`: s3:// is not in this version',
        '2:7',
        'In this version it is Parquet files on this machine: give a path, or leave it out.',
      ],
      [
        'DEF_INVALID_VALUE',
        '`online` is `redis://host:6379`: redis:// is not in this version',
        '3:9',
        'In this version it is LMDB files on this machine: give a path, or leave it out.',
      ],
      [
        'DEF_INVALID_VALUE',
        '`registry` is `postgres://u@h/db`: postgres:// is not in this version',
        '4:11',
        'In this version it is a SQLite file on this machine: give a path, or leave it out.',
      ],
    ]);
    expect(fromYaml('engine: duckdb\nlake: /var/lake\nonline: C:\\online\n', true).diagnostics).toEqual([]);
  });
});

it('the version of the package stands in one place', () => {
  const manifest = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
    version: string;
  };
  expect(VERSION).toBe(manifest.version);
});
