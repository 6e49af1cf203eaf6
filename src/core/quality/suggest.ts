/**
 * A source with a contract, proposed from data. Every proposal has its reason, and none of them refuses a row that is
 * there and can be read.
 *
 * What is proposed is what the data make likely for rows that are not there yet. That a sample shows something is not
 * enough: no null in 20 rows leaves room for 14 % of them, values that are unique in 20 rows may be so by chance, and a
 * list of categories in which some stand once has not been seen to its end. The bounds are those of Clopper and Pearson
 * (1934; "rule of three") for what was never seen, of Wilson (1927) for shares, and of Good (1953) for unseen categories.
 */
import { printDate, printInstant } from '../base/time.js';
import { isSystemName } from '../define/columns.js';
import { checkPattern } from '../schema/pattern.js';
import { FLOAT64, INT64, printType, STRING, type ValueType } from '../schema/types.js';
import { eventTimeScore, fold, soundsAvailable } from './clock-names.js';
import type { ContractForm, FieldForm, SourceForm } from './contract-form.js';
import type { Form, FormValue } from './form.js';
import { CANDIDATES, type Candidate, type TextFacts, type ValueFacts } from './suggest-facts.js';

/** A column that can be unreadable in one row of so many and still have its type. */
const TOLERATED = 0.001;
const ENOUGH_TO_TOLERATE = 1_000;
/** Evidence below which nothing is said about values. */
const ENOUGH = 100;
/** `not_null` needs that nulls in more than this share are ruled out, with 95 % confidence. */
const NULL_SHARE = 0.01;
const CONFIDENCE = 0.95;
/** One false alarm in a thousand batches. */
const Z = 3.09;
const MAX_CATEGORIES = 50;
/** Digits of the greatest int64. */
const INT64_DIGITS = 19;
const SEEN_WELL = 5;
const ROWS_PER_CATEGORY = 20;

const MONEY =
  /(^|_)(price|amount|cost|total|fee|balance|revenue|salary|wage|tax|discount|payment|paid|charge|spend|eur|usd|gbp)(_|$)/;
const IDENTIFIER =
  /(^|_)(id|key|uuid|guid|code|no|nr|num|number|sku|ean|isbn|iban|email|zip|postcode|phone|hash|token|serial)$|^(id|key|uuid|guid)_|(user|customer|client|order|product|item|account|session|device|transaction|invoice|event|member|visitor)id$/;

export interface TypedColumn {
  /** Name of the field, and of the column. */
  readonly name: string;
  readonly column: string;
  readonly type: ValueType;
  /** How its times are written, where not as ISO 8601. */
  readonly format?: string;
  readonly reasons: readonly string[];
}

export interface SuggestedTypes {
  readonly columns: readonly TypedColumn[];
  /** Texts that mean null in this file. */
  readonly nulls: readonly string[];
  /** Why they do. */
  readonly reasons: readonly string[];
}

const count = (n: number): string => n.toLocaleString('en-US');
const percent = (share: number): string => `${Number((share * 100).toPrecision(2))} %`;
const rows = (n: number): string => `${count(n)} row${n === 1 ? '' : 's'}`;

/** The candidate types of which all values, or all but very few, are. */
function fits(facts: TextFacts, type: Candidate): boolean {
  const bad = facts.count - facts.readable[type];
  return bad === 0 || (facts.count >= ENOUGH_TO_TOLERATE && bad <= facts.count * TOLERATED);
}

const isTyped = (facts: TextFacts): boolean =>
  facts.count > 0 &&
  (facts.layouts.length === 1 ||
    (CANDIDATES.some((type) => fits(facts, type)) && !(facts.leadingZeros > 0 && fits(facts, 'float64'))));

/**
 * Names stay as they are but for three sorts: those that begin with _ are the system's, `rules` and `batch` have a
 * meaning under `contract`, and SQL does not tell names apart that differ only in case.
 */
function fieldName(column: string, taken: ReadonlySet<string>): string {
  const bare = isSystemName(column)
    ? /^rowid$/i.test(column)
      ? 'row_id'
      : column.replace(/^_+/, '') || 'field'
    : column === 'rules' || column === 'batch'
      ? `${column}_value`
      : column;
  let name = bare;
  for (let n = 2; taken.has(name.toLowerCase()); n++) name = `${bare}_${n}`;
  return name;
}

