/** Attributes of one inode, of the file system, and link targets. */
import { setBytes } from '../base/bytes.ts';
import { EACCES, EBADF, EFBIG, EINVAL, EIO, EISDIR, EROFS, type Errno, OK } from '../wire/errno.ts';
import { FATTR_FLAGS, GETATTR_FLAGS } from '../wire/flags.ts';
import { AccessIn, GetattrIn, SetattrIn, StatfsOut, StatxIn, StatxOut } from '../wire/fuse.ts';
import { type Fh, OUT_HEADER_SIZE } from '../wire/ids.ts';
import { R_OK, S_IFDIR, S_IFREG, S_ISGID, W_OK, X_OK } from '../wire/mode.ts';
import { losesSetgid } from './acl.ts';
import type { Call } from './call.ts';
import { type Attr, type AttrChange, type Caller, type Inode, lostSetId } from './inode.ts';
import { checkOwner, isAllowed } from './permission.ts';
import { nanoseconds, readAttr, replyAttr, wallClock } from './reply.ts';
import { ARGS, callerOf } from './request.ts';
import type { Session } from './session.ts';

const { FATTR_MODE, FATTR_UID, FATTR_GID, FATTR_SIZE, FATTR_ATIME, FATTR_MTIME, FATTR_FH } = FATTR_FLAGS;
const { FATTR_ATIME_NOW, FATTR_MTIME_NOW, FATTR_CTIME, FATTR_KILL_SUIDGID } = FATTR_FLAGS;
const { FUSE_GETATTR_FH } = GETATTR_FLAGS;
const NSEC_PER_SEC = 1e9;
/** STATX_BASIC_STATS | STATX_BTIME. SPEC: include/uapi/linux/stat.h. */
const STATX_FILLED = 0x7ff | 0x800;

export function getattr(session: Session, call: Call, inode: Inode): Errno {
  const hasFh = (GetattrIn.getattr_flags.get(call.request, ARGS) & FUSE_GETATTR_FH) !== 0;
  if (hasFh && !isOpen(session, GetattrIn.fh.get(call.request, ARGS) as Fh, inode)) return EBADF;
  return replyAttr(session, call, inode);
}

export function setattr(session: Session, call: Call, inode: Inode): Errno {
  const { request } = call;
  const valid = SetattrIn.valid.get(request, ARGS);
  if ((valid & FATTR_FH) !== 0 && !isOpen(session, SetattrIn.fh.get(request, ARGS) as Fh, inode)) return EBADF;
  if ((valid & FATTR_SIZE) !== 0 && inode.type !== S_IFREG) return inode.type === S_IFDIR ? EISDIR : EINVAL;
  const { change } = session;
  readChange(change, request);
  if ((valid & FATTR_SIZE) !== 0 && change.size === Number.MAX_SAFE_INTEGER) return EFBIG;
  if (!hasGoodTimes(change)) return EINVAL;
  fillNow(session, change);
  const caller = callerOf(session, call, 0);
  if (isEmptyChange(valid)) {
    if (isForOwnersOnly(session, inode, caller)) return replyAttr(session, call, inode);
    change.valid |= FATTR_KILL_SUIDGID;
  }
  if ((valid & FATTR_MODE) !== 0 && mustDropSetgid(session, inode, caller)) change.mode &= ~S_ISGID;
  const errno = session.fs.setattr(inode, change, caller);
  return errno === OK ? replyAttr(session, call, inode) : errno;
}

export function statx(session: Session, call: Call, inode: Inode): Errno {
  const hasFh = (StatxIn.getattr_flags.get(call.request, ARGS) & FUSE_GETATTR_FH) !== 0;
  if (hasFh && !isOpen(session, StatxIn.fh.get(call.request, ARGS) as Fh, inode)) return EBADF;
  const errno = readAttr(session, inode);
  if (errno !== OK) return errno;
  StatxOut.attr_valid.set(call.reply, OUT_HEADER_SIZE, session.options.attrTimeoutMs / 1000);
  StatxOut.attr_valid_nsec.set(call.reply, OUT_HEADER_SIZE, nanoseconds(session.options.attrTimeoutMs));
  writeStatx(call.reply, OUT_HEADER_SIZE, session.attr);
  return OK;
}

/** access(2) for a client that does not check permissions itself; supplementary groups are not known here. */
export function access(session: Session, call: Call, inode: Inode): Errno {
  const mask = AccessIn.mask.get(call.request, ARGS);
  if ((mask & ~(R_OK | W_OK | X_OK)) !== 0) return EINVAL;
  const errno = session.fs.getattr(inode, session.attr);
  if (errno !== OK) return errno;
  const isPlain = inode.type === S_IFREG || inode.type === S_IFDIR;
  if ((mask & W_OK) !== 0 && session.fs.readOnly && isPlain) return EROFS;
  const caller = callerOf(session, call, 0);
  return isAllowed(session.attr, caller, mask, session.fs.acls?.allows(inode, caller, mask)) ? OK : EACCES;
}

export function readlink(session: Session, call: Call, inode: Inode): Errno {
  const target = session.fs.readlink(inode);
  if (typeof target === 'number') return target;
  if (OUT_HEADER_SIZE + target.length > call.replyRoom) return session.refuse(call, EIO, 'no room for the target');
  call.replySize = setBytes(call.reply, OUT_HEADER_SIZE, target);
  return OK;
}

