/**
 * WASI preview 1 as numbers: errno, rights, flags, layouts of what lies in a program's memory.
 * SPEC: WebAssembly/WASI, legacy/preview1, wasi_snapshot_preview1.witx.
 */
import * as e from '../../wire/errno.ts';
import { S_IFBLK, S_IFCHR, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG, S_IFSOCK } from '../../wire/mode.ts';

export const SUCCESS = 0;
export const BADF = 8;
export const FAULT = 21;
export const ILSEQ = 25;
export const INVAL = 28;
const IO = 29;
export const MFILE = 33;
export const NAMETOOLONG = 37;
export const NOSYS = 52;
export const NOTDIR = 54;
export const NOTSOCK = 57;
export const NOTSUP = 58;
export const SPIPE = 70;
export const XDEV = 75;
export const NOTCAPABLE = 76;

/** Linux's names in the order of WASI's numbers, from 1 on; 0 has no Linux number. */
const IN_WASI_ORDER: readonly number[] = [
  ...[e.E2BIG, e.EACCES, e.EADDRINUSE, e.EADDRNOTAVAIL, e.EAFNOSUPPORT, e.EAGAIN, e.EALREADY, e.EBADF, e.EBADMSG],
  ...[e.EBUSY, e.ECANCELED, e.ECHILD, e.ECONNABORTED, e.ECONNREFUSED, e.ECONNRESET, e.EDEADLK, e.EDESTADDRREQ],
  ...[e.EDOM, e.EDQUOT, e.EEXIST, e.EFAULT, e.EFBIG, e.EHOSTUNREACH, e.EIDRM, e.EILSEQ, e.EINPROGRESS, e.EINTR],
  ...[e.EINVAL, e.EIO, e.EISCONN, e.EISDIR, e.ELOOP, e.EMFILE, e.EMLINK, e.EMSGSIZE, e.EMULTIHOP, e.ENAMETOOLONG],
  ...[e.ENETDOWN, e.ENETRESET, e.ENETUNREACH, e.ENFILE, e.ENOBUFS, e.ENODEV, e.ENOENT, e.ENOEXEC, e.ENOLCK],
  ...[e.ENOLINK, e.ENOMEM, e.ENOMSG, e.ENOPROTOOPT, e.ENOSPC, e.ENOSYS, e.ENOTCONN, e.ENOTDIR, e.ENOTEMPTY],
  ...[e.ENOTRECOVERABLE, e.ENOTSOCK, e.EOPNOTSUPP, e.ENOTTY, e.ENXIO, e.EOVERFLOW, e.EOWNERDEAD, e.EPERM, e.EPIPE],
  ...[e.EPROTO, e.EPROTONOSUPPORT, e.EPROTOTYPE, e.ERANGE, e.EROFS, e.ESPIPE, e.ESRCH, e.ESTALE, e.ETIMEDOUT],
  ...[e.ETXTBSY, e.EXDEV],
];
const BY_LINUX = new Map(IN_WASI_ORDER.map((linux, index) => [linux, index + 1]));

/** Returns WASI's number for a Linux errno, negated or not; those that WASI has no name for are `io`. */
export function wasiErrno(errno: number): number {
  const linux = Math.abs(errno);
  return linux === 0 ? SUCCESS : (BY_LINUX.get(linux) ?? IO);
}

/** Rights, by bit. All 30 fit a number, whose sign bit stays free. */
export const R = {
  FD_DATASYNC: 1 << 0,
  FD_READ: 1 << 1,
  FD_SEEK: 1 << 2,
  FD_FDSTAT_SET_FLAGS: 1 << 3,
  FD_SYNC: 1 << 4,
  FD_TELL: 1 << 5,
  FD_WRITE: 1 << 6,
  FD_ADVISE: 1 << 7,
  FD_ALLOCATE: 1 << 8,
  PATH_CREATE_DIRECTORY: 1 << 9,
  PATH_CREATE_FILE: 1 << 10,
  PATH_LINK_SOURCE: 1 << 11,
  PATH_LINK_TARGET: 1 << 12,
  PATH_OPEN: 1 << 13,
  FD_READDIR: 1 << 14,
  PATH_READLINK: 1 << 15,
  PATH_RENAME_SOURCE: 1 << 16,
  PATH_RENAME_TARGET: 1 << 17,
  PATH_FILESTAT_GET: 1 << 18,
  PATH_FILESTAT_SET_SIZE: 1 << 19,
  PATH_FILESTAT_SET_TIMES: 1 << 20,
  FD_FILESTAT_GET: 1 << 21,
  FD_FILESTAT_SET_SIZE: 1 << 22,
  FD_FILESTAT_SET_TIMES: 1 << 23,
  PATH_SYMLINK: 1 << 24,
  PATH_REMOVE_DIRECTORY: 1 << 25,
  PATH_UNLINK_FILE: 1 << 26,
  POLL_FD_READWRITE: 1 << 27,
} as const;

