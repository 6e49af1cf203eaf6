import type { ReportData } from '../data.js';
import { count, instant, metric, metricName, percent, plural } from '../format.js';
import { type Content, html, type Markup } from '../html.js';
import { badge, empty, section, stat, verdict } from '../parts.js';
import { pipelinePicture } from '../pipeline.js';

/** What a model is first judged by. */
export const PRIMARY_METRIC = { binary: 'auc', multiclass: 'macro_auc', regression: 'rmse' } as const;

/** Sources that bring records from outside: a transform's rows are counted by what it reads. */
const outside = (data: ReportData): ReportData['sources'] =>
  data.sources.filter((source) => source.origin !== 'transform');

function modelCards(data: ReportData): Content {
  return data.models.map((model) => {
    const champion =
      model.champion === null ? badge('warn', 'no champion') : html`champion is version ${model.champion}`;
    if (!model.shown) return stat(model.name, badge('plain', 'not trained'), 'no version yet');
    const { manifest, version } = model.shown;
    const part = model.judgedOn ?? '';
    const name = PRIMARY_METRIC[manifest.task];
    const value = manifest.metrics[part]?.[name];
    const interval = manifest.evaluation[part]?.intervals[name];
    return [
      stat(
        `${metricName(name)} on ${part}`,
        metric(value),
        interval ? `95% interval ${metric(interval[0])} to ${metric(interval[1])}` : 'no interval',
      ),
      stat(`Model ${model.name}`, `v${version}`, champion),
    ];
  });
}

export function overview(data: ReportData): Markup {
  const sum = (pick: (source: ReportData['sources'][number]) => number): number =>
    outside(data).reduce((total, source) => total + pick(source), 0);
  const received = sum((source) => source.received);
  const quarantined = sum((source) => source.quarantined);
  const rows = data.datasets.reduce(
    (total, dataset) => total + (dataset.latest?.manifest.counts.rows ?? 0),
    0,
  );
  const built = data.datasets.some((dataset) => dataset.latest !== null);
  const { verify } = data;
  const cards: Content = [
    stat(
      'Records in',
      count(received),
      `${plural(outside(data).length, 'source')}, ${plural(
        sum((source) => source.batches),
        'batch',
        'batches',
      )}`,
    ),
    stat(
      'Accepted',
      count(sum((source) => source.accepted)),
      received > 0 ? percent(sum((source) => source.accepted) / received) : 'nothing ingested yet',
    ),
    stat(
      'Quarantined',
      count(quarantined),
      received > 0
        ? `${percent(quarantined / received, 2)}; ${count(sum((source) => source.open))} open`
        : null,
    ),
    stat('Duplicates', count(sum((source) => source.duplicates)), 'recognised, not appended'),
    stat(
      'Training rows',
      built ? count(rows) : '–',
      built ? `${plural(data.features.length, 'feature')} defined` : 'no dataset built yet',
    ),
    modelCards(data),
    data.monitors.map((monitor) =>
      stat(
        `Monitor ${monitor.name}`,
        monitor.result ? verdict(monitor.result.verdict) : badge('plain', 'not run'),
        monitor.result
          ? `${monitor.result.features.drifted.length} of ${plural(Object.keys(monitor.result.features.columns).length, 'feature')} drifted`
          : null,
      ),
    ),
    stat(
      'Offline = online',
      verify === null
        ? badge('plain', 'not verified')
        : verify.differences === 0 && verify.checked > 0
          ? badge('good', 'equal')
          : verify.checked === 0
            ? badge('warn', 'nothing checked')
            : badge('bad', plural(verify.differences, 'difference')),
      verify === null ? 'millrace verify' : `${plural(verify.checked, 'value')} compared`,
    ),
  ];
  const nothing = received === 0 && sum((source) => source.rows) === 0;
  return section('summary', 'Summary', null, [
    nothing
      ? empty(
          data.sources.length === 0
            ? 'This project defines no source yet.'
            : 'Nothing has been ingested yet: the definitions stand, the log is empty.',
          data.sources.length === 0 ? 'millrace check' : 'millrace run',
        )
      : null,
    html`<dl class="cards">${cards}</dl>`,
  ]);
}

export function pipeline(data: ReportData): Markup {
  if (data.pipeline.nodes.length === 0)
    return section('pipeline', 'Pipeline', null, empty('There is nothing defined to draw.'));
  return section(
    'pipeline',
    'Pipeline',
    'Each box feeds the boxes to its right. Features stand together by the source they read; dotted lines carry observations, dashed ones the label.',
    [
      html`<div class="scroll" tabindex="0" role="region" aria-label="Pipeline picture">${pipelinePicture(data.pipeline)}</div>`,
      html`<details><summary>As a list</summary><ul class="edges">${data.pipeline.nodes.map((node) => {
        const names = data.pipeline.edges
          .filter((edge) => edge.from === node.id)
          .map((edge) => data.pipeline.nodes.find((other) => other.id === edge.to)!);
        return html`<li>${node.kind} <strong>${node.name}</strong>${names.length > 0 ? ` → ${[...new Set(names.map((other) => `${other.kind} ${other.name}`))].join(', ')}` : ''}</li>`;
      })}</ul></details>`,
    ],
  );
}

export function header(data: ReportData): Markup {
  return html`<header><p class="eyebrow">millrace report</p><h1>${data.project}</h1><p class="when">${instant(data.at)} · millrace ${data.versions.millrace} · engine ${data.versions.engine} · Node.js ${data.versions.node}</p></header>`;
}