export function statfs(session: Session, call: Call): Errno {
  const out = session.statfs;
  const errno = session.fs.statfs(out);
  if (errno !== OK) return errno;
  const { st } = StatfsOut;
  st.blocks.set(call.reply, OUT_HEADER_SIZE, out.blocks);
  st.bfree.set(call.reply, OUT_HEADER_SIZE, out.bfree);
  st.bavail.set(call.reply, OUT_HEADER_SIZE, out.bavail);
  st.files.set(call.reply, OUT_HEADER_SIZE, out.files);
  st.ffree.set(call.reply, OUT_HEADER_SIZE, out.ffree);
  st.bsize.set(call.reply, OUT_HEADER_SIZE, out.bsize);
  st.namelen.set(call.reply, OUT_HEADER_SIZE, out.namelen);
  st.frsize.set(call.reply, OUT_HEADER_SIZE, out.frsize);
  return OK;
}

function isOpen(session: Session, fh: Fh, inode: Inode): boolean {
  return (session.handles.file(fh, inode) ?? session.handles.dir(fh, inode)) !== undefined;
}

/** A client that checks permissions has cleared the bit itself. */
export function mustDropSetgid(session: Session, inode: Inode, caller: Caller): boolean {
  if (!session.options.checksPermissions || session.fs.getattr(inode, session.attr) !== OK) return false;
  return losesSetgid(session.attr, caller);
}

export function readChange(change: AttrChange, request: DataView): void {
  const valid = SetattrIn.valid.get(request, ARGS);
  change.valid = valid;
  if ((valid & FATTR_SIZE) !== 0) change.size = SetattrIn.size.get(request, ARGS);
  if ((valid & FATTR_MODE) !== 0) change.mode = SetattrIn.mode.get(request, ARGS) & 0o7777;
  if ((valid & FATTR_UID) !== 0) change.uid = SetattrIn.uid.get(request, ARGS);
  if ((valid & FATTR_GID) !== 0) change.gid = SetattrIn.gid.get(request, ARGS);
  if ((valid & FATTR_ATIME) !== 0) change.atime = SetattrIn.atime.get(request, ARGS);
  if ((valid & FATTR_MTIME) !== 0) change.mtime = SetattrIn.mtime.get(request, ARGS);
  if ((valid & FATTR_CTIME) !== 0) change.ctime = SetattrIn.ctime.get(request, ARGS);
  change.atimensec = SetattrIn.atimensec.get(request, ARGS);
  change.mtimensec = SetattrIn.mtimensec.get(request, ARGS);
  change.ctimensec = SetattrIn.ctimensec.get(request, ARGS);
}

function hasGoodTimes(change: AttrChange): boolean {
  const { valid } = change;
  return (
    ((valid & FATTR_ATIME) === 0 || change.atimensec < NSEC_PER_SEC) &&
    ((valid & FATTR_MTIME) === 0 || change.mtimensec < NSEC_PER_SEC) &&
    ((valid & FATTR_CTIME) === 0 || change.ctimensec < NSEC_PER_SEC)
  );
}

/** Nothing is to change: chown(2) of neither owner nor group, or a write(2) that Linux prepares. */
function isEmptyChange(valid: number): boolean {
  return (valid & ~(FATTR_FH | FATTR_CTIME)) === 0;
}

/**
 * It moves ctime and costs the set-ID bits all the same. Only the owner may take those away by chown(2), but the WRITE
 * that may follow does so for anybody: for others nothing happens yet. SPEC: Linux, chown_common, file_remove_privs.
 */
function isForOwnersOnly(session: Session, inode: Inode, caller: Caller): boolean {
  const { attr } = session;
  if (session.fs.getattr(inode, attr) !== OK) return false;
  return lostSetId(attr.mode, attr.gid, caller) !== 0 && checkOwner(attr, caller) !== OK;
}

/** "Now" is the host's now: file systems see plain times only. */
function fillNow(session: Session, change: AttrChange): void {
  if ((change.valid & (FATTR_ATIME_NOW | FATTR_MTIME_NOW)) === 0) return;
  const now = wallClock(session);
  if ((change.valid & FATTR_ATIME_NOW) !== 0) {
    change.valid |= FATTR_ATIME;
    change.atime = now.sec;
    change.atimensec = now.nsec;
  }
  if ((change.valid & FATTR_MTIME_NOW) !== 0) {
    change.valid |= FATTR_MTIME;
    change.mtime = now.sec;
    change.mtimensec = now.nsec;
  }
}

function writeStatx(view: DataView, at: number, attr: Attr): void {
  const { stat } = StatxOut;
  stat.mask.set(view, at, STATX_FILLED);
  stat.blksize.set(view, at, attr.blksize);
  stat.nlink.set(view, at, attr.nlink);
  stat.uid.set(view, at, attr.uid);
  stat.gid.set(view, at, attr.gid);
  stat.mode.set(view, at, attr.mode);
  stat.ino.set(view, at, attr.ino);
  stat.size.set(view, at, attr.size);
  stat.blocks.set(view, at, attr.blocks);
  stat.atime.tv_sec.set(view, at, attr.atime);
  stat.atime.tv_nsec.set(view, at, attr.atimensec);
  stat.btime.tv_sec.set(view, at, attr.btime);
  stat.btime.tv_nsec.set(view, at, attr.btimensec);
  stat.ctime.tv_sec.set(view, at, attr.ctime);
  stat.ctime.tv_nsec.set(view, at, attr.ctimensec);
  stat.mtime.tv_sec.set(view, at, attr.mtime);
  stat.mtime.tv_nsec.set(view, at, attr.mtimensec);
  // SPEC: Linux, new_decode_dev: 12 bits of major, 20 bits of minor in two parts.
  stat.rdev_major.set(view, at, (attr.rdev & 0xfff00) >>> 8);
  stat.rdev_minor.set(view, at, (attr.rdev & 0xff) | ((attr.rdev >>> 12) & 0xfff00));
}
