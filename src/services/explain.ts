/** The records and the SQL behind one value. */
import path from 'node:path';
import { aggregateSql, arithmeticOf, series } from '../core/algebra/reading.js';
import { MillraceError } from '../core/base/error.js';
import { nearest } from '../core/base/nearest.js';
import { type Instant, printDuration, printInstant } from '../core/base/time.js';
import type { Aggregation, Feature, Lookup, Source } from '../core/define/types.js';
import {
  type FeaturePlan,
  type Indexes,
  NO_INDEXES,
  planFeatures,
  searchRow,
} from '../core/engine/feature-plan.js';
import { statesAt } from '../core/engine/neighbours.js';
import { compileJsRow, type Expression, printSql, vectorMetrics } from '../core/expression/index.js';
import { printValue, toJson } from '../core/schema/coerce-print.js';
import { quoteName } from '../core/schema/coerce-sql.js';
import { printType, TIMESTAMP, type Value, type ValueType } from '../core/schema/types.js';
import type { EntityLog, LogRecord, LogState } from '../ports/record-log.js';
import { catchUp } from './materialize.js';
import { currentHorizons, type Project } from './project.js';
import { answerFeatures, featureReader } from './serve.js';
import { offlineIndexes } from './vectors.js';

export interface ExplainedPart {
  readonly feature: string;
  readonly value: unknown;
  readonly status: string;
  readonly definition: string;
  /** How the value comes from the numbers of the records. */
  readonly arithmetic: string;
  /** Members of the window, oldest first; the last fifty. */
  readonly records: readonly Readonly<Record<string, unknown>>[];
  readonly members: number;
  /** Files of the log that hold the members. */
  readonly segments: readonly ExplainedSegment[];
  /** The value, or for functions that SQL does not have its inputs, from the log: DuckDB runs it in the project's folder. */
  readonly sql: string | null;
}

export interface ExplainedSegment {
  /** Within the project's folder. */
  readonly file: string;
  readonly rows: number;
  /** Members among them. */
  readonly records: number;
}

/** Of the records of a value, the last so many are shown. */
const SHOWN = 50;

export interface Explanation {
  readonly feature: string;
  readonly value: unknown;
  readonly status: string;
  readonly at: string;
  readonly definition: string;
  readonly parts: readonly ExplainedPart[];
}

export async function explainFeature(
  project: Project,
  name: string,
  given: {
    readonly entity: Readonly<Record<string, string>>;
    readonly request: Readonly<Record<string, string>>;
    readonly at: Instant | undefined;
  },
  command: string,
): Promise<Explanation> {
  const feature = project.definitions.features.get(name);
  if (!feature) {
    const near = nearest(name, project.definitions.features.keys());
    throw new MillraceError('UNKNOWN_NAME', `there is no feature named "${name}"`, {
      hint: near ? `Did you mean "${near}"?` : 'See `millrace check`.',
    });
  }
  const at = given.at ?? project.now();
  const plan = planFeatures(project.definitions, [feature]);
  await catchUp(
    project,
    plan.groups.map((group) => group.id),
    command,
  );
  const reader = await featureReader(
    project,
    plan.closure.map((item) => item.name),
  );
  const answer = answerFeatures(
    reader,
    { entities: [given.entity], request: [given.request], at, text: true },
    at,
  );
  const keys = reader.parseEntity(given.entity, 0, true);
  const requested = reader.parseRequest(given.request, 0, true);
  const { slots } = reader.read([keys], [requested], at).rows[0]!;
  const searches = plan.groups.some((group) => group.searches.length > 0);
  const indexes = searches
    ? await offlineIndexes(project, plan, await currentHorizons(project), 'as_of')
    : NO_INDEXES;
  const answerOf = (item: Feature): { value: unknown; status: string } => {
    const i = answer.features.indexOf(item.name);
    return { value: answer.rows[0]!.values[i], status: answer.rows[0]!.statuses[i]! };
  };
  const parts: ExplainedPart[] = [];
  for (const item of plan.closure) {
    const given = answerOf(item);
    parts.push({
      feature: item.name,
      ...given,
      definition: describe(item),
      ...(searchPart(item, slots, at, indexes) ??
        derivedPart(plan, item, slots, at, JSON.stringify(given.value)) ??
        (await partOf(project, item, keys, at, JSON.stringify(given.value)))),
    });
  }
  return {
    feature: name,
    ...answerOf(feature),
    at: printInstant(at),
    definition: describe(feature),
    parts: parts.reverse(),
  };
}

