import { beforeEach, describe, expect, test } from 'vitest';
import { PAGE_SIZE, RANGE_SIZE } from '../../assembly/layout.ts';
import { Prng } from '../../src/base/prng.ts';
import { SegmentList } from '../../src/virtio/chain.ts';
import { EFBIG, EIO, ENOSPC, ENXIO } from '../../src/wire/errno.ts';
import { FileBacking, pattern, same } from '../fakes/file-backing.ts';
import { createMappedWorld, FileInode, type MappedWorld } from '../fakes/mapped.ts';

let world: MappedWorld;
beforeEach(() => {
  world = createMappedWorld({ frames: 64, guests: 2, ranges: 2 });
});

function file(size: number, number = 1) {
  const data = pattern(size, number);
  const backing = new FileBacking(world.pageCache.bytes, data.slice());
  return { inode: new FileInode(world.pageCache.createBackedSpace(backing, size)), backing, data };
}

function segments(...parts: [at: number, length: number][]): SegmentList {
  const list = new SegmentList();
  for (const [at, length] of parts) list.push(at, length);
  return list;
}

function read(inode: FileInode, pos: number, size: number): Uint8Array {
  const got = inode.space.read(pos, size, segments([world.room, size]));
  expect(got).toBeGreaterThanOrEqual(0);
  return world.pageCache.bytes.slice(world.room, world.room + got);
}

function write(inode: FileInode, pos: number, data: Uint8Array): number {
  world.pageCache.bytes.set(data, world.room);
  return inode.space.write(pos, segments([world.room, data.length]));
}

describe('a pool smaller than the files', () => {
  test('still reads every byte, by evicting what was not used lately', () => {
    const { inode, data } = file(200 * PAGE_SIZE);
    for (let pos = 0; pos < data.length; pos += 50_000) {
      expect(same(read(inode, pos, 50_000), data.slice(pos, pos + 50_000))).toBe(true);
    }
    expect(world.pageCache.counts.evictedPages).toBeGreaterThan(100);
    world.check();
  });

  test('keeps what is used all the time', () => {
    const hot = file(PAGE_SIZE, 1);
    const cold = file(400 * PAGE_SIZE, 2);
    for (let page = 0; page < 400; page++) {
      read(hot.inode, 0, 1);
      read(cold.inode, page * PAGE_SIZE, 1);
    }
    expect(hot.backing.calls.length).toBeLessThan(4);
  });

  test('goes on when many pages cannot be written: clean ones of other files are taken', () => {
    const broken = file(30 * PAGE_SIZE);
    world.mappers[0]!.setup(broken.inode, 0, RANGE_SIZE, true, 0);
    for (let page = 0; page < 30; page++) world.windows[0]!.store(0, page * PAGE_SIZE, 4, page + 1);
    broken.backing.failWrites = EIO;
    const other = file(100 * PAGE_SIZE, 2);
    for (let round = 0; round < 3; round++) {
      for (let page = 0; page < 100; page++) {
        const pos = page * PAGE_SIZE;
        expect(same(read(other.inode, pos, PAGE_SIZE), other.data.slice(pos, pos + PAGE_SIZE))).toBe(true);
      }
    }
    broken.backing.failWrites = 0;
    expect([broken.inode.space.flush(), broken.inode.space.flush()]).toEqual([EIO, 0]);
    const view = new DataView(broken.backing.data.buffer);
    for (let page = 0; page < 30; page++) expect(view.getUint32(page * PAGE_SIZE, true)).toBe(page + 1);
    world.check();
  });

  test('writes dirty pages back before it takes them: no store is lost', () => {
    const { inode, backing } = file(30 * PAGE_SIZE);
    world.mappers[0]!.setup(inode, 0, RANGE_SIZE, true, 0);
    for (let page = 0; page < 30; page++) world.windows[0]!.store(0, page * PAGE_SIZE, 4, page + 1);
    const other = file(300 * PAGE_SIZE, 2);
    read(other.inode, 0, 300 * PAGE_SIZE);
    const view = new DataView(backing.data.buffer);
    for (let page = 0; page < 30; page++) {
      expect(world.windows[0]!.load(0, page * PAGE_SIZE, 4)).toBe(page + 1);
      expect(view.getUint32(page * PAGE_SIZE, true)).toBe(page + 1);
    }
    world.check();
  });

  test('keeps a dirty page whose write-back fails, and the next flush says so once', () => {
    const { inode, backing } = file(PAGE_SIZE);
    world.mappers[0]!.setup(inode, 0, RANGE_SIZE, true, 0);
    world.windows[0]!.store(0, 0, 4, 42);
    backing.failWrites = EIO;
    const other = file(300 * PAGE_SIZE, 2);
    expect(same(read(other.inode, 0, 300 * PAGE_SIZE), other.data)).toBe(true);
    expect(world.windows[0]!.load(0, 0, 4)).toBe(42);
    expect(inode.space.flush()).toBe(EIO);
    backing.failWrites = 0;
    expect(inode.space.flush()).toBe(0);
    expect(new DataView(backing.data.buffer).getUint32(0, true)).toBe(42);
    expect(inode.space.flush()).toBe(0);
  });

  test('never evicts pinned pages, whatever the need', () => {
    const { inode, data } = file(8 * PAGE_SIZE);
    world.mappers[0]!.setup(inode, 0, RANGE_SIZE, false, 0);
    const views: Uint8Array[] = [];
    world.windows[0]!.pin(0, 0, 8 * PAGE_SIZE, false, views);
    const other = file(300 * PAGE_SIZE, 2);
    expect(same(read(other.inode, 0, 300 * PAGE_SIZE), other.data)).toBe(true);
    expect(same(Buffer.concat(views), data)).toBe(true);
  });

  test('waits for a guest that is inside an access before it takes a frame', () => {
    const { inode } = file(PAGE_SIZE);
    world.mappers[0]!.setup(inode, 0, RANGE_SIZE, false, 0);
    world.windows[0]!.load(0, 0, 4);
    const before = world.pageCache.grace.count;
    read(file(300 * PAGE_SIZE, 2).inode, 0, 300 * PAGE_SIZE);
    expect(world.pageCache.grace.count).toBeGreaterThan(before);
    // One wait for a batch of victims, a sixteenth of this small pool.
    const waits = world.pageCache.grace.count - before;
    expect(world.pageCache.counts.evictedPages / waits).toBeGreaterThan(3);
  });

  test('answers with an error when memory files hold all frames', () => {
    const inode = new FileInode(world.pageCache.createSpace({ limitPages: 1000, usedPages: 0 }));
    const wrote = write(inode, 0, pattern(300 * PAGE_SIZE));
    expect(wrote).toBeGreaterThan(50 * PAGE_SIZE);
    expect(wrote).toBeLessThan(64 * PAGE_SIZE);
    const backed = file(PAGE_SIZE, 2);
    expect(backed.inode.space.read(0, 100, segments([world.room, 100]))).toBeLessThan(0);
    inode.space.resize(0);
    expect(read(backed.inode, 0, 100)).toEqual(backed.data.slice(0, 100));
  });
});

