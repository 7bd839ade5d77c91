/**
 * Reads and writes file data through the window: finds the range that shows a chunk of a file, or maps one.
 *
 * `begin` returns a range with a reference on it, `end` drops the reference; between the two the range is not taken
 * away. A mapping is made read-only unless a write wants it, and made writable in place by a second SETUPMAPPING on the
 * same range. Truncate and unlink leave mappings alone: every access is cut to the file's size, and what the host has
 * taken away meanwhile answers −EFAULT.
 *
 * SPEC: the algorithm of Linux fs/fuse/dax.c, fuse_iomap_begin and what it calls.
 */
import { assert } from '../base/assert.ts';
import { EACCES, EFAULT, EIO, ENOMEM, ENOSYS, EOPNOTSUPP, type Errno, OK } from '../wire/errno.ts';
import type { Allocator } from './allocator.ts';
import { ClientAllocator } from './allocator-client.ts';
import { CombinedAllocator } from './allocator-combined.ts';
import { ServerAllocator } from './allocator-server.ts';
import type { Counters } from './counters.ts';
import { type DaxRange, RANGE_SIZE, RangePool } from './dax-ranges.ts';
import type { Inode } from './inode.ts';
import type { InodeCache } from './inode-cache.ts';
import type { Allocation, ResolvedOptions } from './options.ts';
import { DaxRequests } from './request-dax.ts';
import { MapRequests } from './request-map.ts';
import type { Session } from './session.ts';
import type { Window } from './window.ts';

export class Dax {
  readonly window: Window;
  readonly pool: RangePool;
  readonly #session: Session;
  readonly #inodes: InodeCache;
  readonly #counters: Counters;
  readonly #options: ResolvedOptions;
  readonly #shared: ArrayBufferLike;
  /** Chosen at the first mapping, when INIT has said what the host can do. */
  #chosen: Allocator | undefined;
  #lastBuffer: Uint8Array | undefined;
  #lastAddress = -1;

  constructor(window: Window, session: Session, inodes: InodeCache, options: ResolvedOptions) {
    this.window = window;
    this.pool = new RangePool(window.rangeCount);
    this.#session = session;
    this.#inodes = inodes;
    this.#counters = session.counters;
    this.#options = options;
    this.#shared = session.channel.bytes.buffer;
  }

  /** Who chooses ranges; undefined until something was mapped. */
  get allocation(): Allocation | undefined {
    return this.#chosen?.kind;
  }

  /**
   * Returns the index of the range that shows `chunk`, with a reference; or −errno, −ENOMEM when all are in use. The
   * access goes on for `count` chunks.
   */
  begin(inode: Inode, chunk: number, wantsWrite: boolean, count = 1): number {
    const range = inode.ranges?.get(chunk);
    if (range === undefined) return this.#map(inode, chunk, wantsWrite, count);
    // INVARIANT: nobody writes through a read-only mapping.
    if (wantsWrite && !range.isWritable) {
      const errno = this.#upgrade(range, inode);
      if (errno !== OK) return -errno;
    }
    this.pool.touch(range);
    range.refs++;
    return range.index;
  }

  end(index: number): void {
    const range = this.pool.ranges[index] as DaxRange;
    assert(range.refs > 0, 'a range is left more often than entered');
    range.refs--;
  }

  /** Copies out of the file: a count, short only at its end; or −errno. See `isRefusal`. */
  read(inode: Inode, pos: number, into: Uint8Array, at: number, size: number): number {
    let done = 0;
    while (done < size) {
      const left = this.#clip(inode, pos + done, size - done);
      if (left <= 0) return done > 0 ? done : left;
      const n = this.#readRange(inode, pos + done, into, at + done, left);
      if (n === -EFAULT) return this.#shrank(inode, done);
      if (n < 0) return done > 0 ? done : n;
      done += n;
      this.#counters.bytesReadDax += n;
    }
    return done;
  }

  /** Copies into the file, inside its size. Short when the file shrank meanwhile: the rest is an extending write. */
  write(inode: Inode, pos: number, from: Uint8Array, at: number, size: number): number {
    let done = 0;
    while (done < size) {
      const n = this.#writeRange(inode, pos + done, from, at + done, size - done);
      if (n === -EFAULT) return this.#shrank(inode, done);
      if (n < 0) return done > 0 ? done : n;
      done += n;
      this.#counters.bytesWrittenDax += n;
    }
    return done;
  }

  /** Unmaps everything of an inode that is being forgotten. */
  evict(inode: Inode): void {
    this.#chosen?.evict(inode);
  }

