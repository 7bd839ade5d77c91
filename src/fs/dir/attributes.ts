/**
 * Attributes: node:fs's stats as FUSE's numbers, and the changes of SETATTR.
 *
 * Limits of node:fs, unless native.ts has more: times are set as doubles, so microseconds survive and nanoseconds do
 * not; both times are set at once, so the one that was not asked for is set to what it was, to the microsecond. Times
 * before 1970 are set to the millisecond. FATTR_CTIME is ignored: the system owns ctime.
 */
import { type BigIntStats, fchmodSync, fchownSync, futimesSync } from 'node:fs';
import type { Clock, Timespec } from '../../base/clock.ts';
import { type Attr, type AttrChange, type Caller, lostSetId } from '../../host/inode.ts';
import { EINVAL, EISDIR, type Errno, OK } from '../../wire/errno.ts';
import { FATTR_FLAGS } from '../../wire/flags.ts';
import { S_IFDIR, S_IFLNK, S_IFREG } from '../../wire/mode.ts';
import type { Anchor, FileTime } from './anchor.ts';
import type { FileData } from './data.ts';
import { throwErrno } from './errors.ts';
import type { DirInode } from './inode.ts';
import { type Native, type NativeTime, UTIME_NOW, UTIME_OMIT } from './native.ts';

const {
  FATTR_MODE,
  FATTR_UID,
  FATTR_GID,
  FATTR_SIZE,
  FATTR_ATIME,
  FATTR_MTIME,
  FATTR_ATIME_NOW,
  FATTR_MTIME_NOW,
  FATTR_KILL_SUIDGID,
} = FATTR_FLAGS;

const FATTR_TIMES = FATTR_ATIME | FATTR_MTIME | FATTR_ATIME_NOW | FATTR_MTIME_NOW;
const NS_PER_SEC = 1_000_000_000;
/** uid or gid that chown(2) leaves alone. */
const UNCHANGED = -1;
const time: Timespec = { sec: 0, nsec: 0 };

/** Writes every field of `out`. */
export function fillAttr(stats: BigIntStats, ino: number, out: Attr): void {
  out.ino = ino;
  out.size = Number(stats.size);
  out.blocks = Number(stats.blocks ?? 0n);
  out.mode = Number(stats.mode);
  out.nlink = Number(stats.nlink);
  out.uid = Number(stats.uid);
  out.gid = Number(stats.gid);
  // SPEC: the C library's and the kernel's encodings agree in the low 32 bits.
  out.rdev = Number(BigInt.asUintN(32, stats.rdev));
  out.blksize = Number(stats.blksize ?? 4096n);
  out.flags = 0;
  splitTime(stats.atimeNs, time);
  out.atime = time.sec;
  out.atimensec = time.nsec;
  splitTime(stats.mtimeNs, time);
  out.mtime = time.sec;
  out.mtimensec = time.nsec;
  splitTime(stats.ctimeNs, time);
  out.ctime = time.sec;
  out.ctimensec = time.nsec;
  splitTime(stats.birthtimeNs, time);
  out.btime = time.sec;
  out.btimensec = time.nsec;
}

export class AttributeChanger {
  readonly #anchor: Anchor;
  readonly #data: FileData;
  readonly #clock: Clock;
  readonly #native: Native | undefined;
  readonly #now: Timespec = { sec: 0, nsec: 0 };

  constructor(anchor: Anchor, data: FileData, clock: Clock, native: Native | undefined) {
    this.#anchor = anchor;
    this.#data = data;
    this.#clock = clock;
    this.#native = native;
  }

  /** The owner first, because changing it clears set-id bits; times last, because everything else changes them. */
  apply(inode: DirInode, change: AttrChange, caller: Caller): Errno {
    const { valid } = change;
    if ((valid & FATTR_SIZE) !== 0 && inode.type !== S_IFREG) return inode.type === S_IFDIR ? EISDIR : EINVAL;
    // A write-back after the change would set the times again.
    if ((valid & (FATTR_SIZE | FATTR_TIMES)) !== 0) this.#data.flush(inode);
    const isChown =
      (valid & (FATTR_UID | FATTR_GID)) !== 0 || (valid & (FATTR_KILL_SUIDGID | FATTR_SIZE)) === FATTR_KILL_SUIDGID;
    if (isChown) this.#setOwner(inode, change, caller);
    if ((valid & FATTR_SIZE) !== 0) {
      const killer = (valid & FATTR_KILL_SUIDGID) !== 0 ? caller : undefined;
      const failed = this.#data.resize(inode, change.size, killer);
      if (failed !== OK) return failed;
    }
    if ((valid & FATTR_MODE) !== 0) this.chmod(inode, change.mode & 0o7777);
    if ((valid & FATTR_TIMES) !== 0) this.#setTimes(inode, change);
    return OK;
  }

