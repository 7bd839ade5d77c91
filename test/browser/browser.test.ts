/** The page of web/ in a real Chromium: with shared memory, without, and with a guest that dies in the middle. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { createInterface } from 'node:readline';
import { type Browser, chromium, type Page } from 'playwright-core';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import type { PageResult } from '../../web/report.ts';

const ROOT = new URL('../..', import.meta.url).pathname;
const NAMES = ['chromium', 'chromium-browser', 'google-chrome'];
/** Root has no sandbox; the rest keeps the browser off the network. */
const ARGUMENTS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

const executable = findChromium();
const isRequired = (process.env['VIRTIOFS_REQUIRE'] ?? '').split(',').includes('chromium');
const isSkipped = executable === undefined && !isRequired;
const unless = isSkipped ? ' [skipped: no Chromium (apt-get install chromium, or name one in CHROMIUM)]' : '';
let browser: Browser | undefined;

beforeAll(async () => {
  if (isSkipped) return;
  if (executable === undefined) throw new Error('VIRTIOFS_REQUIRE asks for chromium, but there is none: install it');
  if (!existsSync(`${ROOT}dist/web/index.html`)) throw new Error('dist/web is missing: run "npm run build" first');
  browser = await chromium.launch({ executablePath: executable, args: ARGUMENTS });
});

afterAll(async () => browser?.close());

test.skipIf(isSkipped)(
  `four guest workers on an isolated page share one tree and lose nothing${unless}`,
  async () => {
    const { result, complaints } = await run({ path: '', isolation: true });
    expect(complaints).toEqual([]);
    expect(result).toMatchObject({ mode: 'workers', crossOriginIsolated: true });
    expect(result.isolationError).toBeUndefined();
    expectNothingLost(result);
    expect(result.guests.map((guest) => guest.created)).toEqual([200, 200, 200, 200]);
    expect(result.guests.reduce((sum, guest) => sum + guest.locksWon, 0)).toBe(200);
    expectWindowsUsed(result);
    expect(result.terminated).toBeUndefined();
  },
  60_000,
);

test.skipIf(isSkipped)(
  `a page that is not isolated names both headers and runs inline${unless}`,
  async () => {
    const { result, complaints, page } = await run({ path: '', isolation: false });
    expect(complaints).toEqual([]);
    expect(result).toMatchObject({ mode: 'inline', crossOriginIsolated: false });
    const notice = await page.getByRole('alert').textContent();
    expect(notice).toContain('Cross-Origin-Opener-Policy: same-origin');
    expect(notice).toContain('Cross-Origin-Embedder-Policy: require-corp');
    expect(result.isolationError).toContain('Cross-Origin-Opener-Policy: same-origin');
    expect(await page.locator('#mode').textContent()).toContain('inline');
    expectNothingLost(result);
    expectWindowsUsed(result);
  },
  60_000,
);

test.skipIf(isSkipped)(
  `a guest whose worker is terminated in the middle leaves the others alone${unless}`,
  async () => {
    const { result, complaints } = await run({ path: '?terminate', isolation: true });
    expect(complaints).toEqual([]);
    expect(result.terminated?.steps).toBeGreaterThan(0);
    expect(result.terminated?.othersAt).toBeLessThan(result.terminated?.othersTotal ?? 0);
    expectNothingLost(result);
    expect(result.guests.map((guest) => guest.created)).toEqual([200, 200, 200, 200]);
  },
  60_000,
);

interface Run {
  readonly page: Page;
  readonly result: PageResult;
  /** What the page, its workers or the network had to complain about. */
  readonly complaints: readonly string[];
}

/** Serves the page, opens it, waits for its result; the page and the server are closed when the test ends. */
async function run(options: { path: string; isolation: boolean }): Promise<Run> {
  const url = await serve(options.isolation);
  const page = await (browser as Browser).newPage();
  onTestFinished(() => page.close());
  const complaints: string[] = [];
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(error.message));
  page.on('requestfailed', (request) => complaints.push(`${request.url()} ${request.failure()?.errorText}`));
  await page.goto(url + options.path);
  // Functions, not text: the page's content security policy forbids eval.
  const isOver = () => 'virtiofsResult' in globalThis || 'virtiofsError' in globalThis;
  await page.waitForFunction(isOver, undefined, { timeout: 45_000 });
  const { result, error } = await page.evaluate(outcome);
  expect(error).toBeUndefined();
  if (result === undefined) throw new Error('the page has no result');
  return { page, result, complaints };
}

/** Runs in the page. */
function outcome(): { result: PageResult | undefined; error: string | undefined } {
  const page = globalThis as { virtiofsResult?: PageResult; virtiofsError?: string };
  return { result: page.virtiofsResult, error: page.virtiofsError };
}

/** Starts web/serve.mjs and returns the URL it prints. */
async function serve(isolation: boolean): Promise<string> {
  const options = isolation ? [] : ['--no-isolation'];
  const server: ChildProcess = spawn(process.execPath, [`${ROOT}web/serve.mjs`, ...options], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  onTestFinished(() => void server.kill());
  if (server.stdout === null) throw new Error('the server has no output');
  for await (const line of createInterface({ input: server.stdout })) return line;
  throw new Error('the server ended without a URL');
}

function expectNothingLost({ write, read, host }: PageResult): void {
  expect(write.wrong).toEqual([]);
  expect([...read.dax.wrong, ...read.noDax.wrong]).toEqual([]);
  expect(write.mismatches + read.mismatches).toBe(0);
  expect(write.counter).toEqual({ expected: 800, actual: 800 });
  expect(read.dax.bytes).toBe(4 * read.dataBytes);
  expect(read.noDax.bytes).toBe(4 * read.dataBytes);
  // All guests have gone: what is left is the root.
  expect(host?.inodes).toBe(1);
}

/** Data went through the windows: mapped, upgraded, taken for other files, removed, and never sent in a READ. */
function expectWindowsUsed({ write, read, guests }: PageResult): void {
  for (const guest of guests) expect(guest.mappingsSetUp).toBeGreaterThan(0);
  expect(write.mappings.upgraded).toBeGreaterThanOrEqual(4);
  expect(read.dax.mappings.setUp).toBeGreaterThan(0);
  expect(read.dax.mappings.reclaimed).toBeGreaterThan(0);
  expect(read.dax.mappings.removed).toBeGreaterThan(0);
  expect(read.dax.requests['READ']).toBeUndefined();
  expect(read.dax.bytesCopiedPerByteRead).toBe(1);
  expect(read.noDax.requests['READ']).toBeGreaterThan(0);
  expect(read.noDax.bytesCopiedPerByteRead).toBe(2);
}

function findChromium(): string | undefined {
  const named = process.env['CHROMIUM'];
  if (named !== undefined && named !== '') return named;
  const folders = ['/usr/bin', ...(process.env['PATH'] ?? '').split(delimiter)];
  return folders.flatMap((folder) => NAMES.map((name) => join(folder, name))).find((path) => existsSync(path));
}
