/** Renamed columns: which of the columns that are new is which of those that are gone. */
import { type ColumnProfile, keptSample } from './profile.js';
import { ksGrouped } from './tests.js';

/** A declared field whose column is gone, with what its values were like. */
export interface LostField {
  readonly field: string;
  readonly column: string;
  /** Of recent batches; undefined: there are none. */
  readonly before?: ColumnProfile;
  /** How far the last batch lay from those before it (`profileDistance`); undefined: unknown. */
  readonly ownDistance?: number;
}

/** A column that no field reads, read as a lost field would be. */
export interface ReadAs {
  /** Share of its values that can be read in the field's type; null when it has none. */
  readonly readable: number | null;
  readonly profile: ColumnProfile;
}

export interface Rename {
  readonly field: string;
  /** The column that is gone, and the one that stands in its place. */
  readonly from: string;
  readonly to: string;
  /** 0..1. */
  readonly score: number;
  /** False: told by its name alone, as there are no earlier batches to compare with. */
  readonly byValues: boolean;
}

/** From this score on a pair is called a rename. */
const RENAME_THRESHOLD = 0.75;
/** From here on it is worth asking whether it is one. */
const PERHAPS_THRESHOLD = 0.45;
/** Fewer of the values readable in the type: another column. */
const MINIMUM_READABLE = 0.9;
const WEIGHTS = { values: 0.5, overlap: 0.35, words: 0.7, nulls: 0.1, name: 0.3 } as const;
/** Distances at which nothing is left of the likeness. */
const FAR = 0.3;
/** A column whose own batches lie that far apart says nothing by its values: a clock, a counter. */
const WANDERING = 0.5;
/** A rival nearly as good leaves the pair open. */
const MARGIN = 0.03;
const MINIMUM_VALUES = 20;

const tokens = (name: string): string[] =>
  name
    .replace(/([a-z0-9])([A-Z])/g, '$1 $2')
    .toLowerCase()
    .match(/[a-z]+|\d+|[^\sa-z\d_.\-/]+/g) ?? [];

function trigrams(name: string): Set<string> {
  const padded = `  ${name.toLowerCase()} `;
  return new Set(Array.from({ length: padded.length - 2 }, (_, i) => padded.slice(i, i + 3)));
}

const shared = <T>(a: ReadonlySet<T>, b: ReadonlySet<T>): number =>
  [...a].filter((item) => b.has(item)).length;

/** 0..1: words in common (of the shorter and of both names), or three letters in a row. Other numbers, other columns. */
export function nameSimilarity(a: string, b: string): number {
  const [x, y] = [new Set(tokens(a)), new Set(tokens(b))];
  if (x.size === 0 || y.size === 0) return a === b ? 1 : 0;
  const numbers = (words: ReadonlySet<string>): Set<string> =>
    new Set([...words].filter((word) => /^\d/.test(word)));
  const [p, q] = [numbers(x), numbers(y)];
  if (shared(p, q) < Math.min(p.size, q.size)) return 0;
  const common = shared(x, y);
  const words = (common / Math.min(x.size, y.size) + (2 * common) / (x.size + y.size)) / 2;
  const [g, h] = [trigrams(a), trigrams(b)];
  return Math.max(words, (2 * shared(g, h)) / (g.size + h.size));
}

/** Letters as `a`, digits as `9`, runs as one: what texts look like that are all different. */
const shapeOf = (text: string): string =>
  `${text
    .replace(/\p{L}+/gu, 'a')
    .replace(/\p{N}+/gu, '9')
    .replace(/\s+/g, ' ')
    .slice(0, 40)}:${Math.round(Math.log2(text.length + 1) * 2)}`;

function variation(a: ReadonlyMap<string, number>, b: ReadonlyMap<string, number>): number {
  const total = (counts: ReadonlyMap<string, number>): number =>
    [...counts.values()].reduce((s, n) => s + n, 0);
  const [n, m] = [total(a), total(b)];
  if (n === 0 || m === 0) return 1;
  return (
    [...new Set([...a.keys(), ...b.keys()])].reduce(
      (sum, key) => sum + Math.abs((a.get(key) ?? 0) / n - (b.get(key) ?? 0) / m),
      0,
    ) / 2
  );
}

/** More different texts than this share of the values: they are identifiers, told by their shapes. */
const IDENTIFIERS = 0.5;
type Categorical = Extract<ColumnProfile, { type: 'categorical' }>;
const isIdentifier = ({ distinct, count }: Categorical): boolean =>
  count > 0 && distinct / count > IDENTIFIERS;

function categories(profile: Categorical, byShape: boolean): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { value, count } of profile.top) {
    const key = byShape ? shapeOf(value) : value;
    counts.set(key, (counts.get(key) ?? 0) + count);
  }
  return counts;
}

/** KS D of numbers, total variation of the frequent categories (of shapes where most values are different): 0..1. */
export function profileDistance(a: ColumnProfile, b: ColumnProfile): number | undefined {
  if (a.type === 'numeric' && b.type === 'numeric')
    return a.kept.values.length === 0 || b.kept.values.length === 0
      ? undefined
      : ksGrouped(keptSample(a), keptSample(b), { method: 'asymptotic' }).statistic;
  if (a.type !== 'categorical' || b.type !== 'categorical') return 1;
  if (a.count === 0 || b.count === 0) return undefined;
  const byShape = isIdentifier(a) && isIdentifier(b);
  return variation(categories(a, byShape), categories(b, byShape));
}

