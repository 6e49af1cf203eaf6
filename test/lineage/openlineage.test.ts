import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openLineageSink } from '../../src/adapters/openlineage/transports.js';
import { type EventFacts, type RunEvent, runEvent, uuidV7 } from '../../src/core/lineage/openlineage.js';
import { type OpenedProject, openProject } from '../../src/open.js';
import { applyPlan } from '../../src/services/apply-plan.js';
import { ingestFiles } from '../../src/services/ingest.js';
import { runMonitor } from '../../src/services/monitor.js';
import { planProject } from '../../src/services/plan-project.js';
import { scoreFile } from '../../src/services/score.js';
import { runTransform } from '../../src/services/transform.js';
import { fromYaml } from '../define/check.js';
import { DEFINITIONS, makeFolder, NOW, removeFolder } from '../http/support.js';
import { havePython, readWithClient } from './openlineage-client.js';

const MORE = `
transforms:
  - name: returns
    owner: after-sales
    description: Purchases that came back
    sql: SELECT r.purchase_id, p.user_id, p.amount, r.at FROM returned r JOIN purchases p USING (purchase_id) WHERE r.back
    record_key: purchase_id
    event_time: at
    fields: { purchase_id: string, user_id: int64, amount: decimal(2), at: timestamp }
features:
  - { name: returned_amount, entity: user, aggregation: { function: sum, source: returns.amount, window: 30d } }
monitors:
  - { name: watch, service: back, window: 60d }
`;

function project(rows: number, lineage: string): string {
  const folder = makeFolder(rows);
  writeFileSync(join(folder, 'millrace.yaml'), `project: shop\nlineage: ${lineage}\n`);
  writeFileSync(join(folder, 'definitions/all.yaml'), DEFINITIONS.replace('monitors: []', ''));
  writeFileSync(join(folder, 'definitions/more.yaml'), MORE);
  return folder;
}

