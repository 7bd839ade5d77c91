/** Parts that several requests share, read in place. */
import { type ByteString, getBytes } from '../base/bytes.ts';
import type { Errno } from '../wire/errno.ts';
import { ExtHeader, InHeader, SuppGroups } from '../wire/fuse.ts';
import { IN_HEADER_SIZE, type NodeId } from '../wire/ids.ts';
import { extensionsSize } from '../wire/message.ts';
import { sizeOf } from '../wire/struct.ts';
import type { Call } from './call.ts';
import type { Caller, Inode } from './inode.ts';
import type { Session } from './session.ts';

/** SPEC: fuse.h 7.38, enum fuse_ext_type. */
const FUSE_EXT_GROUPS = 32;
/** Where a request's arguments start. */
export const ARGS = IN_HEADER_SIZE;

/** A handler answers one operation: it fills the reply from position 16 and returns OK, or returns an errno. */
export type Handler = (session: Session, call: Call, inode: Inode) => Errno;

/** Reads the NUL-terminated string at `at`; that the NUL is there was checked with the message's length. */
export function stringAt(call: Call, at: number): ByteString {
  let end = at;
  while (call.request.getUint8(end) !== 0) end++;
  return getBytes(call.request, at, end - at);
}

export function callerOf(session: Session, call: Call, umask: number): Caller {
  const { caller } = session;
  caller.uid = InHeader.uid.get(call.request, 0);
  caller.gid = InHeader.gid.get(call.request, 0);
  caller.pid = InHeader.pid.get(call.request, 0);
  caller.extraGid = InHeader.total_extlen.get(call.request, 0) === 0 ? -1 : extraGidOf(call);
  caller.groupsOf = session.options.groupsOf;
  caller.umask = session.negotiated.has('FUSE_DONT_MASK') ? umask : 0;
  return caller;
}

/** The one group that CREATE and its like may carry in an extension. SPEC: fuse.h 7.38, FUSE_EXT_GROUPS. */
function extraGidOf(call: Call): number {
  const end = call.requestSize;
  let at = end - extensionsSize(call.request);
  while (at + sizeOf(ExtHeader) <= end) {
    const size = ExtHeader.size.get(call.request, at);
    const groupsAt = at + sizeOf(ExtHeader);
    const isGroups = ExtHeader.type.get(call.request, at) === FUSE_EXT_GROUPS;
    if (isGroups && groupsAt + 8 <= end && SuppGroups.nr_groups.get(call.request, groupsAt) > 0) {
      return call.request.getUint32(groupsAt + sizeOf(SuppGroups), true);
    }
    if (size < sizeOf(ExtHeader)) break;
    at += Math.ceil(size / 8) * 8;
  }
  return -1;
}

export function nodeidOf(call: Call): NodeId {
  return InHeader.nodeid.get(call.request, 0) as NodeId;
}