/** Sampling noise of a distance between profiles of so many values, as 95 % of equal columns stay below it. */
const noiseOf = (a: ColumnProfile, b: ColumnProfile): number => {
  const size = (profile: ColumnProfile): number =>
    Math.max(1, profile.type === 'numeric' ? Math.min(profile.count, 16_384) : Math.min(profile.count, 4096));
  const thinned = a.type === 'numeric' && b.type === 'numeric' ? a.kept.rank_error + b.kept.rank_error : 0;
  return 1.36 * Math.sqrt(1 / size(a) + 1 / size(b)) + thinned;
};

/** Share of the rarer side's kept values that the other side has; undefined where values hardly repeat. */
function overlapOf(a: ColumnProfile, b: ColumnProfile): number | undefined {
  const values = (profile: ColumnProfile): Set<number | string> =>
    new Set<number | string>(
      profile.type === 'numeric' ? profile.kept.values : profile.top.map((item) => item.value),
    );
  const repeats = (profile: ColumnProfile): boolean =>
    profile.count > 0 && profile.distinct / profile.count < 0.2;
  if (!repeats(a) || !repeats(b)) return undefined;
  const [x, y] = [values(a), values(b)];
  const least = Math.min(x.size, y.size);
  return least < (isWords(a) && isWords(b) ? 3 : 5) ? undefined : shared(x, y) / least;
}

/** Texts that mean something, not just yes and no: the same few of them are hardly met by chance. */
const isWords = (profile: ColumnProfile): boolean =>
  profile.type === 'categorical' &&
  profile.top.some(({ value }) => value.length > 1 && !/^(true|false)$/i.test(value));

/** How much a likeness of values says: two categories are alike by chance, a hundred are not. */
const richness = (profile: ColumnProfile): number =>
  Math.min(1, Math.log2(Math.max(1, profile.distinct)) / 4);

/** How likely `as` is `lost` under another name: 0..1. `byValues` false: nothing but names could be compared. */
function scoreRename(
  lost: LostField,
  column: string,
  as: ReadAs,
): { readonly score: number; readonly byValues: boolean } {
  const { before } = lost;
  const name = nameSimilarity(lost.column, column);
  if (as.readable !== null && as.readable < MINIMUM_READABLE)
    return { score: 0, byValues: before !== undefined };
  if (!before || before.count < MINIMUM_VALUES || as.profile.count < MINIMUM_VALUES)
    return { score: name, byValues: false };
  if (before.type !== as.profile.type) return { score: 0, byValues: true };
  const parts: [weight: number, likeness: number][] = [[WEIGHTS.name, name]];
  const nullRate = (profile: ColumnProfile): number =>
    profile.nulls / Math.max(1, profile.count + profile.nulls);
  const nullGap = Math.abs(nullRate(before) - nullRate(as.profile));
  parts.push([WEIGHTS.nulls, Math.max(0, 1 - Math.max(0, nullGap - 0.02) / 0.2)]);
  const wandering = (lost.ownDistance ?? 0) >= WANDERING;
  if (!wandering) {
    const distance = profileDistance(before, as.profile) ?? 1;
    const allowed = Math.max(noiseOf(before, as.profile), lost.ownDistance ?? 0);
    const likeness = Math.max(0, 1 - Math.max(0, distance - allowed) / FAR);
    if (likeness === 0) return { score: 0, byValues: true };
    parts.push([WEIGHTS.values * richness(before), likeness]);
    const overlap = overlapOf(before, as.profile);
    if (overlap !== undefined)
      parts.push([isWords(before) ? WEIGHTS.words : WEIGHTS.overlap * richness(before), overlap]);
  }
  const weight = parts.reduce((sum, [w]) => sum + w, 0);
  return { score: parts.reduce((sum, [w, likeness]) => sum + w * likeness, 0) / weight, byValues: true };
}

/** The pairs that are called renames, and what of the rest is alike enough in its values to ask whether it is one. */
export function likelyRenames(
  lost: readonly LostField[],
  added: readonly string[],
  readAs: (column: string, field: LostField) => ReadAs,
): { readonly renames: readonly Rename[]; readonly perhaps: readonly Rename[] } {
  const renames = findRenames(lost, added, readAs);
  const rest = findRenames(
    lost.filter(({ field }) => !renames.some((rename) => rename.field === field)),
    added.filter((column) => !renames.some(({ to }) => to === column)),
    readAs,
    PERHAPS_THRESHOLD,
  );
  return { renames, perhaps: rest.filter(({ byValues }) => byValues) };
}

/**
 * The best pairs first, each field and column at most once, from the threshold on. A pair with a rival nearly as good
 * for its field or its column is left out, unless the names decide.
 */
export function findRenames(
  lost: readonly LostField[],
  added: readonly string[],
  readAs: (column: string, field: LostField) => ReadAs,
  threshold: number = RENAME_THRESHOLD,
): readonly Rename[] {
  const pairs = lost
    .flatMap((field) =>
      added.map((column): Rename & { readonly name: number } => ({
        field: field.field,
        from: field.column,
        to: column,
        ...scoreRename(field, column, readAs(column, field)),
        name: nameSimilarity(field.column, column),
      })),
    )
    .filter((pair) => pair.score >= threshold)
    .sort((a, b) => b.score - a.score || b.name - a.name || (a.to < b.to ? -1 : 1));
  const out: Rename[] = [];
  const taken = (pair: Rename): boolean =>
    out.some((chosen) => chosen.field === pair.field || chosen.to === pair.to);
  for (const pair of pairs) {
    if (taken(pair)) continue;
    const rival = pairs.find(
      (other) =>
        other !== pair &&
        !taken(other) &&
        (other.field === pair.field) !== (other.to === pair.to) &&
        pair.score - other.score < MARGIN &&
        pair.name - other.name < 0.1,
    );
    if (rival) continue;
    const { name: _, ...rename } = pair;
    out.push(rename);
  }
  return out;
}
