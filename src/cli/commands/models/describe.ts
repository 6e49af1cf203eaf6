import { MillraceError } from '../../../core/base/error.js';
import { edit } from '../../edit-notes.js';
import { inProject } from '../../in-project.js';

export const command = inProject(async (project, io, args, options) => {
  const [text, description] = args;
  const owner = options['owner'] === undefined ? undefined : String(options['owner']);
  if (description === undefined && owner === undefined)
    throw new MillraceError('USAGE', 'there is neither a description nor an owner', {
      hint: 'For example `millrace models describe churn "Who leaves in 30 days" --owner risk --reason "new team"`.',
    });
  return edit(project, io, text!, { description, owner, reason: String(options['reason']) });
});
