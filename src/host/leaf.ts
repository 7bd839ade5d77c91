/** One 2 MiB chunk of a file that has pages or mappings: the host's record of a leaf table. */

import type { CpuSlot } from './cpu-slot.ts';
import type { FilePages } from './file-pages.ts';

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
  /** A guest may have stored into it since the last write-back. */
  mayBeDirty = false;
  /** Fills and write-backs going on: the table must not be given back under them. */
  users = 0;

  constructor(at: number, pages: FilePages, chunk: number) {
    this.at = at;
    this.pages = pages;
    this.chunk = chunk;
  }

  get isPinned(): boolean {
    for (const mapping of this.mappings) if (mapping.slot.isPinned(mapping.range)) return true;
    return false;
  }

  get isPinnedWritable(): boolean {
    for (const mapping of this.mappings) if (mapping.slot.isPinnedWritable(mapping.range)) return true;
    return false;
  }

  get isMappedWritable(): boolean {
    for (const mapping of this.mappings) if (mapping.writable) return true;
    return false;
  }
}
