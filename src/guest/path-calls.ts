/** System calls that change names: mkdir, rmdir, unlink, rename, link, symlink, mknod. All return an Errno. */
import type { ByteString } from '../base/bytes.ts';
import {
  EBUSY,
  EEXIST,
  EINVAL,
  EISDIR,
  ENAMETOOLONG,
  ENOENT,
  ENOTDIR,
  ENOTEMPTY,
  EPERM,
  type Errno,
  OK,
} from '../wire/errno.ts';
import { NAME_MAX, SYMLINK_MAX } from '../wire/ids.ts';
import { RENAME_EXCHANGE, RENAME_NOREPLACE, S_IFMT, S_IFREG, S_ISVTX } from '../wire/mode.ts';
import { isAncestor } from './dentry-cache.ts';
import { EXPIRED, type Inode } from './inode.ts';
import type { Mount } from './mount.ts';
import { mayOpen } from './open-calls.ts';
import { MAY_EXEC, MAY_WRITE, mayDelete } from './permission.ts';

export function mkdirPath(mount: Mount, base: Inode, path: ByteString, mode: number): Errno {
  const errno = resolveNew(mount, base, path, true);
  if (errno !== OK) return errno;
  const { parent, name } = mount.namei;
  const { version } = mount.inodes;
  const made = mount.names.mkdir(parent.nodeid, name, mode & 0o7777);
  return made === OK ? adopt(mount, parent, name, version) : made;
}

export function mknodPath(mount: Mount, base: Inode, path: ByteString, mode: number, rdev: number): Errno {
  const errno = resolveNew(mount, base, path, false);
  if (errno !== OK) return errno;
  const { parent, name } = mount.namei;
  const { version } = mount.inodes;
  const type = (mode & S_IFMT) === 0 ? S_IFREG : 0;
  const made = mount.names.mknod(parent.nodeid, name, mode | type, rdev);
  return made === OK ? adopt(mount, parent, name, version) : made;
}

export function symlinkPath(mount: Mount, target: ByteString, base: Inode, path: ByteString): Errno {
  if (target.length === 0) return ENOENT;
  if (target.length > SYMLINK_MAX) return ENAMETOOLONG;
  const errno = resolveNew(mount, base, path, false);
  if (errno !== OK) return errno;
  const { parent, name } = mount.namei;
  const { version } = mount.inodes;
  const made = mount.names.symlink(parent.nodeid, name, target);
  return made === OK ? adopt(mount, parent, name, version) : made;
}

/** A symlink at the end of the old path is linked itself, as Linux does, unless `follow`. */
export function linkPath(
  mount: Mount,
  base: Inode,
  path: ByteString,
  newBase: Inode,
  newPath: ByteString,
  follow = false,
): Errno {
  const errno = mount.namei.resolve(base, path, follow);
  if (errno !== OK) return errno;
  const { inode } = mount.namei;
  mount.inodes.hold(inode);
  const linked = linkInode(mount, inode, newBase, newPath);
  mount.inodes.release(inode);
  return linked;
}

export function unlinkPath(mount: Mount, base: Inode, path: ByteString): Errno {
  const { namei, names, dentries } = mount;
  const errno = namei.resolveParent(base, path);
  if (errno !== OK) return errno;
  if (namei.last !== 'name') return EISDIR;
  const { parent, name } = namei;
  const failed = lookupForDelete(mount, parent, name);
  if (failed !== OK) return failed;
  const child = dentries.found as Inode;
  if (child.isDirectory) return EISDIR;
  if (namei.hasTrailingSlash) return ENOTDIR;
  const removed = names.unlink(parent.nodeid, name);
  return afterRemove(mount, parent, name, child, removed);
}

export function rmdirPath(mount: Mount, base: Inode, path: ByteString): Errno {
  const { namei, names, dentries } = mount;
  const errno = namei.resolveParent(base, path);
  if (errno !== OK) return errno;
  if (namei.last === 'dot') return EINVAL;
  if (namei.last === 'dotdot') return ENOTEMPTY;
  if (namei.last === 'root') return EBUSY;
  const { parent, name } = namei;
  const failed = lookupForDelete(mount, parent, name);
  if (failed !== OK) return failed;
  const child = dentries.found as Inode;
  if (!child.isDirectory) return ENOTDIR;
  const removed = names.rmdir(parent.nodeid, name);
  return afterRemove(mount, parent, name, child, removed);
}

