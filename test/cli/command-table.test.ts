import { readdirSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { COMMANDS, isGroup, wordsOf } from '../../src/cli/command-table.js';

const FOLDER = path.join(path.dirname(fileURLToPath(import.meta.url)), '../../src/cli/commands');

it('every command of the table has one file, and every file is a command of the table', () => {
  const files = readdirSync(FOLDER, { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith('.ts'),
  );
  const named = COMMANDS.filter((row) => !isGroup(row)).map((row) => `${wordsOf(row).join('/')}.ts`);
  expect(named.toSorted()).toEqual(files.toSorted());
});

it('what is explained of arguments are arguments', () => {
  const wrong = COMMANDS.flatMap(({ usage, args = {} }) =>
    Object.keys(args)
      .filter((name) => !new RegExp(`[<[]${name}(\\.\\.\\.)?[>\\]]`).test(usage))
      .map((name) => `${usage}: ${name}`),
  );
  expect(wrong).toEqual([]);
});
