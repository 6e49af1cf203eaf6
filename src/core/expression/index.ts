export type { Ast, ParsedExpression } from './ast.js';
export { type CheckResult, checkExpression, type Scope } from './check.js';
export { compileJs, compileJsRow } from './compile.js';
export type { Dialect, DialectName } from './dialect.js';
export { FUNCTION_NAMES, type FunctionDoc, FUNCTIONS } from './functions.js';
export type { ExpressionProblem } from './lex.js';
export { type ParseResult, parseExpression } from './parse.js';
export { isSqlExpressible, type PrintOptions, printSql } from './print.js';
export type { Expression, Slot, Typed } from './typed.js';
