/** How checked nodes come to a type: widening, casts, the type that several share, names typed by their use. */

import { parseInstant } from '../base/time.js';
import {
  decimal,
  FLOAT64,
  INT64,
  type Integer,
  isNumeric,
  printType,
  type Scalar,
  STRING,
  sameType,
  type ValueType,
} from '../schema/types.js';
import type { LiteralValue, Span } from './ast.js';
import { fail } from './lex.js';
import { parseDateText } from './parse.js';
import { decimalToFloat, floatToDecimal, rescale, rescaleWide, toFloat } from './runtime.js';
import type { Op, Parameters, Typed } from './typed.js';

/** `null`: the bare NULL, which fits every type. `unknown`: a name not yet typed. */
export type Kind = ValueType | { readonly kind: 'null' } | { readonly kind: 'unknown' };

/** A checked node, with what the checker still needs to know about it. */
export interface Checked {
  readonly kind: Kind;
  readonly typed: Typed;
  readonly span: Span;
  /** Slots whose type is found when this node's type is. */
  readonly open: readonly string[];
  readonly literal: LiteralValue | undefined;
}

export const NULL_KIND: Kind = { kind: 'null' };
export const UNKNOWN: Kind = { kind: 'unknown' };

export const showKind = (kind: Kind): string =>
  kind.kind === 'null' || kind.kind === 'unknown' ? kind.kind : printType(kind);
export const isType = (kind: Kind): kind is ValueType => kind.kind !== 'null' && kind.kind !== 'unknown';
export const literalOf = (type: ValueType, value: Scalar): Typed => ({ node: 'literal', type, value });
export const operation = (
  op: Op,
  type: ValueType,
  args: readonly Typed[],
  parameters: Parameters = {},
): Typed => ({
  node: 'operation',
  op,
  type,
  args,
  parameters,
});

export const scaleOf = (type: ValueType): number => (type.kind === 'decimal' ? type.scale : 0);

/** The rules of types in one pass over an expression. Problems are thrown (`fail`). */
export class Typing {
  /** A name found its type in this pass. */
  changed = false;
  private readonly inferred: Map<string, ValueType>;
  /** In the last pass what nothing tells is float64. */
  readonly last: boolean;

  constructor(inferred: Map<string, ValueType>, last: boolean) {
    this.inferred = inferred;
    this.last = last;
  }

  inferredType(slot: string): ValueType | undefined {
    return this.inferred.get(slot);
  }

  done(span: Span, type: ValueType, typed: Typed): Checked {
    return { kind: type, typed, span, open: [], literal: undefined };
  }

  apply(span: Span, op: Op, type: ValueType, args: readonly Typed[], parameters: Parameters = {}): Checked {
    return this.done(span, type, operation(op, type, args, parameters));
  }

  adopt(node: Checked, type: ValueType): void {
    for (const slot of node.open) {
      if (this.inferred.has(slot)) continue;
      this.inferred.set(slot, type);
      this.changed = true;
    }
  }

  /** Numeric widening without loss of place: int64 → decimal → float64. */
  private widen(typed: Typed, from: ValueType, to: ValueType, wide: boolean): Typed {
    if (sameType(from, to)) return typed;
    if (typed.node === 'literal' && typed.value === null) return literalOf(to, null);
    const value = typed.node === 'literal' ? (typed.value as Integer) : undefined;
    if (to.kind === 'float64') {
      if (value !== undefined) {
        return literalOf(
          FLOAT64,
          from.kind === 'decimal' ? decimalToFloat(value, from.scale) : toFloat(value),
        );
      }
      return from.kind === 'decimal'
        ? operation('decimal_to_float', FLOAT64, [typed], { from: from.scale })
        : operation('int_to_float', FLOAT64, [typed]);
    }
    const scale = scaleOf(to);
    if (value !== undefined) {
      const moved = wide ? rescaleWide(value, scaleOf(from), scale) : rescale(value, scaleOf(from), scale);
      if (moved === null || BigInt.asIntN(64, BigInt(moved)) === BigInt(moved)) return literalOf(to, moved);
    }
    return operation(wide ? 'rescale_wide' : 'rescale', to, [typed], { from: scaleOf(from), scale });
  }

