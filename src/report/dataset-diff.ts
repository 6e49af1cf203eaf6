/** Two dataset versions beside each other as one page that needs nothing else. */
import { balanceText, type LabelBalance } from '../core/dataset/balance.js';
import type { DatasetDiff, DefinitionChange } from '../core/dataset/difference.js';
import type { ColumnSample } from '../core/drift/grouped.js';
import { profileColumn } from '../core/drift/profile.js';
import { count, NONE, percent, plural } from './format.js';
import { overlay } from './histogram.js';
import { type Content, clip, html, type Markup, raw } from './html.js';
import { badge, dataTable, section, stat, type Tone, verdict } from './parts.js';
import { STYLE } from './style.js';
import { overlaySpark } from './svg.js';

const CHANGES: Readonly<Record<DefinitionChange['change'], Tone>> = {
  added: 'good',
  removed: 'bad',
  changed: 'warn',
};

const text = (value: unknown): string =>
  value === null || value === undefined ? NONE : typeof value === 'string' ? value : JSON.stringify(value);

const keyText = (key: Readonly<Record<string, unknown>>): string =>
  Object.entries(key)
    .map(([name, value]) => `${name} ${text(value)}`)
    .join(', ');

function definitions(diff: DatasetDiff): Markup {
  return section(
    'definitions',
    'Definitions',
    diff.definitions.length === 0 ? 'Both were built from the same definitions and positions.' : null,
    [
      diff.definitions.length > 0
        ? html`<ul class="checks">${diff.definitions.map((line) => html`<li>${line}</li>`)}</ul>`
        : null,
      diff.definition_changes.map(
        (change) =>
          html`<article><h3>${change.kind} ${change.name} ${badge(CHANGES[change.change], change.change)}</h3>${dataTable(
            `${change.kind} ${change.name}`,
            ['Property', diff.a, diff.b],
            change.lines.map((line) => [
              line.path,
              html`<code>${line.a ?? NONE}</code>`,
              html`<code>${line.b ?? NONE}</code>`,
            ]),
            { quiet: true },
          )}</article>`,
      ),
    ],
  );
}

function rows(diff: DatasetDiff): Markup {
  const changes = diff.row_changes;
  if (changes === null) return section('rows', 'Rows', 'Neither version says what names its rows.', null);
  const keys = (title: string, items: readonly Readonly<Record<string, unknown>>[], all: number): Content =>
    items.length === 0
      ? null
      : html`<h3>${title}</h3>${dataTable(
          title,
          Object.keys(items[0]!),
          items.map((item) => Object.values(item).map(text)),
          { quiet: true },
        )}${all > items.length ? html`<p class="note">The first ${items.length} of ${count(all)}.</p>` : null}`;
  return section('rows', 'Rows', `A row is named by ${changes.key.join(', ')}.`, [
    html`<dl class="cards">${stat('Added', count(changes.added), `only in ${diff.b}`)}${stat('Removed', count(changes.removed), `only in ${diff.a}`)}${stat('Changed', count(changes.changed), 'same key, other values')}${stat('Equal', count(changes.equal), null)}</dl>`,
    keys('Added', changes.examples.added, changes.added),
    keys('Removed', changes.examples.removed, changes.removed),
    changes.columns.length === 0
      ? null
      : html`<h3>Changed values</h3>${dataTable(
          'Changed values',
          ['Column', { text: 'Rows', numeric: true }, 'Example', diff.a, diff.b],
          changes.columns.flatMap((column) =>
            column.examples.map((item, i) => [
              i === 0 ? column.column : '',
              i === 0 ? count(column.rows) : '',
              keyText(item.key),
              clip(text(item.a), 60),
              clip(text(item.b), 60),
            ]),
          ),
        )}`,
  ]);
}

