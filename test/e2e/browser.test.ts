/** The report and the server's pages in a real browser. */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { type Browser, chromium, type Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RunningServer } from '../../src/http/server.js';
import type { OpenedProject } from '../../src/open.js';
import { materialize } from '../../src/services/materialize.js';
import { promoteModel } from '../../src/services/promote.js';
import { writeReport } from '../../src/services/report.js';
import { trainModel } from '../../src/services/train.js';
import { ingestFiles, makeFolder, open, removeFolder, start } from '../http/support.js';

const executable = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find((file) =>
  existsSync(file),
);

describe.runIf(executable !== undefined)('in a browser', () => {
  let folder: string;
  let project: OpenedProject;
  let server: RunningServer;
  let browser: Browser;

  beforeAll(async () => {
    folder = makeFolder();
    project = await open(folder);
    await ingestFiles(project);
    await materialize(project);
    await trainModel(project, 'back');
    await promoteModel(project, 'back');
    await writeReport(project, path.join(folder, 'report.html'));
    server = await start(project);
    browser = await chromium.launch({
      executablePath: executable!,
      args: [
        '--no-sandbox',
        '--disable-gpu',
        '--disable-quic',
        '--disable-background-networking',
        '--disable-component-update',
        '--disable-sync',
      ],
    });
  });
  afterAll(async () => {
    await browser?.close();
    await server?.close();
    await project?.close();
    removeFolder(folder);
  });

  /** A page that remembers what went wrong and what it asked of other hosts. */
  async function visit(url: string): Promise<{ page: Page; faults: string[]; outside: string[] }> {
    const page = await browser.newPage({ viewport: { width: 1200, height: 900 } });
    const faults: string[] = [];
    const outside: string[] = [];
    page.on('console', (message) => {
      if (message.type() === 'error') faults.push(message.text());
    });
    page.on('pageerror', (error) => faults.push(error.message));
    page.on('request', (request) => {
      const { protocol, hostname } = new URL(request.url());
      if (!['file:', 'data:'].includes(protocol) && hostname !== '127.0.0.1') outside.push(request.url());
    });
    await page.goto(url);
    return { page, faults, outside };
  }

  it('shows the report with its plots, without scripts from anywhere and within the width of a phone', async () => {
    const { page, faults, outside } = await visit(pathToFileURL(path.join(folder, 'report.html')).href);
    expect(await page.locator('h1').innerText()).toBe('shop');
    expect(await page.locator('svg').count()).toBeGreaterThan(5);
    for (const name of ['Summary', 'Pipeline', 'Sources', 'Features', 'Model'])
      expect(await page.locator('h2', { hasText: name }).first().isVisible(), name).toBe(true);
    const drawn = await page.locator('svg').first().boundingBox();
    expect(drawn!.width).toBeGreaterThan(100);
    await page.setViewportSize({ width: 400, height: 800 });
    const overflow = await page.evaluate(
      'document.documentElement.scrollWidth - document.documentElement.clientWidth',
    );
    expect(overflow).toBeLessThanOrEqual(0);
    expect({ faults, outside }).toEqual({ faults: [], outside: [] });
    await page.close();
  });

  it('shows the contract of the server and answers from its form', async () => {
    const { page, faults, outside } = await visit(`${server.url}/docs`);
    const route = page
      .locator('details, section, article')
      .filter({ hasText: '/v1/features/shopper' })
      .last();
    await route.locator('summary').first().click();
    const send = route.getByRole('button').first();
    await send.click();
    await page.waitForFunction("document.body.innerText.includes('as_of')");
    expect({ faults, outside }).toEqual({ faults: [], outside: [] });
    await page.close();
  });
});
