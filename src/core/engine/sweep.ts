/**
 * The offline engine: records and observations of one source, entity by entity, in one ordered pass.
 * Values and statuses follow docs/reference/semantics.md; `default` is not applied here. A count of nothing is 0 with status
 * `empty`; entities without any known record, and observations without an entity, are `never_seen`.
 */

import { type Planned, planFeature, planLookup, ViewFields } from './kernels/plan.js';
import { type Grouped, groupByEntity, sortByTime } from './kernels/sort.js';
import { Frame, View, type Window } from './kernels/view.js';
import { STATUS, type SweepColumn, type SweepInput } from './types.js';

/** Features that see the same members: one window over one `where`. */
interface FrameGroup {
  readonly frame: Frame;
  readonly planned: Planned[];
}

interface ViewGroup {
  readonly view: View;
  /** Null: every record. */
  readonly mask: Uint8Array | null;
  readonly fields: ViewFields;
  readonly frames: Map<string, FrameGroup>;
}

const LOOKUP_WINDOW: Window = { window: null, offset: 0, includeCurrent: true };

function plan(input: SweepInput): {
  readonly views: readonly ViewGroup[];
  readonly planned: readonly Planned[];
} {
  const rows = input.observations.rows;
  const views = new Map<string, ViewGroup>();
  const groupOf = (
    where: string | null,
    window: Window,
  ): { readonly view: ViewGroup; readonly frame: FrameGroup } => {
    const key = where ?? '';
    let group = views.get(key);
    if (!group) {
      const view = new View();
      const fields = new ViewFields(view, input);
      group = { view, mask: where === null ? null : fields.mask(where), fields, frames: new Map() };
      views.set(key, group);
    }
    const shape = `${window.window}:${window.offset}:${window.includeCurrent}`;
    let frame = group.frames.get(shape);
    if (!frame) {
      frame = { frame: new Frame(window), planned: [] };
      group.frames.set(shape, frame);
    }
    return { view: group, frame };
  };
  const planned: Planned[] = [];
  for (const feature of input.features) {
    const { window, offset, includeCurrent, where } = feature.aggregation;
    const group = groupOf(where?.canonical ?? null, { window, offset, includeCurrent });
    const one = planFeature(feature, group.view.fields, rows);
    group.frame.planned.push(one);
    planned.push(one);
  }
  for (const lookup of input.lookups) {
    const group = groupOf(null, LOOKUP_WINDOW);
    const one = planLookup(lookup, group.view.fields, rows);
    group.frame.planned.push(one);
    planned.push(one);
  }
  return { views: [...views.values()], planned };
}

type Knowledge = 'as_of' | 'hindsight' | 'given';

function knowledgeOf({ observations }: SweepInput): Knowledge {
  const { knowledge, at, rows } = observations;
  if (knowledge === null) return 'as_of';
  let asOf = true;
  let hindsight = true;
  for (let i = 0; i < rows; i++) {
    if (knowledge[i] !== at[i]) asOf = false;
    if (knowledge[i] !== Number.POSITIVE_INFINITY) hindsight = false;
  }
  return asOf ? 'as_of' : hindsight ? 'hindsight' : 'given';
}

/** Columns of the features, then of the lookups, one row for each observation. */
export function sweep(input: SweepInput): SweepColumn[] {
  const { records, observations, entities } = input;
  const { views, planned } = plan(input);
  const knowledge = knowledgeOf(input);
  const known = new Uint8Array(observations.rows);
  const recordRows = groupByEntity(records.entity, records.rows, entities);
  const observationRows = groupByEntity(observations.entity, observations.rows, entities);
  const everything = views.find(({ mask }) => mask === null)?.view ?? new View();
  const punctual = knowledge === 'as_of' && isPunctual(input);
  const run = (): void => {
    for (const group of views) {
      if (group.mask !== null) fill(group.view, everything, group.mask);
      for (const { frame, planned: kernels } of group.frames.values()) {
        frame.load(group.view);
        for (const { kernel } of kernels) kernel(group.view, frame);
      }
    }
  };
  const { eventTime, seq, availableAt } = records;
  const [second, third] = records.sequenced === true ? [seq, availableAt] : [availableAt, seq];
  const append = records.append ?? seq;
  const byMemberOrder = (a: number, b: number): number =>
    eventTime[a]! - eventTime[b]! ||
    second[a]! - second[b]! ||
    third[a]! - third[b]! ||
    append[a]! - append[b]! ||
    a - b;
  const byRow = (a: number, b: number): number => a - b;
  let knowable = new Float64Array(0);
  for (let entity = 0; entity < entities; entity++) {
    const firstObservation = observationRows.offsets[entity]!;
    const endObservation = observationRows.offsets[entity + 1]!;
    const count = endObservation - firstObservation;
    if (count === 0) continue;
    const start = recordRows.offsets[entity]!;
    const end = recordRows.offsets[entity + 1]!;
    everything.reserve(end - start);
    sortByTime(recordRows.rows, start, end, eventTime, everything.eventTime, byMemberOrder);
    if (knowable.length < count) knowable = new Float64Array(Math.max(2 * knowable.length, count));
    sortByTime(observationRows.rows, firstObservation, endObservation, observations.at, knowable, byRow);
    const out = observationRows.rows.subarray(firstObservation, endObservation);
    if (knowledge === 'given') {
      for (let o = 0; o < count; o++) {
        loadKnownAt(everything, input, recordRows, entity, observations.knowledge![out[o]!]!);
        known[out[o]!] = everything.size > 0 ? 1 : 0;
        observe(everything, knowable.subarray(o, o + 1), out.subarray(o, o + 1));
        run();
      }
      continue;
    }
    if (knowledge === 'hindsight') {
      loadKnownAt(everything, input, recordRows, entity, Number.POSITIVE_INFINITY);
      if (everything.size > 0) for (let o = 0; o < count; o++) known[out[o]!] = 1;
      observe(everything, knowable.subarray(0, count), out);
    } else {
      if (punctual) loadPunctual(everything, recordRows, entity);
      else load(everything, input, recordRows, entity);
      observe(everything, knowable.subarray(0, count), out);
      if (everything.size > 0) markKnown(everything, known, punctual);
    }
    run();
  }
  for (const { status } of planned)
    for (let row = 0; row < known.length; row++) if (known[row] === 0) status[row] = STATUS.never_seen;
  return planned.map(({ finish }) => finish());
}

