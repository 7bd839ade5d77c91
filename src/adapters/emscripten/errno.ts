/** Emscripten's C library has WASI's error numbers, and some of its own above them. */
import * as e from '../../wire/errno.ts';

/** In WASI's order: the first is 1. */
const IN_ORDER: readonly number[] = [
  ...[e.E2BIG, e.EACCES, e.EADDRINUSE, e.EADDRNOTAVAIL, e.EAFNOSUPPORT, e.EAGAIN, e.EALREADY, e.EBADF, e.EBADMSG],
  ...[e.EBUSY, e.ECANCELED, e.ECHILD, e.ECONNABORTED, e.ECONNREFUSED, e.ECONNRESET, e.EDEADLK, e.EDESTADDRREQ, e.EDOM],
  ...[e.EDQUOT, e.EEXIST, e.EFAULT, e.EFBIG, e.EHOSTUNREACH, e.EIDRM, e.EILSEQ, e.EINPROGRESS, e.EINTR, e.EINVAL],
  ...[e.EIO, e.EISCONN, e.EISDIR, e.ELOOP, e.EMFILE, e.EMLINK, e.EMSGSIZE, e.EMULTIHOP, e.ENAMETOOLONG, e.ENETDOWN],
  ...[e.ENETRESET, e.ENETUNREACH, e.ENFILE, e.ENOBUFS, e.ENODEV, e.ENOENT, e.ENOEXEC, e.ENOLCK, e.ENOLINK, e.ENOMEM],
  ...[e.ENOMSG, e.ENOPROTOOPT, e.ENOSPC, e.ENOSYS, e.ENOTCONN, e.ENOTDIR, e.ENOTEMPTY, e.ENOTRECOVERABLE, e.ENOTSOCK],
  ...[e.EOPNOTSUPP, e.ENOTTY, e.ENXIO, e.EOVERFLOW, e.EOWNERDEAD, e.EPERM, e.EPIPE, e.EPROTO, e.EPROTONOSUPPORT],
  ...[e.EPROTOTYPE, e.ERANGE, e.EROFS, e.ESPIPE, e.ESRCH, e.ESTALE, e.ETIMEDOUT, e.ETXTBSY, e.EXDEV],
];
const CODES = new Map(IN_ORDER.map((errno, index) => [errno, index + 1]));
// WASI has one number for ENOTSUP and EOPNOTSUPP; Emscripten's C library has its own for the second.
CODES.set(e.EOPNOTSUPP, 138);
CODES.set(e.ENODATA, 116);

/** Returns the number that programs know; what they have no number for is EIO. `errno` may be negated, as calls do. */
export function codeOf(errno: number): number {
  if (errno === 0) return 0;
  return CODES.get(Math.abs(errno)) ?? (CODES.get(e.EIO) as number);
}
