/**
 * How far to read ahead in one chunk: twice as far each time somebody comes to where the last fill ended, half as far
 * when somebody comes anywhere else. One per chunk, so that streams in different parts of a file do not disturb each
 * other; a stream that enters the next chunk takes its pace along.
 */
import { PAGES_PER_RANGE } from '../../assembly/layout.ts';

/** The least that is read: what random accesses cost. */
const READAHEAD_MIN = 4;
const READAHEAD_MAX = PAGES_PER_RANGE;

export class Readahead {
  /** The page after the last one that was filled; −1 = nothing yet. */
  end = -1;
  #pages = READAHEAD_MIN;

  /** Somebody needs `count` pages from `page` on: returns how many to fill, at most `limit` more than needed. */
  plan(page: number, count: number, limit: number, previous?: Readahead): number {
    if (this.end < 0 && page === 0 && previous?.end === PAGES_PER_RANGE) this.#pages = previous.#pages;
    // Pages that were there already may lie between.
    const isNext = page >= this.end && page - this.end <= READAHEAD_MIN;
    if (this.end >= 0) this.#pages = isNext ? this.#pages * 2 : this.#pages >> 1;
    this.#pages = Math.max(READAHEAD_MIN, Math.min(this.#pages, READAHEAD_MAX, limit));
    return Math.max(count, this.#pages);
  }
}
