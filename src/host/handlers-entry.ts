/** Names: looking them up, making, moving and removing them, and forgetting what they stood for. */
import type { ByteString } from '../base/bytes.ts';
import { EINVAL, ENAMETOOLONG, ENOENT, ENOSYS, ENOTDIR, EPERM, type Errno, ESTALE, OK } from '../wire/errno.ts';
import { BatchForgetIn, ForgetIn, ForgetOne, LinkIn, MkdirIn, MknodIn, Rename2In, RenameIn } from '../wire/fuse.ts';
import { type NodeId, SYMLINK_MAX } from '../wire/ids.ts';
import { checkName } from '../wire/message.ts';
import * as mode from '../wire/mode.ts';
import { sizeOf } from '../wire/struct.ts';
import { createMode } from './acl.ts';
import type { Call } from './call.ts';
import type { Inode } from './inode.ts';
import { replyEntry, replyNegativeEntry } from './reply.ts';
import { ARGS, callerOf, nodeidOf, stringAt } from './request.ts';
import type { Session } from './session.ts';

const NODE_TYPES: readonly number[] = [mode.S_IFREG, mode.S_IFIFO, mode.S_IFSOCK, mode.S_IFCHR, mode.S_IFBLK];

export function lookup(session: Session, call: Call, parent: Inode): Errno {
  const name = stringAt(call, ARGS);
  if (name === '.' || name === '..') return lookupDots(session, call, parent, name);
  if (parent.type !== mode.S_IFDIR) return ENOTDIR;
  const errno = checkName(name);
  if (errno !== OK) return errno;
  const child = session.fs.lookup(parent, name);
  if (child === ENOENT) return replyMissing(session, call, parent, name);
  return typeof child === 'number' ? child : replyEntry(session, call, child);
}

function replyMissing(session: Session, call: Call, parent: Inode, name: ByteString): Errno {
  session.missing.parent = parent.nodeid;
  session.missing.name = name;
  return session.options.negativeTimeoutMs > 0 ? replyNegativeEntry(session, call) : ENOENT;
}

/** A client that exports handles (NFS) finds an inode by its own nodeid, and a directory's parent. */
function lookupDots(session: Session, call: Call, inode: Inode, name: ByteString): Errno {
  if (!session.negotiated.has('FUSE_EXPORT_SUPPORT')) return EINVAL;
  if (name === '.') return replyEntry(session, call, inode);
  const parent = session.fs.parent?.(inode) ?? ENOSYS;
  return typeof parent === 'number' ? parent : replyEntry(session, call, parent);
}

export function forget(session: Session, call: Call): Errno {
  return forgetOne(session, call, nodeidOf(call), ForgetIn.nlookup.get(call.request, ARGS));
}

export function batchForget(session: Session, call: Call): Errno {
  const count = BatchForgetIn.count.get(call.request, ARGS);
  let at = ARGS + sizeOf(BatchForgetIn);
  for (let i = 0; i < count; i++) {
    const nodeid = ForgetOne.nodeid.get(call.request, at) as NodeId;
    forgetOne(session, call, nodeid, ForgetOne.nlookup.get(call.request, at));
    at += sizeOf(ForgetOne);
  }
  return OK;
}

function forgetOne(session: Session, call: Call, nodeid: NodeId, count: number): Errno {
  if (session.lookups.forget(nodeid, count)) return OK;
  return session.refuse(call, EINVAL, `n${nodeid} has fewer than ${count} lookups`);
}

export function mknod(session: Session, call: Call, parent: Inode): Errno {
  const name = stringAt(call, ARGS + sizeOf(MknodIn));
  const errno = checkName(name);
  if (errno !== OK) return errno;
  const asked = MknodIn.mode.get(call.request, ARGS);
  const type = asked & mode.S_IFMT || mode.S_IFREG;
  if (!NODE_TYPES.includes(type)) return type === mode.S_IFDIR ? EPERM : EINVAL;
  const caller = callerOf(session, call, MknodIn.umask.get(call.request, ARGS));
  const bits = type | createMode(session.fs, parent, asked, caller.umask);
  const child = session.fs.mknod(parent, name, bits, MknodIn.rdev.get(call.request, ARGS), caller);
  return typeof child === 'number' ? child : replyEntry(session, call, child);
}

export function mkdir(session: Session, call: Call, parent: Inode): Errno {
  const name = stringAt(call, ARGS + sizeOf(MkdirIn));
  const errno = checkName(name);
  if (errno !== OK) return errno;
  const caller = callerOf(session, call, MkdirIn.umask.get(call.request, ARGS));
  const bits = createMode(session.fs, parent, MkdirIn.mode.get(call.request, ARGS), caller.umask);
  const child = session.fs.mkdir(parent, name, bits, caller);
  return typeof child === 'number' ? child : replyEntry(session, call, child);
}

export function symlink(session: Session, call: Call, parent: Inode): Errno {
  const name = stringAt(call, ARGS);
  const target = stringAt(call, ARGS + name.length + 1);
  const errno = checkName(name);
  if (errno !== OK) return errno;
  if (target.length === 0) return ENOENT;
  if (target.length > SYMLINK_MAX) return ENAMETOOLONG;
  const child = session.fs.symlink(parent, name, target, callerOf(session, call, 0));
  return typeof child === 'number' ? child : replyEntry(session, call, child);
}

export function link(session: Session, call: Call, parent: Inode): Errno {
  const name = stringAt(call, ARGS + sizeOf(LinkIn));
  const errno = checkName(name);
  if (errno !== OK) return errno;
  const inode = session.resolve(LinkIn.oldnodeid.get(call.request, ARGS) as NodeId);
  if (inode === undefined) return ESTALE;
  if (inode.type === mode.S_IFDIR) return EPERM;
  const linked = session.fs.link(inode, parent, name);
  return linked === OK ? replyEntry(session, call, inode) : linked;
}

export function unlink(session: Session, call: Call, parent: Inode): Errno {
  const name = stringAt(call, ARGS);
  const errno = checkName(name);
  return errno === OK ? session.fs.unlink(parent, name) : errno;
}

export function rmdir(session: Session, call: Call, parent: Inode): Errno {
  const name = stringAt(call, ARGS);
  const errno = checkName(name);
  return errno === OK ? session.fs.rmdir(parent, name) : errno;
}

export function rename(session: Session, call: Call, parent: Inode): Errno {
  return move(session, call, parent, RenameIn.newdir.get(call.request, ARGS) as NodeId, ARGS + sizeOf(RenameIn), 0);
}

export function rename2(session: Session, call: Call, parent: Inode): Errno {
  const flags = Rename2In.flags.get(call.request, ARGS);
  if (flags !== 0 && flags !== mode.RENAME_NOREPLACE && flags !== mode.RENAME_EXCHANGE) return EINVAL;
  const newdir = Rename2In.newdir.get(call.request, ARGS) as NodeId;
  return move(session, call, parent, newdir, ARGS + sizeOf(Rename2In), flags);
}

function move(session: Session, call: Call, parent: Inode, newdir: NodeId, namesAt: number, flags: number): Errno {
  const name = stringAt(call, namesAt);
  const newName = stringAt(call, namesAt + name.length + 1);
  const errno = checkName(name) || checkName(newName);
  if (errno !== OK) return errno;
  const newParent = session.resolve(newdir);
  if (newParent === undefined) return ESTALE;
  if (newParent.type !== mode.S_IFDIR) return ENOTDIR;
  return session.fs.rename(parent, name, newParent, newName, flags);
}
