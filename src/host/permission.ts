/**
 * Who may do what to one inode: the rules of Linux on its attributes and its access control list, as pure functions.
 *
 * The superuser is uid 0, with all capabilities. Of the caller's groups a request names one, and on creation perhaps a
 * second one; the others count where the host can look them up (`groupsOf`), as for a kernel on the same machine; else
 * whoever gets at a file only through one of them is refused. SPEC: fuse.h, fuse_in_header, FUSE_CREATE_SUPP_GROUP;
 * Linux, fs/namei.c: generic_permission; fs/attr.c: setattr_prepare, notify_change.
 */
import { EACCES, EPERM, type Errno, OK } from '../wire/errno.ts';
import { FATTR_FLAGS } from '../wire/flags.ts';
import { R_OK, S_IFDIR, S_IFMT, S_ISVTX, W_OK, X_OK } from '../wire/mode.ts';
import type { Attr, AttrChange, Caller } from './inode.ts';

const { FATTR_MODE, FATTR_UID, FATTR_GID, FATTR_SIZE, FATTR_ATIME, FATTR_MTIME, FATTR_CTIME } = FATTR_FLAGS;
const { FATTR_ATIME_NOW, FATTR_MTIME_NOW } = FATTR_FLAGS;
const RWX = R_OK | W_OK | X_OK;
const ANY_EXECUTE = 0o111;

/** Tells whether the caller may do all of `wanted`: R_OK, W_OK, X_OK. `listed`: what the access list says, if any. */
export function isAllowed(attr: Attr, caller: Caller, wanted: number, listed?: boolean): boolean {
  if (caller.uid === 0) return isAllowedToSuperuser(attr, wanted);
  if (caller.uid === attr.uid) return (wanted & ~(attr.mode >> 6) & RWX) === 0;
  if (listed !== undefined) return listed;
  const asGroup = (wanted & ~(attr.mode >> 3) & RWX) === 0;
  const asOther = (wanted & ~attr.mode & RWX) === 0;
  // Looking up groups costs: only where it makes a difference.
  if (asGroup === asOther) return asOther;
  return caller.isIn(attr.gid) ? asGroup : asOther;
}

/** In a sticky directory only the owners of file and directory may take a name away. SPEC: Linux, __check_sticky. */
export function isKeptBySticky(mode: number, directoryUid: number, childUid: number, caller: Caller): boolean {
  if ((mode & S_ISVTX) === 0 || caller.uid === 0) return false;
  return caller.uid !== childUid && caller.uid !== directoryUid;
}

/** Owner or superuser: EPERM for others. */
export function checkOwner(attr: Attr, caller: Caller): Errno {
  return caller.uid === 0 || caller.uid === attr.uid ? OK : EPERM;
}

/**
 * Whether the caller may make this change; `mayWrite`: the file's mode, or the descriptor it comes through, lets him
 * write. "Now" may be set by whoever may write, and comes with a new size by itself; other times are the owner's.
 * `isStamping`: a client with a writeback cache says itself what time now is.
 */
export function checkChange(
  attr: Attr,
  change: AttrChange,
  caller: Caller,
  mayWrite: boolean,
  isStamping: boolean,
): Errno {
  const { valid } = change;
  if (caller.uid === 0) return OK;
  if ((valid & FATTR_SIZE) !== 0 && !mayWrite) return EACCES;
  const isOwner = caller.uid === attr.uid;
  if ((valid & FATTR_UID) !== 0 && !(isOwner && change.uid === attr.uid)) return EPERM;
  const isOwnGroup = change.gid === attr.gid || caller.isIn(change.gid);
  if ((valid & FATTR_GID) !== 0 && !(isOwner && isOwnGroup)) return EPERM;
  if ((valid & FATTR_MODE) !== 0 && !isOwner) return EPERM;
  if (isOwner || (valid & (FATTR_ATIME | FATTR_MTIME | FATTR_CTIME)) === 0) return OK;
  if (!isNow(valid, isStamping)) return EPERM;
  return mayWrite ? OK : EACCES;
}

/** The superuser may do all but execute what nobody may execute. SPEC: capabilities(7), CAP_DAC_OVERRIDE. */
function isAllowedToSuperuser(attr: Attr, wanted: number): boolean {
  const isExecutable = (attr.mode & ANY_EXECUTE) !== 0 || (attr.mode & S_IFMT) === S_IFDIR;
  return (wanted & X_OK) === 0 || isExecutable;
}

/** Both times, or the one that a truncation changes, and none that the caller chose. */
function isNow(valid: number, isStamping: boolean): boolean {
  const hasChosenAtime = (valid & FATTR_ATIME) !== 0 && (valid & FATTR_ATIME_NOW) === 0;
  if (hasChosenAtime || isStamping) return !hasChosenAtime;
  const hasMtimeNow = (valid & FATTR_MTIME_NOW) !== 0;
  return hasMtimeNow && (valid & (FATTR_ATIME_NOW | FATTR_SIZE)) !== 0;
}
