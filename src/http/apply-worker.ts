/** The thread of `startApplyThread`: opens the project's online store beside the server, applies, answers. */
import { parentPort, workerData } from 'node:worker_threads';
import { openProject } from '../open.js';
import { applyToGroups } from '../services/applier.js';
import { type BoundGroup, projectGroups } from '../services/online-groups.js';
import { fromColumns } from '../services/record-columns.js';
import { type ApplyAnswer, type ApplyJob, type ApplyThreadData, groupsOf } from './apply-thread.js';
import { inTurn } from './turn.js';

const { folder, turn } = workerData as ApplyThreadData;
const port = parentPort!;
const project = await openProject(folder, { beside: true });
const store = await project.online();
const bySource = new Map<string, BoundGroup[]>();
for (const bound of projectGroups(project)) {
  const { name } = bound.group.source;
  bySource.set(name, [...(bySource.get(name) ?? []), bound]);
}

let work: Promise<void> = Promise.resolve();
const answer = (message: ApplyAnswer): void => port.postMessage(message);

port.on('message', (job: ApplyJob | null) => {
  work = work.then(async () => {
    if (job === null) {
      await project.close();
      port.close();
      return;
    }
    const { id, source, records } = job;
    try {
      await inTurn(turn, () => applyToGroups(store, bySource.get(source) ?? [], fromColumns(records)));
      answer({ id });
    } catch (error) {
      answer({ id, failure: (error as Error).message });
    }
  });
});
answer({ id: 0, groups: groupsOf(project) });
