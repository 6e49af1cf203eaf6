/** Model versions beside each other as one page that needs nothing else. */
import type { BinaryEvaluation, MulticlassEvaluation } from '../core/learn/metrics.js';
import type { ComparedModel, DifferingValue, ModelComparison } from './comparison.js';
import { count, instant, instantText, metric, metricName, NONE, number, percent, plural } from './format.js';
import { type Content, clip, html, type Markup, raw } from './html.js';
import { badge, dataTable, empty, figure, section } from './parts.js';
import { metricsTable } from './sections/model.js';
import { STYLE } from './style.js';
import { type Axis, linePlot, type Point } from './svg.js';

/** As many as there are colours. */
const DRAWN = 4;
const FEATURES = 25;
const LOSS_POINTS = 11;

type Series = { readonly name: string; readonly tone: number; readonly points: readonly Point[] };

const share = (label: string): Axis => ({ label, from: 0, to: 1, format: (n) => n.toFixed(1) });

/** An axis that holds all of the numbers, with a little room. */
function axisOf(label: string, values: readonly number[], from?: number): Axis {
  const low = from ?? Math.min(...values);
  const high = Math.max(...values);
  const room = (high - low || Math.abs(high) || 1) * 0.04;
  return { label, from: from ?? low - room, to: high + room, format: (n) => number(n, 3) };
}

const isBinary = (evaluation: unknown): evaluation is BinaryEvaluation =>
  typeof evaluation === 'object' && evaluation !== null && 'curves' in evaluation;
const isMulticlass = (evaluation: unknown): evaluation is MulticlassEvaluation =>
  typeof evaluation === 'object' && evaluation !== null && 'classes' in evaluation;

const legend = (series: readonly Series[], told: (i: number) => string): { name: string; tone: number }[] =>
  series.map(({ name, tone }, i) => ({ name: `${name}${told(i)}`, tone }));

/** Share of rows picked by falling score, and how much richer in positives they are than all rows. */
function liftOf({ curves, metrics }: BinaryEvaluation): Point[] {
  const base = metrics['positive_rate'] ?? 0;
  return curves.roc.flatMap(({ x, y }) => {
    const picked = y * base + x * (1 - base);
    return picked > 0 ? [{ x: picked, y: y / picked }] : [];
  });
}

function differences(names: readonly string[], caption: string, values: readonly DifferingValue[]): Markup {
  return dataTable(
    caption,
    ['Property', ...names],
    values.map((each) => [
      each.name,
      ...each.values.map(
        (value): Content => (value === null ? NONE : html`<code title="${value}">${clip(value, 60)}</code>`),
      ),
    ]),
  );
}