export const RIGHTS_ALL = (1 << 30) - 1;

const RIGHTS_BOTH =
  R.FD_FDSTAT_SET_FLAGS |
  R.FD_SYNC |
  R.FD_DATASYNC |
  R.FD_ADVISE |
  R.FD_FILESTAT_GET |
  R.FD_FILESTAT_SET_TIMES |
  R.POLL_FD_READWRITE;

export const RIGHTS_FILE =
  RIGHTS_BOTH | R.FD_READ | R.FD_SEEK | R.FD_TELL | R.FD_WRITE | R.FD_ALLOCATE | R.FD_FILESTAT_SET_SIZE;

export const RIGHTS_DIRECTORY =
  RIGHTS_BOTH |
  R.PATH_CREATE_DIRECTORY |
  R.PATH_CREATE_FILE |
  R.PATH_LINK_SOURCE |
  R.PATH_LINK_TARGET |
  R.PATH_OPEN |
  R.FD_READDIR |
  R.PATH_READLINK |
  R.PATH_RENAME_SOURCE |
  R.PATH_RENAME_TARGET |
  R.PATH_FILESTAT_GET |
  R.PATH_FILESTAT_SET_SIZE |
  R.PATH_FILESTAT_SET_TIMES |
  R.PATH_SYMLINK |
  R.PATH_REMOVE_DIRECTORY |
  R.PATH_UNLINK_FILE;

export const RIGHTS_STREAM = R.FD_READ | R.FD_WRITE | R.FD_FDSTAT_SET_FLAGS | R.FD_FILESTAT_GET | R.POLL_FD_READWRITE;

export const FDFLAGS_APPEND = 1;
export const FDFLAGS_DSYNC = 2;
export const FDFLAGS_NONBLOCK = 4;
export const FDFLAGS_RSYNC = 8;
export const FDFLAGS_SYNC = 16;
export const FDFLAGS_ALL = 31;

export const OFLAGS_CREAT = 1;
export const OFLAGS_DIRECTORY = 2;
export const OFLAGS_EXCL = 4;
export const OFLAGS_TRUNC = 8;
export const OFLAGS_ALL = 15;

export const LOOKUP_FOLLOW = 1;

export const FST_ATIM = 1;
export const FST_ATIM_NOW = 2;
export const FST_MTIM = 4;
export const FST_MTIM_NOW = 8;
export const FST_ALL = 15;

export const ADVICE_MAX = 5;

export const TYPE_UNKNOWN = 0;
const TYPE_BLOCK_DEVICE = 1;
export const TYPE_CHARACTER_DEVICE = 2;
const TYPE_DIRECTORY = 3;
const TYPE_REGULAR_FILE = 4;
const TYPE_SOCKET_STREAM = 6;
const TYPE_SYMBOLIC_LINK = 7;

/** Returns WASI's filetype for the S_IFMT bits of a mode; it has none for fifos. */
export function fileType(mode: number): number {
  switch (mode & S_IFMT) {
    case S_IFREG:
      return TYPE_REGULAR_FILE;
    case S_IFDIR:
      return TYPE_DIRECTORY;
    case S_IFLNK:
      return TYPE_SYMBOLIC_LINK;
    case S_IFCHR:
      return TYPE_CHARACTER_DEVICE;
    case S_IFBLK:
      return TYPE_BLOCK_DEVICE;
    case S_IFSOCK:
      return TYPE_SOCKET_STREAM;
    default:
      return TYPE_UNKNOWN;
  }
}

export const CLOCK_REALTIME = 0;
export const CLOCK_MONOTONIC = 1;
/** Then the processor times of process and thread. */
export const CLOCK_MAX = 3;

export const IOVEC_SIZE = 8;
/** As Linux's UIO_MAXIOV. */
export const IOVEC_MAX = 1024;
export const FDSTAT_SIZE = 24;
export const FILESTAT_SIZE = 64;
export const DIRENT_SIZE = 24;
export const PRESTAT_SIZE = 8;
export const SUBSCRIPTION_SIZE = 48;
export const EVENT_SIZE = 32;
export const EVENT_CLOCK = 0;
export const EVENT_FD_READ = 1;
export const EVENT_FD_WRITE = 2;
export const CLOCK_ABSTIME = 1;
