/**
 * A guest's own page cache, for files that are not read through a window: what Linux does with cache=auto and
 * cache=always. Off unless `pageCacheSize` asks for it; the host's FOPEN_DIRECT_IO turns it off for a file.
 *
 * Reads fill pages by READ, more of them the longer a file is read in order (readahead). Writes go to the host at once
 * and then into the pages that are there; with `writeback` they stay here, dirty, until fsync, close, msync, munmap, a
 * look at the attributes, an operation that the host does on the data, too many of them, or their age.
 *
 * Two rules keep guests from surprising each other. Appends are never gathered: the host alone knows the end. And the
 * file's own size counts here only while dirty pages lie beyond the host's: they are written before it is asked.
 */
import type { Clock } from '../base/clock.ts';
import { EIO, type Errno, OK } from '../wire/errno.ts';
import type { Counters } from './counters.ts';
import type { PageListener } from './doubt.ts';
import type { OpenFile } from './file.ts';
import type { Inode } from './inode.ts';
import type { InodeCache, PageHook } from './inode-cache.ts';
import { FilePages, PAGE_SIZE, PageStore } from './page-store.ts';
import type { FileRequests } from './request-files.ts';
import type { Session } from './session.ts';

/** Pages of one READ at most that nobody has asked for yet: Linux's 128 KiB. */
const READAHEAD_MAX = 32;
const READAHEAD_MIN = 4;
/** Dirty pages older than this go with the next write. SPEC: Linux waits 30 s (dirty_expire_centisecs). */
const DIRTY_AGE_MS = 5000;

export class PageCache implements PageHook, PageListener {
  readonly store: PageStore;
  readonly isWriteback: boolean;
  readonly #session: Session;
  readonly #requests: FileRequests;
  readonly #inodes: InodeCache;
  readonly #counters: Counters;
  readonly #clock: Clock;
  readonly #files = new Map<Inode, FilePages>();
  readonly #dirtyMax: number;
  #dirtySinceMs = 0;

  constructor(
    size: number,
    isWriteback: boolean,
    session: Session,
    requests: FileRequests,
    inodes: InodeCache,
    counters: Counters,
    clock: Clock,
  ) {
    this.store = new PageStore(size);
    this.isWriteback = isWriteback;
    this.#session = session;
    this.#requests = requests;
    this.#inodes = inodes;
    this.#counters = counters;
    this.#clock = clock;
    this.#dirtyMax = Math.max(1, this.store.count >> 2);
  }