/** rename(2) and renameat2(2). */
export function renamePath(
  mount: Mount,
  base: Inode,
  path: ByteString,
  newBase: Inode,
  newPath: ByteString,
  flags: number,
): Errno {
  const { namei, inodes } = mount;
  const errno = namei.resolveParent(base, path);
  if (errno !== OK) return errno;
  if (namei.last !== 'name') return EBUSY;
  const { parent, name, hasTrailingSlash } = namei;
  inodes.hold(parent);
  const renamed = renameFrom(mount, parent, name, hasTrailingSlash, newBase, newPath, flags);
  inodes.release(parent);
  return renamed;
}

function linkInode(mount: Mount, inode: Inode, newBase: Inode, newPath: ByteString): Errno {
  const errno = resolveNew(mount, newBase, newPath, false);
  if (errno !== OK) return errno;
  const { parent, name } = mount.namei;
  // SPEC: Linux, vfs_link: what is wrong with the new name is said first, and that it is taken.
  if (inode.isDirectory) return mount.dentries.lookup(parent, name) === OK ? EEXIST : EPERM;
  const { version } = mount.inodes;
  const linked = mount.names.link(inode.nodeid, parent.nodeid, name);
  return linked === OK ? adopt(mount, parent, name, version) : linked;
}

function renameFrom(
  mount: Mount,
  parent: Inode,
  name: ByteString,
  hasSlash: boolean,
  newBase: Inode,
  newPath: ByteString,
  flags: number,
): Errno {
  const { namei, inodes, dentries } = mount;
  const errno = namei.resolveParent(newBase, newPath);
  if (errno !== OK) return errno;
  if (namei.last !== 'name') return (flags & RENAME_NOREPLACE) !== 0 ? EEXIST : EBUSY;
  const newParent = namei.parent;
  const hasNewSlash = namei.hasTrailingSlash && (flags & RENAME_EXCHANGE) === 0;
  inodes.hold(newParent);
  let result = lookupForDelete(mount, parent, name);
  if (result === OK) {
    const child = dentries.found as Inode;
    inodes.hold(child);
    result = !child.isDirectory && (hasSlash || hasNewSlash) ? ENOTDIR : OK;
    if (result === OK) result = renameOnto(mount, parent, name, child, newParent, namei.name, flags);
    inodes.release(child);
  }
  inodes.release(newParent);
  return result;
}

function renameOnto(
  mount: Mount,
  parent: Inode,
  name: ByteString,
  child: Inode,
  newParent: Inode,
  newName: ByteString,
  flags: number,
): Errno {
  const { dentries, names, inodes } = mount;
  const found = lookupForDelete(mount, newParent, newName);
  if (found !== OK && found !== ENOENT) return found;
  const target = found === OK ? dentries.found : undefined;
  const refused = checkTarget(child, newParent, target, flags);
  if (refused !== OK) return refused;
  // SPEC: rename(2): two names of one file: nothing happens.
  if (child === target) return OK;
  if (parent !== newParent) {
    const isExchange = (flags & RENAME_EXCHANGE) !== 0;
    const allowed = mayReparent(mount, child) || (isExchange ? mayReparent(mount, target) : OK);
    if (allowed !== OK) return allowed;
  }
  const errno = names.rename(parent.nodeid, name, newParent.nodeid, newName, flags);
  if (errno !== OK) return errno;
  inodes.expire(parent);
  inodes.expire(newParent);
  inodes.expire(child);
  if (target !== undefined) inodes.expire(target);
  if ((flags & RENAME_EXCHANGE) !== 0) exchange(mount, parent, name, child, newParent, newName, target as Inode);
  else replace(mount, parent, name, newParent, newName, target);
  return OK;
}

function checkTarget(child: Inode, newParent: Inode, target: Inode | undefined, flags: number): Errno {
  const isExchange = (flags & RENAME_EXCHANGE) !== 0;
  if (target === undefined) return isExchange ? ENOENT : OK;
  if ((flags & RENAME_NOREPLACE) !== 0) return EEXIST;
  // SPEC: Linux, do_renameat2: into itself comes before what is there.
  if (child.isDirectory && isAncestor(child, newParent)) return EINVAL;
  if (isExchange || child === target) return OK;
  // Onto a directory is the host's to refuse: with ENOTEMPTY if it is above the file, else with EISDIR.
  return child.isDirectory && !target.isDirectory ? ENOTDIR : OK;
}

