import { verify as compare } from '../../services/verify.js';
import { parityError } from '../gates.js';
import { inProject } from '../in-project.js';
import { integer, list } from '../parse.js';
import { count, table } from '../print/table.js';

export const command = inProject(async (project, io, _args, options) => {
  await project.lockForWriting(io.command);
  const features = list(options['features']);
  const result = await compare(project, {
    ...(features.length > 0 ? { features } : {}),
    sample: options['sample'] === 'all' ? null : (integer(options['sample'], '--sample') ?? 2000),
    seed: integer(options['seed'], '--seed') ?? 1,
  });
  io.print(
    `${count(result.checked)} values (${result.features} features at ${count(result.observations)} observations): ${result.differing === 0 ? 'offline = online, to the bit' : `${count(result.differing)} DIFFER`}`,
  );
  if (result.unverified.length > 0)
    io.print(`not compared, for want of observations with their keys: ${result.unverified.join(', ')}`);
  if (result.differing > 0)
    io.print(
      table(
        ['feature', 'at', 'entity', 'offline', 'online'],
        result.differences
          .slice(0, 20)
          .map((item) => [
            item.feature,
            item.at,
            JSON.stringify(item.entity),
            `${JSON.stringify(item.offline)} ${item.offline_status}`,
            `${JSON.stringify(item.online)} ${item.online_status}`,
          ]),
      ),
    );
  if (result.differing > 0) return io.refuse(parityError(result), { ...result });
  io.result(result);
  return 0;
});
