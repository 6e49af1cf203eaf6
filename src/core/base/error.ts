import { CATALOGUE, type ErrorCode } from './catalogue.js';

/** Where something stands: a definition file, a data file, a field. Lines and columns count from 1. */
export interface Place {
  /** Path from the project folder, or as it was given. */
  readonly file?: string;
  readonly line?: number;
  readonly column?: number;
  /** Keys inside of a document, joined by dots: `sources.0.fields.amount`. */
  readonly path?: string;
}

/** What is wrong in definitions. A value, never thrown one by one: all are reported at once. */
export interface Diagnostic {
  readonly code: ErrorCode;
  /** Only errors keep a project from being opened. */
  readonly severity: 'error' | 'warning';
  /** What is wrong, with the value. */
  readonly message: string;
  /** Where it stands; absent: it is about the whole. */
  readonly place?: Place;
  /** The nearest right name, where there is one. */
  readonly nearest?: string;
  /** What to do. */
  readonly hint?: string;
}

export interface ErrorDetails {
  readonly place?: Place;
  readonly hint?: string;
  readonly cause?: unknown;
  readonly diagnostics?: readonly Diagnostic[];
  /** Structured facts for `--json` and problem+json. No secrets. */
  readonly data?: Readonly<Record<string, unknown>>;
}

/** The world failed, or the user asked for what cannot be. Exit and HTTP status come from the catalogue. */
export class MillraceError extends Error {
  override readonly name = 'MillraceError';
  readonly code: ErrorCode;
  /** Where it stands, where that is known. */
  readonly place: Place | undefined;
  /** What to do. */
  readonly hint: string | undefined;
  /** All that is wrong in definitions; empty for other errors. */
  readonly diagnostics: readonly Diagnostic[];
  /** Structured facts, as `--json` prints them. */
  readonly data: Readonly<Record<string, unknown>> | undefined;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.place = details.place;
    this.hint = details.hint ?? CATALOGUE[code].hint;
    this.diagnostics = details.diagnostics ?? [];
    this.data = details.data;
  }

  /** Exit status of a command that ends with it. */
  get exit(): number {
    return CATALOGUE[this.code].exit;
  }
  /** HTTP status of an answer that is it. */
  get status(): number {
    return CATALOGUE[this.code].status;
  }
  /** Whether the same request may succeed later. */
  get retryable(): boolean {
    return CATALOGUE[this.code].retryable;
  }
}

export function invariant(condition: unknown, message: string): asserts condition {
  if (!condition) throw new Error(`millrace invariant broken: ${message} (please report this as a bug)`);
}

export function printPlace(place: Place): string {
  const where = [place.file, place.line, place.column].filter((part) => part !== undefined).join(':');
  return place.path ? (where ? `${where} (${place.path})` : place.path) : where;
}
