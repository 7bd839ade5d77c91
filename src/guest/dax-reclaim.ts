/**
 * Takes ranges away from files and unmaps them on the host: one at a time when a range is needed, in batches when a
 * file is forgotten.
 *
 * Differs from Linux: a range whose REMOVEMAPPING failed is not used again, because the host may still have it mapped;
 * it goes to quarantine and is tried again when ranges run out. And the victim may belong to any file, not only to the
 * one that needs a range, because a single-threaded guest holds no other file's lock.
 */
import { type Errno, OK } from '../wire/errno.ts';
import type { Counters } from './counters.ts';
import { type DaxRange, RANGE_SIZE, type RangePool } from './dax-ranges.ts';
import type { Inode } from './inode.ts';
import { type DaxRequests, REMOVE_BATCH } from './request-dax.ts';

/** Failed removals that one allocation puts up with; every one costs a range. */
const RECLAIM_TRIES = 3;

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
    for (let tries = 0; tries < RECLAIM_TRIES && this.#reclaimOne(); tries++) {
      const freed = this.#pool.take();
      if (freed !== undefined) return freed;
    }
    this.#retryIsolated();
    return this.#pool.take();
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

  /** Unmaps a range in hand that turned out not to be needed. */
  unmapUnused(range: DaxRange, inode: Inode): void {
    range.enter('reclaim');
    range.nodeid = inode.nodeid;
    this.#batch.push(range);
    this.#settleInHand();
  }

  #reclaimOne(): boolean {
    const victim = this.#pool.victim();
    if (victim === undefined) return false;
    this.#batch.push(victim);
    if (this.#removeBatch() === OK) this.#counters.mappingsReclaimed++;
    return true;
  }

  /** Unmaps the ranges in `#batch`, which belong to one file. */
  #removeBatch(): Errno {
    const batch = this.#batch;
    for (const range of batch) this.#pool.unmap(range);
    return this.#settleInHand();
  }

  /** Tells the host; then the ranges of the batch are free, or in quarantine. */
  #settleInHand(): Errno {
    const batch = this.#batch;
    const errno = this.#send(batch);
    for (const range of batch) {
      if (errno === OK) this.#pool.give(range);
      else this.#pool.isolate(range);
    }
    batch.length = 0;
    return errno;
  }

  #retryIsolated(): void {
    const range = this.#pool.takeIsolated();
    if (range === undefined) return;
    this.#batch.push(range);
    this.#settleInHand();
  }

  #send(batch: readonly DaxRange[]): Errno {
    const first = batch[0] as DaxRange;
    this.#requests.beginRemove(first.nodeid);
    for (const range of batch) this.#requests.addRemoval(range.index * RANGE_SIZE, RANGE_SIZE);
    const errno = this.#requests.remove();
    if (errno === OK) this.#counters.mappingsRemoved += batch.length;
    else this.#counters.removalsFailed += batch.length;
    return errno;
  }
}
