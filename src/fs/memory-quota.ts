/**
 * The size limit of a memory file system: pages of data, and the names and inodes that cost memory all the same.
 *
 * INVARIANT: usedPages + the pages that metadata fills ≤ totalPages, except after a forced charge (a rename to a longer
 * name, which may not fail half-way, or an access control list that a new file inherits).
 */
import { assert } from '../base/assert.ts';
import type { Quota } from '../host/file-pages.ts';
import type { StatFs } from '../host/inode.ts';
import { NAME_MAX } from '../wire/ids.ts';

const PAGE_SIZE = 4096;

/** What an inode and an entry count for, near what they take in the host's heap. */
export const INODE_COST = 256;
export const ENTRY_COST = 64;

export class MemoryQuota implements Quota {
  /** Changed by the address spaces. */
  usedPages = 0;
  readonly totalPages: number;
  readonly maxInodes: number;
  #metadata = 0;
  #inodes = 0;

  constructor(sizeLimit: number, maxInodes: number) {
    this.totalPages = Math.ceil(sizeLimit / PAGE_SIZE);
    this.maxInodes = maxInodes;
  }

  /** Pages that files may have in all; shrinks as names and inodes fill up the rest. */
  get limitPages(): number {
    return Math.max(0, this.totalPages - this.#metadataPages(0));
  }

  get freePages(): number {
    return Math.max(0, this.limitPages - this.usedPages);
  }

  get freeInodes(): number {
    return this.maxInodes - this.#inodes;
  }

  fill(out: StatFs): void {
    out.blocks = this.totalPages;
    out.bfree = this.freePages;
    out.bavail = out.bfree;
    out.files = this.maxInodes;
    out.ffree = this.freeInodes;
    out.bsize = PAGE_SIZE;
    out.frsize = PAGE_SIZE;
    out.namelen = NAME_MAX;
  }

  /** Takes room for one inode and `bytes` of metadata; false if there is none. */
  takeInode(bytes: number): boolean {
    if (this.#inodes >= this.maxInodes || !this.take(bytes)) return false;
    this.#inodes++;
    return true;
  }

  giveInode(bytes: number): void {
    assert(this.#inodes > 0, 'more inodes are given back than were taken');
    this.#inodes--;
    this.give(bytes);
  }

  take(bytes: number): boolean {
    if (this.usedPages + this.#metadataPages(bytes) > this.totalPages) return false;
    this.#metadata += bytes;
    return true;
  }

  /** Takes without asking: for what may not fail any more. */
  force(bytes: number): void {
    this.#metadata += bytes;
  }

  give(bytes: number): void {
    assert(this.#metadata >= bytes, 'more metadata is given back than was taken');
    this.#metadata -= bytes;
  }

  #metadataPages(more: number): number {
    return Math.ceil((this.#metadata + more) / PAGE_SIZE);
  }
}
