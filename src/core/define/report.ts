import type { ErrorCode } from '../base/catalogue.js';
import type { Diagnostic, Place } from '../base/error.js';
import { type ExpressionProblem, type ParsedExpression, parseExpression } from '../expression/index.js';
import { type Located, suggestion } from './shape.js';

/** Collects every diagnostic of one reading of the definitions. */
export interface Report {
  readonly diagnostics: Diagnostic[];
  add(code: ErrorCode, place: Place | undefined, message: string, extra?: Partial<Diagnostic>): undefined;
  /** `feature \`x\` names the source \`y\`, which is not defined`. */
  unknown(
    subject: string,
    kind: string,
    name: Located<string>,
    known: Iterable<string>,
    offset?: number,
  ): undefined;
  problem(subject: string, text: Located<string>, problem: ExpressionProblem): undefined;
  parse(subject: string, text: Located<string>): ParsedExpression | undefined;
}

export function createReport(diagnostics: Diagnostic[]): Report {
  const report: Report = {
    diagnostics,
    add(code, place, message, extra = {}) {
      diagnostics.push({ code, severity: 'error', message, ...(place ? { place } : {}), ...extra });
      return undefined;
    },
    unknown(subject, kind, name, known, offset = 0) {
      const names = [...known];
      const near = suggestion(name.value.slice(offset), names);
      const hint = near.nearest
        ? `Did you mean \`${near.nearest}\`?`
        : names.length === 0
          ? `No ${kind} is defined.`
          : `Known: ${names.slice(0, 12).join(', ')}${names.length > 12 ? ', ...' : ''}.`;
      return report.add(
        'DEF_UNKNOWN_NAME',
        name.at(offset),
        `${subject} names the ${kind} \`${name.value.slice(offset)}\`, which does not exist`,
        { ...near, hint },
      );
    },
    problem(subject, text, problem) {
      const near = problem.nearest === undefined ? {} : { nearest: problem.nearest };
      const hint =
        problem.hint ?? (problem.nearest === undefined ? undefined : `Did you mean \`${problem.nearest}\`?`);
      return report.add('DEF_EXPRESSION', text.at(problem.offset), `${subject}: ${problem.message}`, {
        ...near,
        ...(hint === undefined ? {} : { hint }),
      });
    },
    parse(subject, text) {
      const parsed = parseExpression(text.value);
      return parsed.ok ? parsed.ast : report.problem(subject, text, parsed.problem);
    },
  };
  return report;
}
