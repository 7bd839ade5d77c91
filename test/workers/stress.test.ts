/**
 * Real guests on real threads, windows and a pool that are far too small, and somebody who truncates and punches: every
 * page says whose it is, which version, and what its checksum is, so a page that is torn, old or foreign is noticed.
 *
 * STRESS_SECONDS=300 npx vitest run test/workers/stress.test.ts for long. Threads decide what meets what: no seed.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { CreateHostOptions } from '../../src/index.ts';
import { runGuest } from './run-guest.ts';

const { createHost }: typeof import('../../src/index.ts') = await import(
  new URL('../../dist/index.js', import.meta.url).href
);

const SECONDS = Number(process.env['STRESS_SECONDS'] ?? 4);
const GUESTS = 3;
/** Three chunks and a bit; a window shows two. */
const PAGES = 1600;
const COUNTERS = 4096;

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'virtiofs-stress-'));
  const pages = new Uint32Array(PAGES * 1024);
  for (let page = 0; page < PAGES; page++) seal(pages.subarray(page * 1024, page * 1024 + 1024), page, 0);
  writeFileSync(join(directory, 'pages'), pages);
  writeFileSync(join(directory, 'counters'), new Uint8Array(COUNTERS * 4));
  writeFileSync(join(directory, 'prey'), new Uint8Array(0));
});
afterEach(() => rmSync(directory, { recursive: true }));

/** A page: version (odd while it is written), page number, body, checksum of all but the version. */
function seal(words: Uint32Array, page: number, version: number): void {
  let sum = page;
  words[1] = page;
  for (let i = 2; i < 1023; i++) {
    const word = Math.imul(version + i, 0x9e3779b1) >>> 0;
    words[i] = word;
    sum = (Math.imul(sum, 31) + word) >>> 0;
  }
  words[1023] = sum;
  words[0] = version;
}

/** What is wrong with a page; undefined: nothing. */
function flawOf(words: Uint32Array, page: number): string | undefined {
  const version = words[0] as number;
  if (words[1] !== page) return `page ${page} is page ${words[1]}`;
  let sum = page;
  for (let i = 2; i < 1023; i++) {
    const word = words[i] as number;
    if (word !== Math.imul(version + i, 0x9e3779b1) >>> 0) return `page ${page}, version ${version}: torn at word ${i}`;
    sum = (Math.imul(sum, 31) + word) >>> 0;
  }
  return words[1023] === sum ? undefined : `page ${page}, version ${version}: wrong checksum`;
}

const PROLOGUE = `
  const { self, seconds, PAGES, COUNTERS, GUESTS } = data;
  const seal = ${seal};
  const flawOf = ${flawOf};
  const until = Date.now() + seconds * 1000;
  let random = self + 1;
  const next = (bound) => {
    random = (Math.imul(random, 1664525) + 1013904223) >>> 0;
    return (random >>> 8) % bound;
  };
  const fail = (why) => { throw new Error('guest ' + self + ': ' + why); };
  const busOrElse = (run) => { try { return run(); } catch (error) { if (error.code !== 'SIGBUS') throw error; } };
`;

/** Writes its own pages, reads everybody's, counts, and reads what the vandal leaves. */
const WORKER = `${PROLOGUE}
  const file = guest.open('/pages', 'r+');
  const map = file.mmap({ writable: true });
  const counters = guest.open('/counters', 'r+').mmap({ writable: true });
  const prey = guest.open('/prey', 'r+').mmap({ length: 6 << 20, writable: true });
  const words = new Uint32Array(1024);
  const bytes = new Uint8Array(words.buffer);
  const versions = new Uint32Array(PAGES);
  const added = new Uint32Array(COUNTERS);
  let steps = 0;
  const write = (page) => {
    const at = page * 4096;
    const version = versions[page] += 2;
    map.storeU32(at, version - 1);
    seal(words, page, version);
    const how = next(3);
    if (how === 0) map.write(at + 4, bytes.subarray(4));
    else if (how === 1) { if (file.write(bytes, 4, 4092, at + 4) !== 4092) fail('short write'); }
    else {
      const view = map.view(at + 4, 4092);
      let done = 4;
      for (const run of view.runs) { run.set(bytes.subarray(done, done + run.length)); done += run.length; }
      view.release();
    }
    map.storeU32(at, version);
  };
  const read = (page) => {
    const at = page * 4096;
    const before = map.loadU32(at);
    if (next(2) === 0) map.read(at, bytes);
    else if (file.read(bytes, 0, 4096, at) !== 4096) fail('short read');
    const after = map.loadU32(at);
    const isOwn = page % GUESTS === self;
    if (before < versions[page] || (isOwn && before !== versions[page])) {
      fail('page ' + page + ' went from version ' + versions[page] + ' to ' + before);
    }
    versions[page] = isOwn ? before : before & ~1;
    if (before !== after || before % 2 === 1) return;
    const flaw = flawOf(words, page);
    if (flaw !== undefined) fail(flaw);
  };
  for (; Date.now() < until; steps++) {
    const what = next(16);
    if (what < 5) write(next(Math.floor(PAGES / GUESTS)) * GUESTS + self);
    else if (what < 10) read(next(PAGES));
    else if (what < 14) {
      const counter = next(COUNTERS);
      counters.add32(counter * 4, 1);
      added[counter]++;
    } else if (what < 15) {
      const page = next(1536);
      const word = busOrElse(() => prey.loadU32(page * 4096 + 8)) ?? 0;
      if (word !== 0 && word !== 0xabc00000 + page) fail('page ' + page + ' of the prey has ' + word.toString(16));
    } else if (next(20) === 0) file.sync();
    else if (next(20) === 0) guest.dropCaches();
  }
  return { steps, added: Array.from(added), versions: Array.from(versions) };`;

