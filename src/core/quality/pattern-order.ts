/** Whether one pattern of a contract accepts all that another accepts, as far as their forms show it. */

/** Code points, as ranges that neither touch nor overlap, in order. */
type Ranges = readonly (readonly [low: number, high: number])[];

type Atom =
  | { readonly kind: 'chars'; readonly ranges: Ranges }
  /** `^ $ \b \B`: a place, no character. */
  | { readonly kind: 'place'; readonly text: string }
  | { readonly kind: 'group'; readonly alternatives: readonly Sequence[] };
interface Item {
  readonly atom: Atom;
  readonly min: number;
  readonly max: number;
}
type Sequence = readonly Item[];

const LAST = 0x10ffff;

function united(ranges: Ranges): Ranges {
  const out: [number, number][] = [];
  for (const [low, high] of [...ranges].sort((a, b) => a[0] - b[0])) {
    const last = out.at(-1);
    if (last && low <= last[1] + 1) last[1] = Math.max(last[1], high);
    else out.push([low, high]);
  }
  return out;
}

function complement(ranges: Ranges): Ranges {
  const out: [number, number][] = [];
  let next = 0;
  for (const [low, high] of united(ranges)) {
    if (low > next) out.push([next, low - 1]);
    next = high + 1;
  }
  return next > LAST ? out : [...out, [next, LAST]];
}

const codes = (text: string): Ranges =>
  united([...text].map((char) => [char.codePointAt(0)!, char.codePointAt(0)!]));
const DIGITS: Ranges = [[48, 57]];
const WORD: Ranges = united([...DIGITS, [65, 90], [95, 95], [97, 122]]);
const SPACES: Ranges = codes('\t\n\f\r ');
const CLASSES: Readonly<Record<string, Ranges>> = {
  d: DIGITS,
  D: complement(DIGITS),
  w: WORD,
  W: complement(WORD),
  s: SPACES,
  S: complement(SPACES),
};
const CONTROLS: Readonly<Record<string, string>> = { t: '\t', n: '\n', r: '\r', f: '\f', v: '\v' };

/** Reads what `checkPattern` accepts. */
function readPattern(pattern: string): readonly Sequence[] {
  const chars = [...pattern];
  let at = 0;
  const readEscape = (): Ranges => {
    const char = chars[at++]!;
    return CLASSES[char] ?? codes(CONTROLS[char] ?? char);
  };
  const member = (): Ranges => {
    const char = chars[at++]!;
    return char === '\\' ? readEscape() : codes(char);
  };
  const readClass = (): Ranges => {
    const negated = chars[at] === '^';
    if (negated) at++;
    const ranges: (readonly [number, number])[] = [];
    while (chars[at] !== ']') {
      const low = member();
      if (chars[at] !== '-' || chars[at + 1] === ']') {
        ranges.push(...low);
        continue;
      }
      at++;
      ranges.push([low[0]![0], member()[0]![0]]);
    }
    at++;
    return negated ? complement(ranges) : united(ranges);
  };
  const readAtom = (char: string): Atom => {
    if (char === '(') {
      if (chars[at] === '?') at += 2;
      const alternatives = readAlternatives();
      at++;
      return { kind: 'group', alternatives };
    }
    if (char === '[') return { kind: 'chars', ranges: readClass() };
    if (char === '.') return { kind: 'chars', ranges: complement(codes('\n')) };
    if (char === '^' || char === '$') return { kind: 'place', text: char };
    if (char !== '\\') return { kind: 'chars', ranges: codes(char) };
    if (chars[at] === 'b' || chars[at] === 'B') return { kind: 'place', text: `\\${chars[at++]!}` };
    return { kind: 'chars', ranges: readEscape() };
  };
  const readCount = (): readonly [number, number] => {
    const found = /^(?:([*+?])|\{(\d+)(,(\d*))?\})\??/.exec(chars.slice(at, at + 13).join(''));
    if (!found) return [1, 1];
    at += found[0].length;
    const [, sign, low, open, high] = found;
    if (sign !== undefined) return [sign === '+' ? 1 : 0, sign === '?' ? 1 : Number.POSITIVE_INFINITY];
    const min = Number(low);
    return [min, open === undefined ? min : high === '' ? Number.POSITIVE_INFINITY : Number(high)];
  };
  const readAlternatives = (): readonly Sequence[] => {
    const alternatives: Item[][] = [[]];
    while (at < chars.length && chars[at] !== ')') {
      const char = chars[at++]!;
      if (char === '|') {
        alternatives.push([]);
        continue;
      }
      const atom = readAtom(char);
      const [min, max] = readCount();
      const sequence = alternatives.at(-1)!;
      // (?:ab) once is ab.
      if (atom.kind === 'group' && atom.alternatives.length === 1 && min === 1 && max === 1)
        sequence.push(...atom.alternatives[0]!);
      else sequence.push({ atom, min, max });
    }
    return alternatives;
  };
  return readAlternatives();
}

