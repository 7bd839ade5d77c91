/**
 * The pages of one regular file, as the kernel's address_space: which page is in which frame, and how it gets there.
 *
 * A memory file has a quota instead of a backing: a page without a frame is a hole. A backed file fills pages from its
 * backing and writes them back. Guests see pages through leaf tables (one per 2 MiB chunk); the host goes through the
 * same tables, so READ, WRITE and stores through a window agree.
 *
 * INVARIANT: no entry is present at or beyond the end of the file, and bytes between the end of the file and the end of
 * its last page read as zeros once the file grows over them.
 */
import {
  PAGE_SHIFT,
  PAGE_SIZE,
  PAGES_PER_RANGE,
  PTE_ACCESSED,
  PTE_DIRTY,
  PTE_FRAME_MASK,
  PTE_PRESENT,
  PTE_SIZE,
  PTE_ZERO,
  RANGE_SIZE,
} from '../../assembly/layout.ts';
import { assert } from '../base/assert.ts';
import type { SegmentList } from '../virtio/chain.ts';
import { EFAULT, EFBIG, EIO, ENOMEM, ENOSPC, ENXIO, type Errno, OK } from '../wire/errno.ts';
import type { Leaf } from './leaf.ts';
import type { PageCache } from './page-cache.ts';

/** Where the bytes of a backed file live. */
export interface PageBacking {
  /** Copies `size` bytes of the file from `pos` to address `at` of the host's memory. Returns how many there were, or −errno. */
  read(pos: number, at: number, size: number): number;
  /** Copies `size` bytes from address `at` into the file at `pos`. Returns `size` or −errno. */
  write(pos: number, at: number, size: number): number;
}

/** How many pages the files of one file system may have in all (memory: the frames *are* the file). */
export interface Quota {
  readonly limitPages: number;
  usedPages: number;
}

/** Positions are exact numbers, and page arithmetic must stay so. */
export const MAX_FILE_SIZE = 2 ** 52;
/** Pages filled around a fault: 64 KiB, as the kernel's fault-around. */
const FAULT_AROUND_PAGES = 16;
const SEEK_DATA = 3;

export class AddressSpace {
  /** Pages that have a frame of their own. */
  residentPages = 0;
  readonly #cache: PageCache;
  readonly #backing: PageBacking | undefined;
  readonly #quota: Quota | undefined;
  readonly #chunks = new Map<number, Leaf>();
  #size: number;
  /** The first write-back error since the last flush that reported one. */
  #error: Errno = OK;

  constructor(cache: PageCache, backing: PageBacking | undefined, quota: Quota | undefined, size: number) {
    assert((backing === undefined) !== (quota === undefined), 'a space has a backing or a quota');
    this.#cache = cache;
    this.#backing = backing;
    this.#quota = quota;
    this.#size = size;
  }

  /** File size in bytes (i_size). */
  get size(): number {
    return this.#size;
  }

  get isBacked(): boolean {
    return this.#backing !== undefined;
  }

