/** What the last call saw of the inode that it returned: its reply tells that, and the system is not asked again. */
import type { DirInode } from './inode.ts';
import type { Stat } from './stat.ts';

export class Seen {
  #inode: DirInode | undefined = undefined;
  #stats: Stat | undefined = undefined;

  set(inode: DirInode, stats: Stat): void {
    this.#inode = inode;
    this.#stats = stats;
  }

  /** Returns undefined if that was another inode, or if it has changed since. */
  of(inode: DirInode): Stat | undefined {
    return this.#inode === inode ? this.#stats : undefined;
  }

  forget(): void {
    this.#inode = undefined;
    this.#stats = undefined;
  }
}