describe('a memory file', () => {
  let inode: FileInode;
  const quota = { limitPages: 40, usedPages: 0 };
  beforeEach(() => {
    quota.usedPages = 0;
    inode = new FileInode(world.pageCache.createSpace(quota));
  });

  test('is short at the end of its quota and ENOSPC from then on', () => {
    expect(write(inode, 100, pattern(50 * PAGE_SIZE))).toBe(40 * PAGE_SIZE - 100);
    expect(write(inode, 40 * PAGE_SIZE, pattern(1))).toBe(-ENOSPC);
    expect(inode.space.size).toBe(40 * PAGE_SIZE);
  });

  test('has holes: pages nobody wrote cost nothing and read as zeros', () => {
    const far = 5 * RANGE_SIZE + 12345;
    write(inode, far, pattern(10));
    expect(inode.space.residentPages).toBe(1);
    expect(inode.space.size).toBe(far + 10);
    expect(read(inode, far - 5000, 5010)).toEqual(new Uint8Array([...new Uint8Array(5000), ...pattern(10)]));
    expect(inode.space.seek(0, 3)).toBe(far - (far % PAGE_SIZE));
    expect(inode.space.seek(far, 4)).toBe(far + 10);
    expect(inode.space.seek(far + 10, 3)).toBe(-ENXIO);
  });

  test('gives frames back when holes are punched, and zeroes the partial pages', () => {
    write(inode, 0, pattern(10 * PAGE_SIZE));
    inode.space.punch(100, 3 * PAGE_SIZE);
    expect(inode.space.residentPages).toBe(8);
    expect(quota.usedPages).toBe(8);
    const wanted = pattern(10 * PAGE_SIZE).fill(0, 100, 100 + 3 * PAGE_SIZE);
    expect(read(inode, 0, 10 * PAGE_SIZE)).toEqual(wanted);
  });

  test('allocates ahead without showing it: size, contents and bus errors stay', () => {
    write(inode, 0, pattern(10));
    expect(inode.space.allocate(0, 5 * PAGE_SIZE)).toBe(0);
    expect(inode.space.residentPages).toBe(5);
    expect(inode.space.size).toBe(10);
    world.mappers[0]!.setup(inode, 0, RANGE_SIZE, true, 0);
    expect(world.windows[0]!.store(0, PAGE_SIZE, 1, 1)).toBeLessThan(0);
    expect(inode.space.resize(3 * PAGE_SIZE)).toBe(0);
    expect(world.windows[0]!.store(0, PAGE_SIZE, 1, 1)).toBe(0);
    expect(inode.space.residentPages).toBe(5);
    expect(inode.space.allocate(0, 100 * PAGE_SIZE)).toBe(ENOSPC);
    inode.space.resize(0);
    expect(quota.usedPages).toBe(0);
    world.check();
  });

  test('refuses sizes that page arithmetic cannot hold', () => {
    expect(inode.space.resize(2 ** 53)).toBe(EFBIG);
    expect(write(inode, 2 ** 52, pattern(1))).toBe(-EFBIG);
  });
});

