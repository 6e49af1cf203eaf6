import { MillraceError } from '../../../core/base/error.js';
import { printInstant } from '../../../core/base/time.js';
import type { RunDetail } from '../../../ports/run-store.js';
import { runOf } from '../../find.js';
import { inAnyProject } from '../../in-project.js';

export const command = inAnyProject(async (project, io, args) => {
  const run = await runOf(project, args[0]);
  const step = args[1] === undefined ? undefined : stepOf(run, args[1]);
  const lines = (await project.runs()).lines(run.id, step);
  for (const line of lines)
    io.print(`${printInstant(line.at)} ${step === undefined ? `${line.step} ` : ''}${line.text}`);
  io.result({ run: run.id, lines: lines.map((line) => ({ ...line, at: printInstant(line.at) })) });
  return 0;
});

function stepOf(run: RunDetail, name: string): string {
  const found = run.steps.find(({ step }) => step === name || step.slice(step.indexOf('.') + 1) === name);
  if (found === undefined)
    throw new MillraceError('UNKNOWN_NAME', `run ${run.id} has no step "${name}"`, {
      hint: `There are: ${run.steps.map(({ step }) => step).join(', ')}.`,
    });
  return found.step;
}
