/** What people say of models and versions: description, owner, tags; every change with who, when and why. */
import { MillraceError } from '../core/base/error.js';
import type { AliasChange, NoteChange, VersionRecord } from '../ports/registry.js';
import { userName } from './actor.js';
import { CHAMPION } from './model-manifest.js';
import type { Project } from './project.js';

export interface Notes {
  readonly description: string | null;
  readonly owner: string | null;
  /** Value by name; '' where there is no more than the name. */
  readonly tags: Readonly<Record<string, string>>;
}

/** A model, or one version of it. */
export interface NoteSubject {
  readonly model: string;
  readonly version: number | null;
}

/** `production` is the champion, `retired` was it; an alias `staging` names its own; the rest are candidates. */
export type Stage = 'production' | 'staging' | 'retired' | 'candidate';

export interface NoteEdit {
  readonly description?: string | undefined;
  readonly owner?: string | undefined;
  readonly tags?: Readonly<Record<string, string>>;
  readonly untag?: readonly string[];
  readonly reason: string;
  readonly actor?: string;
}

const TAG = 'tag:';
const TAG_NAME = /^[A-Za-z0-9][A-Za-z0-9_.-]*$/;

const own = (history: readonly NoteChange[], { model, version }: NoteSubject): Map<string, string> => {
  const said = new Map<string, string>();
  for (const change of history) {
    if (change.model !== model || change.version !== version) continue;
    if (change.value === null) said.delete(change.field);
    else said.set(change.field, change.value);
  }
  return said;
};

const notes = (said: ReadonlyMap<string, string>): Notes => ({
  description: said.get('description') ?? null,
  owner: said.get('owner') ?? null,
  tags: Object.fromEntries(
    [...said]
      .filter(([field]) => field.startsWith(TAG))
      .map(([field, value]) => [field.slice(TAG.length), value])
      .sort(([a], [b]) => (a! < b! ? -1 : 1)),
  ),
});

/** What is said of a version: its own words over those of its model, and those over the definition's. */
export function notesOf(project: Project, history: readonly NoteChange[], subject: NoteSubject): Notes {
  const { model: name, version } = subject;
  const model = project.definitions.models.get(name);
  const defined: [string, string][] = [
    ...(model?.description ? [['description', model.description] as [string, string]] : []),
    ...(model?.owner ? [['owner', model.owner] as [string, string]] : []),
    ...(model?.tags ?? []).map((tag): [string, string] => [`${TAG}${tag}`, '']),
  ];
  const ofModel = own(history, { model: name, version: null });
  const ofVersion = version === null ? [] : own(history, subject);
  return notes(new Map([...defined, ...ofModel, ...ofVersion]));
}

/**
 * One change a field, each against what this process has read: of two writers of one field the second is refused, and
 * writers of different fields do not meet.
 */
export async function editNotes(
  project: Project,
  subject: NoteSubject,
  edit: NoteEdit,
): Promise<readonly NoteChange[]> {
  const wanted: [string, string | null][] = [
    ...(edit.description === undefined ? [] : [['description', edit.description] as [string, string]]),
    ...(edit.owner === undefined ? [] : [['owner', edit.owner] as [string, string]]),
    ...Object.entries(edit.tags ?? {}).map(([tag, value]): [string, string] => [`${TAG}${tag}`, value]),
    ...(edit.untag ?? []).map((tag): [string, null] => [`${TAG}${tag}`, null]),
  ];
  for (const [field] of wanted)
    if (field.startsWith(TAG) && !TAG_NAME.test(field.slice(TAG.length)))
      throw new MillraceError('USAGE', `"${field.slice(TAG.length)}" is no tag`, {
        hint: 'Letters, digits, `_`, `.` and `-`: `reviewed` or `ticket=OPS-12`.',
      });
  const registry = await project.registry();
  const present = own(registry.noteHistory(subject.model), subject);
  for (const tag of edit.untag ?? [])
    if (!present.has(`${TAG}${tag}`))
      throw new MillraceError(
        'UNKNOWN_NAME',
        `${titleOf(subject)} has no tag "${tag}" that was set by \`models tag\``,
        { hint: 'Tags of the definition are edited there.' },
      );
  return wanted
    .filter(([field, value]) => (present.get(field) ?? null) !== value)
    .map(([field, value]) =>
      registry.setNote({
        ...subject,
        field,
        value,
        at: project.now(),
        actor: edit.actor ?? userName(),
        reason: edit.reason,
        expected: present.get(field) ?? null,
      }),
    );
}

export const titleOf = ({ model, version }: NoteSubject): string =>
  version === null ? model : `${model}@${version}`;

export function stageOf(version: VersionRecord, aliases: readonly AliasChange[]): Stage {
  const own = aliases.filter((change) => change.model === version.name);
  const now = (alias: string): number | undefined =>
    own.filter((change) => change.alias === alias).at(-1)?.version;
  if (now(CHAMPION) === version.version) return 'production';
  if (now('staging') === version.version) return 'staging';
  return own.some((change) => change.alias === CHAMPION && change.version === version.version)
    ? 'retired'
    : 'candidate';
}
