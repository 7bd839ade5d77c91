/** What the last call saw of the inode that it returned: its reply tells that, and the system is not asked again. */
import type { BigIntStats } from 'node:fs';
import type { DirInode } from './inode.ts';

export class Seen {
  #inode: DirInode | undefined = undefined;
  #stats: BigIntStats | undefined = undefined;

  set(inode: DirInode, stats: BigIntStats): void {
    this.#inode = inode;
    this.#stats = stats;
  }

  /** Returns undefined if that was another inode, or if it has changed since. */
  of(inode: DirInode): BigIntStats | undefined {
    return this.#inode === inode ? this.#stats : undefined;
  }

  forget(): void {
    this.#inode = undefined;
    this.#stats = undefined;
  }
}
