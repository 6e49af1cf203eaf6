import type { ReportData } from '../data.js';
import { count, elapsed, instant, NONE, plural } from '../format.js';
import { clip, html, type Markup } from '../html.js';
import { badge, dataTable, empty, hash, section, stat, type Tone } from '../parts.js';

export function verification(data: ReportData): Markup {
  const { verify } = data;
  if (verify === null)
    return section(
      'verify',
      'Offline = online',
      null,
      empty(
        'It has not been checked yet that training and serving give the same values on this project’s own data.',
        'millrace verify',
      ),
    );
  const equal = verify.differences === 0 && verify.checked > 0;
  return section('verify', 'Offline = online', null, [
    html`<p>${equal ? badge('good', 'equal') : verify.checked === 0 ? badge('warn', 'nothing checked') : badge('bad', plural(verify.differences, 'difference'))} ${
      equal
        ? `The values that training reads and those that serving answers were compared one by one, and every one of the ${count(verify.checked)} is the same.`
        : verify.checked === 0
          ? 'There was no observation to compare.'
          : 'Training and serving do not give the same values. What serves now should not be trusted before this is mended.'
    }</p><dl class="cards">${[
      stat('Values compared', count(verify.checked)),
      stat('Differences', count(verify.differences)),
      verify.features === null ? null : stat('Features', count(verify.features)),
      verify.observations === null ? null : stat('Observations', count(verify.observations)),
      verify.at === null ? null : stat('Checked', instant(verify.at)),
    ]}</dl>`,
    verify.examples.length > 0
      ? html`<ul class="alerts">${verify.examples.slice(0, 10).map((example) => html`<li>${clip(example, 300)}</li>`)}</ul>`
      : null,
  ]);
}

const STATUS: Readonly<Record<string, readonly [Tone, string]>> = {
  done: ['good', 'done'],
  failed: ['bad', 'failed'],
  interrupted: ['warn', 'interrupted'],
  cancelled: ['warn', 'cancelled'],
  running: ['plain', 'running'],
};

export function runs(data: ReportData): Markup {
  return section(
    'runs',
    'Runs',
    null,
    data.runs.length === 0
      ? empty('No run is recorded.')
      : dataTable(
          'Latest runs',
          ['Command', 'Started', { text: 'Took', numeric: true }, 'Status'],
          data.runs
            .slice(0, 15)
            .map((run) => [
              html`<code>${clip(run.command, 80)}</code>`,
              html`<span class="nowrap">${instant(run.at)}</span>`,
              elapsed(run.elapsed),
              badge(...(STATUS[run.status] ?? (['plain', run.status] as const))),
            ]),
        ),
  );
}

export function reproduction(data: ReportData): Markup {
  const built = data.datasets.filter((dataset) => dataset.latest !== null);
  const trained = data.models.filter((model) => model.shown !== null);
  const commands = [
    'millrace check',
    ...built
      .slice(0, 8)
      .map((dataset) => `millrace dataset reproduce ${dataset.name}@${dataset.latest!.version}`),
    ...trained.slice(0, 8).map((model) => `millrace models show ${model.name}@${model.shown!.version}`),
    ...(trained.length > 0 ? ['millrace verify'] : []),
    ...data.monitors.slice(0, 4).map((monitor) => `millrace monitor ${monitor.name}`),
    'millrace report',
  ];
  return section(
    'reproduce',
    'Reproduce',
    'The same log positions and the same definitions give the same bytes. These are the ones behind this page.',
    [
      built.length + trained.length === 0
        ? null
        : dataTable(
            'Fingerprints',
            ['What', 'Made from', 'Content'],
            [
              ...built.map((dataset) => {
                const { manifest, version } = dataset.latest!;
                const horizons = Object.entries(manifest.horizons);
                return [
                  `dataset ${dataset.name}@${version}`,
                  html`definition ${hash(manifest.fingerprint)}${horizons.length > 0 ? html`<small>${clip(horizons.map(([source, seq]) => `${source} to ${count(seq)}`).join(', '), 300)}</small>` : NONE}`,
                  html`<code class="long">${manifest.logical_sha256}</code>`,
                ];
              }),
              ...trained.map((model) => {
                const { manifest, version } = model.shown!;
                return [
                  `model ${model.name}@${version}`,
                  html`${manifest.dataset.name}@${manifest.dataset.version} ${hash(manifest.dataset.logical_sha256)}`,
                  html`<code class="long">${manifest.model_sha256}</code>`,
                ];
              }),
            ],
          ),
      html`<pre><code>${commands.join('\n')}</code></pre>`,
    ],
  );
}
