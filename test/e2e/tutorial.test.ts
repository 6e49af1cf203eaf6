import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { expect, it } from 'vitest';
import { millrace, ROOT, withFolder } from './support.js';

/** `sh` blocks are run line by line (`# exit N` says what is expected); `yaml file=F` blocks are written to F. */
function blocks(markdown: string): { language: string; file: string | undefined; body: string }[] {
  return [...markdown.matchAll(/^```(\w+)(?: file=(\S+))?\n([\s\S]*?)^```$/gm)].map((match) => ({
    language: match[1]!,
    file: match[2],
    body: match[3]!,
  }));
}

it('the flights tutorial does what it says, typed line by line', async () => {
  const markdown = await readFile(path.join(ROOT, 'docs/tutorial/flights.md'), 'utf8');
  await withFolder(async (folder) => {
    let cwd = folder;
    for (const { language, file, body } of blocks(markdown)) {
      if (file !== undefined) await writeFile(path.join(cwd, file), body);
      if (language !== 'sh') continue;
      for (const line of body.split('\n').filter((text) => text.trim() !== '')) {
        const [command, expectation] = line.split(' # exit ');
        if (command!.startsWith('cd ')) {
          cwd = path.join(cwd, command!.slice(3).trim());
          continue;
        }
        const words = command!.trim().split(/\s+/);
        expect(words.slice(0, 2)).toEqual(['npx', 'millrace']);
        const done = await millrace(words.slice(2), { cwd });
        expect(
          `${line} → ${done.status}\n${done.status === Number(expectation ?? 0) ? '' : done.stderr.slice(-1500)}`,
        ).toBe(`${line} → ${Number(expectation ?? 0)}\n`);
        if (expectation === '3') expect(done.stderr).toContain('LEAKAGE');
      }
    }
  });
});
