/**
 * The client of a millrace server: `fetch` and nothing else, so it runs in Node, browsers and workers.
 * `createClient<typeof definitions>(...)` takes names, records and values from definitions written in TypeScript.
 */
import type { BUILT, BuiltKind } from '../core/define/builders.js';

/** Definitions of one kind in a module (or any object) of definitions. */
type OfKind<D, K extends BuiltKind> = Extract<D[keyof D], { readonly [BUILT]: { readonly kind: K } }>;
type NameOf<T> = T extends { readonly name: infer Name extends string } ? Name : never;
/** The names of a kind; any text when the definitions are not known. */
type Names<D, K extends BuiltKind> = [NameOf<OfKind<D, K>>] extends [never] ? string : NameOf<OfKind<D, K>>;

/** What is known of a value: why it is null, or that it is a default. */
export type Status = 'ok' | 'empty' | 'never_seen' | 'expired' | 'defaulted' | 'error';

/** What JSON holds. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

/** How JSON holds a value of a declared type; null is possible in every type. */
type JsonOf<Type> = Type extends `float64_vector${string}`
  ? readonly number[] | null
  : Type extends 'float64' | 'float' | 'double' | 'number'
    ? number | null
    : Type extends 'string' | 'text' | 'timestamp' | 'date' | 'datetime' | 'varchar'
      ? string | null
      : Type extends 'boolean' | 'bool'
        ? boolean | null
        : Type extends 'int64' | 'int' | 'integer' | `decimal${string}`
          ? number | string | null
          : Json;

type DeclaredType<F> = F extends { readonly valueType: infer Type }
  ? Type
  : F extends { readonly value_type: infer Type }
    ? Type
    : unknown;
type FeatureNamed<D, Name> = Extract<OfKind<D, 'feature'>, { readonly name: Name }>;
type ItemName<Item> = Item extends string ? Item : NameOf<Item>;
type SetNamed<D, Name> = Extract<OfKind<D, 'featureSet'>, { readonly name: Name }>;
type FeaturesOf<D, Name> =
  SetNamed<D, Name> extends { readonly features: readonly (infer Item)[] } ? ItemName<Item> : string;

/** One row by feature name. Features with several windows appear once for each, with their window in the name. */
export type FeatureRow<D, Name> = {
  readonly [Feature in FeaturesOf<D, Name>]: [FeatureNamed<D, Feature>] extends [never]
    ? Json
    : JsonOf<DeclaredType<FeatureNamed<D, Feature>>>;
} & { readonly [feature: string]: Json };

type SourceNamed<D, Name> = Extract<OfKind<D, 'source'>, { readonly name: Name }>;
/** A record of a source, typed by its `fields`. */
export type RecordOf<D, Name> =
  SourceNamed<D, Name> extends { readonly fields: infer Fields }
    ? { readonly [Field in keyof Fields]?: JsonOf<Fields[Field]> }
    : Readonly<Record<string, unknown>>;

/** Of which entities, at which instant. */
export interface EntityRequest {
  /** Entity keys, one object a row. */
  readonly entities: readonly Readonly<Record<string, unknown>>[];
  /** Request fields, one object for each entity, in the same order. */
  readonly request?: readonly Readonly<Record<string, unknown>>[];
  /** Observation instant, as text or Date; now when absent. */
  readonly at?: string | Date;
}

/** From what an answer was made. */
export interface Provenance {
  /** The instant of observation, ISO 8601. */
  readonly as_of: string;
  /** By source: the position of the last record that was applied, and when it became known. */
  readonly applied: Readonly<Record<string, { readonly seq: number; readonly available_at: string | null }>>;
  /** From the newest record of the source that is furthest behind to `as_of`; null when nothing was applied. */
  readonly data_age_seconds: number | null;
}

/** Feature values, by position and by name. Null has its reason in `statuses`. */
export interface FeatureAnswer<Row = Readonly<Record<string, Json>>> extends Provenance {
  readonly features: readonly string[];
  readonly rows: readonly { readonly values: readonly Json[]; readonly statuses: readonly Status[] }[];
  /** The rows by feature name. */
  readonly records: readonly Row[];
}

