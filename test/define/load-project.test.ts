import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { jsonSchema } from '../../src/core/define/json-schema.js';
import { definitionsReference } from '../../src/core/define/reference.js';
import { loadProject, loadValidProject } from '../../src/services/load-project.js';
import { show } from './check.js';

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

function project(files: Readonly<Record<string, string>>): string {
  const root = mkdtempSync(join(tmpdir(), 'millrace-define-'));
  folders.push(root);
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, name)), { recursive: true });
    writeFileSync(join(root, name), text);
  }
  return root;
}

const YAML = `sources:
  - { name: sales, read: { files: sales.csv }, record_key: id, event_time: at, fields: { id: string, product_id: int64, amount: float64, at: timestamp } }
`;
const TYPESCRIPT = `import { entity, feature, featureSet } from 'millrace';
import { WEEK } from './lib/windows.ts';

export const product = entity({ name: 'product', joinKey: 'product_id' });
const total = feature({
  name: 'total',
  entity: product,
  aggregation: { function: 'sum', source: 'sales.amount', window: WEEK satisfies string },
});
export default [
  total,
  feature({
    name: 'twice',
    entity: product,
    inputs: ['total', 'request.rate'],
    request: { rate: 'float64' },
    compute: ({ total, 'request.rate': rate }) => (total === null ? null : Number(total) * 2 * Number(rate)),
    valueType: 'float64',
  }),
  featureSet({ name: 'set', features: [total, 'twice'] }),
];
`;

describe('a project folder', () => {
  it('is read from YAML and TypeScript files, at any depth, that name each other', async () => {
    const root = project({
      'millrace.yaml': 'project: shop\nthreads: 3\nentities: []\n',
      'definitions/sub/sources.yml': YAML,
      'definitions/features.ts': TYPESCRIPT,
      'definitions/lib/windows.ts': "export const WEEK = '7d';\n",
      'definitions/notes.txt': 'not read',
    });
    const { definitions, diagnostics, texts } = await loadProject(root);
    expect(diagnostics).toEqual([]);
    expect(definitions.settings).toMatchObject({
      project: 'shop',
      threads: 3,
      lake: join(root, '.millrace/lake'),
    });
    expect(definitions.featureSets.get('set')!.features).toEqual(['total', 'twice']);
    const { computation, requestFields, dependsOn } = definitions.features.get('twice')!;
    expect([dependsOn, requestFields]).toEqual([['total'], [{ name: 'rate', type: { kind: 'float64' } }]]);
    if (computation.kind !== 'function') throw new Error('not a function');
    expect(computation.compute({ total: 4, 'request.rate': 1.5 })).toBe(12);
    expect([...texts.keys()]).toEqual([
      'millrace.yaml',
      'definitions/features.ts',
      'definitions/lib/windows.ts',
      'definitions/sub/sources.yml',
    ]);
  });

  it('has places in TypeScript too: the line of the builder and the path inside of it', async () => {
    const root = project({
      'definitions/a.yaml': YAML,
      'definitions/b.ts': TYPESCRIPT.replace(
        "import { WEEK } from './lib/windows.ts';",
        "const WEEK = '7 days';",
      ),
    });
    const { diagnostics } = await loadProject(root);
    expect(diagnostics).toMatchObject([
      {
        code: 'DEF_INVALID_VALUE',
        place: { file: 'definitions/b.ts', line: 5, path: 'total.aggregation.window' },
      },
    ]);
  });

  it('reports a module that does not parse or throws, and reads the others', async () => {
    const root = project({
      'definitions/a.yaml': YAML,
      'definitions/broken.ts': 'export const a = {\n',
      'definitions/throws.js': "throw new Error('no luck');\n",
      'definitions/unused.ts': "import { entity } from 'millrace';\nentity({ name: 'a', joinKey: 'b' });\n",
    });
    const { diagnostics, definitions } = await loadProject(root);
    expect(definitions.sources.has('sales')).toBe(true);
    expect(diagnostics.map(({ code, place }) => [code, place?.file])).toEqual([
      ['DEF_SYNTAX', 'definitions/broken.ts'],
      ['DEF_SYNTAX', 'definitions/throws.js'],
      ['DEF_SYNTAX', 'definitions/unused.ts'],
    ]);
    expect(diagnostics[0]!.place!.line).toBe(2);
    expect(show(diagnostics[2]!)).toBe('warning DEF_SYNTAX the file exports no definitions');
    expect(diagnostics[1]).toMatchObject({
      message: 'the file cannot be loaded: no luck',
      place: { line: 1 },
    });
    await expect(loadValidProject(root)).rejects.toMatchObject({ code: 'DEF_INVALID', exit: 2, diagnostics });
  });

  it('is not there without millrace.yaml and definitions/', async () => {
    await expect(loadProject(project({ 'other.txt': '' }))).rejects.toMatchObject({
      code: 'PROJECT_NOT_FOUND',
      exit: 2,
    });
  });
});

describe('what is generated from the shapes', () => {
  const at = (path: string): string => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');

  it('is up to date', () => {
    expect(JSON.parse(at('schema/millrace.schema.json'))).toEqual(JSON.parse(JSON.stringify(jsonSchema())));
    expect(at('docs/reference/definitions.md')).toBe(definitionsReference());
  });

  it('describes every key', () => {
    const keys = [
      ...definitionsReference().matchAll(
        /^\| `([\w.]+)`(?: \*\*required\*\*)? \|[^|]*(?:\\\|[^|]*)*\| (.*) \|$/gm,
      ),
    ];
    expect(keys.length).toBeGreaterThan(150);
    for (const [, name, description] of keys) expect(description, name).not.toBe('');
  });
});
