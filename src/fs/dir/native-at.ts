/**
 * Calls relative to a descriptor through a foreign function interface: no procfs path to walk, no object per call but
 * the answer. Names and answers lie in buffers that are used again; each call ends before the next one begins.
 * SPEC: statx(2), openat(2), unlinkat(2).
 */
import { Buffer } from 'node:buffer';
import { constants } from 'node:fs';
import type { ByteString } from '../../base/bytes.ts';
import { EINTR, ENAMETOOLONG, ENOENT, type Errno } from '../../wire/errno.ts';
import type { AtCalls } from './at.ts';
import { DirError } from './errors.ts';
import { type Listing, listByPath } from './listing.ts';
import { NativeLister } from './native-list.ts';
import type { Path } from './path.ts';
import { Stat } from './stat.ts';

export type Argument = number | Uint8Array;
export type NativeFunction = (...args: Argument[]) => number;
/** Returns undefined if the C library has no such function. */
export type Finder = (name: string, result: string, args: readonly string[]) => NativeFunction | undefined;

/** SPEC: fcntl.h, linux/stat.h. The same on every architecture. */
const AT_FDCWD = -100;
const AT_SYMLINK_NOFOLLOW = 0x100;
const AT_EMPTY_PATH = 0x1000;
const O_CLOEXEC = 0o2000000;
const STATX_BASIC_STATS_BTIME = 0xfff;
const STATX_BTIME = 0x800;
const STATX_SIZE = 256;
const TWO_32 = 2 ** 32;

/** Far more than any file system's limit. */
const NAME_ROOM = 4096;
const O_DIRECTORY = constants.O_DIRECTORY ?? 0;
/** A 64-bit number as two words, in the machine's order. */
const IS_LITTLE_ENDIAN = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;
const LOW = IS_LITTLE_ENDIAN ? 0 : 1;
const HIGH = 1 - LOW;
const MODE_SHIFT = IS_LITTLE_ENDIAN ? 0 : 16;

/** Places in struct statx, in words. */
const W_MASK = 0;
const W_BLKSIZE = 1;
const W_NLINK = 4;
const W_UID = 5;
const W_GID = 6;
const W_MODE = 7;
const W_INO = 8;
const W_SIZE = 10;
const W_BLOCKS = 12;
const W_ATIME = 16;
const W_BTIME = 20;
const W_CTIME = 24;
const W_MTIME = 28;
const W_RDEV = 32;
const W_DEV = 34;

interface Functions {
  readonly statx: NativeFunction;
  readonly openat: NativeFunction;
  readonly unlinkat: NativeFunction;
  readonly close: NativeFunction;
}

/** Returns undefined where the C library or the kernel lacks one of the calls. */
export function makeNativeAt(find: Finder, errno: () => number): AtCalls | undefined {
  const statx = find('statx', 'int', ['int', 'void *', 'int', 'uint32', 'void *']);
  const openat = find('openat', 'int', ['int', 'void *', 'int', 'uint32']);
  const unlinkat = find('unlinkat', 'int', ['int', 'void *', 'int']);
  const close = find('close', 'int', ['int']);
  if (statx === undefined || openat === undefined || unlinkat === undefined || close === undefined) return undefined;
  const root = Buffer.from('/\0');
  if (statx(0, root, 0, STATX_BASIC_STATS_BTIME, Buffer.alloc(STATX_SIZE)) !== 0) return undefined;
  const getdents = find('getdents64', 'int64', ['int', 'void *', 'uint64']);
  const lister = getdents === undefined ? undefined : new NativeLister(getdents, errno);
  return new NativeAt({ statx, openat, unlinkat, close }, lister, errno);
}

class NativeAt implements AtCalls {
  readonly #calls: Functions;
  readonly #errno: () => number;
  /** Old C libraries have no getdents64. */
  readonly #lister: NativeLister | undefined;
  readonly #name = new Uint8Array(NAME_ROOM);
  readonly #nothing = new Uint8Array(1);
  readonly #answer = new ArrayBuffer(STATX_SIZE);
  readonly #bytes = new Uint8Array(this.#answer);
  readonly #words = new Uint32Array(this.#answer);

  constructor(calls: Functions, lister: NativeLister | undefined, errno: () => number) {
    this.#calls = calls;
    this.#lister = lister;
    this.#errno = errno;
  }

