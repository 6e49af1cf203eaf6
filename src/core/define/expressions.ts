import { checkExpression, type Expression, type ParsedExpression, type Scope } from '../expression/index.js';
import { printType } from '../schema/types.js';
import type { Report } from './report.js';
import type { Located } from './shape.js';

/** Parses and types an expression; problems become diagnostics at their place. */
export function readExpression(
  report: Report,
  subject: string,
  text: Located<string>,
  scope: Scope,
): Expression | undefined {
  const parsed = report.parse(subject, text);
  if (!parsed) return undefined;
  const checked = checkExpression(parsed, scope);
  if (checked.ok) return checked.expression;
  for (const problem of checked.problems) report.problem(subject, text, problem);
  return undefined;
}

/** An expression that must be true or false. */
export function readCondition(
  report: Report,
  subject: string,
  text: Located<string> | undefined,
  scope: Scope,
): Expression | undefined {
  if (!text) return undefined;
  const expression = readExpression(report, subject, text, scope);
  if (!expression || expression.type.kind === 'boolean') return expression;
  return report.add(
    'DEF_TYPE',
    text.place,
    `${subject} gives ${printType(expression.type)}: expected boolean`,
    {
      hint: 'Compare it with something, as in `amount > 0`.',
    },
  );
}

/** Every name an expression mentions, with where it stands. */
export function mentionedNames({
  root,
}: ParsedExpression): readonly { readonly path: readonly string[]; readonly offset: number }[] {
  const found: { readonly path: readonly string[]; readonly offset: number }[] = [];
  const visit = (part: unknown): void => {
    if (Array.isArray(part)) for (const item of part) visit(item);
    else if (typeof part === 'object' && part !== null) {
      const { node, path, offset } = part as {
        readonly node?: unknown;
        readonly path: readonly string[];
        readonly offset: number;
      };
      if (node === 'name') found.push({ path, offset });
      else for (const item of Object.values(part)) visit(item);
    }
  };
  visit(root);
  return found;
}
