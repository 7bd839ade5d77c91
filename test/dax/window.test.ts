import { beforeEach, describe, expect, test } from 'vitest';
import { PAGE_SIZE, RANGE_SIZE } from '../../assembly/layout.ts';
import { EACCES, EFAULT, ENOSPC, ENXIO } from '../../src/wire/errno.ts';
import { FileBacking, pattern, same } from '../fakes/file-backing.ts';
import { createMappedWorld, FileInode, type MappedWorld } from '../fakes/mapped.ts';

let world: MappedWorld;
beforeEach(() => {
  world = createMappedWorld({ frames: 2048, guests: 2, ranges: 4 });
});

/** A backed file with recognisable bytes. */
function file(size: number, number = 1): { inode: FileInode; backing: FileBacking; data: Uint8Array } {
  const data = pattern(size, number);
  const backing = new FileBacking(world.pageCache.bytes, data.slice());
  return { inode: new FileInode(world.pageCache.createBackedSpace(backing, size)), backing, data };
}

function memoryFile(limitPages = 1024): FileInode {
  return new FileInode(world.pageCache.createSpace({ limitPages, usedPages: 0 }));
}

function bytesOf(guest: number, range: number, offset: number, size: number): Uint8Array | number {
  const into = new Uint8Array(size);
  const got = world.windows[guest]!.read(range, offset, into, 0, size);
  return got === size ? into : got;
}

describe('reading through the window', () => {
  test('gives the bytes of the file, whatever page they start in', () => {
    const { inode, data } = file(300_000);
    world.mappers[0]!.setup(inode, 0, RANGE_SIZE, false, 0);
    for (const [offset, size] of [
      [0, 1],
      [4095, 2],
      [5000, 100_000],
      [299_999, 1],
    ] as const) {
      expect(same(bytesOf(0, 0, offset, size), data.slice(offset, offset + size))).toBe(true);
    }
    world.check();
  });

  test('maps the chunk that was asked for, at the range that was named', () => {
    const { inode, data } = file(RANGE_SIZE + 9000);
    world.mappers[0]!.setup(inode, RANGE_SIZE, RANGE_SIZE, false, 3 * RANGE_SIZE);
    expect(same(bytesOf(0, 3, 100, 8000), data.slice(RANGE_SIZE + 100, RANGE_SIZE + 8100))).toBe(true);
    expect(bytesOf(0, 2, 0, 10)).toBe(-ENXIO);
  });

  test('costs one fault for a run of pages and none for resident ones', () => {
    const { inode } = file(1 << 20);
    world.mappers[0]!.setup(inode, 0, RANGE_SIZE, false, 0);
    world.mappers[1]!.setup(inode, 0, RANGE_SIZE, false, 0);
    bytesOf(0, 0, 0, 1 << 20);
    expect(world.windows[0]!.faults).toBe(1);
    bytesOf(1, 0, 0, 1 << 20);
    expect(world.windows[1]!.faults).toBe(0);
  });

  test('gives short counts and then EFAULT where the file ends inside the range', () => {
    const { inode, data } = file(5000);
    world.mappers[0]!.setup(inode, 0, RANGE_SIZE, false, 0);
    const into = new Uint8Array(20_000);
    expect(world.windows[0]!.read(0, 0, into, 0, 20_000)).toBe(2 * PAGE_SIZE);
    expect(into.slice(0, 5000)).toEqual(data);
    expect(into.slice(5000, 8192).every((byte) => byte === 0)).toBe(true);
    expect(bytesOf(0, 0, 8192, 1)).toBe(-EFAULT);
  });

  test('copies into shared memory itself without a JavaScript buffer', () => {
    const { inode, data } = file(50_000);
    world.mappers[0]!.setup(inode, 0, RANGE_SIZE, false, 0);
    expect(world.windows[0]!.readTo(0, 1234, world.room, 40_000)).toBe(40_000);
    expect(same(world.pageCache.bytes.slice(world.room, world.room + 40_000), data.slice(1234, 41_234))).toBe(true);
  });
});

