/** What people decide on a source's batches, refused rows and renames, as the command line does. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { MillraceError } from '../core/base/error.js';
import { printInstant } from '../core/base/time.js';
import type { Source } from '../core/define/types.js';
import type { QuarantinedRow } from '../ports/record-log.js';
import { acceptRename } from '../services/accept-rename.js';
import { findBatchOf, listBatches, markBatch } from '../services/batches.js';
import { findSource } from '../services/follow.js';
import { dropQuarantined, listQuarantined, type ReplayFilter, replayQuarantine } from '../services/ingest.js';
import { listFlagged, listRepairs } from '../services/marked-records.js';
import { sourceStatuses } from '../services/source-status.js';
import { bodyObject, invalid } from './bodies.js';
import type { Context } from './context.js';
import { isObject, JSON_TYPE } from './json.js';

type Query = Readonly<Record<string, string | readonly string[] | undefined>>;
interface OfSource {
  readonly Params: { readonly name: string; readonly batch: string; readonly id: string };
  readonly Querystring: Query;
}
type Request = FastifyRequest<OfSource>;

const STATUSES = ['open', 'replayed', 'dropped'] as const;
const MARKS = { accept: 'expected', incident: 'incident', reset: null } as const;
const SELECTION = ['ids', 'rule', 'batch'] as const;
const SHOWN = 20;

function query(given: Query, keys: readonly string[]): Readonly<Record<string, string | undefined>> {
  const read = bodyObject({ ...given }, keys);
  for (const [key, value] of Object.entries(read))
    if (typeof value !== 'string') throw invalid(key, `${key} is given more than once`);
  return read as Readonly<Record<string, string | undefined>>;
}

function limitOf(text: string | undefined): number {
  const limit = Number(text ?? SHOWN);
  if (text !== '' && Number.isSafeInteger(limit) && limit >= 0) return limit;
  throw invalid('limit', `limit is "${text}", which is no whole number`);
}

const text = (value: unknown, path: string): string => {
  if (typeof value === 'string' && value.trim() !== '') return value;
  throw invalid(path, `${path} must be a text`);
};

const viewOf = ({ at, ...row }: QuarantinedRow) => ({ ...row, at: printInstant(at) });

export function qualityRoutes(app: FastifyInstance, context: Context): void {
  const { project } = context;
  const sourceOf = (request: Request): Source => findSource(project, request.params.name);
  const route = (
    method: 'GET' | 'POST',
    path: string,
    answer: (source: Source, request: Request) => Promise<unknown>,
  ): void => {
    const handler = async (request: Request, reply: FastifyReply): Promise<FastifyReply> =>
      reply.header('content-type', JSON_TYPE).send(JSON.stringify(await answer(sourceOf(request), request)));
    app.route<OfSource>({ method, url: `/v1/sources/:name/${path}`, handler });
  };

  route('GET', 'status', async (source) => (await sourceStatuses(project, [source]))[0]);
  route('GET', 'batches', async (source, request) => ({
    source: source.name,
    batches: await listBatches(project, source, limitOf(query(request.query, ['limit'])['limit'])),
  }));
  route('GET', 'batches/:batch', (source, request) => findBatchOf(project, source, request.params.batch));
  for (const [verb, mark] of Object.entries(MARKS))
    route('POST', `batches/:batch/${verb}`, async (source, request) => {
      const { reason } = bodyObject(request.body ?? {}, ['reason']);
      const { batch } = await findBatchOf(project, source, request.params.batch);
      return markBatch(project, batch, mark, reason === undefined ? null : text(reason, 'reason'));
    });

  /** Rows of one source: `{"ids": [1, 2]}`, a rule, a batch; all of them without any of these. */
  const selection = async (
    source: Source,
    given: Readonly<Record<string, unknown>>,
  ): Promise<ReplayFilter & { readonly source: string }> => {
    const { ids, rule, batch } = given;
    if (ids !== undefined && !(Array.isArray(ids) && ids.every((id) => Number.isSafeInteger(id) && id > 0)))
      throw invalid('ids', 'ids must be an array of the numbers of quarantined rows');
    return {
      source: source.name,
      ...(ids === undefined ? {} : { ids: ids as readonly number[] }),
      ...(rule === undefined ? {} : { rule: text(rule, 'rule') }),
      ...(batch === undefined
        ? {}
        : { batch: (await findBatchOf(project, source, text(batch, 'batch'))).batch }),
    };
  };
  route('GET', 'quarantine', async (source, request) => {
    const { limit, status, ...rest } = query(request.query, ['limit', 'status', 'rule', 'batch']);
    const wanted = STATUSES.find((one) => one === status);
    if (status !== undefined && wanted === undefined)
      throw invalid('status', `status is "${status}"`, `Give ${STATUSES.join(', ')}.`);
    const filter = { ...(await selection(source, rest)), ...(wanted ? { status: wanted } : {}) };
    const { total, rows } = await listQuarantined(project, filter, limitOf(limit));
    return { source: source.name, total, rows: rows.map(viewOf) };
  });
  route('GET', 'quarantine/:id', async (source, request) => {
    const ids = [Number(request.params.id)];
    const { rows } = await listQuarantined(project, { source: source.name, ids }, 1);
    if (rows[0]) return viewOf(rows[0]);
    throw new MillraceError(
      'UNKNOWN_NAME',
      `${source.name} has no quarantined row ${request.params.id.slice(0, 40)}`,
      { hint: `See /v1/sources/${source.name}/quarantine.` },
    );
  });
  for (const [name, list] of [
    ['flagged', listFlagged],
    ['repairs', listRepairs],
  ] as const)
    route('GET', name, async (source, request) => {
      const { rule, limit } = query(request.query, ['rule', 'limit']);
      const filter = { ...(rule === undefined ? {} : { rule }), limit: limitOf(limit) };
      return { source: source.name, [name]: await list(project, source, filter) };
    });
  route('POST', 'quarantine/replay', async (source, request) => {
    const filter = await selection(source, bodyObject(request.body ?? {}, SELECTION));
    context.requireWriter();
    const [result] = await replayQuarantine(project, filter);
    if (result === undefined)
      return { source: source.name, rows: 0, accepted: 0, quarantined: 0, duplicates: 0, dropped: 0 };
    await context.follower.apply(source);
    await context.transforms.follow(source.name, { accepted: result.accepted, corrections: result.accepted });
    return result;
  });
  route('POST', 'quarantine/drop', async (source, request) => {
    const { reason, ...given } = bodyObject(request.body ?? {}, [...SELECTION, 'reason']);
    if (Object.keys(given).length === 0)
      throw invalid('', 'nothing says which rows to drop', 'Give ids, rule or batch.');
    const filter = await selection(source, given);
    const said = text(reason, 'reason');
    context.requireWriter();
    return { source: source.name, dropped: await dropQuarantined(project, filter, said) };
  });
  route('POST', 'renames', async (source, request) => {
    if (!isObject(request.body)) throw invalid('', 'the body must be a JSON object: {"NEW_COLUMN": "FIELD"}');
    const renames = Object.entries(request.body).map(([column, field]) => [column, text(field, column)]);
    return acceptRename(project.folder, source, Object.fromEntries(renames) as Record<string, string>);
  });
}
