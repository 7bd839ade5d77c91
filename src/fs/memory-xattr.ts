/**
 * Extended attributes of a memory file system: `user.`, `trusted.` and `security.` names, kept with the inode. Access
 * control lists are kept here too, but mean something: memory-acl-store.ts.
 *
 * Who may read or write which namespace is the client's to check, as Linux does before it asks; what only it can do
 * with a list, we do: names in `trusted.` are listed for the superuser alone.
 * SPEC: xattr(7); Linux, fs/xattr.c: simple_xattr_list, xattr_resolve_name.
 */
import type { ByteString } from '../base/bytes.ts';
import { bytesOfText } from '../base/bytes.ts';
import { EEXIST, EINVAL, ENODATA, ENOSPC, EOPNOTSUPP, type Errno, OK } from '../wire/errno.ts';
import type { MemoryInode } from './memory-inode.ts';
import type { MemoryQuota } from './memory-quota.ts';

const XATTR_CREATE = 1;
const XATTR_REPLACE = 2;
/** What an attribute counts for besides its bytes. */
const XATTR_COST = 64;
const PREFIXES = ['user.', 'trusted.', 'security.'];
const CAPABILITY = bytesOfText('security.capability');

export function getXattr(inode: MemoryInode, name: ByteString): Uint8Array | Errno {
  return checkNamespace(name) || (inode.xattrs?.get(name) ?? ENODATA);
}

export function listXattrs(inode: MemoryInode, isSuperuser: boolean): ByteString[] {
  const names = [...(inode.xattrs?.keys() ?? [])];
  return isSuperuser ? names : names.filter((name) => !name.startsWith('trusted.'));
}

export function setXattr(
  inode: MemoryInode,
  name: ByteString,
  value: Uint8Array,
  flags: number,
  quota: MemoryQuota,
): Errno {
  const errno = checkNamespace(name);
  if (errno !== OK) return errno;
  const old = inode.xattrs?.get(name);
  if ((flags & XATTR_CREATE) !== 0 && old !== undefined) return EEXIST;
  if ((flags & XATTR_REPLACE) !== 0 && old === undefined) return ENODATA;
  return hasRoom(name, value, quota) ? putValue(inode, name, value, quota) : ENOSPC;
}

/** Keeps a value whatever room there is: ask `hasRoom` before, if it may fail. */
export function putValue(inode: MemoryInode, name: ByteString, value: Uint8Array, quota: MemoryQuota): Errno {
  const old = inode.xattrs?.get(name);
  const freed = old === undefined ? 0 : costOf(name, old);
  const charge = costOf(name, value);
  quota.force(charge);
  quota.give(freed);
  inode.charge += charge - freed;
  inode.xattrs ??= new Map();
  inode.xattrs.set(name, value);
  return OK;
}

/** Returns whether there was one. */
export function dropValue(inode: MemoryInode, name: ByteString, quota: MemoryQuota): boolean {
  const old = inode.xattrs?.get(name);
  if (old === undefined) return false;
  inode.xattrs?.delete(name);
  inode.charge -= costOf(name, old);
  quota.give(costOf(name, old));
  return true;
}

export function hasRoom(name: ByteString, value: Uint8Array, quota: MemoryQuota): boolean {
  const charge = costOf(name, value);
  if (!quota.take(charge)) return false;
  quota.give(charge);
  return true;
}

export function removeXattr(inode: MemoryInode, name: ByteString, quota: MemoryQuota): Errno {
  return checkNamespace(name) || (dropValue(inode, name, quota) ? OK : ENODATA);
}

/** A file that changes loses the capabilities it gives to who runs it. SPEC: fuse.h, FUSE_HANDLE_KILLPRIV_V2. */
export function dropCapabilities(inode: MemoryInode, quota: MemoryQuota): void {
  if (inode.xattrs?.has(CAPABILITY)) removeXattr(inode, CAPABILITY, quota);
}

function checkNamespace(name: ByteString): Errno {
  for (const prefix of PREFIXES) if (name.startsWith(prefix)) return name.length > prefix.length ? OK : EINVAL;
  return EOPNOTSUPP;
}

function costOf(name: ByteString, value: Uint8Array): number {
  return XATTR_COST + name.length + value.length;
}