  stat(fd: number): Stat {
    const flags = AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW;
    const result = this.#calls.statx(fd, this.#nothing, flags, STATX_BASIC_STATS_BTIME, this.#bytes);
    if (result < 0) throw new DirError(this.#errno() as Errno, 'statx');
    return statOfWords(this.#words);
  }

  statAt(directory: number, name: ByteString): Stat | undefined {
    const path = this.#put(name);
    const result = this.#calls.statx(directory, path, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS_BTIME, this.#bytes);
    if (result >= 0) return statOfWords(this.#words);
    const errno = this.#errno() as Errno;
    if (errno === ENOENT) return undefined;
    throw new DirError(errno, 'statx');
  }

  open(path: Path, flags: number, mode: number): number {
    const bytes = typeof path === 'string' ? Buffer.from(`${path}\0`) : Buffer.concat([path, this.#nothing]);
    return this.#open(AT_FDCWD, bytes, flags, mode);
  }

  openAt(directory: number, name: ByteString, flags: number, mode: number): number {
    return this.#open(directory, this.#put(name), flags, mode);
  }

  close(fd: number): void {
    if (this.#calls.close(fd) < 0) throw new DirError(this.#errno() as Errno, 'close');
  }

  list(directory: string, into: Listing): void {
    if (this.#lister === undefined) {
      listByPath(directory, into);
      return;
    }
    const fd = this.open(directory, O_DIRECTORY, 0);
    try {
      this.#lister.list(fd, into);
    } finally {
      this.close(fd);
    }
  }

  #open(directory: number, path: Uint8Array, flags: number, mode: number): number {
    for (;;) {
      const fd = this.#calls.openat(directory, path, flags | O_CLOEXEC, mode);
      if (fd >= 0) return fd;
      const errno = this.#errno() as Errno;
      if (errno !== EINTR) throw new DirError(errno, 'openat');
    }
  }

  unlinkAt(directory: number, name: ByteString): void {
    if (this.#calls.unlinkat(directory, this.#put(name), 0) < 0) {
      throw new DirError(this.#errno() as Errno, 'unlinkat');
    }
  }

  #put(name: ByteString): Uint8Array {
    if (name.length >= NAME_ROOM) throw new DirError(ENAMETOOLONG, 'a name');
    const bytes = this.#name;
    for (let i = 0; i < name.length; i++) bytes[i] = name.charCodeAt(i);
    bytes[name.length] = 0;
    return bytes;
  }
}

function statOfWords(words: Uint32Array): Stat {
  const to = new Stat();
  to.dev = deviceAt(words, W_DEV);
  to.inoLow = words[W_INO + LOW] as number;
  to.inoHigh = words[W_INO + HIGH] as number;
  to.mode = ((words[W_MODE] as number) >>> MODE_SHIFT) & 0xffff;
  to.nlink = words[W_NLINK] as number;
  to.uid = words[W_UID] as number;
  to.gid = words[W_GID] as number;
  to.rdev = deviceAt(words, W_RDEV);
  to.size = longAt(words, W_SIZE);
  to.blocks = longAt(words, W_BLOCKS);
  to.blksize = words[W_BLKSIZE] as number;
  to.atime = longAt(words, W_ATIME);
  to.atimensec = words[W_ATIME + 2] as number;
  to.mtime = longAt(words, W_MTIME);
  to.mtimensec = words[W_MTIME + 2] as number;
  to.ctime = longAt(words, W_CTIME);
  to.ctimensec = words[W_CTIME + 2] as number;
  if (((words[W_MASK] as number) & STATX_BTIME) === 0) return to;
  to.btime = longAt(words, W_BTIME);
  to.btimensec = words[W_BTIME + 2] as number;
  return to;
}

/** Signed, as times are; sizes are not that large. */
function longAt(words: Uint32Array, at: number): number {
  const high = (words[at + HIGH] as number) | 0;
  const low = words[at + LOW] as number;
  return high === 0 ? low : high * TWO_32 + low;
}

/** SPEC: Linux, include/linux/kdev_t.h, new_encode_dev. */
function deviceAt(words: Uint32Array, at: number): number {
  const major = words[at] as number;
  const minor = words[at + 1] as number;
  return ((minor & 0xff) | (major << 8) | ((minor & ~0xff) << 12)) >>> 0;
}
