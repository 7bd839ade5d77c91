/** What pins, zombies and a file that shrinks under a view may not do to others. */
import { beforeEach, describe, expect, test } from 'vitest';
import { PAGE_SIZE, RANGE_SIZE } from '../../assembly/layout.ts';
import { SegmentList } from '../../src/virtio/chain.ts';
import { FileBacking, pattern, same } from '../fakes/file-backing.ts';
import { createMappedWorld, FileInode, type MappedWorld } from '../fakes/mapped.ts';

let world: MappedWorld;
beforeEach(() => {
  world = createMappedWorld({ frames: 64, guests: 2, ranges: 2 });
});

function file(data: Uint8Array) {
  const backing = new FileBacking(world.pageCache.bytes, data.slice());
  return { inode: new FileInode(world.pageCache.createBackedSpace(backing, data.length)), backing, data };
}

function memoryFile(limitPages = 40) {
  const quota = { limitPages, usedPages: 0 };
  return { inode: new FileInode(world.pageCache.createSpace(quota)), quota };
}

function segment(length: number): SegmentList {
  const list = new SegmentList();
  list.push(world.room, length);
  return list;
}

function read(inode: FileInode, pos: number, size: number): Uint8Array {
  const got = inode.space.read(pos, size, segment(size));
  expect(got).toBeGreaterThanOrEqual(0);
  return world.pageCache.bytes.slice(world.room, world.room + got);
}

function write(inode: FileInode, pos: number, data: Uint8Array): number {
  world.pageCache.bytes.set(data, world.room);
  return inode.space.write(pos, segment(data.length));
}

describe('a frame that only a view still shows', () => {
  test('does not lead the clock to a page table that is something else by now', () => {
    const ones = file(new Uint8Array(300 * PAGE_SIZE).fill(0xff));
    // Two leaf tables share a frame: the one that will be freed has a frame of its own.
    for (const each of [ones, file(pattern(1))]) read(each.inode, 0, 1);
    const shown = file(pattern(PAGE_SIZE));
    world.mappers[0]!.setup(shown.inode, 0, RANGE_SIZE, false, 0);
    expect(world.windows[0]!.pin(0, 0, PAGE_SIZE, false, [])).toBe(0);
    // The file shrinks under the view, then its guest goes; somebody in the same slot holds the range pinned.
    shown.inode.space.resize(0);
    world.mappers[0]!.clear();
    // The table's frame is data now, and memory gets short.
    for (let round = 0; round < 3; round++) {
      for (let page = 0; page < 300; page++) {
        expect(same(read(ones.inode, page * PAGE_SIZE, PAGE_SIZE), ones.data.subarray(0, PAGE_SIZE))).toBe(true);
      }
    }
    world.check();
  });

  test('is free again once the pin is gone', () => {
    const shown = file(pattern(8 * PAGE_SIZE));
    world.mappers[0]!.setup(shown.inode, 0, RANGE_SIZE, false, 0);
    world.windows[0]!.pin(0, 0, 8 * PAGE_SIZE, false, []);
    shown.inode.space.resize(0);
    const free = world.pageCache.freeFrames;
    world.pageCache.sweepLimbo();
    expect(world.pageCache.freeFrames).toBe(free);
    world.windows[0]!.unpin(0, 0, 8 * PAGE_SIZE, false);
    world.pageCache.sweepLimbo();
    expect(world.pageCache.freeFrames).toBe(free + 8);
    world.check();
  });
});

describe('a hole punched under a writable view', () => {
  test('zeroes the pages in place: what the view stores next is in the file', () => {
    const { inode, quota } = memoryFile();
    write(inode, 0, pattern(4 * PAGE_SIZE));
    world.mappers[0]!.setup(inode, 0, RANGE_SIZE, true, 0);
    const views: Uint8Array[] = [];
    expect(world.windows[0]!.pin(0, 0, 4 * PAGE_SIZE, true, views)).toBe(0);
    expect(inode.space.punch(0, 2 * PAGE_SIZE)).toBe(0);
    expect(read(inode, 0, 2 * PAGE_SIZE).every((byte) => byte === 0)).toBe(true);
    views[0]!.set([1, 2, 3]);
    expect(read(inode, 0, 4)).toEqual(new Uint8Array([1, 2, 3, 0]));
    world.windows[0]!.unpin(0, 0, 4 * PAGE_SIZE, true);
    expect(inode.space.punch(0, 2 * PAGE_SIZE)).toBe(0);
    expect(quota.usedPages).toBe(2);
    world.check();
  });
});