interface FoundType {
  readonly type: ValueType;
  readonly format?: string;
  readonly reasons: string[];
}

function typeOf(facts: TextFacts, name: string): FoundType {
  if (facts.native !== null) return { type: facts.native, reasons: [] };
  if (facts.count === 0) return { type: STRING, reasons: ['no values: a guess'] };
  if (facts.json && facts.texts === facts.count) {
    const time = (['date', 'timestamp'] as const).find((type) => fits(facts, type));
    return time ? { type: { kind: time }, reasons: [] } : laidOut(facts);
  }
  if (facts.leadingZeros > 0 && fits(facts, 'float64'))
    return {
      type: STRING,
      reasons: [`digits, but ${count(facts.leadingZeros)} begin with 0 or +: as numbers they would lose it`],
    };
  const exact = (type: Candidate): string[] => {
    const bad = facts.count - facts.readable[type];
    return bad === 0
      ? []
      : [
          `${rows(bad)} of ${count(facts.count)} cannot be read and go to quarantine, such as ${JSON.stringify(facts.unreadable[type])}`,
        ];
  };
  if (
    fits(facts, 'boolean') &&
    (facts.distinct > 1 || /^(true|false|yes|no)$/i.test(facts.unreadable.int64 ?? ''))
  )
    return { type: { kind: 'boolean' }, reasons: exact('boolean') };
  if (fits(facts, 'int64')) return { type: INT64, reasons: [...exact('int64'), ...epoch(facts, name)] };
  const { plain, fractionMin, fractionMax, digitsMax } = facts;
  if (fits(facts, 'float64')) {
    if (plain === facts.count && fractionMax === 0 && (digitsMax ?? 0) > INT64_DIGITS)
      return {
        type: STRING,
        reasons: [
          `whole numbers of up to ${digitsMax} digits: more than an int64 holds, and a float64 would round`,
        ],
      };
    const fixed = fractionMin === 2 && fractionMax === 2;
    const money = MONEY.test(fold(name)) && fractionMax !== null && fractionMax <= 4;
    if (plain === facts.count && (digitsMax ?? 99) <= 15 && facts.count >= ENOUGH && (fixed || money))
      return {
        type: { kind: 'decimal', scale: fractionMax! },
        reasons: [
          fixed
            ? 'every value has two decimals: money is kept exactly'
            : `the name speaks of money, and no value has more than ${fractionMax} decimals`,
        ],
      };
    return { type: FLOAT64, reasons: exact('float64') };
  }
  for (const type of ['date', 'timestamp'] as const)
    if (fits(facts, type)) return { type: { kind: type }, reasons: [...exact(type), ...zones(facts, type)] };
  return laidOut(facts);
}

const zones = (facts: TextFacts, type: 'date' | 'timestamp'): string[] =>
  type === 'date'
    ? []
    : facts.zoned === facts.readable.timestamp
      ? ['every value names its offset']
      : facts.zoned === 0
        ? ['no value names an offset: read on the clocks of `timezone`']
        : [
            `${count(facts.zoned)} of ${count(facts.count)} values name their offset, the others are read on the clocks of \`timezone\``,
          ];

/** Texts: times, where one layout alone fits them all. */
function laidOut(facts: TextFacts): FoundType {
  const [format, ...others] = facts.layouts;
  if (format === undefined) return { type: STRING, reasons: [] };
  const kind = /%[HI]/.test(format) ? 'timestamp' : 'date';
  if (others.length === 0)
    return { type: { kind }, format, reasons: [`every value is written as ${format}`] };
  return {
    type: STRING,
    reasons: [
      `a time: ${facts.layouts.map((layout) => `{ type: ${kind}, format: '${layout}' }`).join(' or ')}; the data do not decide`,
    ],
  };
}

const epoch = (facts: TextFacts, name: string): string[] =>
  eventTimeScore(name) > 2 && (facts.digitsMax === 10 || facts.digitsMax === 13 || facts.digitsMax === 16)
    ? [
        `perhaps an epoch: { type: timestamp, format: ${facts.digitsMax === 10 ? 'epoch_s' : facts.digitsMax === 13 ? 'epoch_ms' : 'epoch_us'} }`,
      ]
    : [];

