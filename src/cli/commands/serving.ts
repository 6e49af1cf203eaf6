import path from 'node:path';
import { materialize as bringUp } from '../../services/materialize.js';
import { replayService } from '../../services/replay.js';
import { scoreFile } from '../../services/score.js';
import { verify as compare } from '../../services/verify.js';
import { parityError, replayError } from '../gates.js';
import type { Io } from '../io.js';
import { instant, integer, list } from '../parse.js';
import { count, table } from '../table.js';
import { within } from '../within.js';

type Options = Readonly<Record<string, unknown>>;

export async function materialize(io: Io, _args: readonly string[], options: Options): Promise<number> {
  return within(io, async (project) => {
    await project.lockForWriting(io.command);
    const result = await bringUp(project, { rebuild: options['rebuild'] === true });
    io.print(
      table(
        ['group', 'records applied', 'through seq'],
        result.groups.map((group) => [group.group, group.records, group.seq]),
      ),
    );
    io.result(result);
    return result.records > 0 ? 0 : 99;
  });
}

export async function score(io: Io, args: readonly string[], options: Options): Promise<number> {
  return within(io, async (project) => {
    const result = await scoreFile(project, {
      service: args[0]!,
      observations: String(options['observations']),
      time: options['time'] === undefined ? undefined : String(options['time']),
      out: path.resolve(String(options['out'])),
      log: options['log'] !== false,
    });
    io.print(
      `${count(result.rows)} rows scored by ${result.model} → ${result.out}${result.logged > 0 ? `, ${count(result.logged)} logged` : ''}`,
    );
    io.result(result);
    return 0;
  });
}

export async function verify(io: Io, _args: readonly string[], options: Options): Promise<number> {
  return within(io, async (project) => {
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
}

export async function replay(io: Io, args: readonly string[], options: Options): Promise<number> {
  return within(io, async (project) => {
    const result = await replayService(project, args[0]!, { since: instant(options['since'], '--since') });
    io.print(
      `${result.service}: ${count(result.predictions)} logged vectors, ${count(result.equal)} equal, ${count(result.different)} different`,
    );
    for (const [cause, n] of Object.entries(result.causes)) io.print(`  ${cause}: ${count(n)}`);
    if (result.outdated > 0)
      io.print(
        `${count(result.outdated)} values were right when they were given and would be others today: ${Object.entries(
          result.outdated_causes,
        )
          .map(([cause, n]) => `${cause} ${count(n)}`)
          .join(', ')}`,
      );
    if (result.examples.length > 0)
      io.print(
        table(
          ['prediction', 'feature', 'logged', 'recomputed', 'cause'],
          result.examples
            .slice(0, 20)
            .map((item) => [
              item.prediction_id,
              item.feature,
              JSON.stringify(item.logged),
              JSON.stringify(item.recomputed),
              item.cause,
            ]),
        ),
      );
    if (result.different > 0) return io.refuse(replayError(result), { ...result });
    io.result(result);
    return 0;
  });
}
