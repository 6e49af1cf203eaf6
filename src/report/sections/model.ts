import type { NumericProfile } from '../../core/drift/profile.js';
import type { BinaryEvaluation, Confusion, MulticlassEvaluation } from '../../core/learn/metrics.js';
import type { AnyEvaluation, ModelReport, ModelVersionManifest, ReportData } from '../data.js';
import { count, instant, metric, metricName, NONE, number, percent, plural } from '../format.js';
import { equalShares } from '../histogram.js';
import { anchor, type Content, clip, html, type Markup } from '../html.js';
import { badge, dataTable, empty, figure, hash, more, section } from '../parts.js';
import {
  type Axis,
  barList,
  calibrationPlot,
  histogramPlot,
  linePlot,
  type PlotSeries,
  thin,
} from '../svg.js';
import { PRIMARY_METRIC } from './overview.js';

const IMPORTANCE_LIMIT = 20;
const VERSION_LIMIT = 20;
const CLASS_LIMIT = 12;
const TABLE_POINTS = 11;

const isBinary = (evaluation: AnyEvaluation): evaluation is BinaryEvaluation => 'curves' in evaluation;
const isMulticlass = (evaluation: AnyEvaluation): evaluation is MulticlassEvaluation =>
  'classes' in evaluation;

/** The part that judges first, so that it is drawn strongest. */
const ordered = (
  manifest: ModelVersionManifest,
  judgedOn: string | null,
): readonly (readonly [string, AnyEvaluation])[] =>
  Object.entries(manifest.evaluation).sort(([a], [b]) => Number(b === judgedOn) - Number(a === judgedOn));

/** Every metric by part, with its interval, or the reason why there is none. */
export function metricsTable(caption: string, parts: readonly (readonly [string, AnyEvaluation])[]): Markup {
  const names = [...new Set(parts.flatMap(([, evaluation]) => Object.keys(evaluation.metrics)))];
  return dataTable(
    caption,
    ['Metric', ...parts.map(([part]) => ({ text: part, numeric: true }))],
    [
      ...names.map((name) => [
        metricName(name),
        ...parts.map(([, evaluation]): Content => {
          const value = evaluation.metrics[name];
          const interval = evaluation.intervals[name];
          if (value === null || value === undefined)
            return html`<span title="${evaluation.reasons[name] ?? ''}">${NONE}</span>`;
          return html`<strong>${metric(value)}</strong>${interval ? html`<small>${metric(interval[0])} to ${metric(interval[1])}</small>` : null}`;
        }),
      ]),
      ['Rows', ...parts.map(([, evaluation]) => count(evaluation.rows))],
    ],
  );
}

const share = (label: string): Axis => ({ label, from: 0, to: 1, format: (n) => n.toFixed(1) });

