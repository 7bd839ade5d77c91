/**
 * Grace periods: how the host takes a page away from guests that read page tables without a lock.
 *
 * The host clears a bit (PRESENT to evict, DIRTY to write back, the range entry to unmap), then waits until every live
 * guest has left the access it was in. A guest that loaded the old entry was inside; one that enters later loads the
 * new entry. Guests whose worker has ended are skipped. The model test explores all interleavings of exactly these
 * steps.
 */
import type { CpuSlot } from './cpu-slot.ts';

/** Rounds that a detached guest is waited for; an access lasts microseconds. */
const DETACHED_ROUNDS = 600;

export class GracePeriod {
  readonly #slots: readonly CpuSlot[];
  readonly #pause: (round: number) => void;
  readonly #isStopping: () => boolean;
  /** How many grace periods were waited for. */
  count = 0;

  /** `pause` is called while a guest is still inside; it may sleep a little. In one thread it is never called. */
  constructor(
    slots: readonly CpuSlot[],
    pause: (round: number) => void = () => {},
    isStopping: () => boolean = () => false,
  ) {
    this.#slots = slots;
    this.#pause = pause;
    this.#isStopping = isStopping;
  }

  /** Returns when no guest can still be using what it read before the call. */
  wait(): void {
    this.count++;
    for (const slot of this.#slots) {
      const epoch = slot.epoch;
      if ((epoch & 1) === 0) continue;
      // ORDER: the epoch is loaded after the entry was changed; pairs with enter() in assembly/access.ts.
      for (let round = 0; slot.epoch === epoch; round++) {
        if (round >= DETACHED_ROUNDS && !this.#isWaitedFor(slot)) break;
        this.#pause(round);
      }
    }
  }

  /** A live guest is waited for however long it takes, unless the host is told to stop: then a stuck one is not. */
  #isWaitedFor(slot: CpuSlot): boolean {
    return slot.isLive && !this.#isStopping();
  }

  /** Waits until a detached guest has left its access, or surely never will. */
  bury(slot: CpuSlot): void {
    slot.disown();
    const epoch = slot.epoch;
    if ((epoch & 1) === 0) return;
    for (let round = 0; slot.epoch === epoch && round < DETACHED_ROUNDS; round++) this.#pause(round);
    slot.abandonAccess();
  }
}