function describe(feature: Feature): string {
  const { computation } = feature;
  switch (computation.kind) {
    case 'aggregation': {
      const of =
        computation.field === null ? computation.source : `${computation.source}.${computation.field}`;
      const window =
        computation.window === null
          ? 'the whole history'
          : `[t - ${printDuration(computation.window + computation.offset)}, t${computation.offset === 0 ? '' : ` - ${printDuration(computation.offset)}`}${computation.includeCurrent ? ']' : ')'}`;
      const where = computation.where ? ` where ${computation.where.text}` : '';
      const ratio = computation.ratioWhere ? ` share of ${computation.ratioWhere.text}` : '';
      return `${computation.function}(${of})${ratio}${where} over ${window} by ${feature.joinKeys.join(', ')}: ${printType(feature.valueType)}`;
    }
    case 'lookup':
      return `${computation.output === 'age_seconds' ? 'age of' : 'latest'} ${computation.source}.${computation.field}${computation.maxAge === null ? '' : `, at most ${printDuration(computation.maxAge)} old`} by ${feature.joinKeys.join(', ')}: ${printType(feature.valueType)}`;
    case 'neighbours': {
      const { output, k, key, source, field, query, metric, maxAge, where } = computation;
      return `${output} of the ${k} nearest ${key} by ${metric} of ${source}.${field} to ${query.text}${where === null ? '' : ` where ${where.text}`}${maxAge === null ? '' : `, at most ${printDuration(maxAge)} old`}: ${printType(feature.valueType)}`;
    }
    case 'expression':
      return `${computation.expression.text}: ${printType(feature.valueType)}`;
    case 'function':
      return `TypeScript function of ${computation.inputs.join(', ')}: ${printType(feature.valueType)}`;
  }
}

type Evidence = Omit<ExplainedPart, 'feature' | 'value' | 'status' | 'definition'>;

/** The neighbours that a search finds, with their vectors and distances. */
function searchPart(
  feature: Feature,
  slots: Readonly<Record<string, Value>>,
  at: Instant,
  indexes: Indexes,
): Evidence | null {
  const { computation } = feature;
  const index = indexes.get(feature.name);
  if (computation.kind !== 'neighbours' || !index) return null;
  const members = statesAt(index, at);
  const records = (searchRow(computation, slots, at, index) ?? []).map(({ key, distance, state }) => ({
    [computation.key]: key,
    distance,
    [computation.field]: state.vector,
    event_time: printInstant(state.validFrom),
    available_at: printInstant(state.availableAt),
    seq: state.seq,
  }));
  const states = `${members} state${members === 1 ? '' : 's'}`;
  return {
    arithmetic: `the nearest ${records.length} of ${states} known at ${printInstant(at)}`,
    records,
    members,
    segments: [],
    sql: null,
  };
}

/** Longer texts of an input are cut. */
const LONG = 200;

/** The numbers between two vectors and the function of them. */
const VECTORS: Partial<Record<string, (a: readonly number[], b: readonly number[]) => string>> = {
  cosine_similarity: (a, b) =>
    `(a·b) / (|a| |b|) = ${vectorMetrics.dotProduct(a, b)} / (${lengthOf(a)} × ${lengthOf(b)})`,
  dot_product: (a, b) =>
    series(
      a.map((x, i) => `${x} × ${b[i]}`),
      ' + ',
    ),
  euclidean_distance: (a, b) =>
    `√(${series(
      a.map((x, i) => `(${x} - ${b[i]})²`),
      ' + ',
    )})`,
};
const lengthOf = (vector: readonly number[]): number | null =>
  vectorMetrics.euclideanDistance(
    vector,
    vector.map(() => 0),
  );

/** What a user's function threw, or gave that is not of its type; empty where it did not fail. */
function failureOf(
  plan: FeaturePlan,
  feature: Feature,
  slots: Readonly<Record<string, Value>>,
  at: Instant,
): string {
  try {
    plan.derived.find((derived) => derived.feature === feature)!.compute(slots, at, undefined);
    return '';
  } catch (error) {
    return `: ${error instanceof Error ? error.message : String(error)}`;
  }
}