function curves(parts: readonly (readonly [string, BinaryEvaluation])[]): Content {
  const legend = parts.map(([part, evaluation], i) => ({
    name: `${part}, ${metric(evaluation.metrics['auc'])}`,
    tone: i + 1,
  }));
  const first = parts[0];
  const series = (
    pick: (evaluation: BinaryEvaluation) => readonly { readonly x: number; readonly y: number }[],
  ): PlotSeries[] =>
    parts.map(([part, evaluation], i) => ({ name: part, points: pick(evaluation), tone: i + 1 }));
  const points = (title: string, x: string, y: string, items: BinaryEvaluation['curves']['roc']): Markup =>
    dataTable(
      title,
      [
        { text: 'Threshold', numeric: true },
        { text: x, numeric: true },
        { text: y, numeric: true },
      ],
      thin(items, TABLE_POINTS).map((point) => [
        number(point.threshold, 3),
        point.x.toFixed(3),
        point.y.toFixed(3),
      ]),
      { quiet: true },
    );
  if (first[1].curves.roc.length === 0)
    return html`<p class="note">No curve: ${first[1].reasons['auc'] ?? 'only one class is present'}.</p>`;
  return [
    figure(
      'ROC curve',
      linePlot({
        title: `ROC curve: ${legend.map((item) => item.name).join('; ')}`,
        x: share('false positive rate'),
        y: share('true positive rate'),
        series: series((evaluation) => [{ x: 0, y: 0 }, ...evaluation.curves.roc]),
        reference: [
          { x: 0, y: 0 },
          { x: 1, y: 1 },
        ],
      }),
      {
        legend,
        table: points(
          `ROC curve of ${first[0]}`,
          'False positive rate',
          'True positive rate',
          first[1].curves.roc,
        ),
        note: 'Dashed: chance.',
      },
    ),
    figure(
      'Precision and recall',
      linePlot({
        title: `Precision by recall: ${parts.map(([part, evaluation]) => `${part} ${metric(evaluation.metrics['average_precision'])}`).join('; ')}`,
        x: share('recall'),
        y: share('precision'),
        series: series((evaluation) => evaluation.curves.precision_recall),
        reference: [
          { x: 0, y: first[1].metrics['positive_rate'] ?? 0 },
          { x: 1, y: first[1].metrics['positive_rate'] ?? 0 },
        ],
      }),
      {
        legend: parts.map(([part, evaluation], i) => ({
          name: `${part}, ${metric(evaluation.metrics['average_precision'])}`,
          tone: i + 1,
        })),
        table: points(
          `Precision and recall of ${first[0]}`,
          'Recall',
          'Precision',
          first[1].curves.precision_recall,
        ),
        note: `Dashed: the positive rate of ${first[0]}, what a blind guess reaches.`,
      },
    ),
    first[1].curves.calibration.length === 0
      ? null
      : figure(
          `Calibration on ${first[0]}`,
          calibrationPlot(
            `Calibration on ${first[0]}: expected calibration error ${metric(first[1].metrics['ece'])}`,
            first[1].curves.calibration.map((bin) => ({
              x: bin.mean_score,
              y: bin.positive_rate,
              rows: bin.weight,
            })),
            first[1].curves.calibration.map((bin) => ({ low: bin.low, high: bin.high, rows: bin.weight })),
          ),
          {
            table: dataTable(
              'Calibration bins',
              [
                'Scores',
                { text: 'Rows', numeric: true },
                { text: 'Mean score', numeric: true },
                { text: 'Observed rate', numeric: true },
              ],
              first[1].curves.calibration.map((bin) => [
                `${bin.low.toFixed(2)} to ${bin.high.toFixed(2)}`,
                count(bin.weight),
                bin.mean_score.toFixed(3),
                bin.positive_rate.toFixed(3),
              ]),
              { quiet: true },
            ),
            note: `On the dashed line a score of 0.3 comes true in 30% of cases. Expected calibration error ${metric(first[1].metrics['ece'])}.`,
          },
        ),
  ];
}

/** Cells shaded by their share of the row. */
function matrix(caption: string, names: readonly string[], cells: readonly (readonly number[])[]): Markup {
  return html`<div class="scroll" tabindex="0" role="region" aria-label="${caption}"><table class="matrix"><caption class="hidden">${caption}</caption><thead><tr><td></td>${names.map((name) => html`<th scope="col">predicted ${clip(name, 20)}</th>`)}</tr></thead><tbody>${cells.map(
    (row, i) => {
      const total = row.reduce((sum, each) => sum + each, 0);
      return html`<tr><th scope="row">actual ${clip(names[i], 20)}</th>${row.map((each) => html`<td style="--share:${Math.round((total > 0 ? each / total : 0) * 100)}%"><strong>${count(each)}</strong><small>${percent(total > 0 ? each / total : null)}</small></td>`)}</tr>`;
    },
  )}</tbody></table></div>`;
}

const binaryMatrix = (part: string, confusion: Confusion): Markup =>
  figure(
    `Confusion on ${part} at threshold ${number(confusion.threshold, 3)}`,
    matrix(
      `Confusion on ${part}`,
      ['positive', 'negative'],
      [
        [confusion.true_positives, confusion.false_negatives],
        [confusion.false_positives, confusion.true_negatives],
      ],
    ),
    { note: 'Shades and percentages are shares of the actual class.' },
  );

