/** Contracts as documents: export, import, versions, what a change means. */
import { existsSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { Document, isScalar, isSeq, LineCounter, parseDocument, stringify, visit } from 'yaml';
import { MillraceError, type Place } from '../core/base/error.js';
import { fingerprint } from '../core/base/fingerprint.js';
import { define, readYaml } from '../core/define/index.js';
import type { Source } from '../core/define/types.js';
import { reach, withFields } from '../core/lineage/graph.js';
import {
  type ContractDiff,
  diffContracts,
  nextVersion,
  type Readers,
} from '../core/quality/contract-diff.js';
import { type SourceForm, sourceForm } from '../core/quality/contract-form.js';
import { type ContractSnapshot, snapshotOf } from '../core/quality/contract-snapshot.js';
import { type Form, isObject } from '../core/quality/form.js';
import { toOdcs } from '../core/quality/odcs.js';
import { fromOdcs, type ImportNote } from '../core/quality/odcs-import.js';
import type { ContractVersion } from '../ports/record-log.js';
import { projectGraph } from './lineage.js';
import { environmentOf } from './load-project.js';
import type { Project } from './project.js';

/** Documents stand beside the definitions: what they hold beyond a definition is kept here. */
const documentFile = (folder: string, source: string): string =>
  path.join(folder, 'contracts', `${source}.odcs.yaml`);

const yamlText = (value: unknown): string =>
  stringify(value, { lineWidth: 0, aliasDuplicateObjects: false, indentSeq: true, compat: 'yaml-1.1' });

/** Definitions as people write them: what is short and flat on one line. */
function definitionText(value: unknown): string {
  const document = new Document(value, { aliasDuplicateObjects: false });
  const flat = (item: unknown): boolean => isScalar(item) || (isSeq(item) && item.items.every(isScalar));
  visit(document, {
    Seq: (_key, node) => {
      node.flow = node.items.every(isScalar);
    },
    Map: (_key, node) => {
      node.flow = node.items.length <= 4 && node.items.every((item) => flat(item.value));
    },
  });
  return document.toString({ lineWidth: 0 });
}

interface ParsedDocument {
  readonly document: Form;
  /** The line of a part, or of the nearest part around it. */
  place(path: readonly (string | number)[]): Place;
}

function parseOdcs(text: string, file: string): ParsedDocument {
  const lines = new LineCounter();
  const parsed = parseDocument(text, { lineCounter: lines, intAsBigInt: false });
  const [fault] = parsed.errors;
  if (fault)
    throw new MillraceError('FILE_UNREADABLE', `${file} is not YAML: ${fault.message.split('\n')[0]}`, {
      place: { file, line: lines.linePos(fault.pos[0]).line },
    });
  const document = parsed.toJS() as Form;
  if (!isObject(document))
    throw new MillraceError('FORMAT_UNKNOWN', `${file} is no data contract: it holds no object`, {
      place: { file, line: 1 },
    });
  const place = (at: readonly (string | number)[]): Place => {
    for (let length = at.length; length > 0; length--) {
      const node = parsed.getIn(at.slice(0, length), true);
      const range = (node as { readonly range?: readonly number[] } | undefined)?.range;
      if (range) return { file, line: lines.linePos(range[0]!).line };
      if (isScalar(node)) break;
    }
    return { file, line: 1 };
  };
  return { document, place };
}

async function readDocument(file: string): Promise<ParsedDocument> {
  try {
    return parseOdcs(await readFile(file, 'utf8'), file);
  } catch (error) {
    if (error instanceof MillraceError) throw error;
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    throw new MillraceError(
      missing ? 'FILE_NOT_FOUND' : 'FILE_UNREADABLE',
      missing ? `${file} is not there` : `${file} cannot be read: ${(error as Error).message}`,
      { place: { file }, cause: error },
    );
  }
}

/** The source that a definition is read as; undefined when it cannot be read at all. */
function readForm(form: SourceForm, project: Project): Source | undefined {
  const settings = { timezone: project.definitions.settings.timezone };
  const { documents } = readYaml(yamlText({ ...settings, sources: [form] }), 'contract');
  const inputs = documents.map((root) => ({ root, settings: true, typescript: false }));
  return define(inputs, environmentOf(project.folder)).definitions.sources.get(form.name);
}

/** RFC 9562, version 8: the same project and source always have the same one. */
function identifier(project: Project, source: Source): string {
  const hex = fingerprint({ project: project.definitions.settings.project, source: source.name });
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}

export interface ExportedContract {
  readonly document: Form;
  readonly text: string;
  /** The document whose other parts were kept; null for a new one. */
  readonly base: string | null;
}

/**
 * The contract of a source as Open Data Contract Standard 3.1.0. What `out` or `contracts/SOURCE.odcs.yaml` holds
 * already and the definition does not speak of is kept; its version follows from the class of the change.
 */
export async function exportContract(
  project: Project,
  source: Source,
  out: string | undefined,
): Promise<ExportedContract> {
  const base = [out, documentFile(project.folder, source.name)].find(
    (file): file is string => file !== undefined && existsSync(file),
  );
  const present = base === undefined ? undefined : (await readDocument(base)).document;
  const form = sourceForm(source);
  const now = snapshotOf(source);
  const version = async (): Promise<string | undefined> => {
    if (present === undefined) return (await currentVersion(project, now)).semver;
    const written = present['version'];
    const old = fromOdcs(present).find((item) => item.form.name === source.name);
    const before = old && readForm({ timezone: source.timezone, ...old.form }, project);
    if (!before || typeof written !== 'string' || !/^\d+(\.\d+){0,2}$/.test(written)) return undefined;
    return nextVersion(written, diffContracts(snapshotOf(before), now).bump);
  };
  const semver = await version();
  const document = toOdcs(form, {
    id: identifier(project, source),
    ...(semver === undefined ? {} : { version: semver }),
    ...(present === undefined ? {} : { base: present }),
  });
  return { document, text: yamlText(document), base: base ?? null };
}

export interface ImportLine extends Omit<ImportNote, 'path'> {
  readonly line: number;
}

export interface ImportedContract {
  readonly sources: readonly string[];
  /** What could not be taken over as it is, in the order of the document. */
  readonly notes: readonly ImportLine[];
  /** The definition file. */
  readonly text: string;
  /** By source: the document to be kept beside the definition. */
  readonly documents: ReadonlyMap<string, string>;
}

const KINDS: Readonly<Record<ImportNote['kind'], string>> = {
  lost: 'not taken over',
  changed: 'taken over with a difference',
  assumed: 'assumed',
};

export const printNote = (file: string, note: ImportLine): string =>
  `${file}:${note.line}: ${KINDS[note.kind]}: ${note.message}`;

/** A document of version 3 as definitions. Nothing is written. */
export async function importContract(file: string): Promise<ImportedContract> {
  const { document, place } = await readDocument(file);
  const imported = fromOdcs(document);
  const notes: ImportLine[] = [];
  const seen = new Set<string>();
  for (const { kind, path: at, message } of imported.flatMap((item) => item.notes)) {
    const note = { kind, message, line: place(at).line ?? 1 };
    const key = JSON.stringify(note);
    if (!seen.has(key)) notes.push(note);
    seen.add(key);
  }
  notes.sort((a, b) => a.line - b.line);
  const name = path.basename(file);
  const said = notes.map((note) => `# ${printNote(name, note)}\n`);
  const head = `# From ${name}: Open Data Contract Standard ${String(document['apiVersion'])}, version ${String(document['version'] ?? '(none)')}\n`;
  return {
    sources: imported.map((item) => item.form.name),
    notes,
    text: `${head}${said.join('')}${definitionText({ sources: imported.map((item) => item.form) })}`,
    documents: new Map(imported.map((item) => [item.form.name, yamlText(item.document)])),
  };
}

/** Writes the definition, and the documents to `contracts/`. Files that are there are kept unless `replace`. */
export async function writeImported(
  folder: string,
  imported: ImportedContract,
  out: string,
  replace: boolean,
): Promise<readonly string[]> {
  const files = new Map([[out, imported.text]]);
  for (const [source, text] of imported.documents) files.set(documentFile(folder, source), text);
  await writeNew(files, replace);
  return [...files.keys()];
}

/** All files or none: nothing is written over unless `replace`. */
export async function writeNew(files: ReadonlyMap<string, string>, replace: boolean): Promise<void> {
  const present = [...files.keys()].filter((file) => existsSync(file));
  if (present.length > 0 && !replace)
    throw new MillraceError(
      'USAGE',
      `${present.join(', ')} ${present.length === 1 ? 'is' : 'are'} there already`,
      {
        hint: 'Give another file, or --force to write over it.',
      },
    );
  for (const [file, text] of files) {
    await mkdir(path.dirname(path.resolve(file)), { recursive: true });
    await writeFile(file, text);
  }
}

// --- versions

/** What reads a field, or the source itself (null): features, labels, datasets, models, services, monitors, sources. */
export async function readersOf(project: Project, source: string): Promise<Readers> {
  const graph = await projectGraph(project);
  return (field) => {
    const start = graph.index.get(field === null ? `source.${source}` : `source.${source}.${field}`);
    if (start === undefined) return [];
    const from = field === null ? withFields(graph, start) : [start];
    return reach(graph, from, 'down')
      .map(({ node }) => graph.nodes[node]!)
      .filter((node) => node.field === null && node.id !== `source.${source}`)
      .map((node) => node.id);
  };
}

interface Current {
  readonly semver: string;
  /** The last version that records came in under; undefined when none did. */
  readonly last: ContractVersion | undefined;
}

/** The version that the contract has, or will have with the next batch. */
async function currentVersion(project: Project, now: ContractSnapshot): Promise<Current> {
  const last = (await (await project.log()).contracts(now.source)).at(-1);
  if (last === undefined) return { semver: '1.0.0', last };
  return { semver: nextVersion(last.semver, diffContracts(last.contract, now).bump), last };
}

export interface ComparedContracts extends ContractDiff {
  readonly source: string;
  readonly from: string;
  readonly to: string;
  /** The version that follows `from` by the class of the changes; null where `from` has none. */
  readonly suggested: string | null;
}

interface Side {
  readonly name: string;
  readonly semver: string | null;
  readonly contract: ContractSnapshot;
}

async function sideOf(project: Project, source: Source, wanted: string): Promise<Side> {
  const now = snapshotOf(source);
  if (wanted === 'current')
    return { name: 'the definition', semver: (await currentVersion(project, now)).semver, contract: now };
  const versions = await (await project.log()).contracts(source.name);
  const found = /^\d+$/.test(wanted)
    ? versions.find((version) => version.version === Number(wanted))
    : versions.findLast((version) => version.semver === wanted.replace(/^v/, ''));
  if (found) return { name: found.semver, semver: found.semver, contract: found.contract };
  if (!/\.(ya?ml|json)$/i.test(wanted))
    throw new MillraceError(
      'UNKNOWN_NAME',
      `there is no version ${wanted} of the contract of ${source.name}`,
      {
        hint:
          versions.length === 0
            ? 'No records have come in under it yet. Give `current` or the file of a document.'
            : `There are: ${versions.map((version) => version.semver).join(', ')}, current, or the file of a document.`,
      },
    );
  const { document } = await readDocument(wanted);
  const imported = fromOdcs(document).find((item) => item.form.name === source.name);
  const read = imported && readForm({ timezone: source.timezone, ...imported.form }, project);
  if (!read)
    throw new MillraceError('UNKNOWN_NAME', `${wanted} has no schema named ${source.name} that can be read`, {
      place: { file: wanted },
    });
  const version = document['version'];
  const semver = typeof version === 'string' && /^\d+\.\d+\.\d+$/.test(version) ? version : null;
  return { name: wanted, semver, contract: snapshotOf(read) };
}

/** What changed from one contract of a source to another: by default from the last version to the definition. */
export async function compareContracts(
  project: Project,
  source: Source,
  a: string | undefined,
  b = 'current',
): Promise<ComparedContracts> {
  const last = (await (await project.log()).contracts(source.name)).at(-1);
  if (a === undefined && last === undefined)
    throw new MillraceError(
      'UNKNOWN_NAME',
      `no records of ${source.name} have come in yet: there is no version to compare with`,
      {
        hint: `Ingest first, or name a document: millrace contract diff ${source.name} FILE`,
      },
    );
  const from = await sideOf(project, source, a ?? String(last!.version));
  const to = await sideOf(project, source, b);
  const diff = diffContracts(from.contract, to.contract, await readersOf(project, source.name));
  return {
    source: source.name,
    from: from.name,
    to: to.name,
    suggested: from.semver === null ? null : nextVersion(from.semver, diff.bump),
    ...diff,
  };
}
