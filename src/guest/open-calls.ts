/** open(2) and opendir(3): path, permission, creation, handle. Results are told from an Errno by `typeof`. */
import type { ByteString } from '../base/bytes.ts';
import {
  EEXIST,
  EINVAL,
  EIO,
  EISDIR,
  ELOOP,
  ENAMETOOLONG,
  ENOSYS,
  ENOTDIR,
  ENXIO,
  EOPNOTSUPP,
  EPERM,
  type Errno,
  ESTALE,
  OK,
} from '../wire/errno.ts';
import { FOPEN_FLAGS, OPEN_IN_FLAGS } from '../wire/flags.ts';
import { OpenOut } from '../wire/fuse.ts';
import { type Fh, NAME_MAX } from '../wire/ids.ts';
import * as m from '../wire/mode.ts';
import { OPS } from '../wire/ops.ts';
import { OpenDirectory } from './directory.ts';
import { NO_FH, OpenFile } from './file.ts';
import { truncateInode } from './file-change.ts';
import type { Inode } from './inode.ts';
import type { Mount } from './mount.ts';
import { isOwner, MAY_EXEC, MAY_READ, MAY_WRITE, permission } from './permission.ts';
import { ENTRY_OUT_SIZE } from './request-names.ts';

/** Flags that are ours: the host does not hear of them in OPEN. */
const NOT_SENT = m.O_CREAT | m.O_EXCL | m.O_NOCTTY | m.O_CLOEXEC;

/** Opens `path`, seen from `base`; creates a regular file if O_CREAT asks for it. */
export function openPath(mount: Mount, base: Inode, path: ByteString, flags: number, mode: number): OpenFile | Errno {
  const refused = checkFlags(flags);
  if (refused !== OK) return refused;
  const file = openOnce(mount, base, path, flags, mode);
  if (file !== ESTALE) return file;
  // The name means something else by now: ask for it, once.
  mount.dentries.expire(mount.namei.parent, mount.namei.name);
  return openOnce(mount, base, path, flags, mode);
}

export function openDirectory(mount: Mount, base: Inode, path: ByteString): OpenDirectory | Errno {
  const { namei, files, session } = mount;
  const errno = namei.resolve(base, path, true);
  if (errno !== OK) return errno;
  const { inode } = namei;
  if (!inode.isDirectory) return ENOTDIR;
  const allowed = mayOpen(mount, inode, MAY_READ);
  if (allowed !== OK) return allowed;
  if (session.lacks(OPS.OPENDIR.code)) return new OpenDirectory(mount, inode, NO_FH, false);
  const opened = files.open(OPS.OPENDIR.code, inode.nodeid, m.O_DIRECTORY, 0);
  if (opened === ENOSYS) return new OpenDirectory(mount, inode, NO_FH, false);
  if (opened !== OK) return opened;
  return new OpenDirectory(mount, inode, readFh(mount, mount.channel.reply), true);
}

/** Whether the current process may use the inode so; asks for its attributes if they matter. */
export function mayOpen(mount: Mount, inode: Inode, mask: number): Errno {
  const { credentials } = mount.session;
  if (credentials.uid !== 0) {
    const errno = mount.inodes.refresh(inode);
    if (errno !== OK) return errno;
  }
  return permission(inode, mask, credentials);
}

function checkFlags(flags: number): Errno {
  if ((flags & m.O_ACCMODE) === m.O_ACCMODE) return EINVAL;
  if ((flags & m.O_TMPFILE) === m.O_TMPFILE || (flags & m.O_PATH) !== 0) return EOPNOTSUPP;
  return (flags & m.O_CREAT) !== 0 && (flags & m.O_DIRECTORY) !== 0 ? EINVAL : OK;
}

function openOnce(mount: Mount, base: Inode, path: ByteString, flags: number, mode: number): OpenFile | Errno {
  return (flags & m.O_CREAT) !== 0
    ? openOrCreate(mount, base, path, flags, mode)
    : openExisting(mount, base, path, flags);
}

function openExisting(mount: Mount, base: Inode, path: ByteString, flags: number): OpenFile | Errno {
  const errno = mount.namei.resolve(base, path, (flags & m.O_NOFOLLOW) === 0);
  return errno === OK ? openInode(mount, mount.namei.inode, flags) : errno;
}

function openOrCreate(mount: Mount, base: Inode, path: ByteString, flags: number, mode: number): OpenFile | Errno {
  const { namei } = mount;
  const isExclusive = (flags & m.O_EXCL) !== 0;
  const errno = namei.resolveCreate(base, path, !isExclusive && (flags & m.O_NOFOLLOW) === 0);
  if (errno !== OK) return errno;
  // SPEC: Linux: a path that names no file, or ends in a slash, is EISDIR with O_CREAT, whatever is there.
  if (namei.last !== 'name' || namei.hasTrailingSlash) return EISDIR;
  const { target } = namei;
  if (target === undefined) return createFile(mount, namei.parent, namei.name, flags, mode);
  if (isExclusive) return EEXIST;
  return target.isDirectory ? EISDIR : openInode(mount, target, flags);
}

