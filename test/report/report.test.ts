import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { profileColumn } from '../../src/core/drift/profile.js';
import type { OpenedProject } from '../../src/open.js';
import type { ReportData } from '../../src/report/data.js';
import { percent, pValue } from '../../src/report/format.js';
import { equalShares, overlay, quantileBars } from '../../src/report/histogram.js';
import { anchor, escapeText, html } from '../../src/report/html.js';
import { renderReport } from '../../src/report/render.js';
import { ticks } from '../../src/report/svg.js';
import { collectReport, verifyReport, writeReport } from '../../src/services/report.js';
import { emptyProject, filledProject } from './fixture.js';

const VOID = new Set(['meta', 'br', 'hr', 'img', 'input', 'link']);

/** Reads markup strictly: every tag is closed in order, attributes are quoted, no stray `<`. Returns elements by name. */
function parse(text: string): Map<string, number> {
  const found = new Map<string, number>();
  const open: string[] = [];
  let at = text.indexOf('<!doctype html>') + '<!doctype html>'.length;
  while (true) {
    const next = text.indexOf('<', at);
    if (next < 0) break;
    expect(text.slice(at, next)).not.toMatch(/&(?!(amp|lt|gt|quot|#39);)/);
    const tag = /^<(\/?)([a-z0-9]+)((?:\s+[A-Za-z][A-Za-z0-9:-]*(?:="[^"<]*")?)*)\s*(\/?)>/i.exec(
      text.slice(next, next + 60_000),
    );
    expect(tag, `at ${text.slice(next, next + 120)}`).not.toBeNull();
    const [whole, closing, name, , self] = tag!;
    at = next + whole.length;
    if (closing) expect(open.pop(), `at ${text.slice(next - 120, next + 40)}`).toBe(name);
    else {
      found.set(name!, (found.get(name!) ?? 0) + 1);
      if (name === 'style') at = text.indexOf('</style>', at);
      if (!self && !VOID.has(name!)) open.push(name!);
    }
  }
  expect(open).toEqual([]);
  return found;
}

const SECTIONS = [
  'summary',
  'pipeline',
  'sources',
  'datasets',
  'features',
  'models',
  'monitoring',
  'verify',
  'runs',
  'reproduce',
];

function checkSelfContained(text: string): void {
  expect(text).not.toMatch(/(?:src|href|action|data|srcset)="(?!#)/);
  expect(text).not.toMatch(/@import|url\(|<script|<iframe|<object|<link|javascript:/i);
  expect(text.match(/https?:\/\//g)).toBeNull();
}

/** Every text of the data replaced by a hostile one that keeps it apart from the others; numbers and shapes stay. */
function hostile<T>(value: T, poison: (text: string) => string): T {
  if (typeof value === 'string') return poison(value) as T;
  if (Array.isArray(value)) return value.map((item: unknown) => hostile(item, poison)) as T;
  if (typeof value === 'object' && value !== null)
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, hostile(item, poison)])) as T;
  return value;
}

describe('a filled project', () => {
  let project: OpenedProject;
  let data: ReportData;
  let page: string;
  beforeAll(async () => {
    project = await filledProject({ train: 1_200, test: 600, served: 400 });
    data = await collectReport(project);
    page = renderReport(data);
  }, 60_000);
  afterAll(async () => {
    await project.close();
    await rm(project.folder, { recursive: true, force: true });
  });

  it('is well-formed, has every section with a heading that names it, and stays small', () => {
    const elements = parse(page);
    expect(elements.get('section')).toBe(SECTIONS.length);
    for (const id of SECTIONS) {
      expect(page).toContain(`<section id="${id}" aria-labelledby="${id}-title"><h2 id="${id}-title">`);
      expect(page).toContain(`<a href="#${id}">`);
    }
    expect(Buffer.byteLength(page)).toBeLessThan(400_000);
    checkSelfContained(page);
  });

  it('gives every drawing a name and every id once', () => {
    const drawings = page.match(/<svg[^>]*>/g)!;
    expect(drawings.length).toBeGreaterThan(80);
    for (const drawing of drawings) expect(drawing).toMatch(/role="img" aria-label="[^"]+"/);
    const ids = [...page.matchAll(/ id="([^"]+)"/g)].map((match) => match[1]);
    expect(new Set(ids).size).toBe(ids.length);
    expect(page).not.toMatch(/NaN|Infinity|undefined|\[object|>null</);
  });

  it('tells the ingest as the log has it', () => {
    const planes = data.sources.find((source) => source.name === 'planes')!;
    expect(planes.received).toBe(400);
    expect(planes.accepted + planes.quarantined + planes.duplicates + planes.dropped).toBe(planes.received);
    expect(planes.quarantined).toBeGreaterThan(0);
    expect(planes.reasons).toEqual([{ rule: 'year.range', rows: planes.quarantined }]);
    expect(planes.open).toBe(planes.quarantined);
    expect(page).toContain('year.range');
  });

  it('shows the champion with its interval, the gate, its history and all curves', () => {
    const shown = data.models[0]!.shown!;
    expect(data.models[0]!.champion).toBe(2);
    expect(shown.version).toBe(2);
    expect(data.models[0]!.judgedOn).toBe('test');
    const auc = shown.manifest.metrics['test']!['auc']!;
    const [low, high] = shown.manifest.evaluation['test']!.intervals['auc']!;
    for (const text of [
      auc.toFixed(4),
      `${low.toFixed(4)} to ${high.toFixed(4)}`,
      'test.auc &gt;= 0.70',
      'v1 → v2',
      'ROC curve',
      'Precision and recall',
      'Calibration on test',
      'Confusion on test',
      'Feature importance',
      'Distribution of the scores',
    ])
      expect(page).toContain(text);
  });

  it('draws the window of a monitor from the logged predictions beside training', () => {
    const monitor = data.monitors[0]!;
    expect(monitor.result!.features.drifted).toContain('departure_month');
    const month = monitor.overlays['departure_month']!;
    expect(month.kind === 'numeric' && month.reference.length).toBe(12);
    expect(month.current.at(-1)).toBe(1);
    expect(monitor.scoreOverlay).not.toBeNull();
    expect(page).toContain('null 95%');
    expect(page).toContain(`coverage ${percent(0.8)}`);
  });

  it('escapes whatever a name or a value holds', () => {
    const poison = (text: string): string =>
      /^\d{4}-\d\d-\d\dT/.test(text)
        ? text
        : `${text}"'><img src=x onerror=alert(1)></title></style></svg><script>alert(2)</script>&\u0000\u202e`;
    const safe = new Set([
      'events',
      'states',
      'files',
      'push',
      'transform',
      'binary',
      'numeric',
      'categorical',
      'quantiles',
      'values',
      'exact',
      'ok',
      'done',
    ]);
    const poisoned = hostile(data, (text) => (safe.has(text) ? text : poison(text)));
    const text = renderReport({
      ...poisoned,
      pipeline: {
        nodes: data.pipeline.nodes.map((node) => ({
          ...node,
          name: poison(node.name),
          detail: poison(node.detail),
        })),
        edges: data.pipeline.edges,
      },
    });
    const elements = parse(text);
    expect(elements.has('script')).toBe(false);
    expect(elements.has('img')).toBe(false);
    expect(text).not.toContain('\u0000');
    expect(text).not.toContain('\u202e');
    expect(text).toContain('&lt;script&gt;');
  });

  it('bounds what it draws, however much there is', () => {
    const feature = data.features[0]!;
    const monitor = data.monitors[0]!;
    const column = Object.values(monitor.result!.features.columns)[0]!;
    const many: ReportData = {
      ...data,
      features: Array.from({ length: 5_000 }, (_, i) => ({ ...feature, name: `f${i}` })),
      sources: Array.from({ length: 3_000 }, (_, i) => ({
        ...data.sources[0]!,
        name: `s${i}`,
        reasons: Array.from({ length: 20 }, (_, j) => ({ rule: `r${j}`, rows: j })),
      })),
      runs: Array.from({ length: 1_000 }, () => data.runs[0]!),
      pipeline: {
        nodes: Array.from({ length: 500 }, (_, i) => ({
          id: `source.s${i}`,
          kind: 'source' as const,
          name: `s${i}`,
          detail: '',
          column: 0,
        })),
        edges: [],
      },
      monitors: [
        {
          ...monitor,
          result: {
            ...monitor.result!,
            features: {
              ...monitor.result!.features,
              columns: Object.fromEntries(Array.from({ length: 4_000 }, (_, i) => [`f${i}`, column])),
            },
          },
        },
      ],
    };
    const text = renderReport(many);
    expect(Buffer.byteLength(text)).toBeLessThan(900_000);
    expect(text).toContain('4,800 more features are not shown');
    expect(text).toContain('487 more');
  });

  it('writes the page whole, where it is told to', async () => {
    const folder = await mkdtemp(path.join(tmpdir(), 'millrace-report-out-'));
    const { file, bytes } = await writeReport(project, path.join(folder, 'deep', 'r.html'));
    const text = await readFile(file, 'utf8');
    expect(Buffer.byteLength(text)).toBe(bytes);
    expect(text).toBe(page);
    await rm(folder, { recursive: true });
  });
});

describe('a project in which nothing has happened', () => {
  it('says so in every section, with the command that helps', async () => {
    const project = await emptyProject();
    try {
      const data = await collectReport(project);
      const page = renderReport(data);
      parse(page);
      checkSelfContained(page);
      for (const id of SECTIONS) expect(page).toContain(`<section id="${id}"`);
      for (const words of [
        'Nothing has been ingested yet',
        'No row has been read yet',
        'Not built yet',
        'millrace dataset build flights_train',
        'Not trained yet',
        'Has not run yet',
        'It has not been checked yet',
        'No run is recorded',
      ])
        expect(page).toContain(words);
      expect(page).not.toMatch(/NaN|Infinity|undefined|\[object/);
    } finally {
      await project.close();
      await rm(project.folder, { recursive: true, force: true });
    }
  });

  it('draws a page without any definition', () => {
    const page = renderReport({
      project: '',
      at: 0,
      versions: { millrace: '0', node: '0', engine: 1 },
      pipeline: { nodes: [], edges: [] },
      sources: [],
      datasets: [],
      features: [],
      models: [],
      monitors: [],
      verify: null,
      runs: [],
    });
    expect(parse(page).get('section')).toBe(SECTIONS.length);
    expect(page).toContain('This project defines no source yet');
  });
});

describe('pieces', () => {
  it('escapes what is interpolated and leaves markup alone', () => {
    expect(html`<b title="${'"<&>\''}">${[html`<i/>`, 'a<b', 3, null, false]}</b>`.markup).toBe(
      '<b title="&quot;&lt;&amp;&gt;&#39;"><i/>a&lt;b3</b>',
    );
    expect(escapeText('a\u0007\ud800b😀')).toBe('a\u{fffd}\u{fffd}b😀');
    expect(anchor('x', 'a b"<')).toBe('x-a-20b-22-3c');
    expect(anchor('a', 'b-c')).not.toBe(anchor('a', 'b', 'c'));
  });

  it('prints shares and p-values without claiming none or all', () => {
    expect([percent(0), percent(1e-9), percent(0.99999999), percent(1), percent(null)]).toEqual([
      '0%',
      '<0.1%',
      '>99.9%',
      '100%',
      '–',
    ]);
    expect([pValue(0), pValue(0.0312), pValue(0.5)]).toEqual(['<0.0001', '0.031', '0.50']);
  });

  it('finds round ticks within the range', () => {
    expect(ticks(0, 1)).toEqual([0, 0.2, 0.4, 0.6, 0.8, 1]);
    expect(ticks(-7, 68)).toEqual([0, 20, 40, 60]);
    expect(ticks(3, 3)).toEqual([3]);
  });

  it('draws quantile bins with areas that are the shares between the 1st and 99th percentile', () => {
    const values = Float64Array.from({ length: 5_000 }, (_, i) => Math.exp((i + 0.5) / 900));
    const bars = quantileBars(
      profileColumn({ type: 'numeric', values, nulls: 0 }) as Extract<
        ReturnType<typeof profileColumn>,
        { type: 'numeric' }
      >,
    )!;
    expect(bars).toHaveLength(10);
    for (const [i, bar] of bars.slice(1).entries()) expect(bar.from).toBe(bars[i]!.to);
    for (const bar of bars.slice(1, -1)) expect(bar.share).toBeCloseTo(0.1, 3);
    expect(bars.reduce((sum, bar) => sum + bar.share, 0)).toBeCloseTo(0.98, 3);
  });

  it('draws a value that repeats much by itself and loses no share', () => {
    const values = Float64Array.from({ length: 1_000 }, (_, i) => (i < 600 ? 0 : (i - 599) / 10));
    const bars = quantileBars(
      profileColumn({ type: 'numeric', values, nulls: 0 }) as Extract<
        ReturnType<typeof profileColumn>,
        { type: 'numeric' }
      >,
    )!;
    expect(bars.filter((bar) => bar.atom)).toEqual([{ from: 0, to: 0, share: 0.6, atom: true }]);
    expect(bars.reduce((sum, bar) => sum + bar.share, 0)).toBeCloseTo(0.99, 2);
  });

  it('puts both sides of an overlay on one scale, with what lies outside counted', () => {
    const reference = profileColumn({
      type: 'numeric',
      values: Float64Array.from({ length: 1_000 }, (_, i) => i / 10),
      nulls: 0,
    });
    const drawn = overlay(reference, {
      type: 'numeric',
      values: Float64Array.from({ length: 500 }, (_, i) => 50 + i / 5),
      nulls: 0,
    })!;
    expect(drawn.kind).toBe('numeric');
    const total = (shares: readonly number[]): number => shares.reduce((sum, share) => sum + share, 0);
    expect(total(drawn.reference)).toBeGreaterThan(0.98);
    expect(drawn.kind === 'numeric' && total(drawn.current) + drawn.outside).toBeCloseTo(1, 4);
    expect(equalShares([0, 1, 2, 3], [1, 1, 1, 5], 0, 3, 3)).toEqual([0.125, 0.125, 0.75]);
    expect(equalShares([], null, 0, 1, 2)).toEqual([0, 0]);
    const words = overlay(
      profileColumn({
        type: 'categorical',
        counts: new Map([
          ['a', 6],
          ['b', 2],
        ]),
        nulls: 0,
      }),
      {
        type: 'categorical',
        counts: new Map([
          ['a', 1],
          ['z', 3],
        ]),
        nulls: 0,
      },
    )!;
    expect(words).toEqual({
      kind: 'categorical',
      names: ['a', 'b', 'z'],
      reference: [0.75, 0.25, 0],
      current: [0.25, 0, 0.75],
    });
  });

  it('reads the verify fact in whatever detail it was written', () => {
    expect(verifyReport(undefined)).toBeNull();
    expect(verifyReport({ checked: 'many' })).toBeNull();
    expect(verifyReport({ checked: 10, differences: 2, features: ['a', 'b'], at: 5 })).toEqual({
      checked: 10,
      differences: 2,
      features: 2,
      observations: null,
      at: 5,
      examples: [],
    });
    const full = verifyReport({
      checked: 10,
      differing: 1,
      differences: [{ feature: 'f', at: '2024-01-01T00:00:00Z', entity: { k: 1 }, offline: 1, online: 2 }],
      features: 1,
      observations: 10,
      at: '1970-01-01T00:00:01Z',
    })!;
    expect(full).toMatchObject({
      differences: 1,
      at: 1_000_000,
      examples: ['f of {"k":1} at 2024-01-01T00:00:00Z: offline 1, online 2'],
    });
  });
});