/** `probability` and `label` (binary), `label` and `probabilities` (multiclass), or `score` (regression). */
export interface Prediction {
  /** Binary: of the positive class, 0 to 1. */
  readonly probability?: number;
  /** The likelier class: 0 or 1 of a binary model, a name of others. */
  readonly label?: number | string;
  /** Multiclass: class → probability; they sum to 1. */
  readonly probabilities?: Readonly<Record<string, number>>;
  /** Regression: in the unit of the label. */
  readonly score?: number;
}

/** One prediction for each entity, in order. */
export interface PredictAnswer extends Provenance {
  readonly predictions: readonly Prediction[];
  /** NAME@VERSION of the champion. */
  readonly model: string;
  /** Under which outcomes are reported, in the same order. */
  readonly prediction_ids: readonly string[];
}

/** What became of the records: sent = accepted + quarantined + duplicates + dropped, always. */
export interface IngestAnswer {
  /** In the log. */
  readonly accepted: number;
  /** Kept aside with their reasons. */
  readonly quarantined: number;
  /** In the log already, delivered the same. */
  readonly duplicates: number;
  /** Left out by a rule that says so. */
  readonly dropped: number;
  /** Accepted records that are new versions of a key already in the log. */
  readonly corrections: number;
  /** Accepted records that rules repaired. */
  readonly repaired: number;
  /** Last position of the source's log after this batch. */
  readonly seq: number;
  /** Id of the batch. */
  readonly batch: string;
  /** By rule: rows sent to quarantine, repaired, left out, accepted with a flag. */
  readonly reasons: Readonly<Record<string, number>>;
  readonly repairs: Readonly<Record<string, number>>;
  readonly drops: Readonly<Record<string, number>>;
  readonly flags: Readonly<Record<string, number>>;
  readonly warnings: readonly { readonly rule: string; readonly message: string; readonly rows: number }[];
}

/** What came of a prediction. `at`: when it happened; now when absent. */
export interface Outcome {
  readonly prediction_id: string;
  /** What came true, as the label's type; null: it is not known after all. */
  readonly label: number | string | boolean | null;
  readonly at?: string | Date;
}

/** Where the server is, and how patient the client. */
export interface ClientOptions {
  /** `http://127.0.0.1:8080`. */
  readonly baseUrl: string;
  /** Milliseconds for one attempt; 10,000 when absent. */
  readonly timeoutMs?: number;
  /** Further attempts after 429, 503 and broken connections; 3 when absent. Every route but predict may be repeated safely. */
  readonly retries?: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** The platform's when absent. */
  readonly fetch?: typeof fetch;
}

/** What the server refused, with the codes of its problem+json; `status` 0: no answer came. */
export class MillraceClientError extends Error {
  override readonly name = 'MillraceClientError';
  readonly status: number;
  /** A code of the catalogue of errors; UNKNOWN for an answer that is none of the server's own. */
  readonly code: string;
  /** What to do. */
  readonly hint: string | undefined;
  /** Where in the request. */
  readonly place: { readonly path?: string; readonly line?: number; readonly column?: number } | undefined;

  constructor(status: number, problem: Readonly<Record<string, unknown>>, cause?: unknown) {
    super(
      typeof problem['detail'] === 'string' ? problem['detail'] : `the server answered ${status}`,
      cause === undefined ? undefined : { cause },
    );
    this.status = status;
    this.code = typeof problem['code'] === 'string' ? problem['code'] : 'UNKNOWN';
    this.hint = problem['hint'] as string | undefined;
    this.place = problem['place'] as MillraceClientError['place'];
  }
}

/** Methods reject with `MillraceClientError`: what the server refused, or that it did not answer. */
export interface Client<D = unknown> {
  /** A set by name, or a list of features and sets. */
  features<const Name extends Names<D, 'featureSet'> | readonly string[]>(
    set: Name,
    request: EntityRequest,
  ): Promise<FeatureAnswer<Name extends string ? FeatureRow<D, Name> : Readonly<Record<string, Json>>>>;
  /** By the champion of the service's model. A request that got no answer is not sent again. */
  predict(service: Names<D, 'service'>, request: EntityRequest): Promise<PredictAnswer>;
  /** Durable when it resolves. Sending the same records again adds nothing. */
  ingest<const Name extends Names<D, 'source'>>(
    source: Name,
    records: readonly RecordOf<D, Name>[],
  ): Promise<IngestAnswer>;
  /** Durable when it resolves. The last outcome of a prediction counts. */
  outcomes(
    service: Names<D, 'service'>,
    outcomes: Outcome | readonly Outcome[],
  ): Promise<{ readonly accepted: number }>;
  /** What is missing; empty when the server is ready. */
  missing(): Promise<readonly string[]>;
}