/** What each column is, and which texts mean null because a column is something else without them. */
export function suggestTypes(columns: readonly TextFacts[]): SuggestedTypes {
  const nulls = new Map<string, string[]>();
  for (const facts of columns) {
    if (!isTyped(facts)) continue;
    for (const text of Object.keys(facts.nullTexts))
      nulls.set(text, [...(nulls.get(text) ?? []), facts.name]);
  }
  const taken = new Set<string>();
  const typed = columns.map((facts) => {
    const name = fieldName(facts.name, taken);
    const whole = isTyped(facts) ? facts : withNullTexts(facts, nulls);
    const { type, format, reasons } = typeOf(whole, name);
    const lost = Object.entries(facts.nullTexts).filter(
      ([text]) => nulls.has(text) && type.kind === 'string',
    );
    taken.add(name.toLowerCase());
    return {
      name,
      column: facts.name,
      type,
      ...(format === undefined ? {} : { format }),
      reasons: [
        ...reasons,
        ...lost.map(
          ([text, n]) => `${rows(n)} with ${JSON.stringify(text)} are null here too, because of \`nulls\``,
        ),
      ],
    };
  });
  return {
    columns: typed,
    nulls: [...nulls.keys()].sort(),
    reasons: [...nulls]
      .sort()
      .map(([text, names]) => `${JSON.stringify(text)} stands for null in ${names.join(', ')}`),
  };
}

/** Texts that no typed column has as null are values like others. */
function withNullTexts(facts: TextFacts, nulls: ReadonlyMap<string, unknown>): TextFacts {
  const values = Object.entries(facts.nullTexts).filter(([text]) => !nulls.has(text));
  const n = values.reduce((sum, [, each]) => sum + each, 0);
  return { ...facts, count: facts.count + n, distinct: facts.distinct + values.length };
}

// --- bounds

/** The share that can still be there, with 95 % confidence, when none was seen in n (Clopper–Pearson). */
export const unseenShare = (n: number): number => 1 - (1 - CONFIDENCE) ** (1 / n);

/** The greatest share that a batch of as many rows will have, but for one batch in a thousand (Wilson's upper limit). */
export function shareLimit(hits: number, n: number): number {
  const p = hits / n;
  // A batch to come scatters as much as the one that was seen.
  const z2 = 2 * Z * Z;
  return Math.min(
    1,
    (p + z2 / (2 * n) + Math.sqrt(z2) * Math.sqrt((p * (1 - p)) / n + z2 / (4 * n * n))) / (1 + z2 / n),
  );
}

/** Away from zero, to two digits. */
function roundOut(value: number, direction: 1 | -1, whole: boolean): number {
  if (value === 0 || !Number.isFinite(value)) return 0;
  const size = 10 ** (Math.floor(Math.log10(Math.abs(value))) - 1);
  const step = whole ? Math.max(1, size) : size;
  const rounded = direction > 0 ? Math.ceil(value / step) * step : Math.floor(value / step) * step;
  return Number(rounded.toPrecision(12));
}

export interface SuggestedRange {
  readonly min: number;
  readonly max: number;
  readonly reason: string;
  /** What lies far outside of the bulk. */
  readonly far: string | null;
}

/**
 * Limits that hold every value there is, with as much room beyond the bulk as one and a half times its width: of
 * values of a normal distribution that is nine standard deviations from the mean. What is never negative stays so.
 */
export function suggestRange(numbers: NonNullable<ValueFacts['numbers']>, whole: boolean): SuggestedRange {
  const { min, max, q01, q50, q99 } = numbers;
  const width = q99 - q01;
  const room = width > 0 ? 1.5 * width : Math.max(Math.abs(max), 1);
  const [low, high] = [q01 - room, q99 + room];
  // Beyond the bulk values grow in steps as large as those that are there.
  const least = Math.min(min < low ? min - 0.5 * (q01 - min) : min, low);
  const most = Math.max(max > high ? max + 0.5 * (max - q99) : max, high);
  // Counts, and what comes close to zero and never passes it.
  const near = (end: number): boolean => whole || Math.abs(end) <= 0.1 * (width > 0 ? width : max - min);
  const positive = min >= 0 && least < 0 && near(min);
  const negative = max <= 0 && most > 0 && near(max);
  const far = [
    ...(min < low ? [`${min} lies far below`] : []),
    ...(max > high ? [`${max} lies far above`] : []),
  ];
  return {
    min: positive ? 0 : roundOut(least, -1, whole),
    max: negative ? 0 : roundOut(most, 1, whole),
    reason: `${min} to ${max}, 98 % within ${q01} and ${q99}, median ${q50}${positive ? '; never negative' : negative ? '; never positive' : ''}`,
    far: far.length === 0 ? null : `${far.join(', ')} the bulk: look at ${far.length > 1 ? 'them' : 'it'}`,
  };
}

