/** Changes an alias so many times, each only if nobody came between, and says how often somebody did. */
import { openDatabase } from '../../src/adapters/sqlite/database.js';
import { LOG_MIGRATIONS } from '../../src/adapters/sqlite/log-tables.js';
import { createRegistry } from '../../src/adapters/sqlite/registry.js';
import { MillraceError } from '../../src/core/base/error.js';

const [file, actor, times] = process.argv.slice(2) as [string, string, string];
const registry = createRegistry(openDatabase(file, LOG_MIGRATIONS));
let conflicts = 0;
for (let i = 0; i < Number(times); i++) {
  registry.addVersion({
    kind: 'model',
    name: 'm',
    key: `${actor}-${i}`,
    folder: '/nowhere',
    manifest: {},
    createdAt: i,
  });
  for (;;) {
    const expected = registry.alias('m', 'counter') ?? null;
    try {
      // The alias is a counter: each change adds one to what was read.
      const version = (expected ?? 0) + 1;
      registry.setAlias({ model: 'm', alias: 'counter', version, at: i, actor, reason: '', expected });
      break;
    } catch (error) {
      if (!(error instanceof MillraceError) || !error.message.includes('someone else')) throw error;
      conflicts++;
    }
  }
}
registry.close();
console.log(conflicts);
