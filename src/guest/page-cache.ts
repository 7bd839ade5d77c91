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
import { WriteErrors } from './write-errors.ts';

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
  /** Of all files, for `flushAll`. */
  readonly #errors = new WriteErrors();
  readonly #syncfs = { errorsSeen: 0 };
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
    // What others have changed is heard before a page of ours is believed, or the size.
    if (this.#inodes.refreshSize(inode, file.fhToSend) !== OK) return false;
    const end = pos + size;
    if (end > inode.size) this.grows(inode);
    const pages = this.#pagesOf(inode);
    for (let here = pos; here < end; ) {
      const page = Math.floor(here / PAGE_SIZE);
      const n = Math.min(end - here, (page + 1) * PAGE_SIZE - here);
      const slot = this.#slotToWrite(file, page, n === PAGE_SIZE || (here % PAGE_SIZE === 0 && end >= inode.size));
      if (slot < 0) return false;
      const start = at + here - pos;
      this.store.bytes.set(from.subarray(start, start + n), slot * PAGE_SIZE + (here % PAGE_SIZE));
      this.soil(file, page, here % PAGE_SIZE, n);
      here += n;
      if (here > inode.size) inode.size = here;
      pages.gatheredEnd = Math.max(pages.gatheredEnd, here);
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
    if (pages.doubtful.has(page)) this.#writePages(pages);
    if (page * PAGE_SIZE >= file.inode.size) return NOTHING;
    const slot = this.store.find(pages, page);
    if (slot >= 0) {
      file.readahead.pass(page);
      return slot;
    }
    const errno = this.#fill(file, pages, page, file.readahead.next(page, wanted));
    if (errno !== OK) return -errno - 1;
    return this.store.find(pages, page);
  }

  /** Before a page is found, in order to store into it: what it would have too much of is written. */
  tidy(inode: Inode, page: number): void {
    const pages = this.#pagesOf(inode);
    if (pages.doubtful.has(page) || this.store.isFragmented(pages, page)) this.#writePages(pages);
  }

  /** Bytes of a page, `size` from `offset` on, are such that the host has not. */
  soil(file: OpenFile, page: number, offset: number, size: number): void {
    const pages = this.#pagesOf(file.inode);
    if (this.store.dirtyCount === 0) this.#dirtySinceMs = this.#clock.monotonicMs();
    pages.writer = file;
    this.store.soil(pages, page, offset, offset + size);
  }

  /** Where gathered writes end that the host has not seen; 0 = there are none. */
  gatheredEnd(inode: Inode): number {
    return this.#files.get(inode)?.gatheredEnd ?? 0;
  }

  /** What a description opened now has been told of errors. */
  errorsSeen(inode: Inode): number {
    return this.#files.get(inode)?.errors.seen ?? 0;
  }

  /** Writes a file's dirty pages to the host; an error is kept for `flush`. */
  write(inode: Inode): void {
    const pages = this.#files.get(inode);
    if (pages !== undefined) this.#writePages(pages);
  }

  /** Writes a file's dirty pages to the host. Returns an error that this description has not been told of. */
  flush(file: OpenFile): Errno {
    const pages = this.#files.get(file.inode);
    if (pages === undefined) return OK;
    this.#writePages(pages);
    return pages.errors.tell(file);
  }

  /** Writes all dirty pages to the host; errors are kept. */
  writeAll(): void {
    for (const pages of this.#files.values()) this.#writePages(pages);
  }

  /** As `writeAll`. Returns an error since the last call, of any file. */
  flushAll(): Errno {
    this.writeAll();
    return this.#errors.tell(this.#syncfs);
  }

  /**
   * Somebody else changed bytes [pos, pos + size) of the file; size 0 = to its end. The bytes that are dirty here stay
   * and are written later, as they would have been had we written them after that.
   */
  pagesInvalid(inode: Inode, pos = 0, size = 0): void {
    const pages = this.#files.get(inode);
    if (pages === undefined) return;
    const first = Math.floor(pos / PAGE_SIZE);
    const end = size === 0 ? Number.POSITIVE_INFINITY : Math.ceil((pos + size) / PAGE_SIZE);
    for (const page of [...pages.pages.keys()]) {
      if (page < first || page >= end) continue;
      if (pages.dirty.has(page)) pages.doubtful.add(page);
      else this.store.drop(pages, page);
    }
  }

  /** The file ends at `size` now: what was beyond is gone, and zeros if it grows again. */
  cut(inode: Inode, size: number): void {
    const pages = this.#files.get(inode);
    if (pages === undefined) return;
    pages.gatheredEnd = Math.min(pages.gatheredEnd, size);
    const end = Math.ceil(size / PAGE_SIZE);
    for (const [page, slot] of [...pages.pages]) {
      if (page >= end) this.store.drop(pages, page);
      else if (page === end - 1 && size % PAGE_SIZE !== 0) this.#zero(slot, size % PAGE_SIZE);
    }
  }

  /** The file is about to end elsewhere than at its size: what mappings have stored behind it is lost. */
  grows(inode: Inode): void {
    const slot = this.#files.get(inode)?.pages.get(Math.floor(inode.size / PAGE_SIZE));
    if (slot !== undefined) this.#zero(slot, inode.size % PAGE_SIZE);
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
    this.tidy(file.inode, page);
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
    // Before the READ: writing needs the memory where its data comes.
    if (this.store.count - this.store.dirtyCount < most) this.writeAll();
    let count = 1;
    while (count < most && !pages.pages.has(first + count)) count++;
    const { data } = channel;
    const size = count * PAGE_SIZE;
    const errno = this.#requests.read(inode.nodeid, file.fh, first * PAGE_SIZE, size, data, file.flags);
    if (errno !== OK) return errno;
    const got = channel.received;
    if (got > size) return EIO;
    this.#counters.bytesReadFuse += got;
    if (got > 0) this.#inodes.wasRead(inode);
    // What the host has not, and we have written behind its end: a hole of ours.
    const isOurs = pages.dirty.size > 0;
    const filled = isOurs ? count : Math.ceil(got / PAGE_SIZE);
    // The first page last: it must not make room for those behind it.
    for (let i = filled - 1; i >= 0; i--) {
      const slot = this.store.take(pages, first + i);
      if (slot < 0) return EIO;
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
    this.writeAll();
    return this.store.take(pages, page);
  }

  #limitDirty(inode: Inode): void {
    const isOld = this.#clock.monotonicMs() - this.#dirtySinceMs > DIRTY_AGE_MS;
    if (isOld) this.writeAll();
    else if (this.store.dirtyCount > this.#dirtyMax) this.#writePages(this.#pagesOf(inode));
    if (this.store.dirtyCount > this.#dirtyMax) this.writeAll();
  }

  /** Writes what is dirty, in as few requests as it takes. What the host refuses is lost, and the error kept. */
  #writePages(pages: FilePages): void {
    const { writer, inode } = pages;
    if (pages.dirty.size === 0 || writer === undefined) return;
    const sorted = [...pages.dirty.keys()].sort((a, b) => a - b);
    const { channel } = this.#session;
    const room = Math.min(channel.dataSize, this.#session.maxWrite);
    let pos = 0;
    let size = 0;
    for (const page of sorted) {
      const runs = pages.dirty.get(page) ?? [];
      for (let i = 0; i < runs.length; i += 2) {
        const start = page * PAGE_SIZE + (runs[i] as number);
        // Stores of a mapping behind the end of the file are nobody's.
        const n = Math.min(page * PAGE_SIZE + (runs[i + 1] as number), inode.size) - start;
        if (n <= 0) continue;
        if (size > 0 && (start !== pos + size || size + n > room)) {
          this.#send(pages, writer, pos, size);
          size = 0;
        }
        if (size === 0) pos = start;
        const slot = pages.pages.get(page);
        if (slot === undefined) continue;
        const from = slot * PAGE_SIZE + (start % PAGE_SIZE);
        channel.bytes.set(this.store.bytes.subarray(from, from + n), channel.data + size);
        size += n;
      }
    }
    if (size > 0) this.#send(pages, writer, pos, size);
    for (const page of sorted) {
      if (pages.doubtful.has(page)) this.store.drop(pages, page);
      else this.store.clean(pages, page);
    }
    pages.gatheredEnd = 0;
    this.#inodes.grow(inode, 0);
  }

  #send(pages: FilePages, writer: OpenFile, pos: number, size: number): void {
    const { inode } = pages;
    const { data } = this.#session.channel;
    const errno = this.#requests.write(inode.nodeid, writer.fh, pos, size, data, writer.flags, true);
    const n = errno === OK ? this.#requests.written : 0;
    this.#counters.bytesWrittenFuse += n;
    if (n >= size) return;
    const failed = errno === OK ? EIO : errno;
    pages.errors.add(failed);
    this.#errors.add(failed);
    for (let page = Math.floor((pos + n) / PAGE_SIZE); page * PAGE_SIZE < pos + size; page++) pages.doubtful.add(page);
    this.#inodes.expire(inode);
  }

  #zero(slot: number, from: number): void {
    this.store.bytes.fill(0, slot * PAGE_SIZE + from, (slot + 1) * PAGE_SIZE);
  }
}

/** `load`: no such page. */
export const NOTHING = -1;