const instant = (at: string | Date | undefined): string | undefined =>
  at instanceof Date ? at.toISOString() : at;

const MAX_WAIT_MS = 10_000;

/** A client without state: nothing is opened, nothing is to close. */
export function createClient<D = unknown>(options: ClientOptions): Client<D> {
  const base = options.baseUrl.replace(/\/+$/, '');
  const send = options.fetch ?? fetch;
  const timeout = options.timeoutMs ?? 10_000;

  const attempt = async (path: string, body: string | undefined): Promise<Response> => {
    try {
      return await send(`${base}${path}`, {
        method: body === undefined ? 'GET' : 'POST',
        headers: {
          ...options.headers,
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        },
        signal: AbortSignal.timeout(timeout),
        ...(body === undefined ? {} : { body }),
      });
    } catch (cause) {
      const late = (cause as Error).name === 'TimeoutError';
      throw new MillraceClientError(
        0,
        {
          code: late ? 'TIMEOUT' : 'UNREACHABLE',
          detail: late ? `no answer within ${timeout} ms` : `${base} cannot be reached`,
        },
        cause,
      );
    }
  };

  const problemOf = async (response: Response): Promise<Readonly<Record<string, unknown>>> => {
    try {
      return (await response.json()) as Readonly<Record<string, unknown>>;
    } catch {
      return {};
    }
  };

  /** `repeatable`: sending it twice is the same as once, so a lost answer may be asked for again. */
  const call = async <T>(path: string, body: unknown, repeatable: boolean): Promise<T> => {
    const text = JSON.stringify(body);
    for (let tries = options.retries ?? 3; ; tries--) {
      let wait = 100;
      try {
        const response = await attempt(path, text);
        if (response.ok) return (await response.json()) as T;
        const error = new MillraceClientError(response.status, await problemOf(response));
        if (tries <= 0 || (response.status !== 429 && response.status !== 503)) throw error;
        wait = Math.min(MAX_WAIT_MS, Number(response.headers.get('retry-after') ?? 1) * 1000) || wait;
      } catch (error) {
        if (error instanceof MillraceClientError && error.status !== 0) throw error;
        if (tries <= 0 || !repeatable) throw error;
      }
      await new Promise((resolve) => setTimeout(resolve, wait));
    }
  };

  const entityBody = ({ entities, request, at }: EntityRequest): unknown => ({
    entities,
    request,
    at: instant(at),
  });
  const name = encodeURIComponent;

  return {
    features: async (set, request) => {
      const names = typeof set === 'string' ? set : (set as readonly string[]).join(',');
      const answer = await call<Omit<FeatureAnswer, 'records'>>(
        `/v1/features/${name(names)}`,
        entityBody(request),
        true,
      );
      const records = answer.rows.map(({ values }) =>
        Object.fromEntries(answer.features.map((feature, i) => [feature, values[i]!])),
      );
      return { ...answer, records } as never;
    },
    predict: (service, request) => call(`/v1/services/${name(service)}/predict`, entityBody(request), false),
    ingest: (source, records) => call(`/v1/sources/${name(source)}/records`, records, true),
    outcomes: (service, outcomes) => {
      const list = (Array.isArray(outcomes) ? outcomes : [outcomes]) as readonly Outcome[];
      return call(
        `/v1/services/${name(service)}/outcomes`,
        list.map((outcome) => ({ ...outcome, at: instant(outcome.at) })),
        true,
      );
    },
    missing: async () => {
      const response = await attempt('/readyz', undefined);
      if (response.ok) return [];
      const problem = await problemOf(response);
      return (
        (problem['data'] as { readonly missing?: readonly string[] } | undefined)?.missing ?? [
          String(problem['detail'] ?? response.status),
        ]
      );
    },
  };
}
