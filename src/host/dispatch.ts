/**
 * From a message to its handler and back: everything that is the same for all operations. The message's size and names
 * are checked here, once, against the op table; the one `try` of the request path is here; the reply's header is here.
 *
 * A request that breaks the protocol gets an errno and one line in the log. A bug in a handler gets EIO and a line with
 * its stack: the host outlives both.
 */
import { assert } from '../base/assert.ts';
import { EINVAL, EIO, ENOSYS, ENOTDIR, EROFS, type Errno, ESTALE, OK } from '../wire/errno.ts';
import { InHeader, OutHeader } from '../wire/fuse.ts';
import { IN_HEADER_SIZE, OUT_HEADER_SIZE } from '../wire/ids.ts';
import { checkRequest } from '../wire/message.ts';
import { S_IFDIR } from '../wire/mode.ts';
import { WireRangeError } from '../wire/types.ts';
import { type Call, PENDING } from './call.ts';
import { nodeidOf } from './request.ts';
import { type Route, routeOf } from './routes.ts';
import type { Session } from './session.ts';

/** Answers one request: sets the call's reply, replySize and dataOutSize. Never throws. */
export function dispatch(session: Session, call: Call): void {
  call.replySize = 0;
  call.dataOutSize = 0;
  if (call.requestSize < IN_HEADER_SIZE) {
    // Without a whole header there is no `unique` to answer to.
    session.refuse(call, EINVAL, `${call.requestSize} bytes are no request`);
    return;
  }
  const route = routeOf(InHeader.opcode.get(call.request, 0));
  const errno = attempt(session, call, route);
  if (errno !== PENDING && (route === undefined || route.hasReply)) finish(session, call, errno);
  else call.replySize = 0;
}

function attempt(session: Session, call: Call, route: Route | undefined): Errno {
  try {
    return route === undefined ? session.refuse(call, ENOSYS, 'no such operation') : run(session, call, route);
  } catch (error) {
    if (error instanceof WireRangeError) return session.refuse(call, EINVAL, error.message);
    session.report(call, error);
    return EIO;
  }
}

function run(session: Session, call: Call, route: Route): Errno {
  // SPEC: libfuse answers EIO to whatever comes before INIT.
  if (session.state !== 'ready' && route.name !== 'INIT') {
    return route.hasReply ? session.refuse(call, EIO, `the session is ${session.state}`) : OK;
  }
  if (session.state === 'closed') return EIO;
  const problem = checkRequest(route.op, call, session.negotiated.sizes);
  if (problem !== undefined) return session.refuse(call, EINVAL, problem);
  const replySize = OUT_HEADER_SIZE + route.fixedReply;
  if (route.hasReply && replySize > call.replyRoom) return session.refuse(call, EIO, `no room for ${replySize} bytes`);
  return handle(session, call, route, replySize);
}

function handle(session: Session, call: Call, route: Route, replySize: number): Errno {
  const { target } = route;
  const inode = target === 'none' ? session.fs.root : session.resolve(nodeidOf(call));
  if (inode === undefined) return ESTALE;
  if (target === 'directory' && inode.type !== S_IFDIR) return ENOTDIR;
  if (route.isWriting && session.fs.readOnly) return EROFS;
  const denied = session.options.checksPermissions ? route.permit(session, call, inode) : OK;
  if (denied !== OK) return denied;
  // The last reply may have been another client's.
  for (let at = OUT_HEADER_SIZE; at < replySize; at += 4) call.reply.setUint32(at, 0);
  call.replySize = replySize;
  const { announcer } = session.host;
  const errno = announcer.isIdleFor(session)
    ? route.run(session, call, inode)
    : announcer.run(session, call, route, inode);
  assert(!route.hasReply || call.replySize + call.dataOutSize <= call.replyRoom, 'a reply is larger than its room');
  return errno;
}

function finish(session: Session, call: Call, errno: Errno): void {
  if (call.replyRoom < OUT_HEADER_SIZE) {
    session.refuse(call, EIO, 'no room for any reply');
    call.replySize = 0;
    call.dataOutSize = 0;
    return;
  }
  if (errno !== OK) {
    call.replySize = OUT_HEADER_SIZE;
    call.dataOutSize = 0;
  }
  const { request, reply } = call;
  OutHeader.len.set(reply, 0, call.replySize + call.dataOutSize);
  OutHeader.error.set(reply, 0, -errno);
  OutHeader.unique.setWords(reply, 0, InHeader.unique.low(request, 0), InHeader.unique.high(request, 0));
}
