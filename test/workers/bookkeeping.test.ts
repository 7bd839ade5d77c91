/** What a GiB of mapped files costs besides its bytes: tables by arithmetic, objects as the heap tells. */
import { expect, test } from 'vitest';
import { LEAF_SIZE, RANGE_SIZE } from '../../assembly/layout.ts';
import { WindowMapper } from '../../src/host/mapper.ts';
import { planMemory } from '../../src/worker/memory-map.ts';
import { FileInode } from '../fakes/mapped.ts';
import { createTestPages } from '../fakes/pages.ts';

const GIB = 2 ** 30;
/** What a page table of a kernel and its page structs cost: 64 bytes per page of 4096. */
const BUDGET = 0.016;

function tables(guests: number): number {
  const options = { cacheSize: GIB, guests, windowSize: GIB, queueSize: 128, requestQueues: 1, dataSize: 262144 };
  const map = planMemory(options);
  const slot = map.slots[0];
  if (slot === undefined) throw new Error('no slot');
  const leaves = (GIB / RANGE_SIZE) * LEAF_SIZE;
  return map.framesAt - map.poolAt + leaves + guests * (slot.requestAt - slot.tableAt);
}

/** Bytes of heap for 512 chunks of one file, each mapped by one guest. */
function objects(): number {
  const pages = createTestPages({ frames: 2048, roomSize: 65536, guests: 1, ranges: 512 });
  const inode = new FileInode(pages.pageCache.createSpace({ limitPages: 1000, usedPages: 0 }));
  inode.space.resize(GIB);
  const [slot] = pages.slots;
  if (slot === undefined) throw new Error('no slot');
  const mapper = new WindowMapper(slot, pages.pageCache, { hold: () => {}, release: () => {} });
  const before = process.memoryUsage().heapUsed;
  expect(mapper.setup(inode, 0, GIB, true, 0)).toBe(0);
  const used = process.memoryUsage().heapUsed - before;
  expect(pages.pageCache.leafCount).toBe(GIB / RANGE_SIZE);
  return used;
}

test('frame table, bitmap, leaf tables, window and pins of a GiB that one guest maps are 0.3 % of it', () => {
  // Four bytes per page three times: who owns the frame, where the page is, who pins it.
  expect(tables(1) / GIB).toBeCloseTo(0.003, 3);
});

test('a GiB that one guest maps costs at most 1.6 % of it, with the objects of the host', () => {
  // A collection in the middle can only make it smaller by what others had: take the largest of some.
  const heap = Math.max(objects(), objects(), objects());
  expect(heap).toBeGreaterThan(0);
  expect((tables(1) + heap) / GIB).toBeLessThan(BUDGET);
});

test('and so it does when eight guests map all of it', () => {
  expect((tables(8) + 8 * Math.max(objects(), objects())) / GIB).toBeLessThan(BUDGET);
});
