/** Small SVG plots. Colours are CSS classes (`c1` … `c4`), so both themes share one drawing. Every plot has a title. */
import { percent } from './format.js';
import type { DensityBar, Overlay } from './histogram.js';
import { type Content, clip, html, type Markup } from './html.js';

export interface Point {
  readonly x: number;
  readonly y: number;
}

export interface PlotSeries {
  readonly name: string;
  readonly points: readonly Point[];
  /** 1 … 4. */
  readonly tone: number;
  readonly step?: boolean;
}

/** Coordinates with at most one decimal: a tenth of a pixel is more than the eye sees. */
const at = (n: number): number => Math.round(n * 10) / 10;

/** About `wanted` round values over the range. */
export function ticks(from: number, to: number, wanted = 5): readonly number[] {
  if (!(to > from)) return [from];
  const rough = (to - from) / wanted;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5, 10].find((factor) => factor * power >= rough * 0.999) ?? 10);
  const found: number[] = [];
  for (let i = Math.ceil(from / step - 1e-9); i * step <= to + step * 1e-9; i++)
    found.push(Number((i * step).toPrecision(12)));
  return found;
}

/** At most `limit` of the items at equal steps, both ends among them. */
export function thin<T>(items: readonly T[], limit: number): readonly T[] {
  if (items.length <= limit) return items;
  return Array.from({ length: limit }, (_, i) => items[Math.round((i * (items.length - 1)) / (limit - 1))]);
}

export interface Axis {
  readonly label: string;
  readonly from: number;
  readonly to: number;
  readonly format: (n: number) => string;
}

export interface Frame {
  readonly width: number;
  readonly height: number;
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
}

const FRAME: Frame = { width: 372, height: 272, left: 44, right: 10, top: 10, bottom: 40 };

interface Scale {
  readonly x: (n: number) => number;
  readonly y: (n: number) => number;
}

const scaleOf = (frame: Frame, x: Axis, y: Axis): Scale => ({
  x: (n) => at(frame.left + ((n - x.from) / (x.to - x.from || 1)) * (frame.width - frame.left - frame.right)),
  y: (n) =>
    at(
      frame.height -
        frame.bottom -
        ((n - y.from) / (y.to - y.from || 1)) * (frame.height - frame.top - frame.bottom),
    ),
});

function axes(frame: Frame, x: Axis, y: Axis, scale: Scale): Markup {
  const base = frame.height - frame.bottom;
  return html`<g class="axis">${ticks(y.from, y.to).map(
    (n) =>
      html`<line class="grid" x1="${frame.left}" x2="${frame.width - frame.right}" y1="${scale.y(n)}" y2="${scale.y(n)}"/><text x="${frame.left - 6}" y="${scale.y(n) + 3.5}" text-anchor="end">${y.format(n)}</text>`,
  )}${ticks(x.from, x.to).map((n) => html`<text x="${scale.x(n)}" y="${base + 15}" text-anchor="middle">${x.format(n)}</text>`)}<line class="base" x1="${frame.left}" x2="${frame.width - frame.right}" y1="${base}" y2="${base}"/><text class="label" x="${(frame.left + frame.width - frame.right) / 2}" y="${frame.height - 5}" text-anchor="middle">${x.label}</text><text class="label" transform="translate(11 ${at((frame.top + base) / 2)}) rotate(-90)" text-anchor="middle">${y.label}</text></g>`;
}

const svg = (frame: Pick<Frame, 'width' | 'height'>, title: string, body: Content): Markup =>
  html`<svg class="plot" viewBox="0 0 ${frame.width} ${frame.height}" role="img" aria-label="${title}"><title>${title}</title>${body}</svg>`;

const pathOf = (points: readonly Point[], scale: Scale, step: boolean): string =>
  points
    .map((point, i) =>
      i === 0
        ? `M${scale.x(point.x)} ${scale.y(point.y)}`
        : step
          ? `H${scale.x(point.x)}V${scale.y(point.y)}`
          : `L${scale.x(point.x)} ${scale.y(point.y)}`,
    )
    .join('');

export interface LinePlot {
  readonly title: string;
  readonly x: Axis;
  readonly y: Axis;
  readonly series: readonly PlotSeries[];
  /** A dashed line for comparison: chance, perfect calibration. */
  readonly reference?: readonly Point[];
}

const CURVE_POINTS = 120;

export function linePlot({ title, x, y, series, reference }: LinePlot): Markup {
  const scale = scaleOf(FRAME, x, y);
  return svg(FRAME, title, [
    axes(FRAME, x, y, scale),
    reference && html`<path class="reference" d="${pathOf(reference, scale, false)}"/>`,
    [...series]
      .reverse()
      .map(
        (each) =>
          html`<path class="line c${each.tone}" d="${pathOf(thin(each.points, CURVE_POINTS), scale, each.step === true)}"><title>${each.name}</title></path>`,
      ),
  ]);
}

