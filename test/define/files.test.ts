import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { loadProject } from '../../src/services/load-project.js';
import { show } from './check.js';

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

function project(files: Readonly<Record<string, string>>): string {
  const root = mkdtempSync(join(tmpdir(), 'millrace-files-'));
  folders.push(root);
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, name)), { recursive: true });
    writeFileSync(join(root, name), text);
  }
  return root;
}

const ENTITIES = 'entities:\n  - { name: user, join_key: user_id }\n';
const SOURCES = `sources:
  - name: orders
    read: { files: orders.csv }
    record_key: id
    event_time: at
    fields: &fields { id: string, user_id: int64, total: decimal(2), at: timestamp }
  - name: returns
    read: { files: returns.csv }
    record_key: id
    event_time: at
    fields: { <<: *fields, reason: string }
`;
const FEATURES = `features:
  - &spent
    name: spent
    entity: user
    aggregation: &window
      function: sum
      source: orders.total
      window: 7d
      where: |
        total > 0
          and total < 100
  - { <<: *spent, name: returned, aggregation: { <<: *window, source: returns.total } }
feature_sets: [{ name: all, features: [spent, returned, doubled] }]
`;
const CODE = `import { feature } from 'millrace';

export const doubled = feature({
  name: 'doubled', entity: 'user', inputs: ['spent'], valueType: 'float64',
  compute: ({ spent }) => {
    if (spent === null) return null;
    return Number(spent) * 2;
  },
});
`;
const split = (transform: (text: string) => string): Record<string, string> => ({
  'millrace.yaml': transform('project: shop\n'),
  'definitions/entities.yaml': transform(ENTITIES),
  'definitions/deep/er/sources.yml': transform(SOURCES),
  'definitions/features.yaml': transform(FEATURES),
  'definitions/code.ts': transform(CODE),
});
const windows = (text: string): string => `\uFEFF${text.replaceAll('\n', '\r\n')}`;

describe('definitions in any number of files', () => {
  it('are the same, whatever the split, the line endings and byte order marks', async () => {
    const one = await loadProject(
      project({
        'millrace.yaml': 'project: shop\n',
        'definitions/all.yaml': ENTITIES + SOURCES + FEATURES,
        'definitions/code.ts': CODE,
      }),
    );
    const many = await loadProject(project(split((text) => text)));
    const crlf = await loadProject(project(split(windows)));
    for (const loaded of [one, many, crlf]) expect(loaded.diagnostics.map(show)).toEqual([]);
    const prints = ({ definitions }: typeof one): Record<string, string> =>
      Object.fromEntries(
        [definitions.entities, definitions.sources, definitions.features, definitions.featureSets].flatMap(
          (kind) => [...kind.values()].map((item) => [item.name, item.fingerprint]),
        ),
      );
    expect(Object.keys(prints(one)).sort()).toEqual([
      'all',
      'doubled',
      'orders',
      'returned',
      'returns',
      'spent',
      'user',
    ]);
    expect(prints(many)).toEqual(prints(one));
    expect(prints(crlf)).toEqual(prints(one));
    expect(crlf.definitions.settings.project).toBe('shop');
    expect(crlf.definitions.features.get('returned')!.computation).toMatchObject({
      source: 'returns',
      window: 7 * 86_400_000_000,
    });
  });

  it('point to the line and column under Windows line endings and after a byte order mark', async () => {
    const { diagnostics } = await loadProject(
      project({
        ...split(windows),
        'definitions/features.yaml': windows(
          FEATURES.replace('and total', 'and totel').replace('window: 7d', 'window: 7 d'),
        ),
        'definitions/deep/er/sources.yml': windows(`sorces: []\n${SOURCES}`),
      }),
    );
    expect(
      diagnostics.map((one) => [`${one.place?.file}:${one.place?.line}:${one.place?.column}`, show(one)]),
    ).toEqual([
      [
        'definitions/deep/er/sources.yml:1:1',
        'DEF_UNKNOWN_KEY the file has an unknown key `sorces` (sources)',
      ],
      [
        'definitions/features.yaml:8:15',
        'DEF_INVALID_VALUE `window` of feature `spent` is `7 d`: expected a duration or all such as 1h, 30d, all',
      ],
      [
        'definitions/features.yaml:8:15',
        'DEF_INVALID_VALUE `window` of feature `returned` is `7 d`: expected a duration or all such as 1h, 30d, all',
      ],
      [
        'definitions/features.yaml:11:15',
        'DEF_EXPRESSION `where` of feature `spent`: there is no totel here (total)',
      ],
      [
        'definitions/features.yaml:11:15',
        'DEF_EXPRESSION `where` of feature `returned`: there is no totel here (total)',
      ],
    ]);
  });

  it('have names that are unique for each kind across files, and say where the first one is', async () => {
    const { diagnostics } = await loadProject(
      project({
        ...split((text) => text),
        'definitions/y.yaml': 'feature_sets:\n  - { name: spent, features: [returned] }\n',
        'definitions/z.ts': `import { entity, source } from 'millrace';
export const user = entity({ name: 'user', joinKey: 'user_id' });
export const orders = source({ name: 'Orders', read: 'push', recordKey: 'id', eventTime: 'at', fields: { id: 'string', at: 'timestamp' } });
`,
      }),
    );
    expect(diagnostics.map((one) => [one.place?.file, one.place?.line, show(one)])).toEqual([
      [
        'definitions/y.yaml',
        2,
        'DEF_DUPLICATE_NAME the feature set `spent` is defined twice: first as a feature at definitions/features.yaml:3:11',
      ],
      [
        'definitions/z.ts',
        2,
        'DEF_DUPLICATE_NAME the entity `user` is defined twice: first at definitions/entities.yaml:2:13',
      ],
      [
        'definitions/z.ts',
        3,
        'DEF_DUPLICATE_NAME the sources `orders` and `Orders` differ only in case: first at definitions/deep/er/sources.yml:2:11',
      ],
    ]);
  });

  it('keep anchors to their own file and document', async () => {
    const { diagnostics } = await loadProject(
      project({
        'definitions/a.yaml': 'entities: [&user { name: user, join_key: user_id }]\n',
        'definitions/b.yaml': 'entities:\n  - *user\n',
      }),
    );
    const found = diagnostics.find(({ code }) => code === 'DEF_SYNTAX')!;
    expect([show(found), found.place]).toEqual([
      'DEF_SYNTAX there is no anchor `&user` before this in the document',
      { file: 'definitions/b.yaml', line: 2, column: 5 },
    ]);
  });
});