function labels(diff: DatasetDiff): Markup {
  const [a, b] = diff.labels.name;
  const print = (label: LabelBalance | null | undefined): string => (label ? balanceText(label) : NONE);
  return section(
    'labels',
    'Parts and labels',
    a === null && b === null
      ? 'Neither has a label.'
      : a === b
        ? `${a}: ${plural(diff.labels.changed, 'row')} of both with another label.`
        : `The label was ${a ?? 'none'} and is ${b ?? 'none'}.`,
    dataTable(
      'Parts',
      [
        'Part',
        { text: `Rows, ${diff.a}`, numeric: true },
        { text: `Rows, ${diff.b}`, numeric: true },
        `Label, ${diff.a}`,
        `Label, ${diff.b}`,
      ],
      diff.labels.parts.map((part) => [
        part.part,
        count(part.a?.rows),
        count(part.b?.rows),
        print(part.a?.label),
        print(part.b?.label),
      ]),
    ),
  );
}

function distributions(
  diff: DatasetDiff,
  samples: ReadonlyMap<string, readonly [ColumnSample, ColumnSample]>,
): Markup {
  const { only_a: onlyA, only_b: onlyB } = diff.columns;
  const columns = Object.entries(diff.distributions?.columns ?? {});
  const strength = (name: string): number =>
    Math.max(0, ...diff.distributions!.columns[name]!.effects.map((item) => item.value));
  return section(
    'distributions',
    'Distributions',
    columns.length === 0
      ? 'No feature of both has other values.'
      : `Filled: ${diff.a}; line: ${diff.b}. Only features with any other value are listed.`,
    [
      onlyA.length > 0 ? html`<p>Only in ${diff.a}: ${onlyA.join(', ')}.</p>` : null,
      onlyB.length > 0 ? html`<p>Only in ${diff.b}: ${onlyB.join(', ')}.</p>` : null,
      columns.length === 0
        ? null
        : dataTable(
            'Distributions of features',
            [
              'Feature',
              'Verdict',
              'Both',
              { text: 'Effect', numeric: true, title: 'Less what sampling alone shows' },
              { text: 'Missing', numeric: true },
            ],
            columns
              .sort(([p], [q]) => strength(q) - strength(p))
              .map(([name, column]) => {
                const [before, after] = samples.get(name)!;
                const drawing = overlay(profileColumn(before), after);
                const rate = (side: 0 | 1): string =>
                  percent(column.rows[side] > 0 ? column.nulls[side] / column.rows[side] : null);
                return [
                  name,
                  verdict(column.verdict),
                  drawing ? overlaySpark(`${name}: ${diff.a} (filled) and ${diff.b} (line)`, drawing) : NONE,
                  strength(name).toFixed(3),
                  html`<span class="nowrap">${rate(0)} → ${rate(1)}</span>`,
                ];
              }),
          ),
    ],
  );
}

const SECTIONS = [
  ['definitions', 'Definitions'],
  ['rows', 'Rows'],
  ['labels', 'Parts and labels'],
  ['distributions', 'Distributions'],
] as const;

/** @returns a whole HTML document; equal input gives equal text. */
export function renderDatasetDiff(
  diff: DatasetDiff,
  samples: ReadonlyMap<string, readonly [ColumnSample, ColumnSample]>,
): string {
  const title = `${diff.a} and ${diff.b}`;
  return html`${raw('<!doctype html>\n')}<html lang="en"><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'"><meta name="viewport" content="width=device-width, initial-scale=1"><title>${title}</title><style>${raw(STYLE)}</style></head><body><div class="page"><header><h1>${title} ${diff.equal ? badge('good', 'equal') : badge('warn', 'different')}</h1><p class="lead">${plural(diff.rows[0], 'row')} and ${plural(diff.rows[1], 'row')}.</p></header><nav aria-label="Sections">${SECTIONS.map(
    ([id, name]) => html`<a href="#${id}">${name}</a>`,
  )}</nav><main>${[definitions(diff), rows(diff), labels(diff), distributions(diff, samples)]}</main><footer>All instants are UTC. This page is one file and loads nothing.</footer></div></body></html>
`.markup;
}
