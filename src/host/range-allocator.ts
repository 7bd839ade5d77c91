/**
 * The server as allocator of one client's window: which range shows which chunk, and which are to be given back. It
 * picks the place of a mapping, grants a few chunks more where a file is mapped in order and the window has room, less
 * where it has not, and asks for ranges back when it runs out. `recall` chooses them; what carries the question to the
 * client and the answer back is not its business.
 *
 * What it knows of their use is little: when a range was asked for, and whether *somebody* touched the chunk's pages
 * since (ACCESSED in the file's leaf table, which all windows share). Accesses to a range that is mapped make no
 * request. So it asks for the ranges granted first, passing over once those whose pages were used; only the client
 * knows what is pinned, and says so.
 *
 * INVARIANT: granted + free = all ranges; a chunk of a file is granted at most once.
 */
import { assert } from '../base/assert.ts';
import { type Errno, OK } from '../wire/errno.ts';
import type { Inode } from './inode.ts';
import { MAP_UNIT, type Mapper } from './mapper-types.ts';

/** Chunks granted beyond what was asked for, while more than half of the window is free. */
const AHEAD = 4;
/** Ranges asked back at a time, as Linux reclaims them; fewer in a small window. */
const RECALL_MAX = 10;
/** Ranges looked at for each one asked back. */
const LOOKS = 4;

/** What the allocators of a host did, all clients together. */
export class MapCounts {
  /** MAP requests, those that wished for a place, and those that got nothing. */
  requests = 0;
  wishes = 0;
  refused = 0;
  /** Ranges granted, and those among them that nobody had asked for. */
  granted = 0;
  ahead = 0;
  /** Replies that asked for ranges, and the ranges; those among them that clients kept. */
  recalls = 0;
  recalled = 0;
  pinned = 0;
  /** Ranges that came back, asked for or because their file was forgotten. */
  givenBack = 0;
}

export interface Grant {
  /** Names the grant: never used again in this session. */
  readonly id: number;
  readonly range: number;
}

interface Granted extends Grant {
  readonly inode: Inode;
  readonly chunk: number;
  writable: boolean;
  isRecalled: boolean;
  /** The request whose recall was answered with "pinned", or that was granted just now. */
  sparedBy: number;
}

export class RangeAllocator {
  /** What the last `map` granted: `count` ranges from `range` on, all under one id; 0 = nothing is free. */
  id = 0;
  range = 0;
  count = 0;
  readonly total: number;
  /** Below this many free ranges some are asked back. */
  readonly #low: number;
  readonly #recallMax: number;
  readonly #mapper: Mapper;
  readonly #counts: MapCounts;
  readonly #ranges: (Granted | undefined)[];
  /** By range, the one to be asked for first in front. */
  readonly #order = new Map<number, Granted>();
  readonly #files = new Map<Inode, Map<number, Granted>>();
  #lastId = 0;
  /** The request that is being answered, its retries included. */
  #request = 0;
  /** Where to look for free ranges next. */
  #next = 0;

  /** `recallBelow`: the share of ranges to keep free; 0 = ask for some only when there are none. */
  constructor(mapper: Mapper, counts: MapCounts, recallBelow: number) {
    this.total = mapper.windowSize / MAP_UNIT;
    this.#low = recallBelow === 0 ? 0 : Math.max(1, Math.floor(this.total * recallBelow));
    this.#recallMax = Math.min(RECALL_MAX, Math.max(1, Math.floor(this.total / 5)));
    this.#mapper = mapper;
    this.#counts = counts;
    this.#ranges = new Array<Granted | undefined>(this.total).fill(undefined);
  }

  get free(): number {
    return this.total - this.#order.size;
  }

  /** Whether ranges should be asked for before there are none. */
  get isLow(): boolean {
    return this.free < this.#low;
  }

  /** A request that is not the continuation of one starts: what was pinned may be free by now. */
  begin(isRetry: boolean): void {
    this.#counts.requests++;
    if (!isRetry) this.#request++;
  }

  /**
   * Shows `count` chunks from `chunk` on, or what there is room for, somewhere. A chunk that is shown already stays
   * where it is, and is made writable if need be.
   */
  map(inode: Inode, chunk: number, count: number, writable: boolean): Errno {
    const known = this.#find(inode, chunk);
    if (known !== undefined) return this.#upgrade(known, writable);
    const wanted = this.#ungranted(inode, chunk, this.#reach(inode, chunk, count));
    this.#findRun(wanted);
    if (this.count === 0) return OK;
    const asked = Math.min(count, this.count);
    const errno = this.#grant(inode, chunk, this.range, this.count, writable);
    if (errno === OK) this.#counts.ahead += Math.max(0, this.count - asked);
    return errno;
  }

  /** The same at the place the client wishes, whatever is there: it is the client's own. */
  mapAt(inode: Inode, chunk: number, count: number, writable: boolean, range: number): Errno {
    this.#counts.wishes++;
    const known = this.#find(inode, chunk);
    if (known !== undefined) return this.#upgrade(known, writable);
    return this.#grant(inode, chunk, range, this.#ungranted(inode, chunk, count), writable);
  }

