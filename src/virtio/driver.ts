/**
 * The guest's end of a split virtqueue: makes chains available, takes used ones back.
 *
 * A request is added under a token of the caller's, and that token comes back when the device is done. `add` says
 * false when the ring has no room: the caller parks the request (see parked.ts) and adds it again after `takeUsed`.
 * How to wait without losing a wake-up:
 *
 *     const seen = interrupt.seen();
 *     queue.disableInterrupts();
 *     while ((token = queue.takeUsed()) >= 0) complete(token, queue.usedLength);
 *     if (!queue.enableInterrupts() && queue.broken === undefined) interrupt.wait(seen);
 *
 * INVARIANT: nothing the device could have written is trusted: descriptors' links, lengths and avail.idx are read
 * from this object's own copies, never back from the ring. A device that breaks the rules is recorded in `broken`.
 * INVARIANT: free slots + slots of chains in flight = size.
 * SPEC: virtio 1.3, 2.7.13 (supplying buffers), 2.7.14 (receiving used buffers), 2.7.7 and 2.7.10 (suppression).
 */
import { assert } from '../base/assert.ts';
import { indexDistance, needEvent, nextIndex, RING_INDEX_MASK } from '../base/ring-index.ts';
import type { SegmentList } from './chain.ts';
import {
  availEventAt,
  isQueueSize,
  type RingAddresses,
  type RingFeatures,
  usedEventAt,
  VIRTQ_AVAIL_F_NO_INTERRUPT,
  VIRTQ_CHAIN_BYTES_MAX,
  VIRTQ_DESC_ADDR,
  VIRTQ_DESC_F_INDIRECT,
  VIRTQ_DESC_F_NEXT,
  VIRTQ_DESC_F_WRITE,
  VIRTQ_DESC_FLAGS,
  VIRTQ_DESC_LEN,
  VIRTQ_DESC_NEXT,
  VIRTQ_DESC_SIZE,
  VIRTQ_RING_ENTRIES,
  VIRTQ_RING_FLAGS,
  VIRTQ_RING_IDX,
  VIRTQ_USED_ELEM_SIZE,
  VIRTQ_USED_F_NO_NOTIFY,
} from './layout.ts';
import type { GuestMemory } from './memory.ts';

/** A queue's parts, and where the driver keeps one indirect table per entry. */
export interface DriverRing extends RingAddresses {
  /** Start of `size` tables (a multiple of 16); without it no indirect descriptors are used. */
  readonly indirectAt?: number;
  /** Descriptors per table; a longer request takes ordinary descriptors. Default: the queue size. */
  readonly indirectCount?: number;
}

export class DriverQueue {
  readonly size: number;
  /** Why the device cannot be trusted any more, or why the queue was closed; nothing is added or taken from then on. */
  broken: string | undefined = undefined;
  /** How many bytes the device says it wrote for the token last returned by `takeUsed`. */
  usedLength = 0;
  readonly #memory: GuestMemory;
  readonly #ring: RingAddresses;
  readonly #eventIndex: boolean;
  readonly #indirectAt: number;
  readonly #tableCount: number;
  readonly #usedEventAt: number;
  readonly #availEventAt: number;
  /** Per slot: the next free slot, or the next of the same chain. */
  readonly #next: Uint16Array;
  /** Per head: slots of its chain; 0 if the slot is no head of a chain in flight. */
  readonly #slots: Uint16Array;
  readonly #token: Float64Array;
  readonly #writableSize: Float64Array;
  /** Per head: which avail index made it available. */
  readonly #position: Uint16Array;
  #free = 0;
  #freeCount: number;
  #inFlight = 0;
  /** The avail index of the next chain to be added, and the one last published. */
  #added = 0;
  #published = 0;
  /** The used index of the next entry to take, and the one last loaded. */
  #taken = 0;
  #usedSeen = 0;
  #isInterruptible = true;

