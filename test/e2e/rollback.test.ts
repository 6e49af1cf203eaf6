/** A champion comes back with the features that it was trained on, though their definitions have changed since. */
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { expect, it } from 'vitest';
import { definitions, modelsWorld } from './models-world.js';
import { millrace, start, withFolder } from './support.js';

// biome-ignore lint/suspicious/noExplicitAny: answers of many shapes
type Json = any;

const GUESTS = Array.from({ length: 24 }, (_, i) => i);

it(
  'rollback restores the model with its features: the predictions are the old ones to the bit, while others serve the new ones',
  () =>
    withFolder(async (folder) => {
      const ok = async (...args: string[]): Promise<Json> => {
        const done = await millrace([...args, '--json', '--quiet'], { cwd: folder });
        expect(done.status, `${args.join(' ')}\n${done.stderr}`).toBe(0);
        return done.json;
      };
      await modelsWorld(folder);
      const observations = path.join(folder, 'now.csv');
      await writeFile(
        observations,
        `guest_id,t\n${GUESTS.map((guest) => `${guest},2024-02-29T12:00:00Z`).join('\n')}\n`,
      );
      const scores = async (name: string): Promise<string> => {
        const out = path.join(folder, `${name}.csv`);
        await ok('score', 'back', '--observations', observations, '--time', 't', '--out', out, '--no-log');
        // The predictions alone: ids name the version.
        const [head, ...rows] = (await readFile(out, 'utf8')).trim().split('\n');
        const at = head!.split(',').indexOf('probability');
        return rows.map((row) => row.split(',')[at]).join('\n');
      };
      const served = async <T>(work: (url: string) => Promise<T>): Promise<T> => {
        const server = start(['serve', '--port', '0'], { cwd: folder });
        const [, url] = await server.shows(/(http:\/\/[\d.:]+)/);
        try {
          await expect
            .poll(async () => (await fetch(`${url}/readyz`).catch(() => null))?.status, { timeout: 30_000 })
            .toBe(200);
          return await work(url!);
        } finally {
          server.child.kill('SIGTERM');
          await server.finished;
        }
      };
      const predict = async (url: string): Promise<Json> => {
        const response = await fetch(`${url}/v1/services/back/predict`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify({
            entities: GUESTS.map((guest_id) => ({ guest_id })),
            at: '2024-02-29T12:00:00Z',
          }),
        });
        expect(response.status).toBe(200);
        return response.json();
      };
      const features = async (url: string): Promise<Json> => {
        const response = await fetch(`${url}/v1/features/visits`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify({
            entities: GUESTS.map((guest_id) => ({ guest_id })),
            at: '2024-02-29T12:00:00Z',
          }),
        });
        expect(response.status).toBe(200);
        return response.json();
      };

      await ok('run', '--yes');
      const [before, online] = [await scores('before'), await served(predict)];
      expect(online.model).toBe('back@1');

      // Another window: another feature of the same name, another model.
      await writeFile(path.join(folder, 'definitions/guests.yaml'), definitions({ window: '2d' }));
      await ok('run', '--yes');
      const [changed, newer] = [await scores('changed'), await served(predict)];
      expect(newer.model).toBe('back@2');
      expect(changed).not.toBe(before);

      const rolled = await ok('rollback', 'back', '--reason', 'the short window is worse');
      expect(rolled).toMatchObject({ version: 1, previous: 2, features: 'kept' });
      expect(await scores('again')).toBe(before);
      const live = await served(async (url) => {
        const answer = await predict(url);
        expect(answer.model).toBe('back@1');
        // Features that are asked for by name are those of the project.
        const now = await features(url);
        // A champion named while the server runs takes over with what it needs, in both directions.
        await ok('promote', 'back', '--version', '2');
        await expect.poll(async () => (await predict(url)).model, { timeout: 20_000 }).toBe('back@2');
        expect((await predict(url)).predictions).toEqual(newer.predictions);
        await ok('rollback', 'back', '--to', '1');
        await expect.poll(async () => (await predict(url)).model, { timeout: 20_000 }).toBe('back@1');
        expect((await predict(url)).predictions).toEqual(online.predictions);
        expect(await features(url)).toMatchObject({ rows: now.rows });
        return answer;
      });
      expect(live.predictions).toEqual(online.predictions);

      // What was logged under either version is found again by its own definitions.
      const replayed = await ok('replay', 'back');
      expect(replayed.different).toBe(0);
      expect(replayed.predictions).toBeGreaterThan(100);

      // Nothing is due: the rolled back champion stays.
      expect((await millrace(['run', '--yes', '--quiet'], { cwd: folder })).status).toBe(99);
      expect(
        (await ok('models', 'list', 'back')).models.map((each: Json) => [each.version, each.stage]),
      ).toEqual([
        [1, 'production'],
        [2, 'retired'],
      ]);

      // A server started with the project as it is serves it from nothing.
      await ok('materialize', '--rebuild');
      expect((await served(predict)).predictions).toEqual(online.predictions);
    }),
  300_000,
);
