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
  readonly nodeid: number;
  readonly fh: Words64;
  /** open(2) flags of the OPEN, which RELEASE repeats. */
  readonly flags: number;
  /** How often the server has given out just this. */
  count: number;
}

export class Ledger {
  readonly #lookups = new Map<number, number>();
  readonly #handles = new Map<string, Handle>();

  /** Inodes and handles held. */
  get size(): number {
    return this.#lookups.size + this.#handles.size;
  }

  get lookups(): Iterable<readonly [nodeid: number, count: number]> {
    return this.#lookups;
  }

  get handles(): Iterable<Handle> {
    return this.#handles.values();
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

  addHandle(isDirectory: boolean, nodeid: number, fh: Words64, flags: number): void {
    const key = keyOf(isDirectory, nodeid, fh);
    const handle = this.#handles.get(key);
    if (handle === undefined) this.#handles.set(key, { isDirectory, nodeid, fh, flags, count: 1 });
    else handle.count++;
  }

  /** Gives a handle back; false if it was not held. */
  takeHandle(isDirectory: boolean, nodeid: number, fh: Words64): boolean {
    const key = keyOf(isDirectory, nodeid, fh);
    const handle = this.#handles.get(key);
    if (handle === undefined) return false;
    if (--handle.count === 0) this.#handles.delete(key);
    return true;
  }

  clear(): void {
    this.#lookups.clear();
    this.#handles.clear();
  }
}

function keyOf(isDirectory: boolean, nodeid: number, fh: Words64): string {
  return `${isDirectory ? 'd' : 'f'} ${nodeid} ${fh.high} ${fh.low}`;
}
