/** A zero-copy view of a part of a mapping. Its ranges and pages are pinned: not evicted, not given to another file. */
import type { Dax } from './dax-inode.ts';

interface Pin {
  readonly index: number;
  readonly offset: number;
  readonly size: number;
}

export class MappedView {
  /** The bytes in order, as few long runs over the shared memory. Not to be used after `release`. */
  readonly runs: Uint8Array[] = [];
  readonly writable: boolean;
  readonly #dax: Dax;
  readonly #pins: Pin[] = [];
  readonly #onRelease: (view: MappedView) => void;

  constructor(dax: Dax, writable: boolean, onRelease: (view: MappedView) => void) {
    this.#dax = dax;
    this.writable = writable;
    this.#onRelease = onRelease;
  }

  /** Takes over a pin and the reference that goes with it. */
  add(index: number, offset: number, size: number): void {
    this.#pins.push({ index, offset, size });
  }

  /** Gives the pins back. A second call does nothing. */
  release(): void {
    for (const pin of this.#pins) {
      this.#dax.window.unpin(pin.index, pin.offset, pin.size, this.writable);
      this.#dax.end(pin.index);
    }
    this.#pins.length = 0;
    this.runs.length = 0;
    this.#onRelease(this);
  }

  [Symbol.dispose](): void {
    this.release();
  }
}