describe('a file that somebody else changed while a view pinned a page of it', () => {
  test('shows the new bytes once the view is gone', () => {
    const { inode, backing } = file(pattern(3 * PAGE_SIZE));
    world.mappers[0]!.setup(inode, 0, RANGE_SIZE, false, 0);
    read(inode, 0, 3 * PAGE_SIZE);
    world.windows[0]!.pin(0, 0, 1, false, []);
    backing.data = pattern(3 * PAGE_SIZE, 9);
    inode.space.invalidate();
    world.windows[0]!.unpin(0, 0, 1, false);
    world.pageCache.sweepLimbo();
    expect(same(read(inode, 0, 3 * PAGE_SIZE), backing.data)).toBe(true);
    world.check();
  });
});

describe('space reserved beyond the end', () => {
  test('can be reserved again although nothing more is free', () => {
    const { inode, quota } = memoryFile(10);
    expect(inode.space.allocate(0, 8 * PAGE_SIZE)).toBe(0);
    expect(inode.space.allocate(0, 8 * PAGE_SIZE)).toBe(0);
    expect(quota.usedPages).toBe(8);
    expect(inode.space.allocate(0, 10 * PAGE_SIZE)).toBe(0);
    world.check();
  });

  test('is given back when the pool ends before the quota does: all or nothing', () => {
    const { inode, quota } = memoryFile(1000);
    write(inode, 0, pattern(PAGE_SIZE));
    const free = world.pageCache.freeFrames;
    expect(inode.space.allocate(0, 200 * PAGE_SIZE)).toBe(28);
    expect(quota.usedPages).toBe(1);
    expect(inode.space.residentPages).toBe(1);
    expect(world.pageCache.freeFrames).toBe(free);
    expect(inode.space.allocate(40 * RANGE_SIZE, 200 * PAGE_SIZE)).toBe(28);
    expect(world.pageCache.freeFrames).toBe(free);
    world.check();
  });
});

describe('a backing that cannot be read', () => {
  test('costs no leaf table per failed read', () => {
    const { inode, backing } = file(pattern(PAGE_SIZE));
    inode.space.resize(2 ** 40);
    backing.data = new Uint8Array(0);
    for (let chunk = 1; chunk < 200; chunk++) inode.space.read(chunk * RANGE_SIZE, 10, segment(10));
    expect(world.pageCache.leafCount).toBeLessThan(2);
  });
});

describe('an access that JavaScript leaves by an exception', () => {
  class Unwilling extends Uint8Array {
    override set(): void {
      throw new RangeError('Maximum call stack size exceeded');
    }
  }

  test('does not leave the epoch odd: the host would wait for ever', () => {
    const { inode } = memoryFile();
    write(inode, 0, pattern(PAGE_SIZE));
    world.mappers[0]!.setup(inode, 0, RANGE_SIZE, true, 0);
    expect(() => world.windows[0]!.read(0, 0, new Unwilling(100), 0, 100)).toThrow(RangeError);
    expect(world.epoch(0).value & 1).toBe(0);
  });

  test('and if it did, the next access is odd inside and even outside again', () => {
    const { inode } = memoryFile();
    write(inode, 0, pattern(PAGE_SIZE));
    world.mappers[0]!.setup(inode, 0, RANGE_SIZE, true, 0);
    world.epoch(0).value |= 1;
    const before = world.epoch(0).value;
    world.windows[0]!.load(0, 0, 4);
    expect(world.epoch(0).value & 1).toBe(0);
    expect(world.epoch(0).value).toBeGreaterThan(before);
  });
});

describe('a view of a hole', () => {
  test('shows what is written into the hole later', () => {
    const { inode } = memoryFile();
    inode.space.resize(PAGE_SIZE);
    world.mappers[0]!.setup(inode, 0, RANGE_SIZE, false, 0);
    const views: Uint8Array[] = [];
    expect(world.windows[0]!.pin(0, 0, PAGE_SIZE, false, views)).toBe(0);
    write(inode, 0, pattern(10));
    expect(views[0]!.slice(0, 10)).toEqual(pattern(10));
    world.check();
  });
});
