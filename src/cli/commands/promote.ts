import { gateRefused } from '../../services/gate.js';
import { observedText, promoteModel } from '../../services/promote.js';
import { promotionError } from '../gates.js';
import { inProject } from '../in-project.js';
import { integer } from '../parse.js';

export const command = inProject(async (project, io, args, options) => {
  const version = integer(options['version'], '--version');
  const result = await promoteModel(project, args[0]!, {
    ...(version === undefined ? {} : { version }),
    ...(options['reason'] === undefined ? {} : { reason: String(options['reason']) }),
    force: options['force'] === true,
  });
  for (const check of result.checks)
    io.print(`${check.passed ? 'holds' : 'FAILS'}  ${check.text} (observed ${observedText(check)})`);
  io.print(
    result.promoted
      ? `${result.model}@${result.version} is the champion${result.previous === null ? '' : `, before it ${result.previous}`}`
      : `not promoted: ${result.reason}`,
  );
  if (gateRefused(result)) return io.refuse(promotionError(result), { ...result });
  io.result(result);
  return 0;
});
