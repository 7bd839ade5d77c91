/** Calls about one descriptor, but for its data. */
import { EFBIG, EINVAL, EOPNOTSUPP } from '../../wire/errno.ts';
import { O_APPEND, O_DSYNC, O_NONBLOCK, O_SYNC } from '../../wire/mode.ts';
import * as a from './abi.ts';
import { position } from './io-calls.ts';
import { errnoOf, type Program } from './program.ts';
import { putFilestat, putStreamStat, streamType, timeChanges } from './stat.ts';
import { type Entry, type FileEntry, isFile } from './table.ts';

const { R } = a;

export function fd_advise(program: Program, fd: number, _pos: bigint, _size: bigint, advice: number): number {
  const entry = program.file(fd, R.FD_ADVISE, a.SPIPE);
  if (typeof entry === 'number') return entry;
  if (entry.isDirectory) return a.BADF;
  // The host reads ahead by what it sees.
  return advice >>> 0 > a.ADVICE_MAX ? a.INVAL : a.SUCCESS;
}

export function fd_allocate(program: Program, fd: number, pos: bigint, size: bigint): number {
  const entry = program.file(fd, R.FD_ALLOCATE, a.SPIPE);
  if (typeof entry === 'number') return entry;
  const start = position(pos);
  const count = position(size);
  if (count === 0) return a.INVAL;
  if (start + count > Number.MAX_SAFE_INTEGER) return a.wasiErrno(EFBIG);
  const { owner, fd: own } = entry;
  const n = owner.fallocate(own, 0, start, count);
  return n === -EOPNOTSUPP ? extend(entry, start + count) : errnoOf(n);
}

export function fd_close(program: Program, fd: number): number {
  const entry = program.table.remove(fd);
  return entry === undefined ? a.BADF : closeEntry(entry);
}

export function fd_datasync(program: Program, fd: number): number {
  return sync(program, fd, R.FD_DATASYNC, true);
}

export function fd_sync(program: Program, fd: number): number {
  return sync(program, fd, R.FD_SYNC, false);
}

export function fd_fdstat_get(program: Program, fd: number, result: number): number {
  const entry = program.entry(fd, 0);
  if (typeof entry === 'number') return entry;
  const at = result >>> 0;
  const { ram } = program;
  if (!ram.has(at, a.FDSTAT_SIZE)) return a.FAULT;
  const type = isFile(entry) ? fileTypeOf(entry) : streamType(entry);
  if (type < 0) return errnoOf(type);
  ram.bytes.fill(0, at, at + a.FDSTAT_SIZE);
  ram.view.setUint8(at, type);
  ram.view.setUint16(at + 2, flagsOf(entry), true);
  ram.setU64(at + 8, entry.base);
  ram.setU64(at + 16, entry.inheriting);
  return a.SUCCESS;
}

export function fd_fdstat_set_flags(program: Program, fd: number, flags: number): number {
  const entry = program.entry(fd, R.FD_FDSTAT_SET_FLAGS);
  if (typeof entry === 'number') return entry;
  if ((flags & ~a.FDFLAGS_ALL) !== 0) return a.INVAL;
  entry.isNonblocking = (flags & a.FDFLAGS_NONBLOCK) !== 0;
  const file = isFile(entry) ? entry.owner.file(entry.fd) : undefined;
  if (file !== undefined) file.flags = (file.flags & ~(O_APPEND | O_SYNC | O_DSYNC)) | openFlagsOf(flags);
  return a.SUCCESS;
}

/** Rights are only ever given up. */
export function fd_fdstat_set_rights(program: Program, fd: number, base: bigint, inheriting: bigint): number {
  const entry = program.entry(fd, 0);
  if (typeof entry === 'number') return entry;
  const [ours, theirs] = [BigInt.asUintN(64, base), BigInt.asUintN(64, inheriting)];
  if ((ours & ~BigInt(entry.base)) !== 0n || (theirs & ~BigInt(entry.inheriting)) !== 0n) return a.NOTCAPABLE;
  entry.base = Number(ours);
  entry.inheriting = Number(theirs);
  return a.SUCCESS;
}

export function fd_filestat_get(program: Program, fd: number, result: number): number {
  const entry = program.entry(fd, R.FD_FILESTAT_GET);
  if (typeof entry === 'number') return entry;
  const at = result >>> 0;
  if (!program.ram.has(at, a.FILESTAT_SIZE)) return a.FAULT;
  if (!isFile(entry)) {
    putStreamStat(program.ram, at, entry);
    return a.SUCCESS;
  }
  const inode = entry.owner.fstat(entry.fd);
  if (typeof inode === 'number') return a.wasiErrno(inode);
  putFilestat(program.ram, at, inode);
  return a.SUCCESS;
}

export function fd_filestat_set_size(program: Program, fd: number, size: bigint): number {
  const entry = program.file(fd, R.FD_FILESTAT_SET_SIZE, a.INVAL);
  if (typeof entry === 'number') return entry;
  const wanted = position(size);
  if (wanted > Number.MAX_SAFE_INTEGER) return a.wasiErrno(EFBIG);
  return errnoOf(entry.owner.ftruncate(entry.fd, wanted));
}

