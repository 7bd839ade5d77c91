/**
 * Takes ranges away from files: one at a time when a range is needed, in batches when a file is forgotten, and some at
 * a time before they are needed (`reclaim: 'background'`).
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

/** SPEC: Linux reclaims below 20 % free, at most 10 ranges a pass. */
const THRESHOLD_PERCENT = 20;
const PASS = 10;

export class DaxReclaim {
  readonly #pool: RangePool;
  readonly #requests: DaxRequests;
  readonly #counters: Counters;
  readonly #batch: DaxRange[] = [];
  /** Ranges whose removal is on its way: the device may take requests in any order, so they are not free yet. */
  readonly #posted: DaxRange[] = [];
  readonly #threshold: number;

  constructor(pool: RangePool, requests: DaxRequests, counters: Counters) {
    this.#pool = pool;
    this.#requests = requests;
    this.#counters = counters;
    this.#threshold = Math.max(1, Math.floor((pool.ranges.length * THRESHOLD_PERCENT) / 100));
  }

  /** Returns a range in hand, taking it from a file if need be; undefined when all are in use. */
  allocate(): DaxRange | undefined {
    const range = this.#pool.take() ?? this.#takePosted();
    if (range !== undefined) return range;
    const victim = this.#pool.victim();
    if (victim === undefined) return undefined;
    this.#counters.mappingsReclaimed++;
    return this.#pool.steal(victim);
  }

  /**
   * Background reclaim, which in a guest of one thread runs after an operation that mapped: when few ranges are free,
   * takes some from files, and posts their removal without waiting.
   */
  reclaimEarly(): void {
    if (this.#posted.length > 0 && this.#requests.pending === 0) this.#collect();
    if (this.#pool.freeCount + this.#posted.length >= this.#threshold) return;
    const first = this.#posted.length;
    for (let i = 0; i < Math.min(PASS, this.#threshold); i++) {
      const victim = this.#pool.victim();
      if (victim === undefined) break;
      this.#pool.unmap(victim);
      this.#posted.push(victim);
    }
    const taken = this.#posted.slice(first);
    if (taken.length === 0) return;
    this.#counters.reclaimPasses++;
    this.#counters.rangesReclaimedEarly += taken.length;
    this.#requests.beginRemove((taken[0] as DaxRange).nodeid);
    for (const range of taken) this.#requests.addRemoval(range.index * RANGE_SIZE, RANGE_SIZE);
    this.#requests.postRemove();
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

  #takePosted(): DaxRange | undefined {
    if (this.#posted.length === 0) return undefined;
    if (this.#requests.pending > 0) this.#counters.mappingStalls++;
    this.#requests.drain();
    this.#collect();
    return this.#pool.take();
  }

  /** The removals were answered, whatever the answer was: a later mapping replaces what is still there. */
  #collect(): void {
    for (const range of this.#posted) this.#pool.give(range);
    this.#posted.length = 0;
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
