/** Requests about open files and directories. Payloads go through memory that both ends reach: see `Channel`. */
import { EIO, ENOSYS, EOPNOTSUPP, type Errno, OK } from '../wire/errno.ts';
import { FSYNC_FLAGS, RELEASE_FLAGS, WRITE_FLAGS } from '../wire/flags.ts';
import * as fuse from '../wire/fuse.ts';
import { type Fh, FUSE_ROOT_ID, type NodeId } from '../wire/ids.ts';
import { OPS } from '../wire/ops.ts';
import { sizeOf } from '../wire/struct.ts';
import { setOwner, writeFlushOwner } from './request-locks.ts';
import type { Session } from './session.ts';

const OPEN_IN_SIZE = sizeOf(fuse.OpenIn);
const OPEN_OUT_SIZE = sizeOf(fuse.OpenOut);
const READ_IN_SIZE = sizeOf(fuse.ReadIn);
const WRITE_IN_SIZE = sizeOf(fuse.WriteIn);
const WRITE_OUT_SIZE = sizeOf(fuse.WriteOut);
const FLUSH_IN_SIZE = sizeOf(fuse.FlushIn);
const RELEASE_IN_SIZE = sizeOf(fuse.ReleaseIn);
const FSYNC_IN_SIZE = sizeOf(fuse.FsyncIn);
const FALLOCATE_IN_SIZE = sizeOf(fuse.FallocateIn);
const LSEEK_IN_SIZE = sizeOf(fuse.LseekIn);
const LSEEK_OUT_SIZE = sizeOf(fuse.LseekOut);
const COPY_IN_SIZE = sizeOf(fuse.CopyFileRangeIn);
const COPY_OUT_SIZE = sizeOf(fuse.CopyFileRangeOut);
const SYNCFS_IN_SIZE = sizeOf(fuse.SyncfsIn);
/** COPY_FILE_RANGE counts in 32 bits; the newer operation does not. */
const COPY_MAX_32 = 0x7fff_f000;

export class FileRequests {
  readonly #session: Session;

  constructor(session: Session) {
    this.#session = session;
  }

  /** Reply: fuse_open_out. `opcode` is OPEN or OPENDIR. */
  open(opcode: number, nodeid: NodeId, flags: number, openFlags: number): Errno {
    const session = this.#session;
    const { view } = session.channel;
    const at = session.begin(opcode, nodeid, OPEN_IN_SIZE, OPEN_OUT_SIZE);
    fuse.OpenIn.flags.set(view, at, flags);
    fuse.OpenIn.open_flags.set(view, at, openFlags);
    return session.call();
  }

