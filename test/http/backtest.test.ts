import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { runBacktest } from '../../src/services/backtest.js';
import { promoteModel } from '../../src/services/promote.js';
import { trainModel } from '../../src/services/train.js';
import { ingestFiles, makeFolder, open, removeFolder } from './support.js';

it('a backtest that is run again logs no prediction and no outcome twice', async () => {
  const folder = makeFolder();
  appendFileSync(
    join(folder, 'definitions/all.yaml'),
    '---\nservices:\n  - { name: tested, model: back, backtest: [test] }\n',
  );
  const project = await open(folder);
  try {
    await ingestFiles(project);
    await trainModel(project, 'back');
    await promoteModel(project, 'back');
    const service = project.definitions.services.get('tested')!;
    const first = await runBacktest(project, service);
    expect(first.predictions).toBeGreaterThan(50);
    expect(first.outcomes).toBe(first.predictions);
    expect(await runBacktest(project, service)).toMatchObject({ predictions: 0, outcomes: 0 });
    expect((await project.predictions().outcomes('tested')).size).toBe(first.outcomes);
  } finally {
    await project.close();
    removeFolder(folder);
  }
});
