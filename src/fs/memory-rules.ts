/** Small rules of a memory file system: what things cost, who owns them, which mode bits they lose. */
import type { ByteString } from '../base/bytes.ts';
import type { Timespec } from '../base/clock.ts';
import type { AddressSpace } from '../host/address-space.ts';
import { type AttrChange, Caller, lostSetId } from '../host/inode.ts';
import { EEXIST, EINVAL, EISDIR, ENOENT, ENOTDIR, EOPNOTSUPP, type Errno, OK } from '../wire/errno.ts';
import { FATTR_FLAGS } from '../wire/flags.ts';
import * as mode from '../wire/mode.ts';
import { followMode } from './memory-acl-store.ts';
import { isDirectory, isFile, type MemoryDirectory, type MemoryInode, type Ownership } from './memory-inode.ts';
import { ENTRY_COST } from './memory-quota.ts';

const { FATTR_MODE, FATTR_UID, FATTR_GID, FATTR_SIZE, FATTR_ATIME, FATTR_MTIME, FATTR_CTIME, FATTR_KILL_SUIDGID } =
  FATTR_FLAGS;
/** What changes ctime even together with a size, which does so itself if it must. */
const FATTR_OTHERS = FATTR_MODE | FATTR_UID | FATTR_GID | FATTR_ATIME | FATTR_MTIME;
const FALLOCATE_MODES: readonly number[] = [
  0,
  mode.FALLOC_FL_KEEP_SIZE,
  mode.FALLOC_FL_PUNCH_HOLE | mode.FALLOC_FL_KEEP_SIZE,
  mode.FALLOC_FL_ZERO_RANGE,
  mode.FALLOC_FL_ZERO_RANGE | mode.FALLOC_FL_KEEP_SIZE,
];

/** Who writes when nobody says who. */
const NOBODY = new Caller();

/** What a name costs of the size limit. */
export function entryCost(name: ByteString): number {
  return ENTRY_COST + name.length;
}

/** Tells whether `name` may be made in `parent`. */
export function checkCreate(parent: MemoryInode, name: ByteString): Errno {
  if (!isDirectory(parent)) return ENOTDIR;
  if (parent.entries.get(name) !== undefined) return EEXIST;
  return parent.isDead ? ENOENT : OK;
}

/** Who owns what is made in `parent`: in a setgid directory everything gets the directory's group. */
export function ownerOf(parent: MemoryDirectory, bits: number, caller: Caller): Ownership {
  const gid = (parent.mode & mode.S_ISGID) !== 0 ? parent.gid : caller.gid;
  return { mode: bits, uid: caller.uid, gid };
}

/** A setgid executable may not be made for a group its maker is not in. SPEC: Linux, mode_strip_sgid. */
export function stripSetgid(parent: MemoryDirectory, bits: number, caller: Caller): number {
  const both = mode.S_ISGID | mode.S_IXGRP;
  if ((bits & both) !== both || (parent.mode & mode.S_ISGID) === 0) return bits;
  const isMember = caller.uid === 0 || caller.isIn(parent.gid);
  return isMember ? bits : bits & ~mode.S_ISGID;
}

export function stripPrivileges(inode: MemoryInode, caller = NOBODY): void {
  inode.mode &= ~lostSetId(inode.mode, inode.gid, caller);
}

export function resize(inode: MemoryInode, size: number): Errno {
  if (isDirectory(inode)) return EISDIR;
  return isFile(inode) ? inode.space.resize(size) : EINVAL;
}

/** Owner, mode and times of SETATTR; the size is the space's. */
export function applyChange(inode: MemoryInode, change: AttrChange, caller: Caller, now: Readonly<Timespec>): void {
  const { valid } = change;
  if ((valid & FATTR_MODE) !== 0) chmod(inode, change.mode);
  else if ((valid & (FATTR_UID | FATTR_GID | FATTR_KILL_SUIDGID)) !== 0) stripPrivileges(inode, caller);
  if ((valid & FATTR_UID) !== 0) inode.uid = change.uid;
  if ((valid & FATTR_GID) !== 0) inode.gid = change.gid;
  if ((valid & FATTR_ATIME) !== 0) inode.setAtime(change.atime, change.atimensec);
  if ((valid & FATTR_MTIME) !== 0) inode.setMtime(change.mtime, change.mtimensec);
  if ((valid & FATTR_CTIME) !== 0) inode.setCtime(change.ctime, change.ctimensec);
  else if ((valid & FATTR_SIZE) === 0 || (valid & FATTR_OTHERS) !== 0) inode.changed(now);
}

function chmod(inode: MemoryInode, bits: number): void {
  inode.mode = inode.type | (bits & 0o7777);
  followMode(inode);
}

/** fallocate(2) on the pages and the size; times and modes are the caller's. */
export function fallocateSpace(space: AddressSpace, bits: number, pos: number, size: number): Errno {
  if (!FALLOCATE_MODES.includes(bits)) return EOPNOTSUPP;
  if ((bits & mode.FALLOC_FL_PUNCH_HOLE) !== 0) return space.punch(pos, size);
  const errno = space.allocate(pos, size);
  // Only when there is space for all of it: what fails may not have taken anything away.
  if (errno === OK && (bits & mode.FALLOC_FL_ZERO_RANGE) !== 0) space.pages.zero(pos, pos + size);
  const isGrowing = (bits & mode.FALLOC_FL_KEEP_SIZE) === 0 && pos + size > space.size;
  return errno === OK && isGrowing ? space.resize(pos + size) : errno;
}
