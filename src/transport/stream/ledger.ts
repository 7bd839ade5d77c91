/**
 * What one guest holds of a foreign server: lookups to be forgotten, handles to be released. The server cannot know
 * that a guest died; whoever relays must tell it.
 *
 * A handle is named by inode, kind and fh together: servers that need no fh answer every OPEN with 0.
 */

/** A 64-bit number that nobody computes with. */
export interface Words64 {
  readonly low: number;
  readonly high: number;
}

export interface Handle {
  readonly isDirectory: boolean;
  readonly nodeid: Words64;
  readonly fh: Words64;
  /** open(2) flags of the OPEN, which RELEASE repeats. */
  readonly flags: number;
}

/** So many lookups of an inode. */
export type Lookups = readonly [nodeid: number, count: number];

export class Ledger {
  readonly #lookups = new Map<number, number>();
  readonly #handles = new Map<string, { readonly handle: Handle; count: number }>();

  /** Inodes and handles held. */
  get size(): number {
    return this.#lookups.size + this.#handles.size;
  }

  get lookups(): Lookups[] {
    return [...this.#lookups];
  }

  /** Each as often as it must be released. */
  get handles(): Handle[] {
    return [...this.#handles.values()].flatMap(({ handle, count }) => Array<Handle>(count).fill(handle));
  }

  addLookup(nodeid: number): void {
    this.#lookups.set(nodeid, (this.#lookups.get(nodeid) ?? 0) + 1);
  }

  knows(nodeid: number): boolean {
    return this.#lookups.has(nodeid);
  }

  /** Gives back at most `count` lookups; returns how many there were. */
  takeLookups(nodeid: number, count: number): number {
    const held = this.#lookups.get(nodeid) ?? 0;
    if (count < held) {
      this.#lookups.set(nodeid, held - count);
      return count;
    }
    this.#lookups.delete(nodeid);
    return held;
  }

  addHandle(handle: Handle): void {
    const key = keyOf(handle.isDirectory, handle.nodeid, handle.fh);
    const held = this.#handles.get(key);
    if (held === undefined) this.#handles.set(key, { handle, count: 1 });
    else held.count++;
  }

  /** Gives a handle back; false if it was not held. */
  takeHandle(isDirectory: boolean, nodeid: Words64, fh: Words64): boolean {
    const key = keyOf(isDirectory, nodeid, fh);
    const held = this.#handles.get(key);
    if (held === undefined) return false;
    if (--held.count === 0) this.#handles.delete(key);
    return true;
  }

  clear(): void {
    this.#lookups.clear();
    this.#handles.clear();
  }
}

function keyOf(isDirectory: boolean, nodeid: Words64, fh: Words64): string {
  return `${isDirectory ? 'd' : 'f'} ${nodeid.high} ${nodeid.low} ${fh.high} ${fh.low}`;
}