interface Run {
  readonly kind: string;
  min: number;
  max: number;
}

const CLASSES: Readonly<Record<string, string>> = { '9': '\\d', A: '[A-Z]', a: '[a-z]' };

function runsOf(mask: string): Run[] {
  const runs: Run[] = [];
  for (const char of mask) {
    const last = runs.at(-1);
    if (last?.kind === char) {
      last.min++;
      last.max++;
    } else runs.push({ kind: char, min: 1, max: 1 });
  }
  return runs;
}

/** A pattern of at most three shapes that all texts have; undefined when they are free text or too few. */
export function suggestPattern(facts: ValueFacts): string | undefined {
  if (facts.masks === null || facts.count < ENOUGH || facts.distinct < SEEN_WELL) return undefined;
  const shapes = new Map<string, { readonly runs: Run[]; count: number }>();
  for (const [mask, n] of facts.masks) {
    const runs = runsOf(mask);
    const key = runs.map((run) => run.kind).join('');
    const shape = shapes.get(key);
    if (!shape) shapes.set(key, { runs, count: n });
    else {
      shape.count += n;
      for (const [i, run] of shape.runs.entries()) {
        run.min = Math.min(run.min, runs[i]!.min);
        run.max = Math.max(run.max, runs[i]!.max);
      }
    }
  }
  const list = [...shapes.values()];
  // Shapes seen once or twice are not all there are; long ones are words, and words have no shape.
  if (list.length > 3 || list.some((shape) => shape.count < SEEN_WELL || shape.runs.length > 8))
    return undefined;
  if (list.some((shape) => shape.runs.some((run) => run.kind === ' ' || run.kind === '\n'))) return undefined;
  if (
    list.every(
      (shape) =>
        shape.runs.every((run) => run.kind === 'a' || run.kind === 'A') &&
        shape.runs.some((run) => run.min < run.max),
    )
  )
    return undefined;
  const text = list
    .sort((a, b) => b.count - a.count)
    .map(({ runs }) =>
      runs
        .map(({ kind, min, max }) => {
          const one =
            CLASSES[kind] ??
            (/[A-Za-z0-9_]/.test(kind) ? kind : kind.codePointAt(0)! < 128 ? `\\${kind}` : kind);
          // Running numbers grow longer: only lengths that never vary are taken for fixed.
          return min === max ? (min === 1 ? one : `${one}{${min}}`) : `${one}+`;
        })
        .join(''),
    );
  const pattern = text.length === 1 ? `^${text[0]}$` : `^(${text.join('|')})$`;
  return checkPattern(pattern) === undefined ? pattern : undefined;
}

// --- keys

export interface KeyQuestion {
  /** Columns of which one may identify a record alone, likeliest first. */
  readonly single: string | null;
  readonly others: readonly string[];
  readonly candidates: readonly string[];
}

const isKeyType = (type: ValueType): boolean =>
  !['float64', 'float64_vector', 'boolean', 'list', 'map'].includes(type.kind);

/** How much a column sounds like what identifies a row of this table. */
function keyScore(column: TypedColumn, position: number, table: string): number {
  const name = fold(column.name);
  const own = fold(table).replace(/s$/, '');
  return (
    (name === 'id' || name === `${own}_id` || name === own || name === `${own}_no` || name === `${own}_key`
      ? 8
      : 0) +
    (IDENTIFIER.test(name) ? 4 : 0) +
    (column.type.kind === 'string' || column.type.kind === 'int64' ? 2 : 0) -
    Math.min(position, 50) / 100
  );
}

