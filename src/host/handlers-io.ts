/** The content of regular files. READ and WRITE use the pages that mappings show, so that all clients agree. */

import { SegmentList, slice } from '../virtio/chain.ts';
import { EBADF, EFBIG, EINVAL, EIO, ENOSYS, ENXIO, type Errno, ESTALE, OK } from '../wire/errno.ts';
import { WRITE_FLAGS } from '../wire/flags.ts';
import {
  CopyFileRangeIn,
  CopyFileRangeOut,
  FallocateIn,
  FlushIn,
  FsyncIn,
  LseekIn,
  LseekOut,
  ReadIn,
  WriteIn,
  WriteOut,
} from '../wire/fuse.ts';
import { type Fh, type NodeId, OUT_HEADER_SIZE } from '../wire/ids.ts';
import { O_APPEND, O_NOATIME, SEEK_DATA, SEEK_HOLE } from '../wire/mode.ts';
import type { Call } from './call.ts';
import type { Outcome } from './file-system.ts';
import type { Inode } from './inode.ts';
import { ARGS, callerOf } from './request.ts';
import type { Session } from './session.ts';

const { FUSE_WRITE_CACHE, FUSE_WRITE_KILL_SUIDGID } = WRITE_FLAGS;
const FUSE_FSYNC_FDATASYNC = 1;
/** A copy is answered after this much, so that one request cannot keep the host from everybody else. */
const COPY_MAX = 16 * 1024 * 1024;

export function read(session: Session, call: Call, inode: Inode): Errno {
  const { request } = call;
  const handle = session.handles.file(ReadIn.fh.get(request, ARGS) as Fh, inode);
  if (handle === undefined || !handle.mayRead) return EBADF;
  const size = ReadIn.size.get(request, ARGS);
  if (size > call.dataOut.size || OUT_HEADER_SIZE + size > call.replyRoom) {
    return session.refuse(call, EIO, `no room for ${size} bytes`);
  }
  const isUnseen = (handle.flags & O_NOATIME) !== 0;
  const count = session.fs.read(inode, ReadIn.offset.get(request, ARGS), size, call.dataOut, isUnseen);
  if (count < 0) return errnoOf(count);
  call.dataOutSize = count;
  return OK;
}

export function write(session: Session, call: Call, inode: Inode): Errno {
  const { request } = call;
  const handle = session.handles.file(WriteIn.fh.get(request, ARGS) as Fh, inode);
  if (handle === undefined || !handle.mayWrite) return EBADF;
  const size = WriteIn.size.get(request, ARGS);
  if (size !== call.dataIn.size)
    return session.refuse(call, EINVAL, `${size} bytes announced, ${call.dataIn.size} sent`);
  if (size > session.negotiated.maxWrite) return session.refuse(call, EINVAL, `${size} bytes are above max_write`);
  const pos = positionOf(request, inode);
  if (!Number.isSafeInteger(pos + size)) return EFBIG;
  const killSuidgid = (WriteIn.write_flags.get(request, ARGS) & FUSE_WRITE_KILL_SUIDGID) !== 0;
  const count = session.fs.write(inode, pos, call.dataIn, killSuidgid, callerOf(session, call, 0));
  if (count < 0) return errnoOf(count);
  WriteOut.size.set(call.reply, OUT_HEADER_SIZE, count);
  return OK;
}

/**
 * O_APPEND means the end of the file as it is here and now: other clients may have appended since this one looked.
 * Pages that a client writes back from its cache have their place already.
 */
function positionOf(request: DataView, inode: Inode): number {
  const isAppend = (WriteIn.flags.get(request, ARGS) & O_APPEND) !== 0;
  const isFromCache = (WriteIn.write_flags.get(request, ARGS) & FUSE_WRITE_CACHE) !== 0;
  if (isAppend && !isFromCache && inode.space !== undefined) return inode.space.size;
  return WriteIn.offset.get(request, ARGS);
}

/** Sent for every close(2): it takes the process's locks on the file, whichever descriptor they were set through. */
export function flush(session: Session, call: Call, inode: Inode): Errno {
  // A kernel that hears this does not ask again.
  if (session.options.localLocks) return ENOSYS;
  if (session.handles.file(FlushIn.fh.get(call.request, ARGS) as Fh, inode) === undefined) return EBADF;
  const { lock_owner } = FlushIn;
  const { host, locks } = session;
  host.locks.releaseOwner(locks, inode, lock_owner.low(call.request, ARGS), lock_owner.high(call.request, ARGS));
  return OK;
}

export function fsync(session: Session, call: Call, inode: Inode): Errno {
  if (session.handles.file(FsyncIn.fh.get(call.request, ARGS) as Fh, inode) === undefined) return EBADF;
  return session.fs.fsync(inode, (FsyncIn.fsync_flags.get(call.request, ARGS) & FUSE_FSYNC_FDATASYNC) !== 0);
}

