/** A known-answer case as a millrace project, by the table in test/cases/README.md. */
import { cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { stringify } from 'yaml';

interface CaseFeature {
  readonly name: string;
  readonly source: 'events' | 'attributes';
  readonly entity: readonly string[];
  readonly agg?: string;
  readonly column: string | null;
  readonly window?: string;
  readonly ttl?: string | null;
  readonly where?: Readonly<Record<string, string>>;
}

interface Case {
  readonly features: readonly CaseFeature[];
  readonly event_keys?: readonly string[];
  readonly attr_keys?: readonly string[];
  readonly attr_columns?: readonly string[];
  readonly num_columns?: readonly string[];
}

const header = async (file: string): Promise<string[]> =>
  (await readFile(file, 'utf8')).split('\n')[0]!.trim().split(',');

const AGGREGATIONS: Readonly<Record<string, (column: string) => Record<string, unknown>>> = {
  count: () => ({ function: 'count', source: 'events' }),
  count_nonnull: (column) => ({ function: 'count', source: `events.${column}` }),
  distinct: (column) => ({ function: 'count_distinct', source: `events.${column}` }),
  first_nonnull: (column) => ({ function: 'first', source: `events.${column}`, ignore_nulls: true }),
  last_nonnull: (column) => ({ function: 'last', source: `events.${column}`, ignore_nulls: true }),
  age_s: () => ({ function: 'seconds_since_last', source: 'events' }),
};

function eventFeature(feature: CaseFeature): Record<string, unknown> {
  const make =
    AGGREGATIONS[feature.agg!] ??
    ((column: string) => ({ function: feature.agg, source: `events.${column}` }));
  const where = Object.entries(feature.where ?? {}).map(
    ([column, value]) => `${column} = '${value.replaceAll("'", "''")}'`,
  );
  return {
    name: feature.name,
    entity: 'entity',
    aggregation: {
      ...make(feature.column ?? ''),
      window: feature.window === 'inf' ? 'all' : feature.window,
      ...(where.length > 0 ? { where: where.join(' AND ') } : {}),
    },
  };
}

function attributeFeature(feature: CaseFeature, columns: readonly string[]): Record<string, unknown> {
  const age = feature.column === '_age_s';
  return {
    name: feature.name,
    entity: 'entity',
    lookup: {
      source: `attributes.${age ? columns[0] : feature.column}`,
      ...(feature.ttl ? { max_age: feature.ttl } : {}),
      ...(age ? { output: 'age_seconds' } : {}),
    },
  };
}

export async function caseProject(
  caseFolder: string,
  folder: string,
  options: { readonly push?: boolean } = {},
): Promise<{ features: string[]; keys: string[]; observations: string; expected: string }> {
  const definition = JSON.parse(await readFile(path.join(caseFolder, 'case.json'), 'utf8')) as Case;
  const events = definition.features[0]!.source === 'events';
  const file = events ? 'events.csv' : 'attributes.csv';
  const columns = await header(path.join(caseFolder, file));
  const keys = [...(definition.event_keys ?? definition.attr_keys ?? [])];
  const numbers = new Set(definition.num_columns ?? ['limit']);
  const types: Record<string, string> = {
    event_time: 'timestamp',
    available_at: 'timestamp',
    valid_from: 'timestamp',
    recorded_at: 'timestamp',
    seq: 'int64',
    deleted: 'boolean',
  };
  const fields = Object.fromEntries(
    columns.map((name) => [name, types[name] ?? (numbers.has(name) ? 'float64' : 'string')]),
  );
  const has = (name: string): boolean => columns.includes(name);
  const source = {
    name: events ? 'events' : 'attributes',
    kind: events ? 'events' : 'states',
    read: options.push ? 'push' : { files: `data/${file}` },
    record_key: events ? 'event_id' : [...keys, 'valid_from'],
    event_time: events ? 'event_time' : 'valid_from',
    ...(has('available_at')
      ? { available_at: 'available_at' }
      : has('recorded_at')
        ? { available_at: 'recorded_at' }
        : { available_at: 'event_time' }),
    ...(has('deleted') ? { deleted: 'deleted' } : {}),
    ...(has('seq') ? { sequence: 'seq' } : {}),
    fields,
  };
  const yaml = {
    entities: [{ name: 'entity', join_keys: keys }],
    sources: [source],
    features: definition.features.map((feature) =>
      events ? eventFeature(feature) : attributeFeature(feature, definition.attr_columns ?? []),
    ),
  };
  await mkdir(path.join(folder, 'definitions'), { recursive: true });
  await mkdir(path.join(folder, 'data'), { recursive: true });
  await writeFile(path.join(folder, 'definitions/case.yaml'), stringify(yaml));
  await cp(path.join(caseFolder, file), path.join(folder, 'data', file));
  return {
    features: definition.features.map((feature) => feature.name),
    keys,
    observations: path.join(caseFolder, 'spine.csv'),
    expected: path.join(caseFolder, 'expected.csv'),
  };
}

/** RFC 4180 rows by column name; an empty field is null. */
export function parseCsv(text: string): Record<string, string | null>[] {
  const rows: (string | null)[][] = [];
  let row: (string | null)[] = [];
  let field = '';
  let quoted = false;
  let wasQuoted = false;
  const endField = (): void => {
    row.push(field === '' && !wasQuoted ? null : field);
    field = '';
    wasQuoted = false;
  };
  for (let i = 0; i < text.length; i++) {
    const c = text[i]!;
    if (quoted) {
      if (c !== '"') field += c;
      else if (text[i + 1] === '"') field += text[++i];
      else quoted = false;
    } else if (c === '"') {
      quoted = true;
      wasQuoted = true;
    } else if (c === ',') endField();
    else if (c === '\n') {
      endField();
      rows.push(row);
      row = [];
    } else if (c !== '\r') field += c;
  }
  if (field !== '' || row.length > 0) {
    endField();
    rows.push(row);
  }
  const [names, ...body] = rows;
  return body.map((cells) => Object.fromEntries(names!.map((name, i) => [name!, cells[i] ?? null])));
}

/** 1e-9 × max(1, |x|) for numbers; texts exactly; null only null. */
export function agrees(expected: string | null, got: unknown): boolean {
  if (expected === null || got === null || got === undefined)
    return expected === null && (got === null || got === undefined);
  const [a, b] = [Number(expected), Number(got)];
  if (expected.trim() !== '' && Number.isFinite(a) && Number.isFinite(b))
    return Math.abs(a - b) <= 1e-9 * Math.max(1, Math.abs(a));
  return expected === String(got);
}