describe('storing through the window', () => {
  test('is seen by another guest at once, and by the host', () => {
    const inode = memoryFile();
    inode.space.resize(100_000);
    for (const mapper of world.mappers) mapper.setup(inode, 0, RANGE_SIZE, true, 0);
    world.windows[0]!.write(0, 4000, pattern(10_000), 0, 10_000);
    expect(same(bytesOf(1, 0, 4000, 10_000), pattern(10_000))).toBe(true);
    world.windows[1]!.store(0, 8, 4, 0xcafebabe);
    expect(world.windows[0]!.load(0, 8, 4)).toBe(0xcafebabe);
    expect(inode.space.residentPages).toBe(4);
    world.check();
  });

  test('needs a writable mapping; the upgrade keeps the range and its pages', () => {
    const { inode, data } = file(9000);
    world.mappers[0]!.setup(inode, 0, RANGE_SIZE, false, 0);
    expect(world.windows[0]!.write(0, 0, pattern(4), 0, 4)).toBe(-EACCES);
    expect(same(bytesOf(0, 0, 0, 9000), data)).toBe(true);
    world.mappers[0]!.setup(inode, 0, RANGE_SIZE, true, 0);
    const faults = world.windows[0]!.faults;
    expect(world.windows[0]!.write(0, 0, pattern(4, 2), 0, 4)).toBe(4);
    expect(world.windows[0]!.faults).toBe(faults);
    expect(world.held.get(inode)).toBe(1);
  });

  test('reaches the backing at flush, clipped to the size, once', () => {
    const { inode, backing } = file(9000);
    world.mappers[0]!.setup(inode, 0, RANGE_SIZE, true, 0);
    world.windows[0]!.write(0, 8190, pattern(900, 2), 0, 900);
    expect(inode.space.flush()).toBe(0);
    expect(backing.data.length).toBe(9000);
    expect(backing.data.slice(8190)).toEqual(pattern(900, 2).slice(0, 810));
    backing.calls.length = 0;
    inode.space.flush();
    expect(backing.calls).toEqual([]);
  });

  test('reaches the backing when the mapping is removed', () => {
    const { inode, backing } = file(9000);
    world.mappers[0]!.setup(inode, 0, RANGE_SIZE, true, 0);
    world.windows[0]!.store(0, 100, 4, 77);
    world.mappers[0]!.remove(0, RANGE_SIZE);
    expect(new DataView(backing.data.buffer).getUint32(100, true)).toBe(77);
    expect(world.held.get(inode)).toBe(0);
    world.check();
  });

  test('into a hole of a memory file takes one frame; reading holes takes none', () => {
    const inode = memoryFile();
    inode.space.resize(RANGE_SIZE);
    world.mappers[0]!.setup(inode, 0, RANGE_SIZE, true, 0);
    expect(same(bytesOf(0, 0, 0, 100_000), new Uint8Array(100_000))).toBe(true);
    expect(inode.space.residentPages).toBe(0);
    world.windows[0]!.store(0, 50_000, 1, 7);
    expect(inode.space.residentPages).toBe(1);
    expect(bytesOf(0, 0, 49_999, 3)).toEqual(new Uint8Array([0, 7, 0]));
  });

  test('fails with ENOSPC when the file system is full, and loses nothing that was stored', () => {
    const inode = memoryFile(2);
    inode.space.resize(RANGE_SIZE);
    world.mappers[0]!.setup(inode, 0, RANGE_SIZE, true, 0);
    expect(world.windows[0]!.write(0, 0, pattern(5 * PAGE_SIZE), 0, 5 * PAGE_SIZE)).toBe(2 * PAGE_SIZE);
    expect(world.windows[0]!.store(0, 3 * PAGE_SIZE, 1, 1)).toBe(-ENOSPC);
    expect(same(bytesOf(0, 0, 0, 2 * PAGE_SIZE), pattern(5 * PAGE_SIZE).slice(0, 2 * PAGE_SIZE))).toBe(true);
  });

  test('atomic operations work on one word for all guests', () => {
    const inode = memoryFile();
    inode.space.resize(PAGE_SIZE);
    for (const mapper of world.mappers) mapper.setup(inode, 0, RANGE_SIZE, true, 0);
    for (let i = 0; i < 10; i++) world.windows[i % 2]!.add32(0, 0, 3);
    expect(world.windows[0]!.compareExchange32(0, 0, 30, 31)).toBe(30);
    expect(world.windows[1]!.load(0, 0, 4)).toBe(31);
  });
});

