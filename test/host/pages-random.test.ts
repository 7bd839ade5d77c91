/**
 * Files that are memory and files that are backed in one small pool, and two guests: reads, writes, stores, views,
 * reservations, holes, cuts, write-back, in random order, against plain arrays.
 */
import { expect, test } from 'vitest';
import { PAGE_SIZE, RANGE_SIZE } from '../../assembly/layout.ts';
import { Prng } from '../../src/base/prng.ts';
import { SegmentList } from '../../src/virtio/chain.ts';
import { FileBacking, pattern, same } from '../fakes/file-backing.ts';
import { createMappedWorld, FileInode, type MappedWorld } from '../fakes/mapped.ts';

const PAGES = 24;
const seed = Number(process.env['SEED'] ?? 1);

interface File {
  readonly inode: FileInode;
  readonly backing: FileBacking | undefined;
  model: Uint8Array;
}

/** A view that a guest holds: where it is, and its bytes. */
interface Held {
  readonly file: File;
  readonly guest: number;
  readonly range: number;
  readonly pos: number;
  readonly size: number;
  readonly runs: Uint8Array[];
}

class Tester {
  readonly world: MappedWorld = createMappedWorld({ frames: 96, guests: 2, ranges: 4 });
  readonly random: Prng;
  readonly files: File[];
  readonly quota = { limitPages: 60, usedPages: 0 };
  readonly #views: Held[] = [];

  constructor(seedNow: number) {
    this.random = new Prng(seedNow);
    const { pageCache } = this.world;
    const memory = [0, 1].map(() => ({
      inode: new FileInode(pageCache.createSpace(this.quota)),
      backing: undefined,
      model: new Uint8Array(0),
    }));
    const backed = [2, 3].map((number) => {
      const data = pattern(PAGES * PAGE_SIZE, number);
      const backing = new FileBacking(pageCache.bytes, data.slice());
      return { inode: new FileInode(pageCache.createBackedSpace(backing, data.length)), backing, model: data };
    });
    this.files = [...memory, ...backed];
    for (const [range, file] of this.files.entries()) {
      for (const mapper of this.world.mappers) mapper.setup(file.inode, 0, RANGE_SIZE, true, range * RANGE_SIZE);
    }
  }

  step(): string {
    const range = this.random.below(this.files.length);
    const file = this.files[range] as File;
    const pos = this.random.below(file.model.length + 1);
    const size = Math.min(this.random.below(4 * PAGE_SIZE), file.model.length - pos);
    const what = this.random.below(9);
    if (what === 0) this.#read(file, pos, size);
    else if (what === 1) this.#write(file, this.random.below(PAGES * PAGE_SIZE - 4 * PAGE_SIZE));
    else if (what <= 3) this.#store(file, range, pos, size);
    else if (what === 4) this.#resize(file, this.random.below(PAGES * PAGE_SIZE));
    else if (what === 5) this.#punch(file, pos, size);
    else if (what === 6 && file.backing === undefined) this.#allocate(file, pos, size);
    else if (what === 6) expect(file.inode.space.flush()).toBe(0);
    else if (what === 7) this.#pin(file, range, pos, size);
    else this.#unpin();
    return `${what} on ${range} at ${pos}+${size}`;
  }

  /** All that every file shows, to the host and to guests. */
  check(): void {
    this.world.check();
    for (const [range, file] of this.files.entries()) {
      this.#read(file, 0, file.model.length);
      const got = new Uint8Array(file.model.length);
      if (got.length > 0) expect(this.world.windows[1]?.read(range, 0, got, 0, got.length)).toBe(got.length);
      expect(same(got, file.model)).toBe(true);
    }
    for (const { file, pos, runs } of this.#views) {
      const bytes = Buffer.concat(runs);
      expect(bytes.equals(file.model.subarray(pos, pos + bytes.length))).toBe(true);
    }
  }

