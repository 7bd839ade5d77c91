/**
 * The ranges of a window: 2 MiB each, handed from file to file.
 *
 *   free    → setup:   taken to map a chunk
 *   setup   → busy:    mapped
 *   setup   → free:    the host refused
 *   setup   → reclaim: mapped, but not needed any more
 *   busy    → reclaim: nobody uses it, somebody else needs it, or its file is forgotten
 *   reclaim → setup:   the next SETUPMAPPING replaces what the range shows
 *   reclaim → free:    unmapped
 *
 * Which idle range goes is decided by two lists. A new range is *on trial*; used again after some other ranges were
 * mapped, it is *kept*. The victim is the trial range that was used last, not counting the TRIAL_MIN newest (they serve
 * the streams that run now); so a scan larger than the window keeps part of itself mapped, where FIFO and LRU would
 * throw away exactly what comes next. Every AGING-th victim is the least recently used kept range, so that what was
 * useful once does not stay for ever.
 *
 * INVARIANT: free + busy (trial + kept) + in hand (setup, reclaim) = total.
 * INVARIANT: a busy range is in the `ranges` of exactly one inode, under its chunk; no other range is.
 */
import { assert } from '../base/assert.ts';
import type { NodeId } from '../wire/ids.ts';
import type { Inode } from './inode.ts';

export const RANGE_SIZE = 2 * 1024 * 1024;
/** Streams that may run side by side without taking ranges from each other (half the window, if that is less). */
const TRIAL_MIN = 8;
const AGING = 8;

export type RangeState = 'free' | 'setup' | 'busy' | 'reclaim';

const EDGES: Readonly<Record<RangeState, readonly RangeState[]>> = {
  free: ['setup'],
  setup: ['busy', 'free', 'reclaim'],
  busy: ['reclaim'],
  reclaim: ['setup', 'free'],
};

export class DaxRange {
  readonly index: number;
  inode: Inode | undefined;
  /** Whose mapping the host has at this place, 0 = none; outlives `inode` until the mapping is replaced or removed. */
  nodeid = 0 as NodeId;
  /** Under which name the server granted it; 0 = the place was our own choice. */
  grant = 0;
  /** Which 2 MiB of the file. */
  chunk = 0;
  isWritable = false;
  /** Running accesses and pinned views. */
  refs = 0;
  /** `mapped` of the pool when it was mapped, and when it was last used. */
  bornAt = 0;
  usedAt = 0;
  list: RangeList | undefined;
  newer: DaxRange | undefined;
  older: DaxRange | undefined;
  #state: RangeState = 'free';

  constructor(index: number) {
    this.index = index;
  }

  get state(): RangeState {
    return this.#state;
  }

