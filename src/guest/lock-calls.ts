/**
 * File locks: fcntl(2) byte ranges, owned by the process (F_SETLK) or by the open file description (F_OFD_SETLK), and
 * flock(2). The host decides; a call that waits is one request that is answered late. All return an Errno.
 */
import { EBADF, EINTR, ENOLCK, EOPNOTSUPP, EOVERFLOW, type Errno, ETIMEDOUT, OK } from '../wire/errno.ts';
import { F_RDLCK, F_UNLCK, F_WRLCK } from '../wire/mode.ts';
import { bytePosition } from './arguments.ts';
import type { OpenFile } from './file.ts';
import { type Lock, TO_END } from './request-locks.ts';

export type LockType = 'shared' | 'exclusive' | 'unlock';

export interface LockWait {
  /** Waits until the lock is free; by default a lock that is taken is EAGAIN at once. */
  readonly wait?: boolean;
  /** Waits no longer than this: ETIMEDOUT. In one thread with the other guests a wait without it never ends. */
  readonly timeoutMs?: number;
}

export interface LockRange {
  /** First byte; default 0. */
  readonly start?: number | bigint;
  /** Bytes; 0, the default, is to the end of the file, however far it grows. */
  readonly length?: number | bigint;
  /**
   * Who has the lock. `process`, the default: the guest as a whole, until it closes any descriptor of the file. `file`:
   * this open file alone, until it is closed.
   */
  readonly owner?: 'process' | 'file';
}

export interface LockOptions extends LockRange, LockWait {
  readonly type: LockType;
}

/** A lock that is in the way. */
export interface LockInfo {
  readonly type: 'shared' | 'exclusive';
  readonly start: number;
  /** 0: to the end of the file. */
  readonly length: number;
  /** −1: an open file has it, not a process. */
  readonly pid: number;
}

const TYPES: Readonly<Record<LockType, number>> = { shared: F_RDLCK, exclusive: F_WRLCK, unlock: F_UNLCK };
/** SPEC: fcntl(2): the pid of a lock that belongs to no process is −1. */
const NO_PID = 0xffff_ffff;

/** fcntl(2), F_SETLK and F_SETLKW. */
export function lockRange(file: OpenFile, options: LockOptions): Errno {
  const lock = rangeLock(file, options, typeOf(options.type));
  if (typeof lock === 'number') return lock;
  const { task } = file.mount;
  const isNoted = lock.owner === task.lockOwner && lock.type !== F_UNLCK;
  // Before it is there: another thread may close the file as soon as it is.
  if (isNoted) task.shared?.noteLocks();
  const errno = set(file, lock, options);
  if (errno === OK && isNoted) task.locked.add(file.inode);
  return errno;
}

/** flock(2) */
export function flockFile(file: OpenFile, type: LockType, options: LockWait): Errno {
  const lock = { owner: file.lockOwner(), isFlock: true, type: typeOf(type), start: 0, end: TO_END, pid: NO_PID };
  file.useFlock();
  return set(file, lock, options);
}

/** fcntl(2), F_GETLK: the lock that would be in the way, undefined if none. */
export function findLock(file: OpenFile, type: LockType, range: LockRange): LockInfo | undefined | Errno {
  const { locks } = file.mount;
  const lock = rangeLock(file, range, typeOf(type));
  if (typeof lock === 'number') return lock;
  const refused = check(file, false);
  const errno = refused === OK ? locks.getlk(file.inode.nodeid, file.fh, lock) : refused;
  if (errno !== OK) return errno;
  const found = locks.conflict();
  if (found === undefined) return undefined;
  const { start, end, pid } = found;
  return {
    type: found.type === F_WRLCK ? 'exclusive' : 'shared',
    start,
    length: end === TO_END ? 0 : end - start + 1,
    pid: pid | 0,
  };
}

function set(file: OpenFile, lock: Lock, { wait, timeoutMs }: LockWait): Errno {
  const { locks } = file.mount;
  const refused = check(file, lock.isFlock);
  if (refused !== OK) return refused;
  // SPEC: fcntl(2): the descriptor must be open for what the lock protects; flock(2) does not mind.
  const isAllowed = lock.isFlock || lock.type === F_UNLCK || (lock.type === F_WRLCK ? file.mayWrite : file.mayRead);
  if (!isAllowed) return EBADF;
  // Who gets the lock next shall see what was written under it.
  if (lock.type !== F_WRLCK) file.mount.pages?.write(file.inode);
  if (!(wait ?? timeoutMs !== undefined)) return locks.setlk(file.inode.nodeid, file.fh, lock);
  const errno = locks.setlkw(file.inode.nodeid, file.fh, lock, timeoutMs ?? Number.POSITIVE_INFINITY);
  return errno === EINTR && timeoutMs !== undefined ? ETIMEDOUT : errno;
}

function check(file: OpenFile, isFlock: boolean): Errno {
  if (!file.isOpen) return EBADF;
  if (!file.inode.isRegular) return EOPNOTSUPP;
  return file.mount.locks.isSupported(isFlock) ? OK : ENOLCK;
}

function rangeLock(file: OpenFile, options: LockRange, type: number): Lock | Errno {
  const start = bytePosition('start', options.start ?? 0);
  const length = bytePosition('length', options.length ?? 0);
  if (length - 1 > TO_END - start) return EOVERFLOW;
  const end = length === 0 ? TO_END : start + length - 1;
  const isProcess = options.owner !== 'file';
  const { task } = file.mount;
  return {
    owner: isProcess ? task.lockOwner : file.lockOwner(),
    isFlock: false,
    type,
    start,
    end,
    pid: isProcess ? task.credentials.pid : NO_PID,
  };
}

function typeOf(type: LockType): number {
  const code = TYPES[type];
  if (code === undefined) throw new TypeError(`a lock is "shared", "exclusive" or "unlock", not ${String(type)}`);
  return code;
}
