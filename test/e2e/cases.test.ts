import { existsSync, readdirSync } from 'node:fs';
import { cp, readFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseInstant } from '../../src/core/base/time.js';
import { openProject } from '../../src/open.js';
import { materialize } from '../../src/services/materialize.js';
import { answerFeatures, featureReader } from '../../src/services/serve.js';
import { agrees, caseProject, parseCsv } from './case-project.js';
import { CASES, millrace, withFolder } from './support.js';

const cases = readdirSync(CASES, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map((entry) => entry.name);

type Row = Record<string, string | null>;

/** Cells where two deliveries tie and both answers are right. */
async function ambiguous(folder: string): Promise<Map<string, (string | null)[]>> {
  const file = path.join(folder, 'ambiguous_cells.csv');
  if (!existsSync(file)) return new Map();
  return new Map(
    parseCsv(await readFile(file, 'utf8')).map((row) => [
      `${row['row_id']}/${row['feature']}`,
      [row['last_delivery']!, row['first_delivery']!],
    ]),
  );
}

async function differences(
  folder: string,
  features: readonly string[],
  expected: readonly Row[],
  value: (row: Row, feature: string) => unknown,
): Promise<string[]> {
  const either = await ambiguous(folder);
  const found: string[] = [];
  for (const row of expected)
    for (const feature of features) {
      const got = value(row, feature);
      const accepted = either.get(`${row['row_id']}/${feature}`) ?? [row[feature]!];
      if (!accepted.some((item) => agrees(item, got)))
        found.push(`${row['row_id']} ${feature}: expected ${accepted.join(' or ')}, got ${String(got)}`);
    }
  return found;
}

describe('known answers', () => {
  it.each(cases)('%s: the public command gives the expected values, once for every row', async (name) => {
    await withFolder(async (folder) => {
      const caseFolder = path.join(CASES, name);
      const project = await caseProject(caseFolder, folder);
      expect(existsSync(project.observations)).toBe(true);
      const source = name.startsWith('attributes') ? 'attributes' : 'events';
      const ingested = await millrace(['ingest', source, '--project', folder, '--json']);
      expect(ingested.stderr + ingested.stdout).toMatch(/accepted/);
      expect(ingested.status).toBe(0);
      for (const format of ['csv']) {
        const out = path.join(folder, `out.${format}`);
        const done = await millrace([
          'features',
          'historical',
          '--project',
          folder,
          '--observations',
          project.observations,
          '--time',
          't',
          '--features',
          project.features.join(','),
          '--out',
          out,
        ]);
        expect(done.stderr).not.toMatch(/error/);
        expect(done.status).toBe(0);
        const rows = parseCsv(await readFile(out, 'utf8'));
        const expected = parseCsv(await readFile(project.expected, 'utf8'));
        expect(rows.length).toBe(expected.length);
        const byId = new Map(rows.map((row) => [row['row_id']!, row]));
        expect(byId.size).toBe(expected.length);
        expect(
          await differences(
            caseFolder,
            project.features,
            expected,
            (row, feature) => byId.get(row['row_id']!)![feature],
          ),
        ).toEqual([]);
      }
    });
  });

  it.each(cases)('%s: online answers are the same values', async (name) => {
    await withFolder(async (folder) => {
      const caseFolder = path.join(CASES, name);
      const files = await caseProject(caseFolder, folder);
      await cp(files.observations, path.join(folder, 'spine.csv'));
      const project = await openProject(folder);
      try {
        const log = await project.log();
        for (const source of project.definitions.sources.values())
          await log.ingestFiles(source, log.expand(source));
        await materialize(project);
        const reader = await featureReader(project, files.features);
        const spine = new Map(
          parseCsv(await readFile(files.observations, 'utf8')).map((row) => [row['row_id']!, row]),
        );
        const expected = parseCsv(await readFile(files.expected, 'utf8'));
        const keys = [...project.definitions.entities.values()][0]!.joinKeys.map((key) => key.name);
        const answers = new Map<string, readonly unknown[]>();
        for (const [id, row] of spine) {
          const entity = Object.fromEntries(keys.map((key) => [key, row[key]]));
          const answer = answerFeatures(
            reader,
            { entities: [entity], at: parseInstant(row['t']!)!, text: true },
            0,
          );
          answers.set(id, answer.rows[0]!.values);
        }
        expect(
          await differences(
            caseFolder,
            files.features,
            expected,
            (row, feature) => answers.get(row['row_id']!)![files.features.indexOf(feature)],
          ),
        ).toEqual([]);
      } finally {
        await project.close();
      }
    });
  });
});