/** Columns whose values, alone or together, can tell rows apart. `different`: rows that are not all the same. */
export function keyQuestion(
  columns: readonly TypedColumn[],
  values: readonly ValueFacts[],
  different: number,
  table: string,
): KeyQuestion {
  const able = columns
    .map((column, i) => ({ column, facts: values[i]!, score: keyScore(column, i, table) }))
    .filter(
      ({ column, facts }) =>
        isKeyType(column.type) && facts.nulls + facts.unreadable === 0 && facts.count > 0,
    );
  const unique = able
    .filter(
      ({ facts, column }) =>
        facts.distinct === different && !['timestamp', 'date'].includes(column.type.kind),
    )
    .sort((a, b) => b.score - a.score);
  return {
    single: unique[0]?.column.column ?? null,
    others: unique.slice(1).map(({ column }) => column.column),
    candidates: able
      .filter(({ facts }) => facts.distinct > 1)
      .sort((a, b) => b.facts.distinct - a.facts.distinct || b.score - a.score)
      .slice(0, 12)
      .map(({ column }) => column.column),
  };
}

// --- the whole

export interface Suggestion {
  readonly form: SourceForm;
  /** Lines for the head of the file. */
  readonly head: readonly string[];
  /** Why: by key of the source, by field, by field under `contract`. */
  readonly keys: Readonly<Record<string, readonly string[]>>;
  readonly fields: Readonly<Record<string, readonly string[]>>;
  readonly contract: Readonly<Record<string, readonly string[]>>;
  /** Nothing is left to be written by hand. */
  readonly complete: boolean;
}

export interface SuggestInput {
  readonly name: string;
  readonly read: FormValue;
  readonly rows: number;
  readonly unreadable: number;
  readonly different: number;
  readonly types: SuggestedTypes;
  readonly values: readonly ValueFacts[];
  /** Columns that identify a record. */
  readonly key: readonly string[];
  /** Their values tell all different rows apart. */
  readonly keyHolds: boolean;
  readonly alsoUnique: readonly string[];
}

const isClock = (type: ValueType): boolean => type.kind === 'timestamp' || type.kind === 'date';