  enter(next: RangeState): void {
    assert(EDGES[this.#state].includes(next), `range ${this.index} does not go from ${this.#state} to ${next}`);
    this.#state = next;
  }
}

/** Ranges from the least to the most recently used. */
export class RangeList {
  newest: DaxRange | undefined;
  oldest: DaxRange | undefined;
  count = 0;

  add(range: DaxRange): void {
    range.list = this;
    range.older = this.newest;
    range.newer = undefined;
    if (this.newest === undefined) this.oldest = range;
    else this.newest.newer = range;
    this.newest = range;
    this.count++;
  }

  remove(range: DaxRange): void {
    if (range.newer === undefined) this.newest = range.older;
    else range.newer.older = range.older;
    if (range.older === undefined) this.oldest = range.newer;
    else range.older.newer = range.newer;
    range.list = undefined;
    this.count--;
  }
}

export class RangePool {
  readonly ranges: readonly DaxRange[];
  readonly #free = new RangeList();
  readonly #trial = new RangeList();
  readonly #kept = new RangeList();
  readonly #trialMin: number;
  /** Mappings made so far. */
  #mapped = 0;
  #victims = 0;
  #inHand = 0;

  constructor(count: number) {
    assert(count > 0, 'a window has at least one range');
    this.ranges = Array.from({ length: count }, (_, i) => new DaxRange(i));
    for (let i = count - 1; i >= 0; i--) this.#free.add(this.ranges[i] as DaxRange);
    this.#trialMin = Math.min(TRIAL_MIN, count >> 1);
  }

  get freeCount(): number {
    return this.#free.count;
  }
  get busyCount(): number {
    return this.#trial.count + this.#kept.count;
  }

  /** Takes a free range in hand. */
  take(): DaxRange | undefined {
    const range = this.#free.newest;
    return range === undefined ? undefined : this.takeAt(range);
  }

  /** Takes this free range in hand. */
  takeAt(range: DaxRange): DaxRange {
    range.enter('setup');
    this.#free.remove(range);
    this.#inHand++;
    return range;
  }

  /** A range in hand is mapped now; `isNext`: by the same request as the one before, so they count as one. */
  map(range: DaxRange, inode: Inode, chunk: number, isWritable: boolean, isNext = false): void {
    range.enter('busy');
    this.#inHand--;
    range.inode = inode;
    range.nodeid = inode.nodeid;
    range.chunk = chunk;
    range.isWritable = isWritable;
    if (!isNext) this.#mapped++;
    range.bornAt = range.usedAt = this.#mapped;
    this.#trial.add(range);
    (inode.ranges as Map<number, DaxRange>).set(chunk, range);
  }

  /** Remembers a use. Free of charge as long as nothing else was mapped since the last one. */
  touch(range: DaxRange): void {
    if (range.usedAt === this.#mapped) return;
    range.usedAt = this.#mapped;
    const list = range.list as RangeList;
    list.remove(range);
    const isProven = list === this.#kept || this.#mapped - range.bornAt > this.#trialMin;
    (isProven ? this.#kept : this.#trial).add(range);
  }

  /** Returns the range to take away next; undefined when every range is in use. */
  victim(): DaxRange | undefined {
    this.#victims++;
    const isAging = this.#victims % AGING === 0;
    if (isAging || this.#trial.count <= this.#trialMin) {
      return oldestIdle(this.#kept) ?? this.#trialVictim() ?? oldestIdle(this.#trial);
    }
    return this.#trialVictim() ?? oldestIdle(this.#kept) ?? oldestIdle(this.#trial);
  }

  /** Takes a busy, idle range in hand to unmap it: its file does not find it any more. */
  unmap(range: DaxRange): void {
    assert(range.refs === 0, `range ${range.index} is in use`);
    range.enter('reclaim');
    range.list?.remove(range);
    range.inode?.ranges?.delete(range.chunk);
    range.inode = undefined;
    this.#inHand++;
  }

  /** Takes a busy, idle range in hand to map something else: the host replaces what it shows. */
  steal(range: DaxRange): DaxRange {
    this.unmap(range);
    range.enter('setup');
    return range;
  }

  /** Gives a range in hand back. */
  give(range: DaxRange): void {
    range.enter('free');
    range.nodeid = 0 as NodeId;
    range.grant = 0;
    this.#inHand--;
    this.#free.add(range);
  }

  checkInvariants(): void {
    const sum = this.freeCount + this.busyCount + this.#inHand;
    assert(sum === this.ranges.length, `${sum} ranges are accounted for, not ${this.ranges.length}`);
    for (const range of this.ranges) {
      const isFound = range.inode?.ranges?.get(range.chunk) === range;
      assert(isFound === (range.state === 'busy'), `range ${range.index} is ${range.state}, found: ${isFound}`);
      assert(range.refs === 0 || range.state === 'busy', `range ${range.index} is used but ${range.state}`);
    }
  }

  #trialVictim(): DaxRange | undefined {
    let skip = this.#trialMin;
    for (let r = this.#trial.newest; r !== undefined; r = r.older) {
      if (skip-- <= 0 && r.refs === 0) return r;
    }
    return undefined;
  }
}

function oldestIdle(list: RangeList): DaxRange | undefined {
  for (let r = list.oldest; r !== undefined; r = r.newer) if (r.refs === 0) return r;
  return undefined;
}