function binaryPlots(
  comparison: ModelComparison,
  judged: readonly {
    readonly model: ComparedModel;
    readonly tone: number;
    readonly evaluation: BinaryEvaluation;
  }[],
): Content {
  const series = (points: (evaluation: BinaryEvaluation) => readonly Point[]): Series[] =>
    judged.map(({ model, tone, evaluation }) => ({ name: model.name, tone, points: points(evaluation) }));
  const told =
    (name: string) =>
    (i: number): string =>
      `, ${metric(judged[i]!.evaluation.metrics[name])}`;
  const where = `${comparison.same_rows.part} of ${comparison.same_rows.dataset}`;
  const roc = series(({ curves }) => [{ x: 0, y: 0 }, ...curves.roc]);
  const precision = series(({ curves }) => curves.precision_recall);
  const calibration = series(({ curves }) =>
    curves.calibration
      .filter((bin) => bin.weight > 0)
      .map((bin) => ({ x: bin.mean_score, y: bin.positive_rate })),
  );
  const lift = series(liftOf);
  const rate = judged[0]!.evaluation.metrics['positive_rate'] ?? 0;
  const curveTable = (name: string, heads: readonly [string, string], drawn: readonly Series[]): Markup =>
    dataTable(
      name,
      [heads[0], ...drawn.map((each) => ({ text: `${heads[1]}, ${each.name}`, numeric: true }))],
      Array.from({ length: LOSS_POINTS }, (_, i) => i / (LOSS_POINTS - 1)).map((x) => [
        x.toFixed(1),
        ...drawn.map(({ points }) => {
          const near = points.reduce<Point | null>(
            (best, point) => (best === null || Math.abs(point.x - x) < Math.abs(best.x - x) ? point : best),
            null,
          );
          return near ? number(near.y, 3) : NONE;
        }),
      ]),
      { quiet: true },
    );
  return [
    figure(
      'ROC curve',
      linePlot({
        title: `ROC curves on ${where}`,
        x: share('false positive rate'),
        y: share('true positive rate'),
        series: roc,
        reference: [
          { x: 0, y: 0 },
          { x: 1, y: 1 },
        ],
      }),
      {
        legend: legend(roc, told('auc')),
        note: 'The number is the area under the curve. Dashed: chance.',
        table: curveTable('ROC curves', ['False positive rate', 'True positive rate'], roc),
      },
    ),
    figure(
      'Precision and recall',
      linePlot({
        title: `Precision by recall on ${where}`,
        x: share('recall'),
        y: share('precision'),
        series: precision,
        reference: [
          { x: 0, y: rate },
          { x: 1, y: rate },
        ],
      }),
      {
        legend: legend(precision, told('average_precision')),
        note: 'The number is the average precision. Dashed: the positive rate.',
        table: curveTable('Precision by recall', ['Recall', 'Precision'], precision),
      },
    ),
    figure(
      'Calibration',
      linePlot({
        title: `Observed rate by mean score on ${where}`,
        x: share('mean score'),
        y: share('observed rate'),
        series: calibration,
        reference: [
          { x: 0, y: 0 },
          { x: 1, y: 1 },
        ],
      }),
      {
        legend: legend(calibration, told('ece')),
        note: 'The number is the expected calibration error. Dashed: a score of 0.3 comes true in 30% of cases.',
        table: curveTable('Calibration', ['Mean score', 'Observed rate'], calibration),
      },
    ),
    figure(
      'Lift',
      linePlot({
        title: `Lift by share of rows picked on ${where}`,
        x: share('share of rows, highest scores first'),
        y: axisOf('lift', [1, ...lift.flatMap(({ points }) => points.map(({ y }) => y))], 0),
        series: lift,
        reference: [
          { x: 0, y: 1 },
          { x: 1, y: 1 },
        ],
      }),
      {
        legend: legend(lift, () => ''),
        note: 'How many times more positives there are among the rows picked than among all. Dashed: picked blindly.',
        table: curveTable('Lift', ['Share picked', 'Lift'], lift),
      },
    ),
  ];
}

