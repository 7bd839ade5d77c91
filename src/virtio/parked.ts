/**
 * Requests that found their ring full wait here, in the order they came, until completions make room.
 *
 * INVARIANT: while anything is parked in a queue's list, new requests of that queue are parked behind it: nobody
 * overtakes. So a channel adds with `parked.count === 0 && queue.add(…)`, else parks, and drains after taking used.
 */
import { assert } from '../base/assert.ts';

/** A first-in first-out list of tokens, one per queue; allocates only when it grows. */
export class ParkedQueue {
  #tokens = new Float64Array(16);
  #first = 0;
  #count = 0;

  get count(): number {
    return this.#count;
  }

  /** Parks `token` behind all others. */
  push(token: number): void {
    if (this.#count === this.#tokens.length) this.#grow();
    this.#tokens[(this.#first + this.#count) & (this.#tokens.length - 1)] = token;
    this.#count++;
  }

  /** Returns the token that has waited longest; there must be one. */
  first(): number {
    assert(this.#count > 0, 'nothing is parked');
    return this.#tokens[this.#first] as number;
  }

  /** Takes the token that has waited longest; there must be one. */
  shift(): number {
    const token = this.first();
    this.#first = (this.#first + 1) & (this.#tokens.length - 1);
    this.#count--;
    return token;
  }

  /** Hands tokens to `tryAdd`, longest waiting first, until it says false; returns how many it took. */
  drain(tryAdd: (token: number) => boolean): number {
    let added = 0;
    while (this.#count > 0 && tryAdd(this.first())) {
      this.shift();
      added++;
    }
    return added;
  }

  clear(): void {
    this.#count = 0;
  }

  #grow(): void {
    const old = this.#tokens;
    const wider = new Float64Array(old.length * 2);
    for (let i = 0; i < this.#count; i++) wider[i] = old[(this.#first + i) & (old.length - 1)] as number;
    this.#tokens = wider;
    this.#first = 0;
  }
}