  /** Reads into `address`; the count is `channel.received`. */
  read(nodeid: NodeId, fh: Fh, pos: number, size: number, address: number, flags: number): Errno {
    const at = this.#beginRead(OPS.READ.code, nodeid, fh, size, address);
    fuse.ReadIn.offset.set(this.#session.channel.view, at, pos);
    fuse.ReadIn.flags.set(this.#session.channel.view, at, flags);
    return this.#session.call();
  }

  /** Lists into `channel.data` from a cookie, whose 64 bits are given as two words. */
  readdir(opcode: number, nodeid: NodeId, fh: Fh, low: number, high: number, size: number): Errno {
    const { view, data } = this.#session.channel;
    const at = this.#beginRead(opcode, nodeid, fh, size, data);
    view.setUint32(at + fuse.ReadIn.offset.offset, low, true);
    view.setUint32(at + fuse.ReadIn.offset.offset + 4, high, true);
    return this.#session.call();
  }

  /** Writes `size` bytes from `address`; the count is `written`. `fromCache`: dirty pages, at their own place. */
  write(nodeid: NodeId, fh: Fh, pos: number, size: number, address: number, flags: number, fromCache = false): Errno {
    const session = this.#session;
    const { view, request } = session.channel;
    const at = session.begin(OPS.WRITE.code, nodeid, WRITE_IN_SIZE, WRITE_OUT_SIZE);
    fuse.WriteIn.fh.set(view, at, fh);
    fuse.WriteIn.offset.set(view, at, pos);
    fuse.WriteIn.size.set(view, at, size);
    fuse.WriteIn.flags.set(view, at, flags);
    const kills = !fromCache && session.credentials.uid !== 0 && session.has('FUSE_HANDLE_KILLPRIV_V2');
    if (fromCache) fuse.WriteIn.write_flags.set(view, at, WRITE_FLAGS.FUSE_WRITE_CACHE);
    if (kills) fuse.WriteIn.write_flags.set(view, at, WRITE_FLAGS.FUSE_WRITE_KILL_SUIDGID);
    request.dataIn = address;
    request.dataInSize = size;
    return session.call();
  }

  /** Bytes that the last WRITE stored. */
  get written(): number {
    return fuse.WriteOut.size.get(this.#session.channel.view, this.#session.channel.reply);
  }

  /** `owner`: whose record locks on the file go with it. */
  flush(nodeid: NodeId, fh: Fh, owner: number): Errno {
    const session = this.#session;
    if (session.lacks(OPS.FLUSH.code)) return OK;
    const at = session.begin(OPS.FLUSH.code, nodeid, FLUSH_IN_SIZE, 0);
    fuse.FlushIn.fh.set(session.channel.view, at, fh);
    writeFlushOwner(session.channel.view, at, owner);
    return ignoreEnosys(session.call());
  }

  /**
   * RELEASE or RELEASEDIR: posted, because nobody could do anything about its answer. `flockOwner`: who has flock locks
   * that end with it; 0 = nobody.
   */
  release(opcode: number, nodeid: NodeId, fh: Fh, flags: number, flockOwner = 0): void {
    const session = this.#session;
    const { view } = session.channel;
    const at = session.begin(opcode, nodeid, RELEASE_IN_SIZE, 0);
    fuse.ReleaseIn.fh.set(view, at, fh);
    fuse.ReleaseIn.flags.set(view, at, flags);
    setOwner(fuse.ReleaseIn.lock_owner, view, at, flockOwner);
    const releaseFlags = flockOwner === 0 ? 0 : RELEASE_FLAGS.FUSE_RELEASE_FLOCK_UNLOCK;
    fuse.ReleaseIn.release_flags.set(view, at, releaseFlags);
    session.post();
  }

  /** FSYNC or FSYNCDIR. */
  fsync(opcode: number, nodeid: NodeId, fh: Fh, dataOnly: boolean): Errno {
    const session = this.#session;
    if (session.lacks(opcode)) return OK;
    const { view } = session.channel;
    const at = session.begin(opcode, nodeid, FSYNC_IN_SIZE, 0);
    fuse.FsyncIn.fh.set(view, at, fh);
    if (dataOnly) fuse.FsyncIn.fsync_flags.set(view, at, FSYNC_FLAGS.FUSE_FSYNC_FDATASYNC);
    return ignoreEnosys(session.call());
  }

  syncfs(): Errno {
    const session = this.#session;
    if (session.lacks(OPS.SYNCFS.code)) return OK;
    session.begin(OPS.SYNCFS.code, FUSE_ROOT_ID, SYNCFS_IN_SIZE, 0);
    return ignoreEnosys(session.call());
  }

  fallocate(nodeid: NodeId, fh: Fh, mode: number, pos: number, size: number): Errno {
    const session = this.#session;
    if (session.lacks(OPS.FALLOCATE.code)) return EOPNOTSUPP;
    const { view } = session.channel;
    const at = session.begin(OPS.FALLOCATE.code, nodeid, FALLOCATE_IN_SIZE, 0);
    fuse.FallocateIn.fh.set(view, at, fh);
    fuse.FallocateIn.offset.set(view, at, pos);
    fuse.FallocateIn.length.set(view, at, size);
    fuse.FallocateIn.mode.set(view, at, mode);
    const errno = session.call();
    return errno === ENOSYS ? EOPNOTSUPP : errno;
  }

  /** Returns the position, or −errno; −ENOSYS: the caller finds out by itself. */
  lseek(nodeid: NodeId, fh: Fh, pos: number, whence: number): number {
    const session = this.#session;
    if (session.lacks(OPS.LSEEK.code)) return -ENOSYS;
    const { view } = session.channel;
    const at = session.begin(OPS.LSEEK.code, nodeid, LSEEK_IN_SIZE, LSEEK_OUT_SIZE);
    fuse.LseekIn.fh.set(view, at, fh);
    fuse.LseekIn.offset.set(view, at, pos);
    fuse.LseekIn.whence.set(view, at, whence);
    const errno = session.call();
    return errno === OK ? fuse.LseekOut.offset.get(view, session.channel.reply) : -errno;
  }

  /** Copies on the host. Returns the count, or −errno; −ENOSYS: the caller reads and writes. */
  copyFileRange(from: NodeId, fromFh: Fh, pos: number, to: NodeId, toFh: Fh, toPos: number, size: number): number {
    const session = this.#session;
    const isNew = session.minor >= OPS.COPY_FILE_RANGE_64.since && !session.lacks(OPS.COPY_FILE_RANGE_64.code);
    const opcode = isNew ? OPS.COPY_FILE_RANGE_64.code : OPS.COPY_FILE_RANGE.code;
    if (session.lacks(opcode)) return -ENOSYS;
    const { view } = session.channel;
    const at = session.begin(opcode, from, COPY_IN_SIZE, isNew ? COPY_OUT_SIZE : WRITE_OUT_SIZE);
    const length = isNew ? size : Math.min(size, COPY_MAX_32);
    fuse.CopyFileRangeIn.fh_in.set(view, at, fromFh);
    fuse.CopyFileRangeIn.off_in.set(view, at, pos);
    fuse.CopyFileRangeIn.nodeid_out.set(view, at, to);
    fuse.CopyFileRangeIn.fh_out.set(view, at, toFh);
    fuse.CopyFileRangeIn.off_out.set(view, at, toPos);
    fuse.CopyFileRangeIn.len.set(view, at, length);
    const errno = session.call();
    if (errno === ENOSYS && isNew) return this.copyFileRange(from, fromFh, pos, to, toFh, toPos, size);
    if (errno !== OK) return -errno;
    const copied = isNew
      ? fuse.CopyFileRangeOut.bytes_copied.get(view, session.channel.reply)
      : fuse.WriteOut.size.get(view, session.channel.reply);
    return copied <= length ? copied : -EIO;
  }

  #beginRead(opcode: number, nodeid: NodeId, fh: Fh, size: number, address: number): number {
    const session = this.#session;
    const { view, request } = session.channel;
    const at = session.begin(opcode, nodeid, READ_IN_SIZE, 0);
    fuse.ReadIn.fh.set(view, at, fh);
    fuse.ReadIn.size.set(view, at, size);
    request.dataOut = address;
    request.dataOutSize = size;
    return at;
  }
}

function ignoreEnosys(errno: Errno): Errno {
  return errno === ENOSYS ? OK : errno;
}
