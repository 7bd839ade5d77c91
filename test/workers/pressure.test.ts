/** Real threads against a page cache that is far too small: every page is evicted and refilled while guests store. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { HostReport } from '../../src/index.ts';
import { runGuest } from './run-guest.ts';

const { createHost }: typeof import('../../src/index.ts') = await import(
  new URL('../../dist/index.js', import.meta.url).href
);

const PAGES = 1024;
const GUESTS = 3;

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'virtiofs-pressure-'));
  writeFileSync(join(directory, 'file'), Buffer.alloc(PAGES * 4096));
});
afterEach(() => rmSync(directory, { recursive: true }));

interface Outcome {
  readonly counts: number[][];
  readonly bytes: Buffer;
  readonly report: HostReport | undefined;
}

/** Runs the code in all guests at once, on a host that keeps few frames and writes back all the time. */
async function run(code: string, frames = 96): Promise<Outcome> {
  const host = await createHost({
    fs: `dir:${directory}`,
    cacheSize: frames * 4096,
    windowSize: 4 << 20,
    guests: GUESTS,
    writeBackMs: 5,
  });
  const guests = Array.from({ length: GUESTS }, (_, self) => runGuest(host, PROLOGUE + code, { self, pages: PAGES }));
  const counts = (await Promise.all(guests.map((guest) => guest.result))) as number[][];
  const report = await host.stop();
  expect(report?.evictedPages).toBeGreaterThan(PAGES);
  expect(report?.graces).toBeGreaterThan(100);
  return { counts, bytes: readFileSync(join(directory, 'file')), report };
}

const PROLOGUE = `
  const { self, pages } = data;
  const file = guest.open('/file', 'r+');
  const map = file.mmap({ length: pages * 4096, writable: true });
  const mine = new Uint32Array(pages);
  let random = self + 1;
  const next = (bound) => {
    random = (Math.imul(random, 1664525) + 1013904223) >>> 0;
    return (random >>> 8) % bound;
  };
  const check = (page, got, wanted) => {
    if (got !== wanted) throw new Error('page ' + page + ': ' + got + ' instead of ' + wanted);
  };`;

test('words: no store is lost and no page goes back while all are evicted again and again', async () => {
  // Each guest owns one word of every page and counts in it.
  const { counts, bytes } = await run(`
    const others = new Map();
    for (let step = 0; step < 20000; step++) {
      const page = next(pages);
      const at = page * 4096 + 64 * self;
      check(page, map.loadU32(at), mine[page]);
      map.storeU32(at, ++mine[page]);
      // What another guest counts never goes back.
      const other = page * 4096 + 64 * ((self + 1) % 3);
      const seen = map.loadU32(other);
      if (seen < (others.get(other) ?? 0)) throw new Error('page ' + page + ' went back to ' + seen);
      others.set(other, seen);
      if (step % 2000 === 0) file.sync();
    }
    return Array.from(mine);`);
  for (const [self, mine] of counts.entries()) {
    for (const [page, count] of mine.entries()) expect(bytes.readUInt32LE(page * 4096 + 64 * self)).toBe(count);
  }
});

test('whole pages: a store in flight never lands in a frame that was given to another page', async () => {
  // Each guest owns every third page and fills it with one number; copies are long, so evictions meet them.
  const { counts, bytes } = await run(`
    const words = new Uint32Array(1024);
    const page4k = new Uint8Array(words.buffer);
    for (let step = 0; step < 6000; step++) {
      const page = next(Math.floor(pages / 3)) * 3 + self;
      map.read(page * 4096, page4k);
      const wanted = mine[page] === 0 ? 0 : page * 65536 + mine[page];
      for (let i = 0; i < 1024; i++) if (words[i] !== wanted) check(page, words[i], wanted);
      words.fill(page * 65536 + ++mine[page]);
      map.write(page * 4096, page4k);
    }
    return Array.from(mine);`);
  for (const [self, mine] of counts.entries()) {
    for (const [page, count] of mine.entries()) {
      if (page % GUESTS !== self || count === 0) continue;
      for (let i = 0; i < 4096; i += 4) {
        const got = bytes.readUInt32LE(page * 4096 + i);
        if (got !== page * 65536 + count) expect({ page, i, got }).toEqual({ page, i, got: page * 65536 + count });
      }
    }
  }
});

test('pages with checksums, stored through views, copies and words, are whole in a pool of 64 frames', async () => {
  // The first word of a page is a checksum of the other 1023; each guest owns every third page.
  const { counts, bytes } = await run(
    `
    const sum = (words) => {
      let hash = 17;
      for (let i = 1; i < 1024; i++) hash = (Math.imul(hash, 31) + words[i]) >>> 0;
      return hash;
    };
    const words = new Uint32Array(1024);
    const bytes = new Uint8Array(words.buffer);
    const seed = (page) => mine[page] * 1000003 + page;
    const compose = (page) => {
      for (let i = 1; i < 1024; i++) words[i] = Math.imul(seed(page) + i, 0x9e3779b1);
      words[0] = sum(words);
    };
    for (let step = 0; step < 3000; step++) {
      const page = next(Math.floor(pages / 3)) * 3 + self;
      const at = page * 4096;
      map.read(at, bytes);
      if (mine[page] > 0) {
        check(page, words[0], sum(words));
        check(page, words[1], Math.imul(seed(page) + 1, 0x9e3779b1) >>> 0);
      }
      mine[page]++;
      compose(page);
      const how = next(3);
      if (how === 0) map.write(at, bytes);
      else if (how === 1) {
        const view = map.view(at, 4096);
        view.runs[0].set(bytes);
        view.release();
      } else for (let i = 0; i < 1024; i++) map.storeU32(at + 4 * i, words[i]);
      if (step % 500 === 0) map.sync();
    }
    return Array.from(mine);`,
    64,
  );
  for (const [self, mine] of counts.entries()) {
    for (const [page, count] of mine.entries()) {
      if (page % GUESTS !== self || count === 0) continue;
      let hash = 17;
      for (let i = 1; i < 1024; i++) hash = (Math.imul(hash, 31) + bytes.readUInt32LE(page * 4096 + i * 4)) >>> 0;
      expect({ page, hash: bytes.readUInt32LE(page * 4096) }).toEqual({ page, hash });
      const first = Math.imul(count * 1000003 + page + 1, 0x9e3779b1) >>> 0;
      expect({ page, first: bytes.readUInt32LE(page * 4096 + 4) }).toEqual({ page, first });
    }
  }
});
