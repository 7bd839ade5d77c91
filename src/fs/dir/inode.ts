/**
 * One object of the served directory, whatever names it has: identified by (device, inode number), anchored by a
 * descriptor, and by the place where it was last seen, from which an evicted descriptor is opened again.
 *
 * INVARIANT: parent.children.get(name) === this while the inode has a place.
 */
import type { ByteString } from '../../base/bytes.ts';
import type { AddressSpace } from '../../host/address-space.ts';
import { Inode } from '../../host/inode.ts';
import { OK } from '../../wire/errno.ts';
import { S_IFMT } from '../../wire/mode.ts';
import type { Descriptor } from './descriptors.ts';
import type { Stat } from './stat.ts';

/** Makes the pages of a regular file when they are first wanted. */
export type SpaceMaker = (inode: DirInode) => AddressSpace | undefined;

export class DirInode extends Inode {
  readonly type: number;
  /** The number that clients see. */
  readonly ino: number;
  /** How it was when it was met: device, number and time of birth tell it from all others. */
  readonly met: Stat;

  /** Where the object was last seen; undefined for the root, and once that name is gone. */
  parent: DirInode | undefined = undefined;
  name = '' as ByteString;
  /** Known inodes that have their place in this directory. */
  children: Map<ByteString, DirInode> | undefined = undefined;
  /** A client holds it: set when the inode is handed out, cleared by `forget`. */
  shown = false;
  /** No client holds it, and its pages are kept for the next one that asks. */
  idle = false;

  /** The anchor's descriptor: names the object, gives no access to its content. */
  node: Descriptor<DirInode> | undefined = undefined;
  /** For reading and writing a regular file's content. */
  data: Descriptor<DirInode> | undefined = undefined;
  /** Open handles. */
  opens = 0;
  /** What the last OPEN found. */
  opened: Stat | undefined = undefined;
  /** We have just made the file, and nobody has opened it. */
  isNew = false;
  /** That was also what the OPEN before it found. */
  isUnchanged = false;
  /** A symbolic link's text; it never changes. */
  target: ByteString | undefined = undefined;

  /** The state of the file that the cached pages belong to. */
  seen: Stat;
  /** Somebody else has changed the file since: the clean pages are wrong. */
  suspect = false;
  /** A write-back failed and nobody has been told yet. */
  writeError = OK;

  readonly #makeSpace: SpaceMaker;
  #space: AddressSpace | undefined = undefined;

  constructor(stats: Stat, ino: number, makeSpace: SpaceMaker) {
    super();
    this.type = stats.mode & S_IFMT;
    this.ino = ino;
    this.met = stats;
    this.seen = stats;
    this.#makeSpace = makeSpace;
  }

  get space(): AddressSpace | undefined {
    if (this.#space === undefined) this.#space = this.#makeSpace(this);
    return this.#space;
  }

  /** The pages, if any were ever wanted. */
  get cached(): AddressSpace | undefined {
    return this.#space;
  }

  /** Forgets the pages, which somebody has destroyed. */
  dropSpace(): void {
    this.#space = undefined;
  }
}
