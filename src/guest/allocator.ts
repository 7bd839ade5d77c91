/** Who chooses the range for a chunk: the seam between the DAX code and the three ways to settle that. */
import type { Errno } from '../wire/errno.ts';
import type { DaxRange } from './dax-ranges.ts';
import type { Inode } from './inode.ts';
import type { Allocation } from './options.ts';

export interface Allocator {
  readonly kind: Allocation;
  /**
   * Maps `chunk`, which no range shows, and what it likes of the `count` chunks from there on. OK: `inode.ranges` has
   * it, perhaps read-only. ENOMEM: every range is in use.
   */
  map(inode: Inode, chunk: number, count: number, writable: boolean): Errno;
  /** Makes a read-only mapping writable in place; a failure leaves it as it is. */
  upgrade(range: DaxRange, inode: Inode): Errno;
  /** Unmaps everything of an inode that is being forgotten. */
  evict(inode: Inode): void;
  /** After a chunk was mapped: what need not be waited for. The range that was wanted has a reference. */
  settle(): void;
}
