/** Every allocation with real threads: two guests over one file that is larger than their windows. */
import { expect, test } from 'vitest';
import { runGuest } from './run-guest.ts';

const { createHost }: typeof import('../../src/index.ts') = await import(
  new URL('../../dist/index.js', import.meta.url).href
);

const CHUNKS = 9;
const STEPS = 800;

/** Each guest counts in a word of its own in every chunk, by stores and by writes, with a view pinned now and then. */
const CODE = `
  const { self, chunks, steps } = data;
  const file = guest.open('/file', 'r+');
  const map = file.mmap({ length: chunks * 2097152, writable: true });
  const mine = new Uint32Array(chunks);
  const word = new Uint32Array(1);
  const bytes = new Uint8Array(word.buffer);
  let random = self + 1;
  let view;
  for (let step = 0; step < steps; step++) {
    random = (Math.imul(random, 1664525) + 1013904223) >>> 0;
    const chunk = (random >>> 8) % chunks;
    const at = chunk * 2097152 + 4096 * (chunk % 512) + 64 * self;
    if (map.loadU32(at) !== mine[chunk]) throw new Error('chunk ' + chunk + ': ' + map.loadU32(at));
    mine[chunk]++;
    if (step % 2 === 0) map.storeU32(at, mine[chunk]);
    else { word[0] = mine[chunk]; file.write(bytes, 0, 4, at); }
    if (step % 50 === 0) { view?.release(); view = map.view(at, 64); }
  }
  view?.release();
  map.unmap();
  return { mine: Array.from(mine), allocation: guest.stats.allocation, faults: guest.stats.faults };`;

test.each(['client', 'server', 'combined'])('no store is lost, allocation by %s', async (allocation) => {
  const host = await createHost({ cacheSize: 32 << 20, windowSize: 6 << 20, guests: 3 });
  const maker = runGuest(host, `guest.writeFile('/file', ''); guest.truncate('/file', ${CHUNKS} * 2097152);`);
  await maker.result;
  const mount = `mount(attachment, { allocation: '${allocation}' })`;
  const runs = [0, 1].map((self) => runGuest(host, CODE, { self, chunks: CHUNKS, steps: STEPS }, { mount }));
  for (const run of runs) {
    const { mine, allocation: stats } = (await run.result) as { mine: number[]; allocation: Record<string, unknown> };
    expect(mine.reduce((sum, n) => sum + n, 0)).toBe(STEPS);
    expect(stats).toMatchObject({ by: allocation, fallbacks: 0 });
    if (allocation === 'server') expect(stats['givenBack']).toBeGreaterThan(50);
  }
  const report = await host.stop();
  expect(report?.maps.requests === 0).toBe(allocation === 'client');
  expect(report?.inodes).toBe(1);
});