/** SPEC: Linux, vfs_rename: a directory that gets another ".." is written to. */
function mayReparent(mount: Mount, inode: Inode | undefined): Errno {
  return inode?.isDirectory === true ? mayOpen(mount, inode, MAY_WRITE) : OK;
}

function replace(
  mount: Mount,
  parent: Inode,
  name: ByteString,
  newParent: Inode,
  newName: ByteString,
  target: Inode | undefined,
): void {
  if (target !== undefined) loseName(mount, target);
  mount.dentries.move(parent, name, newParent, newName);
}

function exchange(
  mount: Mount,
  parent: Inode,
  name: ByteString,
  child: Inode,
  newParent: Inode,
  newName: ByteString,
  target: Inode,
): void {
  const { dentries, inodes } = mount;
  inodes.hold(target);
  dentries.remove(parent, name);
  dentries.remove(newParent, newName);
  dentries.insert(parent, name, target, EXPIRED);
  dentries.insert(newParent, newName, child, EXPIRED);
  inodes.release(target);
}

function afterRemove(mount: Mount, parent: Inode, name: ByteString, child: Inode, errno: Errno): Errno {
  if (errno === ENOENT) mount.dentries.remove(parent, name);
  if (errno !== OK) return errno;
  mount.inodes.expire(parent);
  mount.inodes.expire(child);
  loseName(mount, child);
  mount.dentries.remove(parent, name);
  return OK;
}

/** One name less; names cached in a directory that is gone mean nothing. */
function loseName(mount: Mount, inode: Inode): void {
  inode.nlink = inode.isDirectory ? 0 : Math.max(0, inode.nlink - 1);
  if (inode.entries === undefined) return;
  mount.inodes.hold(inode);
  for (const dentry of [...inode.entries.values()]) mount.dentries.drop(dentry);
  mount.inodes.release(inode);
}

/** Walks to where something new shall be, and checks what can be checked without asking for the name. */
function resolveNew(mount: Mount, base: Inode, path: ByteString, isDirectory: boolean): Errno {
  const { namei } = mount;
  const errno = namei.resolveParent(base, path);
  if (errno !== OK) return errno;
  if (namei.last !== 'name') return EEXIST;
  if (namei.name.length > NAME_MAX) return ENAMETOOLONG;
  if (namei.hasTrailingSlash && !isDirectory) {
    // SPEC: Linux, filename_create: only a directory can be made under such a path.
    const found = mount.dentries.lookup(namei.parent, namei.name);
    return found === OK ? EEXIST : found;
  }
  return mayCreate(mount, namei.parent, namei.name);
}

/** SPEC: Linux, filename_create: what is there is EEXIST, also where nothing may be made. */
function mayCreate(mount: Mount, parent: Inode, name: ByteString): Errno {
  const allowed = mayOpen(mount, parent, MAY_WRITE | MAY_EXEC);
  if (allowed === OK || mayOpen(mount, parent, MAY_EXEC) !== OK) return allowed;
  return mount.dentries.lookup(parent, name) === OK ? EEXIST : allowed;
}

function lookupForDelete(mount: Mount, parent: Inode, name: ByteString): Errno {
  const { dentries, session } = mount;
  const errno = dentries.lookup(parent, name);
  if (errno !== OK) return errno;
  const child = dentries.found as Inode;
  const allowed = mayOpen(mount, parent, MAY_WRITE | MAY_EXEC);
  dentries.found = child;
  if (allowed !== OK || session.credentials.uid === 0) return allowed;
  // Whose it is matters only in a sticky directory.
  const known = (parent.mode & S_ISVTX) === 0 ? OK : mount.inodes.refresh(child);
  return known === OK ? mayDelete(parent, child, session.credentials) : known;
}

function adopt(mount: Mount, parent: Inode, name: ByteString, version: number): Errno {
  mount.inodes.expire(parent);
  return mount.dentries.adopt(parent, name, mount.channel.reply, version);
}
