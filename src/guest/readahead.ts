/** How a file is being read: in order, and then how far ahead. One per open file. */

/** Pages of one READ at most that nobody has asked for yet: Linux's 128 KiB. */
const READAHEAD_MAX = 32;
const READAHEAD_MIN = 4;

export class Readahead {
  #expected = 0;
  #pages = READAHEAD_MIN;

  /** A page that was here has been read. */
  pass(page: number): void {
    if (page === this.#expected) this.#expected = page + 1;
  }

  /** Pages to read, now that `page` is missing and `wanted` are asked for. */
  next(page: number, wanted: number): number {
    const isInOrder = page === this.#expected;
    this.#pages = isInOrder ? Math.min(READAHEAD_MAX, this.#pages * 2) : READAHEAD_MIN >> 1;
    this.#expected = page + 1;
    return isInOrder ? Math.max(wanted, this.#pages) : wanted;
  }
}
