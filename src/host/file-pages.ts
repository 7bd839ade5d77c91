/**
 * Which page of a file is in which frame, and how pages come and go: filled from a backing or made as holes are stored
 * to, shown to guests through leaf tables, written back, taken away.
 *
 * A page is taken in three steps: its entry is hidden, a grace period passes, and only then the frame is written or
 * reused.
 * INVARIANT: no entry is present at or beyond the end of the file.
 */
import {
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
import { EFAULT, ENOMEM, ENOSPC, type Errno, OK } from '../wire/errno.ts';
import type { Leaf } from './leaf.ts';
import type { PageCache } from './page-cache.ts';
import { WriteBack } from './write-back.ts';

/** Where the bytes of a backed file live. */
export interface PageBacking {
  /**
   * Copies `size` bytes of the file from `pos` to address `at` of the host's memory. Returns how many there were, or
   * −errno.
   */
  read(pos: number, at: number, size: number): number;
  /** Copies `size` bytes from address `at` into the file at `pos`. Returns `size` or −errno. */
  write(pos: number, at: number, size: number): number;
}

/** How many pages the files of one file system may have in all (memory: the frames *are* the file). */
export interface Quota {
  readonly limitPages: number;
  usedPages: number;
}

export class FilePages {
  /** File size in bytes (i_size). Owner: AddressSpace. */
  size: number;
  /** Pages that have a frame of their own. */
  residentPages = 0;
  readonly cache: PageCache;
  readonly chunks = new Map<number, Leaf>();
  /** Undefined: a memory file. */
  readonly writeBack: WriteBack | undefined;
  readonly #backing: PageBacking | undefined;
  readonly #quota: Quota | undefined;

  constructor(cache: PageCache, backing: PageBacking | undefined, quota: Quota | undefined, size: number) {
    assert((backing === undefined) !== (quota === undefined), 'a file has a backing or a quota');
    this.cache = cache;
    this.#backing = backing;
    this.writeBack = backing === undefined ? undefined : new WriteBack(this, backing);
    this.#quota = quota;
    this.size = size;
  }

  get isBacked(): boolean {
    return this.#backing !== undefined;
  }

  /** Pages the quota still allows. */
  get quotaLeft(): number {
    const quota = this.#quota;
    return quota === undefined ? Number.POSITIVE_INFINITY : quota.limitPages - quota.usedPages;
  }

  /** A guest touched pages that are not present (or stored to a hole): makes at least the first one present. */
  fault(leaf: Leaf, page: number, count: number, write: boolean): Errno {
    this.cache.counts.faults++;
    const pos = leaf.chunk * RANGE_SIZE + page * PAGE_SIZE;
    if (pos >= this.size) return EFAULT;
    const inFile = Math.ceil((this.size - pos) / PAGE_SIZE);
    const limit = Math.min(PAGES_PER_RANGE - page, inFile);
    const wanted = Math.min(limit, Math.max(1, count));
    if (this.#backing !== undefined) return this.fillAhead(leaf, page, wanted);
    for (let i = 0; i < wanted; i++) {
      if (write ? this.materialize(leaf, page + i, true) === 0 : !this.#showOwn(leaf, page + i, true)) {
        return i > 0 ? OK : ENOSPC;
      }
    }
    // Whoever comes next finds what costs nothing to show; a store into a hole faults anyhow.
    const end = page + Math.min(limit, this.#ahead(leaf, page, wanted));
    for (let next = page + wanted; next < end; next++) this.#showOwn(leaf, next, !write);
    leaf.readahead.end = end;
    return OK;
  }

  /** Fills at least the first of `count` missing pages, and as many more as the access pattern calls for. */
  fillAhead(leaf: Leaf, page: number, count: number): Errno {
    const failed = this.fill(leaf, page, this.#ahead(leaf, page, count));
    this.cache.limitDirty();
    return failed;
  }

  /** Writes dirty pages to the backing; reports the first error since the last flush, once. */
  flush(): Errno {
    return this.writeBack?.flush() ?? OK;
  }

  /** Whether a guest may have stored into pages that the backing does not have yet. */
  get mayBeDirty(): boolean {
    if (this.#backing === undefined) return false;
    for (const leaf of this.chunks.values()) if (leaf.mayBeDirty) return true;
    return false;
  }

  /** Writes back the dirty pages of one leaf. */
  flushLeaf(leaf: Leaf): void {
    if (this.writeBack !== undefined) this.writeBack.flushLeaf(leaf);
    else leaf.mayBeDirty = leaf.isMappedWritable;
  }

  /** Drops all clean pages that no view pins, because the backing changed behind us. */
  invalidate(): void {
    for (const leaf of [...this.chunks.values()]) this.invalidateLeaf(leaf);
  }

  /** The same for one leaf; what a view pins goes when it does not any longer. */
  invalidateLeaf(leaf: Leaf): void {
    const wasm = this.cache.wasm;
    wasm.leafHide(leaf.at, 0, PAGES_PER_RANGE);
    this.cache.waitForLeaf(leaf);
    for (let page = 0; page < PAGES_PER_RANGE; page++) {
      const entry = wasm.entryLoad(leaf.at + page * PTE_SIZE) >>> 0;
      if (entry === 0) continue;
      const isPinned = leaf.isPinned(page);
      if (isPinned) this.cache.invalidateWhenUnpinned(leaf, page);
      if (isPinned || (entry & PTE_DIRTY) !== 0) wasm.entrySet(leaf.at + page * PTE_SIZE, PTE_PRESENT);
      else this.#release(leaf, page, entry);
    }
    this.trim(leaf);
  }

  hasFrame(page: number): boolean {
    return (this.#entryOf(page) & (PTE_PRESENT | PTE_ZERO)) === PTE_PRESENT;
  }

  /** Pages among [first, end) that have no frame of their own. */
  countMissing(first: number, end: number): number {
    let missing = end - first;
    for (const leaf of this.chunks.values()) {
      const base = leaf.chunk * PAGES_PER_RANGE;
      const [from, to] = [Math.max(0, first - base), Math.min(PAGES_PER_RANGE, end - base)];
      if (from < to) missing -= to - from - this.cache.wasm.leafMissing(leaf.at, from, to);
    }
    return missing;
  }

  /**
   * Gives pages [first, end) of a memory file frames that stay hidden until somebody touches them: all or none. They
   * are not zeroed before: a gigabyte of them takes milliseconds.
   */
  reserve(first: number, end: number): Errno {
    const quota = this.#quota;
    assert(quota !== undefined, 'only a memory file allocates');
    // No file has more than that, and the range may be astronomic.
    if (end - first > this.quotaLeft + this.residentPages) return ENOSPC;
    const missing = this.countMissing(first, end);
    if (missing > this.quotaLeft) return ENOSPC;
    const [firstChunk, endChunk] = [Math.floor(first / PAGES_PER_RANGE), Math.ceil(end / PAGES_PER_RANGE)];
    let leaves = 0;
    for (let chunk = firstChunk; chunk < endChunk; chunk++) if (!this.chunks.has(chunk)) leaves++;
    // A frame holds two leaf tables.
    if (!this.cache.makeFree(missing + Math.ceil(leaves / 2))) return ENOSPC;
    for (let chunk = firstChunk; chunk < endChunk; chunk++) {
      const leaf = this.leafFor(chunk);
      assert(leaf !== undefined, 'room for the leaf table was made');
      const base = chunk * PAGES_PER_RANGE;
      const taken = this.cache.reserveFrames(leaf, Math.max(0, first - base), Math.min(PAGES_PER_RANGE, end - base));
      quota.usedPages += taken;
      leaf.resident += taken;
      this.residentPages += taken;
    }
    return OK;
  }

  /**
   * Gives a page of a memory file its own frame. Returns the frame's address, 0 = no space. Without `zeroed` the caller
   * writes the whole page: it holds other bytes before, but only if no guest can look.
   */
  materialize(leaf: Leaf, page: number, zeroed: boolean): number {
    const entryAt = leaf.at + page * PTE_SIZE;
    const wasm = this.cache.wasm;
    const entry = wasm.entryLoad(entryAt) >>> 0;
    if ((entry & (PTE_PRESENT | PTE_ZERO)) === PTE_PRESENT) return (entry & PTE_FRAME_MASK) >>> 0;
    if (this.#isReserved(entry)) return this.#showReserved(entryAt, entry, zeroed || this.cache.isReachable(leaf));
    return this.#takeOwn(leaf, page, zeroed);
  }

  /** Reads the missing pages among [page, page + count) from the backing. EFAULT: the backing ends before the first. */
  fill(leaf: Leaf, page: number, count: number): Errno {
    const wasm = this.cache.wasm;
    const inFile = Math.ceil((this.size - leaf.chunk * RANGE_SIZE) / PAGE_SIZE);
    const end = Math.min(page + count, inFile, PAGES_PER_RANGE);
    let failed: Errno = page < end ? OK : EFAULT;
    let at = page;
    leaf.users++;
    while (at < end && failed === OK) {
      if ((wasm.entryLoad(leaf.at + at * PTE_SIZE) & PTE_PRESENT) !== 0) {
        at++;
        continue;
      }
      // Only the first run may evict: a fill larger than the pool would otherwise evict what it has just read, for
      // ever.
      if (at > page && this.cache.freeFrames === 0) break;
      const filled = this.#fillRun(leaf, at, end);
      if (filled > 0) at += filled;
      else if (at > page) break;
      else failed = -filled as Errno;
    }
    leaf.users--;
    leaf.readahead.end = at;
    return failed;
  }

  leafFor(chunk: number): Leaf | undefined {
    const known = this.chunks.get(chunk);
    if (known !== undefined) return known;
    const leaf = this.cache.takeLeaf(this, chunk);
    if (leaf !== undefined) this.chunks.set(chunk, leaf);
    return leaf;
  }

  /** Zeroes [from, end) within the pages that have frames. */
  zero(from: number, end: number): void {
    for (let pos = from; pos < end; ) {
      const page = Math.floor(pos / PAGE_SIZE);
      const n = Math.min(end - pos, (page + 1) * PAGE_SIZE - pos);
      const leaf = this.chunks.get(Math.floor(page / PAGES_PER_RANGE));
      if (leaf === undefined) {
        pos = Math.min(end, (Math.floor(pos / RANGE_SIZE) + 1) * RANGE_SIZE);
        continue;
      }
      if (this.hasFrame(page)) {
        const inLeaf = page % PAGES_PER_RANGE;
        this.cache.wasm.fill(this.#frameOf(leaf, inLeaf) + (pos % PAGE_SIZE), n);
      }
      pos += n;
    }
  }

  /**
   * Takes pages [first, end) away: hide, wait, release. With `keepPinned`, pages that a view may show are zeroed
   * instead and stay, or its stores would no longer be the file's.
   */
  drop(first: number, end: number, keepPinned = false): void {
    const wasm = this.cache.wasm;
    for (const leaf of [...this.chunks.values()]) {
      const base = leaf.chunk * PAGES_PER_RANGE;
      const from = Math.max(0, first - base);
      const to = Math.min(PAGES_PER_RANGE, end - base);
      if (from >= to) continue;
      wasm.leafHide(leaf.at, from, to);
      this.cache.waitForLeaf(leaf);
      const kept = keepPinned ? Math.ceil(this.size / PAGE_SIZE) - base : 0;
      for (let page = from; page < to; page++) {
        const entry = wasm.entryLoad(leaf.at + page * PTE_SIZE) >>> 0;
        if (entry === 0) continue;
        if (page >= kept || !leaf.isPinned(page)) this.#release(leaf, page, entry);
        else {
          if ((entry & PTE_ZERO) === 0) wasm.fill(entry & PTE_FRAME_MASK, PAGE_SIZE);
          wasm.entrySet(leaf.at + page * PTE_SIZE, PTE_PRESENT);
        }
      }
      this.trim(leaf);
    }
  }

  endOfChunks(): number {
    let end = 0;
    for (const chunk of this.chunks.keys()) end = Math.max(end, (chunk + 1) * RANGE_SIZE);
    return end;
  }

  /** Forgets the entry of an evicted page. */
  dropEntry(leaf: Leaf, page: number): void {
    // ORDER: the entry was hidden and a grace period has passed; from here on the frame is not this file's.
    this.cache.wasm.entryStore(leaf.at + page * PTE_SIZE, 0);
    leaf.resident--;
    this.residentPages--;
  }

  /** Gives the leaf table back if nothing needs it any more. */
  trim(leaf: Leaf): void {
    if (leaf.resident > 0 || leaf.mappings.length > 0 || leaf.users > 0) return;
    if (this.chunks.get(leaf.chunk) !== leaf) return;
    this.chunks.delete(leaf.chunk);
    this.cache.giveLeaf(leaf);
  }

  /** Takes a frame for a page that has none; Returns its address, 0 = no space. */
  #takeOwn(leaf: Leaf, page: number, zeroed: boolean): number {
    const entryAt = leaf.at + page * PTE_SIZE;
    const quota = this.#quota;
    assert(quota !== undefined, 'a backed page is filled, not materialised');
    if (quota.usedPages >= quota.limitPages) return 0;
    leaf.users++;
    const wish = this.cache.wishFor(leaf, page);
    const frame = this.cache.takeFrame(wish, entryAt, true);
    leaf.users--;
    if (frame === 0) return 0;
    if (zeroed || this.cache.isReachable(leaf)) this.cache.wasm.fill(frame, PAGE_SIZE);
    quota.usedPages++;
    // ORDER: as in #fillRun. A guest that still reads the page of zeros reads what was there before.
    this.cache.wasm.entryStore(entryAt, frame | PTE_PRESENT | PTE_ACCESSED);
    leaf.resident++;
    this.residentPages++;
    return frame;
  }

  /** Fills one run of missing pages that got neighbouring frames. Returns the pages filled, or −errno. */
  #fillRun(leaf: Leaf, page: number, end: number): number {
    const cache = this.cache;
    const wish = this.cache.wishFor(leaf, page);
    const frame = cache.takeFrame(wish, leaf.at + page * PTE_SIZE, false, end - page);
    if (frame === 0) return -ENOMEM;
    let count = 1;
    while (page + count < end && (cache.wasm.entryLoad(leaf.at + (page + count) * PTE_SIZE) & PTE_PRESENT) === 0) {
      const next =
        cache.freeFrames > 0
          ? cache.takeFrame(frame + count * PAGE_SIZE, leaf.at + (page + count) * PTE_SIZE, false)
          : 0;
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

  /** Shows a reserved page, or with `holes` a hole as the shared page of zeros. Always succeeds. */
  #showOwn(leaf: Leaf, page: number, holes: boolean): boolean {
    const entryAt = leaf.at + page * PTE_SIZE;
    const { wasm, zeroFrame } = this.cache;
    const entry = wasm.entryLoad(entryAt) >>> 0;
    if (this.#isReserved(entry)) this.#showReserved(entryAt, entry, true);
    else if (holes && (entry & PTE_PRESENT) === 0) wasm.entryStore(entryAt, zeroFrame | PTE_PRESENT | PTE_ZERO);
    return true;
  }

  /** A reserved frame holds whatever its last page held until somebody is to see it. */
  #showReserved(entryAt: number, entry: number, zeroed: boolean): number {
    const frame = (entry & PTE_FRAME_MASK) >>> 0;
    if (zeroed) this.cache.wasm.fill(frame, PAGE_SIZE);
    // ORDER: the frame's bytes are complete before the entry shows it.
    this.cache.wasm.entrySet(entryAt, PTE_PRESENT);
    return frame;
  }

  #ahead(leaf: Leaf, page: number, count: number): number {
    const previous = this.chunks.get(leaf.chunk - 1)?.readahead;
    return leaf.readahead.plan(page, count, this.cache.readaheadLimit, previous);
  }

  /** A page allocated beyond the end of the file: it has a frame that nobody may see yet. */
  #isReserved(entry: number): boolean {
    return (entry & (PTE_PRESENT | PTE_ZERO)) === 0 && (entry & PTE_FRAME_MASK) !== 0;
  }

  #entryOf(page: number): number {
    const leaf = this.chunks.get(Math.floor(page / PAGES_PER_RANGE));
    return leaf === undefined ? 0 : this.cache.wasm.entryLoad(leaf.at + (page % PAGES_PER_RANGE) * PTE_SIZE);
  }

  #frameOf(leaf: Leaf, page: number): number {
    return (this.cache.wasm.entryLoad(leaf.at + page * PTE_SIZE) & PTE_FRAME_MASK) >>> 0;
  }

  /** The page is hidden and a grace period has passed: its frame goes back. */
  #release(leaf: Leaf, page: number, entry: number): void {
    if ((entry & PTE_ZERO) !== 0) {
      this.cache.wasm.entryStore(leaf.at + page * PTE_SIZE, 0);
      return;
    }
    this.dropEntry(leaf, page);
    if (this.#quota !== undefined) this.#quota.usedPages--;
    this.cache.giveFrameWhenUnpinned((entry & PTE_FRAME_MASK) >>> 0, leaf, page);
  }
}
