/**
 * The byte ranges that one owner has locked in one file, as fcntl(2) keeps them: what is locked anew replaces what was
 * there, and neighbours of one type become one. Ends are inclusive; RANGE_END is "to the end, however far it grows".
 *
 * INVARIANT: sorted by start, disjoint, and neighbours that touch differ in type.
 */
import { assert } from '../base/assert.ts';
import { F_RDLCK, F_UNLCK, F_WRLCK } from '../wire/mode.ts';

/** Wire positions saturate here: 2^63 − 1, which stands for the end, among them. */
export const RANGE_END = Number.MAX_SAFE_INTEGER;

export interface LockedRange {
  readonly start: number;
  readonly end: number;
  /** F_RDLCK or F_WRLCK. */
  readonly type: number;
}

export class LockRanges {
  #ranges: LockedRange[] = [];

  get count(): number {
    return this.#ranges.length;
  }

  /** The range that begins first. */
  get first(): LockedRange | undefined {
    return this.#ranges[0];
  }

  /** Returns the first range that overlaps [start, end]: any, or the first that is locked for writing. */
  find(start: number, end: number, writeOnly: boolean): LockedRange | undefined {
    for (let i = this.#firstEndingAt(start); i < this.#ranges.length; i++) {
      const range = this.#ranges[i] as LockedRange;
      if (range.start > end) return undefined;
      if (!writeOnly || range.type === F_WRLCK) return range;
    }
    return undefined;
  }

  /** Makes [start, end] a lock of `type`; F_UNLCK makes it free. */
  set(start: number, end: number, type: number): void {
    // One byte further on both sides: a neighbour of the same type is taken in.
    const from = this.#firstEndingAt(start - 1);
    let to = from;
    let low = start;
    let high = end;
    const next: LockedRange[] = [];
    let after: LockedRange | undefined;
    for (; to < this.#ranges.length; to++) {
      const range = this.#ranges[to] as LockedRange;
      if (range.start > end + 1) break;
      if (range.type === type) {
        low = Math.min(low, range.start);
        high = Math.max(high, range.end);
        continue;
      }
      if (range.start < start) next.push({ ...range, end: Math.min(range.end, start - 1) });
      if (range.end > end) after = { ...range, start: Math.max(range.start, end + 1) };
    }
    if (type !== F_UNLCK) next.push({ start: low, end: high, type });
    if (after !== undefined) next.push(after);
    this.#ranges.splice(from, to - from, ...next);
  }

  /** By how many ranges `set` can make the list longer: one in the middle of another cuts that one in two. */
  growth(start: number, end: number, type: number): number {
    const range = this.#ranges[this.#firstEndingAt(start)];
    const added = type === F_UNLCK ? 0 : 1;
    if (range === undefined || range.start > start || range.end < end) return added;
    if (range.type === type) return 0;
    return range.start < start && range.end > end ? added + 1 : added;
  }

  checkInvariants(): void {
    let before: LockedRange | undefined;
    for (const range of this.#ranges) {
      assert(range.start >= 0 && range.start <= range.end && range.end <= RANGE_END, 'a locked range is malformed');
      assert(range.type === F_RDLCK || range.type === F_WRLCK, 'a locked range has no type');
      assert(before === undefined || before.end < range.start, 'locked ranges of an owner overlap');
      const touches = before !== undefined && before.end + 1 === range.start;
      assert(!touches || before?.type !== range.type, 'touching ranges of one type are not merged');
      before = range;
    }
  }

  /** Index of the first range that ends at `pos` or later. */
  #firstEndingAt(pos: number): number {
    let low = 0;
    let high = this.#ranges.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#ranges[middle] as LockedRange).end < pos) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
