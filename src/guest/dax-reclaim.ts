/**
 * Takes ranges away from files: one at a time when a range is needed, in batches when a file is forgotten.
 *
 * Differs from Linux in two ways. A range that is needed at once is not unmapped first: SETUPMAPPING over a live
 * mapping replaces it atomically, which saves one of reclaim's two round trips (and makes a removal that failed
 * harmless: what the host still shows there is replaced before anybody looks). And the victim may belong to any file,
 * not only to the one that needs a range, because a single-threaded guest holds no other file's lock.
 * SPEC: virtio 1.3, 5.11.6.4: the device must allow a mapping that overlaps another.
 */

import { OK } from '../wire/errno.ts';
import type { NodeId } from '../wire/ids.ts';
import type { Counters } from './counters.ts';
import { type DaxRange, RANGE_SIZE, type RangePool } from './dax-ranges.ts';
import type { Inode } from './inode.ts';
import { type DaxRequests, REMOVE_BATCH } from './request-dax.ts';

export class DaxReclaim {
  readonly #pool: RangePool;
  readonly #requests: DaxRequests;
  readonly #counters: Counters;
  readonly #batch: DaxRange[] = [];

  constructor(pool: RangePool, requests: DaxRequests, counters: Counters) {
    this.#pool = pool;
    this.#requests = requests;
    this.#counters = counters;
  }

  /** Returns a range in hand, taking it from a file if need be; undefined when all are in use. */
  allocate(): DaxRange | undefined {
    const range = this.#pool.take();
    if (range !== undefined) return range;
    const victim = this.#pool.victim();
    if (victim === undefined) return undefined;
    this.#counters.mappingsReclaimed++;
    return this.#pool.steal(victim);
  }

  /** Unmaps everything of a file, REMOVE_BATCH ranges per request. */
  evict(inode: Inode): void {
    const { ranges } = inode;
    if (ranges === undefined) return;
    while (ranges.size > 0) {
      for (const range of ranges.values()) {
        if (this.#batch.length === REMOVE_BATCH) break;
        this.#batch.push(range);
      }
      this.#removeBatch();
    }
  }

  /** Gives a range in hand back that is not needed after all; what the host may show there is removed. */
  giveBack(range: DaxRange, mappedTo: NodeId): void {
    if (mappedTo === 0) {
      this.#pool.give(range);
      return;
    }
    range.enter('reclaim');
    range.nodeid = mappedTo;
    this.#batch.push(range);
    this.#settleInHand();
  }

  /** Unmaps the ranges in `#batch`, which belong to one file. */
  #removeBatch(): void {
    for (const range of this.#batch) this.#pool.unmap(range);
    this.#settleInHand();
  }

  /** Tells the host; the ranges of the batch are free then, whatever it says. */
  #settleInHand(): void {
    const batch = this.#batch;
    const first = batch[0] as DaxRange;
    this.#requests.beginRemove(first.nodeid);
    for (const range of batch) this.#requests.addRemoval(range.index * RANGE_SIZE, RANGE_SIZE);
    if (this.#requests.remove() === OK) this.#counters.mappingsRemoved += batch.length;
    else this.#counters.removalsFailed += batch.length;
    for (const range of batch) this.#pool.give(range);
    batch.length = 0;
  }
}
