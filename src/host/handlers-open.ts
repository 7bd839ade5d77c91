/** Opening, creating and releasing regular files. */
import type { ByteString } from '../base/bytes.ts';
import { EBADF, EEXIST, EINVAL, EISDIR, ELOOP, ENOENT, ENOSYS, ENOTDIR, EROFS, type Errno, OK } from '../wire/errno.ts';
import { FATTR_FLAGS, FOPEN_FLAGS } from '../wire/flags.ts';
import { CreateIn, EntryOut, OpenIn, ReleaseIn } from '../wire/fuse.ts';
import { type Fh, OUT_HEADER_SIZE } from '../wire/ids.ts';
import { checkName } from '../wire/message.ts';
import * as mode from '../wire/mode.ts';
import { sizeOf } from '../wire/struct.ts';
import { createMode } from './acl.ts';
import type { Call } from './call.ts';
import type { Inode } from './inode.ts';
import { writeEntry, writeOpenOut } from './reply.ts';
import { ARGS, callerOf, nodeidOf, stringAt } from './request.ts';
import type { Session } from './session.ts';

/** open_in_flags. SPEC: fuse.h 7.33. */
const FUSE_OPEN_KILL_SUIDGID = 1;
const { FOPEN_KEEP_CACHE } = FOPEN_FLAGS;

export function open(session: Session, call: Call, inode: Inode): Errno {
  const flags = OpenIn.flags.get(call.request, ARGS);
  return openFile(session, call, inode, flags, OpenIn.open_flags.get(call.request, ARGS), OUT_HEADER_SIZE);
}

/** CREATE finds or makes the name and opens it, in one step that no other client can come between. */
export function create(session: Session, call: Call, parent: Inode): Errno {
  const name = stringAt(call, ARGS + sizeOf(CreateIn));
  const errno = checkName(name);
  if (errno !== OK) return errno;
  // Who has just been told that there is no such name is mostly right: then there is no need to look again.
  const { missing } = session;
  if (missing.parent === parent.nodeid && missing.name === name) {
    missing.name = '' as ByteString;
    const errno = make(session, call, parent, name);
    if (errno !== EEXIST) return errno;
  }
  const found = session.fs.lookup(parent, name);
  if (found === ENOENT) return make(session, call, parent, name);
  if (typeof found === 'number') return found;
  const isExclusive = (CreateIn.flags.get(call.request, ARGS) & mode.O_EXCL) !== 0;
  return isExclusive ? EEXIST : enterAndOpen(session, call, found);
}

function make(session: Session, call: Call, parent: Inode, name: ByteString): Errno {
  if (session.fs.readOnly) return EROFS;
  const caller = callerOf(session, call, CreateIn.umask.get(call.request, ARGS));
  const made = session.fs.mknod(parent, name, fileMode(session, call, parent, caller.umask), 0, caller);
  return typeof made === 'number' ? made : enterAndOpen(session, call, made, mode.O_TRUNC);
}

export function tmpfile(session: Session, call: Call, parent: Inode): Errno {
  const caller = callerOf(session, call, CreateIn.umask.get(call.request, ARGS));
  const made = session.fs.tmpfile?.(parent, fileMode(session, call, parent, caller.umask), caller) ?? ENOSYS;
  return typeof made === 'number' ? made : enterAndOpen(session, call, made);
}

/**
 * The handle says which inode: its FORGET travels on another queue and may have come first. The nodeid must still be
 * the handle's, so that a wrong fh closes nobody else's file.
 */
export function release(session: Session, call: Call): Errno {
  const fh = ReleaseIn.fh.get(call.request, ARGS) as Fh;
  const inode = session.host.store.get(nodeidOf(call));
  if (inode === undefined || session.handles.file(fh, inode) === undefined) return EBADF;
  // Whatever was locked through it goes with it, flock locks too: FUSE_RELEASE_FLOCK_UNLOCK says nothing else.
  session.host.locks.releaseHandle(session.locks, inode, fh);
  session.handles.release(fh);
  return OK;
}

