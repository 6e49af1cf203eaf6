// Two kinds of plot as SVG text: lines over sizes (both axes logarithmic) and bars. Readable on white and on dark.
const COLOURS = ['#8a8f98', '#0b7a75', '#e07a1f', '#4c6ef5', '#b5179e', '#7f5539'];
const W = 720;
const escaped = (text) => String(text).replaceAll('&', '&amp;').replaceAll('<', '&lt;');
const frame = (height, title, body) =>
  `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${W} ${height}" font-family="system-ui, sans-serif" font-size="12" role="img" aria-label="${escaped(title)}">
<rect width="${W}" height="${height}" fill="#ffffff"/><text x="16" y="24" font-size="15" font-weight="600" fill="#1d2430">${escaped(title)}</text>
${body}
</svg>\n`;
const text = (x, y, value, anchor = 'start', fill = '#4a5361') =>
  `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" text-anchor="${anchor}" fill="${fill}">${escaped(value)}</text>`;
const short = (value) => (value >= 10 ? value.toFixed(0) : value >= 1 ? value.toFixed(1) : value.toFixed(2));

function lines({ title, x, series, unit }) {
  const [left, right, top, bottom] = [56, 330, 48, 300];
  const values = series.flatMap((one) => one.values).filter((value) => value > 0);
  const low = Math.floor(Math.log10(Math.min(...values)) * 2) / 2;
  const high = Math.ceil(Math.log10(Math.max(...values)) * 2) / 2;
  const px = (i) => left + 16 + (x.length === 1 ? 0.5 : i / (x.length - 1)) * (W - left - right - 32);
  const py = (value) => bottom - ((Math.log10(value) - low) / (high - low || 1)) * (bottom - top);
  const out = [];
  for (let e = low; e <= high + 1e-9; e += 0.5) {
    const y = py(10 ** e);
    out.push(
      `<line x1="${left}" x2="${W - right}" y1="${y.toFixed(1)}" y2="${y.toFixed(1)}" stroke="#e3e6ea"/>`,
      text(left - 8, y + 4, `${short(10 ** e)} ${unit}`, 'end'),
    );
  }
  for (const [i, label] of x.entries()) out.push(text(px(i), bottom + 20, label, 'middle'));
  // Names stand beside their last points, moved apart where these are close.
  const ends = series
    .map((one, i) => ({
      one,
      colour: COLOURS[i % COLOURS.length],
      last: one.values.findLastIndex((value) => value > 0),
    }))
    .filter(({ last }) => last >= 0)
    .map((item) => ({ ...item, y: py(item.one.values[item.last]) }))
    .sort((a, b) => a.y - b.y);
  let free = top - 12;
  for (const { one, colour, last, y } of ends) {
    const points = one.values.map((value, i) => (value > 0 ? [px(i), py(value)] : null)).filter(Boolean);
    out.push(
      `<polyline fill="none" stroke="${colour}" stroke-width="2" points="${points.map((p) => p.map((v) => v.toFixed(1)).join(',')).join(' ')}"/>`,
    );
    for (const [a, b] of points)
      out.push(`<circle cx="${a.toFixed(1)}" cy="${b.toFixed(1)}" r="3" fill="${colour}"/>`);
    const at = Math.max(y + 4, free + 16);
    free = at;
    out.push(text(W - right + 10, at, `${one.name}, ${short(one.values[last])} ${unit}`, 'start', colour));
  }
  return frame(336, title, out.join('\n'));
}

function bars({ title, bars: all, unit }) {
  const shown = all.filter(({ value }) => value > 0);
  const most = Math.max(...shown.map(({ value }) => value));
  const rows = shown.map(({ name, value }, i) => {
    const y = 46 + i * 30;
    const width = Math.max(2, (value / most) * (W - 340));
    const colour = COLOURS[all.findIndex((one) => one.name === name) % COLOURS.length];
    return `${text(250, y + 15, name, 'end')}<rect x="260" y="${y}" width="${width.toFixed(1)}" height="20" fill="${colour}"/>${text(266 + width, y + 15, `${short(value)} ${unit}`)}`;
  });
  return frame(60 + shown.length * 30, title, rows.join('\n'));
}

export const plot = (given) => (given.bars ? bars(given) : lines(given));
