import { isMean, positiveClass } from '../../core/dataset/balance.js';
import type { DatasetReport, ReportData } from '../data.js';
import { bytes, count, day, instant, instantText, NONE, number, percent, plural } from '../format.js';
import { anchor, type Content, clip, html, type Markup } from '../html.js';
import { badge, dataTable, empty, figure, hash, more, section } from '../parts.js';
import { shareBar } from '../svg.js';

const CLASS_LIMIT = 12;
const LEAK_LIMIT = 40;
const tones = ['c1', 'c2', 'c3', 'c4'];

type Manifest = NonNullable<DatasetReport['latest']>['manifest'];

function balance(manifest: Manifest): Content {
  const parts = manifest.parts.filter((part) => part.label !== null && part.rows > 0);
  if (manifest.label === null || parts.length === 0) return null;
  if (parts.every((part) => isMean(part.label!)))
    return dataTable(
      'Mean of the label by part',
      ['Part', { text: `Mean of ${manifest.label.name}`, numeric: true }],
      parts.map((part) => [part.name, number(part.label!['mean'])]),
    );
  const classes = [...new Set(parts.flatMap((part) => Object.keys(part.label!)))].sort();
  const positive = positiveClass(classes);
  const named = classes.slice(0, CLASS_LIMIT);
  const shares = (part: Manifest['parts'][number]): { name: string; rows: number; share: number }[] =>
    named.map((name) => ({
      name,
      rows: part.label![name] ?? 0,
      share: (part.label![name] ?? 0) / part.rows,
    }));
  // The positive class of a binary label stands first: it is what one looks for.
  const order = (items: ReturnType<typeof shares>): ReturnType<typeof shares> =>
    positive === null ? items : [...items].reverse();
  return figure(
    `Label ${manifest.label.name} by part`,
    html`<div class="balance">${parts.map(
      (part) =>
        html`<div><span class="part">${part.name}</span>${shareBar(
          `${part.name}: ${order(shares(part))
            .map((item) => `${clip(item.name, 30)} ${percent(item.share)}`)
            .join(', ')}`,
          order(shares(part)).map((item, i) => ({
            name: item.name,
            share: item.share,
            tone: positive === null ? tones[i % 4] : i === 0 ? 'c1' : 'idle',
          })),
        )}<span class="number">${positive === null ? plural(classes.length, 'class', 'classes') : `${percent(order(shares(part))[0].share)} positive`}</span></div>`,
    )}</div>`,
    {
      table: dataTable(
        'Rows by label value',
        ['Part', ...order(shares(parts[0])).map((item) => ({ text: clip(item.name, 30), numeric: true }))],
        parts.map((part) => [
          part.name,
          ...order(shares(part)).map((item) => `${count(item.rows)} (${percent(item.share)})`),
        ]),
      ),
    },
  );
}

function leftOut(manifest: Manifest): Content {
  const { counts } = manifest;
  const rows: readonly (readonly [string, number, string])[] = [
    ['Label not mature', counts.immature_label, 'The outcome could still arrive when the log ended.'],
    ['No outcome', counts.no_outcome, 'The label’s source has no record for the observation.'],
    [
      'Outside the horizon',
      counts.outside_horizon,
      'The outcome came later than the label’s horizon allows.',
    ],
    ['Purged', counts.purged, 'The label’s window crosses the boundary between two parts.'],
  ];
  return dataTable(
    'What was left out and why',
    ['Observations', { text: 'Rows', numeric: true }, { text: 'Share', numeric: true }, 'Why'],
    [
      ['All observations', count(counts.observations), '100%', ''],
      ...rows.map(([name, n, why]) => [
        name,
        count(n),
        percent(counts.observations > 0 ? n / counts.observations : null),
        why,
      ]),
      [
        html`<strong>In the dataset</strong>`,
        html`<strong>${count(counts.rows)}</strong>`,
        percent(counts.observations > 0 ? counts.rows / counts.observations : null),
        '',
      ],
    ],
  );
}

function one(dataset: DatasetReport): Markup {
  const id = anchor('dataset', dataset.name);
  if (!dataset.latest)
    return html`<article id="${id}"><h3>${dataset.name}</h3>${empty('Not built yet.', `millrace dataset build ${dataset.name}`)}</article>`;
  const { manifest, version, at } = dataset.latest;
  const refused = manifest.leakage.slice(0, LEAK_LIMIT);
  return html`<article id="${id}"><h3>${dataset.name}<span class="tag">version ${version}</span></h3><p class="quiet-text">${dataset.description ? `${dataset.description}. ` : ''}Built ${instant(at)} with ${manifest.knowledge === 'as_of' ? 'what was known at each observation' : 'hindsight: what is known now'}; ${plural(manifest.features.length, 'feature')}, ${plural(dataset.versions, 'version')} so far.</p><div class="columns"><div>${dataTable(
    'Parts of the dataset',
    ['Part', { text: 'Rows', numeric: true }, 'From', 'To'],
    manifest.parts.map((part) => [
      part.name,
      count(part.rows),
      html`<span class="nowrap" title="${part.from ?? ''}">${day(part.from)}</span>`,
      html`<span class="nowrap" title="${part.to ?? ''}">${day(part.to)}</span>`,
    ]),
  )}${
    manifest.label
      ? html`<p class="note">Label <strong>${manifest.label.name}</strong> (${manifest.label.type}), horizon ${manifest.label.horizon}${manifest.label.grace === '0s' ? '' : `, grace ${manifest.label.grace}`}; outcomes known through ${instantText(manifest.label.known_through)}.</p>`
      : html`<p class="note">No label.</p>`
  }</div><div>${balance(manifest)}</div></div><h4>What was left out</h4>${leftOut(manifest)}<h4>Leakage audit</h4>${
    refused.length === 0
      ? html`<p>${badge('good', 'no finding')} <span class="quiet-text">No feature reads the outcome or what became known after the observation.</span></p>`
      : [
          dataTable(
            'Leakage findings',
            ['Rule', 'Severity', 'Feature', 'Finding', 'Remedy'],
            refused.map((finding) => [
              html`<code>${finding.rule}</code>`,
              finding.severity === 'refuse' ? badge('bad', 'refused') : badge('warn', 'warning'),
              finding.feature ?? NONE,
              finding.message,
              finding.remedy,
            ]),
          ),
          more(refused.length, manifest.leakage.length, 'findings'),
        ]
  }<p class="note">Content ${hash(manifest.logical_sha256)}; ${manifest.files.length} file${manifest.files.length === 1 ? '' : 's'}, ${bytes(manifest.files.reduce((sum, file) => sum + file.bytes, 0))}.</p></article>`;
}

export function datasets(data: ReportData): Markup {
  return section(
    'datasets',
    data.datasets.length === 1 ? 'Dataset' : 'Datasets',
    null,
    data.datasets.length === 0
      ? empty('No dataset is defined.')
      : [data.datasets.slice(0, 8).map(one), more(8, data.datasets.length, 'datasets')],
  );
}
