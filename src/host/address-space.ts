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
import { PAGE_SHIFT, PAGE_SIZE, PAGES_PER_RANGE, RANGE_SIZE } from '../../assembly/layout.ts';
import { assert } from '../base/assert.ts';
import type { SegmentList } from '../virtio/chain.ts';
import { EFAULT, EFBIG, ENOMEM, ENOSPC, ENXIO, type Errno, OK } from '../wire/errno.ts';
import { FilePages, type PageBacking, type Quota } from './file-pages.ts';
import type { PageCache } from './page-cache.ts';

/** Positions are exact numbers, and page arithmetic must stay so. */
const MAX_FILE_SIZE = 2 ** 52;
const SEEK_DATA = 3;

export class AddressSpace {
  /** The pages, for the page cache and the mapper. */
  readonly pages: FilePages;

  constructor(cache: PageCache, backing: PageBacking | undefined, quota: Quota | undefined, size: number) {
    this.pages = new FilePages(cache, backing, quota, size);
  }

  /** File size in bytes (i_size). */
  get size(): number {
    return this.pages.size;
  }

  /** Pages that have a frame of their own. */
  get residentPages(): number {
    return this.pages.residentPages;
  }

  /** Whether a guest may have stored into pages that the backing does not have yet. */
  get mayBeDirty(): boolean {
    return this.pages.mayBeDirty;
  }

  get isBacked(): boolean {
    return this.pages.isBacked;
  }

  /** Copies min(size, this.size − pos) bytes into the addresses of `into`; returns that count or −errno. */
  read(pos: number, size: number, into: SegmentList): number {
    const wanted = Math.min(size, into.size, this.pages.size - pos);
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
    this.pages.cache.limitDirty();
    if (done === 0 && failed !== OK) return failed;
    if (pos + done > this.pages.size) this.#grow(pos + done, pos);
    return done;
  }

  /** Like write, but only into pages that are resident, and without making them dirty: the backing has the bytes. */
  update(pos: number, from: SegmentList): void {
    let at = pos;
    for (let i = 0; i < from.count; i++) {
      this.#updateFrom(at, from.at(i), from.length(i));
      at += from.length(i);
    }
    if (at > this.pages.size) this.#grow(at, pos);
  }

  /** Sets the size. Shrinking drops the pages beyond; a guest that touches them faults and gets a bus error. */
  resize(size: number): Errno {
    if (size > MAX_FILE_SIZE) return EFBIG;
    if (size >= this.pages.size) {
      this.#grow(size, size);
      return OK;
    }
    this.pages.size = size;
    this.pages.drop(Math.ceil(size / PAGE_SIZE), Number.MAX_SAFE_INTEGER);
    this.pages.zero(size, Math.ceil(size / PAGE_SIZE) * PAGE_SIZE);
    return OK;
  }

  /** Gives every page of the range a frame, or none. Does not change the size. */
  allocate(pos: number, size: number): Errno {
    if (pos + size > MAX_FILE_SIZE) return EFBIG;
    const first = Math.floor(pos / PAGE_SIZE);
    const end = Math.ceil((pos + size) / PAGE_SIZE);
    return this.pages.reserve(first, end);
  }

  /** Makes the range read as zeros; whole pages lose their frames (memory) or are zeroed (backed). */
  punch(pos: number, size: number): Errno {
    const end = Math.min(pos + size, Math.max(this.pages.size, this.pages.endOfChunks()));
    const firstWhole = Math.ceil(pos / PAGE_SIZE);
    const endWhole = end >= this.pages.size ? Math.ceil(end / PAGE_SIZE) : Math.floor(end / PAGE_SIZE);
    if (firstWhole >= endWhole) {
      this.pages.zero(pos, end);
      return OK;
    }
    this.pages.zero(pos, firstWhole * PAGE_SIZE);
    this.pages.drop(firstWhole, endWhole, true);
    if (endWhole * PAGE_SIZE < end) this.pages.zero(endWhole * PAGE_SIZE, end);
    return OK;
  }

  /** SEEK_DATA / SEEK_HOLE of a memory file: the position, or −ENXIO. */
  seek(pos: number, whence: number): number {
    if (pos < 0 || pos >= this.pages.size) return -ENXIO;
    const wantData = whence === SEEK_DATA;
    const chunks = [...this.pages.chunks.keys()].sort((a, b) => a - b);
    let page = Math.floor(pos / PAGE_SIZE);
    const endPage = Math.ceil(this.pages.size / PAGE_SIZE);
    while (page < endPage) {
      if (this.pages.hasFrame(page) === wantData) return Math.max(pos, page * PAGE_SIZE);
      if (wantData && !this.pages.chunks.has(Math.floor(page / PAGES_PER_RANGE))) {
        const next = chunks.find((chunk) => chunk > Math.floor(page / PAGES_PER_RANGE));
        if (next === undefined) return -ENXIO;
        page = next * PAGES_PER_RANGE;
      } else page++;
    }
    return wantData ? -ENXIO : this.pages.size;
  }

