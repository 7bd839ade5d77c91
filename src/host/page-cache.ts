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
  POOL_FREE_FRAMES,
  POOL_LEAVES,
  POOL_ZERO_FRAME,
  PTE_DIRTY,
  PTE_FRAME_MASK,
  PTE_PRESENT,
  PTE_SIZE,
  RANGE_SIZE,
} from '../../assembly/layout.ts';
import { assert } from '../base/assert.ts';
import type { HostExports } from '../dax/exports.ts';
import { OK } from '../wire/errno.ts';
import { AddressSpace } from './address-space.ts';
import type { FilePages, PageBacking, Quota } from './file-pages.ts';
import type { GracePeriod } from './grace.ts';
import { Leaf, type LeafMapping } from './leaf.ts';

/** Victims per grace period; a small pool gives up a sixteenth at a time, or hot pages would go with the cold. */
const EVICTION_BATCH = 64;

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
  readonly mappings: readonly LeafMapping[];
}

export class PageCache {
  /** The host's whole memory. */
  readonly bytes: Uint8Array;
  readonly wasm: HostExports;
  readonly grace: GracePeriod;
  readonly zeroFrame: number;
  /** Counters for tables and tests. */
  readonly counts = { filledPages: 0, evictedPages: 0, writtenBackPages: 0, faults: 0 };
  readonly #view: DataView;
  readonly #pool: number;
  readonly #leaves = new Map<number, Leaf>();
  readonly #limbo: LimboFrame[] = [];
  /** Leaves with clean pages that a view kept when they should have gone. */
  readonly #stale = new Set<Leaf>();
  /** A range entry was cleared or replaced and no grace period has passed since. */
  #graceOwed = false;

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

  /** Takes a frame for the page whose entry is at `entryAt`; evicts if it must. Returns 0 when nothing can be had. */
  takeFrame(wish: number, entryAt: number, keep: boolean): number {
    const owner = keep ? entryAt | FRAME_KEEP : entryAt;
    let frame = this.wasm.frameTake(this.#pool, wish, owner) >>> 0;
    while (frame === 0 && this.#makeRoom()) frame = this.wasm.frameTake(this.#pool, wish, owner) >>> 0;
    return frame;
  }

  giveFrame(frame: number): void {
    this.wasm.frameGive(this.#pool, frame);
  }

  /** Gives a frame back that a view may still show: at once, or when the last pin of these mappings is gone. */
  giveFrameWhenUnpinned(frame: number, leaf: Leaf): void {
    if (!leaf.isPinned) {
      this.giveFrame(frame);
      return;
    }
    // The leaf may go before the pin does, and its table's memory become something else.
    this.wasm.frameDisown(this.#pool, frame);
    this.#limbo.push({ frame, mappings: leaf.mappings.slice() });
  }

  takeLeaf(pages: FilePages, chunk: number): Leaf | undefined {
    let at = this.wasm.leafTake(this.#pool) >>> 0;
    while (at === 0 && this.#makeRoom()) at = this.wasm.leafTake(this.#pool) >>> 0;
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
    if (leaf.mappings.length > 0 || this.#graceOwed) this.waitForGrace();
  }

  /** The leaf's pages are to be invalidated as soon as no view pins them. */
  invalidateWhenUnpinned(leaf: Leaf): void {
    this.#stale.add(leaf);
  }

  /** Does for pages whose pins have gone what could not be done before. Cheap when there are none. */
  sweepLimbo(): void {
    for (const leaf of this.#stale) {
      if (leaf.isPinned) continue;
      this.#stale.delete(leaf);
      leaf.pages.invalidateLeaf(leaf);
    }
    for (let i = this.#limbo.length - 1; i >= 0; i--) {
      const { frame, mappings } = this.#limbo[i] as LimboFrame;
      if (mappings.some((mapping) => mapping.slot.isPinned(mapping.range))) continue;
      this.giveFrame(frame);
      this.#limbo.splice(i, 1);
    }
  }

  /** Evicts one batch. Returns false when nothing could be taken. */
  #makeRoom(): boolean {
    this.sweepLimbo();
    if (this.freeFrames > 0) return true;
    const victims = this.#pickVictims();
    if (victims.length === 0) return false;
    for (const entryAt of victims) this.wasm.entryClear(entryAt, PTE_PRESENT);
    this.waitForGrace();
    let taken = 0;
    for (const entryAt of victims) if (this.#evict(entryAt)) taken++;
    this.counts.evictedPages += taken;
    return taken > 0;
  }

  #pickVictims(): number[] {
    const victims: number[] = [];
    // Two rounds: the first may only clear ACCESSED bits.
    let budget = this.frameCount * 2;
    const batch = Math.max(1, Math.min(EVICTION_BATCH, this.frameCount >> 4));
    while (victims.length < batch && budget > 0) {
      const step = Math.min(budget, 4096);
      const entryAt = this.wasm.clockNext(this.#pool, step) >>> 0;
      if (entryAt === 0) {
        budget -= step;
        continue;
      }
      budget -= 1;
      const leaf = this.#leafOf(entryAt);
      if (leaf.isPinned || victims.includes(entryAt)) continue;
      victims.push(entryAt);
    }
    return victims;
  }

  /** The page is hidden and a grace period has passed: takes its frame, or shows it again. */
  #evict(entryAt: number): boolean {
    const leaf = this.#leafOf(entryAt);
    const entry = this.wasm.entryLoad(entryAt) >>> 0;
    const page = (entryAt - leaf.at) / PTE_SIZE;
    // A pin that came after the pick: the guest either saw the page before it was hidden, or it is faulting now.
    const kept = leaf.isPinned || ((entry & PTE_DIRTY) !== 0 && leaf.pages.writeFrames(leaf, page, 1) !== OK);
    if (kept) {
      this.wasm.entrySet(entryAt, PTE_PRESENT);
      return false;
    }
    leaf.pages.dropEntry(leaf, page);
    this.giveFrame(entry & PTE_FRAME_MASK);
    leaf.pages.trim(leaf);
    return true;
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
