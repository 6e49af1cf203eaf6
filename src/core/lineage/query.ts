/** A query as lineage sees it: what each part reads and in which role. Made by a SQL parser's adapter. */

/**
 * How a field comes to matter. The first three make the value, weakest first (OpenLineage: DIRECT); the others decide
 * whether or when it is there (OpenLineage: INDIRECT).
 */
export const ROLES = [
  'identity',
  'transformation',
  'aggregation',
  'conditional',
  'filter',
  'join',
  'group_by',
  'sort',
  'window',
] as const;
export type Role = (typeof ROLES)[number];

export const isDirect = (role: Role): boolean =>
  role === 'identity' || role === 'transformation' || role === 'aggregation';

/** A name as it is written: `amount`, `o.amount`, `o.address.city`. */
export interface Reference {
  readonly path: readonly string[];
  readonly role: Role;
}

export interface NestedQuery {
  readonly query: Query;
  readonly role: Role;
  /** EXISTS: only whether there are rows counts. */
  readonly exists: boolean;
}

/** One expression. */
export interface Term {
  readonly references: readonly Reference[];
  /** Queries within it: scalar, EXISTS, IN. */
  readonly queries: readonly NestedQuery[];
  /** The name alone, without a calculation. */
  readonly bare: boolean;
  /** A literal's text, where that is all there is. */
  readonly constant: string | null;
  readonly aggregates: boolean;
  readonly windows: boolean;
  /** Gives several rows for one (UNNEST). */
  readonly expands: boolean;
  /** Functions whose value is another at every run: now, random, ... */
  readonly volatile: readonly string[];
  /** SQL text of the expression in DuckDB's dialect. */
  readonly text: string;
  /** What this reading does not understand. */
  readonly unknown: readonly string[];
}

export type Item =
  | { readonly kind: 'term'; readonly name: string | null; readonly term: Term }
  | {
      readonly kind: 'star';
      readonly relation: string | null;
      readonly exclude: readonly string[];
      readonly replace: readonly { readonly name: string; readonly term: Term }[];
      readonly rename: readonly { readonly from: string; readonly to: string }[];
    }
  /** COLUMNS('pattern'). */
  | { readonly kind: 'pattern'; readonly pattern: string }
  | { readonly kind: 'unknown'; readonly what: string };

export type Relation =
  | {
      readonly kind: 'table';
      readonly path: readonly string[];
      readonly alias: string | null;
      readonly columns: readonly string[];
    }
  | {
      readonly kind: 'query';
      readonly query: Query;
      readonly alias: string | null;
      readonly columns: readonly string[];
    }
  /** UNNEST(...), range(...): rows made from values. */
  | {
      readonly kind: 'function';
      readonly name: string;
      readonly term: Term;
      readonly alias: string | null;
      readonly columns: readonly string[];
    }
  /** PIVOT and what else is not read: which columns it has cannot be said. */
  | {
      readonly kind: 'unknown';
      readonly what: string;
      readonly inputs: readonly Relation[];
      readonly alias: string | null;
    };

export type JoinKind = 'inner' | 'outer' | 'semi' | 'anti' | 'cross' | 'natural' | 'positional';

export interface Join {
  readonly kind: JoinKind;
  readonly relation: Relation;
  readonly on: Term | null;
  readonly using: readonly string[];
}

interface Common {
  readonly ctes: readonly {
    readonly name: string;
    readonly columns: readonly string[];
    readonly query: Query;
  }[];
  readonly orderBy: readonly Term[];
  readonly limited: boolean;
}

export interface Select extends Common {
  readonly kind: 'select';
  readonly items: readonly Item[];
  readonly from: Relation | null;
  readonly joins: readonly Join[];
  readonly where: Term | null;
  readonly groupBy: readonly Term[];
  /** GROUP BY at all, ALL and sets included. */
  readonly grouped: boolean;
  readonly having: Term | null;
  readonly qualify: Term | null;
  readonly distinct: boolean;
  readonly distinctOn: readonly Term[];
  /** USING SAMPLE, TABLESAMPLE and other clauses that choose rows by something else than values. */
  readonly sampled: boolean;
}

export interface SetOperation extends Common {
  readonly kind: 'set';
  readonly operator: 'union' | 'intersect' | 'except';
  readonly all: boolean;
  readonly byName: boolean;
  readonly left: Query;
  readonly right: Query;
}

export interface Values extends Common {
  readonly kind: 'values';
  readonly rows: readonly (readonly Term[])[];
}

export type Query = Select | SetOperation | Values | { readonly kind: 'unknown'; readonly what: string };

export type ParsedSql =
  | { readonly ok: true; readonly query: Query }
  /** Line and column of the SQL text, from 1, where the parser says them. */
  | {
      readonly ok: false;
      readonly message: string;
      readonly line: number | null;
      readonly column: number | null;
    };
