/** Real threads against a page cache that is far too small: every page is evicted and refilled while guests store. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { runGuest } from './run-guest.ts';

const { createHost }: typeof import('../../src/index.ts') = await import(
  new URL('../../dist/index.js', import.meta.url).href
);

const PAGES = 1024;
const GUESTS = 3;
const STEPS = 20_000;

test('no store is lost and no stale page is seen while all pages are evicted again and again', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'virtiofs-pressure-'));
  writeFileSync(join(directory, 'file'), Buffer.alloc(PAGES * 4096));
  const host = await createHost({
    fs: `dir:${directory}`,
    cacheSize: 96 * 4096,
    windowSize: 4 << 20,
    guests: GUESTS,
    writeBackMs: 5,
  });
  // Each guest owns one word of every page, counts in it, and remembers what it must be; a page's words live together.
  const code = `
    const { self, pages, steps } = data;
    const file = guest.open('/file', 'r+');
    const map = file.mmap({ length: pages * 4096, writable: true });
    const mine = new Uint32Array(pages);
    const others = new Map();
    let random = self + 1;
    for (let step = 0; step < steps; step++) {
      random = (Math.imul(random, 1664525) + 1013904223) >>> 0;
      const page = (random >>> 8) % pages;
      const at = page * 4096 + 64 * self;
      if (map.loadU32(at) !== mine[page]) throw new Error('page ' + page + ': ' + map.loadU32(at) + ' is not ' + mine[page]);
      map.storeU32(at, ++mine[page]);
      // What another guest counts never goes back.
      const other = page * 4096 + 64 * ((self + 1) % 3);
      const seen = map.loadU32(other);
      if (seen < (others.get(other) ?? 0)) throw new Error('page ' + page + ' went back to ' + seen);
      others.set(other, seen);
      if (step % 2000 === 0) file.sync();
    }
    return Array.from(mine);`;
  const guests = Array.from({ length: GUESTS }, (_, self) =>
    runGuest(host, code, { self, pages: PAGES, steps: STEPS }),
  );
  const counts = (await Promise.all(guests.map((guest) => guest.result))) as number[][];
  const report = await host.stop();
  const bytes = readFileSync(join(directory, 'file'));
  for (const [self, mine] of counts.entries()) {
    for (const [page, count] of mine.entries()) expect(bytes.readUInt32LE(page * 4096 + 64 * self)).toBe(count);
  }
  expect(report?.evictedPages).toBeGreaterThan(PAGES);
  expect(report?.graces).toBeGreaterThan(100);
  rmSync(directory, { recursive: true });
});
