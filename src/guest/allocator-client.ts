/**
 * The guest chooses: SETUPMAPPING names the place. A free range, or one taken from another file; where the host says
 * how much it mapped (PRIVATE_MAPPED_LENGTH), one request maps as many chunks as the access needs and free neighbours
 * of the range there are.
 */
import { EIO, ENOMEM, type Errno, OK } from '../wire/errno.ts';
import type { Allocator } from './allocator.ts';
import type { Counters } from './counters.ts';
import { type DaxRange, RANGE_SIZE, type RangePool } from './dax-ranges.ts';
import { DaxReclaim } from './dax-reclaim.ts';
import type { Inode } from './inode.ts';
import type { ReclaimMode } from './options.ts';
import type { DaxRequests } from './request-dax.ts';

export class ClientAllocator implements Allocator {
  readonly kind = 'client';
  readonly #pool: RangePool;
  readonly #requests: DaxRequests;
  readonly #reclaim: DaxReclaim;
  readonly #counters: Counters;
  readonly #isBackground: boolean;

  constructor(pool: RangePool, requests: DaxRequests, counters: Counters, reclaim: ReclaimMode) {
    this.#pool = pool;
    this.#requests = requests;
    this.#reclaim = new DaxReclaim(pool, requests, counters);
    this.#counters = counters;
    this.#isBackground = reclaim === 'background';
  }

  map(inode: Inode, chunk: number, count: number, writable: boolean): Errno {
    const range = this.#reclaim.allocate();
    if (range === undefined) return ENOMEM;
    const run = this.#run(range, inode, chunk, count);
    const errno = this.#setup(range.index, inode, chunk, run.length, writable);
    if (errno !== OK) {
      this.#reclaim.giveBack(range, range.nodeid);
      for (const other of run.slice(1)) this.#pool.give(other);
      return errno;
    }
    const mapped = this.#requests.mapped / RANGE_SIZE;
    for (const [i, one] of run.entries()) this.#mapOne(one, inode, chunk, i, i < mapped, writable);
    this.#counters.mappedAhead += mapped - 1;
    return OK;
  }

  upgrade(range: DaxRange, inode: Inode): Errno {
    return this.#setup(range.index, inode, range.chunk, 1, true);
  }

  evict(inode: Inode): void {
    this.#reclaim.evict(inode);
  }

  settle(): void {
    if (this.#isBackground) this.#reclaim.reclaimEarly();
  }

  /** The range in hand, and the free ones behind it that the next chunks can have. */
  #run(range: DaxRange, inode: Inode, chunk: number, count: number): DaxRange[] {
    const run = [range];
    if (!this.#requests.mayMapLess) return run;
    while (run.length < count && !inode.ranges?.has(chunk + run.length)) {
      const next = this.#pool.ranges[range.index + run.length];
      if (next?.state !== 'free') break;
      run.push(this.#pool.takeAt(next));
    }
    return run;
  }

  #mapOne(range: DaxRange, inode: Inode, first: number, i: number, isMapped: boolean, writable: boolean): void {
    if (!isMapped) {
      this.#pool.give(range);
    } else if (inode.ranges?.has(first + i)) {
      // Requests were sent meanwhile, and somebody else has mapped the chunk. The winner may be read-only.
      this.#reclaim.giveBack(range, inode.nodeid);
    } else {
      this.#counters.mappingsSetUp++;
      this.#pool.map(range, inode, first + i, writable, i > 0);
    }
  }

  #setup(index: number, inode: Inode, chunk: number, count: number, writable: boolean): Errno {
    this.#counters.mappingStalls++;
    const size = count * RANGE_SIZE;
    const errno = this.#requests.setup(inode.nodeid, chunk * RANGE_SIZE, size, index * RANGE_SIZE, writable);
    return errno === OK && this.#requests.mapped % RANGE_SIZE !== 0 ? EIO : errno;
  }
}
