/**
 * A file mapped into a program: mmap(2) with MAP_SHARED over the DAX window. Loads and stores go to the pages that the
 * host and all other guests use; nothing is copied but the bytes asked for. Without a window it shows this guest's own
 * page cache, if there is one (page-window.ts).
 *
 * A mapping holds its file, not its ranges: they are found, or mapped, at each access (a fault), so a file larger than
 * the window can be mapped as a whole. Only a view pins its ranges until it is released.
 *
 * An access beyond the last page of the file is a BusError. Between the end of the file and the end of its last page
 * the bytes are zeros, and stores there are lost, as everywhere.
 */
import { EACCES, EBADF, EFAULT, EINVAL, ENODEV, type Errno, OK } from '../wire/errno.ts';
import { RANGE_SIZE } from './dax-ranges.ts';
import { BusError, FsError } from './errors.ts';
import type { OpenFile } from './file.ts';
import { fsyncFile } from './file-change.ts';
import { type MappedPages, MappedView } from './mapped-view.ts';
import { PageWindow } from './page-window.ts';

export interface MmapOptions {
  /** A multiple of 4096; default 0. */
  readonly offset?: number | bigint;
  /** Default: to the end of the file. */
  readonly length?: number;
  readonly writable?: boolean;
  /** Private (copy-on-write) mappings are refused with ENODEV. Default true. */
  readonly shared?: boolean;
}

const PAGE_SIZE = 4096;

export class Mapping {
  /** Bytes mapped. */
  readonly length: number;
  readonly writable: boolean;
  readonly #file: OpenFile;
  readonly #pages: MappedPages;
  /** Position in the file of offset 0. */
  readonly #start: number;
  readonly #views = new Set<MappedView>();
  readonly #scratch = new Uint8Array(8);
  readonly #scratchView = new DataView(this.#scratch.buffer);
  #isMapped = true;

  /** Called by `mmapFile`, which has checked everything. */
  constructor(file: OpenFile, pages: MappedPages, start: number, length: number, writable: boolean) {
    this.#file = file;
    this.#pages = pages;
    this.#start = start;
    this.length = length;
    this.writable = writable;
    file.mount.inodes.hold(file.inode);
  }

