/**
 * What each operation asks of its caller, where the client leaves permissions to the server (`checksPermissions`). What
 * goes through a handle was asked when it was opened. The rules themselves: permission.ts.
 *
 * A path is walked by one LOOKUP per name, each of which needs search permission: a client that does not check must not
 * remember names, so its session gives none a lifetime. Whatever is not there or malformed is the handler's to refuse.
 * Linux opens fifos, sockets and devices, and refuses names of the wrong type, before it asks: no one can check those.
 * SPEC: Linux, fs/namei.c: may_open, may_create, may_delete, vfs_rename; fs/xattr.c: xattr_permission.
 */
import type { ByteString } from '../base/bytes.ts';
import { EACCES, ENODATA, EPERM, type Errno, OK } from '../wire/errno.ts';
import { FATTR_FLAGS } from '../wire/flags.ts';
import { CreateIn, LinkIn, OpenIn, Rename2In, RenameIn, SetattrIn } from '../wire/fuse.ts';
import type { Fh, NodeId } from '../wire/ids.ts';
import { checkName, nameAt } from '../wire/message.ts';
import * as mode from '../wire/mode.ts';
import { OPS, type OpName } from '../wire/ops.ts';
import type { PrivateOpName } from '../wire/private.ts';
import { sizeOf } from '../wire/struct.ts';
import type { Call } from './call.ts';
import { readChange } from './handlers-attr.ts';
import type { Inode } from './inode.ts';
import { checkChange, checkOwner, isAllowed, isKeptBySticky } from './permission.ts';
import { ARGS, callerOf, type Handler, stringAt } from './request.ts';
import type { Session } from './session.ts';

const { R_OK, W_OK, X_OK } = mode;
const CHANGE_NAMES = W_OK | X_OK;
/** __FMODE_EXEC: Linux opens a file to execute it. No open(2) can ask for it. SPEC: Linux, include/linux/fs.h. */
const FMODE_EXEC = 0o40;
const { FATTR_FH } = FATTR_FLAGS;

const free: Handler = () => OK;
const needs =
  (wanted: number): Handler =>
  (session, call, inode) =>
    permits(session, call, inode, wanted);

/** Every operation is named here, so a new one does not compile until it is decided. */
export const PERMITS: Readonly<Record<OpName | PrivateOpName, Handler>> = {
  LOOKUP: lookup,
  FORGET: free,
  GETATTR: free,
  SETATTR: setattr,
  READLINK: free,
  SYMLINK: needs(CHANGE_NAMES),
  MKNOD: needs(CHANGE_NAMES),
  MKDIR: needs(CHANGE_NAMES),
  UNLINK: remove,
  RMDIR: remove,
  RENAME: (session, call, parent) => rename(session, call, parent, RenameIn.newdir, sizeOf(RenameIn), 0),
  LINK: link,
  OPEN: (session, call, inode) => open(session, call, inode, OpenIn.flags.get(call.request, ARGS)),
  READ: free,
  WRITE: free,
  STATFS: free,
  RELEASE: free,
  FSYNC: free,
  SETXATTR: (session, call, inode) => changeXattr(session, call, inode, OPS.SETXATTR),
  GETXATTR: getxattr,
  LISTXATTR: free,
  REMOVEXATTR: (session, call, inode) => changeXattr(session, call, inode, OPS.REMOVEXATTR),
  FLUSH: free,
  INIT: free,
  OPENDIR: needs(R_OK),
  READDIR: free,
  RELEASEDIR: free,
  FSYNCDIR: free,
  GETLK: free,
  SETLK: free,
  SETLKW: free,
  // Its handler is the check.
  ACCESS: free,
  CREATE: create,
  INTERRUPT: free,
  BMAP: free,
  DESTROY: free,
  IOCTL: free,
  POLL: free,
  NOTIFY_REPLY: free,
  BATCH_FORGET: free,
  FALLOCATE: free,
  READDIRPLUS: free,
  RENAME2: (session, call, parent) => {
    const flags = Rename2In.flags.get(call.request, ARGS);
    return rename(session, call, parent, Rename2In.newdir, sizeOf(Rename2In), flags);
  },
  LSEEK: free,
  COPY_FILE_RANGE: free,
  SETUPMAPPING: free,
  REMOVEMAPPING: free,
  SYNCFS: free,
  TMPFILE: needs(CHANGE_NAMES),
  STATX: free,
  COPY_FILE_RANGE_64: free,
  CUSE_INIT: free,
  MAP: free,
  UNMAP: free,
};

/** Reads the attributes of `inode` into `session.attr`. */
function permits(session: Session, call: Call, inode: Inode, wanted: number): Errno {
  const errno = session.fs.getattr(inode, session.attr);
  if (errno !== OK) return errno;
  const caller = callerOf(session, call, 0);
  return isAllowed(session.attr, caller, wanted, session.fs.acls?.allows(inode, caller, wanted)) ? OK : EACCES;
}

function lookup(session: Session, call: Call, parent: Inode): Errno {
  return parent.type === mode.S_IFDIR ? permits(session, call, parent, X_OK) : OK;
}

function childOf(session: Session, parent: Inode, name: ByteString): Inode | undefined {
  const child = checkName(name) === OK ? session.fs.lookup(parent, name) : undefined;
  return typeof child === 'number' ? undefined : child;
}

function remove(session: Session, call: Call, parent: Inode): Errno {
  return takeName(session, call, parent, childOf(session, parent, stringAt(call, ARGS)));
}