type Choice = Item & { readonly atom: Extract<Atom, { readonly kind: 'group' }> };
const isChoice = (item: Item): item is Choice =>
  item.atom.kind === 'group' && item.min === 1 && item.max === 1;

/** `x(a|b)y` is xay or xby; as it is where that would be many. */
function spread(sequence: Sequence): readonly Sequence[] {
  let all: readonly Sequence[] = [[]];
  for (const item of sequence) {
    const ways = isChoice(item) ? item.atom.alternatives : [[item]];
    if (all.length * ways.length > 64) return [sequence];
    all = all.flatMap((before) => ways.map((way) => [...before, ...way]));
  }
  return all;
}

/** Comparisons after which nothing is said. */
const MOST_STEPS = 20_000;

class TooLong extends Error {}

function comparison(): (a: readonly Sequence[], b: readonly Sequence[]) => boolean {
  let steps = 0;
  const atomWithin = (a: Atom, b: Atom): boolean => {
    if (a.kind === 'chars' && b.kind === 'chars')
      return a.ranges.every(([low, high]) => b.ranges.some(([from, to]) => from <= low && high <= to));
    if (a.kind === 'place' && b.kind === 'place') return a.text === b.text;
    if (b.kind === 'group')
      return allWithin(a.kind === 'group' ? a.alternatives : [[once(a)]], b.alternatives);
    return a.kind === 'group' && a.alternatives.every((each) => within(each, [once(b)]));
  };
  /** Every text of sequence `a` is a text of sequence `b`. */
  const within = (a: Sequence, b: Sequence): boolean => {
    if (++steps > MOST_STEPS) throw new TooLong();
    const [first, ...rest] = a;
    const [next, ...others] = b;
    if (next === undefined) return first === undefined;
    if (next.min === 0 && within(a, others)) return true;
    if (first === undefined) return false;
    if (first.max === 0) return within(rest, b);
    if (first.max > next.max && first.min > 0) {
      const fewer = { ...first, min: first.min - 1, max: first.max - 1 };
      if (within([once(first.atom), fewer, ...rest], b)) return true;
    }
    // How many of `next` are left when as many of them as `first` may be are taken.
    const left = { min: Math.max(0, next.min - first.min), max: less(next.max, first.max) };
    if (
      left.min <= left.max &&
      atomWithin(first.atom, next.atom) &&
      within(rest, left.max === 0 ? others : [{ ...next, ...left }, ...others])
    )
      return true;
    if (isChoice(first)) return first.atom.alternatives.every((each) => within([...each, ...rest], b));
    if (next.atom.kind !== 'group' || next.min > 1 || next.max < 1) return false;
    const { alternatives } = next.atom;
    return a.some((_, i) => allWithin([a.slice(0, i + 1)], alternatives) && within(a.slice(i + 1), others));
  };
  const allWithin = (a: readonly Sequence[], b: readonly Sequence[]): boolean =>
    a.flatMap(spread).every((each) => b.some((other) => within(each, other)));
  // A pattern is searched for: what holds `b` somewhere within `a` is found wherever `a` is.
  return (a, b) =>
    a.flatMap(spread).every((each) =>
      b.some((other) => {
        for (let from = 0; from <= each.length; from++)
          for (let to = each.length; to >= from; to--) if (within(each.slice(from, to), other)) return true;
        return false;
      }),
    );
}

/** Of endlessly many, endlessly many are left. */
const less = (of: number, by: number): number => (of === Number.POSITIVE_INFINITY ? of : of - by);
const once = (atom: Atom): Item => ({ atom, min: 1, max: 1 });

/**
 * True: every text that `a` is found in `b` is found in, too. False: that is not so, or its form does not show it. Both
 * have passed `checkPattern`.
 */
export function patternWithin(a: string, b: string): boolean {
  try {
    return comparison()(readPattern(a), readPattern(b));
  } catch (error) {
    if (error instanceof TooLong) return false;
    throw error;
  }
}