function confusion(part: string, evaluation: AnyEvaluation, classes: readonly string[] | null): Content {
  if (isBinary(evaluation)) return binaryMatrix(part, evaluation.confusion);
  if (!isMulticlass(evaluation)) return null;
  const names = (classes ?? evaluation.classes).slice(0, CLASS_LIMIT);
  return [
    figure(
      `Confusion on ${part}`,
      matrix(
        `Confusion on ${part}`,
        names,
        evaluation.confusion.slice(0, CLASS_LIMIT).map((row) => row.slice(0, CLASS_LIMIT)),
      ),
    ),
    more(CLASS_LIMIT, evaluation.classes.length, 'classes'),
  ];
}

const SCORE_BINS = 40;

function scores(manifest: ModelVersionManifest, judgedOn: string | null): Content {
  const profiles = Object.entries(manifest.score_profile)
    .filter((entry): entry is [string, NumericProfile] => entry[1].type === 'numeric' && entry[1].count > 0)
    .sort(([a], [b]) => Number(b === judgedOn) - Number(a === judgedOn));
  if (profiles.length === 0) return null;
  const low = Math.min(...profiles.map(([, profile]) => profile.quantiles['0.01'] ?? profile.min ?? 0));
  const high = Math.max(...profiles.map(([, profile]) => profile.quantiles['0.99'] ?? profile.max ?? 0));
  const [from, to] = manifest.task === 'binary' ? [0, 1] : high > low ? [low, high] : [low - 0.5, low + 0.5];
  return figure(
    manifest.task === 'regression' ? 'Distribution of the predictions' : 'Distribution of the scores',
    histogramPlot(
      `Scores by part: ${profiles.map(([part, profile]) => `${part} median ${number(profile.quantiles['0.5'], 3)}`).join('; ')}`,
      {
        label: manifest.task === 'regression' ? 'prediction' : 'score',
        from,
        to,
        format: (n) => number(n, 3),
      },
      profiles.map(([part, profile], i) => ({
        name: part,
        shares: equalShares(profile.kept.values, profile.kept.counts, from, to, SCORE_BINS),
        tone: i + 1,
      })),
    ),
    {
      legend: profiles.map(([part], i) => ({ name: part, tone: i === 0 ? 0 : i + 1 })),
      table: dataTable(
        'Quantiles of the scores',
        [
          'Part',
          ...['0.05', '0.25', '0.5', '0.75', '0.95'].map((q) => ({
            text: percent(Number(q), 0),
            numeric: true,
          })),
          { text: 'Mean', numeric: true },
        ],
        profiles.map(([part, profile]) => [
          part,
          ...['0.05', '0.25', '0.5', '0.75', '0.95'].map((q) => number(profile.quantiles[q], 3)),
          number(profile.mean, 3),
        ]),
        { quiet: true },
      ),
    },
  );
}

function importance(manifest: ModelVersionManifest): Content {
  const items = [...manifest.importance].filter((item) => item.gain > 0).sort((a, b) => b.gain - a.gain);
  const total = items.reduce((sum, item) => sum + item.gain, 0);
  if (items.length === 0 || !(total > 0)) return null;
  const shown = items.slice(0, IMPORTANCE_LIMIT);
  return figure(
    'Feature importance',
    barList(
      `Feature importance: ${shown
        .slice(0, 3)
        .map((item) => `${clip(item.feature, 40)} ${percent(item.gain / total)}`)
        .join(', ')}`,
      shown.map((item) => ({
        name: item.feature,
        value: item.gain / total,
        text: percent(item.gain / total),
      })),
    ),
    {
      note: `Share of the total gain of splits or weights in the fit. ${manifest.features.length > shown.length ? `${plural(manifest.features.length - shown.length, 'feature')} with less ${manifest.features.length - shown.length === 1 ? 'is' : 'are'} not drawn.` : ''} It says what the model uses, not what causes the outcome.`,
      table: dataTable(
        'Feature importance',
        ['Feature', { text: 'Share of gain', numeric: true }],
        shown.map((item) => [item.feature, percent(item.gain / total, 2)]),
        { quiet: true },
      ),
    },
  );
}