export interface CalibrationPoint {
  readonly x: number;
  readonly y: number;
  readonly rows: number;
}

/** Mean score against observed rate; below, on the same axis, how many rows each point stands for. */
export function calibrationPlot(
  title: string,
  points: readonly CalibrationPoint[],
  bins: readonly { readonly low: number; readonly high: number; readonly rows: number }[],
): Markup {
  const frame = { ...FRAME, bottom: 86 };
  const x: Axis = { label: '', from: 0, to: 1, format: (n) => n.toFixed(1) };
  const scale = scaleOf(frame, x, { label: '', from: 0, to: 1, format: String });
  const most = Math.max(1, ...bins.map((bin) => bin.rows));
  const base = FRAME.height - 24;
  const room = 40;
  return svg(frame, title, [
    axes(
      frame,
      { ...x, label: '' },
      { label: 'observed rate', from: 0, to: 1, format: (n) => n.toFixed(1) },
      scale,
    ),
    html`<path class="reference" d="M${scale.x(0)} ${scale.y(0)}L${scale.x(1)} ${scale.y(1)}"/><path class="line c1" d="${pathOf(points, scale, false)}"/>`,
    points.map(
      (point) =>
        html`<circle class="dot c1" cx="${scale.x(point.x)}" cy="${scale.y(point.y)}" r="${at(2.5 + 3.5 * Math.sqrt(point.rows / most))}"><title>${`mean score ${point.x.toFixed(3)}, observed rate ${point.y.toFixed(3)}, ${point.rows.toLocaleString('en-US')} rows`}</title></circle>`,
    ),
    bins.map((bin) => {
      const height = bin.rows === 0 ? 0 : Math.max(1, at((bin.rows / most) * room));
      return html`<rect class="bar c1 soft" x="${at(scale.x(bin.low) + 1)}" y="${at(base - height)}" width="${at(Math.max(1, scale.x(bin.high) - scale.x(bin.low) - 2))}" height="${height}"><title>${`${bin.low.toFixed(2)} to ${bin.high.toFixed(2)}: ${bin.rows.toLocaleString('en-US')} rows`}</title></rect>`;
    }),
    html`<g class="axis"><line class="base" x1="${frame.left}" x2="${frame.width - frame.right}" y1="${base}" y2="${base}"/><text class="label" transform="translate(11 ${base - 18}) rotate(-90)" text-anchor="middle">rows</text><text class="label" x="${(frame.left + frame.width - frame.right) / 2}" y="${FRAME.height - 6}" text-anchor="middle">mean score</text></g>`,
  ]);
}

/** Distributions over equal bins on one scale: the first filled, the others as outlines. */
export function histogramPlot(
  title: string,
  x: Axis,
  series: readonly { readonly name: string; readonly shares: readonly number[]; readonly tone: number }[],
): Markup {
  const bins = series[0]?.shares.length ?? 1;
  const highest = Math.max(1e-9, ...series.flatMap((each) => each.shares));
  const y: Axis = {
    label: 'share of rows',
    from: 0,
    to: highest * 1.05,
    format: (n) => percent(n, highest < 0.05 ? 1 : 0),
  };
  const scale = scaleOf(FRAME, x, y);
  const edge = (i: number): number => scale.x(x.from + ((x.to - x.from) * i) / bins);
  const outline = (shares: readonly number[]): string =>
    `M${edge(0)} ${scale.y(0)}${shares.map((share, i) => `V${scale.y(share)}H${edge(i + 1)}`).join('')}V${scale.y(0)}`;
  return svg(FRAME, title, [
    axes(FRAME, x, y, scale),
    series.map(
      (each, i) =>
        html`<path class="${i === 0 ? `area c${each.tone}` : `line c${each.tone}`}" d="${outline(each.shares)}"><title>${each.name}</title></path>`,
    ),
  ]);
}

/** Bars by length with their names before and numbers after them. */
export function barList(
  title: string,
  rows: readonly { readonly name: string; readonly value: number; readonly text: string }[],
): Markup {
  const height = 21;
  const frame = { width: 372, height: rows.length * height + 4 };
  const start = 168;
  const room = frame.width - start - 48;
  const most = Math.max(1e-12, ...rows.map((row) => row.value));
  return svg(
    frame,
    title,
    rows.map((row, i) => {
      const y = i * height + 2;
      const width = at((Math.max(0, row.value) / most) * room);
      return html`<g><title>${`${row.name}: ${row.text}`}</title><text x="${start - 8}" y="${y + 14}" text-anchor="end">${clip(row.name, 25)}</text><rect class="bar c1" x="${start}" y="${y + 3}" width="${Math.max(1, width)}" height="14" rx="2"/><text class="muted" x="${start + Math.max(1, width) + 6}" y="${y + 14}">${row.text}</text></g>`;
    }),
  );
}