  private fits(node: Checked, to: ValueType): boolean {
    const from = node.kind;
    if (!isType(from) || sameType(from, to)) return true;
    if (isNumeric(from) && isNumeric(to)) {
      if (to.kind === 'float64') return true;
      return (
        to.kind === 'decimal' &&
        (from.kind === 'int64' || (from.kind === 'decimal' && from.scale <= to.scale))
      );
    }
    if (from.kind === 'float64_vector' && to.kind === 'float64_vector')
      return to.dimension === undefined || from.dimension === to.dimension;
    return (
      from.kind === 'string' &&
      node.literal?.kind === 'string' &&
      (to.kind === 'timestamp' || to.kind === 'date')
    );
  }

  /** The node as a value of the type, or a problem. */
  to(node: Checked, to: ValueType, what: string, wide = false): Typed {
    const from = node.kind;
    if (from.kind === 'null') return literalOf(to, null);
    if (from.kind === 'unknown') {
      this.adopt(node, to);
      return node.typed;
    }
    if (!this.fits(node, to)) {
      const hint =
        isNumeric(to) || ['string', 'boolean', 'timestamp', 'date'].includes(to.kind)
          ? `Write CAST(... AS ${printType(to)}).`
          : undefined;
      fail(node.span, `${what} takes ${printType(to)}, not ${printType(from)}`, hint);
    }
    if (isNumeric(from)) return this.widen(node.typed, from, to, wide);
    if (from.kind === 'string' && to.kind !== 'string') {
      const text = (node.literal as { value: string }).value;
      const value = to.kind === 'date' ? parseDateText(text) : parseInstant(text);
      if (value === undefined)
        fail(
          node.span,
          `'${text}' is no ${to.kind}`,
          to.kind === 'date' ? "Write '2024-03-01'." : "Write '2024-03-01T12:30:00Z'.",
        );
      return literalOf(to, value);
    }
    return node.typed;
  }

  /** The type that all nodes can be brought to; undefined when none of them has one yet. */
  common(nodes: readonly Checked[], what: string): ValueType | undefined {
    let type: ValueType | undefined;
    let literals = true;
    for (const node of nodes) {
      const kind = node.kind;
      if (!isType(kind)) continue;
      if (!node.literal) literals = false;
      if (type === undefined) type = kind;
      else if (isNumeric(type) && isNumeric(kind)) {
        if (type.kind === 'float64' || kind.kind === 'float64') type = FLOAT64;
        else if (type.kind === 'decimal' || kind.kind === 'decimal')
          type = decimal(Math.max(scaleOf(type), scaleOf(kind)));
      } else if (!sameType(type, kind)) {
        const settled: ValueType = type;
        const first = nodes.find((other) => isType(other.kind) && sameType(other.kind, settled))!;
        if (this.fits(node, type)) continue;
        if (
          this.fits(first, kind) &&
          nodes.every((other) => other === node || !isType(other.kind) || this.fits(other, kind))
        )
          type = kind;
        else {
          const target = isNumeric(type) || type.kind === 'string' ? printType(type) : printType(kind);
          fail(
            node.span,
            `cannot ${what} ${printType(type)} with ${printType(kind)}`,
            `Write CAST(... AS ${target}) where the conversion is meant.`,
          );
        }
      }
    }
    if (
      type !== undefined &&
      literals &&
      isNumeric(type) &&
      nodes.some((node) => node.kind.kind === 'unknown')
    )
      return FLOAT64;
    return type;
  }

  /** All nodes at their common type. Decimals for comparison only (`wide`) are not held to 18 digits. */
  unify(
    nodes: readonly Checked[],
    what: string,
    wide: boolean,
  ): { type: ValueType | undefined; args: Typed[] } {
    const type = this.common(nodes, what);
    return {
      type,
      args: nodes.map((node) => (type === undefined ? node.typed : this.to(node, type, what, wide))),
    };
  }

