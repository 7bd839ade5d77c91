/**
 * The system calls that node:fs lacks, or makes dear, where an optional package provides them; without it nothing
 * changes. Nothing here throws but `at`: what is not a count or OK is an errno, negated where the result is a count.
 *
 * Paths are those of the descriptor anchor, so "the object at a path" is the one that `/proc/self/fd/N` names, and "the
 * name at a path" is one name directly in it: no path of the tree is resolved as a whole here either.
 */
import type { ByteString } from '../../base/bytes.ts';
import type { Outcome } from '../../host/file-system.ts';
import type { Log } from '../../host/log.ts';
import type { Errno } from '../../wire/errno.ts';
import type { AtCalls } from './at.ts';
import { loadKoffi } from './native-koffi.ts';
import type { Path } from './path.ts';

/** A time for `utimes`: the nanoseconds may also be one of these. SPEC: utimensat(2). */
export const UTIME_NOW = 0x3fff_ffff;
export const UTIME_OMIT = 0x3fff_fffe;

export interface NativeTime {
  sec: number;
  nsec: number;
}

export interface Native {
  /** Calls relative to descriptors; undefined where the system lacks one. */
  readonly at: AtCalls | undefined;
  /** Writes an attribute of the object into `into`; returns its size. */
  getxattr(object: Path, name: ByteString, into: Uint8Array): Outcome;
  setxattr(object: Path, name: ByteString, value: Uint8Array, flags: number): Errno;
  /** Writes the names of the object's attributes, each with a NUL behind it; returns their size. */
  listxattr(object: Path, into: Uint8Array): Outcome;
  removexattr(object: Path, name: ByteString): Errno;
  /** Makes a node of any type at a name. */
  mknod(at: Path, mode: number, rdev: number): Errno;
  /** `flags`: RENAME_*. EINVAL where the file system behind does not know them. */
  rename(from: Path, to: Path, flags: number): Errno;
  /** Gives the object one more name, also the first one of a file made by O_TMPFILE. */
  link(object: Path, to: Path): Errno;
  fallocate(fd: number, mode: number, pos: number, size: number): Errno;
  /** SEEK_DATA or SEEK_HOLE. */
  seek(fd: number, pos: number, whence: number): Outcome;
  /**
   * read(2) and write(2) of a device, where each call is one message: with less around them than node:fs has. Return
   * the count, or an errno negated, EINTR included.
   */
  read(fd: number, into: Uint8Array): Outcome;
  write(fd: number, from: Uint8Array, size: number): Outcome;
  utimes(object: Path, atime: NativeTime, mtime: NativeTime): Errno;
}

let found: Native | undefined;
let hasLooked = false;

/** Returns the system calls if their package is installed; looks once. A package that is broken is logged. */
export function findNative(log: Log): Native | undefined {
  if (hasLooked) return found;
  hasLooked = true;
  const loaded = loadKoffi();
  if (typeof loaded === 'string') log('error', loaded);
  else found = loaded;
  return found;
}
