/** One kernel for each feature and lookup of one view: a typed-array kernel where there is one, else the fold. */
import { foldFor } from '../../algebra/catalogue.js';
import { categoryText, compareText } from '../../algebra/compare.js';
import type { Member } from '../../algebra/fold.js';
import { invariant } from '../../base/error.js';
import { MICROS_PER_SECOND } from '../../base/time.js';
import type { Value } from '../../schema/types.js';
import { columnValue } from '../columns.js';
import {
  type Column,
  STATUS,
  type SweepColumn,
  type SweepFeature,
  type SweepInput,
  type SweepLookup,
} from '../types.js';
import { countDistinct, countField, countRows, share, sums } from './counting.js';
import { folding, type MemberAt } from './folding.js';
import type { Kernel } from './kernel.js';
import { Limbs } from './limbs.js';
import { CodeOutput, NumberOutput, type Output, outputFor } from './output.js';
import { firstOrLast, leastOrGreatest, type Take } from './places.js';
import { quantiles } from './quantiles.js';
import { Field, type View } from './view.js';

/** A kernel and the result that it fills. */
export interface Planned {
  readonly kernel: Kernel;
  readonly status: Uint8Array;
  readonly finish: () => SweepColumn;
}

/** Fields and limbs of one view, made once for all features. */
export class ViewFields {
  private readonly fields = new Map<string, Field>();
  private readonly limbs = new Map<string, Limbs>();

  constructor(
    readonly view: View,
    private readonly input: SweepInput,
  ) {}

  column(name: string): Column {
    const column = this.input.records.columns.get(name);
    invariant(column, `the sweep was not given the column ${name}`);
    return column;
  }

  mask(canonical: string): Uint8Array {
    const mask = this.input.records.masks.get(canonical);
    invariant(mask, `the sweep was not given the predicate ${canonical}`);
    return mask;
  }

  field(name: string, ranked = false): Field {
    return this.make(`${ranked ? 'r' : 'f'}:${name}`, () => {
      const column = this.column(name);
      return new Field(
        this.view,
        column,
        ranked && column.kind === 'codes' ? rankDictionary(column.dictionary) : null,
      );
    });
  }

  trues(canonical: string): Field {
    return this.make(`p:${canonical}`, () => {
      const valid = this.mask(canonical).map((bit) => (bit === 1 ? 1 : 0));
      const values = this.input.records.eventTime;
      return new Field(this.view, { type: { kind: 'boolean' }, kind: 'numbers', values, valid }, null);
    });
  }

  sums(name: string, power: 1 | 2): Limbs {
    const key = `${power}:${name}`;
    let limbs = this.limbs.get(key);
    if (!limbs) {
      limbs = new Limbs(this.field(name), power);
      this.limbs.set(key, limbs);
    }
    return limbs;
  }

  private make(key: string, build: () => Field): Field {
    let field = this.fields.get(key);
    if (!field) {
      field = build();
      this.fields.set(key, field);
    }
    return field;
  }
}

/** Place of each code in the order of the dictionary's texts. */
function rankDictionary(dictionary: readonly Value[]): Int32Array {
  const codes = Int32Array.from(dictionary.keys());
  codes.sort((a, b) => compareText(dictionary[a] as string, dictionary[b] as string));
  const ranks = new Int32Array(dictionary.length);
  for (let rank = 0; rank < codes.length; rank++) ranks[codes[rank]!] = rank;
  return ranks;
}

const result = (name: string, output: Output, status: Uint8Array, kernel: Kernel): Planned => ({
  kernel,
  status,
  finish: () => ({ name, column: output.column(), status }),
});

export function planFeature(feature: SweepFeature, fields: ViewFields, rows: number): Planned {
  const status = new Uint8Array(rows).fill(STATUS.never_seen);
  const { name, aggregation, outputType } = feature;
  const { function: fn, field, groupBy } = aggregation;
  const column = field === null ? null : fields.column(field);
  const numeric = column?.kind === 'numbers';
  if (groupBy === null) {
    const numbers = (): NumberOutput => new NumberOutput(outputType, rows);
    switch (fn) {
      case 'count': {
        const output = numbers();
        output.valid.fill(1);
        const kernel =
          field === null ? countRows(output, status) : countField(fields.field(field), output, status);
        return result(name, output, status, kernel);
      }
      case 'count_distinct': {
        if (column?.kind === 'values') break;
        const output = numbers();
        output.valid.fill(1);
        return result(name, output, status, countDistinct(fields.field(field!), output, status));
      }
      case 'ratio': {
        const output = numbers();
        return result(
          name,
          output,
          status,
          share(fields.trues(aggregation.ratioWhere!.canonical), output, status),
        );
      }
      case 'sum':
      case 'mean':
      case 'std':
      case 'var':
      case 'std_pop':
      case 'var_pop': {
        if (!numeric) break;
        const output = numbers();
        const squares = fn === 'sum' || fn === 'mean' ? null : fields.sums(field!, 2);
        const otherwise = foldKernel(feature, fields, output, status);
        const kernel = sums(
          fn,
          feature.inputType!,
          fields.sums(field!, 1),
          squares,
          otherwise,
          output,
          status,
        );
        return result(name, output, status, kernel);
      }
      case 'median':
      case 'quantile': {
        if (!numeric) break;
        const output = numbers();
        const q = fn === 'median' ? 0.5 : (aggregation.arguments.q ?? 0.5);
        return result(
          name,
          output,
          status,
          quantiles(q, feature.inputType!, fields.field(field!), output, status),
        );
      }
      case 'min':
      case 'max': {
        if (column!.kind === 'values') break;
        const output = copyOutput(column!, rows);
        const take = copying(column!, output, status, false);
        return result(name, output, status, leastOrGreatest(fn, fields.field(field!, true), take));
      }
      case 'first':
      case 'last': {
        const output = copyOutput(column!, rows);
        const { ignoreNulls } = aggregation.arguments;
        const take = copying(column!, output, status, true);
        return result(name, output, status, firstOrLast(fn, ignoreNulls ? fields.field(field!) : null, take));
      }
      case 'seconds_since_first':
      case 'seconds_since_last': {
        const output = numbers();
        const take: Take = (view, o, position) => {
          const row = view.out[o]!;
          status[row] = position < 0 ? STATUS.empty : STATUS.ok;
          if (position >= 0) output.set(row, (view.at[o]! - view.eventTime[position]!) / MICROS_PER_SECOND);
        };
        const end = fn === 'seconds_since_first' ? 'first' : 'last';
        return result(name, output, status, firstOrLast(end, null, take));
      }
    }
  }
  const output = outputFor(outputType, rows);
  if (fn === 'count_distinct' && groupBy === null) for (let row = 0; row < rows; row++) output.set(row, 0);
  return result(name, output, status, foldKernel(feature, fields, output, status));
}