function residualPlots(comparison: ModelComparison): Content {
  const { residuals, part, dataset } = comparison.same_rows;
  const drawn = comparison.models
    .map((model, i) => ({ model, tone: i + 1, bins: residuals[i] ?? null }))
    .filter((each) => each.bins !== null && each.tone <= DRAWN);
  if (drawn.length === 0) return null;
  const series = (y: 'mean_residual' | 'mean_truth'): Series[] =>
    drawn.map(({ model, tone, bins }) => ({
      name: model.name,
      tone,
      points: bins!.map((bin) => ({ x: bin.mean_prediction, y: bin[y] })),
    }));
  const all = drawn.flatMap(({ bins }) => bins!);
  const x = axisOf(
    'mean prediction',
    all.map((bin) => bin.mean_prediction),
  );
  const errors = series('mean_residual');
  const truth = series('mean_truth');
  const table = dataTable(
    'Residuals by prediction',
    [
      'Model',
      ...['Rows', 'Mean prediction', 'Mean truth', 'Mean residual', '10% are below', '10% are above'].map(
        (text) => ({ text, numeric: true }),
      ),
    ],
    drawn.flatMap(({ model, bins }) =>
      bins!.map((bin) => [
        model.name,
        count(bin.rows),
        number(bin.mean_prediction),
        number(bin.mean_truth),
        number(bin.mean_residual),
        number(bin.p10),
        number(bin.p90),
      ]),
    ),
    { quiet: true },
  );
  return [
    figure(
      'Residuals',
      linePlot({
        title: `Mean residual by prediction on ${part} of ${dataset}`,
        x,
        y: axisOf('mean residual', [0, ...all.map((bin) => bin.mean_residual)]),
        series: errors,
        reference: [
          { x: x.from, y: 0 },
          { x: x.to, y: 0 },
        ],
      }),
      {
        legend: legend(errors, () => ''),
        note: 'Truth less prediction, in bins of as many rows. Dashed: no bias.',
        table,
      },
    ),
    figure(
      'Truth by prediction',
      linePlot({
        title: `Mean truth by prediction on ${part} of ${dataset}`,
        x,
        y: axisOf(
          'mean truth',
          all.flatMap((bin) => [bin.mean_truth, bin.mean_prediction]),
        ),
        series: truth,
        reference: [
          {
            x: Math.min(...all.map((bin) => bin.mean_prediction)),
            y: Math.min(...all.map((bin) => bin.mean_prediction)),
          },
          {
            x: Math.max(...all.map((bin) => bin.mean_prediction)),
            y: Math.max(...all.map((bin) => bin.mean_prediction)),
          },
        ],
      }),
      { legend: legend(truth, () => ''), note: 'Dashed: right on the mean.' },
    ),
  ];
}

/** Loss by round of models that are fitted in rounds. */
function coursePlot({ models }: ModelComparison): Content {
  const drawn = models
    .map((model, i) => ({ model, tone: i + 1, rounds: model.fit?.rounds ?? [] }))
    .filter((each) => each.rounds.length > 1 && each.tone <= DRAWN);
  if (drawn.length === 0) return null;
  const series = drawn.map(({ model, tone, rounds }) => ({
    name: model.name,
    tone,
    points: rounds.map((round, i) => ({ x: i + 1, y: round.validation ?? round.training })),
  }));
  const points = series.flatMap((each) => each.points);
  return figure(
    'Course of the fit',
    linePlot({
      title: 'Loss by round',
      x: axisOf(
        'round',
        points.map(({ x }) => x),
        0,
      ),
      y: axisOf(
        'loss',
        points.map(({ y }) => y),
      ),
      series,
    }),
    {
      legend: legend(series, (i) => `, ${plural(drawn[i]!.rounds.length, 'round')}`),
      note: 'Of the validation part where there is one, else of the train part.',
    },
  );
}

function classTables(comparison: ModelComparison): Content {
  const { evaluations } = comparison.same_rows;
  return comparison.models.map((model, i) => {
    const evaluation = evaluations[i];
    if (!isMulticlass(evaluation)) return null;
    return figure(
      `Confusion, ${model.name}`,
      dataTable(
        `Confusion of ${model.name}`,
        ['Actual', ...evaluation.classes.map((name) => ({ text: `as ${clip(name, 20)}`, numeric: true }))],
        evaluation.confusion.map((row, k) => [evaluation.classes[k]!, ...row.map((each) => count(each))]),
      ),
    );
  });
}

