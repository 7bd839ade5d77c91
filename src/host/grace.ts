/**
 * Grace periods: how the host takes a page away from guests that read page tables without a lock.
 *
 * The host clears a bit (PRESENT to evict, DIRTY to write back, the range entry to unmap), then waits until every live
 * guest has left the access it was in. A guest that loaded the old entry was inside; one that enters later loads the
 * new entry. Guests whose worker has ended are skipped. The model test explores all interleavings of exactly these
 * steps.
 */
import type { Clock } from '../base/clock.ts';
import type { CpuSlot } from './cpu-slot.ts';
import { type Log, silentLog } from './log.ts';

/** Rounds that a detached guest is waited for; an access lasts microseconds. */
const DETACHED_ROUNDS = 600;

/** Rounds between two looks at the clock, and when to say that a guest keeps the host waiting. */
const CLOCK_ROUNDS = 256;
const SLOW_MS = 1000;

export interface GraceOptions {
  /** Called while a guest is still inside; it may sleep a little. In one thread it is never called. */
  readonly pause?: (round: number) => void;
  readonly isStopping?: () => boolean;
  /** Hears of a guest that keeps the host waiting. */
  readonly log?: Log;
  readonly clock?: Clock;
}

export class GracePeriod {
  readonly #slots: readonly CpuSlot[];
  readonly #options: GraceOptions;
  /** How many grace periods were waited for. */
  count = 0;

  constructor(slots: readonly CpuSlot[], options: GraceOptions = {}) {
    this.#slots = slots;
    this.#options = options;
  }

  /** Returns when no guest can still be using what it read before the call. */
  wait(): void {
    this.count++;
    for (const slot of this.#slots) {
      const epoch = slot.epoch;
      if ((epoch & 1) === 0) continue;
      let sinceMs = Number.POSITIVE_INFINITY;
      // ORDER: the epoch is loaded after the entry was changed; pairs with enter() in assembly/access.ts.
      for (let round = 0; slot.epoch === epoch; round++) {
        if (round >= DETACHED_ROUNDS && !this.#isWaitedFor(slot)) break;
        if (round % CLOCK_ROUNDS === 0) sinceMs = this.#watch(slot, sinceMs);
        this.#options.pause?.(round);
      }
    }
  }

  /** Says once that a guest is stopped inside an access, as by a debugger. Returns since when it was waited for. */
  #watch(slot: CpuSlot, sinceMs: number): number {
    const { clock, log = silentLog } = this.#options;
    const nowMs = clock?.monotonicMs() ?? 0;
    if (sinceMs === Number.POSITIVE_INFINITY) return nowMs;
    if (sinceMs === Number.NEGATIVE_INFINITY || nowMs - sinceMs < SLOW_MS) return sinceMs;
    log('warn', `guest ${this.#slots.indexOf(slot)} has been inside one access for a second: everybody waits for it`);
    return Number.NEGATIVE_INFINITY;
  }

  /** A live guest is waited for however long it takes, unless the host is told to stop: then a stuck one is not. */
  #isWaitedFor(slot: CpuSlot): boolean {
    return slot.isLive && this.#options.isStopping?.() !== true;
  }

  /** Waits until a detached guest has left its access, or surely never will. */
  bury(slot: CpuSlot): void {
    slot.disown();
    const epoch = slot.epoch;
    if ((epoch & 1) === 0) return;
    for (let round = 0; slot.epoch === epoch && round < DETACHED_ROUNDS; round++) this.#options.pause?.(round);
    slot.abandonAccess();
  }
}