function observe(view: View, at: Float64Array, out: Int32Array): void {
  view.observations = at.length;
  view.at = at;
  view.out = out;
}

/** Is every record known from its event on, for ever, and does no window reach beyond the observation? */
function isPunctual({ records, features }: SweepInput): boolean {
  if (features.some(({ aggregation }) => aggregation.offset < 0)) return false;
  const { rows, eventTime, availableAt, until } = records;
  if (until !== null) for (let i = 0; i < rows; i++) if (until[i] !== Number.POSITIVE_INFINITY) return false;
  if (availableAt === eventTime) return true;
  for (let i = 0; i < rows; i++) if (availableAt[i] !== eventTime[i]) return false;
  return true;
}

/** The records of an entity when all are punctual: their knowledge intervals need not be read. Times are there. */
function loadPunctual(view: View, grouped: Grouped, entity: number): void {
  const start = grouped.offsets[entity]!;
  const size = grouped.offsets[entity + 1]! - start;
  view.size = size;
  view.stamp++;
  view.lateness = 0;
  for (let i = 0; i < size; i++) view.rows[i] = grouped.rows[start + i]!;
}

/** All versions of an entity, each with its interval of knowledge. Times are there. */
function load(view: View, { records }: SweepInput, grouped: Grouped, entity: number): void {
  const start = grouped.offsets[entity]!;
  const size = grouped.offsets[entity + 1]! - start;
  view.size = size;
  view.stamp++;
  const { rows, eventTime, from, until } = view;
  let lateness = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < size; i++) {
    const row = grouped.rows[start + i]!;
    rows[i] = row;
    const available = records.availableAt[row]!;
    from[i] = available;
    if (available - eventTime[i]! > lateness) lateness = available - eventTime[i]!;
  }
  if (records.until === null) until.fill(Number.POSITIVE_INFINITY, 0, size);
  else {
    for (let i = 0; i < size; i++) {
      until[i] = records.until[rows[i]!]!;
      if (until[i] !== Number.POSITIVE_INFINITY) lateness = Number.POSITIVE_INFINITY;
    }
  }
  view.lateness = lateness;
}

/** The versions of an entity known at one instant of knowledge, as if they had always been. */
function loadKnownAt(
  view: View,
  { records }: SweepInput,
  grouped: Grouped,
  entity: number,
  knowledge: number,
): void {
  const start = grouped.offsets[entity]!;
  const end = grouped.offsets[entity + 1]!;
  view.reserve(end - start);
  view.stamp++;
  view.lateness = Number.NEGATIVE_INFINITY;
  let size = 0;
  for (let i = start; i < end; i++) {
    const row = grouped.rows[i]!;
    const until = records.until === null ? Number.POSITIVE_INFINITY : records.until[row]!;
    const isKnown =
      knowledge === Number.POSITIVE_INFINITY
        ? until === knowledge
        : records.availableAt[row]! <= knowledge && knowledge < until;
    if (!isKnown) continue;
    view.rows[size] = row;
    view.eventTime[size++] = records.eventTime[row]!;
  }
  view.size = size;
}

/** Marks the observations at whose instant any version of the entity is known. */
function markKnown(view: View, known: Uint8Array, punctual: boolean): void {
  const { size, from, until, at, out } = view;
  if (view.lateness !== Number.POSITIVE_INFINITY) {
    let earliest = punctual ? view.eventTime[0]! : Number.POSITIVE_INFINITY;
    for (let i = 0; i < size && !punctual; i++) if (from[i]! < earliest) earliest = from[i]!;
    for (let o = 0; o < view.observations; o++) if (at[o]! >= earliest) known[out[o]!] = 1;
    return;
  }
  const begins = from.slice(0, size).sort();
  const ends = until.slice(0, size).sort();
  let begun = 0;
  let ended = 0;
  for (let o = 0; o < view.observations; o++) {
    while (begun < size && begins[begun]! <= at[o]!) begun++;
    while (ended < size && ends[ended]! <= at[o]!) ended++;
    if (begun > ended) known[out[o]!] = 1;
  }
}

/** The records of `all` that pass the mask, with the same observations. */
function fill(view: View, all: View, mask: Uint8Array | null): void {
  view.reserve(all.size);
  view.stamp++;
  view.lateness = all.lateness;
  view.observations = all.observations;
  view.at = all.at;
  view.out = all.out;
  let size = 0;
  for (let i = 0; i < all.size; i++) {
    if (mask !== null && mask[all.rows[i]!] !== 1) continue;
    view.rows[size] = all.rows[i]!;
    view.eventTime[size] = all.eventTime[i]!;
    view.from[size] = all.from[i]!;
    view.until[size] = all.until[i]!;
    size++;
  }
  view.size = size;
}