function sameRows(comparison: ModelComparison): Markup {
  const { same_rows: same, models } = comparison;
  const judged = models.flatMap((model, i) => {
    const evaluation = same.evaluations[i];
    return evaluation ? [{ model, tone: i + 1, evaluation }] : [];
  });
  const binary = judged.flatMap((each) =>
    isBinary(each.evaluation) && each.evaluation.curves.roc.length > 0 && each.tone <= DRAWN
      ? [{ ...each, evaluation: each.evaluation }]
      : [],
  );
  const notes = models.flatMap((model, i) => [
    ...(same.reasons[i] ? [`${model.name} is not judged on them: ${same.reasons[i]}.`] : []),
    ...(same.computed[i]!.length > 0
      ? [`${same.computed[i]!.join(', ')} of ${model.name} by the definitions that it was trained on.`]
      : []),
  ]);
  return section(
    'same',
    'On the same rows',
    same.rows === null
      ? 'No model could be judged on rows of the other.'
      : `${plural(same.rows, 'row')} of the ${same.part} part of ${same.dataset}, the newest of their datasets.`,
    [
      notes.length > 0 ? html`<ul class="checks">${notes.map((note) => html`<li>${note}</li>`)}</ul>` : null,
      models.length > DRAWN
        ? html`<p class="note">The first ${DRAWN} models are drawn; tables hold all.</p>`
        : null,
      html`<div class="plots">${binary.length > 0 ? binaryPlots(comparison, binary) : null}${residualPlots(comparison)}${classTables(comparison)}${coursePlot(comparison)}</div>`,
      judged.length > 0
        ? metricsTable(
            'Metrics on the same rows',
            judged.map(({ model, evaluation }) => [model.name, evaluation] as const),
          )
        : null,
      same.differences.length > 0
        ? [
            html`<h3>Differences</h3><p class="note">Row by row on the same rows, with 95% intervals; what holds no zero is more than chance.</p>`,
            dataTable(
              'Paired differences',
              [
                'Metric',
                'Models',
                { text: 'Difference', numeric: true },
                { text: 'Interval', numeric: true },
                'Verdict',
              ],
              same.differences.map(({ metric: name, model, against, difference }) => {
                const { interval } = difference;
                const clear = interval !== null && (interval[0] > 0 || interval[1] < 0);
                const better = (name === 'auc') === difference.value > 0;
                return [
                  metricName(name),
                  `${model} less ${against}`,
                  signed(difference.value),
                  interval ? `${signed(interval[0])} to ${signed(interval[1])}` : NONE,
                  clear
                    ? badge(better ? 'good' : 'bad', better ? 'better' : 'worse')
                    : badge('plain', 'no difference seen'),
                ];
              }),
            ),
          ]
        : null,
    ],
  );
}

const signed = (n: number): string => `${n > 0 ? '+' : n < 0 ? '−' : ''}${Math.abs(n).toFixed(4)}`;

function made({ models, parameters, features }: ModelComparison): Markup {
  const names = models.map(({ name }) => name);
  const row = (name: string, of: (model: ComparedModel) => Content): Content[] => [name, ...models.map(of)];
  return section('made', 'How they were made', null, [
    dataTable(
      'Models',
      ['', ...names],
      [
        row('Stage', (model) => [
          model.stage,
          ...model.aliases.map((alias) => html` <span class="tag">${alias}</span>`),
        ]),
        row('Trained', (model) => html`<span class="nowrap">${instantText(model.trained_at)}</span>`),
        row(
          'Trainer',
          (model) =>
            `${model.trainer.replaceAll('_', ' ')}${model.imported ? ' (imported)' : ''}, seed ${model.seed}`,
        ),
        row('Dataset', (model) => model.dataset),
        row('Rows', (model) =>
          Object.entries(model.rows)
            .map(([part, rows]) => `${part} ${count(rows)}`)
            .join(', '),
        ),
        row('Features', (model) => count(model.features)),
        row('Label', (model) => model.label),
        row('Fit took', (model) =>
          model.timings ? `${number(model.timings.fit, 3)} s of ${number(model.timings.total, 3)} s` : NONE,
        ),
        row('Git', (model) =>
          model.git
            ? html`<code>${model.git.commit.slice(0, 12)}</code>${model.git.dirty ? ' with changes' : ''}`
            : NONE,
        ),
        row(
          'Model',
          (model) => html`<code title="${model.model_sha256}">${model.model_sha256.slice(0, 12)}</code>`,
        ),
      ],
    ),
    html`<h3>Parameters</h3>`,
    parameters.length === 0
      ? html`<p class="quiet-text">All parameters are the same.</p>`
      : differences(names, 'Parameters that differ', parameters),
    html`<h3>Features</h3>`,
    features.map((each) => {
      const held = names.filter((_, i) => each.fingerprints[i] !== null);
      return held.length < names.length ? html`<p>Only in ${held.join(', ')}: ${each.feature}.</p>` : null;
    }),
    features.length === 0
      ? html`<p class="quiet-text">All have the same features by the same definitions.</p>`
      : features
          .filter((each) => each.fingerprints.every((one) => one !== null))
          .map((each) => [
            html`<h4>${each.feature} ${badge('warn', 'another definition')}</h4>`,
            each.lines.length > 0
              ? differences(names, `Definition of ${each.feature}`, each.lines)
              : html`<p class="quiet-text">It differs in what it depends on, or a definition is not kept.</p>`,
          ]),
  ]);
}