export function syncfs(session: Session): Errno {
  return session.fs.sync();
}

export function fallocate(session: Session, call: Call, inode: Inode): Errno {
  const { request } = call;
  const handle = session.handles.file(FallocateIn.fh.get(request, ARGS) as Fh, inode);
  if (handle === undefined || !handle.mayWrite) return EBADF;
  const pos = FallocateIn.offset.get(request, ARGS);
  const size = FallocateIn.length.get(request, ARGS);
  if (size === 0) return EINVAL;
  if (!Number.isSafeInteger(pos + size)) return EFBIG;
  const caller = callerOf(session, call, 0);
  return session.fs.fallocate(inode, FallocateIn.mode.get(request, ARGS), pos, size, caller);
}

/** Only what the client cannot know: where data and holes are. */
export function lseek(session: Session, call: Call, inode: Inode): Errno {
  const { request } = call;
  if (session.handles.file(LseekIn.fh.get(request, ARGS) as Fh, inode) === undefined) return EBADF;
  // The client may have pages, and a size, that we do not have yet: it must do with what it knows itself.
  if (session.negotiated.has('FUSE_WRITEBACK_CACHE')) return ENOSYS;
  const whence = LseekIn.whence.get(request, ARGS);
  if (whence !== SEEK_DATA && whence !== SEEK_HOLE) return EINVAL;
  const pos = LseekIn.offset.get(request, ARGS);
  if (pos === Number.MAX_SAFE_INTEGER) return ENXIO;
  const found = session.fs.seek(inode, pos, whence);
  if (found < 0) return errnoOf(found);
  LseekOut.offset.set(call.reply, OUT_HEADER_SIZE, found);
  return OK;
}

export function copyFileRange(session: Session, call: Call, inode: Inode): Errno {
  const count = copy(session, call, inode);
  if (count < 0) return errnoOf(count);
  WriteOut.size.set(call.reply, OUT_HEADER_SIZE, count);
  return OK;
}

export function copyFileRange64(session: Session, call: Call, inode: Inode): Errno {
  const count = copy(session, call, inode);
  if (count < 0) return errnoOf(count);
  CopyFileRangeOut.bytes_copied.set(call.reply, OUT_HEADER_SIZE, count);
  return OK;
}

function copy(session: Session, call: Call, from: Inode): Outcome {
  const { request } = call;
  const to = session.resolve(CopyFileRangeIn.nodeid_out.get(request, ARGS) as NodeId);
  if (to === undefined) return -ESTALE;
  const source = session.handles.file(CopyFileRangeIn.fh_in.get(request, ARGS) as Fh, from);
  const target = session.handles.file(CopyFileRangeIn.fh_out.get(request, ARGS) as Fh, to);
  if (source === undefined || !source.mayRead) return -EBADF;
  if (target === undefined || !target.mayWrite || (target.flags & O_APPEND) !== 0) return -EBADF;
  if (CopyFileRangeIn.flags.get(request, ARGS) !== 0) return -EINVAL;
  const fromPos = CopyFileRangeIn.off_in.get(request, ARGS);
  const toPos = CopyFileRangeIn.off_out.get(request, ARGS);
  const size = CopyFileRangeIn.len.get(request, ARGS);
  if (!Number.isSafeInteger(toPos + Math.min(size, COPY_MAX))) return -EFBIG;
  if (from === to && fromPos < toPos + size && toPos < fromPos + size) return -EINVAL;
  callerOf(session, call, 0);
  return copyRange(session, from, fromPos, to, toPos, Math.min(size, COPY_MAX));
}

/** Copies piece by piece through the scratch memory; an error after some bytes is found again by the next call. */
function copyRange(session: Session, from: Inode, fromPos: number, to: Inode, toPos: number, size: number): Outcome {
  const { scratch } = session.host;
  if (scratch === undefined) return -ENOSYS;
  const { caller } = session;
  const piece = new SegmentList();
  let done = 0;
  while (done < size) {
    const wanted = Math.min(size - done, scratch.size);
    const got = session.fs.read(from, fromPos + done, wanted, scratch);
    if (got <= 0) return done > 0 ? done : got;
    slice(scratch, 0, piece, got);
    const put = session.fs.write(to, toPos + done, piece, caller.uid !== 0, caller);
    if (put < 0) return done > 0 ? done : put;
    done += put;
    // A short read was the end of the source; in one file what was just written has moved that end.
    if (put < got || got < wanted) break;
  }
  return done;
}

function errnoOf(outcome: Outcome): Errno {
  return -outcome as Errno;
}