/** The inputs of an expression or a function, and for two vectors the numbers in between; null: it is no such feature. */
function derivedPart(
  plan: FeaturePlan,
  feature: Feature,
  slots: Readonly<Record<string, Value>>,
  at: Instant,
  shown: string,
): Evidence | null {
  const { computation } = feature;
  if (computation.kind !== 'expression' && computation.kind !== 'function') return null;
  const types = new Map<string, ValueType>([
    ...plan.closure.map(({ name, valueType }) => [name, valueType] as const),
    ...plan.joinKeys.map(({ name, type }) => [name, type] as const),
    ...plan.requestFields.map(({ name, type }) => [`request.${name}`, type] as const),
    ['as_of', TIMESTAMP],
  ]);
  const inputs =
    computation.kind === 'function'
      ? computation.inputs
      : computation.expression.slots.map(({ slot }) => slot);
  const given = inputs.map((slot) => {
    const text = JSON.stringify(toJson(types.get(slot)!, slots[slot] ?? null));
    return `${slot} = ${text.length > LONG ? `${text.slice(0, LONG)}…` : text}`;
  });
  const [a, b] = inputs.map((slot) => slots[slot]);
  const ast = computation.kind === 'expression' ? computation.expression.ast : null;
  const between =
    ast?.node === 'operation' && Array.isArray(a) && Array.isArray(b) && a.length === b.length
      ? VECTORS[ast.op]?.(a as number[], b as number[])
      : undefined;
  const inputText = given.length === 0 ? '' : `with ${given.join(', ')}`;
  return {
    arithmetic:
      between === undefined
        ? `${inputText} → ${shown}${failureOf(plan, feature, slots, at)}`.trim()
        : `${inputText}: ${between} = ${shown}`,
    records: [],
    members: 0,
    segments: [],
    sql: null,
  };
}

async function partOf(
  project: Project,
  feature: Feature,
  keys: Readonly<Record<string, Value>>,
  at: Instant,
  shown: string,
): Promise<Evidence> {
  const { computation } = feature;
  if (computation.kind !== 'aggregation' && computation.kind !== 'lookup')
    return {
      arithmetic: `nothing to search with → ${shown}`,
      records: [],
      members: 0,
      segments: [],
      sql: null,
    };
  const source = project.definitions.sources.get(computation.source)!;
  const log = await project.log();
  const state = await log.state(source);
  const entity = new Map(feature.joinKeys.map((key) => [source.keys[key] ?? key, keys[key] ?? null]));
  const held = log.entity(source, state, entity);
  const window = windowOf(feature, at);
  const where =
    computation.kind === 'aggregation' && computation.where ? compileJsRow(computation.where) : null;
  const known = new Map<string, LogRecord>();
  for await (const chunk of held.versions())
    for (const record of chunk) {
      if (record.availableAt > at) continue;
      const id = JSON.stringify(source.recordKey.map((field) => String(record.fields[field])));
      const present = known.get(id);
      if (!present || byKnowledge(record, present) > 0) known.set(id, record);
    }
  const members = [...known.values()]
    .filter(
      (record) => !record.deleted && [...entity].every(([field, value]) => record.fields[field] === value),
    )
    .filter(
      ({ eventTime }) =>
        eventTime >= window.from && (window.closed ? eventTime <= window.to : eventTime < window.to),
    )
    .filter((record) => where === null || where(record.fields) === true)
    .sort((a, b) => a.eventTime - b.eventTime || byTie(source, a, b));
  const used = computation.kind === 'lookup' ? members.slice(-1) : members;
  const fields = source.fields.filter(
    (field) =>
      source.recordKey.includes(field.name) ||
      field.name === computation.field ||
      (computation.kind === 'aggregation' &&
        (field.name === computation.groupBy || field.name === computation.arguments.by)),
  );
  const records = used.slice(-SHOWN).map((record) => ({
    ...Object.fromEntries(
      fields.map((field) => [field.name, toJson(field.type, record.fields[field.name] ?? null)]),
    ),
    event_time: printInstant(record.eventTime),
    available_at: printInstant(record.availableAt),
    seq: record.seq,
  }));
  return {
    arithmetic:
      computation.kind === 'aggregation'
        ? aggregated(computation, source, members, shown)
        : lookedUp(computation, source, used[0], at, shown),
    records,
    members: used.length,
    segments: segmentsOf(project, state, used),
    sql: sqlOf(project, feature, source, held, window, at),
  };
}

/** Which of two versions of a record is known last. */
const byKnowledge = (a: LogRecord, b: LogRecord): number =>
  a.availableAt - b.availableAt || a.order - b.order || a.seq - b.seq;

/** Records of one event_time: by what the source declares, else by knowledge (decisions/0003). */
const byTie = (source: Source, a: LogRecord, b: LogRecord): number =>
  (source.sequence === undefined ? 0 : a.order - b.order) || byKnowledge(a, b);

interface Window {
  readonly from: Instant;
  readonly to: Instant;
  /** Whether a record at `to` belongs to it. */
  readonly closed: boolean;
}