function fileMode(session: Session, call: Call, parent: Inode, umask: number): number {
  return mode.S_IFREG | createMode(session.fs, parent, CreateIn.mode.get(call.request, ARGS), umask);
}

/**
 * Writes the reply of CREATE: an entry and an open file; neither without the other. `without`: flags that mean nothing
 * for a file that was made just now; truncating it would cost it the set-id bits it was made with.
 */
function enterAndOpen(session: Session, call: Call, inode: Inode, without = 0): Errno {
  const entered = writeEntry(session, call.reply, OUT_HEADER_SIZE, inode);
  if (entered !== OK) return entered;
  // The access mode and O_TRUNC count; what made the file does not: it may just have been created by this call.
  const flags = CreateIn.flags.get(call.request, ARGS) & ~mode.O_DIRECTORY & ~without;
  const openFlags = CreateIn.open_flags.get(call.request, ARGS);
  const opened = openFile(session, call, inode, flags, openFlags, OUT_HEADER_SIZE + sizeOf(EntryOut));
  if (opened !== OK) session.lookups.forget(inode.nodeid, 1);
  return opened;
}

function openFile(session: Session, call: Call, inode: Inode, asked: number, openFlags: number, outAt: number): Errno {
  const flags = flagsFor(session, asked);
  const allowed = checkOpen(session, inode, flags);
  if (allowed !== OK) return allowed;
  const opened = session.fs.open(inode, flags);
  if (opened !== OK) return opened;
  const truncated = truncateOnOpen(session, call, inode, flags, openFlags);
  if (truncated !== OK) {
    session.fs.release(inode, flags);
    return truncated;
  }
  writeOpenOut(call.reply, outAt, session.handles.addFile(inode, flags), openFlagsOf(session, inode, asked));
  return OK;
}

/** With other clients there may be stores through a window, which change no time. */
function openFlagsOf(session: Session, inode: Inode, flags: number): number {
  const { openFlags, isAlone } = session.options;
  return isAlone && session.fs.keepsCache?.(inode, flags) === true ? openFlags | FOPEN_KEEP_CACHE : openFlags;
}

/** A client that gathers writes reads what is around them first, through whatever handle it has. */
function flagsFor(session: Session, flags: number): number {
  if (!session.negotiated.has('FUSE_WRITEBACK_CACHE')) return flags;
  return (flags & mode.O_ACCMODE) === mode.O_WRONLY ? (flags & ~mode.O_ACCMODE) | mode.O_RDWR : flags;
}

function checkOpen(session: Session, inode: Inode, flags: number): Errno {
  if (inode.type === mode.S_IFDIR) return EISDIR;
  if ((flags & mode.O_DIRECTORY) !== 0) return ENOTDIR;
  if (inode.type === mode.S_IFLNK) return ELOOP;
  if (inode.type !== mode.S_IFREG || (flags & mode.O_ACCMODE) === mode.O_ACCMODE) return EINVAL;
  const isWriting = (flags & mode.O_ACCMODE) !== mode.O_RDONLY || (flags & mode.O_TRUNC) !== 0;
  return session.fs.readOnly && isWriting ? EROFS : OK;
}

/** Without ATOMIC_O_TRUNC the client truncates with a SETATTR of its own. */
function truncateOnOpen(session: Session, call: Call, inode: Inode, flags: number, openFlags: number): Errno {
  if ((flags & mode.O_TRUNC) === 0 || !session.negotiated.has('FUSE_ATOMIC_O_TRUNC')) return OK;
  const { change } = session;
  change.valid = FATTR_FLAGS.FATTR_SIZE;
  if ((openFlags & FUSE_OPEN_KILL_SUIDGID) !== 0) change.valid |= FATTR_FLAGS.FATTR_KILL_SUIDGID;
  change.size = 0;
  return session.fs.setattr(inode, change, callerOf(session, call, 0));
}
