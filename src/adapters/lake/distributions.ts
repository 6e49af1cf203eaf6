import { readFileSync } from 'node:fs';
import { isAbsolute, join } from 'node:path';
import type { BatchRule, DistributionReference } from '../../core/define/types.js';
import { type BatchProfile, mergeBatches } from '../../core/drift/batch-profile.js';
import { compareProfiles } from '../../core/drift/compare.js';
import type { ColumnComparison } from '../../core/drift/comparison.js';
import type { ColumnSample } from '../../core/drift/grouped.js';
import type { ColumnProfile, Profile } from '../../core/drift/profile.js';
import type { DistributionFinding } from '../../core/quality/index.js';
import { systemError } from '../files/errors.js';

type Distribution = Extract<BatchRule['check'], { kind: 'distribution' }>;

export interface ReferenceContext {
  readonly projectFolder: string;
  /** Profiles of the batches before this one, newest first. */
  profiles(limit: number): readonly BatchProfile[];
  /** What a data file of the source looks like. */
  profileFile(path: string): Promise<BatchProfile>;
}

export interface DistributionFindings {
  readonly found: Readonly<Record<string, DistributionFinding>>;
  /** Rule id → why it could not be judged. */
  readonly errors: Readonly<Record<string, string>>;
}

/** Holds the distribution rules against their references; the tests are corrected over all rules of the batch. */
export async function judgeDistributions(
  rules: readonly BatchRule[],
  samples: Readonly<Record<string, ColumnSample>>,
  context: ReferenceContext,
): Promise<DistributionFindings> {
  const found: Record<string, DistributionFinding> = {};
  const errors: Record<string, string> = {};
  const policies = new Map<string, { readonly check: Distribution; readonly ids: string[] }>();
  const references: Record<string, readonly [ColumnProfile, string]> = {};
  const fields: Record<string, string> = {};
  const files = new Map<string, Promise<BatchProfile>>();
  for (const { id, check } of rules) {
    if (check.kind !== 'distribution') continue;
    try {
      const reference = await referenceOf(check.against, check.field, context, files);
      if (typeof reference === 'string') {
        found[id] = { verdict: 'insufficient_data', found: reference };
        continue;
      }
      references[id] = reference;
      fields[id] = check.field;
      const policy = JSON.stringify([check.minimumEffect, check.minimumRows]);
      if (!policies.has(policy)) policies.set(policy, { check, ids: [] });
      policies.get(policy)!.ids.push(id);
    } catch (error) {
      errors[id] = error instanceof Error ? error.message : String(error);
    }
  }
  for (const { check, ids } of policies.values()) {
    const comparison = compareProfiles(
      Object.fromEntries(ids.map((id) => [id, references[id]![0]])),
      Object.fromEntries(ids.map((id) => [id, samples[fields[id]!]!])),
      { minimum_effect: check.minimumEffect, minimum_rows: check.minimumRows },
    );
    for (const id of ids) {
      const column = comparison.columns[id]!;
      found[id] = { verdict: column.verdict, found: `${describe(column)}; reference: ${references[id]![1]}` };
    }
  }
  return { found, errors };
}

/** The profile of a field and what it is; a text says why there is none. */
async function referenceOf(
  against: DistributionReference,
  field: string,
  context: ReferenceContext,
  files: Map<string, Promise<BatchProfile>>,
): Promise<readonly [ColumnProfile, string] | string> {
  if (against.kind === 'batches') {
    const before = context.profiles(against.batches);
    const merged = mergeBatches(before, field);
    return merged
      ? [merged, `the ${before.length === 1 ? 'batch' : `${before.length} batches`} before`]
      : 'there is no batch before';
  }
  const path = isAbsolute(against.path) ? against.path : join(context.projectFolder, against.path);
  let columns: Readonly<Record<string, ColumnProfile>>;
  if (against.kind === 'file') {
    const profile = files.get(path) ?? context.profileFile(path);
    files.set(path, profile);
    const merged = mergeBatches([await profile], field);
    columns = merged ? { [field]: merged } : {};
  } else columns = readProfile(path);
  const column = columns[field];
  if (!column) throw new Error(`${against.path} has no profile of ${field}`);
  return [column, against.path];
}

/** A profile, or the manifest of a dataset, which has one. */
function readProfile(path: string): Profile['columns'] {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw systemError(error, path);
  }
  const { columns, profile } = JSON.parse(text) as {
    readonly columns?: Profile['columns'];
    readonly profile?: Profile['columns'];
  };
  const found = columns ?? profile;
  if (typeof found !== 'object') throw new Error(`${path} is no profile: it has no columns`);
  return found;
}

const round = (value: number): string => String(Number(value.toPrecision(3)));
const percent = (share: number): string => `${round(share * 100)} %`;

function describe(column: ColumnComparison): string {
  const { tests, effects } = column;
  const parts: string[] = [];
  const effect = effects.find(({ measure }) => measure !== 'null_rate');
  if (effect?.measure === 'ks')
    parts.push(
      `KS D ${round(effect.observed)} (by chance ${round(effect.noise)}), p ${round(tests.ks!.p_value)}`,
    );
  if (effect?.measure === 'total_variation')
    parts.push(
      `total variation ${round(effect.observed)} (by chance ${round(effect.noise)}), p ${round(tests.chi_squared_merged!.p_value)}`,
    );
  if (column.reasons.includes('null_rate_changed'))
    parts.push(`nulls ${percent(tests.null_rate!.reference)} → ${percent(tests.null_rate!.current)}`);
  for (const reason of column.reasons)
    if (reason === 'type_changed' || reason === 'too_few_rows' || reason === 'identifier_like')
      parts.push(reason.replaceAll('_', ' '));
  return parts.join(', ') || 'the same';
}
