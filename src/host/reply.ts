/** Parts that several replies share, written in place. */
import type { Timespec } from '../base/clock.ts';
import { type Errno, OK } from '../wire/errno.ts';
import { FUSE_ATTR_FLAGS } from '../wire/flags.ts';
import { AttrOut, EntryOut, OpenOut } from '../wire/fuse.ts';
import { type Fh, OUT_HEADER_SIZE } from '../wire/ids.ts';
import { S_IFREG } from '../wire/mode.ts';
import type { Call } from './call.ts';
import type { FileSystem } from './file-system.ts';
import type { Attr, Inode } from './inode.ts';
import type { Session } from './session.ts';

type AttrFields = typeof AttrOut.attr;

/** Writes an entry for `inode` at `at` and counts the lookup; on an error nothing is counted. */
export function writeEntry(session: Session, view: DataView, at: number, inode: Inode): Errno {
  session.lookups.add(inode);
  const errno = markDax(session, inode, readEntryAttr(session.fs, inode, session.attr));
  if (errno !== OK) {
    session.lookups.forget(inode.nodeid, 1);
    return errno;
  }
  EntryOut.nodeid.set(view, at, inode.nodeid);
  EntryOut.generation.set(view, at, 0);
  EntryOut.entry_valid.set(view, at, session.options.entryTimeoutMs / 1000);
  EntryOut.entry_valid_nsec.set(view, at, nanoseconds(session.options.entryTimeoutMs));
  EntryOut.attr_valid.set(view, at, session.options.attrTimeoutMs / 1000);
  EntryOut.attr_valid_nsec.set(view, at, nanoseconds(session.options.attrTimeoutMs));
  writeAttr(EntryOut.attr, view, at, session.attr);
  return OK;
}

export function replyEntry(session: Session, call: Call, inode: Inode): Errno {
  return writeEntry(session, call.reply, OUT_HEADER_SIZE, inode);
}

/** "There is no such name, and you may remember that": nodeid 0. The rest of the entry is zero already. */
export function replyNegativeEntry(session: Session, call: Call): Errno {
  const { negativeTimeoutMs } = session.options;
  EntryOut.entry_valid.set(call.reply, OUT_HEADER_SIZE, negativeTimeoutMs / 1000);
  EntryOut.entry_valid_nsec.set(call.reply, OUT_HEADER_SIZE, nanoseconds(negativeTimeoutMs));
  return OK;
}

export function replyAttr(session: Session, call: Call, inode: Inode): Errno {
  const errno = readAttr(session, inode);
  if (errno !== OK) return errno;
  AttrOut.attr_valid.set(call.reply, OUT_HEADER_SIZE, session.options.attrTimeoutMs / 1000);
  AttrOut.attr_valid_nsec.set(call.reply, OUT_HEADER_SIZE, nanoseconds(session.options.attrTimeoutMs));
  writeAttr(AttrOut.attr, call.reply, OUT_HEADER_SIZE, session.attr);
  return OK;
}

export function writeOpenOut(view: DataView, at: number, fh: Fh, openFlags: number): void {
  OpenOut.fh.set(view, at, fh);
  OpenOut.open_flags.set(view, at, openFlags);
}

/** Reads the attributes of `inode` into `session.attr`, with the flags the client asked for at INIT. */
export function readAttr(session: Session, inode: Inode): Errno {
  return markDax(session, inode, session.fs.getattr(inode, session.attr));
}

function readEntryAttr(fs: FileSystem, inode: Inode, attr: Attr): Errno {
  return fs.entryAttr === undefined ? fs.getattr(inode, attr) : fs.entryAttr(inode, attr);
}

function markDax(session: Session, inode: Inode, errno: Errno): Errno {
  if (errno !== OK) return errno;
  const { attr } = session;
  const isDax = inode.type === S_IFREG && session.negotiated.has('FUSE_HAS_INODE_DAX') && session.options.usesDax(attr);
  if (isDax) attr.flags |= FUSE_ATTR_FLAGS.FUSE_ATTR_DAX;
  return OK;
}

/** Reads the wall clock into the session's own timespec. */
export function wallClock(session: Session): Readonly<Timespec> {
  session.host.clock.realtime(session.now);
  return session.now;
}

export function nanoseconds(timeoutMs: number): number {
  return Number.isFinite(timeoutMs) ? Math.floor((timeoutMs % 1000) * 1e6) : 0;
}

function writeAttr(fields: AttrFields, view: DataView, at: number, attr: Attr): void {
  fields.ino.set(view, at, attr.ino);
  fields.size.set(view, at, attr.size);
  fields.blocks.set(view, at, attr.blocks);
  fields.atime.set(view, at, attr.atime);
  fields.mtime.set(view, at, attr.mtime);
  fields.ctime.set(view, at, attr.ctime);
  fields.atimensec.set(view, at, attr.atimensec);
  fields.mtimensec.set(view, at, attr.mtimensec);
  fields.ctimensec.set(view, at, attr.ctimensec);
  fields.mode.set(view, at, attr.mode);
  fields.nlink.set(view, at, attr.nlink);
  fields.uid.set(view, at, attr.uid);
  fields.gid.set(view, at, attr.gid);
  fields.rdev.set(view, at, attr.rdev);
  fields.blksize.set(view, at, attr.blksize);
  fields.flags.set(view, at, attr.flags);
}
