/** Extended attributes: the sizes and rooms of the protocol; what names mean is the file system's. */
import type { ByteString } from '../base/bytes.ts';
import { setBytes } from '../base/bytes.ts';
import { E2BIG, EINVAL, ENOSYS, ERANGE, type Errno, OK } from '../wire/errno.ts';
import { SETXATTR_FLAGS } from '../wire/flags.ts';
import { GetxattrIn, GetxattrOut, SetxattrIn } from '../wire/fuse.ts';
import { OUT_HEADER_SIZE } from '../wire/ids.ts';
import { nameAt, tailAt } from '../wire/message.ts';
import { OPS } from '../wire/ops.ts';
import { sizeOf } from '../wire/struct.ts';
import type { Call } from './call.ts';
import { mustDropSetgid } from './handlers-attr.ts';
import type { Inode } from './inode.ts';
import { ARGS, callerOf, stringAt } from './request.ts';
import type { Session } from './session.ts';

/** SPEC: include/uapi/linux/limits.h, xattr(7). */
const XATTR_NAME_MAX = 255;
const XATTR_SIZE_MAX = 65536;
const XATTR_LIST_MAX = 65536;
const XATTR_CREATE = 1;
const XATTR_REPLACE = 2;
const { FUSE_SETXATTR_ACL_KILL_SGID } = SETXATTR_FLAGS;

export function getxattr(session: Session, call: Call, inode: Inode): Errno {
  const name = stringAt(call, nameAt(OPS.GETXATTR, call.request, 0));
  const value = nameErrno(name) || (session.fs.getxattr?.(inode, name, callerOf(session, call, 0)) ?? ENOSYS);
  if (typeof value === 'number') return value;
  const errno = replySize(call, value.length);
  if (errno !== OK || call.replySize > OUT_HEADER_SIZE) return errno;
  for (let i = 0; i < value.length; i++) call.reply.setUint8(OUT_HEADER_SIZE + i, value[i] as number);
  call.replySize += value.length;
  return OK;
}

export function listxattr(session: Session, call: Call, inode: Inode): Errno {
  const names = session.fs.listxattr?.(inode, callerOf(session, call, 0)) ?? ENOSYS;
  if (typeof names === 'number') return names;
  let size = 0;
  for (const name of names) size += name.length + 1;
  if (size > XATTR_LIST_MAX) return E2BIG;
  const errno = replySize(call, size);
  if (errno !== OK || call.replySize > OUT_HEADER_SIZE) return errno;
  for (const name of names) {
    const end = setBytes(call.reply, call.replySize, name);
    call.reply.setUint8(end, 0);
    call.replySize = end + 1;
  }
  return OK;
}

export function setxattr(session: Session, call: Call, inode: Inode): Errno {
  const { request } = call;
  const size = SetxattrIn.size.get(request, ARGS);
  const flags = SetxattrIn.flags.get(request, ARGS);
  if ((flags & ~(XATTR_CREATE | XATTR_REPLACE)) !== 0) return EINVAL;
  if (size > XATTR_SIZE_MAX) return E2BIG;
  const { sizes } = session.negotiated;
  const name = stringAt(call, nameAt(OPS.SETXATTR, request, 0, sizes));
  const errno = nameErrno(name);
  if (errno !== OK) return errno;
  const at = tailAt(OPS.SETXATTR, request, sizes);
  const value = new Uint8Array(size);
  for (let i = 0; i < size; i++) value[i] = request.getUint8(at + i);
  const caller = callerOf(session, call, 0);
  const killSgid = asksToKillSgid(session, request) || mustDropSetgid(session, inode, caller);
  return session.fs.setxattr?.(inode, name, value, flags, caller, killSgid) ?? ENOSYS;
}

export function removexattr(session: Session, call: Call, inode: Inode): Errno {
  const name = stringAt(call, nameAt(OPS.REMOVEXATTR, call.request, 0));
  return nameErrno(name) || (session.fs.removexattr?.(inode, name, callerOf(session, call, 0)) ?? ENOSYS);
}

function asksToKillSgid(session: Session, request: DataView): boolean {
  if (!session.negotiated.has('FUSE_SETXATTR_EXT')) return false;
  return (SetxattrIn.setxattr_flags.get(request, ARGS) & FUSE_SETXATTR_ACL_KILL_SGID) !== 0;
}

function nameErrno(name: ByteString): Errno {
  return name.length === 0 || name.length > XATTR_NAME_MAX ? ERANGE : OK;
}

/**
 * Answers "how large is it?" whole, with a struct; otherwise checks that the value fits and leaves it to be written.
 */
function replySize(call: Call, size: number): Errno {
  const room = GetxattrIn.size.get(call.request, ARGS);
  call.replySize = OUT_HEADER_SIZE;
  if (room === 0) {
    const end = OUT_HEADER_SIZE + sizeOf(GetxattrOut);
    if (end > call.replyRoom) return ERANGE;
    GetxattrOut.size.set(call.reply, OUT_HEADER_SIZE, size);
    GetxattrOut.padding.set(call.reply, OUT_HEADER_SIZE, 0);
    call.replySize = end;
    return OK;
  }
  return size > room || OUT_HEADER_SIZE + size > call.replyRoom ? ERANGE : OK;
}
