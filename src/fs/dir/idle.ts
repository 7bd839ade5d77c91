/**
 * Files that no client holds any more and whose pages stay for the next client that asks: a guest that unmounts, or
 * forgets a file because its caches are full, would otherwise take the host's page cache of the file with it. Their
 * frames are evicted by the clock like all others; here only their number is bounded.
 */
import { OK } from '../../wire/errno.ts';
import type { FileData } from './data.ts';
import type { DirInode } from './inode.ts';
import type { InodeTable } from './inode-table.ts';

const IDLE_MAX = 16_384;

export class IdleInodes {
  readonly #table: InodeTable;
  readonly #data: FileData;
  readonly #max: number;
  /** In the order they were forgotten; some may be held again, or gone. */
  readonly #inodes = new Set<DirInode>();

  constructor(table: InodeTable, data: FileData, max = IDLE_MAX) {
    this.#table = table;
    this.#data = data;
    this.#max = max;
  }

  /**
   * Keeps a file that was just forgotten, if it is worth it; what it has dirty is written back first. If that fails it
   * stays with its descriptor: the disk may be full for a while only, and the timer tries again.
   */
  keep(inode: DirInode): boolean {
    if (this.#max === 0 || inode.parent === undefined || (inode.cached?.residentPages ?? 0) === 0) return false;
    if (this.#data.flush(inode) === OK) this.#data.closeIdle(inode);
    inode.idle = true;
    this.#inodes.delete(inode);
    this.#inodes.add(inode);
    this.#trim();
    return true;
  }

  #trim(): void {
    for (const oldest of this.#inodes) {
      if (this.#inodes.size <= this.#max) return;
      this.#inodes.delete(oldest);
      if (oldest.idle) this.#table.wake(oldest);
    }
  }
}