  /** Copies min(size, this.size − pos) bytes into the addresses of `into`; returns that count or −errno. */
  read(pos: number, size: number, into: SegmentList): number {
    const wanted = Math.min(size, into.size, this.#size - pos);
    let done = 0;
    for (let i = 0; i < into.count && done < wanted; i++) {
      const n = Math.min(into.length(i), wanted - done);
      const got = this.#readTo(pos + done, into.at(i), n);
      if (got < 0) return done > 0 ? done : got;
      done += got;
      if (got < n) break;
    }
    return done;
  }

  /** Copies `from.size` bytes to `pos`, growing the file; returns the count (short when space ran out), or −errno. */
  write(pos: number, from: SegmentList): number {
    if (pos + from.size > MAX_FILE_SIZE) return -EFBIG;
    let done = 0;
    let failed: number = OK;
    for (let i = 0; i < from.count && failed === OK; i++) {
      const n = from.length(i);
      const put = this.#writeFrom(pos + done, from.at(i), n);
      if (put < 0) failed = put;
      else done += put;
      if (put < n && failed === OK) failed = -ENOSPC;
    }
    if (done === 0 && failed !== OK) return failed;
    if (pos + done > this.#size) this.#grow(pos + done, pos);
    return done;
  }

  /** Like write, but only into pages that are resident, and without making them dirty: the backing has the bytes. */
  update(pos: number, from: SegmentList): void {
    let at = pos;
    for (let i = 0; i < from.count; i++) {
      this.#updateFrom(at, from.at(i), from.length(i));
      at += from.length(i);
    }
    if (at > this.#size) this.#grow(at, pos);
  }

  /** Sets the size. Shrinking drops the pages beyond; a guest that touches them faults and gets a bus error. */
  resize(size: number): Errno {
    if (size > MAX_FILE_SIZE) return EFBIG;
    if (size >= this.#size) {
      this.#grow(size, size);
      return OK;
    }
    this.#size = size;
    this.#dropFrom(size);
    this.#zero(size, Math.ceil(size / PAGE_SIZE) * PAGE_SIZE);
    return OK;
  }

  /** Gives every page of the range a frame, or none. Does not change the size. */
  allocate(pos: number, size: number): Errno {
    if (pos + size > MAX_FILE_SIZE) return EFBIG;
    const first = Math.floor(pos / PAGE_SIZE);
    const end = Math.ceil((pos + size) / PAGE_SIZE);
    const quota = this.#quota;
    assert(quota !== undefined, 'only a memory file allocates');
    if (end - first > quota.limitPages) return ENOSPC;
    let missing = 0;
    for (let page = first; page < end; page++) if (!this.#hasFrame(page)) missing++;
    if (missing > quota.limitPages - quota.usedPages) return ENOSPC;
    for (let page = first; page < end; page++) {
      const leaf = this.#leafFor(Math.floor(page / PAGES_PER_RANGE));
      if (leaf === undefined || this.#materialize(leaf, page % PAGES_PER_RANGE, true) === 0) return ENOSPC;
      // Reserved beyond the end: the frame is there, and hidden until the file grows over it.
      if (page * PAGE_SIZE >= this.#size) {
        this.#cache.wasm.entryClear(leaf.at + (page % PAGES_PER_RANGE) * PTE_SIZE, PTE_PRESENT);
      }
    }
    return OK;
  }

  /** Makes the range read as zeros; whole pages lose their frames (memory) or are zeroed (backed). */
  punch(pos: number, size: number): Errno {
    const end = Math.min(pos + size, Math.max(this.#size, this.#endOfChunks()));
    const firstWhole = Math.ceil(pos / PAGE_SIZE);
    const endWhole = end >= this.#size ? Math.ceil(end / PAGE_SIZE) : Math.floor(end / PAGE_SIZE);
    if (firstWhole >= endWhole) {
      this.#zero(pos, end);
      return OK;
    }
    this.#zero(pos, firstWhole * PAGE_SIZE);
    this.#dropPages(firstWhole, endWhole);
    if (endWhole * PAGE_SIZE < end) this.#zero(endWhole * PAGE_SIZE, end);
    return OK;
  }

  /** SEEK_DATA / SEEK_HOLE of a memory file: the position, or −ENXIO. */
  seek(pos: number, whence: number): number {
    if (pos < 0 || pos >= this.#size) return -ENXIO;
    const wantData = whence === SEEK_DATA;
    const chunks = [...this.#chunks.keys()].sort((a, b) => a - b);
    let page = Math.floor(pos / PAGE_SIZE);
    const endPage = Math.ceil(this.#size / PAGE_SIZE);
    while (page < endPage) {
      if (this.#hasFrame(page) === wantData) return Math.max(pos, page * PAGE_SIZE);
      if (wantData && !this.#chunks.has(Math.floor(page / PAGES_PER_RANGE))) {
        const next = chunks.find((chunk) => chunk > Math.floor(page / PAGES_PER_RANGE));
        if (next === undefined) return -ENXIO;
        page = next * PAGES_PER_RANGE;
      } else page++;
    }
    return wantData ? -ENXIO : this.#size;
  }

  /** Writes dirty pages to the backing; reports the first error since the last flush, once. */
  flush(): Errno {
    for (const leaf of this.#chunks.values()) if (leaf.mayBeDirty) this.flushLeaf(leaf);
    const error = this.#error;
    this.#error = OK;
    return error;
  }

  /** Whether a guest may have stored into pages that the backing does not have yet. */
  get mayBeDirty(): boolean {
    if (this.#backing === undefined) return false;
    for (const leaf of this.#chunks.values()) if (leaf.mayBeDirty) return true;
    return false;
  }

  /** Drops all clean pages that no view pins, because the backing changed behind us. */
  invalidate(): void {
    for (const leaf of [...this.#chunks.values()]) {
      const wasm = this.#cache.wasm;
      for (let page = wasm.leafFind(leaf.at, 0, PTE_PRESENT); page < PAGES_PER_RANGE; ) {
        wasm.entryClear(leaf.at + page * PTE_SIZE, PTE_PRESENT);
        page = wasm.leafFind(leaf.at, page + 1, PTE_PRESENT);
      }
      this.#cache.waitForLeaf(leaf);
      const pinned = leaf.isPinned;
      for (let page = 0; page < PAGES_PER_RANGE; page++) {
        const entry = wasm.entryLoad(leaf.at + page * PTE_SIZE) >>> 0;
        if (entry === 0) continue;
        if (pinned || (entry & PTE_DIRTY) !== 0) wasm.entrySet(leaf.at + page * PTE_SIZE, PTE_PRESENT);
        else this.#release(leaf, page, entry);
      }
      this.trim(leaf);
    }
  }

  /** Gives all frames back. No mapping may be left. */
  destroy(): void {
    this.#size = 0;
    this.#dropPages(0, Number.MAX_SAFE_INTEGER);
    for (const leaf of [...this.#chunks.values()]) this.trim(leaf);
    assert(this.#chunks.size === 0, 'a file went away with a mapping left');
  }

  // ---- for the mapper ------------------------------------------------------------------------------------------

  /** Returns the leaf of a chunk, made if it must be; undefined = no memory. */
  leafForMapping(chunk: number): Leaf | undefined {
    return this.#leafFor(chunk);
  }

  /** A guest touched pages that are not present (or stored to a hole): makes at least the first one present. */
  fault(leaf: Leaf, page: number, count: number, write: boolean): Errno {
    this.#cache.counts.faults++;
    const pos = leaf.chunk * RANGE_SIZE + page * PAGE_SIZE;
    if (pos >= this.#size) return EFAULT;
    const inFile = Math.ceil((this.#size - pos) / PAGE_SIZE);
    const limit = Math.min(PAGES_PER_RANGE - page, inFile);
    if (this.#backing !== undefined) return this.#fill(leaf, page, Math.min(limit, Math.max(count, FAULT_AROUND_PAGES)));
    const wanted = Math.min(limit, Math.max(1, count));
    for (let i = 0; i < wanted; i++) {
      if (write ? this.#materialize(leaf, page + i, true) === 0 : !this.#showHole(leaf, page + i)) {
        return i > 0 ? OK : ENOSPC;
      }
    }
    return OK;
  }

  /** Writes back the dirty pages of one leaf: clear DIRTY, wait for the guests that saw it set, then write. */
  flushLeaf(leaf: Leaf): void {
    const cache = this.#cache;
    const wasm = cache.wasm;
    leaf.mayBeDirty = leaf.isMappedWritable;
    if (this.#backing === undefined) return;
    const pages: number[] = [];
    for (let page = wasm.leafFind(leaf.at, 0, PTE_DIRTY); page < PAGES_PER_RANGE; ) {
      pages.push(page);
      wasm.entryClear(leaf.at + page * PTE_SIZE, PTE_DIRTY);
      page = wasm.leafFind(leaf.at, page + 1, PTE_DIRTY);
    }
    if (pages.length === 0) return;
    leaf.users++;
    cache.waitForLeaf(leaf);
    // Stores through a view leave no trace in the entry: what is pinned writable stays dirty.
    const stillDirty = leaf.isPinnedWritable;
    for (let i = 0; i < pages.length; ) {
      const first = pages[i] as number;
      let count = 1;
      while (pages[i + count] === first + count) count++;
      const failed = this.writeFrames(leaf, first, count);
      if (failed !== OK || stillDirty) this.#markDirty(leaf, first, count);
      i += count;
    }
    leaf.users--;
  }

  // ---- for the cache's eviction --------------------------------------------------------------------------------

  /** Writes `count` pages of a leaf from their frames to the backing, in runs of neighbouring frames. */
  writeFrames(leaf: Leaf, page: number, count: number): Errno {
    const backing = this.#backing;
    if (backing === undefined) return OK;
    for (let done = 0; done < count; ) {
      const frame = this.#frameOf(leaf, page + done);
      let run = 1;
      while (done + run < count && this.#frameOf(leaf, page + done + run) === frame + run * PAGE_SIZE) run++;
      const pos = leaf.chunk * RANGE_SIZE + (page + done) * PAGE_SIZE;
      const size = Math.min(run * PAGE_SIZE, this.#size - pos);
      const wrote = size > 0 ? backing.write(pos, frame, size) : 0;
      if (size > 0 && wrote !== size) {
        const error = (wrote < 0 ? -wrote : EIO) as Errno;
        if (this.#error === OK) this.#error = error;
        leaf.mayBeDirty = true;
        return error;
      }
      this.#cache.counts.writtenBackPages += run;
      done += run;
    }
    return OK;
  }

  /** Forgets the entry of an evicted page. */
  dropEntry(leaf: Leaf, page: number): void {
    // ORDER: the entry was hidden and a grace period has passed; from here on the frame is not this file's.
    this.#cache.wasm.entryStore(leaf.at + page * PTE_SIZE, 0);
    leaf.resident--;
    this.residentPages--;
  }

  /** Gives the leaf table back if nothing needs it any more. */
  trim(leaf: Leaf): void {
    if (leaf.resident > 0 || leaf.mappings.length > 0 || leaf.users > 0) return;
    if (this.#chunks.get(leaf.chunk) !== leaf) return;
    this.#chunks.delete(leaf.chunk);
    this.#cache.giveLeaf(leaf);
  }

  // ---- copying -------------------------------------------------------------------------------------------------

  #readTo(pos: number, address: number, size: number): number {
    const wasm = this.#cache.wasm;
    let done = 0;
    while (done < size) {
      const at = pos + done;
      const chunk = Math.floor(at / RANGE_SIZE);
      const offset = at - chunk * RANGE_SIZE;
      const n = Math.min(size - done, RANGE_SIZE - offset);
      const leaf = this.#backing === undefined ? this.#chunks.get(chunk) : this.#leafFor(chunk);
      const got = leaf === undefined ? 0 : wasm.leafRead(leaf.at, offset, address + done, n);
      done += got;
      if (got === n) continue;
      if (this.#backing === undefined) {
        const hole = leaf === undefined ? n : Math.min(n - got, PAGE_SIZE - ((offset + got) & (PAGE_SIZE - 1)));
        wasm.fill(address + done, hole);
        done += hole;
        continue;
      }
      if (leaf === undefined) return -ENOMEM;
      const page = (offset + got) >> PAGE_SHIFT;
      const failed = this.#fill(leaf, page, ((offset + n - 1) >> PAGE_SHIFT) - page + 1);
      if (failed === EFAULT) return done;
      if (failed !== OK) return done > 0 ? done : -failed;
    }
    return done;
  }

  #writeFrom(pos: number, address: number, size: number): number {
    const wasm = this.#cache.wasm;
    let done = 0;
    while (done < size) {
      const at = pos + done;
      const chunk = Math.floor(at / RANGE_SIZE);
      const offset = at - chunk * RANGE_SIZE;
      const n = Math.min(size - done, RANGE_SIZE - offset);
      const leaf = this.#leafFor(chunk);
      if (leaf === undefined) return done > 0 ? done : -ENOSPC;
      const put = wasm.leafWrite(leaf.at, offset, address + done, n, this.isBacked ? 1 : 0);
      done += put;
      if (this.isBacked) leaf.mayBeDirty = true;
      if (put === n) continue;
      const whole = ((offset + put) & (PAGE_SIZE - 1)) === 0 && n - put >= PAGE_SIZE;
      const page = (offset + put) >> PAGE_SHIFT;
      const failed = this.isBacked ? this.#fill(leaf, page, 1) : this.#materialize(leaf, page, !whole) === 0 ? ENOSPC : OK;
      if (failed !== OK) {
        this.trim(leaf);
        return done > 0 ? done : -failed;
      }
    }
    return done;
  }

  #updateFrom(pos: number, address: number, size: number): void {
    const wasm = this.#cache.wasm;
    for (let done = 0; done < size; ) {
      const at = pos + done;
      const chunk = Math.floor(at / RANGE_SIZE);
      const offset = at - chunk * RANGE_SIZE;
      const n = Math.min(size - done, RANGE_SIZE - offset);
      const leaf = this.#chunks.get(chunk);
      if (leaf === undefined) done += n;
      else {
        const put = wasm.leafWrite(leaf.at, offset, address + done, n, 0);
        const skip = put === n ? 0 : Math.min(n - put, PAGE_SIZE - ((offset + put) & (PAGE_SIZE - 1)));
        done += put + skip;
      }
    }
  }

  // ---- pages ---------------------------------------------------------------------------------------------------

  /** Reads the missing pages among [page, page + count) from the backing. EFAULT: the backing ends before the first. */
  #fill(leaf: Leaf, page: number, count: number): Errno {
    const wasm = this.#cache.wasm;
    const inFile = Math.ceil((this.#size - leaf.chunk * RANGE_SIZE) / PAGE_SIZE);
    const end = Math.min(page + count, inFile, PAGES_PER_RANGE);
    let failed: Errno = page < end ? OK : EFAULT;
    leaf.users++;
    for (let at = page; at < end && failed === OK; ) {
      if ((wasm.entryLoad(leaf.at + at * PTE_SIZE) & PTE_PRESENT) !== 0) {
        at++;
        continue;
      }
      // Only the first run may evict: a fill larger than the pool would otherwise evict what it has just read, for ever.
      if (at > page && this.#cache.freeFrames === 0) break;
      const filled = this.#fillRun(leaf, at, end);
      if (filled > 0) at += filled;
      else if (at > page) break;
      else failed = -filled as Errno;
    }
    leaf.users--;
    return failed;
  }

  /** Fills one run of missing pages that got neighbouring frames. Returns the pages filled, or −errno. */
  #fillRun(leaf: Leaf, page: number, end: number): number {
    const cache = this.#cache;
    const wish = page === 0 ? 0 : this.#frameOf(leaf, page - 1) + PAGE_SIZE;
    const frame = cache.takeFrame(wish, leaf.at + page * PTE_SIZE, false);
    if (frame === 0) return -ENOMEM;
    let count = 1;
    while (page + count < end && (cache.wasm.entryLoad(leaf.at + (page + count) * PTE_SIZE) & PTE_PRESENT) === 0) {
      const next = cache.freeFrames > 0 ? cache.takeFrame(frame + count * PAGE_SIZE, leaf.at + (page + count) * PTE_SIZE, false) : 0;
      if (next === 0) break;
      if (next !== frame + count * PAGE_SIZE) {
        cache.giveFrame(next);
        break;
      }
      count++;
    }
    const got = this.#backing?.read(leaf.chunk * RANGE_SIZE + page * PAGE_SIZE, frame, count * PAGE_SIZE) ?? 0;
    const filled = got < 0 ? 0 : Math.ceil(got / PAGE_SIZE);
    for (let i = filled; i < count; i++) cache.giveFrame(frame + i * PAGE_SIZE);
    if (filled === 0) return got < 0 ? got : -EFAULT;
    cache.wasm.fill(frame + got, filled * PAGE_SIZE - got);
    for (let i = 0; i < filled; i++) {
      // ORDER: the frame's bytes are complete before the entry shows it.
      cache.wasm.entryStore(leaf.at + (page + i) * PTE_SIZE, (frame + i * PAGE_SIZE) | PTE_PRESENT | PTE_ACCESSED);
    }
    leaf.resident += filled;
    this.residentPages += filled;
    cache.counts.filledPages += filled;
    return filled;
  }

  /** Gives a page of a memory file its own frame. Returns the frame's address, 0 = no space. */
  #materialize(leaf: Leaf, page: number, zeroed: boolean): number {
    const entryAt = leaf.at + page * PTE_SIZE;
    const wasm = this.#cache.wasm;
    const entry = wasm.entryLoad(entryAt) >>> 0;
    if ((entry & (PTE_PRESENT | PTE_ZERO)) === PTE_PRESENT) return (entry & PTE_FRAME_MASK) >>> 0;
    if (this.#isReserved(entry)) {
      wasm.entrySet(entryAt, PTE_PRESENT);
      return (entry & PTE_FRAME_MASK) >>> 0;
    }
    const quota = this.#quota;
    assert(quota !== undefined, 'a backed page is filled, not materialised');
    if (quota.usedPages >= quota.limitPages) return 0;
    leaf.users++;
    const wish = page === 0 ? 0 : this.#frameOf(leaf, page - 1) + PAGE_SIZE;
    const frame = this.#cache.takeFrame(wish, entryAt, true);
    leaf.users--;
    if (frame === 0) return 0;
    if (zeroed) wasm.fill(frame, PAGE_SIZE);
    quota.usedPages++;
    // ORDER: as in #fillRun. A guest that still reads the page of zeros reads what was there before.
    wasm.entryStore(entryAt, frame | PTE_PRESENT | PTE_ACCESSED);
    leaf.resident++;
    this.residentPages++;
    return frame;
  }

  /** Lets a guest read a hole: the shared page of zeros. */
  #showHole(leaf: Leaf, page: number): boolean {
    const entryAt = leaf.at + page * PTE_SIZE;
    const entry = this.#cache.wasm.entryLoad(entryAt) >>> 0;
    if (this.#isReserved(entry)) this.#cache.wasm.entrySet(entryAt, PTE_PRESENT);
    else if ((entry & PTE_PRESENT) === 0) {
      this.#cache.wasm.entryStore(entryAt, this.#cache.zeroFrame | PTE_PRESENT | PTE_ZERO);
    }
    return true;
  }

  /** A page allocated beyond the end of the file: it has a zeroed frame that nobody may see yet. */
  #isReserved(entry: number): boolean {
    return (entry & (PTE_PRESENT | PTE_ZERO)) === 0 && (entry & PTE_FRAME_MASK) !== 0;
  }

  #frameOf(leaf: Leaf, page: number): number {
    return (this.#cache.wasm.entryLoad(leaf.at + page * PTE_SIZE) & PTE_FRAME_MASK) >>> 0;
  }

  #hasFrame(page: number): boolean {
    const leaf = this.#chunks.get(Math.floor(page / PAGES_PER_RANGE));
    if (leaf === undefined) return false;
    const entry = this.#cache.wasm.entryLoad(leaf.at + (page % PAGES_PER_RANGE) * PTE_SIZE);
    return (entry & (PTE_PRESENT | PTE_ZERO)) === PTE_PRESENT;
  }

  #markDirty(leaf: Leaf, page: number, count: number): void {
    leaf.mayBeDirty = true;
    for (let i = 0; i < count; i++) this.#cache.wasm.entrySet(leaf.at + (page + i) * PTE_SIZE, PTE_DIRTY);
  }

  #leafFor(chunk: number): Leaf | undefined {
    const known = this.#chunks.get(chunk);
    if (known !== undefined) return known;
    const leaf = this.#cache.takeLeaf(this, chunk);
    if (leaf !== undefined) this.#chunks.set(chunk, leaf);
    return leaf;
  }

  /** The size grows to `size`; bytes between the old end and `dataPos` must read as zeros. */
  #grow(size: number, dataPos: number): void {
    const old = this.#size;
    this.#size = Math.max(old, size);
    // A store through a mapping may have left bytes behind the old end, in its last page.
    this.#zero(old, Math.min(Math.ceil(old / PAGE_SIZE) * PAGE_SIZE, Math.max(old, dataPos)));
  }

  /** Zeroes [from, end) within the pages that have frames. */
  #zero(from: number, end: number): void {
    for (let pos = from; pos < end; ) {
      const page = Math.floor(pos / PAGE_SIZE);
      const n = Math.min(end - pos, (page + 1) * PAGE_SIZE - pos);
      const leaf = this.#chunks.get(Math.floor(page / PAGES_PER_RANGE));
      if (leaf === undefined) {
        pos = Math.min(end, (Math.floor(pos / RANGE_SIZE) + 1) * RANGE_SIZE);
        continue;
      }
      if (this.#hasFrame(page)) {
        const inLeaf = page % PAGES_PER_RANGE;
        this.#cache.wasm.fill(this.#frameOf(leaf, inLeaf) + (pos % PAGE_SIZE), n);
      }
      pos += n;
    }
  }

  #dropFrom(size: number): void {
    this.#dropPages(Math.ceil(size / PAGE_SIZE), Number.MAX_SAFE_INTEGER);
  }

  /** Takes pages [first, end) away: hide, wait, release. */
  #dropPages(first: number, end: number): void {
    const wasm = this.#cache.wasm;
    for (const leaf of [...this.#chunks.values()]) {
      const base = leaf.chunk * PAGES_PER_RANGE;
      const from = Math.max(0, first - base);
      const to = Math.min(PAGES_PER_RANGE, end - base);
      if (from >= to) continue;
      for (let page = from; page < to; page++) wasm.entryClear(leaf.at + page * PTE_SIZE, PTE_PRESENT);
      this.#cache.waitForLeaf(leaf);
      for (let page = from; page < to; page++) {
        const entry = wasm.entryLoad(leaf.at + page * PTE_SIZE) >>> 0;
        if (entry !== 0) this.#release(leaf, page, entry);
      }
      this.trim(leaf);
    }
  }

  /** The page is hidden and a grace period has passed: its frame goes back. */
  #release(leaf: Leaf, page: number, entry: number): void {
    if ((entry & PTE_ZERO) !== 0) {
      this.#cache.wasm.entryStore(leaf.at + page * PTE_SIZE, 0);
      return;
    }
    this.dropEntry(leaf, page);
    if (this.#quota !== undefined) this.#quota.usedPages--;
    this.#cache.giveFrameWhenUnpinned((entry & PTE_FRAME_MASK) >>> 0, leaf);
  }

  #endOfChunks(): number {
    let end = 0;
    for (const chunk of this.#chunks.keys()) end = Math.max(end, (chunk + 1) * RANGE_SIZE);
    return end;
  }
}
