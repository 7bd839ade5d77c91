/**
 * Attributes: node:fs's stats as FUSE's numbers, and the changes of SETATTR.
 *
 * Limits of node:fs, unless native.ts has more: times are set as doubles, so microseconds survive and nanoseconds do
 * not; both times are set at once, so the one that was not asked for is set to what it was, to the microsecond. Times
 * before 1970 are set to the millisecond. FATTR_CTIME is ignored: the system owns ctime.
 */
import { fchmodSync, fchownSync, futimesSync } from 'node:fs';
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
import type { Stat } from './stat.ts';

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
/** uid or gid that chown(2) leaves alone. */
const UNCHANGED = -1;

/** Writes every field of `out`. */
export function fillAttr(stats: Stat, ino: number, out: Attr): void {
  out.ino = ino;
  out.size = stats.size;
  out.blocks = stats.blocks;
  out.mode = stats.mode;
  out.nlink = stats.nlink;
  out.uid = stats.uid;
  out.gid = stats.gid;
  out.rdev = stats.rdev;
  out.blksize = stats.blksize;
  out.flags = 0;
  out.atime = stats.atime;
  out.atimensec = stats.atimensec;
  out.mtime = stats.mtime;
  out.mtimensec = stats.mtimensec;
  out.ctime = stats.ctime;
  out.ctimensec = stats.ctimensec;
  out.btime = stats.btime;
  out.btimensec = stats.btimensec;
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
    const bits = this.#anchor.stat(inode).mode;
    const lost = lostSetId(before.mode, before.gid, caller);
    if ((bits & lost) !== 0) this.chmod(inode, bits & 0o7777 & ~lost);
  }

  #setTimes(inode: DirInode, change: AttrChange): void {
    if (this.#native !== undefined) {
      this.#setExactTimes(this.#native, inode, change);
      return;
    }
    const stats = this.#anchor.stat(inode);
    this.#clock.realtime(this.#now);
    const { valid } = change;
    const isAtimeSet = (valid & FATTR_ATIME) !== 0;
    const isMtimeSet = (valid & FATTR_MTIME) !== 0;
    const oldAtime = fileTime(stats.atime, stats.atimensec);
    const oldMtime = fileTime(stats.mtime, stats.mtimensec);
    const newAtime = isAtimeSet ? fileTime(change.atime, change.atimensec) : oldAtime;
    const newMtime = isMtimeSet ? fileTime(change.mtime, change.mtimensec) : oldMtime;
    const now = fileTime(this.#now.sec, this.#now.nsec);
    const atime = (valid & FATTR_ATIME_NOW) !== 0 ? now : newAtime;
    const mtime = (valid & FATTR_MTIME_NOW) !== 0 ? now : newMtime;
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