  /** A node that takes the type of its parts (CASE, COALESCE, ...). */
  merged(
    span: Span,
    op: Op,
    parts: readonly Checked[],
    build: (args: readonly Typed[]) => readonly Typed[],
    what: string,
  ): Checked {
    const { type, args } = this.unify(parts, what, false);
    const open = parts.filter((part) => part.kind.kind === 'unknown').flatMap((part) => part.open);
    if (type !== undefined) return this.apply(span, op, type, build(args));
    const kind = open.length > 0 ? UNKNOWN : NULL_KIND;
    return { kind, typed: operation(op, FLOAT64, build(args)), span, open, literal: undefined };
  }

  settle(node: Checked): Checked {
    if (node.kind.kind === 'null') return this.done(node.span, STRING, literalOf(STRING, null));
    return node;
  }

  number(node: Checked, what: string): ValueType {
    if (node.kind.kind === 'unknown') {
      this.adopt(node, FLOAT64);
      return FLOAT64;
    }
    if (node.kind.kind === 'null') return INT64;
    if (!isNumeric(node.kind))
      fail(
        node.span,
        `${what} takes numbers, not ${showKind(node.kind)}`,
        node.kind.kind === 'string' ? 'Write CAST(... AS float64).' : undefined,
      );
    return node.kind;
  }

  /** Operands of a comparison at their common type. */
  comparable(nodes: readonly Checked[]): Typed[] {
    const { type, args } = this.unify(nodes, 'compare', true);
    if (type === undefined) {
      for (const node of nodes) if (this.last) this.adopt(node, FLOAT64);
      return nodes.map((node) =>
        node.kind.kind === 'null' ? literalOf(this.last ? FLOAT64 : STRING, null) : node.typed,
      );
    }
    if (['float64_vector', 'list', 'map'].includes(type.kind))
      fail(nodes[0]!.span, `${printType(type)} values cannot be compared`);
    return args;
  }

  cast(span: Span, node: Checked, to: ValueType): Checked {
    if (node.kind.kind === 'null') return this.done(span, to, literalOf(to, null));
    if (node.kind.kind === 'unknown') {
      this.adopt(node, to);
      return this.done(span, to, node.typed);
    }
    const from = node.kind;
    if (sameType(from, to)) return this.done(span, to, node.typed);
    const apply = (op: Op, parameters: Parameters = {}, arg = node.typed): Checked =>
      this.apply(span, op, to, [arg], parameters);
    const path = `${from.kind} ${to.kind}`;
    switch (path) {
      case 'int64 float64':
      case 'int64 decimal':
      case 'decimal float64':
        return this.done(span, to, this.widen(node.typed, from, to, false));
      case 'decimal decimal':
        return apply('rescale', { from: scaleOf(from), scale: scaleOf(to) });
      case 'decimal int64':
        return apply('round_decimal', { from: scaleOf(from) });
      case 'float64 int64':
        return apply('float_to_int');
      case 'float64 decimal': {
        const scale = scaleOf(to);
        if (node.typed.node === 'literal' && node.typed.value !== null)
          return this.done(span, to, literalOf(to, floatToDecimal(node.typed.value as number, scale)));
        return apply('float_to_decimal', { scale });
      }
      case 'boolean int64':
        return apply('boolean_to_int');
      case 'boolean float64':
        return apply('int_to_float', {}, operation('boolean_to_int', INT64, [node.typed]));
      case 'int64 string':
        return apply('int_to_string');
      case 'decimal string':
        return apply('decimal_to_string', { from: scaleOf(from) });
      case 'boolean string':
        return apply('boolean_to_string');
      case 'date string':
        return apply('date_to_string');
      case 'timestamp string':
        return apply('timestamp_to_string');
      case 'string int64':
        return apply('string_to_int');
      case 'string float64':
        return apply('string_to_float');
      case 'string decimal':
        return apply('string_to_decimal', { scale: scaleOf(to) });
      case 'string boolean':
        return apply('string_to_boolean');
      case 'string date':
        return apply('string_to_date');
      case 'string timestamp':
        return apply('string_to_timestamp');
      case 'date timestamp':
        return apply('date_to_timestamp');
      case 'timestamp date':
        return apply('timestamp_to_date');
      default:
        return fail(
          span,
          `there is no cast from ${printType(from)} to ${printType(to)}`,
          path === 'float64 string'
            ? 'Engines print float64 differently; CAST it AS decimal(n) first.'
            : undefined,
        );
    }
  }
}
