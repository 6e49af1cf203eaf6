import { printDate, printInstant } from '../../core/base/time.js';
import type { ColumnProfile } from '../../core/drift/profile.js';
import type { FeatureReport, ReportData } from '../data.js';
import { count, instantText, NONE, number, percent, plural } from '../format.js';
import { quantileBars } from '../histogram.js';
import { type Content, clip, html, type Markup } from '../html.js';
import { dataTable, empty, hash, more, section } from '../parts.js';
import { categorySpark, densitySpark } from '../svg.js';

const FEATURE_LIMIT = 200;
const CATEGORY_LIMIT = 12;

/** Statistics of instants and dates are instants and dates. */
export const valueText = (type: string, value: number | null | undefined): string => {
  if (value === null || value === undefined) return NONE;
  if (type === 'timestamp') return instantText(printInstant(Math.round(value)));
  return type === 'date' ? printDate(Math.round(value)) : number(value, 3);
};

function spark(feature: FeatureReport, profile: ColumnProfile): Content {
  if (profile.count === 0) return html`<span class="quiet-text">only nulls</span>`;
  if (profile.type === 'categorical') {
    const rows = profile.top
      .slice(0, CATEGORY_LIMIT)
      .map(({ value, count: rows }) => ({ name: value, share: rows / profile.count }));
    return categorySpark(
      `${feature.name}: ${rows
        .slice(0, 5)
        .map((row) => `${clip(row.name, 30)} ${percent(row.share)}`)
        .join(', ')}${profile.distinct > 5 ? ' and others' : ''}`,
      rows,
    );
  }
  const bars = quantileBars(profile);
  const text = (value: number | null | undefined): string => valueText(feature.type, value);
  if (bars)
    return densitySpark(
      `${feature.name}: half of the values lie between ${text(profile.quantiles['0.25'])} and ${text(profile.quantiles['0.75'])}, median ${text(profile.quantiles['0.5'])}; drawn from the 1st to the 99th percentile`,
      bars,
    );
  const rows = profile.histogram.edges
    .slice(0, CATEGORY_LIMIT)
    .map((value, i) => ({ name: text(value), share: profile.histogram.counts[i] / profile.count }));
  return categorySpark(
    `${feature.name}: ${rows
      .slice(0, 5)
      .map((row) => `${row.name} ${percent(row.share)}`)
      .join(', ')}`,
    rows,
  );
}

function summary(feature: FeatureReport, profile: ColumnProfile): Content {
  const text = (value: number | null | undefined): string => valueText(feature.type, value);
  if (profile.count === 0) return NONE;
  if (profile.type === 'numeric')
    return html`<span class="nowrap">${text(profile.quantiles['0.05'])} <span class="muted">·</span> <strong>${text(profile.quantiles['0.5'])}</strong> <span class="muted">·</span> ${text(profile.quantiles['0.95'])}</span>`;
  return html`${profile.top.slice(0, 3).map((item, i) => html`${i > 0 ? ', ' : ''}${clip(item.value, 18)} <span class="muted">${percent(item.count / profile.count, 0)}</span>`)}`;
}

const row = (feature: FeatureReport): readonly Content[] => {
  const { profile } = feature;
  const rows =
    profile === null ? 0 : profile.count + profile.nulls + (profile.type === 'numeric' ? profile.nans : 0);
  const missing = rows === 0 ? null : 1 - profile!.count / rows;
  return [
    html`${feature.name}<small>${clip(feature.description ? `${feature.description}. ${feature.computation}` : feature.computation, 140)}</small>`,
    feature.entity,
    html`<code>${feature.type}</code>`,
    profile === null ? html`<span class="quiet-text">not in a dataset</span>` : spark(feature, profile),
    profile === null ? NONE : summary(feature, profile),
    missing === null ? NONE : missing > 0.2 ? html`<strong>${percent(missing)}</strong>` : percent(missing),
    profile === null ? NONE : count(profile.distinct),
    hash(feature.fingerprint, 8),
  ];
};

export function features(data: ReportData): Markup {
  if (data.features.length === 0)
    return section('features', 'Features', null, empty('No feature is defined.'));
  const shown = data.features.slice(0, FEATURE_LIMIT);
  const groups = [...new Set(shown.map((feature) => feature.group))];
  return section(
    'features',
    'Features',
    'Distributions are of the newest training part. Bars have the width of their bin, so their area is the share of rows; numbers are the 5th percentile, the median and the 95th.',
    [
      groups.map((group) => {
        const own = shown.filter((feature) => feature.group === group);
        return html`<details class="group" open><summary><strong>${group}</strong> <span class="muted">${plural(own.length, 'feature')}</span></summary>${dataTable(
          `Features of ${group}`,
          [
            'Feature',
            'Entity',
            'Type',
            'Distribution',
            { text: '5% · median · 95%' },
            { text: 'Missing', numeric: true },
            { text: 'Distinct', numeric: true },
            'Definition',
          ],
          own.map(row),
        )}</details>`;
      }),
      more(shown.length, data.features.length, 'features'),
    ],
  );
}
