import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import packageJson from '../package.json' with { type: 'json' };
import { CATALOGUE } from '../src/core/base/catalogue.js';

const ROOT = path.join(path.dirname(fileURLToPath(import.meta.url)), '..');

function pages(folder: string): string[] {
  return readdirSync(path.join(ROOT, folder), { withFileTypes: true }).flatMap((entry) => {
    const name = path.join(folder, entry.name);
    return entry.isDirectory() ? pages(name) : name.endsWith('.md') ? [name] : [];
  });
}

function sources(folder: string): string[] {
  return readdirSync(path.join(ROOT, folder), { withFileTypes: true }).flatMap((entry) => {
    const name = path.join(folder, entry.name);
    return entry.isDirectory() ? sources(name) : name.endsWith('.ts') ? [name] : [];
  });
}

describe('documentation', () => {
  it('has no link to a page or picture that is not there', () => {
    const broken: string[] = [];
    for (const page of ['README.md', 'ARCHITECTURE.md', ...pages('docs'), 'examples/flights/README.md'])
      for (const [, target] of readFileSync(path.join(ROOT, page), 'utf8').matchAll(
        /\]\((?!https?:|#)([^)#\s]+)/g,
      ))
        if (!existsSync(path.join(ROOT, path.dirname(page), target!))) broken.push(`${page} → ${target}`);
    expect(broken).toEqual([]);
  });

  it('uses one word for one thing: what the glossary names under "not" stands nowhere else', () => {
    const glossary = readFileSync(path.join(ROOT, 'docs/glossary.md'), 'utf8');
    const avoided = [...glossary.matchAll(/^\|[^|\n]+\|[^|\n]+\|([^|\n]+)\|$/gm)]
      .slice(2)
      .flatMap(([, words]) => words!.split(','))
      .map((word) => word.trim())
      .filter((word) => word !== '');
    expect(avoided.length).toBeGreaterThan(5);
    // Pages for those who come from elsewhere speak their words.
    const pagesOfOurs = pages('docs').filter(
      (page) => !/glossary|coming-from|decisions|benchmarks/.test(page),
    );
    const wrong = ['README.md', 'ARCHITECTURE.md', ...pagesOfOurs, ...sources('src')].flatMap((file) => {
      const text = readFileSync(path.join(ROOT, file), 'utf8').toLowerCase();
      return avoided.filter((word) => text.includes(word)).map((word) => `${file}: ${word}`);
    });
    expect(wrong).toEqual([]);
  });

  it('has a row for every error code, and every code is thrown or reported somewhere', () => {
    const page = readFileSync(path.join(ROOT, 'docs/reference/errors.md'), 'utf8');
    const text = sources('src')
      .filter((file) => !file.endsWith('catalogue.ts'))
      .map((file) => readFileSync(path.join(ROOT, file), 'utf8'))
      .join('\n');
    const codes = Object.keys(CATALOGUE);
    expect(codes.filter((code) => !page.includes(`\`${code}\``))).toEqual([]);
    expect(codes.filter((code) => !text.includes(`'${code}'`))).toEqual([]);
  });

  it('promises in the README only scripts that package.json has', () => {
    const readme = readFileSync(path.join(ROOT, 'README.md'), 'utf8');
    const scripts = [...readme.matchAll(/npm run (\w+)/g)].map((match) => match[1]!);
    expect(scripts.filter((name) => !(name in packageJson.scripts))).toEqual([]);
  });
});
