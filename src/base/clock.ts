/** Time is an argument. The real clock is here; tests pass one that they turn by hand. */

/** A point in time: whole seconds since 1970 (may be negative) and 0 … 999,999,999 nanoseconds. */
export interface Timespec {
  sec: number;
  nsec: number;
}

export interface Clock {
  /** Milliseconds since an arbitrary start; never goes back. */
  monotonicMs(): number;
  /** Writes the wall-clock time into `out`. */
  realtime(out: Timespec): void;
}

export class SystemClock implements Clock {
  #epochMs = Date.now() - performance.now();

  monotonicMs(): number {
    return performance.now();
  }

  realtime(out: Timespec): void {
    const monotonic = performance.now();
    // performance.now() is finer than Date.now() but does not follow the system's clock when that is set.
    const coarse = Date.now();
    if (Math.abs(coarse - (this.#epochMs + monotonic)) > 2) this.#epochMs = coarse - monotonic;
    const ms = this.#epochMs + monotonic;
    out.sec = Math.floor(ms / 1000);
    out.nsec = Math.min(999_999_999, Math.floor((ms - out.sec * 1000) * 1e6));
  }
}

/** A clock that moves only when told to; every reading of the wall clock is one nanosecond later than the last. */
export class ManualClock implements Clock {
  #ns = 0n;
  #ms = 0;

  constructor(startSec = 1_700_000_000) {
    this.#ns = BigInt(startSec) * 1_000_000_000n;
  }

  advance(ms: number): void {
    this.#ms += ms;
    this.#ns += BigInt(Math.round(ms * 1e6));
  }

  monotonicMs(): number {
    return this.#ms;
  }

  realtime(out: Timespec): void {
    this.#ns += 1n;
    out.sec = Number(this.#ns / 1_000_000_000n);
    out.nsec = Number(this.#ns % 1_000_000_000n);
  }
}
