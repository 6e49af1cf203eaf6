import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const SRC = path.join(path.dirname(fileURLToPath(import.meta.url)), '../src');

/** Room → rooms it may import from. Type imports count. A room always may import from itself. */
const CORE_ORDER = ['base', 'schema', 'expression', 'algebra', 'define', 'quality'] as const;
const CORE_LEAVES = ['engine', 'drift', 'dataset', 'learn', 'lineage', 'schedule'] as const;
const coreBefore = (room: string): string[] => {
  const at = (CORE_ORDER as readonly string[]).indexOf(room);
  const earlier = at < 0 ? CORE_ORDER : CORE_ORDER.slice(0, at);
  return earlier.map((name) => `core/${name}`);
};

const ALLOWED: Readonly<Record<string, readonly string[]>> = {
  ...Object.fromEntries(CORE_ORDER.map((room) => [`core/${room}`, coreBefore(room)])),
  ...Object.fromEntries(CORE_LEAVES.map((room) => [`core/${room}`, coreBefore(room)])),
  // A dataset's manifest holds profiles and hashes engine columns.
  'core/dataset': [...coreBefore('dataset'), 'core/drift', 'core/engine'],
  'core/plan': [...coreBefore('plan'), ...CORE_LEAVES.map((room) => `core/${room}`)],
  ports: ['core/*', 'ports'],
  services: ['core/*', 'ports', 'thread.ts'],
  report: ['core/*', 'ports', 'services'],
  http: ['core/*', 'ports', 'services', 'open.ts', 'thread.ts'],
  cli: ['core/*', 'ports', 'services', 'report', 'http', 'open.ts'],
  client: ['core/define', 'core/schema'],
  testing: ['core/*', 'ports'],
  'thread.ts': [],
  'open.ts': ['core/*', 'ports', 'services', 'adapters/*'],
  'project-handle.ts': ['core/*', 'ports', 'services', 'open.ts'],
  'index.ts': ['core/*', 'ports', 'services', 'project-handle.ts'],
};

/** Type-only arrows that point right on purpose: the frozen definitions name the expression and the fold's arguments. */
const TYPE_EXCEPTIONS = new Set(['core/algebra → core/define']);
/** Commands that probe adapters by nature. */
const EXCEPTIONS = new Set(['cli/commands/doctor.ts']);
/** services → report: writing the page is a use case. */
const EXTRA = new Set(['services → report']);

function files(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const full = path.join(folder, entry.name);
    return entry.isDirectory() ? files(full) : entry.name.endsWith('.ts') ? [path.relative(SRC, full)] : [];
  });
}

function roomOf(file: string): string {
  const parts = file.split('/');
  if (parts.length === 1) return parts[0]!;
  return parts[0] === 'core' || parts[0] === 'adapters' ? `${parts[0]}/${parts[1]}` : parts[0]!;
}

interface Import {
  readonly target: string;
  readonly typeOnly: boolean;
  /** Imported when first needed. */
  readonly later: boolean;
}