function foldKernel(feature: SweepFeature, fields: ViewFields, output: Output, status: Uint8Array): Kernel {
  const { aggregation, inputType, byType } = feature;
  const { function: fn, field, groupBy, ratioWhere } = aggregation;
  const fold = foldFor(fn, { inputType, byType, arguments: aggregation.arguments }, groupBy !== null);
  const valueColumn = field === null ? null : fields.column(field);
  const byColumn = aggregation.arguments.by === undefined ? null : fields.column(aggregation.arguments.by);
  const groupColumn = groupBy === null ? null : fields.column(groupBy);
  const predicate = ratioWhere === null ? null : fields.mask(ratioWhere.canonical);
  const memberAt: MemberAt = (row, eventTime): Member => ({
    eventTime,
    value: valueColumn === null ? null : columnValue(valueColumn, row),
    by: byColumn ? columnValue(byColumn, row) : predicate ? truth(predicate[row]!) : null,
    group: groupColumn === null ? null : categoryOf(groupColumn, row),
  });
  return folding(fold, memberAt, output, status);
}

const truth = (mask: number): boolean | null => (mask === 2 ? null : mask === 1);

function categoryOf(column: Column, row: number): string | null {
  const value = columnValue(column, row);
  return value === null ? null : categoryText(column.type, value);
}

const copyOutput = (column: Column, rows: number): Output =>
  column.kind === 'codes'
    ? new CodeOutput(column.type, column.dictionary, rows)
    : outputFor(column.type, rows);

/** Copies the found member's value; `nullIsValue`: a member whose value is null is an answer. */
function copying(column: Column, output: Output, status: Uint8Array, nullIsValue: boolean): Take {
  const copy = copier(column, output);
  return (view, o, position) => {
    const row = view.out[o]!;
    if (position < 0) status[row] = STATUS.empty;
    else status[row] = copy(row, view.rows[position]!) || nullIsValue ? STATUS.ok : STATUS.empty;
  };
}

/** Copies one value; false when it is null. */
function copier(column: Column, output: Output): (to: number, from: number) => boolean {
  if (column.kind === 'numbers' && output instanceof NumberOutput) {
    const { values, valid } = column;
    return (to, from) => {
      if (valid !== null && valid[from] === 0) return false;
      output.values[to] = values[from]!;
      output.valid[to] = 1;
      return true;
    };
  }
  if (column.kind === 'codes') {
    return (to, from) => {
      const code = column.codes[from]!;
      if (code < 0) return false;
      output.set(to, code);
      return true;
    };
  }
  return (to, from) => {
    const value = columnValue(column, from);
    output.set(to, value);
    return value !== null;
  };
}

export function planLookup(lookup: SweepLookup, fields: ViewFields, rows: number): Planned {
  const status = new Uint8Array(rows).fill(STATUS.never_seen);
  const column = fields.column(lookup.field);
  const aged = lookup.output === 'age_seconds';
  const output = aged ? new NumberOutput(lookup.outputType, rows) : copyOutput(column, rows);
  const copy = aged ? null : copier(column, output);
  const take: Take = (view, o, position) => {
    const row = view.out[o]!;
    if (position < 0) {
      status[row] = STATUS.empty;
      return;
    }
    const age = view.at[o]! - view.eventTime[position]!;
    if (lookup.maxAge !== null && age > lookup.maxAge) {
      status[row] = STATUS.expired;
      return;
    }
    status[row] = STATUS.ok;
    if (copy) copy(row, view.rows[position]!);
    else output.set(row, age / MICROS_PER_SECOND);
  };
  return result(lookup.name, output, status, firstOrLast('last', null, take));
}
