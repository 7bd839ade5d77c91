/**
 * The objects of a memory file system: one class per kind of file, all of them with the attributes of stat(2).
 *
 * Times are whole seconds and nanoseconds, each in its own field, so that touching a file allocates nothing.
 */
import type { ByteString } from '../base/bytes.ts';
import type { Timespec } from '../base/clock.ts';
import type { AddressSpace } from '../host/address-space.ts';
import { type Attr, Inode } from '../host/inode.ts';
import { S_IFDIR, S_IFLNK, S_IFMT, S_IFREG } from '../wire/mode.ts';
import { Entries } from './memory-entries.ts';

export interface Ownership {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

const DAY_SECONDS = 86_400;

export abstract class MemoryInode extends Inode {
  readonly ino: number;
  readonly space: AddressSpace | undefined = undefined;
  readonly type: number;
  mode: number;
  nlink = 1;
  uid: number;
  gid: number;
  rdev = 0;
  /** Bytes of the size limit that the inode itself takes, pages aside. */
  charge = 0;
  xattrs: Map<ByteString, Uint8Array> | undefined = undefined;
  #atime = 0;
  #atimensec = 0;
  #mtime = 0;
  #mtimensec = 0;
  #ctime = 0;
  #ctimensec = 0;
  readonly #btime: number;
  readonly #btimensec: number;

  constructor(ino: number, owner: Ownership, now: Readonly<Timespec>) {
    super();
    this.ino = ino;
    this.type = owner.mode & S_IFMT;
    this.mode = owner.mode;
    this.uid = owner.uid;
    this.gid = owner.gid;
    this.#btime = now.sec;
    this.#btimensec = now.nsec;
    this.setAtime(now.sec, now.nsec);
    this.modified(now);
  }

  /** What st_size says. */
  abstract get size(): number;

  /** The content changed: mtime and ctime. */
  modified(now: Readonly<Timespec>): void {
    this.setMtime(now.sec, now.nsec);
    this.changed(now);
  }

  /** The inode changed: ctime. */
  changed(now: Readonly<Timespec>): void {
    this.setCtime(now.sec, now.nsec);
  }

  /** The content was read: atime, if it is not newer than the last change, or is a day old (`relatime`). */
  accessed(now: Readonly<Timespec>): void {
    if (this.isAtimeStale(now)) this.setAtime(now.sec, now.nsec);
  }

  /** Tells whether reading now would be seen in atime. */
  isAtimeStale(now: Readonly<Timespec>): boolean {
    return (
      isNotAfter(this.#atime, this.#atimensec, this.#mtime, this.#mtimensec) ||
      isNotAfter(this.#atime, this.#atimensec, this.#ctime, this.#ctimensec) ||
      now.sec - this.#atime >= DAY_SECONDS
    );
  }

  setAtime(sec: number, nsec: number): void {
    this.#atime = sec;
    this.#atimensec = nsec;
  }

  setMtime(sec: number, nsec: number): void {
    this.#mtime = sec;
    this.#mtimensec = nsec;
  }

  setCtime(sec: number, nsec: number): void {
    this.#ctime = sec;
    this.#ctimensec = nsec;
  }

  fill(out: Attr): void {
    out.ino = this.ino;
    out.size = this.size;
    out.blocks = 0;
    out.mode = this.mode;
    out.nlink = this.nlink;
    out.uid = this.uid;
    out.gid = this.gid;
    out.rdev = this.rdev;
    out.blksize = 4096;
    out.flags = 0;
    out.atime = this.#atime;
    out.atimensec = this.#atimensec;
    out.mtime = this.#mtime;
    out.mtimensec = this.#mtimensec;
    out.ctime = this.#ctime;
    out.ctimensec = this.#ctimensec;
    out.btime = this.#btime;
    out.btimensec = this.#btimensec;
  }
}

export class MemoryFile extends MemoryInode {
  override readonly space: AddressSpace;
  /** Made by TMPFILE: may get a name although it has none. */
  isLinkable = false;

  constructor(ino: number, owner: Ownership, now: Readonly<Timespec>, space: AddressSpace) {
    super(ino, owner, now);
    this.space = space;
  }

  get size(): number {
    return this.space.size;
  }

  override fill(out: Attr): void {
    super.fill(out);
    out.blocks = this.space.residentPages * 8;
  }
}

export class MemoryDirectory extends MemoryInode {
  readonly entries = new Entries();
  /** Itself for the root. */
  parent: MemoryDirectory;
  /** Removed: it has no entries and never gets any. */
  isDead = false;

  constructor(ino: number, owner: Ownership, now: Readonly<Timespec>, parent: MemoryDirectory | undefined) {
    super(ino, owner, now);
    this.nlink = 2;
    this.parent = parent ?? this;
  }

  /** As tmpfs counts: a nominal 20 bytes per entry, "." and ".." included. */
  get size(): number {
    return (this.entries.count + 2) * 20;
  }

  /** Tells whether `other` is this directory or lies below it. */
  isAncestorOf(other: MemoryDirectory): boolean {
    for (let at = other; ; at = at.parent) {
      if (at === this) return true;
      if (at.parent === at) return false;
    }
  }
}

export class MemorySymlink extends MemoryInode {
  readonly target: ByteString;

  constructor(ino: number, owner: Ownership, now: Readonly<Timespec>, target: ByteString) {
    super(ino, owner, now);
    this.target = target;
  }

  get size(): number {
    return this.target.length;
  }
}

/** A fifo, a socket or a device: a name and numbers, the client does the rest. */
export class MemorySpecial extends MemoryInode {
  constructor(ino: number, owner: Ownership, now: Readonly<Timespec>, rdev: number) {
    super(ino, owner, now);
    this.rdev = rdev;
  }

  get size(): number {
    return 0;
  }
}

export function isDirectory(inode: MemoryInode): inode is MemoryDirectory {
  return inode.type === S_IFDIR;
}

export function isFile(inode: MemoryInode): inode is MemoryFile {
  return inode.type === S_IFREG;
}

export function isSymlink(inode: MemoryInode): inode is MemorySymlink {
  return inode.type === S_IFLNK;
}

function isNotAfter(sec: number, nsec: number, otherSec: number, otherNsec: number): boolean {
  return sec < otherSec || (sec === otherSec && nsec <= otherNsec);
}
