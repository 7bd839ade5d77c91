/**
 * Linux errno numbers. Inside the project an expected failure is one of these numbers, returned; 0 is OK. Only the
 * guest's system calls turn them into exceptions.
 * SPEC: include/uapi/asm-generic/errno-base.h and errno.h.
 */
import type { Brand } from '../base/brand.ts';

export type Errno = Brand<number, 'Errno'>;

export const OK = 0 as Errno;

export const EPERM = 1 as Errno;
export const ENOENT = 2 as Errno;
export const ESRCH = 3 as Errno;
export const EINTR = 4 as Errno;
export const EIO = 5 as Errno;
export const ENXIO = 6 as Errno;
export const E2BIG = 7 as Errno;
export const ENOEXEC = 8 as Errno;
export const EBADF = 9 as Errno;
export const ECHILD = 10 as Errno;
export const EAGAIN = 11 as Errno;
export const ENOMEM = 12 as Errno;
export const EACCES = 13 as Errno;
export const EFAULT = 14 as Errno;
export const ENOTBLK = 15 as Errno;
export const EBUSY = 16 as Errno;
export const EEXIST = 17 as Errno;
export const EXDEV = 18 as Errno;
export const ENODEV = 19 as Errno;
export const ENOTDIR = 20 as Errno;
export const EISDIR = 21 as Errno;
export const EINVAL = 22 as Errno;
export const ENFILE = 23 as Errno;
export const EMFILE = 24 as Errno;
export const ENOTTY = 25 as Errno;
export const ETXTBSY = 26 as Errno;
export const EFBIG = 27 as Errno;
export const ENOSPC = 28 as Errno;
export const ESPIPE = 29 as Errno;
export const EROFS = 30 as Errno;
export const EMLINK = 31 as Errno;
export const EPIPE = 32 as Errno;
export const EDOM = 33 as Errno;
export const ERANGE = 34 as Errno;
export const EDEADLK = 35 as Errno;
export const ENAMETOOLONG = 36 as Errno;
export const ENOLCK = 37 as Errno;
export const ENOSYS = 38 as Errno;
export const ENOTEMPTY = 39 as Errno;
export const ELOOP = 40 as Errno;
export const ENOMSG = 42 as Errno;
export const EIDRM = 43 as Errno;
export const ECHRNG = 44 as Errno;
export const EL2NSYNC = 45 as Errno;
export const EL3HLT = 46 as Errno;
export const EL3RST = 47 as Errno;
export const ELNRNG = 48 as Errno;
export const EUNATCH = 49 as Errno;
export const ENOCSI = 50 as Errno;
export const EL2HLT = 51 as Errno;
export const EBADE = 52 as Errno;
export const EBADR = 53 as Errno;
export const EXFULL = 54 as Errno;
export const ENOANO = 55 as Errno;
export const EBADRQC = 56 as Errno;
export const EBADSLT = 57 as Errno;
export const EBFONT = 59 as Errno;
export const ENOSTR = 60 as Errno;
export const ENODATA = 61 as Errno;
export const ETIME = 62 as Errno;
export const ENOSR = 63 as Errno;
export const ENONET = 64 as Errno;
export const ENOPKG = 65 as Errno;
export const EREMOTE = 66 as Errno;
export const ENOLINK = 67 as Errno;
export const EADV = 68 as Errno;
export const ESRMNT = 69 as Errno;
export const ECOMM = 70 as Errno;
export const EPROTO = 71 as Errno;
export const EMULTIHOP = 72 as Errno;
export const EDOTDOT = 73 as Errno;
export const EBADMSG = 74 as Errno;
export const EOVERFLOW = 75 as Errno;
export const ENOTUNIQ = 76 as Errno;
export const EBADFD = 77 as Errno;
export const EREMCHG = 78 as Errno;
export const ELIBACC = 79 as Errno;
export const ELIBBAD = 80 as Errno;
export const ELIBSCN = 81 as Errno;
export const ELIBMAX = 82 as Errno;
export const ELIBEXEC = 83 as Errno;
export const EILSEQ = 84 as Errno;
export const ERESTART = 85 as Errno;
export const ESTRPIPE = 86 as Errno;
export const EUSERS = 87 as Errno;
export const ENOTSOCK = 88 as Errno;
export const EDESTADDRREQ = 89 as Errno;
export const EMSGSIZE = 90 as Errno;
export const EPROTOTYPE = 91 as Errno;
export const ENOPROTOOPT = 92 as Errno;
export const EPROTONOSUPPORT = 93 as Errno;
export const ESOCKTNOSUPPORT = 94 as Errno;
export const EOPNOTSUPP = 95 as Errno;
/** POSIX's name for the same number. */
export const ENOTSUP = EOPNOTSUPP;
export const EPFNOSUPPORT = 96 as Errno;
export const EAFNOSUPPORT = 97 as Errno;
export const EADDRINUSE = 98 as Errno;
export const EADDRNOTAVAIL = 99 as Errno;
export const ENETDOWN = 100 as Errno;
export const ENETUNREACH = 101 as Errno;
export const ENETRESET = 102 as Errno;
export const ECONNABORTED = 103 as Errno;
export const ECONNRESET = 104 as Errno;
export const ENOBUFS = 105 as Errno;
export const EISCONN = 106 as Errno;
export const ENOTCONN = 107 as Errno;
export const ESHUTDOWN = 108 as Errno;
export const ETOOMANYREFS = 109 as Errno;
export const ETIMEDOUT = 110 as Errno;
export const ECONNREFUSED = 111 as Errno;
export const EHOSTDOWN = 112 as Errno;
export const EHOSTUNREACH = 113 as Errno;
export const EALREADY = 114 as Errno;
export const EINPROGRESS = 115 as Errno;
export const ESTALE = 116 as Errno;
export const EUCLEAN = 117 as Errno;
export const ENOTNAM = 118 as Errno;
export const ENAVAIL = 119 as Errno;
export const EISNAM = 120 as Errno;
export const EREMOTEIO = 121 as Errno;
export const EDQUOT = 122 as Errno;
export const ENOMEDIUM = 123 as Errno;
export const EMEDIUMTYPE = 124 as Errno;
export const ECANCELED = 125 as Errno;
export const ENOKEY = 126 as Errno;
export const EKEYEXPIRED = 127 as Errno;
export const EKEYREVOKED = 128 as Errno;
export const EKEYREJECTED = 129 as Errno;
export const EOWNERDEAD = 130 as Errno;
export const ENOTRECOVERABLE = 131 as Errno;
export const ERFKILL = 132 as Errno;

