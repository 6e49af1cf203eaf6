import { MillraceError } from '../../../core/base/error.js';
import { edit } from '../../edit-notes.js';
import { inProject } from '../../in-project.js';
import { list as splitList } from '../../parse.js';

export const command = inProject(async (project, io, args, options) => {
  const [text, ...given] = args;
  const tags = Object.fromEntries(
    given.map((each) => {
      const at = each.indexOf('=');
      return at < 0 ? [each, ''] : [each.slice(0, at), each.slice(at + 1)];
    }),
  );
  const untag = splitList(options['remove']);
  if (given.length + untag.length === 0)
    throw new MillraceError('USAGE', 'there is no tag to set or to remove', {
      hint: 'For example `millrace models tag churn@3 reviewed ticket=OPS-12 --reason "review done"`.',
    });
  return edit(project, io, text!, { tags, untag, reason: String(options['reason']) });
});