export function fd_filestat_set_times(program: Program, fd: number, atim: bigint, mtim: bigint, flags: number): number {
  const entry = program.file(fd, R.FD_FILESTAT_SET_TIMES, a.INVAL);
  if (typeof entry === 'number') return entry;
  const times = timeChanges(atim, mtim, flags);
  return times === undefined ? a.INVAL : errnoOf(entry.owner.futimens(entry.fd, ...times));
}

export function fd_prestat_get(program: Program, fd: number, result: number): number {
  const entry = program.entry(fd, 0);
  if (typeof entry === 'number') return entry;
  const at = result >>> 0;
  if (!isFile(entry) || entry.preopen === undefined) return a.BADF;
  if (!program.ram.has(at, a.PRESTAT_SIZE)) return a.FAULT;
  program.ram.view.setUint32(at, 0, true);
  return program.ram.put32(at + 4, entry.preopen.length);
}

export function fd_prestat_dir_name(program: Program, fd: number, path: number, size: number): number {
  const entry = program.entry(fd, 0);
  if (typeof entry === 'number') return entry;
  const { ram } = program;
  if (!isFile(entry) || entry.preopen === undefined) return a.BADF;
  if (!ram.has(path >>> 0, size >>> 0)) return a.FAULT;
  if (size >>> 0 < entry.preopen.length) return a.NAMETOOLONG;
  ram.bytes.set(entry.preopen, path >>> 0);
  return a.SUCCESS;
}

/** A preopened directory keeps its number: programs remember which path it stands for. */
export function fd_renumber(program: Program, from: number, to: number): number {
  const { table } = program;
  const [one, other] = [table.get(from), table.get(to)];
  if (one === undefined || other === undefined) return a.BADF;
  if (isPreopen(one) || isPreopen(other)) return a.NOTSUP;
  if (from === to) return a.SUCCESS;
  table.move(from, to);
  closeEntry(other);
  return a.SUCCESS;
}

export function fd_seek(program: Program, fd: number, offset: bigint, whence: number, result: number): number {
  const entry = seekable(program, fd, R.FD_SEEK);
  if (typeof entry === 'number') return entry;
  if (!program.ram.has(result >>> 0, 8)) return a.FAULT;
  if (whence >>> 0 > 2) return a.INVAL;
  return seek(program, entry, Number(BigInt.asIntN(64, offset)), whence, result >>> 0);
}

export function fd_tell(program: Program, fd: number, result: number): number {
  const entry = seekable(program, fd, R.FD_TELL);
  if (typeof entry === 'number') return entry;
  if (!program.ram.has(result >>> 0, 8)) return a.FAULT;
  return seek(program, entry, 0, 1, result >>> 0);
}

/** Linux's open flags for the fdflags that a file can have. */
export function openFlagsOf(flags: number): number {
  return (
    ((flags & a.FDFLAGS_APPEND) !== 0 ? O_APPEND : 0) |
    ((flags & a.FDFLAGS_DSYNC) !== 0 ? O_DSYNC : 0) |
    ((flags & (a.FDFLAGS_SYNC | a.FDFLAGS_RSYNC)) !== 0 ? O_SYNC : 0)
  );
}

function closeEntry(entry: Entry): number {
  return isFile(entry) ? errnoOf(entry.owner.close(entry.fd)) : a.SUCCESS;
}

function isPreopen(entry: Entry): boolean {
  return isFile(entry) && entry.preopen !== undefined;
}

function sync(program: Program, fd: number, right: number, dataOnly: boolean): number {
  const entry = program.file(fd, right, a.INVAL);
  return typeof entry === 'number' ? entry : errnoOf(entry.owner.fsync(entry.fd, dataOnly));
}

/** A stream's position is no matter of rights: SPEC: wasi-libc, isatty, tells terminals by the lack of them. */
function seekable(program: Program, fd: number, right: number): FileEntry | number {
  const entry = program.table.get(fd);
  return entry !== undefined && !isFile(entry) ? a.SPIPE : program.file(fd, right, a.SPIPE);
}

function seek({ ram }: Program, { owner, fd }: FileEntry, offset: number, whence: number, at: number): number {
  if (!Number.isSafeInteger(offset)) return a.wasiErrno(EINVAL);
  const pos = owner.lseek(fd, offset, whence);
  return pos < 0 ? a.wasiErrno(pos) : ram.put64(at, BigInt(pos));
}

/** Where the host cannot reserve room, the file is at least made as long as it must become. */
function extend({ owner, fd }: FileEntry, end: number): number {
  const inode = owner.fstat(fd);
  if (typeof inode === 'number') return a.wasiErrno(inode);
  return inode.size >= end ? a.SUCCESS : errnoOf(owner.ftruncate(fd, end));
}

function fileTypeOf({ owner, fd }: FileEntry): number {
  const inode = owner.fstat(fd);
  return typeof inode === 'number' ? -inode : a.fileType(inode.mode);
}

function flagsOf(entry: Entry): number {
  const nonblocking = entry.isNonblocking ? a.FDFLAGS_NONBLOCK : 0;
  if (!isFile(entry)) return nonblocking;
  const flags = Math.max(0, entry.owner.getFlags(entry.fd)) & ~O_NONBLOCK;
  const isSync = (flags & O_SYNC) === O_SYNC;
  return (
    nonblocking |
    ((flags & O_APPEND) !== 0 ? a.FDFLAGS_APPEND : 0) |
    (isSync ? a.FDFLAGS_SYNC : (flags & O_DSYNC) !== 0 ? a.FDFLAGS_DSYNC : 0)
  );
}
