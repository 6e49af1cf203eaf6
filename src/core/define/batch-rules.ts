/** Rules of a batch as a whole. */

import { isNumeric, printType } from '../schema/types.js';
import { findField, type Resolved } from './context.js';
import { freshId, isBatchSql, type RawContract } from './judgement.js';
import type { Located, MappingEntry } from './shape.js';
import type { BatchRule, DistributionReference, Source, Statistic } from './types.js';

type RawBatch = NonNullable<RawContract['batch']>[number];
interface Limits {
  readonly min?: Located<number>;
  readonly max?: Located<number>;
}
const between = ({ min, max }: Limits) => ({
  ...(min ? { min: min.value } : {}),
  ...(max ? { max: max.value } : {}),
});

const DEFAULT_BATCHES = 10;
const DEFAULT_EFFECT = 0.05;
const DEFAULT_ROWS = 30;

export function readBatch(
  context: Resolved,
  source: Source,
  blocks: readonly RawBatch[],
): readonly BatchRule[] {
  const rules: BatchRule[] = [];
  for (const block of blocks) readBatchBlock(context, source, block, rules);
  // What `schema_changes` says of added columns holds where the contract itself says nothing of them.
  if (source.schemaChanges?.added === undefined && !rules.some(({ check }) => check.kind === 'extra_columns'))
    rules.push({
      id: 'extra_columns',
      check: { kind: 'extra_columns', policy: 'warn' },
      severity: 'info',
      action: 'warn',
    });
  return rules;
}

function readBatchBlock(context: Resolved, source: Source, raw: RawBatch, rules: BatchRule[]): void {
  const { report } = context;
  const base = { severity: raw.severity?.value ?? 'error', action: raw.action?.value ?? 'fail' } as const;
  const add = (id: string, check: BatchRule['check']): void =>
    void rules.push({ id: freshId(id, rules), check, ...base });
  const known = (key: string, name: string, place: Located<string>['place'], numeric: boolean): boolean => {
    const field = findField(context, `contract of source \`${source.name}\``, source, {
      value: name,
      text: name,
      place,
      at: () => place,
    });
    if (field && numeric && !isNumeric(field.type)) {
      report.add('DEF_TYPE', place, `\`${key}\` needs a number, and \`${name}\` is ${printType(field.type)}`);
      return false;
    }
    return field !== undefined;
  };
  const each = <V>(
    key: string,
    entries: ReadonlyMap<string, MappingEntry<V>> | undefined,
    numeric: boolean,
    use: (name: string, value: V) => void,
  ): void => {
    for (const [name, { value, keyPlace }] of entries ?? [])
      if (known(key, name, keyPlace, numeric)) use(name, value);
  };
  if (raw.rows) add('row_count', { kind: 'row_count', ...between(raw.rows) });
  each('null_rate', raw.null_rate, false, (field, limits) =>
    add(`${field}.null_rate`, {
      kind: 'null_rate',
      field,
      ...('value' in limits ? { max: limits.value } : between(limits)),
    }),
  );
  each('distinct_count', raw.distinct_count, false, (field, limits) =>
    add(`${field}.distinct_count`, { kind: 'distinct_count', field, ...between(limits) }),
  );
  each('mean', raw.mean, true, (field, limits) =>
    add(`${field}.mean`, { kind: 'mean', field, ...between(limits) }),
  );
  for (const statistic of ['std', 'sum', 'min', 'max'] as const satisfies readonly Statistic[])
    each(statistic, raw[statistic], true, (field, limits) =>
      add(`${field}.${statistic}`, { kind: 'statistic', statistic, field, ...between(limits) }),
    );
  each('median', raw.median, true, (field, limits) =>
    add(`${field}.median`, { kind: 'statistic', statistic: 'quantile', field, q: 0.5, ...between(limits) }),
  );
  each('quantile', raw.quantile, true, (field, quantiles) => {
    for (const { q, ...limits } of quantiles)
      if (q)
        add(`${field}.quantile_${q.value}`, {
          kind: 'statistic',
          statistic: 'quantile',
          field,
          q: q.value,
          ...between(limits),
        });
  });
  for (const [field, { value, keyPlace }] of raw.distribution ?? []) {
    if (!known('distribution', field, keyPlace, false)) continue;
    const against = readReference(context, field, value);
    if (!against) continue;
    const limits = '$' in value ? value : undefined;
    add(`${field}.distribution`, {
      kind: 'distribution',
      field,
      against,
      minimumEffect: limits?.minimum_effect?.value ?? DEFAULT_EFFECT,
      minimumRows: limits?.minimum_rows?.value ?? DEFAULT_ROWS,
    });
  }
  for (const { name, sql, ...limits } of raw.rules ?? []) {
    if (!name || !sql || !isBatchSql(report, `rule \`${name.value}\``, sql)) continue;
    const bounds = between(limits);
    if (Object.keys(bounds).length === 0 && /^\s*select\s+count\s*\(/i.test(sql.value))
      report.add('DEF_MISSING_KEY', sql.place, `rule \`${name.value}\` gives a count and has no limit`, {
        hint: 'Add `max: 0`; without a limit the rows that the SQL gives are the breach, and a count is always a row.',
      });
    else add(name.value, { kind: 'sql', sql: sql.value, ...bounds });
  }
  if (raw.quarantine_rate)
    add('quarantine_rate', { kind: 'quarantine_rate', max: raw.quarantine_rate.value });
  if (raw.extra_columns) {
    const policy = raw.extra_columns.value;
    rules.push({
      id: freshId('extra_columns', rules),
      check: { kind: 'extra_columns', policy },
      severity: policy === 'refuse' ? base.severity : 'info',
      action: policy === 'refuse' ? 'fail' : 'warn',
    });
  }
}

function readReference(
  context: Resolved,
  field: string,
  raw: NonNullable<RawBatch['distribution']> extends ReadonlyMap<string, MappingEntry<infer V>> ? V : never,
): DistributionReference | undefined {
  if (!('$' in raw)) return { kind: 'batches', batches: DEFAULT_BATCHES };
  const kinds = (['batches', 'file', 'profile'] as const).filter((key) => raw.$.keys.has(key));
  if (kinds.length > 1)
    return context.report.add(
      'DEF_INVALID_VALUE',
      raw.$.place,
      `\`distribution\` of field \`${field}\` names ${kinds.join(' and ')}: expected one of batches, file, profile`,
    );
  if (raw.file) return { kind: 'file', path: raw.file.value };
  if (raw.profile) return { kind: 'profile', path: raw.profile.value };
  return { kind: 'batches', batches: raw.batches?.value ?? DEFAULT_BATCHES };
}