function imports(file: string): { local: Import[]; packages: string[] } {
  const text = readFileSync(path.join(SRC, file), 'utf8');
  const local: Import[] = [];
  const packages: string[] = [];
  for (const match of text.matchAll(/^(?:import|export)\s+(type\s+)?(?:[^'";]*?\s+from\s+)?'([^']+)'/gms)) {
    const [, typeOnly, specifier] = match;
    if (specifier!.startsWith('.'))
      local.push({
        target: path.normalize(path.join(path.dirname(file), specifier!)).replace(/\.js$/, '.ts'),
        typeOnly: typeOnly !== undefined,
        later: false,
      });
    else packages.push(specifier!);
  }
  for (const [, specifier] of text.matchAll(/\bimport\('(\.[^']+)'\)/g))
    local.push({
      target: path.normalize(path.join(path.dirname(file), specifier!)).replace(/\.js$/, '.ts'),
      typeOnly: false,
      later: true,
    });
  return { local, packages };
}

const matches = (rule: string, room: string): boolean =>
  rule === room || (rule.endsWith('/*') && room.startsWith(rule.slice(0, -1)));

const all = files(SRC);

describe('architecture', () => {
  it('imports follow the arrows of ARCHITECTURE.md', () => {
    const wrong: string[] = [];
    for (const file of all) {
      if (EXCEPTIONS.has(file)) continue;
      const room = roomOf(file);
      for (const { target, typeOnly } of imports(file).local) {
        const other = roomOf(target);
        if (
          other === room ||
          (typeOnly && TYPE_EXCEPTIONS.has(`${room} → ${other}`)) ||
          EXTRA.has(`${room} → ${other}`)
        )
          continue;
        const allowed = room.startsWith('adapters/')
          ? [
              'core/*',
              'ports',
              'thread.ts',
              'adapters/files',
              'adapters/sqlite',
              'adapters/memory',
              ...(room === 'adapters/lake' ? ['adapters/duckdb', 'adapters/lmdb'] : []),
            ]
          : (ALLOWED[room] ?? []);
        if (!allowed.some((rule) => matches(rule, other)))
          wrong.push(
            `${file} imports ${target}: ${room} may import from ${allowed.join(', ') || 'nothing'} only. Move what it needs to the left, or pass it in.`,
          );
      }
    }
    expect(wrong).toEqual([]);
  });

  it('core touches no clock, no randomness, no I/O', () => {
    const wrong: string[] = [];
    for (const file of all.filter((name) => name.startsWith('core/'))) {
      const text = readFileSync(path.join(SRC, file), 'utf8').replace(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, '');
      for (const [pattern, what] of [
        [/\bDate\.now\b|\bnew Date\(\)/, 'reads the clock'],
        [/\bMath\.random\b/, 'draws random numbers'],
        [/\bawait\b|\basync\b/, 'is asynchronous'],
        [/\bprocess\./, 'looks at the process'],
      ] as const)
        if (pattern.test(text)) wrong.push(`${file} ${what}: take it as an argument`);
      for (const name of imports(file).packages)
        if (name.startsWith('node:') && name !== 'node:crypto')
          wrong.push(`${file} imports ${name}: core is pure`);
    }
    expect(wrong).toEqual([]);
  });

  it('has no cycles between files, types counted', () => {
    const graph = new Map(all.map((file) => [file, imports(file).local.map((item) => item.target)]));
    const state = new Map<string, 'open' | 'done'>();
    const cycles: string[] = [];
    const visit = (file: string, trail: readonly string[]): void => {
      if (state.get(file) === 'done') return;
      if (state.get(file) === 'open') {
        cycles.push([...trail.slice(trail.indexOf(file)), file].join(' → '));
        return;
      }
      state.set(file, 'open');
      for (const next of graph.get(file) ?? []) visit(next, [...trail, file]);
      state.set(file, 'done');
    };
    for (const file of all) visit(file, []);
    expect(cycles).toEqual([]);
  });

  it.each(['run', 'plan', 'status'])(
    '`%s` begins without what trains, builds, searches, compares and tells',
    (name) => {
      const loaded = new Set([`cli/commands/${name}.ts`]);
      for (const file of loaded)
        for (const { target, typeOnly, later } of imports(file).local)
          if (!typeOnly && !later) loaded.add(target);
      expect(loaded).toContain('open.ts');
      const late =
        /^core\/(learn|drift|lineage)\/|^services\/(apply-plan|build-dataset|historical|train|promote|report)\.ts$|^adapters\//;
      expect([...loaded].filter((file) => late.test(file))).toEqual([]);
    },
  );

  it('adapters import each other only where one is made of others: files, sqlite and memory carry; the lake is made of several', () => {
    const wrong = all
      .filter((file) => file.startsWith('adapters/') && !file.startsWith('adapters/lake/'))
      .flatMap((file) =>
        imports(file)
          .local.filter(
            ({ target }) =>
              target.startsWith('adapters/') &&
              roomOf(target) !== roomOf(file) &&
              !/^adapters\/(files|sqlite|memory)\//.test(target),
          )
          .map(({ target }) => `${file} imports ${target}`),
      );
    expect(wrong).toEqual([]);
  });
});
