/**
 * The host's page cache: frames for the pages of all files, and the leaf tables through which guests see them.
 *
 * Frames of a memory file are the file and stay. Frames of a backed file are copies: when the pool is empty the clock
 * finds some that nobody touched lately; the cache hides them from the guests, waits one grace period for the whole
 * batch, writes the dirty ones back and takes them. A pinned page, or one whose write-back failed, is shown again.
 */
import {
  FRAME_KEEP,
  FRAME_OWNER_MASK,
  LEAF_SIZE,
  PAGE_SIZE,
  POOL_FRAME_COUNT,
  POOL_FRAMES_AT,
  POOL_FREE_FRAMES,
  POOL_LEAVES,
  POOL_ZERO_FRAME,
  PTE_DIRTY,
  PTE_FRAME_MASK,
  PTE_PRESENT,
  PTE_SIZE,
  PTE_ZERO,
  RANGE_SIZE,
} from '../../assembly/layout.ts';
import { assert } from '../base/assert.ts';
import type { HostExports } from '../dax/exports.ts';
import { OK } from '../wire/errno.ts';
import { AddressSpace } from './address-space.ts';
import type { FilePages, PageBacking, Quota } from './file-pages.ts';
import type { GracePeriod } from './grace.ts';
import { Leaf, type LeafMapping } from './leaf.ts';

/** Victims per grace period at least; but no more than a sixteenth of the pool, or hot pages would go with the cold. */
const EVICTION_BATCH = 64;
const EVICTION_SHIFT = 4;
/** No readahead of more than an eighth of the pool. */
const READAHEAD_SHIFT = 3;
/** No more than a third of the pool dirty: what is evicted should be clean. */
const DIRTY_PART = 3;

export interface PageCacheOptions {
  readonly wasm: HostExports;
  readonly buffer: ArrayBufferLike;
  /** Address of the pool's struct, initialised by poolInit. */
  readonly poolAt: number;
  readonly grace: GracePeriod;
}

/** A frame whose page is gone from its file while a view still pins it. */
interface LimboFrame {
  readonly frame: number;
  readonly page: number;
  readonly mappings: readonly LeafMapping[];
}

export class PageCache {
  /** The host's whole memory. */
  readonly bytes: Uint8Array;
  readonly wasm: HostExports;
  readonly grace: GracePeriod;
  readonly zeroFrame: number;
  /** Counters for tables and tests. */
  readonly counts = { filledPages: 0, evictedPages: 0, writtenBackPages: 0, dirtyLimits: 0, faults: 0 };
  readonly #view: DataView;
  readonly #pool: number;
  readonly #leaves = new Map<number, Leaf>();
  readonly #limbo: LimboFrame[] = [];
  /** Clean pages that a view kept when they should have gone. */
  readonly #stale = new Map<Leaf, Set<number>>();
  /** A range entry was cleared or replaced and no grace period has passed since. */
  #graceOwed = false;
  /** Pages filled when dirty ones were last counted. */
  #lookedAt = 0;

  constructor(options: PageCacheOptions) {
    this.bytes = new Uint8Array(options.buffer);
    this.#view = new DataView(options.buffer);
    this.wasm = options.wasm;
    this.grace = options.grace;
    this.#pool = options.poolAt;
    this.zeroFrame = this.#view.getUint32(this.#pool + POOL_ZERO_FRAME, true);
    assert(this.zeroFrame !== 0, 'the pool was not initialised');
  }

  createSpace(quota: Quota): AddressSpace {
    return new AddressSpace(this, undefined, quota, 0);
  }

  createBackedSpace(backing: PageBacking, size: number): AddressSpace {
    return new AddressSpace(this, backing, undefined, size);
  }

  get frameCount(): number {
    return this.#view.getUint32(this.#pool + POOL_FRAME_COUNT, true);
  }

  get freeFrames(): number {
    return this.#view.getUint32(this.#pool + POOL_FREE_FRAMES, true);
  }

  get leafCount(): number {
    return this.#view.getUint32(this.#pool + POOL_LEAVES, true);
  }

  /** The most that is worth reading ahead, in pages. */
  get readaheadLimit(): number {
    return this.frameCount >> READAHEAD_SHIFT;
  }

