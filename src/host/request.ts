/** Parts that several requests share, read in place. */
import { type ByteString, getBytes } from '../base/bytes.ts';
import type { Errno } from '../wire/errno.ts';
import { InHeader } from '../wire/fuse.ts';
import { IN_HEADER_SIZE, type NodeId } from '../wire/ids.ts';
import type { Call } from './call.ts';
import type { Caller, Inode } from './inode.ts';
import type { Session } from './session.ts';

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
  caller.umask = session.negotiated.has('FUSE_DONT_MASK') ? umask : 0;
  return caller;
}

export function nodeidOf(call: Call): NodeId {
  return InHeader.nodeid.get(call.request, 0) as NodeId;
}