  checkInvariants(): void {
    this.pool.checkInvariants();
  }

  /** Bytes of the wanted ones that the file has, as far as we know; 0 at its end; −errno. */
  #clip(inode: Inode, pos: number, size: number): number {
    let errno = this.#inodes.refreshSize(inode);
    // Another guest may have appended: the end of the file is asked for, unless we may still believe it.
    if (errno === OK && pos + size > inode.size) errno = this.#inodes.refresh(inode);
    if (errno !== OK) return -errno;
    return Math.max(0, Math.min(size, inode.size - pos));
  }

  /** Another guest cut the file behind us: the bytes so far are what is left of it. */
  #shrank(inode: Inode, done: number): number {
    const errno = this.#inodes.fetch(inode);
    return done > 0 || errno === OK ? done : -errno;
  }

  #readRange(inode: Inode, pos: number, into: Uint8Array, at: number, size: number): number {
    const chunk = Math.floor(pos / RANGE_SIZE);
    const offset = pos - chunk * RANGE_SIZE;
    const index = this.begin(inode, chunk, false, Math.ceil((offset + size) / RANGE_SIZE));
    if (index < 0) return index;
    const count = Math.min(size, RANGE_SIZE - offset);
    const address = this.#sharedAddress(into);
    const n =
      address >= 0
        ? this.window.readTo(index, offset, address + at, count)
        : this.window.read(index, offset, into, at, count);
    this.end(index);
    return n;
  }

  #writeRange(inode: Inode, pos: number, from: Uint8Array, at: number, size: number): number {
    const chunk = Math.floor(pos / RANGE_SIZE);
    const offset = pos - chunk * RANGE_SIZE;
    const index = this.begin(inode, chunk, true, Math.ceil((offset + size) / RANGE_SIZE));
    if (index < 0) return index;
    const count = Math.min(size, RANGE_SIZE - offset);
    const address = this.#sharedAddress(from);
    const n =
      address >= 0
        ? this.window.writeFrom(index, offset, address + at, count)
        : this.window.write(index, offset, from, at, count);
    this.end(index);
    // A mapping that we made writable and that is not: the host is confused.
    return n === -EACCES ? -EIO : n;
  }

  /** Where a buffer lies in the shared memory; −1 = elsewhere. Remembered, for asking a typed array costs 25 ns. */
  #sharedAddress(buffer: Uint8Array): number {
    if (buffer !== this.#lastBuffer) {
      this.#lastBuffer = buffer;
      this.#lastAddress = buffer.buffer === this.#shared ? buffer.byteOffset : -1;
    }
    return this.#lastAddress;
  }

  #map(inode: Inode, chunk: number, wantsWrite: boolean, count: number): number {
    const allocator = this.#allocator();
    const errno = allocator.map(inode, chunk, count, wantsWrite);
    if (errno !== OK) return -errno;
    assert(inode.ranges?.has(chunk) === true, 'a chunk that was mapped has a range');
    // Another thread's access may have mapped it, read-only, which Linux forgets to check.
    const index = this.begin(inode, chunk, wantsWrite);
    allocator.settle();
    return index;
  }

  #upgrade(range: DaxRange, inode: Inode): Errno {
    // The reference keeps the range from being taken away while the request is on its way.
    range.refs++;
    const errno = this.#allocator().upgrade(range, inode);
    range.refs--;
    if (errno !== OK) return errno;
    this.#counters.mappingsUpgraded++;
    range.isWritable = true;
    return OK;
  }

  #allocator(): Allocator {
    this.#chosen ??= this.#choose();
    return this.#chosen;
  }

  /** A host that cannot choose is served as FUSE is: a program sees the same files either way. */
  #choose(): Allocator {
    const { pool } = this;
    const { allocation, reclaim } = this.#options;
    const counters = this.#counters;
    if (allocation !== 'client' && this.#session.has('PRIVATE_MAP')) {
      const requests = new MapRequests(this.#session);
      return allocation === 'server'
        ? new ServerAllocator(pool, requests, counters)
        : new CombinedAllocator(pool, requests, counters);
    }
    if (allocation !== 'client') counters.allocationFallbacks++;
    return new ClientAllocator(pool, new DaxRequests(this.#session), counters, reclaim);
  }
}

/** Whether a failed access says "not through the window": READ and WRITE still work. */
export function isRefusal(outcome: number): boolean {
  return outcome === -ENOMEM || outcome === -ENOSYS || outcome === -EOPNOTSUPP;
}
