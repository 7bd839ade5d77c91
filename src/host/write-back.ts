/**
 * How the dirty pages of one backed file reach its backing: DIRTY is cleared, a grace period passes, and then the frame
 * is written. A store that came before is in the frame by then; one that comes after sets DIRTY again.
 */
import { PAGE_SIZE, PAGES_PER_RANGE, PTE_DIRTY, PTE_FRAME_MASK, PTE_SIZE, RANGE_SIZE } from '../../assembly/layout.ts';
import { EIO, type Errno, OK } from '../wire/errno.ts';
import type { FilePages, PageBacking } from './file-pages.ts';
import type { Leaf } from './leaf.ts';

export class WriteBack {
  readonly #pages: FilePages;
  readonly #backing: PageBacking;
  /** The first error since the last flush that reported one. */
  #error: Errno = OK;

  constructor(pages: FilePages, backing: PageBacking) {
    this.#pages = pages;
    this.#backing = backing;
  }

  /** Writes all dirty pages; reports the first error since the last flush, once. */
  flush(): Errno {
    for (const leaf of this.#pages.chunks.values()) if (leaf.mayBeDirty) this.flushLeaf(leaf);
    const error = this.#error;
    this.#error = OK;
    return error;
  }

  /** Writes the dirty pages of one leaf: clear DIRTY, wait for the guests that saw it set, then write. */
  flushLeaf(leaf: Leaf): void {
    const { cache } = this.#pages;
    const { wasm } = cache;
    leaf.mayBeDirty = leaf.isMappedWritable;
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
    for (const page of pages) if (leaf.isPinnedWritable(page)) this.#markDirty(leaf, page, 1);
    for (let i = 0; i < pages.length; ) {
      const first = pages[i] as number;
      let count = 1;
      while (pages[i + count] === first + count) count++;
      if (this.write(leaf, first, count) !== OK) this.#markDirty(leaf, first, count);
      i += count;
    }
    leaf.users--;
  }

  /** Writes `count` pages of a leaf from their frames to the backing, in runs of neighbouring frames. */
  write(leaf: Leaf, page: number, count: number): Errno {
    for (let done = 0; done < count; ) {
      const frame = this.#frameOf(leaf, page + done);
      let run = 1;
      while (done + run < count && this.#frameOf(leaf, page + done + run) === frame + run * PAGE_SIZE) run++;
      const pos = leaf.chunk * RANGE_SIZE + (page + done) * PAGE_SIZE;
      const size = Math.min(run * PAGE_SIZE, this.#pages.size - pos);
      const wrote = size > 0 ? this.#backing.write(pos, frame, size) : 0;
      if (size > 0 && wrote !== size) {
        const error = (wrote < 0 ? -wrote : EIO) as Errno;
        if (this.#error === OK) this.#error = error;
        leaf.mayBeDirty = true;
        return error;
      }
      this.#pages.cache.counts.writtenBackPages += run;
      done += run;
    }
    return OK;
  }

  #frameOf(leaf: Leaf, page: number): number {
    return (this.#pages.cache.wasm.entryLoad(leaf.at + page * PTE_SIZE) & PTE_FRAME_MASK) >>> 0;
  }

  #markDirty(leaf: Leaf, page: number, count: number): void {
    leaf.mayBeDirty = true;
    for (let i = 0; i < count; i++) this.#pages.cache.wasm.entrySet(leaf.at + (page + i) * PTE_SIZE, PTE_DIRTY);
  }
}
