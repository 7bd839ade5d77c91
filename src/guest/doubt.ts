/** Marks in the caches what the host says that others have changed: the next who wants it asks. */
import type { ByteString } from '../base/bytes.ts';
import type { NodeId } from '../wire/ids.ts';
import type { DentryCache } from './dentry-cache.ts';
import type { Inode } from './inode.ts';
import type { InodeCache } from './inode-cache.ts';
import type { NotifyListener } from './notifications.ts';

/** Whoever keeps bytes of files is told when they may be others. */
export interface PageListener {
  /** `size` 0 = to the end. */
  pagesInvalid(inode: Inode, pos: number, size: number): void;
}

export class Doubt implements NotifyListener {
  readonly #inodes: InodeCache;
  readonly #dentries: DentryCache;
  #pages: PageListener | undefined;

  constructor(inodes: InodeCache, dentries: DentryCache) {
    this.#inodes = inodes;
    this.#dentries = dentries;
  }

  /** Sets who keeps pages. The window is none: its pages are the file's own. */
  onPages(listener: PageListener): void {
    this.#pages = listener;
  }

  inodeChanged(nodeid: NodeId, pos: number, size: number): void {
    const inode = this.#inodes.get(nodeid);
    if (inode === undefined) return;
    this.#inodes.distrust(inode);
    if (pos < 0) return;
    inode.target = undefined;
    this.#pages?.pagesInvalid(inode, pos, size);
  }

  nameChanged(parent: NodeId, name: ByteString): void {
    const directory = this.#inodes.get(parent);
    if (directory !== undefined) this.#dentries.expire(directory, name);
  }

  nameDeleted(parent: NodeId, name: ByteString, child: NodeId): void {
    const directory = this.#inodes.get(parent);
    if (directory !== undefined) this.#dentries.condemn(directory, name, child);
  }

  everythingChanged(): void {
    this.#dentries.expireAll();
    for (const inode of this.#inodes.all()) {
      this.#inodes.distrust(inode);
      inode.target = undefined;
      this.#pages?.pagesInvalid(inode, 0, 0);
    }
  }
}
