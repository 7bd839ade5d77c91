/** Listing directories. */
import { EBADF, EINVAL, type Errno, OK } from '../wire/errno.ts';
import { FsyncIn, OpenIn, ReadIn, ReleaseIn } from '../wire/fuse.ts';
import { type Fh, OUT_HEADER_SIZE } from '../wire/ids.ts';
import { O_ACCMODE, O_RDONLY } from '../wire/mode.ts';
import type { Call } from './call.ts';
import type { DirentplusSink, DirentSink } from './dir-sinks.ts';
import type { DirStream } from './file-system.ts';
import type { Inode } from './inode.ts';
import { writeOpenOut } from './reply.ts';
import { ARGS, nodeidOf } from './request.ts';
import type { Session } from './session.ts';

const FUSE_FSYNC_FDATASYNC = 1;

export function opendir(session: Session, call: Call, directory: Inode): Errno {
  const flags = OpenIn.flags.get(call.request, ARGS);
  if ((flags & O_ACCMODE) !== O_RDONLY) return EINVAL;
  const stream = session.fs.opendir(directory);
  if (typeof stream === 'number') return stream;
  const fh = session.handles.addDir(directory, flags, stream);
  writeOpenOut(call.reply, OUT_HEADER_SIZE, fh, session.options.opendirFlags);
  return OK;
}

export function readdir(session: Session, call: Call, directory: Inode): Errno {
  const stream = streamOf(session, call, directory);
  if (stream === undefined) return EBADF;
  session.direntSink.begin(call.reply, OUT_HEADER_SIZE, limitOf(call));
  return list(call, stream, session.direntSink);
}

export function readdirplus(session: Session, call: Call, directory: Inode): Errno {
  const stream = streamOf(session, call, directory);
  if (stream === undefined) return EBADF;
  session.direntplusSink.beginIn(directory, call.reply, OUT_HEADER_SIZE, limitOf(call));
  return list(call, stream, session.direntplusSink);
}

/** As RELEASE: the inode may be forgotten already. */
export function releasedir(session: Session, call: Call): Errno {
  const fh = ReleaseIn.fh.get(call.request, ARGS) as Fh;
  const directory = session.host.store.get(nodeidOf(call));
  if (directory === undefined || session.handles.dir(fh, directory) === undefined) return EBADF;
  session.handles.release(fh);
  return OK;
}

export function fsyncdir(session: Session, call: Call, directory: Inode): Errno {
  if (session.handles.dir(FsyncIn.fh.get(call.request, ARGS) as Fh, directory) === undefined) return EBADF;
  return session.fs.fsync(directory, (FsyncIn.fsync_flags.get(call.request, ARGS) & FUSE_FSYNC_FDATASYNC) !== 0);
}

function streamOf(session: Session, call: Call, directory: Inode): DirStream | undefined {
  return session.handles.dir(ReadIn.fh.get(call.request, ARGS) as Fh, directory)?.stream;
}

/** What the client asked for, if it gave the room and we have it. */
function limitOf(call: Call): number {
  const asked = OUT_HEADER_SIZE + ReadIn.size.get(call.request, ARGS);
  return Math.min(asked, call.replyRoom, call.reply.byteLength);
}

/** An error after some entries is found again by the next request; a first entry without room is the client's error. */
function list(call: Call, stream: DirStream, sink: DirentSink | DirentplusSink): Errno {
  const errno = stream.read(ReadIn.offset.get(call.request, ARGS), sink);
  if (sink.at === OUT_HEADER_SIZE) {
    if (errno !== OK) return errno;
    if (sink.isFull) return EINVAL;
  }
  call.replySize = sink.at;
  return OK;
}
