/** System calls about attributes: stat, chmod, chown, utimens, truncate, access, statfs. All return an Errno. */
import type { ByteString } from '../base/bytes.ts';
import { EINVAL, EISDIR, EPERM, type Errno, OK } from '../wire/errno.ts';
import { FATTR_FLAGS } from '../wire/flags.ts';
import { StatfsOut } from '../wire/fuse.ts';
import { S_ISGID, S_ISUID, S_IXGRP } from '../wire/mode.ts';
import { truncateInode } from './file-change.ts';
import type { Inode } from './inode.ts';
import type { Mount } from './mount.ts';
import { mayOpen } from './open-calls.ts';
import { isInGroup, isOwner, MAY_WRITE, maySetGroupId, permission } from './permission.ts';
import type { StatFs } from './stats.ts';

const { FATTR_MODE, FATTR_UID, FATTR_GID, FATTR_ATIME, FATTR_MTIME, FATTR_ATIME_NOW, FATTR_MTIME_NOW } = FATTR_FLAGS;
const NSEC_PER_SEC = 1_000_000_000;

/** A point in time to set: seconds and nanoseconds, or one of the two special values of utimensat(2). */
export type TimeChange = { readonly sec: number; readonly nsec: number } | 'now' | 'omit';

/** Finds the inode of a path (`mount.namei.inode`) and makes sure of its attributes. */
export function statPath(mount: Mount, base: Inode, path: ByteString, follow: boolean): Errno {
  const errno = mount.namei.resolve(base, path, follow);
  return errno === OK ? mount.inodes.refresh(mount.namei.inode) : errno;
}

/** statfs(2) */
export function statfsPath(mount: Mount, base: Inode, path: ByteString): StatFs | Errno {
  const found = mount.namei.resolve(base, path, true);
  const errno = found === OK ? mount.attrs.statfs(mount.namei.inode.nodeid) : found;
  if (errno !== OK) return errno;
  const { view, reply } = mount.channel;
  const { st } = StatfsOut;
  return {
    blocks: st.blocks.get(view, reply),
    bfree: st.bfree.get(view, reply),
    bavail: st.bavail.get(view, reply),
    files: st.files.get(view, reply),
    ffree: st.ffree.get(view, reply),
    bsize: st.bsize.get(view, reply),
    namelen: st.namelen.get(view, reply),
    frsize: st.frsize.get(view, reply),
  };
}

export function accessPath(mount: Mount, base: Inode, path: ByteString, mask: number): Errno {
  if ((mask & ~7) !== 0) return EINVAL;
  const errno = statPath(mount, base, path, true);
  return errno === OK ? permission(mount.namei.inode, mask, mount.session.credentials) : errno;
}

export function truncatePath(mount: Mount, base: Inode, path: ByteString, size: number): Errno {
  const errno = mount.namei.resolve(base, path, true);
  if (errno !== OK) return errno;
  const { inode } = mount.namei;
  if (inode.isDirectory) return EISDIR;
  if (!inode.isRegular) return EINVAL;
  const allowed = mayOpen(mount, inode, MAY_WRITE);
  return allowed === OK ? truncateInode(mount, inode, size, undefined) : allowed;
}

export function chmodInode(mount: Mount, inode: Inode, mode: number): Errno {
  const owned = mustOwn(mount, inode);
  if (owned !== OK) return owned;
  const { change } = mount.attrs;
  change.valid = FATTR_MODE;
  // SPEC: Linux, setattr_prepare: set-group-ID is for members of the group.
  change.mode = inode.type | (mode & (maySetGroupId(inode, mount.session.credentials) ? 0o7777 : 0o7777 & ~S_ISGID));
  return mount.inodes.change(inode);
}

/** −1 leaves an id as it is. Only root gives files away; an owner may give a file to its own group. */
export function chownInode(mount: Mount, inode: Inode, uid: number, gid: number): Errno {
  const { credentials } = mount.session;
  const changesNothing = uid === -1 && gid === -1;
  const owned = changesNothing ? mayLoseSetId(mount, inode) : mustOwn(mount, inode);
  if (owned !== OK) return owned;
  const givesAway =
    (uid !== -1 && uid !== inode.uid) || (gid !== -1 && gid !== inode.gid && !isInGroup(credentials, gid));
  if (credentials.uid !== 0 && givesAway) return EPERM;
  const { change } = mount.attrs;
  change.valid = (uid === -1 ? 0 : FATTR_UID) | (gid === -1 ? 0 : FATTR_GID);
  const kills = !inode.isDirectory && mount.session.has('FUSE_HANDLE_KILLPRIV_V2');
  if (kills) change.valid |= FATTR_FLAGS.FATTR_KILL_SUIDGID;
  change.uid = uid;
  change.gid = gid;
  return mount.inodes.change(inode);
}

export function utimensInode(mount: Mount, inode: Inode, atime: TimeChange, mtime: TimeChange): Errno {
  if (!isTime(atime) || !isTime(mtime)) return EINVAL;
  if (atime === 'omit' && mtime === 'omit') return OK;
  const isNow = atime === 'now' && mtime === 'now';
  const owned = mustOwn(mount, inode);
  // SPEC: utimensat(2): now is for whoever may write, too, and without that it is EACCES.
  const allowed = owned === EPERM && isNow ? mayOpen(mount, inode, MAY_WRITE) : owned;
  if (allowed !== OK) return allowed;
  const { change } = mount.attrs;
  change.valid = 0;
  if (atime === 'now') change.valid |= FATTR_ATIME | FATTR_ATIME_NOW;
  else if (atime !== 'omit') {
    change.valid |= FATTR_ATIME;
    change.atime = atime.sec;
    change.atimensec = atime.nsec;
  }
  if (mtime === 'now') change.valid |= FATTR_MTIME | FATTR_MTIME_NOW;
  else if (mtime !== 'omit') {
    change.valid |= FATTR_MTIME;
    change.mtime = mtime.sec;
    change.mtimensec = mtime.nsec;
  }
  return mount.inodes.change(inode);
}

/** SPEC: Linux, chown_common: changing neither owner nor group takes set-ID bits, which are the owner's to take. */
function mayLoseSetId(mount: Mount, inode: Inode): Errno {
  const errno = mount.inodes.refresh(inode);
  if (errno !== OK || inode.isDirectory) return errno;
  const { credentials } = mount.session;
  const losesGroup = (inode.mode & S_IXGRP) !== 0 || !maySetGroupId(inode, credentials);
  const lost = inode.mode & (losesGroup ? S_ISUID | S_ISGID : S_ISUID);
  return lost === 0 || isOwner(inode, credentials) ? OK : EPERM;
}

function mustOwn(mount: Mount, inode: Inode): Errno {
  const { credentials } = mount.session;
  if (credentials.uid === 0) return OK;
  const errno = mount.inodes.refresh(inode);
  return errno !== OK ? errno : isOwner(inode, credentials) ? OK : EPERM;
}

function isTime(time: TimeChange): boolean {
  if (typeof time === 'string') return true;
  return Number.isSafeInteger(time.sec) && Number.isInteger(time.nsec) && time.nsec >= 0 && time.nsec < NSEC_PER_SEC;
}
