/** The README of an exported training set: what it is, how it was made, how to make it again. */
import { printDate, printInstant } from '../base/time.js';
import type { Definitions } from '../define/types.js';
import type { ColumnProfile } from '../drift/profile.js';
import { balanceText } from './balance.js';
import type { DatasetManifest } from './manifest.js';

export interface CardColumn {
  readonly name: string;
  readonly type: string;
  readonly role: 'observation' | 'feature' | 'label' | 'part';
  readonly description: string | null;
  readonly profile: ColumnProfile;
}

export interface CardInput {
  readonly version: number;
  /** ISO 8601. */
  readonly builtAt: string;
  readonly manifest: DatasetManifest;
  /** The definitions of the version, where they are known. */
  readonly definitions: Definitions | null;
  readonly columns: readonly CardColumn[];
  readonly files: readonly { readonly file: string; readonly rows: number; readonly sha256: string }[];
  readonly licence: string | null;
}

/** Text in a cell of a Markdown table, on one line and without markup of its own. */
const cell = (text: string): string =>
  text
    .replaceAll('\\', '\\\\')
    .replaceAll(/[|<>*_`[\]]/g, (character) => `\\${character}`)
    .replaceAll(/\s+/g, ' ')
    .trim();

const table = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  [
    `| ${head.join(' | ')} |`,
    `|${head.map(() => '---').join('|')}|`,
    ...rows.map((row) => `| ${row.join(' | ')} |`),
  ].join('\n');

const short = (value: number | null | undefined): string =>
  value === null || value === undefined ? '–' : String(Number(value.toPrecision(6)));

const SIZES = ['n<1K', '1K<n<10K', '10K<n<100K', '100K<n<1M', '1M<n<10M', '10M<n<100M', '100M<n<1B'];

/** What a hub reads of a card, in YAML; a text in JSON's form is one of YAML's. */
function header({ version, manifest, licence, files, definitions }: CardInput): string {
  const { rows } = manifest.counts;
  const size = SIZES[Math.max(0, Math.floor(Math.log10(Math.max(1, rows))) - 2)] ?? 'n>1B';
  const known = licence !== null && /^[\w.-]+$/.test(licence);
  const tags = [...(definitions?.datasets.get(manifest.dataset)?.tags ?? []), 'tabular', 'millrace'];
  return [
    '---',
    `pretty_name: ${JSON.stringify(`${manifest.dataset}@${version}`)}`,
    ...(licence === null ? [] : [`license: ${known ? licence.toLowerCase() : 'other'}`]),
    ...(licence === null || known ? [] : [`license_name: ${JSON.stringify(licence)}`]),
    `tags: ${JSON.stringify(tags)}`,
    `size_categories: ${JSON.stringify([size])}`,
    'configs:',
    '  - config_name: default',
    '    data_files:',
    ...files.map(({ file }) => `      - { split: rows, path: ${JSON.stringify(file)} }`),
    '---',
  ].join('\n');
}

function statistics({ type, profile }: CardColumn): string {
  if (profile.type === 'numeric' && (type === 'timestamp' || type === 'date')) {
    const print = type === 'date' ? printDate : printInstant;
    const [min, median, max] = [profile.min, profile.quantiles['0.5'], profile.max].map((value) =>
      typeof value === 'number' ? print(Math.round(value)) : '–',
    );
    return `min ${min}, median ${median}, max ${max}`;
  }
  if (profile.type === 'numeric')
    return `min ${short(profile.min)}, median ${short(profile.quantiles['0.5'])}, mean ${short(profile.mean)}, max ${short(profile.max)}`;
  const top = profile.top.slice(0, 3).map(({ value, count }) => `${cell(value)} (${count})`);
  return `${profile.distinct} different${top.length > 0 ? `: ${top.join(', ')}` : ''}`;
}

/** @returns Markdown; equal input gives equal text. */
export function datasetCard(input: CardInput): string {
  const { manifest, definitions, version } = input;
  const { counts } = manifest;
  const name = `${manifest.dataset}@${version}`;
  const declared = definitions?.datasets.get(manifest.dataset);
  const from = declared?.observations.from;
  const lines = [
    header(input),
    `# ${cell(name)}`,
    ...(declared?.description ? [cell(declared.description)] : []),
    table(
      ['', ''],
      [
        ['Rows', String(counts.rows)],
        ['Features', String(manifest.features.length)],
        [
          'Label',
          manifest.label
            ? `${cell(manifest.label.name)} (${manifest.label.type}), horizon ${manifest.label.horizon}`
            : 'none',
        ],
        ['Built', input.builtAt],
        ['Owner', declared?.owner ? cell(declared.owner) : 'not declared'],
        ['Licence', input.licence === null ? 'not declared' : cell(input.licence)],
        ...(declared && declared.tags.length > 0 ? [['Tags', declared.tags.map(cell).join(', ')]] : []),
      ],
    ),
    '## How it was made',
    [
      from === undefined
        ? 'Each row is an observation'
        : from.kind === 'source'
          ? `Each row is a record of source \`${from.source}\` at its \`${declared!.observations.time}\``
          : `Each row is a row of \`${from.path}\` at its \`${declared!.observations.time}\``,
      manifest.knowledge === 'as_of'
        ? ', with the features as they would have been served at that instant: nothing that was not known then is in them.'
        : ', with **hindsight**: features use corrections and late records that were not known at that instant.',
    ].join(''),
    ...(manifest.label
      ? [
          `The label looks ${manifest.label.horizon} ahead of the observation and is taken from all that was known when the set was built (through ${manifest.label.known_through ?? 'nothing'}).`,
        ]
      : []),
    table(
      ['Source', 'Read through seq'],
      Object.entries(manifest.horizons).map(([source, seq]) => [cell(source), String(seq)]),
    ),
    '## Rows',
    `${counts.observations} observations; left out: ${counts.immature_label} with a label that was not mature, ${counts.no_outcome} without an outcome, ${counts.outside_horizon} with an outcome outside of the horizon, ${counts.purged} purged between parts.`,
    table(
      ['Part', 'Rows', 'From', 'To', 'Label'],
      manifest.parts.map((part) => [
        part.name,
        String(part.rows),
        part.from ?? '–',
        part.to ?? '–',
        part.label ? cell(balanceText(part.label)) : '–',
      ]),
    ),
    '## Columns',
    table(
      ['Column', 'Type', 'Is', 'Missing', 'Values', 'Description'],
      input.columns.map((column) => [
        cell(column.name),
        cell(column.type),
        column.role,
        String(column.profile.nulls),
        statistics(column),
        column.description === null ? '' : cell(column.description),
      ]),
    ),
    ...(manifest.leakage.length > 0
      ? ['## Warnings', manifest.leakage.map((finding) => `- ${cell(finding.message)}`).join('\n')]
      : []),
    '## Files',
    table(
      ['File', 'Rows', 'SHA-256'],
      input.files.map((file) => [file.file, String(file.rows), `\`${file.sha256}\``]),
    ),
    '## How to make it again',
    [
      'In the project that made it:',
      '',
      '```sh',
      `millrace dataset reproduce ${name}`,
      '```',
      '',
      `Definition \`${manifest.fingerprint}\`, logical hash \`${manifest.logical_sha256}\`, fold version ${manifest.engine_version}${
        manifest.environment
          ? `, millrace ${manifest.environment.millrace}, ${manifest.environment.engine}`
          : ''
      }.`,
    ].join('\n'),
  ];
  return `${lines.join('\n\n')}\n`;
}