export function suggest(input: SuggestInput): Suggestion {
  const { types, values } = input;
  const columns = types.columns.map((column, i) => ({ ...column, facts: values[i]! }));
  const keys: Record<string, string[]> = {};
  const contract: Record<string, Form> = {};
  const why: Record<string, string[]> = {};
  /** What is said of fields without rules. */
  const remarks: Record<string, string[]> = {};
  const nameOf = (column: string): string => columns.find((item) => item.column === column)!.name;
  const recordKey = input.key.map(nameOf);

  const clocks = columns
    .filter((item) => isClock(item.type) && item.facts.count > 0)
    .map((item) => ({ ...item, missing: item.facts.nulls + item.facts.unreadable }))
    .sort(
      (a, b) =>
        Math.sign(a.missing) - Math.sign(b.missing) ||
        eventTimeScore(b.name) - eventTimeScore(a.name) ||
        (b.type.kind === 'timestamp' ? 1 : 0) - (a.type.kind === 'timestamp' ? 1 : 0) ||
        b.facts.distinct - a.facts.distinct,
    );
  const event = clocks.find((item) => !soundsAvailable(item.name)) ?? clocks[0];
  const available = clocks.find((item) => item !== event && soundsAvailable(item.name));
  const clock = (micros: number, type: ValueType): string =>
    type.kind === 'date' ? printDate(micros) : printInstant(micros);

  keys['record_key'] = [
    input.keyHolds
      ? `${recordKey.join(', ')} ${recordKey.length === 1 ? 'tells' : 'together tell'} ${input.different === 1 ? 'the one row' : `all ${count(input.different)} different rows apart`}`
      : 'no columns without nulls tell the rows apart: rows with the same key will count as corrections of each other',
    ...(input.different < input.rows
      ? [`${rows(input.rows - input.different)} repeat another exactly and will count as duplicates`]
      : []),
    ...(input.alsoUnique.length > 0 && input.rows >= ENOUGH
      ? [`also unique: ${input.alsoUnique.map(nameOf).join(', ')}`]
      : []),
  ];
  if (event) {
    keys['event_time'] = [
      `${event.missing === 0 ? 'never null' : `null or unreadable in ${rows(event.missing)}, which go to quarantine`}, from ${clock(event.facts.numbers!.min, event.type)} to ${clock(event.facts.numbers!.max, event.type)}`,
      ...(clocks.length > 1
        ? [
            `other times: ${clocks
              .filter((item) => item !== event)
              .map((item) => item.name)
              .join(', ')}`,
          ]
        : []),
      ...(available
        ? []
        : ['a record is taken for known at its event_time; write available_at when it is known later']),
    ];
  }
  if (available)
    keys['available_at'] = ['its name says when the record arrived; where it is null, event_time is taken'];
  const local = columns.some(
    (item) => item.type.kind === 'timestamp' && item.reasons.some((reason) => reason.includes('`timezone`')),
  );
  if (local)
    keys['timezone'] = [
      'timestamps without an offset are on these clocks: correct it if they are local times',
    ];
  if (types.reasons.length > 0) keys['read'] = [...types.reasons];

  const nullRates: Record<string, number> = {};
  const fixed = new Set([...recordKey, ...(event ? [event.name] : [])]);
  for (const item of columns) {
    const { name, type, facts } = item;
    const rules: Record<string, FormValue> = {};
    const reasons: string[] = [];
    const seen = facts.count + facts.nulls;
    if (!fixed.has(name) && seen > 0) {
      if (facts.nulls === 0 && facts.unreadable === 0) {
        const share = unseenShare(seen);
        if (share <= NULL_SHARE) {
          rules['not_null'] = true;
          reasons.push(`not_null: no null in ${rows(seen)}, a share above ${percent(share)} is ruled out`);
        } else
          reasons.push(
            `never null, but ${rows(seen)} ${seen === 1 ? 'does' : 'do'} not rule out ${percent(share)} of nulls: no not_null`,
          );
      } else if (facts.nulls > 0) {
        const limit = shareLimit(facts.nulls, seen);
        if (limit < 0.8 && seen >= ENOUGH) {
          nullRates[name] = Math.ceil(limit * 1000) / 1000;
          reasons.push(`null in ${percent(facts.nulls / seen)} of ${rows(seen)}: see null_rate`);
        } else reasons.push(`null in ${percent(facts.nulls / seen)} of ${rows(seen)}`);
      }
    }
    if (type.kind === 'string') textRules(item, fixed.has(name), rules, reasons);
    else if (facts.numbers !== null && !isClock(type)) numberRules(item, fixed.has(name), rules, reasons);
    if (!fixed.has(name) && uniqueByDesign(item)) {
      rules['unique'] = true;
      reasons.push(
        `unique: ${count(facts.distinct)} values, each once, and its name says that it identifies`,
      );
    }
    if (Object.keys(rules).length > 0) {
      contract[name] = rules;
      why[name] = reasons;
    } else remarks[name] = reasons;
  }
  const batch: Form[] = [
    { rows: { min: 1 } },
    ...(Object.keys(nullRates).length === 0 ? [] : [{ null_rate: nullRates, action: 'warn' }]),
  ];
  why['batch'] = [
    'an empty delivery is refused',
    ...(Object.keys(nullRates).length === 0
      ? []
      : [
          'null_rate: the upper limit of Wilson for a batch of as many rows, passed by chance once in a thousand; smaller batches scatter more',
        ]),
  ];

  const fields: Record<string, string | FieldForm> = {};
  for (const { name, column, type, format } of columns)
    fields[name] =
      name === column && format === undefined
        ? printType(type)
        : {
            type: printType(type),
            ...(name === column ? {} : { from: column }),
            ...(format === undefined ? {} : { format }),
          };
  const states = event !== undefined && /^(valid_?from|effective)/.test(fold(event.name));
  const form: SourceForm = {
    name: input.name,
    kind: states ? 'states' : 'events',
    read: input.read,
    ...(recordKey.length === 0 ? {} : { record_key: recordKey.length === 1 ? recordKey[0]! : recordKey }),
    ...(event ? { event_time: event.name } : {}),
    ...(available ? { available_at: available.name } : {}),
    ...(local ? { timezone: 'UTC' } : {}),
    fields,
    contract: { ...contract, batch: batch.length === 1 ? batch[0]! : batch } as ContractForm,
  };
  return {
    form,
    head: [
      `Proposed from ${rows(input.rows)}${input.unreadable > 0 ? `; ${rows(input.unreadable)} do not split into the columns and will go to quarantine` : ''}. Read it, correct it, then: millrace check`,
      ...(event
        ? []
        : [
            'NOT COMPLETE: no column is a timestamp or a date, and every source needs an event_time. Add one to the file, or join it with one that has it before it comes in.',
          ]),
    ],
    keys,
    fields: Object.fromEntries(
      columns.map((item) => [item.name, [...item.reasons, ...(remarks[item.name] ?? [])]]),
    ),
    contract: why,
    complete: event !== undefined,
  };
}

