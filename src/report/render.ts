/** The report: data in, one HTML text out that needs nothing else. No script, no request, both themes. */
import type { ReportData } from './data.js';
import { instant } from './format.js';
import { html, raw } from './html.js';
import { reproduction, runs, verification } from './sections/closing.js';
import { datasets } from './sections/dataset.js';
import { features } from './sections/features.js';
import { models } from './sections/model.js';
import { monitoring } from './sections/monitoring.js';
import { header, overview, pipeline } from './sections/overview.js';
import { sources } from './sections/sources.js';
import { STYLE } from './style.js';

const SECTIONS = [
  ['summary', 'Summary', overview],
  ['pipeline', 'Pipeline', pipeline],
  ['sources', 'Sources', sources],
  ['datasets', 'Datasets', datasets],
  ['features', 'Features', features],
  ['models', 'Models', models],
  ['monitoring', 'Monitoring', monitoring],
  ['verify', 'Offline = online', verification],
  ['runs', 'Runs', runs],
  ['reproduce', 'Reproduce', reproduction],
] as const;

export function renderReport(data: ReportData): string {
  return html`${raw('<!doctype html>\n')}<html lang="en"><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'"><meta name="viewport" content="width=device-width, initial-scale=1"><meta name="generator" content="millrace ${data.versions.millrace}"><title>${data.project} · millrace report</title><style>${raw(STYLE)}</style></head><body><div class="page">${header(data)}<nav aria-label="Sections">${SECTIONS.map(
    ([id, title]) => html`<a href="#${id}">${title}</a>`,
  )}</nav><main>${SECTIONS.map(([, , draw]) => draw(data))}</main><footer>Made by millrace ${data.versions.millrace} from project ${data.project} at ${instant(data.at)}. All instants are UTC. This page is one file and loads nothing.</footer></div></body></html>
`.markup;
}
