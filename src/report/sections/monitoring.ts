import type { ColumnComparison } from '../../core/drift/comparison.js';
import type { MonitorReport, MonitorResultReport, ReportData } from '../data.js';
import {
  count,
  instant,
  instantText,
  metric,
  metricName,
  NONE,
  number,
  percent,
  plural,
  pValue,
} from '../format.js';
import type { Overlay } from '../histogram.js';
import { anchor, type Content, clip, html, type Markup } from '../html.js';
import { badge, dataTable, empty, figure, more, section, verdict } from '../parts.js';
import { histogramPlot, overlaySpark } from '../svg.js';

const COLUMN_LIMIT = 150;
const LARGE_LIMIT = 5;

const MEASURES: Readonly<Record<string, string>> = {
  ks: 'KS D',
  total_variation: 'TV',
  null_rate: 'null rate',
};
const REASONS: Readonly<Record<string, string>> = {
  distribution_changed: 'distribution changed',
  null_rate_changed: 'share of nulls changed',
  type_changed: 'type changed',
  too_few_rows: 'too few rows',
  identifier_like: 'looks like an identifier',
  missing_column: 'column is missing',
};

function testText(column: ColumnComparison): string {
  const { ks, chi_squared_merged: merged, chi_squared: plain } = column.tests;
  if (ks) return `KS\u00a0${ks.statistic.toFixed(3)}`;
  if (merged) return `χ²\u00a0${number(merged.statistic, 3)}, df\u00a0${merged.degrees_of_freedom}`;
  return plain ? `χ² ${number(plain.statistic, 3)}` : NONE;
}

/** The effect that the verdict rests on: the largest after its noise is taken off. */
function effectText(column: ColumnComparison): Content {
  const found = [...column.effects].sort((a, b) => b.value - a.value)[0];
  if (!found) return NONE;
  return html`<span title="${`observed ${number(found.observed, 3)}, by sampling alone ${number(found.noise, 3)}`}">${found.value.toFixed(3)}<small>${MEASURES[found.measure] ?? found.measure}</small></span>`;
}

const smallestP = (column: ColumnComparison): number | null => {
  const all = Object.values(column.adjusted_p_values);
  return all.length > 0 ? Math.min(...all) : null;
};

const strength = (column: ColumnComparison): number =>
  (column.verdict === 'drifted' ? 10 : column.verdict === 'insufficient_data' ? 5 : 0) +
  Math.max(0, ...column.effects.map((item) => item.value));

function psiText(column: ColumnComparison): Content {
  const { psi } = column.tests;
  if (!psi) return NONE;
  const value =
    psi.value > psi.null_p95 ? html`<strong>${psi.value.toFixed(3)}</strong>` : psi.value.toFixed(3);
  return html`${value}<small>null 95% ${psi.null_p95.toFixed(3)}</small>`;
}

const rateOf = (column: ColumnComparison, side: 0 | 1): string =>
  percent(column.rows[side] > 0 ? column.nulls[side] / column.rows[side] : null);

function columnRow(
  name: string,
  column: ColumnComparison,
  drawing: Overlay | null | undefined,
): readonly Content[] {
  return [
    html`${name}${column.reasons.length > 0 ? html`<small>${column.reasons.map((reason) => REASONS[reason] ?? reason).join(', ')}</small>` : null}`,
    verdict(column.verdict),
    drawing ? overlaySpark(`${name}: training (filled) and window (line)`, drawing) : NONE,
    testText(column),
    effectText(column),
    pValue(smallestP(column)),
    psiText(column),
    html`<span class="nowrap">${rateOf(column, 0)} → ${rateOf(column, 1)}</span>`,
    column.outside
      ? percent(column.outside.below + column.outside.above)
      : column.unseen
        ? percent(column.rows[1] > 0 ? column.unseen.rows / column.rows[1] : null)
        : NONE,
  ];
}

function large(name: string, drawing: Overlay, reference = 'training'): Markup {
  const legend = [
    { name: reference, tone: 0 },
    { name: 'window', tone: 2 },
  ];
  if (drawing.kind === 'categorical')
    return figure(name, overlaySpark(`${name}: ${reference} and window by category`, drawing), {
      legend,
      table: dataTable(
        `${name} by category`,
        ['Value', { text: reference, numeric: true }, { text: 'Window', numeric: true }],
        drawing.names.map((value, i) => [
          clip(value, 60),
          percent(drawing.reference[i]),
          percent(drawing.current[i]),
        ]),
        { quiet: true },
      ),
    });
  const bins = drawing.reference.length;
  const edge = (i: number): string => number(drawing.from + ((drawing.to - drawing.from) * i) / bins, 4);
  return figure(
    name,
    histogramPlot(
      `${name}: ${reference} (filled) and window (line)`,
      {
        label: name.length > 50 ? clip(name, 50) : name,
        from: drawing.from,
        to: drawing.to,
        format: (n) => number(n, 3),
      },
      [
        { name: reference, shares: drawing.reference, tone: 1 },
        { name: 'window', shares: drawing.current, tone: 2 },
      ],
    ),
    {
      legend,
      table: dataTable(
        `${name} by bin`,
        ['Bin', { text: reference, numeric: true }, { text: 'Window', numeric: true }],
        drawing.reference.map((share, i) => [
          `${edge(i)} to ${edge(i + 1)}`,
          percent(share),
          percent(drawing.current[i]),
        ]),
        { quiet: true },
      ),
      note:
        drawing.outside > 0.02
          ? `${percent(drawing.outside)} of the window lies beyond the drawn range.`
          : null,
    },
  );
}

