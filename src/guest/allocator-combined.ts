/**
 * Both, with one operation: while ranges are free the host chooses, and may grant neighbours; when none is, the guest,
 * who knows what is in use, names one of its own, whose mapping is replaced. Nothing is ever asked back.
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

export class CombinedAllocator implements Allocator {
  readonly kind = 'combined';
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
    if (this.#pool.freeCount > 0) {
      const errno = this.#ask(inode, chunk, count, writable, -1);
      if (errno === OK) return this.#take(inode, chunk, writable);
      if (errno !== ENOMEM) return errno;
    }
    const victim = this.#pool.victim();
    return victim === undefined ? ENOMEM : this.#replace(victim, inode, chunk, writable);
  }

  upgrade(range: DaxRange, inode: Inode): Errno {
    const errno = this.#ask(inode, range.chunk, 1, true, -1);
    if (errno !== OK) return errno;
    const isSame = this.#requests.grant === range.grant && this.#requests.moffset === range.index * RANGE_SIZE;
    return isSame && this.#requests.size > 0 ? OK : EIO;
  }

  evict(inode: Inode): void {
    this.#giveBacks.evict(inode);
  }

  settle(): void {}

  #replace(victim: DaxRange, inode: Inode, chunk: number, writable: boolean): Errno {
    const old = victim.nodeid;
    this.#pool.steal(victim);
    this.#counters.mappingsReclaimed++;
    const errno = this.#ask(inode, chunk, 1, writable, victim.index * RANGE_SIZE);
    const { isChosen, moffset, grant, size } = this.#requests;
    const isHere = errno === OK && !isChosen && size === RANGE_SIZE && moffset === victim.index * RANGE_SIZE;
    if (isHere) victim.grant = grant;
    if (isHere && !inode.ranges?.has(chunk)) {
      this.#pool.map(victim, inode, chunk, writable);
      this.#counters.mappingsSetUp++;
      return OK;
    }
    // It may show the old file still, or the host put the chunk elsewhere: that reply tells which of the two it was.
    const taken = errno === OK && !isHere ? this.#take(inode, chunk, writable) : errno || EIO;
    this.#giveBacks.giveInHand(victim, old);
    return taken;
  }

  #take(inode: Inode, chunk: number, writable: boolean): Errno {
    return takeGrant(this.#pool, this.#requests, this.#counters, inode, chunk, writable) ? OK : EIO;
  }

  #ask(inode: Inode, chunk: number, count: number, writable: boolean, wish: number): Errno {
    this.#counters.mappingStalls++;
    const flags = mapFlags(writable, MAP_FLAGS.MAP_NO_RECALL);
    return this.#requests.map(inode.nodeid, chunk * RANGE_SIZE, count * RANGE_SIZE, flags, wish);
  }
}