type Column = TypedColumn & { readonly facts: ValueFacts };

function textRules(
  { facts }: Column,
  fixed: boolean,
  rules: Record<string, FormValue>,
  reasons: string[],
): void {
  const { values, count: n, distinct, rarest } = facts;
  if (n < ENOUGH) return;
  if (values !== null && !fixed && distinct <= MAX_CATEGORIES) {
    if (distinct === 1) {
      reasons.push(`always ${JSON.stringify(values[0]![0])}: one value says nothing about others`);
      return;
    }
    if (rarest >= SEEN_WELL && n >= ROWS_PER_CATEGORY * distinct) {
      rules['in'] = values.map(([value]) => value).sort();
      reasons.push(
        `in: ${distinct} values, the rarest ${count(rarest)} times; others in more than ${percent(unseenShare(n))} of the rows are ruled out`,
      );
      return;
    }
    if (n >= ROWS_PER_CATEGORY * distinct)
      reasons.push(
        `${distinct} values, the rarest ${rarest} time${rarest === 1 ? '' : 's'} only: others are likely to come${facts.singles > 0 ? ` (${percent(facts.singles / n)} of the rows by Good's estimate)` : ''}, so no list of them`,
      );
  }
  const pattern = suggestPattern(facts);
  if (pattern !== undefined) {
    rules['pattern'] = pattern;
    reasons.push(`pattern: the shape of all ${count(distinct)} different texts`);
    return;
  }
  const [shortest, longest] = facts.lengths ?? [0, 0];
  if (shortest === longest && shortest > 1 && distinct >= ROWS_PER_CATEGORY) {
    rules['length'] = [shortest, longest];
    reasons.push(`length: always ${shortest} characters`);
  }
}

function numberRules(
  { name, type, facts }: Column,
  fixed: boolean,
  rules: Record<string, FormValue>,
  reasons: string[],
): void {
  const numbers = facts.numbers!;
  if (facts.count < ENOUGH) {
    reasons.push(`${numbers.min} to ${numbers.max} in ${rows(facts.count)}: too few for limits`);
    return;
  }
  // Beyond 2^53 doubles do not tell whole numbers apart: no limits from them.
  if (Math.max(Math.abs(numbers.min), Math.abs(numbers.max)) > Number.MAX_SAFE_INTEGER / 4) return;
  const whole = type.kind === 'int64';
  if (
    (fixed && facts.distinct === facts.count) ||
    IDENTIFIER.test(fold(name)) ||
    uniqueByDesign({ name, type, facts, column: name, reasons: [] })
  ) {
    if (numbers.min < 0) return;
    rules['min'] = 0;
    reasons.push(`min: an identifier, never negative`);
    return;
  }
  if (whole && facts.distinct === 2 && numbers.min === 0 && numbers.max === 1 && facts.rarest >= SEEN_WELL) {
    rules['in'] = [0, 1];
    reasons.push('in: 0 and 1, as yes and no are written');
    return;
  }
  const range = suggestRange(numbers, whole);
  const scale = type.kind === 'decimal' ? type.scale : undefined;
  const at = (value: number): number => (scale === undefined ? value : Number(value.toFixed(scale)));
  rules['range'] = [at(range.min), at(range.max)];
  reasons.push(`range: ${range.reason}`);
  if (range.far !== null) reasons.push(range.far);
}

/**
 * Unique by design and not by chance: all different, many, named as an identifier, and of a type that identifies.
 * Whole numbers that are all different in a narrow range cannot be so by chance either.
 */
function uniqueByDesign({ name, type, facts }: Column): boolean {
  if (facts.count < ENOUGH || facts.distinct !== facts.count) return false;
  if (type.kind === 'string') return IDENTIFIER.test(fold(name)) && (facts.lengths?.[1] ?? 0) <= 64;
  if (type.kind !== 'int64' || facts.numbers === null) return false;
  const width = facts.numbers.max - facts.numbers.min + 1;
  const coincidences = facts.count ** 2 / (2 * width);
  return IDENTIFIER.test(fold(name)) && coincidences >= 5;
}