function performance(monitor: MonitorReport, result: MonitorResultReport): Content {
  const given = result.performance;
  const names = given.evaluation ? Object.keys(given.evaluation.metrics) : [];
  return [
    html`<h4>Performance ${verdict(given.verdict)}</h4>`,
    html`<p>Outcomes are known for <strong>${count(given.outcomes)}</strong> of ${plural(result.rows, 'prediction')} (coverage ${percent(given.coverage)}).</p>`,
    given.requirements.length > 0
      ? html`<ul class="checks">${given.requirements.map(
          (item) =>
            html`<li>${item.passed === null ? badge('warn', 'not decided') : item.passed ? badge('good', 'holds') : badge('bad', 'does not hold')} <code>${item.text}</code> observed ${metric(item.observed)}</li>`,
        )}</ul>`
      : null,
    given.evaluation
      ? dataTable(
          `Performance seen by ${monitor.name}`,
          [
            'Metric',
            { text: 'In the window', numeric: true },
            { text: '95% interval', numeric: true },
            ...(monitor.baseline ? [{ text: `Champion on ${monitor.baseline.part}`, numeric: true }] : []),
          ],
          names.map((name) => {
            const interval = given.evaluation!.intervals[name];
            return [
              metricName(name),
              html`<strong>${metric(given.evaluation!.metrics[name])}</strong>`,
              interval ? `${metric(interval[0])} to ${metric(interval[1])}` : NONE,
              ...(monitor.baseline ? [metric(monitor.baseline.metrics[name])] : []),
            ];
          }),
        )
      : html`<p class="quiet-text">No outcome is known yet, so there is nothing to measure.</p>`,
  ];
}

function one(monitor: MonitorReport): Markup {
  const id = anchor('monitor', monitor.name);
  const { result } = monitor;
  if (!result)
    return html`<article id="${id}"><h3>${monitor.name}</h3>${empty('Has not run yet.', `millrace monitor ${monitor.name}`)}</article>`;
  const columns = Object.entries(result.features.columns).sort(([, a], [, b]) => strength(b) - strength(a));
  const scoreColumn = Object.values(result.score.columns)[0];
  const shown = columns.slice(0, COLUMN_LIMIT);
  const largest = shown
    .filter(([name, column]) => column.verdict === 'drifted' && monitor.overlays[name])
    .slice(0, LARGE_LIMIT);
  const policy = result.features.policy;
  return html`<article id="${id}"><h3>${monitor.name} ${verdict(result.verdict)}</h3><p class="quiet-text">Service ${monitor.service}, ${plural(result.rows, 'prediction')} of ${result.model} with observation times from ${instantText(result.from)} to ${instantText(result.to)} (window ${monitor.window})${result.at === null ? '' : `; run ${instant(result.at)}`}.</p>${
    result.alerts.length > 0
      ? html`<ul class="alerts">${result.alerts.slice(0, 20).map((alert) => html`<li>${alert}</li>`)}</ul>${more(20, result.alerts.length, 'alerts')}`
      : html`<p>${badge('good', 'no alert')}</p>`
  }${
    largest.length > 0 || monitor.scoreOverlay
      ? html`<div class="plots">${monitor.scoreOverlay ? large('score', monitor.scoreOverlay, 'when trained') : null}${largest.map(([name]) => large(name, monitor.overlays[name]))}</div>`
      : null
  }<h4>Drift by feature</h4><p class="note">A feature has drifted when its test rejects at a false discovery rate of ${percent(policy.fdr, 0)} over all features and the effect, less what sampling alone shows, reaches ${number(policy.minimum_effect, 3)}. Filled: training; line: window. PSI stands beside the value it exceeds in one of twenty cases when nothing has changed.</p>${dataTable(
    `Drift seen by ${monitor.name}`,
    [
      'Feature',
      'Verdict',
      'Training and window',
      'Test',
      { text: 'Effect', numeric: true, title: 'Less what sampling alone shows' },
      { text: 'p, adjusted', numeric: true },
      { text: 'PSI', numeric: true },
      { text: 'Missing', numeric: true },
      { text: 'New', numeric: true, title: 'Outside the range, or categories, of training' },
    ],
    [
      ...(scoreColumn ? [columnRow('score (output of the model)', scoreColumn, monitor.scoreOverlay)] : []),
      ...shown.map(([name, column]) => columnRow(name, column, monitor.overlays[name])),
    ],
  )}${more(shown.length, columns.length, 'features')}${performance(monitor, result)}</article>`;
}

export function monitoring(data: ReportData): Markup {
  return section(
    'monitoring',
    'Monitoring',
    null,
    data.monitors.length === 0
      ? empty('No monitor is defined.')
      : [data.monitors.slice(0, 6).map(one), more(6, data.monitors.length, 'monitors')],
  );
}