/** Opens an inode that is there. */
function openInode(mount: Mount, inode: Inode, flags: number): OpenFile | Errno {
  const refused = checkType(inode, flags);
  if (refused !== OK) return refused;
  const isTruncating = (flags & m.O_TRUNC) !== 0 && inode.isRegular;
  const allowed = mayOpen(mount, inode, wantedAccess(flags));
  if (allowed !== OK) return allowed;
  if ((flags & m.O_NOATIME) !== 0 && !isOwner(inode, mount.session.credentials)) return EPERM;
  const isAtomic = mount.session.has('FUSE_ATOMIC_O_TRUNC');
  const file = openHandle(mount, inode, flags, isAtomic ? flags & ~NOT_SENT : flags & ~NOT_SENT & ~m.O_TRUNC);
  if (typeof file === 'number' || !isTruncating) return file;
  if (isAtomic && file.fhToSend !== undefined) {
    inode.size = 0;
    mount.pages?.cut(inode, 0);
    mount.inodes.grow(inode, 0);
    return file;
  }
  const errno = truncateInode(mount, inode, 0, file);
  if (errno === OK) return file;
  file.close();
  return errno;
}

function checkType(inode: Inode, flags: number): Errno {
  if (inode.isSymlink) return (flags & m.O_DIRECTORY) !== 0 ? ENOTDIR : ELOOP;
  if (inode.isDirectory) return (flags & m.O_ACCMODE) !== m.O_RDONLY || (flags & m.O_TRUNC) !== 0 ? EISDIR : OK;
  if ((flags & m.O_DIRECTORY) !== 0) return ENOTDIR;
  return inode.isRegular ? OK : ENXIO;
}

function wantedAccess(flags: number): number {
  const mode = flags & m.O_ACCMODE;
  const write = mode !== m.O_RDONLY || (flags & m.O_TRUNC) !== 0 ? MAY_WRITE : 0;
  return mode === m.O_WRONLY ? write : write | MAY_READ;
}

function openHandle(mount: Mount, inode: Inode, flags: number, sent: number): OpenFile | Errno {
  const { session, files, channel } = mount;
  const opcode = inode.isDirectory ? OPS.OPENDIR.code : OPS.OPEN.code;
  if (session.lacks(opcode)) return new OpenFile(mount, inode, NO_FH, flags, 0, false);
  const kills = (sent & m.O_TRUNC) !== 0 && session.credentials.uid !== 0 && session.has('FUSE_HANDLE_KILLPRIV_V2');
  const errno = files.open(opcode, inode.nodeid, sent, kills ? OPEN_IN_FLAGS.FUSE_OPEN_KILL_SUIDGID : 0);
  if (errno === ENOSYS) return new OpenFile(mount, inode, NO_FH, flags, 0, false);
  if (errno !== OK) return errno;
  const openFlags = OpenOut.open_flags.get(channel.view, channel.reply);
  // SPEC: fuse_finish_open: close-to-open, unless the host promises more.
  if ((openFlags & FOPEN_FLAGS.FOPEN_KEEP_CACHE) === 0) mount.pages?.pagesInvalid(inode);
  return new OpenFile(mount, inode, readFh(mount, channel.reply), flags, openFlags, true);
}

function createFile(mount: Mount, parent: Inode, name: ByteString, flags: number, mode: number): OpenFile | Errno {
  const { names, inodes, dentries, channel } = mount;
  if (name.length > NAME_MAX) return ENAMETOOLONG;
  const allowed = mayOpen(mount, parent, MAY_WRITE | MAY_EXEC);
  if (allowed !== OK) return allowed;
  const { version } = inodes;
  const errno = names.create(parent.nodeid, name, flags & ~m.O_NOCTTY, m.S_IFREG | (mode & 0o7777), 0);
  if (errno === ENOSYS) return createAndOpen(mount, parent, name, flags, mode);
  if (errno !== OK) return errno;
  inodes.expire(parent);
  // Adopting the entry may send requests, which reuse the reply: take the handle out first.
  const fh = readFh(mount, channel.reply + ENTRY_OUT_SIZE);
  const openFlags = OpenOut.open_flags.get(channel.view, channel.reply + ENTRY_OUT_SIZE);
  const adopted = dentries.adopt(parent, name, channel.reply, version);
  if (adopted !== OK) return adopted;
  const inode = dentries.found as Inode;
  // Somebody else may have created it since we looked: then it has been opened, and perhaps cut.
  if ((flags & m.O_TRUNC) !== 0) mount.pages?.cut(inode, 0);
  if ((openFlags & FOPEN_FLAGS.FOPEN_KEEP_CACHE) === 0) mount.pages?.pagesInvalid(inode);
  return inode.isRegular ? new OpenFile(mount, inode, fh, flags, openFlags, true) : EIO;
}

/** SPEC: a host without CREATE is asked to MKNOD and OPEN. */
function createAndOpen(mount: Mount, parent: Inode, name: ByteString, flags: number, mode: number): OpenFile | Errno {
  const { names, inodes, dentries, channel } = mount;
  const { version } = inodes;
  const errno = names.mknod(parent.nodeid, name, m.S_IFREG | (mode & 0o7777), 0);
  if (errno === EEXIST && (flags & m.O_EXCL) === 0) {
    const found = dentries.lookup(parent, name, true);
    return found === OK ? openInode(mount, dentries.found as Inode, flags) : found;
  }
  if (errno !== OK) return errno;
  inodes.expire(parent);
  const adopted = dentries.adopt(parent, name, channel.reply, version);
  if (adopted !== OK) return adopted;
  // A new file may be written by its creator, whatever its mode.
  return openHandle(mount, dentries.found as Inode, flags, flags & ~NOT_SENT & ~m.O_TRUNC);
}

function readFh(mount: Mount, at: number): Fh {
  return OpenOut.fh.get(mount.channel.view, at) as Fh;
}
