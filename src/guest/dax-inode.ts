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
import type { Channel } from './channel.ts';
import type { Counters } from './counters.ts';
import { type DaxRange, RANGE_SIZE, RangePool } from './dax-ranges.ts';
import { DaxReclaim } from './dax-reclaim.ts';
import type { Inode } from './inode.ts';
import type { InodeCache } from './inode-cache.ts';
import type { DaxRequests } from './request-dax.ts';
import type { Window } from './window.ts';

export class Dax {
  readonly window: Window;
  readonly pool: RangePool;
  readonly #reclaim: DaxReclaim;
  readonly #requests: DaxRequests;
  readonly #inodes: InodeCache;
  readonly #counters: Counters;
  readonly #shared: ArrayBufferLike;
  #lastBuffer: Uint8Array | undefined;
  #lastAddress = 0;

  constructor(window: Window, channel: Channel, requests: DaxRequests, inodes: InodeCache, counters: Counters) {
    this.window = window;
    this.pool = new RangePool(window.rangeCount);
    this.#reclaim = new DaxReclaim(this.pool, requests, counters);
    this.#requests = requests;
    this.#inodes = inodes;
    this.#counters = counters;
    this.#shared = channel.bytes.buffer;
  }

  /** Returns the index of the range that shows `chunk`, with a reference; or −errno, −ENOMEM when all are in use. */
  begin(inode: Inode, chunk: number, wantsWrite: boolean): number {
    const ranges = inode.ranges as Map<number, DaxRange>;
    const range = ranges.get(chunk);
    if (range === undefined) return this.#map(inode, chunk, wantsWrite);
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
    this.#reclaim.evict(inode);
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
    const index = this.begin(inode, chunk, false);
    if (index < 0) return index;
    const count = Math.min(size, RANGE_SIZE - offset);
    const address = this.#sharedAddress(into);
    const n =
      address > 0
        ? this.window.readTo(index, offset, address + at, count)
        : this.window.read(index, offset, into, at, count);
    this.end(index);
    return n;
  }

  #writeRange(inode: Inode, pos: number, from: Uint8Array, at: number, size: number): number {
    const chunk = Math.floor(pos / RANGE_SIZE);
    const offset = pos - chunk * RANGE_SIZE;
    const index = this.begin(inode, chunk, true);
    if (index < 0) return index;
    const count = Math.min(size, RANGE_SIZE - offset);
    const address = this.#sharedAddress(from);
    const n =
      address > 0
        ? this.window.writeFrom(index, offset, address + at, count)
        : this.window.write(index, offset, from, at, count);
    this.end(index);
    // A mapping that we made writable and that is not: the host is confused.
    return n === -EACCES ? -EIO : n;
  }

  /** Where a buffer lies in the shared memory; 0 = elsewhere. Remembered, for asking a typed array costs 25 ns. */
  #sharedAddress(buffer: Uint8Array): number {
    if (buffer !== this.#lastBuffer) {
      this.#lastBuffer = buffer;
      this.#lastAddress = buffer.buffer === this.#shared ? buffer.byteOffset : 0;
    }
    return this.#lastAddress;
  }

  #map(inode: Inode, chunk: number, wantsWrite: boolean): number {
    const range = this.#reclaim.allocate();
    if (range === undefined) return -ENOMEM;
    const errno = this.#setup(range.index, inode, chunk, wantsWrite);
    if (errno !== OK) {
      this.#reclaim.giveBack(range, range.nodeid);
      return -errno;
    }
    // Requests were sent meanwhile: look again. The winner may be read-only, which Linux forgets to check.
    if (inode.ranges?.has(chunk)) {
      this.#reclaim.giveBack(range, inode.nodeid);
      return this.begin(inode, chunk, wantsWrite);
    }
    this.#counters.mappingsSetUp++;
    this.pool.map(range, inode, chunk, wantsWrite);
    range.refs++;
    return range.index;
  }

  /** A failure leaves the read-only mapping in place. */
  #upgrade(range: DaxRange, inode: Inode): Errno {
    // The reference keeps the range from being taken away while the request is on its way.
    range.refs++;
    const errno = this.#setup(range.index, inode, range.chunk, true);
    range.refs--;
    if (errno !== OK) return errno;
    this.#counters.mappingsUpgraded++;
    range.isWritable = true;
    return OK;
  }

  #setup(index: number, inode: Inode, chunk: number, writable: boolean): Errno {
    return this.#requests.setup(inode.nodeid, chunk * RANGE_SIZE, RANGE_SIZE, index * RANGE_SIZE, writable);
  }
}

/** Whether a failed access says "not through the window": READ and WRITE still work. */
export function isRefusal(outcome: number): boolean {
  return outcome === -ENOMEM || outcome === -ENOSYS || outcome === -EOPNOTSUPP;
}
