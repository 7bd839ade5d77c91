/**
 * The pages of a guest's own page cache: 4 KiB slots in memory that no one else sees, handed from file to file by the
 * clock algorithm (second chance).
 *
 * INVARIANT: free + used = count; a used slot is in the `pages` of exactly one file, under its page number.
 * INVARIANT: a dirty slot is in its file's `dirty`, with the bytes that are: [from, to), in order, none touching.
 * INVARIANT: a dirty one is never taken away here; what is doubtful is dirty.
 */
import { assert } from '../base/assert.ts';
import type { OpenFile } from './file.ts';
import type { Inode } from './inode.ts';
import { WriteErrors } from './write-errors.ts';

export const PAGE_SIZE = 4096;
/** Runs of dirty bytes that one page may have. */
const RUNS_MAX = 8;

/** What the cache knows about one file. */
export class FilePages {
  readonly inode: Inode;
  /** Page number → slot. */
  readonly pages = new Map<number, number>();
  /**
   * Page number → its dirty bytes, as from, to, from, to. Only these are written back: the others may have been
   * changed by somebody else meanwhile.
   */
  readonly dirty = new Map<number, number[]>();
  /** Dirty pages whose other bytes somebody else has changed: dropped when they are clean. */
  readonly doubtful = new Set<number>();
  /** Where gathered writes end that the host has not seen; 0 = there are none. Stores of mappings do not count. */
  gatheredEnd = 0;
  readonly errors = new WriteErrors();
  /** Whose handle writes the dirty pages back; its close does so first. */
  writer: OpenFile | undefined;

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

  /** Bytes [from, to) of a page are to be written. */
  soil(file: FilePages, page: number, from: number, to: number): void {
    const runs = file.dirty.get(page);
    if (runs !== undefined) {
      addRun(runs, from, to);
      return;
    }
    file.dirty.set(page, [from, to]);
    this.dirtyCount++;
  }

  /** One more run of dirty bytes would be one too many. */
  isFragmented(file: FilePages, page: number): boolean {
    return (file.dirty.get(page)?.length ?? 0) >= 2 * RUNS_MAX;
  }

  clean(file: FilePages, page: number): void {
    file.doubtful.delete(page);
    if (file.dirty.delete(page)) this.dirtyCount--;
  }

  checkInvariants(files: Iterable<FilePages>): void {
    let used = 0;
    let dirty = 0;
    for (const file of files) {
      for (const [page, slot] of file.pages) {
        assert(this.#owner[slot] === file && this.#page[slot] === page, `slot ${slot} is not page ${page} of its file`);
      }
      for (const [page, runs] of file.dirty) {
        assert(file.pages.has(page), `page ${page} is dirty and not there`);
        for (let i = 1; i < runs.length; i++) {
          assert((runs[i - 1] as number) < (runs[i] as number), `page ${page} has dirty bytes ${runs.join()}`);
        }
      }
      for (const page of file.doubtful) assert(file.dirty.has(page), `page ${page} is doubtful and clean`);
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

/** Joins [from, to) with the runs that it touches. */
function addRun(runs: number[], from: number, to: number): void {
  let first = 0;
  while (first < runs.length && (runs[first + 1] as number) < from) first += 2;
  let end = first;
  let [start, stop] = [from, to];
  for (; end < runs.length && (runs[end] as number) <= to; end += 2) {
    start = Math.min(start, runs[end] as number);
    stop = Math.max(stop, runs[end + 1] as number);
  }
  runs.splice(first, end - first, start, stop);
}
