import { printInstant } from '../core/base/time.js';
import { editNotes, type NoteEdit, type NoteSubject, notesOf } from '../services/model-notes.js';
import type { Project } from '../services/project.js';
import { modelVersion } from './find.js';
import type { Io } from './io.js';
import { versioned } from './parse.js';

/** NAME, or NAME@VERSION. */
export async function subjectOf(project: Project, text: string): Promise<NoteSubject> {
  const { name, version } = versioned(text);
  const found = await modelVersion(project, text).catch((error: unknown) => {
    // A model that is defined and not yet trained can be spoken of too.
    if (version === undefined && project.definitions.models.has(name)) return undefined;
    throw error;
  });
  return { model: name, version: version === undefined ? null : (found?.version ?? null) };
}

/** Writes notes about a model or a version and prints what they were. */
export async function edit(project: Project, io: Io, text: string, given: NoteEdit): Promise<number> {
  const subject = await subjectOf(project, text);
  const changes = await editNotes(project, subject, given);
  for (const change of changes)
    io.print(
      change.value === null
        ? `${change.field} of ${text} is gone, it was "${change.previous}"`
        : `${change.field} of ${text} is "${change.value}"${change.previous === null ? '' : `, it was "${change.previous}"`}`,
    );
  if (changes.length === 0) io.print('nothing to change: it says so already');
  const history = (await project.registry()).noteHistory(subject.model);
  io.result({
    ...subject,
    ...notesOf(project, history, subject),
    changes: changes.map((change) => ({ ...change, at: printInstant(change.at) })),
  });
  return 0;
}
