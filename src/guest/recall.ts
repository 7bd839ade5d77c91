/**
 * The guest's answer to a recall, whatever carried it: each range is given back, or the server hears that it is in use.
 *
 * A range that is given back is free here from that moment, though the answer is still on its way: the server grants it
 * anew only after it has read the answer. What it asked for twice, because the first answer came late, is given back
 * twice: the grant's name tells it that the second does not mean what it granted there since.
 */
import { type Errno, OK } from '../wire/errno.ts';
import type { NodeId } from '../wire/ids.ts';
import type { Counters } from './counters.ts';
import { type DaxRange, RANGE_SIZE, type RangePool } from './dax-ranges.ts';
import type { Inode } from './inode.ts';
import { type MapRequests, type Recalled, UNMAP_BATCH } from './request-map.ts';

export class GiveBacks {
  readonly #pool: RangePool;
  readonly #requests: MapRequests;
  readonly #counters: Counters;

  constructor(pool: RangePool, requests: MapRequests, counters: Counters) {
    this.#pool = pool;
    this.#requests = requests;
    this.#counters = counters;
  }

  /** Answers what came with the last MAP. `mayPost`: nobody waits for the ranges. */
  answer(mayPost: boolean): Errno {
    const { recalled } = this.#requests;
    if (recalled.length === 0) return OK;
    this.#counters.recalls++;
    this.#counters.rangesRecalled += recalled.length;
    this.#requests.beginUnmap(this.#nodeidOf(recalled[0] as Recalled));
    for (const one of recalled) this.#answerOne(one);
    if (mayPost) {
      this.#requests.post();
      return OK;
    }
    this.#counters.mappingStalls++;
    return this.#requests.send();
  }

  /** Gives back everything of a file. */
  evict(inode: Inode): void {
    const { ranges, nodeid } = inode;
    while (ranges !== undefined && ranges.size > 0) {
      let count = 0;
      this.#requests.beginUnmap(nodeid);
      for (const range of ranges.values()) {
        if (count++ === UNMAP_BATCH) break;
        this.#give(range);
      }
      this.#send(Math.min(count, UNMAP_BATCH));
    }
  }

  /** Gives back one range that is in hand and not needed after all. */
  giveInHand(range: DaxRange, nodeid: NodeId): void {
    range.enter('reclaim');
    this.#requests.beginUnmap(nodeid);
    this.#requests.add(range.grant, range.index * RANGE_SIZE, RANGE_SIZE, false);
    this.#pool.give(range);
    this.#send(1);
  }

  #send(count: number): void {
    if (this.#requests.send() === OK) this.#counters.mappingsRemoved += count;
    else this.#counters.removalsFailed += count;
  }

  #answerOne({ grant, moffset }: Recalled): void {
    const range = this.#rangeAt(grant, moffset);
    const isPinned = range !== undefined && range.refs > 0;
    if (isPinned) {
      this.#counters.rangesPinned++;
      this.#requests.add(grant, moffset, RANGE_SIZE, true);
      return;
    }
    this.#counters.rangesGivenBack++;
    if (range === undefined) this.#requests.add(grant, moffset, RANGE_SIZE, false);
    else this.#give(range);
  }

  #give(range: DaxRange): void {
    this.#requests.add(range.grant, range.index * RANGE_SIZE, RANGE_SIZE, false);
    this.#pool.unmap(range);
    this.#pool.give(range);
  }

  /** The busy range that is meant; undefined when it was given back before. */
  #rangeAt(grant: number, moffset: number): DaxRange | undefined {
    const range = this.#pool.ranges[moffset / RANGE_SIZE];
    return range?.state === 'busy' && range.grant === grant ? range : undefined;
  }

  #nodeidOf({ grant, moffset }: Recalled): NodeId {
    return this.#rangeAt(grant, moffset)?.nodeid ?? (0 as NodeId);
  }
}
