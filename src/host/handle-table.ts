/**
 * What a guest has open: fh → open file or open directory. Numbers only grow and are never used twice, so an fh that
 * was released, or belongs to another inode, is EBADF and never somebody else's file.
 *
 * INVARIANT: every handle holds its inode once.
 */
import { assert } from '../base/assert.ts';
import type { Fh, NodeId } from '../wire/ids.ts';
import { O_ACCMODE, O_RDONLY, O_WRONLY } from '../wire/mode.ts';
import type { DirStream, FileSystem } from './file-system.ts';
import type { Inode } from './inode.ts';
import type { InodeStore } from './inode-store.ts';

export class Handle {
  readonly inode: Inode;
  /** open(2) flags. */
  readonly flags: number;
  /** Undefined for a file. */
  readonly stream: DirStream | undefined;

  constructor(inode: Inode, flags: number, stream: DirStream | undefined) {
    this.inode = inode;
    this.flags = flags;
    this.stream = stream;
  }

  get mayRead(): boolean {
    return (this.flags & O_ACCMODE) !== O_WRONLY;
  }

  get mayWrite(): boolean {
    return (this.flags & O_ACCMODE) !== O_RDONLY;
  }
}

export class HandleTable {
  readonly #fs: FileSystem;
  readonly #store: InodeStore;
  readonly #handles = new Map<Fh, Handle>();
  /** How many handles each inode has. */
  readonly #open = new Map<NodeId, number>();
  #nextFh = 1;

  constructor(fs: FileSystem, store: InodeStore) {
    this.#fs = fs;
    this.#store = store;
  }

  get size(): number {
    return this.#handles.size;
  }

  /** Registers a file that `fs.open` agreed to open. */
  addFile(inode: Inode, flags: number): Fh {
    return this.#add(new Handle(inode, flags, undefined));
  }

  addDir(inode: Inode, flags: number, stream: DirStream): Fh {
    return this.#add(new Handle(inode, flags, stream));
  }

  /** Returns the open file, or undefined when `fh` is not an open file of `inode` in this guest. */
  file(fh: Fh, inode: Inode): Handle | undefined {
    const handle = this.#handles.get(fh);
    return handle !== undefined && handle.inode === inode && handle.stream === undefined ? handle : undefined;
  }

  dir(fh: Fh, inode: Inode): Handle | undefined {
    const handle = this.#handles.get(fh);
    return handle !== undefined && handle.inode === inode && handle.stream !== undefined ? handle : undefined;
  }

  /** Returns the inode if any handle holds it. */
  inode(nodeid: NodeId): Inode | undefined {
    return this.#open.has(nodeid) ? this.#store.get(nodeid) : undefined;
  }

  release(fh: Fh): void {
    const handle = this.#handles.get(fh);
    assert(handle !== undefined, 'an unknown handle is released');
    this.#handles.delete(fh);
    if (handle.stream === undefined) this.#fs.release(handle.inode, handle.flags);
    else handle.stream.close();
    this.#count(handle.inode.nodeid, -1);
    this.#store.release(handle.inode);
  }

  /** Releases everything: the session is over. */
  clear(): void {
    for (const fh of [...this.#handles.keys()]) this.release(fh);
  }

  /** Throws if an invariant does not hold. */
  checkInvariants(): void {
    let count = 0;
    for (const open of this.#open.values()) count += open;
    assert(count === this.#handles.size, 'an inode has another count of handles than there are');
    for (const [fh, handle] of this.#handles) {
      assert(fh < this.#nextFh, `fh ${fh} was never given out`);
      assert(handle.inode.holds > 0, `fh ${fh} does not hold its inode`);
    }
  }

  #add(handle: Handle): Fh {
    const fh = this.#nextFh++ as Fh;
    this.#handles.set(fh, handle);
    this.#store.hold(handle.inode);
    this.#count(handle.inode.nodeid, 1);
    return fh;
  }

  #count(nodeid: NodeId, change: number): void {
    const count = (this.#open.get(nodeid) ?? 0) + change;
    if (count === 0) this.#open.delete(nodeid);
    else this.#open.set(nodeid, count);
  }
}