  hasDirty(inode: Inode): boolean {
    return this.store.dirtyCount > 0 && (this.#files.get(inode)?.dirty.size ?? 0) > 0;
  }

  /** Copies out of the file: a count, short only at its end; or −errno. */
  read(file: OpenFile, into: Uint8Array, at: number, size: number, pos: number): number {
    const count = this.#clip(file.inode, pos, size);
    let done = 0;
    while (done < count) {
      const here = pos + done;
      const wanted = Math.ceil((pos + count) / PAGE_SIZE) - Math.floor(here / PAGE_SIZE);
      const slot = this.load(file, Math.floor(here / PAGE_SIZE), wanted);
      if (slot < 0) return done > 0 ? done : slot === NOTHING ? 0 : slot + 1;
      const offset = here % PAGE_SIZE;
      const n = Math.min(count - done, PAGE_SIZE - offset);
      const start = slot * PAGE_SIZE + offset;
      into.set(this.store.bytes.subarray(start, start + n), at + done);
      done += n;
    }
    if (count > 0) this.#counters.bytesReadCached += count;
    return count < 0 ? count : done;
  }

  /** Takes a write that the host has not seen: false if it must go there. */
  writeBack(file: OpenFile, from: Uint8Array, at: number, size: number, pos: number): boolean {
    const { inode } = file;
    const end = pos + size;
    for (let here = pos; here < end; ) {
      const page = Math.floor(here / PAGE_SIZE);
      const n = Math.min(end - here, (page + 1) * PAGE_SIZE - here);
      const slot = this.#slotToWrite(file, page, n === PAGE_SIZE || (here % PAGE_SIZE === 0 && end >= inode.size));
      if (slot < 0) return false;
      const start = at + here - pos;
      this.store.bytes.set(from.subarray(start, start + n), slot * PAGE_SIZE + (here % PAGE_SIZE));
      this.soil(file, page);
      here += n;
      if (here > inode.size) inode.size = here;
    }
    this.#inodes.grow(inode, end);
    this.#counters.bytesWrittenCached += size;
    this.#limitDirty(inode);
    return true;
  }

  /** The host has taken a write: the pages that are here follow. */
  wroteThrough(inode: Inode, from: Uint8Array, at: number, size: number, pos: number): void {
    const pages = this.#files.get(inode);
    if (pages === undefined) return;
    for (let here = pos; here < pos + size; ) {
      const page = Math.floor(here / PAGE_SIZE);
      const n = Math.min(pos + size - here, (page + 1) * PAGE_SIZE - here);
      const slot = pages.pages.get(page);
      const start = at + here - pos;
      if (slot !== undefined) {
        this.store.bytes.set(from.subarray(start, start + n), slot * PAGE_SIZE + (here % PAGE_SIZE));
      }
      here += n;
    }
  }

  /**
   * The slot of a page, filled; with up to `wanted` pages from it on in one READ. NOTHING: the file ends before it.
   * Another negative number is −errno − 1, for 0 is a slot.
   */
  load(file: OpenFile, page: number, wanted: number): number {
    const pages = this.#pagesOf(file.inode);
    const slot = this.store.find(pages, page);
    if (slot >= 0) {
      file.readahead.pass(page);
      return slot;
    }
    const errno = this.#fill(file, pages, page, file.readahead.next(page, wanted));
    if (errno !== OK) return -errno - 1;
    return this.store.find(pages, page);
  }

  /** A page of the file has bytes that the host has not. */
  soil(file: OpenFile, page: number): void {
    const pages = this.#pagesOf(file.inode);
    if (this.store.dirtyCount === 0) this.#dirtySinceMs = this.#clock.monotonicMs();
    pages.writer = file;
    this.store.soil(pages, page);
  }

  /** Writes a file's dirty pages to the host; an error is kept for `flush`. */
  write(inode: Inode): void {
    const pages = this.#files.get(inode);
    if (pages !== undefined) this.#writePages(pages);
  }

  /** Writes a file's dirty pages to the host. Returns the first error since the last call, once. */
  flush(inode: Inode): Errno {
    const pages = this.#files.get(inode);
    if (pages === undefined) return OK;
    this.#writePages(pages);
    const { error } = pages;
    pages.error = OK;
    return error;
  }

  flushAll(): Errno {
    let errno: Errno = OK;
    for (const inode of [...this.#files.keys()]) {
      const failed = this.flush(inode);
      if (errno === OK) errno = failed;
    }
    return errno;
  }

  /**
   * Somebody else changed bytes [pos, pos + size) of the file; size 0 = to its end. What is dirty here stays and is
   * written later, as it would have been had we written it after them.
   */
  pagesInvalid(inode: Inode, pos = 0, size = 0): void {
    const pages = this.#files.get(inode);
    if (pages === undefined) return;
    const first = Math.floor(pos / PAGE_SIZE);
    const end = size === 0 ? Number.POSITIVE_INFINITY : Math.ceil((pos + size) / PAGE_SIZE);
    for (const page of [...pages.pages.keys()]) {
      if (page >= first && page < end && !pages.dirty.has(page)) this.store.drop(pages, page);
    }
  }

  /** The file ends at `size` now: what was beyond is gone, and zeros if it grows again. */
  cut(inode: Inode, size: number): void {
    const pages = this.#files.get(inode);
    if (pages === undefined) return;
    const end = Math.ceil(size / PAGE_SIZE);
    for (const [page, slot] of [...pages.pages]) {
      if (page >= end) this.store.drop(pages, page);
      else if (page === end - 1 && size % PAGE_SIZE !== 0) this.#zero(slot, size % PAGE_SIZE);
    }
  }

  /** Nobody needs the file any more. Dirty pages go with it: their handle's close has written them. */
  forget(inode: Inode): void {
    const pages = this.#files.get(inode);
    if (pages === undefined) return;
    for (const page of [...pages.pages.keys()]) this.store.drop(pages, page);
    this.#files.delete(inode);
  }

  /** Drops every page that is clean. */
  dropAll(): void {
    for (const inode of this.#files.keys()) this.pagesInvalid(inode);
  }

  checkInvariants(): void {
    this.store.checkInvariants(this.#files.values());
  }

  #pagesOf(inode: Inode): FilePages {
    const known = this.#files.get(inode);
    if (known !== undefined) return known;
    const pages = new FilePages(inode);
    this.#files.set(inode, pages);
    return pages;
  }

  /** Bytes of the wanted ones that the file has; with dirty pages the size is ours, and the host is not asked. */
  #clip(inode: Inode, pos: number, size: number): number {
    let errno = this.#inodes.refreshSize(inode);
    if (errno === OK && pos + size > inode.size && !this.hasDirty(inode)) errno = this.#inodes.refresh(inode);
    if (errno !== OK) return -errno;
    return Math.max(0, Math.min(size, inode.size - pos));
  }

  /** A slot that may be written into: filled from the host first unless all of it is to be replaced. */
  #slotToWrite(file: OpenFile, page: number, isReplaced: boolean): number {
    const pages = this.#pagesOf(file.inode);
    const found = this.store.find(pages, page);
    if (found >= 0) return found;
    if (!isReplaced && page * PAGE_SIZE < file.inode.size) {
      const errno = this.#fill(file, pages, page, 1);
      return errno === OK ? this.store.find(pages, page) : -1;
    }
    const slot = this.#take(pages, page);
    if (slot >= 0) this.#zero(slot, 0);
    return slot;
  }

  /** Reads up to `wanted` pages, until one is here already or the file ends. OK: the first one is here, or none. */
  #fill(file: OpenFile, pages: FilePages, first: number, wanted: number): Errno {
    const { channel } = this.#session;
    const { inode } = file;
    const fileEnd = Math.ceil(inode.size / PAGE_SIZE);
    const room = Math.floor(Math.min(channel.dataSize, this.#session.maxRead) / PAGE_SIZE);
    const most = Math.max(1, Math.min(wanted, room, fileEnd - first, this.store.count >> 1));
    let count = 1;
    while (count < most && !pages.pages.has(first + count)) count++;
    const { data } = channel;
    const size = count * PAGE_SIZE;
    const errno = this.#requests.read(inode.nodeid, file.fh, first * PAGE_SIZE, size, data, file.flags);
    if (errno !== OK) return errno;
    const got = channel.received;
    if (got > size) return EIO;
    this.#counters.bytesReadFuse += got;
    // What the host has not, and we have written behind its end: a hole of ours.
    const isOurs = pages.dirty.size > 0;
    for (let i = 0; i < count && (i * PAGE_SIZE < got || isOurs); i++) {
      const slot = this.#take(pages, first + i);
      if (slot < 0) return OK;
      const n = Math.max(0, Math.min(PAGE_SIZE, got - i * PAGE_SIZE));
      this.store.bytes.set(channel.bytes.subarray(data + i * PAGE_SIZE, data + i * PAGE_SIZE + n), slot * PAGE_SIZE);
      if (n < PAGE_SIZE) this.#zero(slot, n);
    }
    // Shorter than we believed: somebody cut it.
    if (got < size && first * PAGE_SIZE + got < inode.size && !isOurs) this.#inodes.expire(inode);
    return OK;
  }

  /** A slot for a page; writes dirty pages back if nothing else helps. */
  #take(pages: FilePages, page: number): number {
    const slot = this.store.take(pages, page);
    if (slot >= 0 || this.store.dirtyCount === 0) return slot;
    for (const other of this.#files.values()) this.#writePages(other);
    return this.store.take(pages, page);
  }

  #limitDirty(inode: Inode): void {
    const isOld = this.#clock.monotonicMs() - this.#dirtySinceMs > DIRTY_AGE_MS;
    if (isOld) for (const pages of this.#files.values()) this.#writePages(pages);
    else if (this.store.dirtyCount > this.#dirtyMax) this.#writePages(this.#pagesOf(inode));
    if (this.store.dirtyCount > this.#dirtyMax) for (const pages of this.#files.values()) this.#writePages(pages);
  }

  /** Writes runs of dirty pages. A page that the host refuses is lost, and the error kept: as on Linux. */
  #writePages(pages: FilePages): void {
    const { writer, inode } = pages;
    if (pages.dirty.size === 0 || writer === undefined) return;
    const { channel } = this.#session;
    const room = Math.max(1, Math.floor(Math.min(channel.dataSize, this.#session.maxWrite) / PAGE_SIZE));
    const sorted = [...pages.dirty].sort((a, b) => a - b);
    for (let i = 0; i < sorted.length; ) {
      const first = sorted[i] as number;
      let count = 1;
      while (count < room && sorted[i + count] === first + count) count++;
      this.#writeRun(pages, writer, first, count);
      i += count;
    }
    this.#inodes.grow(inode, 0);
  }

  #writeRun(pages: FilePages, writer: OpenFile, first: number, count: number): void {
    const { channel } = this.#session;
    const { data } = channel;
    for (let i = 0; i < count; i++) {
      const start = (pages.pages.get(first + i) as number) * PAGE_SIZE;
      channel.bytes.set(this.store.bytes.subarray(start, start + PAGE_SIZE), data + i * PAGE_SIZE);
      this.store.clean(pages, first + i);
    }
    const pos = first * PAGE_SIZE;
    const size = Math.min(count * PAGE_SIZE, pages.inode.size - pos);
    if (size <= 0) return;
    const errno = this.#requests.write(pages.inode.nodeid, writer.fh, pos, size, data, writer.flags, true);
    const n = errno === OK ? this.#requests.written : 0;
    this.#counters.bytesWrittenFuse += n;
    if (n >= size) return;
    if (pages.error === OK) pages.error = errno === OK ? EIO : errno;
    for (let i = Math.floor(n / PAGE_SIZE); i < count; i++) this.store.drop(pages, first + i);
    this.#inodes.expire(pages.inode);
  }

  #zero(slot: number, from: number): void {
    this.store.bytes.fill(0, slot * PAGE_SIZE + from, (slot + 1) * PAGE_SIZE);
  }
}

/** `load`: no such page. */
export const NOTHING = -1;

/** How a file is being read: in order, and then how far ahead. One per open file. */
export class Readahead {
  #expected = 0;
  #pages = READAHEAD_MIN;

  /** A page that was here has been read. */
  pass(page: number): void {
    if (page === this.#expected) this.#expected = page + 1;
  }

  /** Pages to read, now that `page` is missing and `wanted` are asked for. */
  next(page: number, wanted: number): number {
    const isInOrder = page === this.#expected;
    this.#pages = isInOrder ? Math.min(READAHEAD_MAX, this.#pages * 2) : READAHEAD_MIN >> 1;
    this.#expected = page + 1;
    return isInOrder ? Math.max(wanted, this.#pages) : wanted;
  }
}
