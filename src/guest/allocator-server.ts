/**
 * The host chooses: MAP names a piece of a file, the reply says where it is. When the host runs out it asks for ranges
 * back; what can wait is answered without waiting, what cannot is answered first and then asked again.
 */
import { EIO, ENOMEM, type Errno, OK } from '../wire/errno.ts';
import { MAP_FLAGS } from '../wire/private.ts';
import type { Allocator } from './allocator.ts';
import type { Counters } from './counters.ts';
import { type DaxRange, RANGE_SIZE, type RangePool } from './dax-ranges.ts';
import { takeGrant } from './grants.ts';
import type { Inode } from './inode.ts';
import { GiveBacks } from './recall.ts';
import { type MapRequests, mapFlags } from './request-map.ts';

export class ServerAllocator implements Allocator {
  readonly kind = 'server';
  readonly #pool: RangePool;
  readonly #requests: MapRequests;
  readonly #counters: Counters;
  readonly #giveBacks: GiveBacks;

  constructor(pool: RangePool, requests: MapRequests, counters: Counters) {
    this.#pool = pool;
    this.#requests = requests;
    this.#counters = counters;
    this.#giveBacks = new GiveBacks(pool, requests, counters);
  }

  map(inode: Inode, chunk: number, count: number, writable: boolean): Errno {
    let more = 0;
    // Each round asks for other ranges than the last: there are not more rounds than ranges.
    for (let round = 0; round <= this.#pool.ranges.length; round++) {
      const errno = this.#ask(inode, chunk, count, mapFlags(writable, more));
      if (errno !== OK) return errno;
      const isGranted = this.#requests.size > 0;
      if (isGranted && !takeGrant(this.#pool, this.#requests, this.#counters, inode, chunk, writable)) return EIO;
      const wanted = inode.ranges?.get(chunk);
      // The chunk that was asked for is not given back before anybody has seen it.
      if (wanted !== undefined) wanted.refs++;
      const answered = this.#giveBacks.answer(isGranted);
      if (wanted !== undefined) wanted.refs--;
      if (isGranted || answered !== OK) return answered;
      more = MAP_FLAGS.MAP_RETRY;
    }
    return ENOMEM;
  }

  upgrade(range: DaxRange, inode: Inode): Errno {
    const errno = this.#ask(inode, range.chunk, 1, mapFlags(true, MAP_FLAGS.MAP_NO_RECALL));
    if (errno !== OK) return errno;
    const isSame = this.#requests.grant === range.grant && this.#requests.moffset === range.index * RANGE_SIZE;
    return isSame && this.#requests.size > 0 ? OK : EIO;
  }

  evict(inode: Inode): void {
    this.#giveBacks.evict(inode);
  }

  settle(): void {}

  #ask(inode: Inode, chunk: number, count: number, flags: number): Errno {
    this.#counters.mappingStalls++;
    return this.#requests.map(inode.nodeid, chunk * RANGE_SIZE, count * RANGE_SIZE, flags, -1);
  }
}