/** Makes a file longer and shorter, and holes in it, and takes frames from everybody. */
const VANDAL = `${PROLOGUE}
  const file = guest.open('/prey', 'r+');
  const map = file.mmap({ length: 6 << 20, writable: true });
  let steps = 0;
  for (; Date.now() < until; steps++) {
    const page = next(1536);
    const what = next(8);
    if (what === 0) file.truncate(page * 4096);
    else if (what === 1) file.truncate((1536 - next(50)) * 4096);
    else if (what === 2) file.allocate(page * 4096, (1 + next(100)) * 4096, 3);
    else if (what === 3) { file.truncate(0); file.truncate(6 << 20); }
    else busOrElse(() => map.storeU32(page * 4096 + 8, 0xabc00000 + page));
    const word = busOrElse(() => map.loadU32(page * 4096 + 8)) ?? 0;
    if (word !== 0 && word !== 0xabc00000 + page) fail('page ' + page + ' of the prey has ' + word.toString(16));
  }
  return { steps };`;

interface Outcome {
  readonly steps: number;
  readonly added: readonly number[];
  readonly versions: readonly number[];
}

async function run(options: CreateHostOptions): Promise<void> {
  const host = await createHost({
    fs: `dir:${directory}`,
    windowSize: 4 << 20,
    guests: GUESTS + 1,
    writeBackMs: 20,
    attrTimeoutMs: 0,
    ...options,
  });
  const data = { seconds: SECONDS / 2, PAGES, COUNTERS, GUESTS };
  const workers = Array.from({ length: GUESTS }, (_, self) => runGuest(host, WORKER, { ...data, self }));
  const vandal = runGuest(host, VANDAL, { ...data, self: GUESTS });
  const outcomes = (await Promise.all(workers.map(({ result }) => result))) as Outcome[];
  expect(await vandal.result).toMatchObject({ steps: expect.any(Number) });
  const report = await host.stop();
  expect(report?.inodes).toBe(1);
  checkDisk(outcomes);
  const steps = outcomes.map((outcome) => outcome.steps);
  console.log(`${steps.join(' + ')} steps, ${report?.evictedPages} evictions, ${report?.graces} grace periods`);
}

/** What everybody did is there, and nothing else. */
function checkDisk(outcomes: readonly Outcome[]): void {
  const pages = new Uint32Array(Uint8Array.from(readFileSync(join(directory, 'pages'))).buffer);
  for (let page = 0; page < PAGES; page++) {
    const words = pages.subarray(page * 1024, page * 1024 + 1024);
    expect(flawOf(words, page)).toBeUndefined();
    expect(words[0], `version of page ${page}`).toBe(outcomes[page % GUESTS]?.versions[page]);
  }
  const counters = new Uint32Array(Uint8Array.from(readFileSync(join(directory, 'counters'))).buffer);
  for (let i = 0; i < COUNTERS; i++) {
    expect(counters[i], `counter ${i}`).toBe(outcomes.reduce((sum, outcome) => sum + (outcome.added[i] ?? 0), 0));
  }
}

test('a pool of 160 frames: no page is torn, old or foreign, and no count is lost', async () => {
  await run({ cacheSize: 160 * 4096 });
}, 3_600_000);

test('a pool that holds everything: the same without evictions', async () => {
  await run({ cacheSize: 32 << 20 });
}, 3_600_000);
