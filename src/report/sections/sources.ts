import type { ReportData, SourceReport } from '../data.js';
import { count, instant, NONE, percent, plural } from '../format.js';
import { type Content, html, type Markup } from '../html.js';
import { dataTable, empty, more, section } from '../parts.js';
import { shareBar } from '../svg.js';

const ROW_LIMIT = 60;
const RULE_LIMIT = 40;

function rateBar(source: SourceReport): Content {
  if (source.received === 0) return NONE;
  const rate = source.quarantined / source.received;
  return html`<span class="rate">${shareBar(`${source.name}: ${percent(rate, 2)} quarantined`, [
    { name: 'accepted', share: source.accepted / source.received, tone: 'c1 soft' },
    {
      name: 'duplicates and dropped',
      share: (source.duplicates + source.dropped) / source.received,
      tone: 'idle',
    },
    { name: 'quarantined', share: rate, tone: 'alarm' },
  ])}<span>${percent(rate, 2)}</span></span>`;
}

export function sources(data: ReportData): Markup {
  if (data.sources.length === 0) return section('sources', 'Sources', null, empty('No source is defined.'));
  const shown = data.sources.slice(0, ROW_LIMIT);
  const reasons = data.sources
    .flatMap((source) =>
      source.reasons.map((reason) => ({
        source: source.name,
        ...reason,
        share: source.received > 0 ? reason.rows / source.received : 0,
      })),
    )
    .sort((a, b) => b.rows - a.rows);
  const notes = data.sources.flatMap((source) => [
    ...source.refusals.map((text) => ({
      source: source.name,
      what: 'refused batch',
      text,
      rows: null as number | null,
    })),
    ...source.warnings.map((warning) => ({
      source: source.name,
      what: `warning ${warning.rule}`,
      text: warning.message,
      rows: warning.rows as number | null,
    })),
  ]);
  const levels = data.sources.flatMap((source) =>
    source.levels.map((level) => ({ source: source.name, ...level })),
  );
  const anomalies = data.sources.flatMap((source) =>
    source.anomalies.map((one) => ({ source: source.name, ...one })),
  );
  return section(
    'sources',
    'Sources',
    'Every record read is accepted, quarantined, recognised as a duplicate, or dropped by a rule that says so; the numbers of a row add up.',
    [
      dataTable(
        'Sources with their records',
        [
          'Source',
          { text: 'In log', numeric: true, title: 'Records in the append-only log' },
          { text: 'Read', numeric: true },
          { text: 'Accepted', numeric: true },
          { text: 'Quarantined', numeric: true },
          { text: 'Duplicates', numeric: true },
          { text: 'Dropped', numeric: true },
          {
            text: 'Of what was read',
            title: 'Accepted, left out, quarantined; the number is the share in quarantine',
          },
          'Kind, known from',
          'Event times',
          'Last ingest',
        ],
        shown.map((source) => [
          html`${source.name}${source.description ? html`<small>${source.description}</small>` : null}`,
          count(source.rows),
          count(source.received),
          html`${count(source.accepted)}${source.corrections > 0 ? html`<small>${plural(source.corrections, 'correction')}</small>` : null}`,
          source.quarantined > 0 ? html`<strong class="bad-text">${count(source.quarantined)}</strong>` : '0',
          count(source.duplicates),
          count(source.dropped),
          rateBar(source),
          html`${source.origin === 'transform' ? `transform, ${source.kind}` : source.kind}<small>${source.availability}</small>`,
          source.eventTimes
            ? html`<span class="nowrap">${instant(source.eventTimes[0]).slice(0, 10)}</span><small class="nowrap">to ${instant(source.eventTimes[1]).slice(0, 10)}</small>`
            : NONE,
          source.lastBatch === null
            ? 'never'
            : html`<span class="nowrap">${instant(source.lastBatch).slice(0, 10)}</span><small class="nowrap">${instant(source.lastBatch).slice(11)}</small>`,
        ]),
      ),
      more(shown.length, data.sources.length, 'sources'),
      html`<h3>Why rows were quarantined</h3>`,
      reasons.length === 0
        ? html`<p class="quiet-text">${data.sources.some((source) => source.received > 0) ? 'No row broke a rule.' : 'No row has been read yet.'}</p>`
        : [
            dataTable(
              'Quarantine reasons by rule',
              [
                'Rule',
                'Source',
                { text: 'Rows', numeric: true },
                { text: 'Share of rows read', numeric: true },
              ],
              reasons
                .slice(0, RULE_LIMIT)
                .map((reason) => [
                  html`<code>${reason.rule}</code>`,
                  reason.source,
                  count(reason.rows),
                  percent(reason.share, 2),
                ]),
            ),
            html`<p class="note">A row that breaks two rules is counted under both. ${plural(
              data.sources.reduce((sum, source) => sum + source.open, 0),
              'row',
            )} wait in quarantine: <code>millrace quarantine show</code> prints them, <code>millrace quarantine replay</code> feeds them again.</p>`,
            more(RULE_LIMIT, reasons.length, 'rules'),
          ],
      levels.length === 0
        ? null
        : [
            html`<h3>Service levels</h3>`,
            dataTable(
              'Service levels of sources',
              [
                'Source',
                'Promise',
                { text: 'Kept', numeric: true },
                { text: 'Error budget left', numeric: true },
                { text: 'Burn, 1 h', numeric: true, title: 'Times faster than allowed; alert from 14.4' },
                { text: 'Burn, 6 h', numeric: true, title: 'Times faster than allowed; alert from 3' },
                'Now',
              ],
              levels.map((level) => [
                level.source,
                level.objective,
                level.share === null
                  ? NONE
                  : level.met
                    ? percent(level.share, 2)
                    : html`<strong class="bad-text">${percent(level.share, 2)}</strong>`,
                level.budget === null ? NONE : percent(level.budget, 1),
                ...(['1h', '6h'] as const).map((window) => {
                  const burn = level.burn.find((one) => one.window === window);
                  if (!burn) return NONE;
                  const rate = burn.rate.toFixed(1);
                  return burn.alert ? html`<strong class="bad-text">${rate}</strong>` : rate;
                }),
                level.available === null ? NONE : level.available ? 'available' : (level.reason ?? NONE),
              ]),
            ),
          ],
      anomalies.length === 0
        ? null
        : [
            html`<h3>Batches unlike those before</h3>`,
            dataTable(
              'Batches unlike those before',
              ['Source', 'Batch', 'At', 'Verdict', 'What'],
              anomalies
                .slice(0, RULE_LIMIT)
                .map((one) => [
                  one.source,
                  html`<code>${one.batch.slice(0, 8)}</code>`,
                  instant(one.at),
                  one.verdict,
                  one.message,
                ]),
            ),
            html`<p class="note"><code>millrace batches accept BATCH</code> says that one was as it should be, <code>millrace batches incident BATCH</code> that it was not.</p>`,
            more(RULE_LIMIT, anomalies.length, 'batches'),
          ],
      notes.length === 0
        ? null
        : [
            html`<h3>Refused batches and warnings</h3>`,
            dataTable(
              'Refused batches and warnings',
              ['Source', 'What', 'Message', { text: 'Rows', numeric: true }],
              notes.slice(0, RULE_LIMIT).map((note) => [note.source, note.what, note.text, count(note.rows)]),
            ),
            more(RULE_LIMIT, notes.length, 'messages'),
          ],
    ],
  );
}