/** Whether the caller may take the name of `child` away, or give it to something else. */
function takeName(session: Session, call: Call, parent: Inode, child: Inode | undefined): Errno {
  const errno = permits(session, call, parent, CHANGE_NAMES);
  if (errno !== OK || child === undefined) return errno;
  const { mode: bits, uid } = session.attr;
  const read = session.fs.getattr(child, session.attr);
  if (read !== OK) return read;
  return isKeptBySticky(bits, uid, session.attr.uid, callerOf(session, call, 0)) ? EPERM : OK;
}

/**
 * Another's file gets a name only from who may read and write it. Linux asks us for that where `protected_hardlinks` is
 * on, as it is nearly everywhere, and has no way to say so. SPEC: proc_sys_fs(5); fs/namei.c, safe_hardlink_source.
 */
function link(session: Session, call: Call, parent: Inode): Errno {
  const inode = session.resolve(LinkIn.oldnodeid.get(call.request, ARGS) as NodeId);
  if (inode === undefined) return OK;
  const isOpen = permits(session, call, inode, R_OK | W_OK) === OK;
  const errno = isOpen ? OK : checkOwner(session.attr, callerOf(session, call, 0));
  return errno || permits(session, call, parent, CHANGE_NAMES);
}

function rename(
  session: Session,
  call: Call,
  parent: Inode,
  newdir: typeof RenameIn.newdir | typeof Rename2In.newdir,
  size: number,
  flags: number,
): Errno {
  const newParent = session.resolve(newdir.get(call.request, ARGS) as NodeId);
  if (newParent === undefined || newParent.type !== mode.S_IFDIR) return OK;
  const name = stringAt(call, ARGS + size);
  const moved = childOf(session, parent, name);
  const replaced = childOf(session, newParent, stringAt(call, ARGS + size + name.length + 1));
  // Two names of one file: nothing happens.
  if (moved !== undefined && moved === replaced) return OK;
  const errno = takeName(session, call, parent, moved) || takeName(session, call, newParent, replaced);
  if (errno !== OK || parent === newParent) return errno;
  const isExchange = (flags & mode.RENAME_EXCHANGE) !== 0;
  return reparent(session, call, moved) || (isExchange ? reparent(session, call, replaced) : OK);
}

/** A directory that moves gets another "..": that is written into it. */
function reparent(session: Session, call: Call, inode: Inode | undefined): Errno {
  return inode?.type === mode.S_IFDIR ? permits(session, call, inode, W_OK) : OK;
}

/** What is executed need not be readable. */
function open(session: Session, call: Call, inode: Inode, flags: number): Errno {
  const access = flags & mode.O_ACCMODE;
  let wanted = access === mode.O_RDONLY ? R_OK : W_OK;
  if (access === mode.O_RDWR) wanted = R_OK | W_OK;
  if ((flags & FMODE_EXEC) !== 0) wanted = X_OK;
  if ((flags & mode.O_TRUNC) !== 0) wanted |= W_OK;
  return permits(session, call, inode, wanted);
}

/** What is made just now is open to its maker, whatever its mode. */
function create(session: Session, call: Call, parent: Inode): Errno {
  const found = childOf(session, parent, stringAt(call, ARGS + sizeOf(CreateIn)));
  if (found === undefined) return permits(session, call, parent, CHANGE_NAMES);
  return permits(session, call, parent, X_OK) || open(session, call, found, CreateIn.flags.get(call.request, ARGS));
}

function setattr(session: Session, call: Call, inode: Inode): Errno {
  const { change } = session;
  readChange(change, call.request);
  const isStamping = session.negotiated.has('FUSE_WRITEBACK_CACHE');
  const errno = permits(session, call, inode, W_OK);
  if (errno !== OK && errno !== EACCES) return errno;
  const mayWrite = errno === OK || isOpenForWriting(session, call, inode, change.valid);
  return checkChange(session.attr, change, callerOf(session, call, 0), mayWrite, isStamping);
}

function isOpenForWriting(session: Session, call: Call, inode: Inode, valid: number): boolean {
  if ((valid & FATTR_FH) === 0) return false;
  return session.handles.file(SetattrIn.fh.get(call.request, ARGS) as Fh, inode)?.mayWrite === true;
}

function getxattr(session: Session, call: Call, inode: Inode): Errno {
  const name = stringAt(call, nameAt(OPS.GETXATTR, call.request, 0));
  if (name.startsWith('trusted.')) return callerOf(session, call, 0).uid === 0 ? OK : ENODATA;
  if (!name.startsWith('user.')) return OK;
  return isPlain(inode) ? permits(session, call, inode, R_OK) : ENODATA;
}

/** `user.` is content, `system.` belongs to the owner, the rest to the superuser. SPEC: xattr(7). */
function changeXattr(session: Session, call: Call, inode: Inode, op: typeof OPS.SETXATTR | typeof OPS.REMOVEXATTR) {
  const name = stringAt(call, nameAt(op, call.request, 0, session.negotiated.sizes));
  const errno = permits(session, call, inode, W_OK);
  const caller = callerOf(session, call, 0);
  if (name.startsWith('system.')) return checkOwner(session.attr, caller);
  if (!name.startsWith('user.')) return caller.uid === 0 ? OK : EPERM;
  if (!isPlain(inode)) return EPERM;
  const isSticky = inode.type === mode.S_IFDIR && (session.attr.mode & mode.S_ISVTX) !== 0;
  return isSticky ? checkOwner(session.attr, caller) || errno : errno;
}

function isPlain(inode: Inode): boolean {
  return inode.type === mode.S_IFREG || inode.type === mode.S_IFDIR;
}