function worth({ models, metrics }: ModelComparison): Markup {
  const parts = [...new Set(metrics.map((each) => each.metric.split('.')[0]!))];
  return section(
    'metrics',
    'Metrics by part',
    'Each model on the rows of its own dataset version, as they were measured when it was trained.',
    parts.map((part) => [
      html`<h3>${part}</h3>`,
      metricsTable(
        `Metrics on ${part}`,
        models.flatMap((model) =>
          model.evaluation[part] ? [[model.name, model.evaluation[part]!] as const] : [],
        ),
      ),
    ]),
  );
}

function importance({ models, importance: items }: ModelComparison): Markup {
  const shown = items.slice(0, FEATURES);
  return section(
    'importance',
    'Feature importance',
    'Share of the total gain of splits or weights in each fit.',
    shown.length === 0
      ? empty('None of them says what its features are worth.')
      : dataTable(
          'Feature importance',
          ['Feature', ...models.map(({ name }) => ({ text: name, numeric: true }))],
          shown.map((item) => [
            item.feature,
            ...item.gains.map(
              (gain, i): Content =>
                gain === null
                  ? NONE
                  : html`<span class="rate"><svg class="sharebar" viewBox="0 0 200 12" preserveAspectRatio="none" aria-hidden="true"><rect class="bar c${Math.min(DRAWN, i + 1)}" width="${Math.round(gain * 200)}" height="12"/></svg>${percent(gain)}</span>`,
            ),
          ]),
        ),
  );
}

const SECTIONS = [
  ['made', 'How they were made'],
  ['same', 'On the same rows'],
  ['metrics', 'Metrics by part'],
  ['importance', 'Feature importance'],
  ['environment', 'Environment'],
] as const;

/** @returns a whole HTML document; equal input gives equal text. */
export function renderModelComparison(comparison: ModelComparison): string {
  const names = comparison.models.map(({ name }) => name);
  const title = names.join(', ');
  const environment = section(
    'environment',
    'Environment',
    comparison.environment.length === 0 ? 'They were fitted in the same environment.' : 'What differs.',
    comparison.environment.length > 0 ? differences(names, 'Environment', comparison.environment) : null,
  );
  return html`${raw('<!doctype html>\n')}<html lang="en"><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'"><meta name="viewport" content="width=device-width, initial-scale=1"><title>${title} · millrace</title><style>${raw(STYLE)}</style></head><body><div class="page"><header><p class="eyebrow">Models compared</p><h1>${title}</h1><p class="when">${instant(comparison.at)}</p></header><nav aria-label="Sections">${SECTIONS.map(
    ([id, name]) => html`<a href="#${id}">${name}</a>`,
  )}</nav><main>${[made(comparison), sameRows(comparison), worth(comparison), importance(comparison), environment]}</main><footer>All instants are UTC. This page is one file and loads nothing.</footer></div></body></html>
`.markup;
}
