/**
 * How one end tells the other "look at your queues", and how it waits to be told.
 *
 * A doorbell is one shared 32-bit count. Ringing adds one; a waiter remembers the count it saw *before* it looked at
 * its queues and sleeps only while the count is still that. So a ring between the look and the sleep is never lost.
 * Waiting is an argument: real threads sleep in `Atomics.wait`; in one thread, `wait` runs the other side.
 */

export interface Doorbell {
  /** Returns the count; take it before looking for work. */
  seen(): number;
  /** Adds one and wakes whoever sleeps. */
  ring(): void;
  /** Returns once the count differs from `seen`, or `timeoutMs` has passed, or for no reason at all: look again. */
  wait(seen: number, timeoutMs?: number): void;
}

/** A doorbell in shared memory. `wait` blocks the thread: never on a page's main thread. */
export class SharedDoorbell implements Doorbell {
  readonly #words: Int32Array;
  readonly #index: number;

  /** `at` is the byte address of the count, a multiple of 4. */
  constructor(buffer: ArrayBufferLike, at: number) {
    this.#words = new Int32Array(buffer, at, 1);
    this.#index = 0;
  }

  seen(): number {
    return Atomics.load(this.#words, this.#index);
  }

  ring(): void {
    // ORDER: sequentially consistent: everything stored before the ring is visible to the waiter that sees the count.
    Atomics.add(this.#words, this.#index, 1);
    // ORDER: pairs with the wait below; the count was changed first, so a waiter either sees it or is woken.
    Atomics.notify(this.#words, this.#index);
  }

  wait(seen: number, timeoutMs = Number.POSITIVE_INFINITY): void {
    // ORDER: returns at once if the count has moved since `seen` was read.
    Atomics.wait(this.#words, this.#index, seen, timeoutMs);
  }
}

/** Both ends in one thread: waiting runs the other side until it rings or has nothing left to do. */
export class InlineDoorbell implements Doorbell {
  #count = 0;
  #runOtherSide: () => void;

  constructor(runOtherSide: () => void = () => {}) {
    this.#runOtherSide = runOtherSide;
  }

  /** Sets what `wait` runs; the two ends are built one after the other. */
  connect(runOtherSide: () => void): void {
    this.#runOtherSide = runOtherSide;
  }

  seen(): number {
    return this.#count;
  }

  ring(): void {
    this.#count = (this.#count + 1) | 0;
  }

  wait(seen: number): void {
    if (this.#count === seen) this.#runOtherSide();
  }
}