  /**
   * Takes a frame for the page whose entry is at `entryAt`; evicts if it must, and then for `demand` frames if it can.
   * Returns 0 when nothing can be had.
   */
  takeFrame(wish: number, entryAt: number, keep: boolean, demand = 1): number {
    const owner = keep ? entryAt | FRAME_KEEP : entryAt;
    let frame = this.wasm.frameTake(this.#pool, wish, owner) >>> 0;
    while (frame === 0 && this.#makeRoom(demand)) frame = this.wasm.frameTake(this.#pool, wish, owner) >>> 0;
    return frame;
  }

  /** Where the frame of a page should be: behind the one before, or in room for its whole chunk; 0 = anywhere. */
  wishFor(leaf: Leaf, page: number): number {
    const before = page === 0 ? 0 : this.wasm.entryLoad(leaf.at + (page - 1) * PTE_SIZE);
    const frame = (before & PTE_ZERO) !== 0 ? 0 : (before & PTE_FRAME_MASK) >>> 0;
    if (frame !== 0 && this.#isFree(frame + PAGE_SIZE)) return frame + PAGE_SIZE;
    if (leaf.home === 0 && leaf.isLarge) leaf.home = this.wasm.frameHome(this.#pool) >>> 0;
    return leaf.home === 0 ? 0 : leaf.home + page * PAGE_SIZE;
  }

  #isFree(frame: number): boolean {
    const end = this.#view.getUint32(this.#pool + POOL_FRAMES_AT, true) + this.frameCount * PAGE_SIZE;
    return frame < end && this.wasm.frameOwner(this.#pool, frame) === 0;
  }

  /** Evicts until so many frames are free; tells whether they are. */
  makeFree(count: number): boolean {
    if (count >= this.frameCount) return false;
    while (this.freeFrames < count) if (!this.#makeRoom(count - this.freeFrames)) return false;
    return true;
  }

  /** Takes frames for the pages [from, end) of a memory file that have none, hidden; how many. There must be enough. */
  reserveFrames(leaf: Leaf, from: number, end: number): number {
    return this.wasm.leafReserve(this.#pool, leaf.at, from, end, this.wishFor(leaf, from));
  }

  /** Whether a guest may be looking at the leaf's pages. */
  isReachable(leaf: Leaf): boolean {
    return leaf.mappings.length > 0 || this.#graceOwed;
  }

  giveFrame(frame: number): void {
    this.wasm.frameGive(this.#pool, frame);
  }

  /** Gives a frame back that a view may still show: at once, or when the last pin of these mappings is gone. */
  giveFrameWhenUnpinned(frame: number, leaf: Leaf, page: number): void {
    if (!leaf.isPinned(page)) {
      this.giveFrame(frame);
      return;
    }
    // The leaf may go before the pin does, and its table's memory become something else.
    this.wasm.frameDisown(this.#pool, frame);
    this.#limbo.push({ frame, page, mappings: leaf.mappings.slice() });
  }

  takeLeaf(pages: FilePages, chunk: number): Leaf | undefined {
    let at = this.wasm.leafTake(this.#pool) >>> 0;
    while (at === 0 && this.#makeRoom(1)) at = this.wasm.leafTake(this.#pool) >>> 0;
    if (at === 0) return undefined;
    const leaf = new Leaf(at, pages, chunk);
    this.#leaves.set(at, leaf);
    return leaf;
  }

  giveLeaf(leaf: Leaf): void {
    assert(leaf.mappings.length === 0, 'a mapped leaf cannot be given back');
    assert(leaf.resident === 0, 'a leaf with pages cannot be given back');
    this.settle();
    this.#leaves.delete(leaf.at);
    this.#stale.delete(leaf);
    this.wasm.leafGive(this.#pool, leaf.at);
  }

  /** A range entry changed: accesses that began before may still use the old one. */
  oweGrace(): void {
    this.#graceOwed = true;
  }

  /** Waits for the grace period that is owed, if any. */
  settle(): void {
    if (this.#graceOwed) this.waitForGrace();
  }

  /** Waits until no guest uses an entry it read before the call. */
  waitForGrace(): void {
    this.grace.wait();
    this.#graceOwed = false;
  }

  /** Waits before pages of `leaf` are taken or written back; nothing to wait for when no guest can reach them. */
  waitForLeaf(leaf: Leaf): void {
    if (this.isReachable(leaf)) this.waitForGrace();
  }

  /** The page is to be invalidated as soon as no view pins it. */
  invalidateWhenUnpinned(leaf: Leaf, page: number): void {
    const pages = this.#stale.get(leaf);
    if (pages === undefined) this.#stale.set(leaf, new Set([page]));
    else pages.add(page);
  }

  /** Does for pages whose pins have gone what could not be done before. Cheap when there are none. */
  sweepLimbo(): void {
    for (const [leaf, pages] of [...this.#stale]) {
      if ([...pages].every((page) => leaf.isPinned(page))) continue;
      this.#stale.delete(leaf);
      leaf.pages.invalidateLeaf(leaf);
    }
    for (let i = this.#limbo.length - 1; i >= 0; i--) {
      const { frame, page, mappings } = this.#limbo[i] as LimboFrame;
      if (mappings.some((mapping) => mapping.slot.isPinned(mapping.range, page))) continue;
      this.giveFrame(frame);
      this.#limbo.splice(i, 1);
    }
  }

  /**
   * Writes back the chunks that were first mapped, until few pages are dirty, if more than a third of the pool is. The
   * host sees no store, but a page must have been filled before it becomes dirty: dirty ones are counted each time a
   * twelfth of the pool was filled. (A guest that only stores into what is resident needs no room: the timer's affair.)
   */
  limitDirty(): void {
    const limit = Math.floor(this.frameCount / DIRTY_PART);
    if (this.counts.filledPages - this.#lookedAt < limit >> 2) return;
    this.#lookedAt = this.counts.filledPages;
    let dirty = this.countDirty();
    if (dirty <= limit) return;
    this.counts.dirtyLimits++;
    for (const leaf of [...this.#leaves.values()]) {
      if (dirty <= limit >> 1) return;
      const before = this.#dirtyPages(leaf);
      if (before === 0) continue;
      leaf.pages.flushLeaf(leaf);
      dirty -= before - this.#dirtyPages(leaf);
      // Behind the others, or one that is always dirty would be written each time.
      this.#leaves.delete(leaf.at);
      this.#leaves.set(leaf.at, leaf);
    }
  }

  /** Pages of backed files that guests have stored into and the backing does not have. */
  countDirty(): number {
    let dirty = 0;
    for (const leaf of this.#leaves.values()) dirty += this.#dirtyPages(leaf);
    return dirty;
  }

  /** How well pages lie side by side: pages with frames of their own, and the runs of neighbouring frames they form. */
  contiguity(): { readonly residentPages: number; readonly residentRuns: number } {
    let [residentPages, residentRuns] = [0, 0];
    for (const leaf of this.#leaves.values()) {
      residentPages += leaf.resident;
      residentRuns += this.wasm.leafRuns(leaf.at);
    }
    return { residentPages, residentRuns };
  }

  #dirtyPages(leaf: Leaf): number {
    return leaf.mayBeDirty && leaf.pages.isBacked ? this.wasm.leafCount(leaf.at, PTE_DIRTY) : 0;
  }

  /** Evicts a batch, for `demand` frames if the pool is large. Returns false when nothing could be taken. */
  #makeRoom(demand: number): boolean {
    const free = this.freeFrames;
    this.sweepLimbo();
    if (this.freeFrames > free) return true;
    // What cannot be written back stays: once round the pool for others, or one broken file would stop all.
    for (let tried = 0; tried < this.frameCount; ) {
      const victims = this.#hideVictims(Math.max(EVICTION_BATCH, demand));
      if (victims.length === 0) return false;
      if (this.#evictAll(victims) > 0) return true;
      tried += victims.length;
    }
    return false;
  }

  /** Takes the frames of pages that were hidden, where it can. Returns how many. */
  #evictAll(victims: number[]): number {
    this.waitForGrace();
    // In the order of the file, so that neighbours are written together.
    victims.sort((a, b) => a - b);
    let taken = 0;
    for (let i = 0; i < victims.length; ) {
      const count = this.#dirtyRun(victims, i);
      taken += this.#evict(victims[i] as number, count);
      i += count;
    }
    this.counts.evictedPages += taken;
    return taken;
  }

  /** Hides pages that nobody touched lately. A hidden one is not found again. */
  #hideVictims(wanted: number): number[] {
    const victims: number[] = [];
    // Two rounds: the first may only clear ACCESSED bits.
    let budget = this.frameCount * 2;
    const batch = Math.max(1, Math.min(wanted, this.frameCount >> EVICTION_SHIFT));
    while (victims.length < batch && budget > 0) {
      const step = Math.min(budget, 4096);
      const entryAt = this.wasm.clockNext(this.#pool, step) >>> 0;
      if (entryAt === 0) {
        budget -= step;
        continue;
      }
      budget -= 1;
      const leaf = this.#leafOf(entryAt);
      if (leaf.isPinned((entryAt - leaf.at) / PTE_SIZE)) continue;
      this.wasm.entryClear(entryAt, PTE_PRESENT);
      victims.push(entryAt);
    }
    return victims;
  }

  /** How many victims from `first` on are neighbours in their file and dirty; at least 1. */
  #dirtyRun(victims: readonly number[], first: number): number {
    const from = victims[first] as number;
    let count = 0;
    while (victims[first + count] === from + count * PTE_SIZE && from + count * PTE_SIZE < leafEnd(from)) {
      if ((this.wasm.entryLoad(from + count * PTE_SIZE) & PTE_DIRTY) === 0) break;
      count++;
    }
    return Math.max(1, count);
  }

  /**
   * The pages are hidden and a grace period has passed: takes their frames, or shows them again. Returns how many it
   * took.
   */
  #evict(entryAt: number, count: number): number {
    const leaf = this.#leafOf(entryAt);
    const first = (entryAt - leaf.at) / PTE_SIZE;
    const isDirty = (this.wasm.entryLoad(entryAt) & PTE_DIRTY) !== 0;
    const isWritten = !isDirty || leaf.pages.writeBack?.write(leaf, first, count) === OK;
    let taken = 0;
    for (let page = first; page < first + count; page++) {
      const at = leaf.at + page * PTE_SIZE;
      // A pin that came after the pick: the guest either saw the page before it was hidden, or it is faulting now.
      if (!isWritten || leaf.isPinned(page)) {
        this.wasm.entrySet(at, PTE_PRESENT);
        continue;
      }
      const frame = this.wasm.entryLoad(at) & PTE_FRAME_MASK;
      leaf.pages.dropEntry(leaf, page);
      this.giveFrame(frame);
      taken++;
    }
    leaf.pages.trim(leaf);
    return taken;
  }

  #leafOf(entryAt: number): Leaf {
    const leaf = this.#leaves.get(entryAt - (entryAt % LEAF_SIZE));
    assert(leaf !== undefined, 'a frame belongs to a leaf that is not there');
    return leaf;
  }

  /** Asserts the invariants that tests check after every step; returns how many frames files hold. */
  checkInvariants(): number {
    let held = 0;
    for (const leaf of this.#leaves.values()) {
      let resident = 0;
      const entries = new Uint32Array(this.bytes.buffer, leaf.at, LEAF_SIZE / PTE_SIZE);
      for (let page = 0; page < entries.length; page++) {
        const entry = entries[page] as number;
        if (entry === 0) continue;
        const entryAt = leaf.at + page * PTE_SIZE;
        const pos = leaf.chunk * RANGE_SIZE + page * PAGE_SIZE;
        assert((entry & PTE_PRESENT) === 0 || pos < leaf.pages.size, 'a page beyond the end');
        const frame = (entry & PTE_FRAME_MASK) >>> 0;
        if (frame === 0 || frame === this.zeroFrame) continue;
        resident++;
        const owner = (this.wasm.frameOwner(this.#pool, frame) & FRAME_OWNER_MASK) >>> 0;
        assert(owner === entryAt, 'a frame is in two files, or in none');
      }
      assert(resident === leaf.resident, 'resident count of a leaf is wrong');
      held += resident;
    }
    const leafFrames = this.frameCount - this.freeFrames - held - this.#limbo.length - 1;
    assert(leafFrames >= 0 && leafFrames <= this.leafCount, 'frames leaked');
    return held;
  }
}

/** Where the leaf table that has this entry ends. */
function leafEnd(entryAt: number): number {
  return entryAt - (entryAt % LEAF_SIZE) + LEAF_SIZE;
}