  /**
   * Chooses ranges to be asked back. `isNeeded`: without them the request cannot be granted, so that those whose answer
   * is still to come are asked for again.
   */
  recall(isNeeded: boolean, out: Grant[], room: number): void {
    const count = Math.min(this.#recallMax, room);
    this.#choose(count, isNeeded, true, out);
    if (isNeeded && out.length === 0) this.#choose(count, true, false, out);
    if (out.length === 0) return;
    this.#counts.recalls++;
    this.#counts.recalled += out.length;
  }

  /** A range comes back. One that was granted anew meanwhile is not meant. */
  release(id: number, range: number): void {
    const granted = this.#ranges[range];
    if (granted === undefined || granted.id !== id) return;
    this.#mapper.remove(range * MAP_UNIT, MAP_UNIT);
    this.#forget(granted);
    this.#counts.givenBack++;
  }

  /** The client uses a range that was asked for. */
  keep(id: number, range: number): void {
    const granted = this.#ranges[range];
    if (granted === undefined || granted.id !== id) return;
    granted.isRecalled = false;
    granted.sparedBy = this.#request;
    this.#toEnd(granted);
    this.#counts.pinned++;
  }

  /** The client starts afresh, or has gone; the mapper is cleared by the caller. */
  clear(): void {
    this.#ranges.fill(undefined);
    this.#order.clear();
    this.#files.clear();
  }

  /** What a range shows, for tests; undefined = it is free. */
  shown(range: number): { readonly nodeid: number; readonly chunk: number; readonly id: number } | undefined {
    const granted = this.#ranges[range];
    return granted && { nodeid: granted.inode.nodeid, chunk: granted.chunk, id: granted.id };
  }

  checkInvariants(): void {
    let granted = 0;
    for (const [index, entry] of this.#ranges.entries()) {
      if (entry === undefined) continue;
      granted++;
      assert(entry.range === index && this.#order.get(index) === entry, 'a granted range is not in the list');
      assert(this.#find(entry.inode, entry.chunk) === entry, 'a granted range is not found by its chunk');
    }
    assert(granted === this.#order.size, 'a range is in the list that is not granted');
    let chunks = 0;
    for (const file of this.#files.values()) chunks += file.size;
    assert(chunks === granted, 'a chunk is found that no range shows');
  }

  #find(inode: Inode, chunk: number): Granted | undefined {
    return this.#files.get(inode)?.get(chunk);
  }

  #upgrade(known: Granted, writable: boolean): Errno {
    this.id = known.id;
    this.range = known.range;
    this.count = 1;
    known.isRecalled = false;
    known.sparedBy = this.#request;
    this.#toEnd(known);
    if (!writable || known.writable) return OK;
    const errno = this.#mapper.setup(known.inode, known.chunk * MAP_UNIT, MAP_UNIT, true, known.range * MAP_UNIT);
    if (errno === OK) known.writable = true;
    return errno;
  }

  /** Chunks to grant: more than asked for, inside the file, when the one before is mapped and there is room. */
  #reach(inode: Inode, chunk: number, count: number): number {
    if (this.free * 2 <= this.total || this.#find(inode, chunk - 1) === undefined) return count;
    const end = Math.ceil((inode.space?.size ?? 0) / MAP_UNIT);
    return Math.max(count, Math.min(count + AHEAD, end - chunk));
  }

  #ungranted(inode: Inode, chunk: number, count: number): number {
    let n = 1;
    while (n < count && this.#find(inode, chunk + n) === undefined) n++;
    return n;
  }

  /** Sets `range` and `count` to the first run of free ranges that is long enough, or else the longest. */
  #findRun(wanted: number): void {
    this.count = 0;
    let run = 0;
    for (let i = 0; i < this.total && this.count < wanted; i++) {
      const range = (this.#next + i) % this.total;
      // A run does not go on from the window's last range to its first.
      if (range === 0) run = 0;
      run = this.#ranges[range] === undefined ? run + 1 : 0;
      if (run <= this.count) continue;
      this.count = run;
      this.range = range - run + 1;
    }
  }

  #grant(inode: Inode, chunk: number, range: number, count: number, writable: boolean): Errno {
    this.id = ++this.#lastId;
    this.range = range;
    this.count = 0;
    while (this.count < count) {
      const errno = this.#grantOne(inode, chunk + this.count, range + this.count, writable);
      if (errno !== OK && this.count === 0) return errno;
      if (errno !== OK) break;
      this.count++;
    }
    this.#next = (range + this.count) % this.total;
    this.#counts.granted += this.count;
    return OK;
  }

  #grantOne(inode: Inode, chunk: number, range: number, writable: boolean): Errno {
    const errno = this.#mapper.setup(inode, chunk * MAP_UNIT, MAP_UNIT, writable, range * MAP_UNIT);
    if (errno !== OK) return errno;
    const old = this.#ranges[range];
    if (old !== undefined) this.#forget(old);
    const sparedBy = this.#request;
    const granted = { id: this.id, range, inode, chunk, writable, isRecalled: false, sparedBy };
    this.#ranges[range] = granted;
    this.#order.set(range, granted);
    const file = this.#files.get(inode);
    if (file === undefined) this.#files.set(inode, new Map([[chunk, granted]]));
    else file.set(chunk, granted);
    return OK;
  }

  #choose(count: number, isNeeded: boolean, sparesUsed: boolean, out: Grant[]): void {
    let looks = sparesUsed ? count * LOOKS : this.total;
    for (const granted of this.#order.values()) {
      if (out.length === count || looks-- === 0) return;
      if (granted.sparedBy === this.#request || (granted.isRecalled && !isNeeded)) continue;
      if (sparesUsed && this.#mapper.takeUsed(granted.range * MAP_UNIT)) {
        this.#toEnd(granted);
        continue;
      }
      granted.isRecalled = true;
      out.push(granted);
    }
  }

  #toEnd(granted: Granted): void {
    this.#order.delete(granted.range);
    this.#order.set(granted.range, granted);
  }

  #forget(granted: Granted): void {
    this.#ranges[granted.range] = undefined;
    this.#order.delete(granted.range);
    const file = this.#files.get(granted.inode);
    file?.delete(granted.chunk);
    if (file?.size === 0) this.#files.delete(granted.inode);
  }
}
