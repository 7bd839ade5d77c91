/**
 * A lock on one shared word: 0 = free, else who has it, and whether somebody sleeps for it.
 *
 *   0 → owner:            compare-and-swap by whoever takes it
 *   owner → owner|ASLEEP: by whoever is about to sleep
 *   owner… → 0:           exchange by the owner, who wakes one sleeper if there is any
 *
 * An owner may die with the lock. So nobody sleeps for long without asking whether waiting still makes sense.
 */

const ASLEEP = 1 << 30;
/** How long after an owner's death those who wait look for it. */
const LOOK_MS = 10;

/** Tells whether to go on waiting for what `owner` has. */
export type MayWait = (owner: number) => boolean;

/** Takes the lock for `owner` (from 1, below 2^30). False: there is nothing to wait for. */
export function lockWord(words: Int32Array, at: number, owner: number, mayWait: MayWait): boolean {
  // ORDER: acquire: what the last owner stored is visible; pairs with the exchange in unlockWord.
  if (Atomics.compareExchange(words, at, 0, owner) === 0) return true;
  for (;;) {
    const seen = Atomics.load(words, at);
    if (seen === 0) {
      // ORDER: as above. Others may sleep still: whoever slept says so for them.
      if (Atomics.compareExchange(words, at, 0, owner | ASLEEP) === 0) return true;
      continue;
    }
    if (!mayWait(seen & ~ASLEEP)) return false;
    // ORDER: said before sleeping: the owner's exchange sees it, or has changed the word already.
    if (Atomics.compareExchange(words, at, seen, seen | ASLEEP) !== seen) continue;
    // ORDER: returns at once unless the word is as it was left above.
    Atomics.wait(words, at, seen | ASLEEP, LOOK_MS);
  }
}

export function unlockWord(words: Int32Array, at: number): void {
  // ORDER: release: publishes what was stored under the lock.
  const was = Atomics.exchange(words, at, 0);
  // ORDER: after the exchange: who is woken finds the lock free.
  if ((was & ASLEEP) !== 0) Atomics.notify(words, at, 1);
}