  chmod(inode: DirInode, mode: number): void {
    this.#data.before(inode);
    if (inode.data !== undefined) fchmodSync(inode.data.fd, mode);
    else this.#anchor.chmod(inode, mode);
    this.#data.after(inode);
  }

  chown(inode: DirInode, uid: number, gid: number): void {
    this.#data.before(inode);
    if (inode.data !== undefined) fchownSync(inode.data.fd, uid, gid);
    else this.#anchor.chown(inode, uid, gid);
    this.#data.after(inode);
  }

  /** Also of neither owner nor group: it costs set-ID bits and moves ctime. */
  #setOwner(inode: DirInode, change: AttrChange, caller: Caller): void {
    const before = this.#anchor.stat(inode);
    const uid = (change.valid & FATTR_UID) !== 0 ? change.uid : UNCHANGED;
    const gid = (change.valid & FATTR_GID) !== 0 ? change.gid : UNCHANGED;
    this.chown(inode, uid, gid);
    if (inode.type === S_IFLNK) return;
    // The system knows only us.
    const bits = Number(this.#anchor.stat(inode).mode);
    const lost = lostSetId(Number(before.mode), Number(before.gid), caller);
    if ((bits & lost) !== 0) this.chmod(inode, bits & 0o7777 & ~lost);
  }

  #setTimes(inode: DirInode, change: AttrChange): void {
    if (this.#native !== undefined) {
      this.#setExactTimes(this.#native, inode, change);
      return;
    }
    const stats = this.#anchor.stat(inode);
    this.#clock.realtime(this.#now);
    const atime = this.#time(change.valid, FATTR_ATIME, FATTR_ATIME_NOW, change.atime, change.atimensec, stats.atimeNs);
    const mtime = this.#time(change.valid, FATTR_MTIME, FATTR_MTIME_NOW, change.mtime, change.mtimensec, stats.mtimeNs);
    this.#data.before(inode);
    if (inode.data !== undefined) futimesSync(inode.data.fd, atime, mtime);
    else this.#anchor.utimes(inode, atime, mtime);
    this.#data.after(inode);
  }

  #setExactTimes(native: Native, inode: DirInode, change: AttrChange): void {
    const { valid } = change;
    const atime = exactTime(valid, FATTR_ATIME, FATTR_ATIME_NOW, change.atime, change.atimensec);
    const mtime = exactTime(valid, FATTR_MTIME, FATTR_MTIME_NOW, change.mtime, change.mtimensec);
    this.#data.before(inode);
    throwErrno(native.utimes(this.#anchor.reach(inode), atime, mtime), 'utimensat');
    this.#data.after(inode);
  }

  #time(valid: number, set: number, setNow: number, sec: number, nsec: number, before: bigint): FileTime {
    if ((valid & setNow) !== 0) return fileTime(this.#now.sec, this.#now.nsec);
    if ((valid & set) !== 0) return fileTime(sec, nsec);
    splitTime(before, time);
    return fileTime(time.sec, time.nsec);
  }
}

function exactTime(valid: number, set: number, setNow: number, sec: number, nsec: number): NativeTime {
  if ((valid & setNow) !== 0) return { sec: 0, nsec: UTIME_NOW };
  return (valid & set) !== 0 ? { sec, nsec } : { sec: 0, nsec: UTIME_OMIT };
}

/** Returns what makes node:fs set this time, to the microsecond. */
function fileTime(sec: number, nsec: number): FileTime {
  if (sec < 0) return new Date(sec * 1000 + Math.floor(nsec / 1e6));
  const us = Math.floor(nsec / 1000);
  let seconds = sec + us / 1e6;
  // Node's C part cuts off what is left; a sum that was rounded down would lose a whole microsecond.
  while ((seconds - sec) * 1e6 < us) seconds += seconds * Number.EPSILON;
  return seconds;
}

/** Writes seconds, rounded down, and nanoseconds. BigInt division would cost more than the system call. */
export function splitTime(ns: bigint, out: Timespec): void {
  // Off by one at most; the difference to the true nanoseconds fits 32 bits, so it is exact modulo 2 ** 32.
  let sec = Math.floor(Number(ns) / NS_PER_SEC);
  let nsec = (Number(BigInt.asUintN(32, ns)) - Math.imul(sec, NS_PER_SEC)) | 0;
  if (nsec < 0) {
    sec--;
    nsec += NS_PER_SEC;
  } else if (nsec >= NS_PER_SEC) {
    sec++;
    nsec -= NS_PER_SEC;
  }
  out.sec = sec;
  out.nsec = nsec;
}
