/**
 * How system calls fail in this folder: they throw, as node:fs does, and only the public methods of `DirFileSystem`,
 * its streams and its page backing catch; `errnoOf` is the one place that makes numbers of what they caught.
 */
import { EIO, EOPNOTSUPP, type Errno, errnoName, OK } from '../../wire/errno.ts';

const LAST_ERRNO = 133;

/** A failure that we found ourselves, in the shape of node:fs's errors. */
export class DirError extends Error {
  override readonly name = 'DirError';
  readonly code: string;
  readonly errno: number;

  constructor(errno: Errno, what: string) {
    super(`${errnoName(errno)}: ${what}`);
    this.code = errnoName(errno);
    this.errno = -errno;
  }
}

/** For native system calls, which return what went wrong. */
export function throwErrno(errno: Errno, what: string): void {
  if (errno !== OK) throw new DirError(errno, what);
}

/** Returns Linux's number of a failed system call; what is no such failure is our own bug and is thrown again. */
export function errnoOf(error: unknown): Errno {
  const { code, errno } = error as { code?: unknown; errno?: unknown };
  if (!(error instanceof Error) || typeof code !== 'string' || typeof errno !== 'number') throw error;
  if (error instanceof DirError || process.platform === 'linux') {
    if (errno < 0 && errno >= -LAST_ERRNO) return -errno as Errno;
  }
  return numberOf(code);
}

/** Returns true for the failure that `errno` names. */
export function isErrno(error: unknown, errno: Errno): boolean {
  const { code } = error as { code?: unknown };
  return typeof code === 'string' && numberOf(code) === errno;
}

/** Linux has one number for these two. */
const byName = new Map<string, Errno>([
  ['ENOTSUP', EOPNOTSUPP],
  ['EOPNOTSUPP', EOPNOTSUPP],
]);

/** Other systems number their errors differently, but name them alike. */
function numberOf(code: string): Errno {
  if (!byName.has('ENOENT')) {
    for (let errno = 1; errno <= LAST_ERRNO; errno++) byName.set(errnoName(errno), errno as Errno);
  }
  return byName.get(code) ?? EIO;
}