describe.skipIf(!havePython)('events of a whole project', () => {
  let folder: string;
  let opened: OpenedProject;
  let events: RunEvent[];
  beforeAll(async () => {
    folder = project(300, '{ openlineage: out/lineage.ndjson, namespace: shop-test }');
    opened = await openProject(folder, { now: () => NOW });
    await applyPlan(opened, await planProject(opened));
    await runMonitor(opened, 'watch');
    await scoreFile(opened, {
      service: 'back',
      observations: join(folder, 'data/purchases.csv'),
      time: 'bought_at',
      out: join(folder, 'scores.csv'),
      log: false,
    });
    const bad = join(folder, 'data/bad.csv');
    writeFileSync(
      bad,
      'purchase_id,user_id,amount,status,bought_at,extra\nx,1,5,paid,2024-01-20T00:00:00Z,1\n',
    );
    await expect(ingestFiles(opened, opened.definitions.sources.get('purchases')!, [bad])).rejects.toThrow();
    await opened.close();
    events = readFileSync(join(folder, 'out/lineage.ndjson'), 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as RunEvent);
  }, 120_000);
  afterAll(() => removeFolder(folder));

  const of = (job: string, type: string): RunEvent =>
    events.find((event) => event.job.name === job && event.eventType === type)!;

  it('has one START and one end for every run of every kind, under UUIDs of version 7, inside its parent', () => {
    const jobs = new Set(events.map((event) => event.job.name));
    for (const job of [
      'run',
      'ingest.purchases',
      'ingest.returned',
      'transform.returns',
      'materialize',
      'dataset.baskets',
      'train.back',
      'promote.back',
      'monitor.watch',
      'score.back',
    ])
      expect(jobs, job).toContain(job);
    const runs = new Map<string, RunEvent[]>();
    for (const event of events) runs.set(event.run.runId, [...(runs.get(event.run.runId) ?? []), event]);
    for (const [id, own] of runs) {
      expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
      expect(own.map((event) => event.eventType)).toEqual([
        'START',
        own[0]!.job.name === 'ingest.purchases' && own[1]!.eventType === 'FAIL' ? 'FAIL' : 'COMPLETE',
      ]);
    }
    const whole = of('run', 'START').run.runId;
    expect(of('transform.returns', 'COMPLETE').run.facets['parent']).toMatchObject({
      run: { runId: whole },
      job: { namespace: 'shop-test', name: 'run' },
    });
  });

  it('is held by the real client, and every facet is as its schema says', () => {
    const { schemas, events: held } = readWithClient(events);
    const ajv = new Ajv2020({ strict: false, allErrors: true });
    addFormats.default(ajv);
    const validate = (url: string, value: unknown): void => {
      const schema = schemas[url];
      expect(schema, url).toBeDefined();
      if (!ajv.getSchema(url)) ajv.addSchema(schema!, url);
      const check = ajv.getSchema(url)!;
      expect(check(value) ? [] : check.errors, url).toEqual([]);
    };
    let facets = 0;
    for (const event of events) {
      validate(event.schemaURL, event);
      const groups = [event.run.facets, event.job.facets];
      for (const dataset of [...event.inputs, ...event.outputs])
        groups.push(dataset.facets ?? {}, dataset.inputFacets ?? {}, dataset.outputFacets ?? {});
      for (const group of groups)
        for (const facet of Object.values(group)) {
          facets++;
          validate((facet as { _schemaURL: string })._schemaURL, facet);
        }
    }
    expect(facets).toBeGreaterThan(100);
    for (const [i, event] of events.entries()) expect(held[i]).toMatchObject(event as object);
    // The schemas do refuse: a facet without what it must have, one with what it may not.
    const schema = of('transform.returns', 'COMPLETE').outputs[0]!.facets!['schema'] as Record<
      string,
      unknown
    >;
    const check = ajv.getSchema(schema['_schemaURL'] as string)!;
    expect(check({ ...schema, _producer: undefined })).toBe(false);
    expect(check({ ...schema, private: 1 })).toBe(false);
    expect(check({ ...schema, fields: [{ type: 'string' }] })).toBe(false);
  });

  it('carries our lineage by column, naming only datasets that are among the inputs', () => {
    const facet = of('transform.returns', 'COMPLETE').outputs[0]!.facets!['columnLineage'] as {
      fields: Record<string, { inputFields: object[] }>;
      dataset: object[];
    };
    expect(facet.fields['amount']!.inputFields).toEqual([
      {
        namespace: 'shop-test',
        name: 'source.purchases',
        field: 'amount',
        transformations: [{ type: 'DIRECT', subtype: 'IDENTITY' }],
      },
    ]);
    expect(facet.dataset).toContainEqual({
      namespace: 'shop-test',
      name: 'source.returned',
      field: 'back',
      transformations: [{ type: 'INDIRECT', subtype: 'FILTER' }],
    });
    const column = of('dataset.baskets', 'COMPLETE').outputs[0]!.facets!['columnLineage'] as typeof facet;
    expect(column.fields['spent_30d']!.inputFields).toContainEqual({
      namespace: 'shop-test',
      name: 'source.purchases',
      field: 'amount',
      transformations: [{ type: 'DIRECT', subtype: 'AGGREGATION' }],
    });
    for (const event of events) {
      const inputs = new Set(event.inputs.map((input) => `${input.namespace}\n${input.name}`));
      for (const output of event.outputs) {
        const lineage = output.facets?.['columnLineage'] as typeof facet | undefined;
        if (!lineage) continue;
        const named = [
          ...Object.values(lineage.fields).flatMap((field) => field.inputFields),
          ...(lineage.dataset ?? []),
        ];
        for (const field of named as { namespace: string; name: string }[])
          expect(inputs, event.job.name).toContain(`${field.namespace}\n${field.name}`);
      }
    }
  });

  it('tells what a batch went through, and why a run failed', () => {
    const input = of('ingest.purchases', 'COMPLETE').inputs[0]!;
    expect(input.name).toBe(join(folder, 'data/purchases.csv'));
    expect(input.inputFacets).toMatchObject({
      inputStatistics: { rowCount: 300 },
      dataQualityMetrics: { rowCount: 300 },
      dataQualityAssertions: {
        assertions: expect.arrayContaining([expect.objectContaining({ success: true })]),
      },
    });
    expect(of('ingest.purchases', 'COMPLETE').outputs[0]!.outputFacets).toMatchObject({
      outputStatistics: { rowCount: 300 },
    });
    expect(of('ingest.purchases', 'FAIL').run.facets['errorMessage']).toMatchObject({
      message: expect.stringContaining('extra'),
    });
    expect(of('transform.returns', 'COMPLETE').job.facets).toMatchObject({
      ownership: { owners: [{ name: 'after-sales', type: 'OWNER' }] },
      documentation: { description: 'Purchases that came back' },
      sql: { dialect: 'duckdb' },
    });
    expect(of('dataset.baskets', 'COMPLETE').outputs[0]!.facets!['version']).toMatchObject({
      datasetVersion: '1',
    });
  });
});

interface Received {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly event: RunEvent;
}

async function receiver(
  answer: (n: number) => number,
): Promise<{ url: string; got: Received[]; server: Server }> {
  const got: Received[] = [];
  let n = 0;
  const server = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk) => {
      body += chunk;
    });
    request.on('end', () => {
      const status = answer(n++);
      if (status < 300)
        got.push({ path: request.url!, headers: request.headers, event: JSON.parse(body) as RunEvent });
      response.writeHead(status).end();
    });
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, got, server };
}

