/** Routes about the quality of sources. */
import {
  answer,
  any,
  array,
  BY_RULE,
  type Description,
  json,
  missing,
  object,
  parameter,
  pathParameter,
  problem,
  ref,
  type Schema,
} from './schema.js';

const limit = parameter('limit', { type: 'integer', minimum: 0, default: 20 });
export const batch = pathParameter('batch', 'A batch; the first characters of its id are enough');
export const reason = json(object({ reason: { type: 'string' } }, []));

/** Batches, and what people say of them. */
export function describeBatches({ add }: Description, source: Schema): void {
  add('get', '/v1/sources/{name}/batches', {
    tag: 'quality',
    id: 'source_batches',
    summary: 'Batches of a source with what history says of them, newest first',
    parameters: [source, limit],
    answers: {
      200: answer('', object({ source: { type: 'string' }, batches: array(ref('Batch')) })),
      ...missing,
    },
  });
  add('get', '/v1/sources/{name}/batches/{batch}', {
    tag: 'quality',
    id: 'source_batch',
    summary: 'One batch: its counts, why it was refused, what history and rules found',
    parameters: [source, batch],
    answers: { 200: answer('', ref('Batch')), ...missing },
  });
  for (const [verb, summary] of [
    [
      'accept',
      'This was fine: all of it counts as ordinary, and files that history refused go in when ingested again',
    ],
    ['incident', 'This was not fine: nothing of it counts as ordinary'],
    ['reset', 'Take back what was said: as history judged it'],
  ] as const)
    add('post', `/v1/sources/{name}/batches/{batch}/${verb}`, {
      tag: 'quality',
      id: `batch_${verb}`,
      summary,
      parameters: [source, batch],
      body: reason,
      answers: { 200: answer('The batch as it is now', ref('Batch')) },
    });
}

/** Refused rows: the list, one of them, feeding them again, settling them. */
export function describeQuarantine({ add }: Description, source: Schema): void {
  add('get', '/v1/sources/{name}/quarantine', {
    tag: 'quality',
    id: 'quarantine',
    summary: 'Refused rows of a source with their reasons',
    parameters: [
      source,
      limit,
      parameter('status', { type: 'string', enum: ['open', 'replayed', 'dropped'] }),
      parameter('rule', { type: 'string' }),
      parameter('batch', { type: 'string' }),
    ],
    answers: {
      200: answer(
        'The first of them, and how many there are',
        object({
          source: { type: 'string' },
          total: { type: 'integer' },
          rows: array(ref('QuarantinedRow')),
        }),
      ),
      ...missing,
    },
  });
  add('get', '/v1/sources/{name}/quarantine/{id}', {
    tag: 'quality',
    id: 'quarantined_row',
    summary: 'One refused row',
    parameters: [source, pathParameter('id', 'Its number')],
    answers: { 200: answer('', ref('QuarantinedRow')), ...missing },
  });
  const selection = {
    ids: array({ type: 'integer', minimum: 1 }),
    rule: { type: 'string' },
    batch: { type: 'string' },
  };
  add('post', '/v1/sources/{name}/quarantine/replay', {
    tag: 'quality',
    id: 'quarantine_replay',
    summary: 'Feed open rows through the rules and renames of today; all of them, or those chosen',
    parameters: [source],
    body: json(object(selection, [])),
    answers: {
      200: answer(
        'rows = accepted + quarantined (still) + duplicates + dropped',
        object({
          ...Object.fromEntries(
            ['rows', 'accepted', 'quarantined', 'duplicates', 'dropped'].map((name) => [
              name,
              { type: 'integer' },
            ]),
          ),
          ...BY_RULE,
        }),
      ),
    },
  });
  add('post', '/v1/sources/{name}/quarantine/drop', {
    tag: 'quality',
    id: 'quarantine_drop',
    summary: 'Settle open rows for good; the reason stays with them',
    parameters: [source],
    body: json(object({ ...selection, reason: { type: 'string' } }, ['reason'])),
    answers: {
      200: answer('', object({ source: { type: 'string' }, dropped: { type: 'integer' } })),
    },
  });
}

/** What rules marked in the log: flagged records, repaired values. */
export function describeMarks({ add }: Description, source: Schema): void {
  const marked = {
    flagged: [
      'Records that were let in with the flag of a rule, newest first',
      object({
        seq: { type: 'integer' },
        event_time: { type: 'string', format: 'date-time' },
        flags: array({ type: 'string' }),
        record: { type: 'object' },
      }),
    ],
    repairs: [
      'Values that rules changed, newest record first',
      object({
        seq: { type: 'integer' },
        record_key: { type: 'array' },
        field: { type: 'string' },
        original: {},
        repaired: {},
        rule: { type: 'string' },
        contract: { type: 'string', description: 'Fingerprint of the source that had the rule' },
      }),
    ],
  } as const;
  for (const [name, [summary, item]] of Object.entries(marked))
    add('get', `/v1/sources/{name}/${name}`, {
      tag: 'quality',
      id: name,
      summary,
      parameters: [source, limit, parameter('rule', { type: 'string' })],
      answers: { 200: answer('', object({ source: { type: 'string' }, [name]: array(item) })), ...missing },
    });
}

/** How far a source has come; accepting a new name of a column. */
export function describeSource({ add }: Description, source: Schema): void {
  add('post', '/v1/sources/{name}/renames', {
    tag: 'quality',
    id: 'accept_rename',
    summary:
      'Read a new column for a field: writes `rename` into the definition; the server reads it when it reloads',
    parameters: [source],
    body: json({
      type: 'object',
      additionalProperties: { type: 'string' },
      example: { price_per_unit: 'unit_price' },
    }),
    answers: {
      200: answer(
        'The line that stands there now',
        object({ file: { type: 'string' }, line: { type: 'integer' }, text: { type: 'string' } }),
      ),
    },
  });
  add('get', '/v1/sources/{name}/status', {
    tag: 'quality',
    id: 'source_status',
    summary: 'How far a source has come, its last batch, its service levels',
    parameters: [source],
    answers: { ...any, 404: problem('Nothing has this name; `hint` gives the nearest') },
  });
}