  /** Copies out [offset, offset + size), where size defaults to the buffer's. */
  read(offset: number, into: Uint8Array, size = into.length): void {
    this.#check(offset, size, false);
    let done = 0;
    while (done < size) {
      const at = offset + done;
      const count = Math.min(size - done, this.#restOfRange(at));
      const index = this.#fault(at, false);
      const n = this.#pages.window.read(index, this.#rangeOffset(at), into, done, count);
      this.#leave(index, at, n);
      done += n;
    }
  }

  write(offset: number, from: Uint8Array, size = from.length): void {
    this.#check(offset, size, true);
    let done = 0;
    while (done < size) {
      const at = offset + done;
      const count = Math.min(size - done, this.#restOfRange(at));
      const index = this.#fault(at, true);
      const n = this.#pages.window.write(index, this.#rangeOffset(at), from, done, count);
      this.#leave(index, at, n);
      done += n;
    }
  }

  loadU8(offset: number): number {
    return this.#load(offset, 1);
  }
  loadU16(offset: number): number {
    return this.#load(offset, 2);
  }
  loadU32(offset: number): number {
    return this.#load(offset, 4);
  }
  loadI32(offset: number): number {
    return this.#load(offset, 4) | 0;
  }
  /** Two loads of 32 bits when aligned: not atomic as a whole. */
  loadBigU64(offset: number): bigint {
    return (BigInt(this.loadU32(offset + 4)) << 32n) | BigInt(this.loadU32(offset));
  }
  loadF64(offset: number): number {
    if (offset % 8 !== 0) {
      this.read(offset, this.#scratch, 8);
      return this.#scratchView.getFloat64(0, true);
    }
    this.#check(offset, 8, false);
    const index = this.#fault(offset, false);
    const value = this.#pages.window.loadFloat64(index, this.#rangeOffset(offset));
    this.#leave(index, offset, this.#pages.window.status);
    return value;
  }

  storeU8(offset: number, value: number): void {
    this.#store(offset, 1, value);
  }
  storeU16(offset: number, value: number): void {
    this.#store(offset, 2, value);
  }
  storeU32(offset: number, value: number): void {
    this.#store(offset, 4, value);
  }
  storeI32(offset: number, value: number): void {
    this.#store(offset, 4, value);
  }
  /** Two stores of 32 bits when aligned: not atomic as a whole. */
  storeBigU64(offset: number, value: bigint): void {
    this.#check(offset, 8, true);
    this.storeU32(offset, Number(BigInt.asUintN(32, value)));
    this.storeU32(offset + 4, Number(BigInt.asUintN(32, value >> 32n)));
  }
  storeF64(offset: number, value: number): void {
    if (offset % 8 !== 0) {
      this.#scratchView.setFloat64(0, value, true);
      this.write(offset, this.#scratch, 8);
      return;
    }
    this.#check(offset, 8, true);
    const index = this.#fault(offset, true);
    this.#leave(index, offset, this.#pages.window.storeFloat64(index, this.#rangeOffset(offset), value));
  }

  /** Atomic across all guests; the offset must be a multiple of 4. Returns the old value, unsigned. */
  compareExchange32(offset: number, expected: number, value: number): number {
    const index = this.#atomic(offset);
    const old = this.#pages.window.compareExchange32(index, this.#rangeOffset(offset), expected, value);
    this.#leave(index, offset, this.#pages.window.status);
    return old;
  }

  /** Atomic across all guests; the offset must be a multiple of 4. Returns the old value, unsigned. */
  add32(offset: number, value: number): number {
    const index = this.#atomic(offset);
    const old = this.#pages.window.add32(index, this.#rangeOffset(offset), value);
    this.#leave(index, offset, this.#pages.window.status);
    return old;
  }

  /** Shows [offset, offset + length) in place, pinned until the view is released. */
  view(offset: number, length: number, writable = this.writable): MappedView {
    this.#check(offset, length, writable);
    const view = new MappedView(this.#pages, writable, (released) => this.#views.delete(released));
    this.#views.add(view);
    for (let done = 0; done < length; ) {
      const at = offset + done;
      const count = Math.min(length - done, this.#restOfRange(at));
      const errno = this.#pin(view, at, count, writable);
      if (errno !== OK) {
        view.release();
        throw errno === EFAULT ? this.#busError(at) : new FsError(errno, 'mmap');
      }
      done += count;
    }
    return view;
  }

  /** Views that are not released. */
  get viewCount(): number {
    return this.#views.size;
  }

  /** msync(2): what was stored is on the host's storage afterwards. */
  sync(): void {
    this.#check(0, 0, false);
    // Not `file.fsync`: a mapping outlives the close of its file.
    const errno = fsyncFile(this.#file, true);
    if (errno !== OK) throw new FsError(errno, 'msync');
  }

  /** Releases the views and lets the file go. A second call does nothing. */
  unmap(): void {
    if (!this.#isMapped) return;
    for (const view of [...this.#views]) view.release();
    this.#pages.close?.();
    this.#isMapped = false;
    const { mount, inode } = this.#file;
    // What was stored through views, nobody saw.
    if (this.writable) mount.inodes.expire(inode);
    this.#file.removeMapping(this);
    mount.inodes.release(inode);
  }

  [Symbol.dispose](): void {
    this.unmap();
  }

  #load(offset: number, width: 1 | 2 | 4): number {
    if (offset % width !== 0) return this.#loadUnaligned(offset, width);
    this.#check(offset, width, false);
    const index = this.#fault(offset, false);
    const value = this.#pages.window.load(index, this.#rangeOffset(offset), width);
    this.#leave(index, offset, this.#pages.window.status);
    return value;
  }

  #loadUnaligned(offset: number, width: number): number {
    this.#scratch.fill(0);
    this.read(offset, this.#scratch, width);
    return this.#scratchView.getUint32(0, true);
  }

  #store(offset: number, width: 1 | 2 | 4, value: number): void {
    if (offset % width !== 0) {
      this.#scratchView.setUint32(0, value, true);
      this.write(offset, this.#scratch, width);
      return;
    }
    this.#check(offset, width, true);
    const index = this.#fault(offset, true);
    this.#leave(index, offset, this.#pages.window.store(index, this.#rangeOffset(offset), width, value));
  }

  #atomic(offset: number): number {
    if (offset % 4 !== 0) throw new RangeError(`offset ${offset} is not a multiple of 4`);
    this.#check(offset, 4, true);
    return this.#fault(offset, true);
  }

  #pin(view: MappedView, offset: number, size: number, writable: boolean): Errno {
    const index = this.#begin(offset, writable);
    if (index < 0) return -index as Errno;
    const failed = this.#pages.window.pin(index, this.#rangeOffset(offset), size, writable, view.runs);
    if (failed < 0) {
      this.#pages.end(index);
      return -failed as Errno;
    }
    view.add(index, this.#rangeOffset(offset), size);
    return OK;
  }

  /** Finds or maps the range for an access; the caller leaves it. */
  #fault(offset: number, write: boolean): number {
    const index = this.#begin(offset, write);
    if (index >= 0) return index;
    throw index === -EFAULT ? this.#busError(offset) : new FsError(-index, 'mmap');
  }

  #begin(offset: number, write: boolean): number {
    const pos = this.#start + offset;
    if (!this.#isInside(pos)) return -EFAULT;
    // A store changes blocks, and times on some hosts.
    if (write) this.#file.mount.inodes.expire(this.#file.inode);
    return this.#pages.begin(this.#file.inode, Math.floor(pos / RANGE_SIZE), write);
  }

  #leave(index: number, offset: number, outcome: number): void {
    this.#pages.end(index);
    if (outcome >= 0) return;
    if (outcome !== -EFAULT) throw new FsError(-outcome, 'mmap');
    this.#file.mount.inodes.expire(this.#file.inode);
    throw this.#busError(offset);
  }

  /** Whether the page of `pos` belongs to the file; the host is asked before we say no. */
  #isInside(pos: number): boolean {
    const { inode, mount } = this.#file;
    const page = pos - (pos % PAGE_SIZE);
    if (page < inode.size) return true;
    return mount.inodes.fetch(inode) === OK && page < inode.size;
  }

  #busError(offset: number): BusError {
    return new BusError(offset, this.#start + offset);
  }

  #rangeOffset(offset: number): number {
    return (this.#start + offset) % RANGE_SIZE;
  }

  #restOfRange(offset: number): number {
    return RANGE_SIZE - this.#rangeOffset(offset);
  }

  #check(offset: number, size: number, write: boolean): void {
    if (!this.#isMapped) throw new FsError(EINVAL, 'mmap');
    const isInside = Number.isInteger(offset) && Number.isInteger(size) && offset >= 0 && size >= 0;
    if (!isInside || offset + size > this.length) {
      throw new RangeError(`${size} bytes at ${offset} do not lie in a mapping of ${this.length} bytes`);
    }
    if (write && !this.writable) throw new FsError(EACCES, 'mmap');
  }
}

/** mmap(2): a Mapping or an Errno. */
export function mmapFile(file: OpenFile, options: MmapOptions): Mapping | Errno {
  const start = Number(options.offset ?? 0);
  const writable = options.writable === true;
  if (!Number.isSafeInteger(start) || start < 0 || start % PAGE_SIZE !== 0) return EINVAL;
  if (!file.mayRead || (writable && !file.mayWrite)) return EACCES;
  // SPEC: a shared mapping without DAX and without a page cache is ENODEV, as with cache=none on Linux.
  const pages = pagesOf(file);
  if (pages === undefined || options.shared === false) return ENODEV;
  const errno = file.refresh();
  if (errno !== OK) return errno;
  const length = options.length ?? Math.max(0, file.inode.size - start);
  if (!Number.isSafeInteger(length) || length <= 0) return EINVAL;
  // Another thread may have closed it meanwhile.
  if (file.shared?.hold() === false) return EBADF;
  const mapping = new Mapping(file, pages, start, length, writable);
  file.mappings.add(mapping);
  return mapping;
}

function pagesOf(file: OpenFile): MappedPages | undefined {
  const { dax, pages } = file.mount;
  if (file.inode.isDax) return dax;
  return pages !== undefined && file.mayMapPages ? new PageWindow(file, pages) : undefined;
}
