/**
 * Which sums, counts and ends are kept while an entity's events are walked once, and where a value finds its own.
 * A lane is all that has one predicate and one upper end: its windows are nested, so that one walk from the newest
 * event backwards answers every one of them.
 */

import type { Duration } from '../../base/time.js';
import type { FunctionName } from '../../define/types.js';
import type { ValueType } from '../../schema/types.js';

/** Words of a directory row. The seq in the key of its first event names a segment. */
export const ROW = {
  events: 0,
  key: 1,
  id: 4,
  maxEvent: 5,
  minFrom: 6,
  maxFrom: 7,
  minUntil: 8,
  bytes: 9,
} as const;

/** Words of a directory row before its summaries. */
export const DIRECTORY_BASE = 10;

/** Functions that lanes answer, by what they read. */
const OF_NUMBERS: ReadonlySet<string> = new Set(['sum', 'mean']);
const OF_SPREAD: ReadonlySet<string> = new Set(['std', 'var', 'std_pop', 'var_pop']);
const OF_ORDER: ReadonlySet<string> = new Set(['min', 'max']);
const OF_ENDS: ReadonlySet<string> = new Set(['first', 'last', 'seconds_since_first', 'seconds_since_last']);

export type LaneFunction =
  | 'count'
  | 'sum'
  | 'mean'
  | 'min'
  | 'max'
  | 'std'
  | 'var'
  | 'std_pop'
  | 'var_pop'
  | 'ratio'
  | 'first'
  | 'last'
  | 'seconds_since_first'
  | 'seconds_since_last';

/** Types whose columns hold the values themselves, whatever these are. */
export const isPlain = ({ kind }: ValueType): boolean =>
  kind === 'float64' || kind === 'timestamp' || kind === 'date';

/** Does a lane answer this aggregation, whose field, if it has one, has this type? */
export function isLaneFunction(
  name: FunctionName,
  type: ValueType | undefined,
  ignoreNulls: boolean,
): name is LaneFunction {
  if (name === 'count' || name === 'ratio') return true;
  if (OF_ENDS.has(name)) return !ignoreNulls;
  if (type === undefined) return false;
  const { kind } = type;
  if (kind === 'float64' || kind === 'int64' || kind === 'decimal')
    return OF_NUMBERS.has(name) || OF_SPREAD.has(name) || OF_ORDER.has(name);
  return (kind === 'timestamp' || kind === 'date') && OF_ORDER.has(name);
}

/** What segments keep of the values of a field under a predicate (-1: none). */
export interface FieldAtom {
  readonly field: number;
  readonly mask: number;
  readonly squares: boolean;
}

/** Segments count the events for which both predicates are true; -1: any. */
export interface RowAtom {
  readonly mask: number;
  readonly also: number;
}

/** Words of a field's summary: values, high, low, least, greatest, then high and low of the squares. */
export const atomWords = (atom: FieldAtom): number => (atom.squares ? 7 : 5);

/** What lanes have to answer of one aggregation. */
export interface Wanted {
  readonly function: LaneFunction;
  /** -1: rows. */
  readonly field: number;
  readonly mask: number;
  /** The predicate of a ratio, else -1. */
  readonly also: number;
  readonly offset: Duration;
  readonly includeCurrent: boolean;
  /** Infinity: the whole history. */
  readonly width: Duration;
}

interface Atoms {
  readonly rowAtoms: readonly RowAtom[];
  readonly fieldAtoms: readonly FieldAtom[];
}

const counted = ({ function: name, field }: Wanted): boolean =>
  name === 'ratio' || (name === 'count' && field < 0) || OF_ENDS.has(name);

/** The summaries that segments need. */
export function atomsOf(wanted: readonly Wanted[]): Atoms {
  const rows = new Map<string, RowAtom>();
  const fields = new Map<string, FieldAtom>();
  for (const item of wanted) {
    const { function: name, field, mask, also } = item;
    if (counted(item) && mask >= 0) rows.set(`${mask}/-1`, { mask, also: -1 });
    if (name === 'ratio') rows.set(`${mask}/${also}`, { mask, also });
    if (field < 0 || OF_ENDS.has(name)) continue;
    const key = `${field}/${mask}`;
    fields.set(key, { field, mask, squares: OF_SPREAD.has(name) || fields.get(key)?.squares === true });
  }
  return {
    rowAtoms: [...rows.values()].sort((a, b) => a.mask - b.mask || a.also - b.also),
    fieldAtoms: [...fields.values()].sort((a, b) => a.field - b.field || a.mask - b.mask),
  };
}

/** Place of a field's summary in a directory row. */
const fieldPlace = ({ rowAtoms, fieldAtoms }: Atoms, index: number): number =>
  fieldAtoms.slice(0, index).reduce((at, atom) => at + atomWords(atom), DIRECTORY_BASE + rowAtoms.length);

export const directoryWords = (atoms: Atoms): number => fieldPlace(atoms, atoms.fieldAtoms.length);

/**
 * Words at the beginning of an accumulator. `oldest` and `newest` are the numbers of the directory rows that hold these
 * events, that of the head after all others, Infinity and -1 where there is none; `...Id` name the segments, `...Time`
 * are event times, NaN while an event of a segment was not looked at yet.
 */
export const SUM = {
  rows: 0,
  oldest: 1,
  oldestId: 2,
  oldestTime: 3,
  newest: 4,
  newestId: 5,
  newestTime: 6,
  base: 7,
} as const;
/** Words of a column in an accumulator: as in a directory row. */
export const COLUMN = { values: 0, high: 1, low: 2, least: 3, greatest: 4, squares: 5, words: 7 } as const;

