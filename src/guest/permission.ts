/**
 * The guest checks permissions itself, as the Linux mount does with `default_permissions`; the host trusts it.
 * SPEC: path_resolution(7), generic_permission and setattr_prepare of Linux.
 */
import { EACCES, EPERM, type Errno, OK } from '../wire/errno.ts';
import { S_ISVTX } from '../wire/mode.ts';
import type { Credentials } from './credentials.ts';
import type { Inode } from './inode.ts';

export const MAY_EXEC = 1;
export const MAY_WRITE = 2;
export const MAY_READ = 4;

/** Returns OK if `who` may do all of `mask`. The inode's attributes must be fresh unless `who` is root. */
export function permission(inode: Inode, mask: number, who: Credentials): Errno {
  if (who.uid === 0) {
    const lacksExec = (mask & MAY_EXEC) !== 0 && !inode.isDirectory && (inode.mode & 0o111) === 0;
    return lacksExec ? EACCES : OK;
  }
  const shift = who.uid === inode.uid ? 6 : isInGroup(who, inode.gid) ? 3 : 0;
  return ((inode.mode >> shift) & mask) === mask ? OK : EACCES;
}

/** Whether a group is one of `who`'s. */
export function isInGroup(who: Credentials, gid: number): boolean {
  return who.gid === gid || (who.groups?.includes(gid) ?? false);
}

/** Whether `who` may remove or rename `child` out of a directory that it may write to. */
export function mayDelete(directory: Inode, child: Inode, who: Credentials): Errno {
  if (who.uid === 0 || (directory.mode & S_ISVTX) === 0) return OK;
  return who.uid === child.uid || who.uid === directory.uid ? OK : EPERM;
}

/** Whether `who` may do what only the owner may. */
export function isOwner(inode: Inode, who: Credentials): boolean {
  return who.uid === 0 || who.uid === inode.uid;
}

/** Whether `who` may give the inode set-group-ID. */
export function maySetGroupId(inode: Inode, who: Credentials): boolean {
  return who.uid === 0 || isInGroup(who, inode.gid);
}