const FACTS: EventFacts = {
  type: 'START',
  time: '2024-01-01T00:00:00Z',
  runId: uuidV7(Date.UTC(2024, 0, 1), new Uint8Array(10)),
  namespace: 'n',
  job: 'j',
  jobFacets: {},
  runFacets: {},
  parent: null,
  root: null,
  inputs: [],
  outputs: [],
};

describe('a receiver', () => {
  it('gets the events of a run in order, with the key of the environment, which nothing prints', async () => {
    const { url, got, server } = await receiver(() => 201);
    const folder = project(20, `{ openlineage: "${url}" }`);
    const warnings: string[] = [];
    process.env['MILLRACE_OPENLINEAGE_API_KEY'] = 'sesame-77';
    try {
      const opened = await openProject(folder, { now: () => NOW, warn: (message) => warnings.push(message) });
      for (const name of ['purchases', 'returned']) {
        const source = opened.definitions.sources.get(name)!;
        await ingestFiles(opened, source, (await opened.log()).expand(source));
      }
      await runTransform(opened, 'returns');
      await opened.close();
    } finally {
      delete process.env['MILLRACE_OPENLINEAGE_API_KEY'];
      removeFolder(folder);
      server.close();
    }
    expect(got.map((item) => `${item.event.job.name} ${item.event.eventType}`)).toEqual([
      'ingest.purchases START',
      'ingest.purchases COMPLETE',
      'ingest.returned START',
      'ingest.returned COMPLETE',
      'transform.returns START',
      'transform.returns COMPLETE',
    ]);
    expect(got[0]!.path).toBe('/api/v1/lineage');
    expect(got[0]!.headers.authorization).toBe('Bearer sesame-77');
    expect(got[0]!.event.job.namespace).toBe('shop');
    expect(JSON.stringify([got.map((item) => item.event), warnings])).not.toContain('sesame-77');
    expect(warnings).toEqual([]);
  });

  it('that is not there is a warning; the work is done', async () => {
    const folder = project(20, '{ openlineage: "http://127.0.0.1:9" }');
    const warnings: string[] = [];
    try {
      const opened = await openProject(folder, { now: () => NOW, warn: (message) => warnings.push(message) });
      const source = opened.definitions.sources.get('purchases')!;
      const result = await ingestFiles(opened, source, (await opened.log()).expand(source));
      expect(result.accepted).toBe(20);
      await opened.close();
    } finally {
      removeFolder(folder);
    }
    expect(warnings.join('\n')).toMatch(/cannot be sent \(http:\/\/127\.0\.0\.1:9 does not answer/);
    expect(warnings.join('\n')).toMatch(/not delivered/);
  });

  it('that stumbles is asked again; what it refuses for good is said, and the rest still comes', async () => {
    const statuses = [503, 201, 400, 201];
    const { url, got, server } = await receiver((n) => statuses[n] ?? 201);
    const warnings: string[] = [];
    const sink = openLineageSink(url, undefined, { warn: (message) => warnings.push(message), pauseMs: 5 });
    for (const type of ['START', 'COMPLETE', 'FAIL'] as const) sink.emit(runEvent({ ...FACTS, type }));
    await sink.close();
    server.close();
    expect(got.map((item) => item.event.eventType)).toEqual(['START', 'FAIL']);
    expect(warnings).toEqual([
      `lineage events were refused (${url} answers 400); the work itself goes on`,
      '1 lineage event was not delivered; nothing else is affected',
    ]);
    expect(got[0]!.headers.authorization).toBeUndefined();
  });
});

it('is set up in millrace.yaml, where no secret may stand', () => {
  const codes = (lineage: string): string[] =>
    fromYaml(`project: a\nlineage: ${lineage}\n`, true).diagnostics.map((item) => item.message);
  expect(codes('{ openlineage: x.ndjson }')).toEqual([]);
  expect(
    fromYaml('project: a\nlineage: { openlineage: x.ndjson }', true).definitions.settings.lineage,
  ).toEqual({
    openlineage: '/project/x.ndjson',
    namespace: 'a',
  });
  expect(codes('{ openlineage: "https://u:p@lineage.example" }')).toEqual([
    '`openlineage` holds a user or a password',
  ]);
  expect(codes('{ openlineage: "kafka://lineage.example" }')).toHaveLength(1);
  expect(codes('{ namespace: x }')).toHaveLength(1);
  expect(existsSync('/project')).toBe(false);
});