  finish(): void {
    while (this.#views.length > 0) this.#unpin();
    this.check();
    for (const mapper of this.world.mappers) mapper.clear();
    for (const { inode, backing, model } of this.files) {
      expect(inode.space.flush()).toBe(0);
      if (backing !== undefined) expect(same(backing.data, model)).toBe(true);
      inode.space.destroy();
    }
    this.world.pageCache.sweepLimbo();
    expect(this.quota.usedPages).toBe(0);
    // The page of zeros.
    expect(this.world.pageCache.frameCount - this.world.pageCache.freeFrames).toBe(1);
  }

  #room(size: number): SegmentList {
    const list = new SegmentList();
    list.push(this.world.room, size);
    return list;
  }

  #read(file: File, pos: number, size: number): void {
    const { bytes } = this.world.pageCache;
    expect(file.inode.space.read(pos, size, this.#room(size))).toBe(size);
    const got = bytes.slice(this.world.room, this.world.room + size);
    expect(same(got, file.model.slice(pos, pos + size))).toBe(true);
  }

  #write(file: File, pos: number): void {
    const data = pattern(1 + this.random.below(4 * PAGE_SIZE), this.random.below(99));
    this.world.pageCache.bytes.set(data, this.world.room);
    const wrote = file.inode.space.write(pos, this.#room(data.length));
    if (wrote <= 0) return;
    this.#grow(file, pos + wrote);
    file.model.set(data.subarray(0, wrote), pos);
  }

  #store(file: File, range: number, pos: number, size: number): void {
    if (size === 0) return;
    const data = pattern(size, this.random.below(99));
    const wrote = this.world.windows[this.random.below(2)]?.write(range, pos, data, 0, size) ?? 0;
    if (wrote > 0) file.model.set(data.subarray(0, wrote), pos);
    // Only a hole of a memory file may find no room.
    else expect(file.backing).toBeUndefined();
  }

  #resize(file: File, size: number): void {
    // A view of what is cut shows nothing of the file any more.
    for (const view of this.#views.filter((each) => each.file === file)) this.#release(view);
    if (file.backing !== undefined) {
      expect(file.inode.space.flush()).toBe(0);
      const resized = new Uint8Array(size);
      resized.set(file.backing.data.subarray(0, size));
      file.backing.data = resized;
    }
    expect(file.inode.space.resize(size)).toBe(0);
    if (size < file.model.length) file.model = file.model.slice(0, size);
    else this.#grow(file, size);
  }

  #punch(file: File, pos: number, size: number): void {
    file.backing?.data.fill(0, pos, pos + size);
    expect(file.inode.space.punch(pos, size)).toBe(0);
    file.model.fill(0, pos, pos + size);
  }

  #allocate(file: File, pos: number, size: number): void {
    const before = this.quota.usedPages;
    if (file.inode.space.allocate(pos, size + PAGE_SIZE) !== 0) expect(this.quota.usedPages).toBe(before);
  }

  #pin(file: File, range: number, pos: number, size: number): void {
    if (size === 0 || this.#views.length >= 4) return;
    const guest = this.random.below(2);
    const runs: Uint8Array[] = [];
    if (this.world.windows[guest]?.pin(range, pos, size, true, runs) !== 0) return;
    const value = this.random.below(256);
    for (const run of runs) run.fill(value);
    file.model.fill(value, pos, pos + size);
    this.#views.push({ file, guest, range, pos, size, runs });
  }

  #unpin(): void {
    const view = this.#views[this.random.below(Math.max(1, this.#views.length))];
    if (view === undefined) return;
    // Once more, after whatever write-back there was.
    for (const run of view.runs) run.fill(0x5a);
    view.file.model.fill(0x5a, view.pos, view.pos + view.size);
    this.#release(view);
  }

  #release(view: Held): void {
    this.world.windows[view.guest]?.unpin(view.range, view.pos, view.size, true);
    this.#views.splice(this.#views.indexOf(view), 1);
  }

  #grow(file: File, size: number): void {
    if (size <= file.model.length) return;
    const longer = new Uint8Array(size);
    longer.set(file.model);
    file.model = longer;
  }
}

test(`memory and backed files in one pool agree with plain arrays (SEED=${seed})`, () => {
  const tester = new Tester(seed);
  for (let step = 0; step < 3000; step++) {
    let did = '';
    try {
      did = tester.step();
      if (step % 20 === 0) tester.check();
    } catch (error) {
      throw new Error(`SEED=${seed}, step ${step}: ${did}`, { cause: error });
    }
  }
  tester.finish();
});