function windowOf({ computation }: Feature, at: Instant): Window {
  if (computation.kind !== 'aggregation') return { from: Number.NEGATIVE_INFINITY, to: at, closed: true };
  const to = at - computation.offset;
  return {
    from: computation.window === null ? Number.NEGATIVE_INFINITY : to - computation.window,
    to,
    closed: computation.includeCurrent,
  };
}

function aggregated(
  aggregation: Aggregation,
  source: Source,
  members: readonly LogRecord[],
  shown: string,
): string {
  const typeOf = (name: string | null | undefined) =>
    source.fields.find((field) => field.name === name)?.type ?? null;
  const share = aggregation.ratioWhere ? compileJsRow(aggregation.ratioWhere) : null;
  const groupType = typeOf(aggregation.groupBy);
  const inputType = typeOf(aggregation.field);
  return arithmeticOf(
    aggregation,
    members.map(({ eventTime, fields }) => ({
      eventTime,
      value: aggregation.field === null ? null : (fields[aggregation.field] ?? null),
      by: share ? share(fields) : (fields[aggregation.arguments.by ?? ''] ?? null),
      ...(aggregation.groupBy !== null && {
        group:
          (fields[aggregation.groupBy] ?? null) === null
            ? null
            : printValue(groupType!, fields[aggregation.groupBy]!),
      }),
    })),
    { inputType, byType: typeOf(aggregation.arguments.by), arguments: aggregation.arguments },
    shown,
  );
}

function lookedUp(
  lookup: Lookup,
  source: Source,
  state: LogRecord | undefined,
  at: Instant,
  shown: string,
): string {
  if (!state) return `no state of ${source.name} is known at ${printInstant(at)}`;
  const age = at - state.eventTime;
  const old = `valid from ${printInstant(state.eventTime)}, ${printDuration(age)} before`;
  if (lookup.output === 'age_seconds') return `${old} = ${shown} seconds`;
  return lookup.maxAge !== null && age > lookup.maxAge
    ? `the state ${old}, is older than ${printDuration(lookup.maxAge)}`
    : `the state ${old}: ${shown}`;
}

/** Records by the file of the log that holds them, in the order of the log. */
function segmentsOf(
  project: Project,
  state: LogState,
  records: readonly LogRecord[],
): readonly ExplainedSegment[] {
  return state.segments.flatMap(({ file, firstSeq, lastSeq, rows }) => {
    const held = records.filter(({ seq }) => seq >= firstSeq && seq <= lastSeq).length;
    return held === 0 ? [] : [{ file: path.relative(project.folder, file), rows, records: held }];
  });
}

/** Runs in any DuckDB as it stands; times are microseconds since 1970. */
function sqlOf(
  project: Project,
  { computation }: Feature,
  source: Source,
  held: EntityLog,
  window: Window,
  at: Instant,
): string | null {
  if (computation.kind !== 'aggregation' && computation.kind !== 'lookup') return null;
  const print = (expression: Expression): string =>
    printSql(expression, { dialect: 'duckdb', column: quoteName });
  const order = [
    '"_event_time"',
    ...(source.sequence === undefined ? [] : ['"_order"']),
    '"_available_at"',
    '"_seq"',
  ];
  const within = [
    ...(window.from === Number.NEGATIVE_INFINITY ? [] : [`"_event_time" >= ${window.from}`]),
    `"_event_time" ${window.closed ? '<=' : '<'} ${window.to}`,
    ...(computation.kind === 'aggregation' && computation.where
      ? [`(${print(computation.where)}) IS TRUE`]
      : []),
  ].join(' AND ');
  const known = held.knownSql(at).replaceAll(`${project.folder}${path.sep}`, '');
  const from = `WITH known AS (${known})\nSELECT`;
  if (computation.kind === 'lookup')
    return `${from} ${quoteName(computation.field)} FROM known WHERE ${within} ORDER BY ${order.map((column) => `${column} DESC`).join(', ')} LIMIT 1`;
  const value = aggregateSql(computation, {
    value: computation.field === null ? null : quoteName(computation.field),
    share: computation.ratioWhere ? print(computation.ratioWhere) : null,
    order: order.join(', '),
    at: String(at),
  });
  if (computation.groupBy === null) return `${from} ${value} FROM known WHERE ${within}`;
  const group = quoteName(computation.groupBy);
  return `${from} ${group}, ${value} FROM known WHERE ${within} AND ${group} IS NOT NULL GROUP BY ${group}`;
}