  /** Takes over the ring's memory and zeroes it: only before the queue is made ready. */
  constructor(memory: GuestMemory, ring: DriverRing, features: RingFeatures) {
    assert(isQueueSize(ring.size), 'a queue size is a power of two');
    this.size = ring.size;
    this.#memory = memory;
    this.#ring = ring;
    this.#eventIndex = features.eventIndex;
    this.#indirectAt = ring.indirectAt ?? 0;
    this.#tableCount = features.indirect && ring.indirectAt !== undefined ? (ring.indirectCount ?? ring.size) : 0;
    this.#usedEventAt = usedEventAt(ring);
    this.#availEventAt = availEventAt(ring);
    this.#next = new Uint16Array(ring.size).map((_, slot) => slot + 1);
    this.#slots = new Uint16Array(ring.size);
    this.#token = new Float64Array(ring.size);
    this.#writableSize = new Float64Array(ring.size);
    this.#position = new Uint16Array(ring.size);
    this.#freeCount = ring.size;
    this.#zero();
  }

  /** How many chains were added and not taken back. */
  get inFlight(): number {
    return this.#inFlight;
  }

  /** How many more ordinary descriptors fit. */
  get freeCount(): number {
    return this.#freeCount;
  }

  /** Adds a request; false means no room now. Its `token` (0 or more) comes back from `takeUsed`. */
  add(readable: SegmentList, writable: SegmentList, token: number): boolean {
    const count = readable.count + writable.count;
    assert(count > 0, 'a request has at least one segment');
    assert(count <= this.size, 'a request has at most as many segments as the queue has entries');
    assert(readable.size + writable.size < VIRTQ_CHAIN_BYTES_MAX, 'a request is smaller than 4 GiB');
    assert(token >= 0, 'a token is not negative');
    const isTabled = count > 1 && count <= this.#tableCount;
    const slots = isTabled ? 1 : count;
    if (slots > this.#freeCount || this.broken !== undefined) return false;
    const head = this.#free;
    if (isTabled) this.#writeTable(head, readable, writable);
    else this.#writeChain(readable, writable);
    this.#freeCount -= slots;
    this.#slots[head] = slots;
    this.#token[head] = token;
    this.#writableSize[head] = writable.size;
    this.#position[head] = this.#added;
    const entry = this.#added & (this.size - 1);
    this.#memory.setU16(this.#ring.availAt + VIRTQ_RING_ENTRIES + 2 * entry, head);
    this.#added = nextIndex(this.#added);
    this.#inFlight++;
    return true;
  }

  /** Makes all added chains available; tells whether the device must be kicked. */
  publish(): boolean {
    const old = this.#published;
    const fresh = this.#added;
    if (fresh === old || this.broken !== undefined) return false;
    this.#published = fresh;
    // ORDER: publishes the ring entries and descriptors written by `add`; pairs with the load in DeviceQueue.#refresh.
    this.#memory.storeU16(this.#ring.availAt + VIRTQ_RING_IDX, fresh);
    // ORDER: idx is stored before the device's wish is loaded; the device does it the other way round in enableKicks.
    if (this.#eventIndex) return needEvent(this.#memory.loadU16(this.#availEventAt), fresh, old);
    return (this.#memory.loadU16(this.#ring.usedAt + VIRTQ_RING_FLAGS) & VIRTQ_USED_F_NO_NOTIFY) === 0;
  }

  /** Whether there is something to take back, by one cheap look: for who looks often and seldom finds. */
  get hasUsed(): boolean {
    // ORDER: plain, so a store that races with this look may be missed; one that happened before whatever the caller
    // has heard of since by other means (an atomic, a message) may not. `takeUsed` then looks with acquire.
    return this.#memory.getU16(this.#ring.usedAt + VIRTQ_RING_IDX) !== this.#taken;
  }

  /** Takes back one used chain: returns its token and sets `usedLength`; −1 if there is none (or see `broken`). */
  takeUsed(): number {
    if (this.broken !== undefined) return -1;
    if (this.#taken === this.#usedSeen && !this.#refresh()) return -1;
    const at = this.#ring.usedAt + VIRTQ_RING_ENTRIES + VIRTQ_USED_ELEM_SIZE * (this.#taken & (this.size - 1));
    const head = this.#memory.getU32(at);
    const length = this.#memory.getU32(at + 4);
    if (!this.#isAvailable(head)) return this.#fail(`used id ${head} is not in flight`);
    const writableSize = this.#writableSize[head] as number;
    if (length > writableSize) return this.#fail(`used length ${length} is larger than the writable ${writableSize}`);
    this.#taken = nextIndex(this.#taken);
    this.usedLength = length;
    this.#release(head);
    return this.#token[head] as number;
  }

  /** Asks the device not to interrupt; it may all the same. */
  disableInterrupts(): void {
    if (!this.#isInterruptible || this.broken !== undefined) return;
    this.#isInterruptible = false;
    // ORDER: only an optimisation, nothing pairs with it. An event just passed is not met for 65535 entries.
    if (this.#eventIndex) this.#memory.storeU16(this.#usedEventAt, (this.#taken - 1) & RING_INDEX_MASK);
    // ORDER: as above.
    else this.#memory.storeU16(this.#ring.availAt + VIRTQ_RING_FLAGS, VIRTQ_AVAIL_F_NO_INTERRUPT);
  }

  /** Asks to be interrupted at the next used entry; true means there already are some: look again, do not wait. */
  enableInterrupts(): boolean {
    if (this.broken !== undefined) return false;
    this.#isInterruptible = true;
    // ORDER: stored before the used idx is loaded again; pairs with DeviceQueue.publish, which does the reverse.
    if (this.#eventIndex) this.#memory.storeU16(this.#usedEventAt, this.#taken);
    // ORDER: as above.
    else this.#memory.storeU16(this.#ring.availAt + VIRTQ_RING_FLAGS, 0);
    // SPEC: virtio 1.3, 2.7.14: after enabling, look once more, or an entry that came in between is slept through.
    return this.#refresh();
  }

  /** Ends the queue's use, before a reset: it touches its memory no more. Tokens come back from `takeUnused`. */
  close(reason: string): void {
    this.broken ??= reason;
  }

  /** Gives back one token the device never returned, or −1; only once the queue is broken or closed. */
  takeUnused(): number {
    assert(this.broken !== undefined, 'the queue is still in use');
    if (this.#inFlight === 0) return -1;
    const head = this.#slots.findIndex((slots) => slots > 0);
    this.#release(head);
    return this.#token[head] as number;
  }

  /** Throws if an invariant does not hold. */
  checkInvariants(): void {
    let slots = 0;
    let chains = 0;
    for (const count of this.#slots) {
      slots += count;
      if (count > 0) chains++;
    }
    assert(chains === this.#inFlight, 'inFlight is not the number of chains');
    assert(slots + this.#freeCount === this.size, 'a slot is lost');
    const isFree = new Set<number>();
    for (let i = 0, slot = this.#free; i < this.#freeCount; i++, slot = this.#next[slot] as number) isFree.add(slot);
    assert(isFree.size === this.#freeCount, 'the free list has a loop');
    for (const slot of isFree) assert(this.#slots[slot] === 0, 'a free slot is in flight');
  }

  #zero(): void {
    const { availAt, usedAt } = this.#ring;
    // ORDER: the device looks only after the queue is made ready, so these are published by the ready word.
    for (const at of [availAt, usedAt]) {
      // ORDER: as above.
      this.#memory.storeU16(at + VIRTQ_RING_FLAGS, 0);
      // ORDER: as above.
      this.#memory.storeU16(at + VIRTQ_RING_IDX, 0);
    }
    // ORDER: as above.
    this.#memory.storeU16(this.#usedEventAt, 0);
    // ORDER: as above.
    this.#memory.storeU16(this.#availEventAt, 0);
  }

  /** Loads the used idx; tells whether there is anything to take. */
  #refresh(): boolean {
    // ORDER: pairs with the store in DeviceQueue.publish; entries before idx are complete.
    const usedIndex = this.#memory.loadU16(this.#ring.usedAt + VIRTQ_RING_IDX);
    const available = this.#inFlight - indexDistance(this.#published, this.#added);
    if (indexDistance(this.#taken, usedIndex) > available) {
      this.#fail(`used index jumped from ${this.#taken} to ${usedIndex} with ${available} in flight`);
      return false;
    }
    this.#usedSeen = usedIndex;
    return usedIndex !== this.#taken;
  }

  /** Tells whether `head` is a chain that has been made available; one that is only added does not count. */
  #isAvailable(head: number): boolean {
    if (head >= this.size || this.#slots[head] === 0) return false;
    const ahead = indexDistance(this.#published, this.#position[head] as number);
    return ahead >= indexDistance(this.#published, this.#added);
  }

  #writeTable(head: number, readable: SegmentList, writable: SegmentList): void {
    const count = readable.count + writable.count;
    const tableAt = this.#indirectAt + head * this.#tableCount * VIRTQ_DESC_SIZE;
    for (let i = 0; i < count; i++) {
      const flags = i + 1 < count ? VIRTQ_DESC_F_NEXT : 0;
      const at = tableAt + i * VIRTQ_DESC_SIZE;
      if (i < readable.count) this.#writeDesc(at, readable.at(i), readable.length(i), flags, i + 1);
      else this.#writeSegment(at, writable, i - readable.count, flags, i + 1);
    }
    const headAt = this.#ring.descAt + head * VIRTQ_DESC_SIZE;
    this.#writeDesc(headAt, tableAt, count * VIRTQ_DESC_SIZE, VIRTQ_DESC_F_INDIRECT, 0);
    this.#free = this.#next[head] as number;
  }

  #writeChain(readable: SegmentList, writable: SegmentList): void {
    const count = readable.count + writable.count;
    let slot = this.#free;
    for (let i = 0; i < count; i++) {
      const next = this.#next[slot] as number;
      const flags = i + 1 < count ? VIRTQ_DESC_F_NEXT : 0;
      const at = this.#ring.descAt + slot * VIRTQ_DESC_SIZE;
      if (i < readable.count) this.#writeDesc(at, readable.at(i), readable.length(i), flags, next);
      else this.#writeSegment(at, writable, i - readable.count, flags, next);
      slot = next;
    }
    this.#free = slot;
  }

  #writeSegment(at: number, list: SegmentList, i: number, flags: number, next: number): void {
    this.#writeDesc(at, list.at(i), list.length(i), flags | VIRTQ_DESC_F_WRITE, next);
  }

  #writeDesc(at: number, address: number, length: number, flags: number, next: number): void {
    this.#memory.setU64(at + VIRTQ_DESC_ADDR, address);
    this.#memory.setU32(at + VIRTQ_DESC_LEN, length);
    this.#memory.setU16(at + VIRTQ_DESC_FLAGS, flags);
    this.#memory.setU16(at + VIRTQ_DESC_NEXT, (flags & VIRTQ_DESC_F_NEXT) === 0 ? 0 : next);
  }

  /** Puts the slots of the chain that starts at `head` on the free list. */
  #release(head: number): void {
    const slots = this.#slots[head] as number;
    let tail = head;
    for (let i = 1; i < slots; i++) tail = this.#next[tail] as number;
    this.#next[tail] = this.#free;
    this.#free = head;
    this.#freeCount += slots;
    this.#slots[head] = 0;
    this.#inFlight--;
  }

  #fail(reason: string): number {
    this.broken ??= reason;
    return -1;
  }
}
