/** One 2 MiB chunk of a file that has pages or mappings: the host's record of a leaf table. */

import { PAGES_PER_RANGE, RANGE_SIZE } from '../../assembly/layout.ts';
import type { CpuSlot } from './cpu-slot.ts';
import type { FilePages } from './file-pages.ts';
import { Readahead } from './readahead.ts';

/** A chunk that the file fills to a sixteenth gets room for the whole. */
const LARGE_PART = 16;

/** A guest's range that maps a chunk. */
export interface LeafMapping {
  readonly slot: CpuSlot;
  readonly range: number;
  readonly writable: boolean;
}

export class Leaf {
  /** Address of the table in shared memory. */
  readonly at: number;
  readonly pages: FilePages;
  /** Which 2 MiB of the file. */
  readonly chunk: number;
  /**
   * Entries with a frame of their own. INVARIANT: equals the entries of the table whose frame is not the zero frame.
   */
  resident = 0;
  /** Live mappings, from any guest. */
  readonly mappings: LeafMapping[] = [];
  readonly readahead = new Readahead();
  /** Where its frames lie if they can have their way, 0 = nowhere. */
  home = 0;
  /** A guest may have stored into it since the last write-back. */
  mayBeDirty = false;
  /** Fills and write-backs going on: the table must not be given back under them. */
  users = 0;

  constructor(at: number, pages: FilePages, chunk: number) {
    this.at = at;
    this.pages = pages;
    this.chunk = chunk;
  }

  /** Whether most of its pages will come, as far as one can tell. */
  get isLarge(): boolean {
    if (this.chunk > 0 || this.resident >= PAGES_PER_RANGE / LARGE_PART) return true;
    return this.pages.size - this.chunk * RANGE_SIZE >= RANGE_SIZE / LARGE_PART;
  }

  isPinned(page: number): boolean {
    for (const mapping of this.mappings) if (mapping.slot.isPinned(mapping.range, page)) return true;
    return false;
  }

  isPinnedWritable(page: number): boolean {
    for (const mapping of this.mappings) if (mapping.slot.isPinnedWritable(mapping.range, page)) return true;
    return false;
  }

  get isMappedWritable(): boolean {
    for (const mapping of this.mappings) if (mapping.writable) return true;
    return false;
  }
}