describe('a backing that changes behind us', () => {
  test('is read anew after invalidate, while dirty pages stay', () => {
    const { inode, backing } = file(3 * PAGE_SIZE);
    world.mappers[0]!.setup(inode, 0, RANGE_SIZE, true, 0);
    read(inode, 0, 3 * PAGE_SIZE);
    world.windows[0]!.store(0, PAGE_SIZE, 1, 0x11);
    backing.data = pattern(3 * PAGE_SIZE, 9);
    inode.space.invalidate();
    expect(read(inode, 0, 10)).toEqual(pattern(10, 9));
    expect(read(inode, PAGE_SIZE, 1)).toEqual(new Uint8Array([0x11]));
    world.check();
  });

  test('that got shorter gives a short read, not zeros', () => {
    const { inode, backing } = file(3 * PAGE_SIZE);
    backing.data = backing.data.slice(0, PAGE_SIZE);
    expect(read(inode, 0, 3 * PAGE_SIZE).length).toBe(PAGE_SIZE);
  });
});

test('random reads, writes, stores, truncations and punches agree with a plain array under memory pressure', () => {
  const seed = 7;
  const random = new Prng(seed);
  const files = [0, 1, 2].map((number) => {
    const made = file(20 * PAGE_SIZE, number);
    return { ...made, model: made.data.slice() };
  });
  for (let step = 0; step < 2000; step++) {
    const { inode, model, backing } = random.pick(files);
    const entry = files.find((each) => each.inode === inode)!;
    const pos = random.below(model.length + 1);
    const size = Math.min(random.below(3 * PAGE_SIZE), model.length - pos);
    const where = `seed ${seed}, step ${step}`;
    const what = random.below(6);
    if (what === 0) expect(same(read(inode, pos, size), model.slice(pos, pos + size)), where).toBe(true);
    else if (what === 1) {
      const data = pattern(size, step);
      backing.data.set(data, pos);
      world.pageCache.bytes.set(data, world.room);
      inode.space.update(pos, segments([world.room, size]));
      model.set(data, pos);
    } else if (what === 2) {
      const guest = random.below(2);
      world.mappers[guest]!.setup(inode, 0, RANGE_SIZE, true, 0);
      const data = pattern(size, step);
      expect(world.windows[guest]!.write(0, pos, data, 0, size), where).toBe(size);
      model.set(data, pos);
    } else if (what === 3) {
      const next = random.below(24 * PAGE_SIZE);
      inode.space.flush();
      const resized = new Uint8Array(next);
      resized.set(backing.data.subarray(0, next));
      backing.data = resized;
      inode.space.resize(next);
      entry.model = new Uint8Array(next);
      entry.model.set(model.subarray(0, next));
    } else if (what === 4) expect(inode.space.flush(), where).toBe(0);
    else inode.space.invalidate();
    if (step % 10 === 0) world.check();
  }
  for (const { inode, model, backing } of files) {
    inode.space.flush();
    expect(same(backing.data, model)).toBe(true);
  }
});