/**
 * Name and text of those that a file system, FUSE or a lock can meet, worded as in Node's errors.
 * SPEC: libuv, include/uv.h, UV_ERRNO_MAP; glibc for what libuv does not name.
 */
const NAMES: Readonly<Record<number, string>> = {
  1: 'EPERM operation not permitted',
  2: 'ENOENT no such file or directory',
  3: 'ESRCH no such process',
  4: 'EINTR interrupted system call',
  5: 'EIO i/o error',
  6: 'ENXIO no such device or address',
  7: 'E2BIG argument list too long',
  9: 'EBADF bad file descriptor',
  11: 'EAGAIN resource temporarily unavailable',
  12: 'ENOMEM not enough memory',
  13: 'EACCES permission denied',
  14: 'EFAULT bad address in system call argument',
  15: 'ENOTBLK block device required',
  16: 'EBUSY resource busy or locked',
  17: 'EEXIST file already exists',
  18: 'EXDEV cross-device link not permitted',
  19: 'ENODEV no such device',
  20: 'ENOTDIR not a directory',
  21: 'EISDIR illegal operation on a directory',
  22: 'EINVAL invalid argument',
  23: 'ENFILE file table overflow',
  24: 'EMFILE too many open files',
  25: 'ENOTTY inappropriate ioctl for device',
  26: 'ETXTBSY text file is busy',
  27: 'EFBIG file too large',
  28: 'ENOSPC no space left on device',
  29: 'ESPIPE invalid seek',
  30: 'EROFS read-only file system',
  31: 'EMLINK too many links',
  32: 'EPIPE broken pipe',
  34: 'ERANGE result too large',
  35: 'EDEADLK resource deadlock avoided',
  36: 'ENAMETOOLONG name too long',
  37: 'ENOLCK no locks available',
  38: 'ENOSYS function not implemented',
  39: 'ENOTEMPTY directory not empty',
  40: 'ELOOP too many symbolic links encountered',
  61: 'ENODATA no data available',
  71: 'EPROTO protocol error',
  74: 'EBADMSG bad message',
  75: 'EOVERFLOW value too large for defined data type',
  84: 'EILSEQ illegal byte sequence',
  90: 'EMSGSIZE message too long',
  95: 'ENOTSUP operation not supported on socket',
  103: 'ECONNABORTED software caused connection abort',
  104: 'ECONNRESET connection reset by peer',
  105: 'ENOBUFS no buffer space available',
  107: 'ENOTCONN socket is not connected',
  108: 'ESHUTDOWN cannot send after transport endpoint shutdown',
  110: 'ETIMEDOUT connection timed out',
  111: 'ECONNREFUSED connection refused',
  114: 'EALREADY connection already in progress',
  115: 'EINPROGRESS operation now in progress',
  116: 'ESTALE stale file handle',
  117: 'EUCLEAN structure needs cleaning',
  121: 'EREMOTEIO remote I/O error',
  122: 'EDQUOT disk quota exceeded',
  125: 'ECANCELED operation canceled',
};

/** Returns `ENOENT` for 2; numbers that no file system has as `E133`-like text. 95 is `ENOTSUP`, as Node calls it. */
export function errnoName(errno: number): string {
  const row = NAMES[errno];
  if (row === undefined) return errno === 0 ? 'OK' : `E${errno}`;
  return row.slice(0, row.indexOf(' '));
}

/** Returns the sentence that goes with an errno, in lower case as Node words it. */
export function errnoText(errno: number): string {
  const row = NAMES[errno];
  return row === undefined ? 'unknown error' : row.slice(row.indexOf(' ') + 1);
}
