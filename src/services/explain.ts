/** The records and the SQL behind one value. */
import { MillraceError } from '../core/base/error.js';
import { nearest } from '../core/base/nearest.js';
import { type Instant, printDuration, printInstant } from '../core/base/time.js';
import type { Feature } from '../core/define/types.js';
import { type Indexes, NO_INDEXES, planFeatures, searchRow } from '../core/engine/feature-plan.js';
import { statesAt } from '../core/engine/neighbours.js';
import { compileJsRow } from '../core/expression/index.js';
import { toJson } from '../core/schema/coerce-print.js';
import { printType, type Value } from '../core/schema/types.js';
import type { LogRecord } from '../ports/record-log.js';
import { currentHorizons } from './historical.js';
import { catchUp } from './materialize.js';
import type { Project } from './project.js';
import { answerFeatures, featureReader } from './serve.js';
import { offlineIndexes } from './vectors.js';

export interface ExplainedPart {
  readonly feature: string;
  readonly value: unknown;
  readonly status: string;
  /** One sentence: what is computed from how many records. */
  readonly arithmetic: string;
  /** Members of the window, oldest first; the last fifty. */
  readonly records: readonly Readonly<Record<string, unknown>>[];
  readonly members: number;
  /** The same value in plain SQL over the log, for reading. */
  readonly sql: string | null;
}

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
  for (const item of plan.closure)
    parts.push({
      feature: item.name,
      ...answerOf(item),
      ...(searchPart(item, slots, at, indexes) ?? (await partOf(project, item, keys, at))),
    });
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

type Evidence = Pick<ExplainedPart, 'arithmetic' | 'records' | 'members' | 'sql'>;

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
    arithmetic: `${describe(feature)}, among ${states} known at ${printInstant(at)}`,
    records,
    members,
    sql: null,
  };
}

async function partOf(
  project: Project,
  feature: Feature,
  keys: Readonly<Record<string, Value>>,
  at: Instant,
): Promise<Evidence> {
  const { computation } = feature;
  if (computation.kind !== 'aggregation' && computation.kind !== 'lookup')
    return { arithmetic: describe(feature), records: [], members: 0, sql: null };
  const source = project.definitions.sources.get(computation.source)!;
  const log = await project.log();
  const state = await log.state(source);
  const keyFields = feature.joinKeys.map((key) => source.keys[key] ?? key);
  const where =
    computation.kind === 'aggregation' && computation.where ? compileJsRow(computation.where) : null;
  const known = new Map<string, LogRecord>();
  const later = (a: LogRecord, b: LogRecord): boolean =>
    a.availableAt - b.availableAt > 0 ||
    (a.availableAt === b.availableAt && (a.order > b.order || (a.order === b.order && a.seq > b.seq)));
  for await (const chunk of log.read(source, 0, state.lastSeq))
    for (const record of chunk) {
      if (record.availableAt > at) continue;
      const id = JSON.stringify(source.recordKey.map((field) => String(record.fields[field])));
      const present = known.get(id);
      if (!present || later(record, present)) known.set(id, record);
    }
  const upper = computation.kind === 'aggregation' ? at - computation.offset : at;
  const lower =
    computation.kind === 'aggregation' && computation.window !== null
      ? upper - computation.window
      : Number.NEGATIVE_INFINITY;
  const closed = computation.kind === 'lookup' || computation.includeCurrent;
  const members = [...known.values()]
    .filter(
      (record) =>
        !record.deleted && keyFields.every((field, i) => record.fields[field] === keys[feature.joinKeys[i]!]),
    )
    .filter(
      (record) =>
        record.eventTime >= lower && (closed ? record.eventTime <= upper : record.eventTime < upper),
    )
    .filter((record) => where === null || where(record.fields) === true)
    .sort((a, b) => a.eventTime - b.eventTime || (later(a, b) ? 1 : -1));
  const shown = computation.kind === 'lookup' ? members.slice(-1) : members.slice(-50);
  const fields = source.fields.filter(
    (field) => source.recordKey.includes(field.name) || field.name === computation.field,
  );
  const records = shown.map((record) => ({
    ...Object.fromEntries(
      fields.map((field) => [field.name, toJson(field.type, record.fields[field.name] ?? null)]),
    ),
    event_time: printInstant(record.eventTime),
    available_at: printInstant(record.availableAt),
    seq: record.seq,
  }));
  const arithmetic = `${describe(feature)}, from ${members.length} record${members.length === 1 ? '' : 's'} known at ${printInstant(at)}`;
  return { arithmetic, records, members: members.length, sql: sqlOf(feature, at, keyFields, keys) };
}

const literal = (value: Value): string =>
  typeof value === 'string' ? `'${value.replaceAll("'", "''")}'` : String(value);

function sqlOf(
  feature: Feature,
  at: Instant,
  keyFields: readonly string[],
  keys: Readonly<Record<string, Value>>,
): string | null {
  const { computation } = feature;
  if (computation.kind !== 'aggregation' && computation.kind !== 'lookup') return null;
  const t = `TIMESTAMPTZ '${printInstant(at)}'`;
  const key = keyFields.map((field, i) => `${field} = ${literal(keys[feature.joinKeys[i]!]!)}`).join(' AND ');
  if (computation.kind === 'lookup')
    return `SELECT ${computation.field} FROM known(${computation.source}, ${t}) WHERE ${key} AND event_time <= ${t} ORDER BY event_time DESC LIMIT 1`;
  const upper = computation.offset === 0 ? t : `${t} - INTERVAL '${computation.offset} microseconds'`;
  const lower =
    computation.window === null
      ? ''
      : ` AND event_time >= ${upper} - INTERVAL '${computation.window} microseconds'`;
  const where = computation.where ? ` AND (${computation.where.text})` : '';
  const of = computation.ratioWhere ? computation.ratioWhere.text : (computation.field ?? '*');
  return `SELECT ${computation.function}(${of}) FROM known(${computation.source}, ${t}) WHERE ${key}${lower} AND event_time ${computation.includeCurrent ? '<=' : '<'} ${upper}${where}`;
}