/** A density of true widths in a table cell. Values that repeat much stand as narrow dark bars. */
export function densitySpark(title: string, bars: readonly DensityBar[]): Markup {
  const [width, height] = [132, 32];
  const from = Math.min(...bars.map((bar) => bar.from));
  const to = Math.max(...bars.map((bar) => bar.to));
  const range = to - from || 1;
  const thick = 3;
  const x = (n: number): number => at(((n - from) / range) * (width - thick));
  // The share of one value is spread over the few pixels that its bar has, so that areas stay comparable.
  const density = (bar: DensityBar): number =>
    bar.share / (bar.atom ? (range * thick) / width : bar.to - bar.from);
  const most = Math.max(1e-300, ...bars.map(density));
  return html`<svg class="spark" viewBox="0 0 ${width} ${height}" role="img" aria-label="${title}"><title>${title}</title>${[
    ...bars.filter((bar) => !bar.atom),
    ...bars.filter((bar) => bar.atom),
  ].map((bar) => {
    const tall = Math.max(0.8, at((density(bar) / most) * (height - 2)));
    return html`<rect class="bar c1${bar.atom ? '' : ' soft'}" x="${x(bar.from)}" y="${at(height - tall)}" width="${bar.atom ? thick : Math.max(0.7, at(x(bar.to) - x(bar.from) - 0.4))}" height="${tall}"/>`;
  })}<line class="base" x1="0" x2="${width}" y1="${height}" y2="${height}"/></svg>`;
}

/** Bars of equal width for separate values: categories, small counts. */
export function categorySpark(
  title: string,
  rows: readonly { readonly name: string; readonly share: number }[],
): Markup {
  const [width, height] = [132, 32];
  const most = Math.max(1e-12, ...rows.map((row) => row.share));
  const step = width / Math.max(4, rows.length);
  return html`<svg class="spark" viewBox="0 0 ${width} ${height}" role="img" aria-label="${title}"><title>${title}</title>${rows.map(
    (row, i) => {
      const tall = Math.max(0.6, at((row.share / most) * (height - 2)));
      return html`<rect class="bar c1 soft" x="${at(i * step + 0.8)}" y="${at(height - tall)}" width="${at(step - 1.6)}" height="${tall}"><title>${`${clip(row.name, 60)}: ${percent(row.share)}`}</title></rect>`;
    },
  )}<line class="base" x1="0" x2="${width}" y1="${height}" y2="${height}"/></svg>`;
}

/** Reference filled, current as a line: the same bins, the same scale. */
export function overlaySpark(title: string, given: Overlay): Markup {
  const [width, height] = [150, 36];
  const most = Math.max(1e-12, ...given.reference, ...given.current);
  const bins = given.reference.length;
  const y = (share: number): number => at(height - (share / most) * (height - 3));
  if (given.kind === 'numeric') {
    const outline = (shares: readonly number[]): string =>
      `M0 ${height}${shares.map((share, i) => `V${y(share)}H${at(((i + 1) * width) / bins)}`).join('')}V${height}`;
    return html`<svg class="spark wide" viewBox="0 0 ${width} ${height}" role="img" aria-label="${title}"><title>${title}</title><path class="area c1" d="${outline(given.reference)}"/><path class="line c2" d="${outline(given.current)}"/></svg>`;
  }
  const step = width / Math.max(4, bins);
  return html`<svg class="spark wide" viewBox="0 0 ${width} ${height}" role="img" aria-label="${title}"><title>${title}</title>${given.names.map((name, i) => html`<g><title>${`${clip(name, 60)}: ${percent(given.reference[i])} → ${percent(given.current[i])}`}</title><rect class="bar c1 soft" x="${at(i * step + 1)}" y="${y(given.reference[i])}" width="${at(step / 2 - 1)}" height="${at(height - y(given.reference[i]))}"/><rect class="bar c2" x="${at(i * step + step / 2)}" y="${y(given.current[i])}" width="${at(step / 2 - 1)}" height="${at(height - y(given.current[i]))}"/></g>`)}</svg>`;
}

/** Shares of one whole, side by side. */
export function shareBar(
  title: string,
  parts: readonly { readonly name: string; readonly share: number; readonly tone: string }[],
): Markup {
  let x = 0;
  return html`<svg class="sharebar" viewBox="0 0 200 12" preserveAspectRatio="none" role="img" aria-label="${title}"><title>${title}</title>${parts.map(
    (part) => {
      const width = at(part.share * 200);
      const rect = html`<rect class="bar ${part.tone}" x="${at(x)}" y="0" width="${width}" height="12"><title>${`${clip(part.name, 60)}: ${percent(part.share)}`}</title></rect>`;
      x += part.share * 200;
      return rect;
    },
  )}</svg>`;
}
