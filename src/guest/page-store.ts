/**
 * The pages of a guest's own page cache: 4 KiB slots in memory that no one else sees, handed from file to file by the
 * clock algorithm (second chance).
 *
 * INVARIANT: free + used = count; a used slot is in the `pages` of exactly one file, under its page number.
 * INVARIANT: a dirty slot is in its file's `dirty`; a dirty one is never taken away here.
 */
import { assert } from '../base/assert.ts';
import { type Errno, OK } from '../wire/errno.ts';
import type { OpenFile } from './file.ts';
import type { Inode } from './inode.ts';

export const PAGE_SIZE = 4096;

/** What the cache knows about one file. */
export class FilePages {
  readonly inode: Inode;
  /** Page number → slot. */
  readonly pages = new Map<number, number>();
  readonly dirty = new Set<number>();
  /** Whose handle writes the dirty pages back; its close does so first. */
  writer: OpenFile | undefined;
  /** Of a write-back nobody waited for: reported once, by the next fsync or close. */
  error: Errno = OK;

  constructor(inode: Inode) {
    this.inode = inode;
  }
}

export class PageStore {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly view: DataView;
  readonly count: number;
  dirtyCount = 0;
  readonly #owner: (FilePages | undefined)[];
  readonly #page: Float64Array;
  readonly #isUsed: Uint8Array;
  readonly #free: number[] = [];
  #hand = 0;

  /** `size` in bytes, at least one page. */
  constructor(size: number) {
    this.count = Math.floor(size / PAGE_SIZE);
    assert(this.count > 0, 'a page cache has at least one page');
    this.bytes = new Uint8Array(this.count * PAGE_SIZE);
    this.view = new DataView(this.bytes.buffer);
    this.#owner = new Array<FilePages | undefined>(this.count).fill(undefined);
    this.#page = new Float64Array(this.count);
    this.#isUsed = new Uint8Array(this.count);
    for (let slot = this.count - 1; slot >= 0; slot--) this.#free.push(slot);
  }

  get freeCount(): number {
    return this.#free.length;
  }

  /** The slot of a page, or −1. Counts as a use. */
  find(file: FilePages, page: number): number {
    const slot = file.pages.get(page);
    if (slot === undefined) return -1;
    this.#isUsed[slot] = 1;
    return slot;
  }

  /** Takes a slot for a page that has none, with whatever bytes; −1 when all are dirty or pinned. */
  take(file: FilePages, page: number): number {
    const slot = this.#free.pop() ?? this.#evict();
    if (slot < 0) return -1;
    this.#owner[slot] = file;
    this.#page[slot] = page;
    this.#isUsed[slot] = 1;
    file.pages.set(page, slot);
    return slot;
  }

  /** Gives a page back, dirty or not. */
  drop(file: FilePages, page: number): void {
    const slot = file.pages.get(page);
    if (slot === undefined) return;
    this.clean(file, page);
    file.pages.delete(page);
    this.#owner[slot] = undefined;
    this.#free.push(slot);
  }

  soil(file: FilePages, page: number): void {
    if (file.dirty.has(page)) return;
    file.dirty.add(page);
    this.dirtyCount++;
  }

  clean(file: FilePages, page: number): void {
    if (file.dirty.delete(page)) this.dirtyCount--;
  }

  checkInvariants(files: Iterable<FilePages>): void {
    let used = 0;
    let dirty = 0;
    for (const file of files) {
      for (const [page, slot] of file.pages) {
        assert(this.#owner[slot] === file && this.#page[slot] === page, `slot ${slot} is not page ${page} of its file`);
      }
      for (const page of file.dirty) assert(file.pages.has(page), `page ${page} is dirty and not there`);
      used += file.pages.size;
      dirty += file.dirty.size;
    }
    assert(
      used + this.#free.length === this.count,
      `${used} used and ${this.#free.length} free slots of ${this.count}`,
    );
    assert(dirty === this.dirtyCount, `${dirty} dirty pages, counted ${this.dirtyCount}`);
  }

  #evict(): number {
    // Two rounds: the first may only take second chances away.
    for (let looks = this.count * 2; looks > 0; looks--) {
      const slot = this.#hand;
      this.#hand = slot + 1 === this.count ? 0 : slot + 1;
      const file = this.#owner[slot] as FilePages;
      if (this.#isUsed[slot] === 1) {
        this.#isUsed[slot] = 0;
      } else if (!file.dirty.has(this.#page[slot] as number)) {
        file.pages.delete(this.#page[slot] as number);
        return slot;
      }
    }
    return -1;
  }
}