  /** Writes dirty pages to the backing; reports the first error since the last flush, once. */
  flush(): Errno {
    return this.pages.flush();
  }

  /** Drops all clean pages that no view pins, because the backing changed behind us. */
  invalidate(): void {
    this.pages.invalidate();
  }

  /** Gives all frames back. No mapping may be left. */
  destroy(): void {
    this.pages.size = 0;
    this.pages.drop(0, Number.MAX_SAFE_INTEGER);
    for (const leaf of [...this.pages.chunks.values()]) this.pages.trim(leaf);
    assert(this.pages.chunks.size === 0, 'a file went away with a mapping left');
  }

  // ---- copying -------------------------------------------------------------------------------------------------

  #readTo(pos: number, address: number, size: number): number {
    const wasm = this.pages.cache.wasm;
    let done = 0;
    while (done < size) {
      const at = pos + done;
      const chunk = Math.floor(at / RANGE_SIZE);
      const offset = at - chunk * RANGE_SIZE;
      const n = Math.min(size - done, RANGE_SIZE - offset);
      const leaf = !this.pages.isBacked ? this.pages.chunks.get(chunk) : this.pages.leafFor(chunk);
      const got = leaf === undefined ? 0 : wasm.leafRead(leaf.at, offset, address + done, n);
      done += got;
      if (got === n) continue;
      if (!this.pages.isBacked) {
        const hole = leaf === undefined ? n : Math.min(n - got, PAGE_SIZE - ((offset + got) & (PAGE_SIZE - 1)));
        wasm.fill(address + done, hole);
        done += hole;
        continue;
      }
      if (leaf === undefined) return -ENOMEM;
      const page = (offset + got) >> PAGE_SHIFT;
      const failed = this.pages.fillAhead(leaf, page, ((offset + n - 1) >> PAGE_SHIFT) - page + 1);
      if (failed === OK) continue;
      this.pages.trim(leaf);
      return failed === EFAULT || done > 0 ? done : -failed;
    }
    return done;
  }

  #writeFrom(pos: number, address: number, size: number): number {
    const wasm = this.pages.cache.wasm;
    let done = 0;
    while (done < size) {
      const at = pos + done;
      const chunk = Math.floor(at / RANGE_SIZE);
      const offset = at - chunk * RANGE_SIZE;
      const n = Math.min(size - done, RANGE_SIZE - offset);
      const leaf = this.pages.leafFor(chunk);
      if (leaf === undefined) return done > 0 ? done : -ENOSPC;
      const put = wasm.leafWrite(leaf.at, offset, address + done, n, this.pages.isBacked ? 1 : 0);
      done += put;
      if (this.pages.isBacked) leaf.mayBeDirty = true;
      if (put === n) continue;
      const whole = ((offset + put) & (PAGE_SIZE - 1)) === 0 && n - put >= PAGE_SIZE;
      const page = (offset + put) >> PAGE_SHIFT;
      const failed = this.pages.isBacked
        ? this.pages.fill(leaf, page, 1)
        : this.pages.materialize(leaf, page, !whole) === 0
          ? ENOSPC
          : OK;
      if (failed !== OK) {
        this.pages.trim(leaf);
        return done > 0 ? done : -failed;
      }
    }
    return done;
  }

  #updateFrom(pos: number, address: number, size: number): void {
    const wasm = this.pages.cache.wasm;
    for (let done = 0; done < size; ) {
      const at = pos + done;
      const chunk = Math.floor(at / RANGE_SIZE);
      const offset = at - chunk * RANGE_SIZE;
      const n = Math.min(size - done, RANGE_SIZE - offset);
      const leaf = this.pages.chunks.get(chunk);
      if (leaf === undefined) done += n;
      else {
        const put = wasm.leafWrite(leaf.at, offset, address + done, n, 0);
        const skip = put === n ? 0 : Math.min(n - put, PAGE_SIZE - ((offset + put) & (PAGE_SIZE - 1)));
        done += put + skip;
      }
    }
  }

  /** The size grows to `size`; bytes between the old end and `dataPos` must read as zeros. */
  #grow(size: number, dataPos: number): void {
    const old = this.pages.size;
    this.pages.size = Math.max(old, size);
    // A store through a mapping may have left bytes behind the old end, in its last page.
    this.pages.zero(old, Math.min(Math.ceil(old / PAGE_SIZE) * PAGE_SIZE, Math.max(old, dataPos)));
  }
}
