/** Locks: GETLK, SETLK, SETLKW, and INTERRUPT, which ends a wait for one. What a lock means is in lock-table.ts. */
import { EBADF, EINVAL, type Errno, OK } from '../wire/errno.ts';
import { LK_FLAGS } from '../wire/flags.ts';
import { InterruptIn, LkIn, LkOut } from '../wire/fuse.ts';
import { type Fh, OUT_HEADER_SIZE } from '../wire/ids.ts';
import { F_RDLCK, F_UNLCK, F_WRLCK } from '../wire/mode.ts';
import type { Call } from './call.ts';
import type { Inode } from './inode.ts';
import { RANGE_END } from './lock-ranges.ts';
import { ARGS } from './request.ts';
import type { Session } from './session.ts';

export function getlk(session: Session, call: Call, inode: Inode): Errno {
  const { host, locks } = session;
  const errno = read(session, call, inode);
  if (errno !== OK) return errno;
  // SPEC: there is no way to ask about flock locks.
  if (locks.request.isFlock) return EINVAL;
  host.locks.test(locks, inode, locks.request);
  writeLkOut(session, call);
  return OK;
}

export function setlk(session: Session, call: Call, inode: Inode): Errno {
  const { host, locks } = session;
  const errno = readToSet(session, call, inode);
  return errno === OK ? host.locks.set(locks, inode, locks.request) : errno;
}

export function setlkw(session: Session, call: Call, inode: Inode): Errno {
  const { host, locks } = session;
  const errno = readToSet(session, call, inode);
  return errno === OK ? host.locks.setOrWait(locks, inode, locks.request, call, session) : errno;
}

/**
 * The request it names may have been answered meanwhile, or, as it travels on another queue, not have come yet: then
 * nothing happens. Who still has no answer asks again.
 */
export function interrupt(session: Session, call: Call): Errno {
  const { unique } = InterruptIn;
  const [low, high] = [unique.low(call.request, ARGS), unique.high(call.request, ARGS)];
  session.host.locks.interrupt(session.locks, low, high, session);
  return OK;
}

/** SPEC: fcntl(2): EBADF: the descriptor is not open for what the lock protects. flock(2) does not mind. */
function readToSet(session: Session, call: Call, inode: Inode): Errno {
  const errno = read(session, call, inode);
  const { isFlock, type, fh } = session.locks.request;
  if (errno !== OK || isFlock || type === F_UNLCK) return errno;
  const handle = session.handles.file(fh as Fh, inode);
  return (type === F_WRLCK ? handle?.mayWrite : handle?.mayRead) ? OK : EBADF;
}

/** Reads the request into `session.locks.request`. */
function read(session: Session, call: Call, inode: Inode): Errno {
  const { request: from } = call;
  const { request } = session.locks;
  request.fh = LkIn.fh.get(from, ARGS);
  request.ownerLow = LkIn.owner.low(from, ARGS);
  request.ownerHigh = LkIn.owner.high(from, ARGS);
  request.pid = LkIn.lk.pid.get(from, ARGS);
  request.type = LkIn.lk.type.get(from, ARGS);
  request.isFlock = (LkIn.lk_flags.get(from, ARGS) & LK_FLAGS.FUSE_LK_FLOCK) !== 0;
  request.start = request.isFlock ? 0 : LkIn.lk.start.get(from, ARGS);
  request.end = request.isFlock ? RANGE_END : LkIn.lk.end.get(from, ARGS);
  if (session.handles.file(request.fh as Fh, inode) === undefined) return EBADF;
  const isKnown = request.type === F_RDLCK || request.type === F_WRLCK || request.type === F_UNLCK;
  return isKnown && request.start <= request.end ? OK : EINVAL;
}

function writeLkOut(session: Session, call: Call): void {
  const { reply } = call;
  const { type, start, end, pid } = session.locks.request;
  const { lk } = LkOut;
  lk.type.set(reply, OUT_HEADER_SIZE, type);
  lk.start.set(reply, OUT_HEADER_SIZE, start);
  lk.pid.set(reply, OUT_HEADER_SIZE, pid);
  lk.end.set(reply, OUT_HEADER_SIZE, end);
  if (end !== RANGE_END) return;
  // SPEC: Linux, OFFSET_MAX: "to the end" is 2^63 − 1, which no number here can be.
  reply.setUint32(OUT_HEADER_SIZE + lk.end.offset, 0xffff_ffff, true);
  reply.setUint32(OUT_HEADER_SIZE + lk.end.offset + 4, 0x7fff_ffff, true);
}