describe('truncation', () => {
  test('makes accesses beyond the end a bus error for every guest, and regrowth reads as zeros', () => {
    const { inode, data } = file(40_000);
    for (const mapper of world.mappers) mapper.setup(inode, 0, RANGE_SIZE, true, 0);
    bytesOf(0, 0, 0, 40_000);
    inode.space.resize(5000);
    expect(bytesOf(1, 0, 8192, 1)).toBe(-EFAULT);
    expect(same(bytesOf(0, 0, 0, 5000), data.slice(0, 5000))).toBe(true);
    inode.space.resize(40_000);
    world.check();
    const again = new Uint8Array(8192 - 5000);
    world.windows[1]!.read(0, 5000, again, 0, again.length);
    expect(again.every((byte) => byte === 0)).toBe(true);
  });

  test('bytes stored behind the end in the last page do not come back when the file grows', () => {
    const inode = memoryFile();
    inode.space.resize(100);
    world.mappers[0]!.setup(inode, 0, RANGE_SIZE, true, 0);
    world.windows[0]!.store(0, 200, 4, 0xffffffff);
    inode.space.resize(1000);
    expect(bytesOf(0, 0, 100, 900)).toEqual(new Uint8Array(900));
  });

  test('leaves the frames of a pinned page alone until the last view is gone', () => {
    const inode = memoryFile();
    inode.space.resize(2 * PAGE_SIZE);
    world.mappers[0]!.setup(inode, 0, RANGE_SIZE, true, 0);
    world.windows[0]!.write(0, 0, pattern(2 * PAGE_SIZE), 0, 2 * PAGE_SIZE);
    const views: Uint8Array[] = [];
    expect(world.windows[0]!.pin(0, PAGE_SIZE, 16, false, views)).toBe(0);
    const free = world.pageCache.freeFrames;
    inode.space.resize(0);
    // Pins are counted per page: the other one is free at once.
    expect(world.pageCache.freeFrames).toBe(free + 1);
    expect(views[0]).toEqual(pattern(2 * PAGE_SIZE).slice(PAGE_SIZE, PAGE_SIZE + 16));
    world.pageCache.sweepLimbo();
    expect(world.pageCache.freeFrames).toBe(free + 1);
    world.windows[0]!.unpin(0, PAGE_SIZE, 16, false);
    world.pageCache.sweepLimbo();
    expect(world.pageCache.freeFrames).toBe(free + 2);
  });
});

describe('views', () => {
  test('are few and long where frames follow each other, and see later stores', () => {
    const { inode, data } = file(1 << 20);
    world.mappers[0]!.setup(inode, 0, RANGE_SIZE, true, 0);
    const views: Uint8Array[] = [];
    expect(world.windows[0]!.pin(0, 100, 500_000, true, views)).toBe(0);
    expect(views.length).toBe(1);
    expect(same(views[0], data.slice(100, 500_100))).toBe(true);
    world.windows[0]!.store(0, 200, 1, 99);
    expect(views[0]![100]).toBe(99);
  });

  test('that cannot be had pin nothing', () => {
    const { inode } = file(5000);
    world.mappers[0]!.setup(inode, 0, RANGE_SIZE, false, 0);
    const views: Uint8Array[] = [];
    expect(world.windows[0]!.pin(0, 0, 100_000, false, views)).toBe(-EFAULT);
    expect(views).toEqual([]);
    expect(world.slots[0]!.isPinned(0, 0)).toBe(false);
  });

  test('held writable keep their pages dirty: a store after a flush reaches the next flush', () => {
    const { inode, backing } = file(5000);
    world.mappers[0]!.setup(inode, 0, RANGE_SIZE, true, 0);
    const views: Uint8Array[] = [];
    world.windows[0]!.pin(0, 0, 5000, true, views);
    views[0]![10] = 1;
    inode.space.flush();
    views[0]![10] = 2;
    inode.space.flush();
    expect(backing.data[10]).toBe(2);
  });
});

describe('a mailbox full of lies', () => {
  test('a fault for a range outside the window, an unmapped range, or a page outside the range is refused', () => {
    const slot = world.slots[0]!;
    const words = new Int32Array(world.memory.buffer, slot.place.cpuAt, 16);
    const post = (range: number, page: number, count: number, write: number) => {
      words.set([1, range, page, count, write], 2);
      expect(slot.takeFault()).toBe(true);
      return world.mappers[0]!.resolveFault();
    };
    const { inode } = file(5000);
    world.mappers[0]!.setup(inode, 0, RANGE_SIZE, false, 0);
    expect(post(-1, 0, 1, 0)).not.toBe(0);
    expect(post(4, 0, 1, 0)).not.toBe(0);
    expect(post(1, 0, 1, 0)).toBe(EFAULT);
    expect(post(0, 512, 1, 0)).not.toBe(0);
    expect(post(0, 0, -1, 1)).toBe(EACCES);
    expect(post(0, 0, 0xffff, 0)).toBe(0);
    world.check();
  });
});
