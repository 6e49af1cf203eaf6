import { DATE, decimal, FLOAT64, INT64, printType, TIMESTAMP, type ValueType } from '../schema/types.js';
import type { Ast, Span } from './ast.js';
import { fail } from './lex.js';
import type { Typed } from './typed.js';
import { type Checked, literalOf, operation, scaleOf, showKind, type Typing } from './typing.js';

const MAX_SCALE = 15;

/** `left operator right`: numbers, differences of instants and dates, instants moved by a duration. */
export function arithmetic(
  typing: Typing,
  span: Ast,
  operator: '+' | '-' | '*' | '/' | '//' | '%',
  left: Checked,
  right: Checked,
): Checked {
  const times = timeArithmetic(typing, span, operator, left, right);
  if (times) return times;
  const l = typing.number(left, operator);
  const r = typing.number(right, operator);
  if (operator === '/') return divide(typing, span, left, l, right, r);
  const ops = { '+': 'add', '-': 'sub', '*': 'mul', '%': 'mod' } as const;
  if (operator === '//') {
    if (l.kind !== 'int64' || r.kind !== 'int64') {
      fail(
        span,
        `// divides int64 by int64, not ${printType(l)} by ${printType(r)}`,
        'Write trunc(a / b) for the whole part of a quotient.',
      );
    }
    return typing.apply(span, 'idiv_int', INT64, [
      typing.to(left, INT64, '//'),
      typing.to(right, INT64, '//'),
    ]);
  }
  if (l.kind === 'float64' || r.kind === 'float64') {
    return typing.apply(span, `${ops[operator]}_float`, FLOAT64, [
      typing.to(left, FLOAT64, operator),
      typing.to(right, FLOAT64, operator),
    ]);
  }
  if (l.kind === 'int64' && r.kind === 'int64') {
    return typing.apply(span, `${ops[operator]}_int`, INT64, [
      typing.to(left, INT64, operator),
      typing.to(right, INT64, operator),
    ]);
  }
  if (operator === '*') {
    const scale = scaleOf(l) + scaleOf(r);
    if (scale > MAX_SCALE) {
      fail(
        span,
        `the product of ${printType(l)} and ${printType(r)} has ${scale} decimal places, more than ${MAX_SCALE}`,
        'Round an operand, or CAST it AS float64.',
      );
    }
    return typing.apply(
      span,
      'mul_decimal',
      decimal(scale),
      [typing.to(left, l, '*'), typing.to(right, r, '*')],
      { scale, from: scaleOf(l) },
    );
  }
  const type = decimal(Math.max(scaleOf(l), scaleOf(r)));
  const args = [typing.to(left, type, operator, true), typing.to(right, type, operator, true)];
  return typing.apply(span, `${ops[operator]}_decimal`, type, args, { scale: scaleOf(type) });
}

function divide(
  typing: Typing,
  span: Ast,
  left: Checked,
  l: ValueType,
  right: Checked,
  r: ValueType,
): Checked {
  if ((l.kind !== 'decimal' && r.kind !== 'decimal') || l.kind === 'float64' || r.kind === 'float64') {
    return typing.apply(span, 'div_float', FLOAT64, [
      typing.to(left, FLOAT64, '/'),
      typing.to(right, FLOAT64, '/'),
    ]);
  }
  const float = (node: Checked, type: ValueType): Typed =>
    type.kind === 'decimal'
      ? operation('unscaled', FLOAT64, [node.typed], { from: type.scale })
      : typing.to(node, FLOAT64, '/');
  const quotient = typing.apply(span, 'div_float', FLOAT64, [float(left, l), float(right, r)]);
  const shift = scaleOf(r) - scaleOf(l);
  if (shift === 0) return quotient;
  return typing.apply(span, shift > 0 ? 'mul_float' : 'div_float', FLOAT64, [
    quotient.typed,
    literalOf(FLOAT64, 10 ** Math.abs(shift)),
  ]);
}

function timeArithmetic(
  typing: Typing,
  span: Ast,
  operator: string,
  left: Checked,
  right: Checked,
): Checked | undefined {
  const l = left.kind.kind;
  const r = right.kind.kind;
  const duration = [left, right].find((node) => node.literal?.kind === 'duration');
  const micros = duration?.literal?.kind === 'duration' ? duration.literal.value : undefined;
  if (
    l === 'timestamp' &&
    duration === right &&
    micros !== undefined &&
    (operator === '+' || operator === '-')
  ) {
    return typing.apply(span, 'add_duration', TIMESTAMP, [left.typed], {
      micros: operator === '+' ? micros : -micros,
    });
  }
  if (r === 'timestamp' && duration === left && micros !== undefined && operator === '+') {
    return typing.apply(span, 'add_duration', TIMESTAMP, [right.typed], { micros });
  }
  if (l !== 'timestamp' && r !== 'timestamp' && l !== 'date' && r !== 'date') return undefined;
  if (
    operator === '-' &&
    (l === 'timestamp' || l === 'date' || l === 'unknown' || left.literal) &&
    (r === l ||
      r === 'unknown' ||
      l === 'unknown' ||
      right.literal?.kind === 'string' ||
      left.literal?.kind === 'string')
  ) {
    const type = l === 'timestamp' || r === 'timestamp' ? TIMESTAMP : DATE;
    const args = [typing.to(left, type, '-'), typing.to(right, type, '-')];
    return type === DATE
      ? typing.apply(span, 'sub_date', INT64, args)
      : typing.apply(span, 'sub_timestamp', FLOAT64, args);
  }
  return fail(
    span,
    `cannot compute ${showKind(left.kind)} ${operator} ${showKind(right.kind)}`,
    "Differences are timestamp - timestamp (seconds) and date - date (days); a timestamp moves by a literal, ts + duration('1h').",
  );
}

/** `-node` */
export function negate(typing: Typing, span: Span, node: Checked): Checked {
  const type = typing.number(node, 'unary -');
  const operand = typing.to(node, type, 'unary -');
  if (type.kind === 'decimal')
    return typing.apply(span, 'neg_decimal', type, [operand], { scale: type.scale });
  return typing.apply(span, type.kind === 'int64' ? 'neg_int' : 'neg_float', type, [operand]);
}
