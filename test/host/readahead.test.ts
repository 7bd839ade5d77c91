/** How many pages one fault brings: what is read ahead, what is shown around, what is reserved and not shown. */
import { expect, test } from 'vitest';
import { PAGE_SIZE, PAGES_PER_RANGE, RANGE_SIZE } from '../../assembly/layout.ts';
import { Prng } from '../../src/base/prng.ts';
import { Readahead } from '../../src/host/readahead.ts';
import { SegmentList } from '../../src/virtio/chain.ts';
import { ENOSPC } from '../../src/wire/errno.ts';
import { FileBacking, pattern, same } from '../fakes/file-backing.ts';
import { createMappedWorld, FileInode, type MappedWorld } from '../fakes/mapped.ts';

function backed(world: MappedWorld, data: Uint8Array) {
  const backing = new FileBacking(world.pageCache.bytes, data);
  return { inode: new FileInode(world.pageCache.createBackedSpace(backing, data.length)), backing };
}

/** Pages that each read of the backing brought. */
function reads(backing: FileBacking): number[] {
  const sizes = backing.calls.filter((call) => call.startsWith('read')).map((call) => Number(call.split(' ')[2]));
  return sizes.map((size) => size / PAGE_SIZE);
}

test('a scan doubles what it reads ahead up to a whole chunk, and keeps the pace in the next chunk', () => {
  const world = createMappedWorld({ frames: 8192, ranges: 4 });
  const { inode, backing } = backed(world, new Uint8Array(3 * RANGE_SIZE));
  world.mappers[0]!.setup(inode, 0, 3 * RANGE_SIZE, false, 0);
  for (let page = 0; page < 3 * PAGES_PER_RANGE; page++) {
    world.windows[0]!.load(Math.floor(page / PAGES_PER_RANGE), (page % PAGES_PER_RANGE) * PAGE_SIZE, 4);
  }
  // The first chunk ends before 256 pages more.
  expect(reads(backing)).toEqual([4, 8, 16, 32, 64, 128, 256, 4, 512, 512]);
});

test('random accesses read four pages each, after a scan too', () => {
  const world = createMappedWorld({ frames: 8192, ranges: 4 });
  const { inode, backing } = backed(world, new Uint8Array(4 * RANGE_SIZE));
  world.mappers[0]!.setup(inode, 0, 4 * RANGE_SIZE, false, 0);
  for (let page = 0; page < 60; page++) world.windows[0]!.load(0, page * PAGE_SIZE, 4);
  expect(reads(backing)).toEqual([4, 8, 16, 32]);
  for (const page of [500, 100, 400, 200, 300]) world.windows[0]!.load(0, page * PAGE_SIZE, 4);
  expect(reads(backing).slice(4)).toEqual([12, 8, 4, 4, 4]);
});

test('two streams in different chunks do not slow each other down', () => {
  const world = createMappedWorld({ frames: 8192, ranges: 4 });
  const { inode, backing } = backed(world, new Uint8Array(2 * RANGE_SIZE));
  world.mappers[0]!.setup(inode, 0, 2 * RANGE_SIZE, false, 0);
  for (let page = 0; page < PAGES_PER_RANGE; page++) {
    for (const range of [0, 1]) world.windows[0]!.load(range, page * PAGE_SIZE, 4);
  }
  expect(reads(backing).length).toBe(16);
});

test('never reads ahead more than an eighth of the pool, and evicts for it in one batch', () => {
  const world = createMappedWorld({ frames: 1024, ranges: 4 });
  const { inode, backing } = backed(world, new Uint8Array(4 * RANGE_SIZE));
  world.mappers[0]!.setup(inode, 0, 4 * RANGE_SIZE, false, 0);
  for (let page = 0; page < 4 * PAGES_PER_RANGE; page++) {
    world.windows[0]!.load(Math.floor(page / PAGES_PER_RANGE), (page % PAGES_PER_RANGE) * PAGE_SIZE, 4);
  }
  const sizes = reads(backing);
  expect(Math.max(...sizes)).toBe(128);
  // Once the pool is full a read is what one batch of victims gave, a sixteenth of the pool.
  expect(sizes.length).toBeLessThan(60);
  expect(world.pageCache.counts.evictedPages).toBeGreaterThan(900);
  world.check();
});

test('plan: never less than needed, never more than 512 or the limit', () => {
  const random = new Prng(3);
  const readahead = new Readahead();
  for (let step = 0; step < 2000; step++) {
    const page = random.below(3) === 0 ? random.below(512) : Math.max(0, readahead.end);
    const count = 1 + random.below(8);
    const limit = 1 + random.below(600);
    const planned = readahead.plan(page, count, limit);
    expect(planned).toBeGreaterThanOrEqual(count);
    expect(planned).toBeLessThanOrEqual(Math.max(count, 4, Math.min(limit, 512)));
    readahead.end = page + planned;
  }
});

test('reading a hole of a memory file shows its neighbours too, in fewer and fewer faults', () => {
  const world = createMappedWorld({ frames: 64 });
  const inode = new FileInode(world.pageCache.createSpace({ limitPages: 50, usedPages: 0 }));
  inode.space.resize(RANGE_SIZE);
  world.mappers[0]!.setup(inode, 0, RANGE_SIZE, true, 0);
  for (let page = 0; page < PAGES_PER_RANGE; page++) expect(world.windows[0]!.load(0, page * PAGE_SIZE, 4)).toBe(0);
  // An eighth of this small pool at a time.
  expect(world.pageCache.counts.faults).toBeLessThan(70);
  expect(inode.space.residentPages).toBe(0);
  world.check();
});

