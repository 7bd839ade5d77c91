/**
 * The host's end of a split virtqueue: takes chains, puts them back used, in any order.
 *
 * The driver is not trusted. Every word of it is read once into a local, then checked, then used; the first thing
 * that breaks the rules is recorded in `broken`, and from then on the queue takes and publishes nothing.
 * How to wait without losing a wake-up:
 *
 *     const seen = kick.seen();
 *     queue.disableKicks();
 *     while (queue.take(chain)) queue.put(chain.head, serve(chain));
 *     if (queue.publish()) interrupt.ring();
 *     if (!queue.enableKicks()) kick.wait(seen);
 *
 * Empty descriptors are taken as no bytes at all: the specification does not forbid them, some drivers make them, and
 * their address is never used. They still count towards the chain's length and keep the order "readable first". A
 * chain without any byte is refused, as no request has that form.
 * SPEC: virtio 1.3, 2.7.4 (framing), 2.7.5 (descriptors, indirect), 2.7.6 (available), 2.7.8 (used), 2.7.10.
 */
import { assert } from '../base/assert.ts';
import { indexDistance, needEvent, nextIndex, RING_INDEX_MASK } from '../base/ring-index.ts';
import type { Chain } from './chain.ts';
import {
  availEventAt,
  type RingAddresses,
  type RingFeatures,
  ringFault,
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

export class DeviceQueue {
  readonly size: number;
  /** What the driver did wrong, or why the queue was closed; nothing is taken, put or published from then on. */
  broken: string | undefined = undefined;
  readonly #memory: GuestMemory;
  readonly #ring: RingAddresses;
  readonly #features: RingFeatures;
  readonly #usedEventAt: number;
  readonly #availEventAt: number;
  readonly #onBroken: ((reason: string) => void) | undefined;
  /** Per head: 1 while its chain is taken and not yet put. */
  readonly #isTaken: Uint8Array;
  /** Per head: bytes of the chain's writable part. */
  readonly #writableSize: Float64Array;
  #inFlight = 0;
  /** The avail index of the next chain to take, and the one last loaded. */
  #taken = 0;
  #availSeen = 0;
  /** The used index of the next entry to put, and the one last published. */
  #put = 0;
  #published = 0;
  #isKickable = true;
  /** Whether the chain being walked has come to its writable part. */
  #isInWritable = false;

  /** The ring must have been checked with `ringFault`. `onBroken` is called once, when the driver breaks a rule. */
  constructor(memory: GuestMemory, ring: RingAddresses, features: RingFeatures, onBroken?: (reason: string) => void) {
    assert(ringFault(ring, memory.size) === undefined, 'the ring was not checked');
    this.size = ring.size;
    this.#memory = memory;
    this.#ring = ring;
    this.#features = features;
    this.#usedEventAt = usedEventAt(ring);
    this.#availEventAt = availEventAt(ring);
    this.#onBroken = onBroken;
    this.#isTaken = new Uint8Array(ring.size);
    this.#writableSize = new Float64Array(ring.size);
  }

  /** How many chains were taken and not put back. */
  get inFlight(): number {
    return this.#inFlight;
  }

  /** How many chains could be taken now; 0 if the queue is broken. */
  available(): number {
    if (this.broken !== undefined) return 0;
    this.#refresh();
    return this.broken === undefined ? indexDistance(this.#taken, this.#availSeen) : 0;
  }

  /** Counts, modulo 2^16, the chains ever made available, as of the last look. */
  get availIndex(): number {
    return this.#availSeen;
  }

  /** Fills `chain` with the next available one, checked; false if there is none (or see `broken`). */
  take(chain: Chain): boolean {
    if (this.broken !== undefined) return false;
    if (this.#taken === this.#availSeen && !this.#refresh()) return false;
    const entry = this.#taken & (this.size - 1);
    const head = this.#memory.getU16(this.#ring.availAt + VIRTQ_RING_ENTRIES + 2 * entry);
    if (head >= this.size) return this.#fail(`head ${head} is not below the queue size ${this.size}`);
    if (this.#isTaken[head] === 1) return this.#fail(`head ${head} is already in flight`);
    chain.head = head;
    chain.readable.clear();
    chain.writable.clear();
    this.#isInWritable = false;
    if (!this.#walk(chain) || !this.#isSized(chain)) return false;
    this.#taken = nextIndex(this.#taken);
    this.#isTaken[head] = 1;
    this.#writableSize[head] = chain.writable.size;
    this.#inFlight++;
    return true;
  }

  /** Gives back the chain `head`, `length` bytes of whose writable part were written from its start. */
  put(head: number, length: number): void {
    if (this.broken !== undefined) return;
    assert(this.#isTaken[head] === 1, 'the chain was not taken');
    assert(length <= (this.#writableSize[head] as number), 'more was written than there is room for');
    this.#isTaken[head] = 0;
    this.#inFlight--;
    const at = this.#ring.usedAt + VIRTQ_RING_ENTRIES + VIRTQ_USED_ELEM_SIZE * (this.#put & (this.size - 1));
    this.#memory.setU32(at, head);
    this.#memory.setU32(at + 4, length);
    this.#put = nextIndex(this.#put);
  }

  /** Makes everything put so far visible to the driver; tells whether it must be interrupted. */
  publish(): boolean {
    const old = this.#published;
    const fresh = this.#put;
    if (fresh === old || this.broken !== undefined) return false;
    this.#published = fresh;
    // ORDER: publishes the used entries and the replies; pairs with the load in DriverQueue.#refresh.
    this.#memory.storeU16(this.#ring.usedAt + VIRTQ_RING_IDX, fresh);
    // ORDER: idx is stored before the driver's wish is loaded; the driver does the reverse in enableInterrupts.
    if (this.#features.eventIndex) return needEvent(this.#memory.loadU16(this.#usedEventAt), fresh, old);
    return (this.#memory.loadU16(this.#ring.availAt + VIRTQ_RING_FLAGS) & VIRTQ_AVAIL_F_NO_INTERRUPT) === 0;
  }

  /** Asks the driver not to kick; it may all the same. */
  disableKicks(): void {
    if (!this.#isKickable || this.broken !== undefined) return;
    this.#isKickable = false;
    // ORDER: only an optimisation, nothing pairs with it. An event just passed is not met for 65535 entries.
    if (this.#features.eventIndex) this.#memory.storeU16(this.#availEventAt, (this.#taken - 1) & RING_INDEX_MASK);
    // ORDER: as above.
    else this.#memory.storeU16(this.#ring.usedAt + VIRTQ_RING_FLAGS, VIRTQ_USED_F_NO_NOTIFY);
  }

  /** Asks to be kicked at the next available chain; true means there already are some: look again, do not sleep. */
  enableKicks(): boolean {
    if (this.broken !== undefined) return false;
    this.#isKickable = true;
    // ORDER: stored before the avail idx is loaded again; pairs with DriverQueue.publish, which does the reverse.
    if (this.#features.eventIndex) this.#memory.storeU16(this.#availEventAt, this.#taken);
    // ORDER: as above.
    else this.#memory.storeU16(this.#ring.usedAt + VIRTQ_RING_FLAGS, 0);
    // SPEC: virtio 1.3, 2.7.10: after enabling, look once more, or a chain that came in between is slept through.
    return this.#refresh();
  }

  /**
   * Ends the queue's use: chains still in flight are forgotten, their `put` does nothing. Whoever serves one for long
   * looks at `broken` before writing to it: after a reset its memory may be something else.
   */
  close(reason: string): void {
    this.broken ??= reason;
  }

  /** Throws if an invariant does not hold. */
  checkInvariants(): void {
    let taken = 0;
    for (const isTaken of this.#isTaken) taken += isTaken;
    assert(taken === this.#inFlight, 'inFlight is not the number of chains taken');
    assert(indexDistance(this.#put, this.#taken) === this.#inFlight, 'taken minus put is not in flight');
  }

  /** Loads the avail idx; tells whether there is anything to take. */
  #refresh(): boolean {
    // ORDER: pairs with the store in DriverQueue.publish; entries and descriptors before idx are complete.
    const availIndex = this.#memory.loadU16(this.#ring.availAt + VIRTQ_RING_IDX);
    const count = indexDistance(this.#taken, availIndex);
    if (count + this.#inFlight > this.size) {
      return this.#fail(`available index jumped from ${this.#taken} to ${availIndex} in a queue of ${this.size}`);
    }
    this.#availSeen = availIndex;
    return count > 0;
  }

  /** Follows the chain from `chain.head`, into the indirect table if it ends in one. */
  #walk(chain: Chain): boolean {
    const memory = this.#memory;
    let index = chain.head;
    for (let seen = 0; seen < this.size; seen++) {
      const at = this.#ring.descAt + index * VIRTQ_DESC_SIZE;
      const address = memory.getU64(at + VIRTQ_DESC_ADDR);
      const length = memory.getU32(at + VIRTQ_DESC_LEN);
      const flags = memory.getU16(at + VIRTQ_DESC_FLAGS);
      const next = memory.getU16(at + VIRTQ_DESC_NEXT);
      if ((flags & VIRTQ_DESC_F_INDIRECT) !== 0) {
        return this.#isTable(address, length, flags) && this.#walkTable(chain, address, length, seen);
      }
      if (!this.#push(chain, address, length, flags)) return false;
      if ((flags & VIRTQ_DESC_F_NEXT) === 0) return true;
      if (next >= this.size) return this.#fail(`next ${next} is not below the queue size ${this.size}`);
      index = next;
    }
    return this.#fail(`chain is longer than the queue size ${this.size}, or loops`);
  }

  /** Checks the descriptor that points to an indirect table. */
  #isTable(address: number, length: number, flags: number): boolean {
    // SPEC: virtio 1.3, 2.7.5.3.2: VIRTQ_DESC_F_WRITE means nothing here and is ignored.
    if (!this.#features.indirect) return this.#fail('indirect descriptor without VIRTIO_F_RING_INDIRECT_DESC');
    if ((flags & VIRTQ_DESC_F_NEXT) !== 0) return this.#fail('descriptor has both INDIRECT and NEXT');
    if (length === 0) return this.#fail('indirect table is empty');
    if (length % VIRTQ_DESC_SIZE !== 0) return this.#fail(`indirect table of ${length} bytes is not a multiple of 16`);
    const count = length / VIRTQ_DESC_SIZE;
    if (count > this.size) return this.#fail(`indirect table of ${count} is longer than the queue size ${this.size}`);
    if (address <= this.#memory.size - length) return true;
    return this.#fail(`indirect table at ${address} + ${length} lies outside the memory`);
  }

  /** Follows an indirect table from its first entry; `seen` ordinary descriptors came before it. */
  #walkTable(chain: Chain, tableAt: number, tableSize: number, seen: number): boolean {
    const memory = this.#memory;
    const count = tableSize / VIRTQ_DESC_SIZE;
    const ttl = Math.min(count, this.size - seen);
    let index = 0;
    for (let i = 0; i < ttl; i++) {
      const at = tableAt + index * VIRTQ_DESC_SIZE;
      const address = memory.getU64(at + VIRTQ_DESC_ADDR);
      const length = memory.getU32(at + VIRTQ_DESC_LEN);
      const flags = memory.getU16(at + VIRTQ_DESC_FLAGS);
      const next = memory.getU16(at + VIRTQ_DESC_NEXT);
      if ((flags & VIRTQ_DESC_F_INDIRECT) !== 0) return this.#fail('indirect table inside an indirect table');
      if (!this.#push(chain, address, length, flags)) return false;
      if ((flags & VIRTQ_DESC_F_NEXT) === 0) return true;
      if (next >= count) return this.#fail(`next ${next} is not below the indirect table's ${count}`);
      index = next;
    }
    if (ttl === count) return this.#fail(`chain is longer than its indirect table of ${count}, or loops`);
    return this.#fail(`chain is longer than the queue size ${this.size}, or loops`);
  }

  #push(chain: Chain, address: number, length: number, flags: number): boolean {
    const isWritable = (flags & VIRTQ_DESC_F_WRITE) !== 0;
    if (isWritable) this.#isInWritable = true;
    else if (this.#isInWritable) return this.#fail('readable descriptor after a writable one');
    if (length === 0) return true;
    // One comparison that cannot overflow: whatever the 64-bit address was, rounded or not.
    if (address > this.#memory.size - length) {
      return this.#fail(`descriptor at ${address} + ${length} lies outside the memory`);
    }
    if (isWritable) chain.writable.push(address, length);
    else chain.readable.push(address, length);
    return true;
  }

  #isSized(chain: Chain): boolean {
    const size = chain.readable.size + chain.writable.size;
    if (size === 0) return this.#fail('chain has no bytes');
    if (size > VIRTQ_CHAIN_BYTES_MAX) return this.#fail(`chain of ${size} bytes is longer than 2^32`);
    return true;
  }

  #fail(reason: string): false {
    if (this.broken === undefined) {
      this.broken = reason;
      this.#onBroken?.(reason);
    }
    return false;
  }
}
