/** Pieces that sections are made of. */
import { type Content, html, type Markup } from './html.js';

export const section = (id: string, title: string, lead: Content, body: Content): Markup =>
  html`<section id="${id}" aria-labelledby="${id}-title"><h2 id="${id}-title">${title}</h2>${lead === null ? null : html`<p class="lead">${lead}</p>`}${body}</section>`;

export const empty = (words: string, command?: string): Markup =>
  html`<p class="empty">${words}${command === undefined ? null : html` Run <code>${command}</code>.`}</p>`;

export interface Head {
  readonly text: string;
  readonly numeric?: boolean;
  /** What the column means. */
  readonly title?: string;
}

export type Cell = Content;

/** The first cell of every row is its header. Wide tables scroll by themselves. */
export function dataTable(
  caption: string,
  head: readonly (Head | string)[],
  rows: readonly (readonly Cell[])[],
  options: { readonly quiet?: boolean } = {},
): Markup {
  const columns = head.map((item) => (typeof item === 'string' ? { text: item } : item)) as readonly Head[];
  return html`<div class="scroll" tabindex="0" role="region" aria-label="${caption}"><table${options.quiet ? html` class="quiet"` : null}><caption class="hidden">${caption}</caption><thead><tr>${columns.map(
    (column) =>
      html`<th scope="col"${column.numeric ? html` class="n"` : null}${column.title ? html` title="${column.title}"` : null}>${column.text}</th>`,
  )}</tr></thead><tbody>${rows.map(
    (row) =>
      html`<tr>${row.map((cell, i) => (i === 0 ? html`<th scope="row">${cell}</th>` : html`<td${columns[i]?.numeric ? html` class="n"` : null}>${cell}</td>`))}</tr>`,
  )}</tbody></table></div>`;
}

/** A plot with its name, its legend, and the numbers behind it in a table that can be opened. */
export const figure = (
  title: string,
  plot: Content,
  options: {
    readonly legend?: readonly { readonly name: string; readonly tone: number }[];
    readonly table?: Content;
    readonly note?: Content;
  } = {},
): Markup =>
  html`<figure><figcaption>${title}</figcaption>${
    options.legend && options.legend.length > 0
      ? html`<ul class="legend">${options.legend.map((item) => html`<li><span class="key c${item.tone}" aria-hidden="true"></span>${item.name}</li>`)}</ul>`
      : null
  }${plot}${options.note ? html`<p class="note">${options.note}</p>` : null}${options.table ? html`<details><summary>Numbers</summary>${options.table}</details>` : null}</figure>`;

export type Tone = 'good' | 'bad' | 'warn' | 'plain';

const SIGNS: Readonly<Record<Tone, string>> = { good: '✓', bad: '✕', warn: '!', plain: '·' };

/** A verdict: a word with a sign, so that colour alone says nothing. */
export const badge = (tone: Tone, text: string): Markup =>
  html`<span class="badge ${tone}"><span aria-hidden="true">${SIGNS[tone]}</span> ${text}</span>`;

const VERDICTS: Readonly<Record<string, readonly [Tone, string]>> = {
  ok: ['good', 'ok'],
  drifted: ['bad', 'drifted'],
  degraded: ['bad', 'degraded'],
  insufficient_data: ['warn', 'too little data'],
};

export const verdict = (name: string): Markup => badge(...(VERDICTS[name] ?? (['plain', name] as const)));

export const stat = (label: string, value: Content, detail: Content = null): Markup =>
  html`<div class="card"><dt>${label}</dt><dd><span class="value">${value}</span>${detail ? html`<span class="detail">${detail}</span>` : null}</dd></div>`;

export const hash = (value: string, length = 12): Markup =>
  html`<code class="hash" title="${value}">${value.slice(0, length)}</code>`;

/** The first of many, and a sentence for the rest. */
export const more = (shown: number, all: number, what: string): Content =>
  all > shown
    ? html`<p class="note">${(all - shown).toLocaleString('en-US')} more ${what} are not shown.</p>`
    : null;
