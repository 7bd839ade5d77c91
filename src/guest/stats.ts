/** What stat and statfs give to programs: a copy, as in node:fs, with exact times in `…Ns`. */
import type { Kstatfs } from '../wire/fuse.ts';
import * as m from '../wire/mode.ts';
import type { Values } from '../wire/struct.ts';
import type { Inode } from './inode.ts';

const NSEC_PER_SEC = 1_000_000_000n;

export class Stats {
  readonly ino: number;
  readonly size: number;
  readonly blocks: number;
  readonly mode: number;
  readonly nlink: number;
  readonly uid: number;
  readonly gid: number;
  readonly rdev: number;
  readonly blksize: number;
  /** Times in two exact parts; the getters below put them together. */
  readonly atimeSec: number;
  readonly atimeNsec: number;
  readonly mtimeSec: number;
  readonly mtimeNsec: number;
  readonly ctimeSec: number;
  readonly ctimeNsec: number;

  constructor(inode: Inode) {
    this.ino = inode.ino;
    this.size = inode.size;
    this.blocks = inode.blocks;
    this.mode = inode.mode;
    this.nlink = inode.nlink;
    this.uid = inode.uid;
    this.gid = inode.gid;
    this.rdev = inode.rdev;
    this.blksize = inode.blksize;
    this.atimeSec = inode.atime;
    this.atimeNsec = inode.atimensec;
    this.mtimeSec = inode.mtime;
    this.mtimeNsec = inode.mtimensec;
    this.ctimeSec = inode.ctime;
    this.ctimeNsec = inode.ctimensec;
  }

  get atimeNs(): bigint {
    return nanoseconds(this.atimeSec, this.atimeNsec);
  }
  get mtimeNs(): bigint {
    return nanoseconds(this.mtimeSec, this.mtimeNsec);
  }
  get ctimeNs(): bigint {
    return nanoseconds(this.ctimeSec, this.ctimeNsec);
  }
  get atimeMs(): number {
    return this.atimeSec * 1000 + this.atimeNsec / 1e6;
  }
  get mtimeMs(): number {
    return this.mtimeSec * 1000 + this.mtimeNsec / 1e6;
  }
  get ctimeMs(): number {
    return this.ctimeSec * 1000 + this.ctimeNsec / 1e6;
  }
  get atime(): Date {
    return new Date(this.atimeMs);
  }
  get mtime(): Date {
    return new Date(this.mtimeMs);
  }
  get ctime(): Date {
    return new Date(this.ctimeMs);
  }

  isFile(): boolean {
    return (this.mode & m.S_IFMT) === m.S_IFREG;
  }
  isDirectory(): boolean {
    return (this.mode & m.S_IFMT) === m.S_IFDIR;
  }
  isSymbolicLink(): boolean {
    return (this.mode & m.S_IFMT) === m.S_IFLNK;
  }
  isFIFO(): boolean {
    return (this.mode & m.S_IFMT) === m.S_IFIFO;
  }
  isSocket(): boolean {
    return (this.mode & m.S_IFMT) === m.S_IFSOCK;
  }
  isBlockDevice(): boolean {
    return (this.mode & m.S_IFMT) === m.S_IFBLK;
  }
  isCharacterDevice(): boolean {
    return (this.mode & m.S_IFMT) === m.S_IFCHR;
  }
}

/** One entry of a directory listing. */
export class DirectoryEntry {
  readonly name: string;
  /** The name as it is on the host. */
  readonly bytes: Uint8Array;
  readonly ino: number;
  readonly #type: number;

  constructor(name: string, bytes: Uint8Array, ino: number, type: number) {
    this.name = name;
    this.bytes = bytes;
    this.ino = ino;
    this.#type = type;
  }

  isFile(): boolean {
    return this.#type === m.modeToType(m.S_IFREG);
  }
  isDirectory(): boolean {
    return this.#type === m.modeToType(m.S_IFDIR);
  }
  isSymbolicLink(): boolean {
    return this.#type === m.modeToType(m.S_IFLNK);
  }
}

/** statfs(2), with the kernel's names. */
export type StatFs = Pick<
  Values<typeof Kstatfs>,
  'blocks' | 'bfree' | 'bavail' | 'files' | 'ffree' | 'bsize' | 'namelen' | 'frsize'
>;

function nanoseconds(sec: number, nsec: number): bigint {
  return BigInt(sec) * NSEC_PER_SEC + BigInt(nsec);
}
