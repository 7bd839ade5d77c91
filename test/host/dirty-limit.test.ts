/** How many pages may be dirty at once, and what that saves when memory gets short. */
import { expect, test } from 'vitest';
import { PAGE_SIZE, PAGES_PER_RANGE, RANGE_SIZE } from '../../assembly/layout.ts';
import { EIO } from '../../src/wire/errno.ts';
import { FileBacking } from '../fakes/file-backing.ts';
import { createMappedWorld, FileInode } from '../fakes/mapped.ts';

const FRAMES = 384;
const PAGES = 2 * PAGES_PER_RANGE;

function build() {
  const world = createMappedWorld({ frames: FRAMES, ranges: 2 });
  const backing = new FileBacking(world.pageCache.bytes, new Uint8Array(PAGES * PAGE_SIZE));
  const inode = new FileInode(world.pageCache.createBackedSpace(backing, PAGES * PAGE_SIZE));
  world.mappers[0]!.setup(inode, 0, 2 * RANGE_SIZE, true, 0);
  const store = (page: number, value: number) =>
    world.windows[0]!.store(Math.floor(page / PAGES_PER_RANGE), (page % PAGES_PER_RANGE) * PAGE_SIZE, 4, value);
  const writes = () => backing.calls.filter((call) => call.startsWith('write'));
  return { world, backing, inode, store, writes };
}

test('a guest that stores into everything never has much more than a third of the pool dirty', () => {
  const { world, backing, inode, store, writes } = build();
  let most = 0;
  for (let page = 0; page < PAGES; page++) {
    expect(store(page, page + 1)).toBe(0);
    most = Math.max(most, world.pageCache.countDirty());
  }
  // A third, a twelfth that is filled between two looks, and what was resident and clean at the last of them.
  expect(most).toBeLessThan(FRAMES / 2 + FRAMES / 8);
  expect(world.pageCache.counts.dirtyLimits).toBeGreaterThan(3);
  // Written by runs, not page by page as they are evicted.
  expect(writes().length).toBeLessThan(PAGES / 8);
  expect(inode.space.flush()).toBe(0);
  const view = new DataView(backing.data.buffer);
  for (let page = 0; page < PAGES; page++) expect(view.getUint32(page * PAGE_SIZE, true)).toBe(page + 1);
  world.check();
});

test('a guest that only reads, or stores little, is never held up', () => {
  const { world, store, writes } = build();
  for (let page = 0; page < PAGES; page++) {
    if (page % 16 === 0) store(page, 1);
    else world.windows[0]!.load(Math.floor(page / PAGES_PER_RANGE), (page % PAGES_PER_RANGE) * PAGE_SIZE, 4);
  }
  expect(world.pageCache.counts.dirtyLimits).toBe(0);
  // Evicted dirty pages only.
  expect(writes().length).toBeLessThanOrEqual(PAGES / 16);
});

test('a backing that fails loses nothing: the pages stay dirty, the next flush says why', () => {
  const { world, backing, inode, store } = build();
  backing.failWrites = EIO;
  let stored = 0;
  while (stored < PAGES && store(stored, stored + 1) === 0) stored++;
  // All frames are dirty and none can be written: the next page has no room.
  expect(stored).toBeLessThan(FRAMES);
  expect(stored).toBeGreaterThan(FRAMES / 2);
  expect(inode.space.flush()).toBe(EIO);
  backing.failWrites = 0;
  expect(inode.space.flush()).toBe(0);
  const view = new DataView(backing.data.buffer);
  for (let page = 0; page < stored; page++) expect(view.getUint32(page * PAGE_SIZE, true)).toBe(page + 1);
  world.check();
});