export interface LaneColumn {
  readonly field: number;
  /** Place of its summary in a directory row, and in an accumulator. */
  readonly atom: number;
  readonly at: number;
  readonly needsSum: boolean;
  readonly needsExtremes: boolean;
  readonly needsSquares: boolean;
  /** It is read for so many windows, from the narrowest on. */
  readonly windows: number;
}

/** The value of a field at the oldest or newest event of a window. */
export interface LaneEnd {
  readonly field: number;
  readonly at: number;
  /** Its column holds the values themselves. */
  readonly plain: boolean;
}

export interface Lane {
  readonly mask: number;
  readonly offset: Duration;
  readonly includeCurrent: boolean;
  /** Narrowest first; Infinity: the whole history. */
  readonly windows: readonly Duration[];
  /** Place of the number of its events in a directory row; -1: it is not asked for. */
  readonly rowAtom: number;
  /** Events for which another predicate is true too. */
  readonly shares: readonly { readonly also: number; readonly atom: number; readonly at: number }[];
  readonly columns: readonly LaneColumn[];
  readonly oldest: readonly LaneEnd[];
  readonly newest: readonly LaneEnd[];
  /** Some value reads an end. */
  readonly ends: boolean;
  /** Words of an accumulator. */
  readonly size: number;
  /** First word of the accumulator of the narrowest window. */
  readonly base: number;
}

/** Where a value is found: the accumulator of its window, and its place there. */
export interface LanePlace {
  readonly accumulator: number;
  readonly at: number;
}

/** `words` begins where accumulators are kept; the running one stands before them. */
export function planLanes(
  atoms: Atoms,
  eventsPlace: number,
  wanted: readonly Wanted[],
  typeOf: (field: number) => ValueType,
): { lanes: readonly Lane[]; places: readonly LanePlace[]; words: number } {
  const members = new Map<string, Wanted[]>();
  const keyOf = ({ mask, offset, includeCurrent }: Wanted): string => `${mask}/${offset}/${includeCurrent}`;
  for (const item of wanted) {
    const key = keyOf(item);
    members.set(key, [...(members.get(key) ?? []), item]);
  }
  const { rowAtoms, fieldAtoms } = atoms;
  const rowPlace = (mask: number, also: number): number =>
    mask < 0 && also < 0
      ? eventsPlace
      : DIRECTORY_BASE + rowAtoms.findIndex((atom) => atom.mask === mask && atom.also === also);
  const distinct = (values: readonly number[]): number[] => [...new Set(values)].sort((a, b) => a - b);
  const unplaced = [...members.values()].map((items): Lane => {
    const { mask, offset, includeCurrent } = items[0]!;
    const windows = distinct(items.map((item) => item.width));
    let size: number = SUM.base;
    const take = (words: number): number => {
      size += words;
      return size - words;
    };
    const shares = distinct(items.flatMap((item) => (item.function === 'ratio' ? item.also : []))).map(
      (also) => ({ also, atom: rowPlace(mask, also), at: take(1) }),
    );
    const ofFields = items.filter((item) => item.field >= 0 && !OF_ENDS.has(item.function));
    const columns = distinct(ofFields.map((item) => item.field)).map((field): LaneColumn => {
      const readers = ofFields.filter((item) => item.field === field);
      const needsSquares = readers.some((item) => OF_SPREAD.has(item.function));
      return {
        field,
        atom: fieldPlace(
          atoms,
          fieldAtoms.findIndex((atom) => atom.field === field && atom.mask === mask),
        ),
        at: take(COLUMN.words),
        needsSum: needsSquares || readers.some((item) => OF_NUMBERS.has(item.function)),
        needsExtremes: needsSquares || readers.some((item) => OF_ORDER.has(item.function)),
        needsSquares,
        windows: 1 + Math.max(...readers.map((item) => windows.indexOf(item.width))),
      };
    });
    const endsOf = (name: LaneFunction): LaneEnd[] =>
      distinct(items.flatMap((item) => (item.function === name ? item.field : []))).map((field) => ({
        field,
        at: take(1),
        plain: isPlain(typeOf(field)),
      }));
    return {
      mask,
      offset,
      includeCurrent,
      windows,
      rowAtom: items.some(counted) ? rowPlace(mask, -1) : -1,
      shares,
      columns,
      oldest: endsOf('first'),
      newest: endsOf('last'),
      ends: items.some((item) => OF_ENDS.has(item.function)),
      size,
      base: 0,
    };
  });
  let words = Math.max(0, ...unplaced.map(({ size }) => size));
  const lanes = unplaced.map((lane): Lane => {
    const base = words;
    words += lane.size * lane.windows.length;
    return { ...lane, base };
  });
  const names = [...members.keys()];
  const places = wanted.map((item): LanePlace => {
    const lane = lanes[names.indexOf(keyOf(item))]!;
    const at = (found: readonly { readonly at: number }[], index: number): number => found[index]!.at;
    const { function: name, field, also } = item;
    return {
      accumulator: lane.base + lane.size * lane.windows.indexOf(item.width),
      at:
        name === 'ratio'
          ? at(
              lane.shares,
              lane.shares.findIndex((share) => share.also === also),
            )
          : name === 'first' || name === 'last'
            ? at(
                name === 'first' ? lane.oldest : lane.newest,
                (name === 'first' ? lane.oldest : lane.newest).findIndex((end) => end.field === field),
              )
            : OF_ENDS.has(name) || field < 0
              ? SUM.rows
              : at(
                  lane.columns,
                  lane.columns.findIndex((column) => column.field === field),
                ),
    };
  });
  return { lanes, places, words };
}