function versions(model: ModelReport): Content {
  const newest = [...model.versions].reverse().slice(0, VERSION_LIMIT);
  const name = model.shown ? PRIMARY_METRIC[model.shown.manifest.task] : 'auc';
  const names = [...new Set([name, 'average_precision', 'log_loss', 'mae', 'accuracy'])]
    .filter((each) => newest.some((version) => version.metrics[each] !== undefined))
    .slice(0, 3);
  return [
    html`<h4>Versions</h4>`,
    dataTable(
      `Versions of ${model.name}`,
      [
        'Version',
        'Trained',
        'Dataset',
        'Trainer',
        ...names.map((each) => ({
          text: `${metricName(each)} (${model.judgedOn ?? 'none'})`,
          numeric: true,
        })),
        'Model',
      ],
      newest.map((version) => [
        html`<span class="nowrap">v${version.version} ${version.version === model.champion ? badge('good', 'champion') : null}</span>`,
        html`<span class="nowrap">${instant(version.at)}</span>`,
        version.dataset,
        version.trainer,
        ...names.map((each) => metric(version.metrics[each])),
        hash(version.sha256),
      ]),
    ),
    more(newest.length, model.versions.length, 'versions'),
    html`<h4>Champion history</h4>`,
    model.history.length === 0
      ? html`<p class="quiet-text">No version has been promoted.</p>`
      : dataTable(
          `Champion history of ${model.name}`,
          ['When', 'Change', 'By', 'Reason'],
          [...model.history]
            .reverse()
            .slice(0, VERSION_LIMIT)
            .map((change) => [
              html`<span class="nowrap">${instant(change.at)}</span>`,
              `${change.previous === null ? 'first champion' : `v${change.previous}`} → v${change.version}`,
              change.actor,
              change.reason,
            ]),
        ),
    more(VERSION_LIMIT, model.history.length, 'changes'),
  ];
}

function one(model: ModelReport): Markup {
  const id = anchor('model', model.name);
  if (!model.shown)
    return html`<article id="${id}"><h3>${model.name}</h3>${empty('Not trained yet.', `millrace train ${model.name}`)}</article>`;
  const { manifest, version, at } = model.shown;
  const parts = ordered(manifest, model.judgedOn);
  const binary = parts.filter((entry): entry is readonly [string, BinaryEvaluation] => isBinary(entry[1]));
  const parameters = Object.entries(manifest.trainer.parameters).filter(([, value]) => value !== undefined);
  return html`<article id="${id}"><h3>${model.name}<span class="tag">version ${version}</span>${version === model.champion ? badge('good', 'champion') : badge('warn', 'not the champion')}</h3><p class="quiet-text">${model.description ? `${model.description}. ` : ''}${manifest.task} model of <strong>${manifest.label}</strong> by ${manifest.trainer.kind.replaceAll('_', ' ')}, seed ${manifest.trainer.seed}, on ${manifest.dataset.name}@${manifest.dataset.version}, ${plural(manifest.features.length, 'feature')}; trained ${instant(at)}.</p>${
    parameters.length > 0
      ? html`<p class="note">Parameters: ${parameters.slice(0, 30).map(([name, value], i) => html`${i > 0 ? ', ' : ''}${name} = ${clip(typeof value === 'string' ? value : JSON.stringify(value), 60)}`)}.</p>`
      : null
  }${model.gate.length > 0 ? html`<p class="note">Gate before production: ${model.gate.join('; ')}.</p>` : null}<div class="plots">${binary.length > 0 ? curves(binary) : null}${scores(manifest, model.judgedOn)}${parts.length > 0 ? confusion(parts[0][0], parts[0][1], manifest.classes) : null}${importance(manifest)}</div><h4>Metrics by part</h4><p class="note">Small numbers: 95% confidence intervals for rows taken as independent.</p>${metricsTable(`Metrics of ${model.name} version ${version}`, parts)}${versions(model)}</article>`;
}

export function models(data: ReportData): Markup {
  return section(
    'models',
    data.models.length === 1 ? 'Model' : 'Models',
    null,
    data.models.length === 0
      ? empty('No model is defined.')
      : [data.models.slice(0, 8).map(one), more(8, data.models.length, 'models')],
  );
}
