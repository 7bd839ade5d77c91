/**
 * POSIX access control lists of a memory file system: kept with the inode among its extended attributes, and in step
 * with its mode. A list that says no more than the mode is not kept.
 *
 * INVARIANT: an inode that has an access list has the mode bits that the list gives it.
 * SPEC: xattr(7), acl(5); Linux, fs/posix_acl.c: set_posix_acl, simple_set_acl, posix_acl_create, posix_acl_chmod.
 */
import type { ByteString } from '../base/bytes.ts';
import { bytesOfText } from '../base/bytes.ts';
import type { AclRules } from '../host/file-system.ts';
import { Attr, type Caller } from '../host/inode.ts';
import { EACCES, ENODATA, ENOSPC, EOPNOTSUPP, type Errno, OK } from '../wire/errno.ts';
import { S_IRWXG, S_ISGID } from '../wire/mode.ts';
import { type Acl, applyAccessAcl, chmodAcl, encodeAcl, inheritedAcl, isAllowedByAcl, parseAcl } from './memory-acl.ts';
import { isDirectory, isSymlink, type MemoryInode } from './memory-inode.ts';
import type { MemoryQuota } from './memory-quota.ts';
import { dropValue, hasRoom, putValue } from './memory-xattr.ts';

const ACCESS = bytesOfText('system.posix_acl_access');
const DEFAULT = bytesOfText('system.posix_acl_default');

export function isAclName(name: ByteString): boolean {
  return name === ACCESS || name === DEFAULT;
}

/** What the server asks about lists. */
export function aclRules(): AclRules<MemoryInode> {
  const attr = new Attr();
  return {
    inheritsDefault: (directory) => directory.xattrs?.has(DEFAULT) === true,
    allows: (inode, caller, wanted) => {
      // SPEC: Linux, acl_permission_check: without group bits the list lets nobody in, and is not looked at.
      const acl = (inode.mode & S_IRWXG) === 0 ? undefined : aclOf(inode, ACCESS);
      if (acl === undefined) return undefined;
      inode.fill(attr);
      return isAllowedByAcl(attr, acl, caller, wanted);
    },
  };
}

export function getAcl(inode: MemoryInode, name: ByteString): Uint8Array | Errno {
  return isSymlink(inode) ? EOPNOTSUPP : (inode.xattrs?.get(name) ?? ENODATA);
}

/** `killSgid`: whoever sets it is not in the file's group. XATTR_CREATE and XATTR_REPLACE mean nothing here. */
export function setAcl(
  inode: MemoryInode,
  name: ByteString,
  value: Uint8Array,
  killSgid: boolean,
  quota: MemoryQuota,
): Errno {
  if (isSymlink(inode)) return EOPNOTSUPP;
  const acl = parseAcl(value);
  if (typeof acl === 'number') return acl;
  if (acl === undefined) return removeAcl(inode, name, quota);
  if (name === DEFAULT) return isDirectory(inode) ? keep(inode, DEFAULT, acl, quota) : EACCES;
  const applied = applyAccessAcl(inode.mode, acl);
  const errno = applied.acl === undefined ? removeAcl(inode, ACCESS, quota) : keep(inode, ACCESS, applied.acl, quota);
  if (errno === OK) inode.mode = killSgid ? applied.mode & ~S_ISGID : applied.mode;
  return errno;
}

/**
 * Removing what is not there is no error. The mode stays as it is, but a stranger to the group loses set-group-ID here
 * too: no flag says so, as with SETXATTR, so we go by those groups of the caller that we know.
 */
export function removeAcl(inode: MemoryInode, name: ByteString, quota: MemoryQuota, caller?: Caller): Errno {
  if (isSymlink(inode)) return EOPNOTSUPP;
  dropValue(inode, name, quota);
  const isStranger = caller !== undefined && caller.uid !== 0 && !caller.isIn(inode.gid);
  if (name === ACCESS && isStranger) inode.mode &= ~S_ISGID;
  return OK;
}

/** After chmod(2). The new list is as long as the old one. */
export function followMode(inode: MemoryInode): void {
  const acl = aclOf(inode, ACCESS);
  if (acl !== undefined) inode.xattrs?.set(ACCESS, encodeAcl(chmodAcl(acl, inode.mode)));
}

/** Gives what was just made in `parent` the lists and the mode that the default list there says. */
export function inherit(parent: MemoryInode, inode: MemoryInode, quota: MemoryQuota): void {
  const defaults = isSymlink(inode) ? undefined : aclOf(parent, DEFAULT);
  if (defaults === undefined) return;
  const { mode, acl } = inheritedAcl(defaults, inode.mode);
  inode.mode = mode;
  // The inode exists, and has no right to be open to more than its list says: room or not.
  if (acl !== undefined) putValue(inode, ACCESS, encodeAcl(acl), quota);
  if (isDirectory(inode)) putValue(inode, DEFAULT, encodeAcl(defaults), quota);
}

function keep(inode: MemoryInode, name: ByteString, acl: Acl, quota: MemoryQuota): Errno {
  const value = encodeAcl(acl);
  return hasRoom(name, value, quota) ? putValue(inode, name, value, quota) : ENOSPC;
}

/** Only what was checked is kept. */
function aclOf(inode: MemoryInode, name: ByteString): Acl | undefined {
  const value = inode.xattrs?.get(name);
  return value === undefined ? undefined : (parseAcl(value) as Acl);
}
