import { existsSync } from 'node:fs';
import { cp, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { MillraceError } from '../../core/base/error.js';
import { nearest } from '../../core/base/nearest.js';
import type { Command } from '../command.js';

const PACKAGE = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../..');

const EXAMPLES = path.join(PACKAGE, 'examples');

const STARTER = {
  'millrace.yaml': 'project: my-project\ntimezone: UTC\n',
  'definitions/purchases.yaml': `# yaml-language-server: $schema=../millrace.schema.json
entities:
  - { name: user, join_key: user_id }

sources:
  - name: purchases
    kind: events
    read: { files: data/purchases.csv }
    record_key: purchase_id
    event_time: bought_at
    available_at: loaded_at
    fields:
      purchase_id: string
      user_id: int64
      amount: decimal(2)
      status: string
      bought_at: timestamp
      loaded_at: timestamp
    contract:
      amount: { not_null: true, range: [0, 100000] }
      status: { in: [paid, open, cancelled] }

features:
  - name: user_paid_count_30d
    entity: user
    aggregation: { function: count, source: purchases, window: 30d, where: "status = 'paid'" }
  - name: user_amount_mean_90d
    entity: user
    aggregation: { function: mean, source: purchases.amount, window: 90d }

feature_sets:
  - { name: basics, features: [user_paid_count_30d, user_amount_mean_90d] }
`,
  'data/purchases.csv': `purchase_id,user_id,amount,status,bought_at,loaded_at
p1,7,12.50,paid,2024-03-01T10:00:00Z,2024-03-01T12:00:00Z
p2,7,8.00,paid,2024-03-04T09:30:00Z,2024-03-04T12:00:00Z
p3,9,99.90,open,2024-03-04T15:00:00Z,2024-03-05T12:00:00Z
`,
  'data/observations.csv': `row_id,user_id,t
1,7,2024-03-05T00:00:00Z
2,9,2024-03-05T00:00:00Z
`,
  '.gitignore': '.millrace/\n',
} as const;

/** One by one: Node's own recursive way does not end where the system lets nothing be made, as in /proc. */
async function makeFolders(folder: string): Promise<void> {
  if (existsSync(folder)) return;
  const parent = path.dirname(folder);
  await makeFolders(parent);
  try {
    await mkdir(folder);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') return;
    throw new MillraceError('PERMISSION_DENIED', `no folder can be made in ${parent}`, {
      place: { file: folder },
      cause: error,
      hint: 'Choose another folder, or ask for the right to write there.',
    });
  }
}

export const command: Command = async (io, args, options) => {
  const folder = path.resolve(io.projectFolder, args[0] ?? '.');
  if (existsSync(path.join(folder, 'millrace.yaml')) || existsSync(path.join(folder, 'definitions')))
    throw new MillraceError('USAGE', `there is a project in ${folder} already`, {
      place: { file: folder },
      hint: 'Choose another folder.',
    });
  await makeFolders(folder);
  const example = options['example'];
  if (example === undefined) {
    for (const [name, text] of Object.entries(STARTER)) {
      const file = path.join(folder, name);
      await mkdir(path.dirname(file), { recursive: true });
      await writeFile(file, text, { flag: 'wx' });
    }
    await writeFile(
      path.join(folder, 'millrace.schema.json'),
      await readFile(path.join(PACKAGE, 'schema', 'millrace.schema.json')),
    );
  } else {
    const known = existsSync(EXAMPLES)
      ? (await readdir(EXAMPLES, { withFileTypes: true }))
          .filter((entry) => entry.isDirectory())
          .map((entry) => entry.name)
      : [];
    if (!known.includes(String(example))) {
      const near = nearest(String(example), known);
      throw new MillraceError('UNKNOWN_NAME', `there is no example "${String(example)}"`, {
        hint: near ? `Did you mean "${near}"?` : `There are: ${known.join(', ')}.`,
      });
    }
    await cp(path.join(EXAMPLES, String(example)), folder, {
      recursive: true,
      filter: (source) => path.basename(source) !== '.millrace',
    });
  }
  const shown = path.relative(process.cwd(), folder) || '.';
  io.print(`a new project in ${folder}`);
  const enter = shown === '.' ? '' : `cd ${shown} && `;
  io.print(
    example === undefined
      ? `next: ${enter}npx millrace run && npx millrace features historical --observations data/observations.csv --time t --features basics --out features.csv`
      : `next: ${enter}npx millrace run`,
  );
  io.result({ project: folder, example: example ?? null });
  return 0;
};
