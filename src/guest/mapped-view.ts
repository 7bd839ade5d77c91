/** A zero-copy view of a part of a mapping. Its ranges and pages are pinned: not evicted, not given to another file. */
import type { Inode } from './inode.ts';
import type { Window } from './window.ts';

/** What a mapping needs of the pages it shows: those of a DAX window, or of the guest's own cache. */
export interface MappedPages {
  readonly window: Window;
  /** Returns the index of the range that shows `chunk`, kept until `end`; or −errno. */
  begin(inode: Inode, chunk: number, wantsWrite: boolean): number;
  end(index: number): void;
  /** The mapping goes. */
  close?(): void;
}

interface Pin {
  readonly index: number;
  readonly offset: number;
  readonly size: number;
}

export class MappedView {
  /** The bytes in order, as few long runs over the shared memory. Not to be used after `release`. */
  readonly runs: Uint8Array[] = [];
  readonly writable: boolean;
  readonly #pages: MappedPages;
  readonly #pins: Pin[] = [];
  readonly #onRelease: (view: MappedView) => void;

  constructor(pages: MappedPages, writable: boolean, onRelease: (view: MappedView) => void) {
    this.#pages = pages;
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
      this.#pages.window.unpin(pin.index, pin.offset, pin.size, this.writable);
      this.#pages.end(pin.index);
    }
    this.#pins.length = 0;
    this.runs.length = 0;
    this.#onRelease(this);
  }

  [Symbol.dispose](): void {
    this.release();
  }
}
