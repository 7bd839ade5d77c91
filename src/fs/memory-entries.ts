/**
 * The entries of one directory: found by name in a map, listed in the order of their cookies.
 *
 * A cookie is given when the name appears, only grows, and stays with the name when a rename replaces what it stands
 * for. So a stream is just a cookie: whatever comes and goes, each entry that exists all along is listed once. Removed
 * entries stay in the list as dead until they are half of it; every operation is O(1) amortized, a resume O(log n).
 *
 * INVARIANT: `#order` is sorted by cookie; its live entries are exactly the values of `#byName`.
 */
import { assert } from '../base/assert.ts';
import type { ByteString } from '../base/bytes.ts';
import type { MemoryInode } from './memory-inode.ts';

export interface Entry {
  readonly name: ByteString;
  readonly cookie: number;
  /** What the name stands for; undefined once it is removed. */
  inode: MemoryInode | undefined;
}

/** Cookies of "." and "..". */
export const DOT_COOKIE = 1;
export const DOTDOT_COOKIE = 2;

const COMPACT_MIN = 32;

export class Entries {
  readonly #byName = new Map<ByteString, Entry>();
  #order: Entry[] = [];
  #deadCount = 0;
  #nextCookie = DOTDOT_COOKIE + 1;

  get count(): number {
    return this.#byName.size;
  }

  /** No entry has a higher one so far. */
  get lastCookie(): number {
    return this.#nextCookie - 1;
  }

  get(name: ByteString): MemoryInode | undefined {
    return this.#byName.get(name)?.inode;
  }

  add(name: ByteString, inode: MemoryInode): void {
    assert(!this.#byName.has(name), 'an entry is added twice');
    const entry: Entry = { name, cookie: this.#nextCookie++, inode };
    this.#byName.set(name, entry);
    this.#order.push(entry);
  }

  /** Lets an existing name stand for another inode. */
  replace(name: ByteString, inode: MemoryInode): void {
    const entry = this.#byName.get(name);
    assert(entry !== undefined, 'a missing entry is replaced');
    entry.inode = inode;
  }

  remove(name: ByteString): void {
    const entry = this.#byName.get(name);
    assert(entry !== undefined, 'a missing entry is removed');
    this.#byName.delete(name);
    entry.inode = undefined;
    this.#deadCount++;
    if (this.#deadCount >= COMPACT_MIN && this.#deadCount * 2 > this.#order.length) this.#compact();
  }

  /** Calls `visit` for each entry after `cookie` up to `last`, in order, until it returns false; it changes none. */
  listAfter(cookie: number, last: number, visit: (entry: Entry, inode: MemoryInode) => boolean): void {
    for (let i = this.#firstAfter(cookie); i < this.#order.length; i++) {
      const entry = this.#order[i] as Entry;
      if (entry.cookie > last) return;
      if (entry.inode !== undefined && !visit(entry, entry.inode)) return;
    }
  }

  [Symbol.iterator](): IterableIterator<Entry> {
    return this.#byName.values();
  }

  /** Throws if an invariant does not hold. */
  checkInvariants(): void {
    let live = 0;
    let last = DOTDOT_COOKIE;
    for (const entry of this.#order) {
      assert(entry.cookie > last, 'cookies are not in order');
      last = entry.cookie;
      if (entry.inode === undefined) continue;
      assert(this.#byName.get(entry.name) === entry, 'a live entry cannot be found by its name');
      live++;
    }
    assert(live === this.#byName.size, 'an entry is not in the list');
    assert(this.#order.length - live === this.#deadCount, 'dead entries are miscounted');
  }

  #compact(): void {
    this.#order = this.#order.filter((entry) => entry.inode !== undefined);
    this.#deadCount = 0;
  }

  #firstAfter(cookie: number): number {
    let low = 0;
    let high = this.#order.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#order[middle] as Entry).cookie <= cookie) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
