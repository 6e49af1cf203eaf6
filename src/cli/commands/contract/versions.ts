import { printInstant, printOptionalInstant } from '../../../core/base/time.js';
import { contractFingerprint, snapshotOf } from '../../../core/quality/contract-snapshot.js';
import { pendingContracts } from '../../../services/pending-contracts.js';
import { sourceOf } from '../../find.js';
import { inProject } from '../../in-project.js';
import { count, table } from '../../print/table.js';

export const command = inProject(async (project, io, args) => {
  const source = sourceOf(project, args[0]!);
  const versions = await (await project.log()).contracts(source.name);
  const now = contractFingerprint(snapshotOf(source));
  const list = versions.map(({ contract: _, since, lastBatchAt, ...rest }) => ({
    ...rest,
    since: printInstant(since),
    last_batch_at: printOptionalInstant(lastBatchAt),
  }));
  io.print(
    list.length === 0
      ? `no records of ${source.name} have come in yet`
      : table(
          ['version', 'semver', 'fingerprint', 'since', 'batches', 'accepted', 'last batch'],
          list.map((item) => [
            item.version,
            item.semver,
            item.fingerprint.slice(0, 12),
            item.since,
            item.batches,
            count(item.accepted),
            item.last_batch_at,
          ]),
        ),
  );
  const pending = (await pendingContracts(project)).find((item) => item.source === source.name);
  if (pending)
    io.print(
      `the definition is another: ${pending.diff.class}, ${pending.to} with the next batch (millrace contract diff ${source.name})`,
    );
  io.result({
    source: source.name,
    versions: list,
    current: { fingerprint: now, semver: pending?.to ?? list.at(-1)?.semver ?? '1.0.0' },
  });
  return 0;
});