test('space that was allocated shows zeros, whatever its frames held before', () => {
  const world = createMappedWorld({ frames: 128 });
  const quota = { limitPages: 100, usedPages: 0 };
  const old = new FileInode(world.pageCache.createSpace(quota));
  const list = new SegmentList();
  list.push(world.room, 90 * PAGE_SIZE);
  world.pageCache.bytes.fill(0xee, world.room, world.room + 90 * PAGE_SIZE);
  expect(old.space.write(0, list)).toBe(90 * PAGE_SIZE);
  old.space.destroy();
  const inode = new FileInode(world.pageCache.createSpace(quota));
  expect(inode.space.allocate(0, 90 * PAGE_SIZE)).toBe(0);
  expect(inode.space.residentPages).toBe(90);
  inode.space.resize(90 * PAGE_SIZE);
  world.mappers[0]!.setup(inode, 0, RANGE_SIZE, true, 0);
  const got = new Uint8Array(PAGE_SIZE);
  for (let page = 0; page < 30; page++) {
    world.windows[0]!.read(0, page * PAGE_SIZE, got, 0, PAGE_SIZE);
    expect(same(got, new Uint8Array(PAGE_SIZE))).toBe(true);
  }
  expect(world.windows[0]!.store(0, 40 * PAGE_SIZE, 4, 1)).toBe(0);
  expect(world.windows[0]!.load(0, 40 * PAGE_SIZE + 4, 4)).toBe(0);
  expect(inode.space.read(50 * PAGE_SIZE, PAGE_SIZE, list)).toBe(PAGE_SIZE);
  const shown = world.pageCache.bytes.slice(world.room, world.room + PAGE_SIZE);
  expect(same(shown, new Uint8Array(PAGE_SIZE))).toBe(true);
  world.check();
});

test('allocating takes nothing when it cannot take all, leaf tables included', () => {
  const world = createMappedWorld({ frames: 64 });
  const quota = { limitPages: 1000, usedPages: 0 };
  const inode = new FileInode(world.pageCache.createSpace(quota));
  const free = world.pageCache.freeFrames;
  for (let pages = free + 1; pages > free - 3; pages--) {
    const got = inode.space.allocate(0, pages * PAGE_SIZE);
    expect(got).toBe(pages < free ? 0 : ENOSPC);
    expect(world.pageCache.freeFrames).toBe(pages < free ? free - pages - 1 : free);
    if (got === 0) break;
  }
  expect(inode.space.allocate(0, (free - 1) * PAGE_SIZE)).toBe(0);
  world.check();
});

test('allocating makes room by evicting pages of backed files', () => {
  const world = createMappedWorld({ frames: 256 });
  const { inode: other } = backed(world, pattern(250 * PAGE_SIZE));
  const list = new SegmentList();
  list.push(world.room, 250 * PAGE_SIZE);
  other.space.read(0, 250 * PAGE_SIZE, list);
  const inode = new FileInode(world.pageCache.createSpace({ limitPages: 1000, usedPages: 0 }));
  expect(inode.space.allocate(0, 200 * PAGE_SIZE)).toBe(0);
  expect(inode.space.residentPages).toBe(200);
  world.check();
});

test('a pinned page keeps its neighbours from nothing: the rest of its chunk is evicted', () => {
  const world = createMappedWorld({ frames: 64, guests: 2, ranges: 2 });
  const { inode } = backed(world, pattern(400 * PAGE_SIZE));
  for (const guest of [0, 1]) world.mappers[guest]!.setup(inode, 0, RANGE_SIZE, false, 0);
  const views: Uint8Array[] = [];
  expect(world.windows[0]!.pin(0, 0, PAGE_SIZE, false, views)).toBe(0);
  expect(world.windows[1]!.pin(0, 399 * PAGE_SIZE, PAGE_SIZE, false, views)).toBe(0);
  const got = new Uint8Array(PAGE_SIZE);
  for (let page = 0; page < 400; page++) expect(world.windows[0]!.read(0, page * PAGE_SIZE, got, 0, 1)).toBe(1);
  expect(same(views[0], pattern(400 * PAGE_SIZE).subarray(0, PAGE_SIZE))).toBe(true);
  world.check();
});

test('a page that the host writes as a whole never shows a guest what its frame held before', () => {
  const world = createMappedWorld({ frames: 64 });
  const quota = { limitPages: 50, usedPages: 0 };
  const list = new SegmentList();
  list.push(world.room, 40 * PAGE_SIZE);
  world.pageCache.bytes.fill(0xee, world.room, world.room + 40 * PAGE_SIZE);
  const old = new FileInode(world.pageCache.createSpace(quota));
  old.space.write(0, list);
  old.space.destroy();
  const inode = new FileInode(world.pageCache.createSpace(quota));
  inode.space.resize(40 * PAGE_SIZE);
  world.mappers[0]!.setup(inode, 0, RANGE_SIZE, false, 0);
  world.pageCache.bytes.fill(0x11, world.room, world.room + 40 * PAGE_SIZE);
  // A guest reads all that it can just before the host copies the bytes in: what is shown by then.
  const seen = new Set<number>();
  const { leafWrite } = world.wasm;
  const watched = {
    ...world.wasm,
    leafWrite: (leaf: number, offset: number, source: number, size: number, dirty: number) => {
      for (let page = 0; page < 40; page++) {
        if ((world.wasm.entryLoad(leaf + page * 4) & 1) !== 0) seen.add(world.windows[0]!.load(0, page * PAGE_SIZE, 1));
      }
      return leafWrite(leaf, offset, source, size, dirty);
    },
  };
  Object.assign(world.pageCache, { wasm: watched });
  expect(inode.space.write(0, list)).toBe(40 * PAGE_SIZE);
  expect(seen).toEqual(new Set([0, 0x11]));
});
