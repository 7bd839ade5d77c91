/**
 * A mapped file without a DAX window: loads and stores go to this guest's own page cache, as mmap does on Linux with
 * cache=auto. What is stored reaches the host at msync, munmap, close and fsync; other guests see it then. Atomics hold
 * among the programs of this guest only.
 */
import { EFAULT, ENODEV, OK } from '../wire/errno.ts';
import { RANGE_SIZE } from './dax-ranges.ts';
import type { OpenFile } from './file.ts';
import type { Inode } from './inode.ts';
import type { MappedPages } from './mapped-view.ts';
import { NOTHING, type PageCache } from './page-cache.ts';
import { PAGE_SIZE } from './page-store.ts';
import type { Window } from './window.ts';

/** Of one open file; a range is a chunk of it, so there are as many as the file has. */
export class PageWindow implements Window, MappedPages {
  readonly rangeCount = Number.MAX_SAFE_INTEGER;
  status = 0;
  readonly #file: OpenFile;
  readonly #pages: PageCache;

  constructor(file: OpenFile, pages: PageCache) {
    this.#file = file;
    this.#pages = pages;
  }

  get window(): Window {
    return this;
  }

  /** What others have done to the file is heard before each access, as before each read. */
  begin(inode: Inode, chunk: number): number {
    const errno = this.#file.mount.inodes.refreshSize(inode);
    return errno === OK ? chunk : -errno;
  }

  end(): void {}

  /** Stores reach the host. */
  close(): void {
    this.#pages.write(this.#file.inode);
  }

  read(range: number, offset: number, into: Uint8Array, at: number, size: number): number {
    return this.#walk(range, offset, size, false, (address, done, n) => {
      into.set(this.#pages.store.bytes.subarray(address, address + n), at + done);
    });
  }

  write(range: number, offset: number, from: Uint8Array, at: number, size: number): number {
    return this.#walk(range, offset, size, true, (address, done, n) => {
      this.#pages.store.bytes.set(from.subarray(at + done, at + done + n), address);
    });
  }

  /** Not offered: a program's memory is where its channel's is, and these pages are not. */
  readTo(): number {
    return -EFAULT;
  }
  writeFrom(): number {
    return -EFAULT;
  }

  load(range: number, offset: number, width: 1 | 2 | 4): number {
    const address = this.#address(range, offset, 0);
    if (address < 0) return 0;
    const { view } = this.#pages.store;
    return width === 1
      ? view.getUint8(address)
      : width === 2
        ? view.getUint16(address, true)
        : view.getUint32(address, true);
  }

  store(range: number, offset: number, width: 1 | 2 | 4, value: number): number {
    const address = this.#address(range, offset, width);
    if (address < 0) return this.status;
    const { view } = this.#pages.store;
    if (width === 1) view.setUint8(address, value);
    else if (width === 2) view.setUint16(address, value, true);
    else view.setUint32(address, value, true);
    return width;
  }

  loadFloat64(range: number, offset: number): number {
    const address = this.#address(range, offset, 0);
    return address < 0 ? 0 : this.#pages.store.view.getFloat64(address, true);
  }

  storeFloat64(range: number, offset: number, value: number): number {
    const address = this.#address(range, offset, 8);
    if (address < 0) return this.status;
    this.#pages.store.view.setFloat64(address, value, true);
    return 8;
  }

  compareExchange32(range: number, offset: number, expected: number, value: number): number {
    const address = this.#address(range, offset, 4);
    if (address < 0) return 0;
    const old = this.#pages.store.view.getUint32(address, true);
    if (old === expected >>> 0) this.#pages.store.view.setUint32(address, value, true);
    return old;
  }

  add32(range: number, offset: number, value: number): number {
    const address = this.#address(range, offset, 4);
    if (address < 0) return 0;
    const old = this.#pages.store.view.getUint32(address, true);
    this.#pages.store.view.setUint32(address, old + value, true);
    return old;
  }

  /** A view shows the host's own pages in place, and these are copies. */
  pin(): number {
    return -ENODEV;
  }
  unpin(): void {}

  /** Calls `visit` with the address of each piece of a page; the count, or −errno if there was none. */
  #walk(
    range: number,
    offset: number,
    size: number,
    isWrite: boolean,
    visit: (address: number, done: number, n: number) => void,
  ): number {
    let done = 0;
    while (done < size) {
      const n = Math.min(size - done, PAGE_SIZE - ((offset + done) % PAGE_SIZE));
      const address = this.#address(range, offset + done, isWrite ? n : 0);
      if (address < 0) return done > 0 ? done : this.status;
      visit(address, done, n);
      done += n;
    }
    return done;
  }

  /**
   * Where in the store a byte is, of which and its neighbours `stored` will be stored; below 0 with `status` set.
   * Aligned values do not cross pages.
   */
  #address(range: number, offset: number, stored: number): number {
    const pos = range * RANGE_SIZE + offset;
    const page = Math.floor(pos / PAGE_SIZE);
    const { inode, mount } = this.#file;
    if (page * PAGE_SIZE >= inode.size) mount.inodes.fetch(inode);
    if (stored > 0) this.#pages.tidy(inode, page);
    const slot = this.#pages.load(this.#file, page, 1);
    if (slot < 0) {
      this.status = slot === NOTHING ? -EFAULT : slot + 1;
      return -1;
    }
    // What is stored behind the end of the file is nobody's.
    const inside = Math.min(stored, inode.size - pos);
    if (inside > 0) this.#pages.soil(this.#file, page, pos % PAGE_SIZE, inside);
    this.status = OK;
    return slot * PAGE_SIZE + (pos % PAGE_SIZE);
  }
}
