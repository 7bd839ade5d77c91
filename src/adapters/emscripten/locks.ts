/** fcntl(2) and flock(2) on a stream of ours: struct flock in the program's memory, and what it says to the guest. */
import { findLock, type LockType } from '../../guest/lock-calls.ts';
import { EBADF, EINVAL, EOVERFLOW } from '../../wire/errno.ts';
import { F_RDLCK, F_UNLCK, F_WRLCK, SEEK_CUR, SEEK_END, SEEK_SET } from '../../wire/mode.ts';
import type { FsStream } from './module.ts';
import type { Mounted } from './mounted.ts';

const F_GETLK = 12;
const F_SETLK = 13;
const F_SETLKW = 14;
const F_OFD_GETLK = 36;
const F_OFD_SETLK = 37;
const F_OFD_SETLKW = 38;
/** Ours: flock(2), which Emscripten's C library answers without asking anybody. Its argument is flock's. */
export const F_FLOCK = 0x7666;

export const LOCK_COMMANDS: ReadonlySet<number> = new Set([
  ...[F_GETLK, F_SETLK, F_SETLKW, F_OFD_GETLK, F_OFD_SETLK, F_OFD_SETLKW, F_FLOCK],
]);

const LOCK_SH = 1;
const LOCK_EX = 2;
const LOCK_NB = 4;
const LOCK_UN = 8;

/** struct flock of 32-bit musl: l_type, l_whence (16 bits each), l_start, l_len (64 bits each), l_pid. */
const WHENCE = 2;
const START = 8;
const LENGTH = 16;
const PID = 24;

const TYPES = new Map<number, LockType>([
  [F_RDLCK, 'shared'],
  [F_WRLCK, 'exclusive'],
  [F_UNLCK, 'unlock'],
]);

interface Range {
  readonly type: LockType;
  readonly start: number;
  readonly length: number;
}

/** Returns 0 or −errno (the host's number). `at` is the address of a struct flock, or flock's own argument. */
export function lockCall(mounted: Mounted, stream: FsStream, command: number, at: number): number {
  if (command === F_FLOCK) return flock(mounted, stream, at);
  const { HEAPU8 } = mounted.module;
  const view = new DataView(HEAPU8.buffer, HEAPU8.byteOffset, HEAPU8.byteLength);
  const range = readRange(mounted, stream, view, at);
  if (typeof range === 'number') return -range;
  const owner = command >= F_OFD_GETLK ? 'file' : 'process';
  if (command === F_GETLK || command === F_OFD_GETLK) return getlk(mounted, stream, view, at, range, owner);
  const wait = command === F_SETLKW || command === F_OFD_SETLKW;
  return atBorder(mounted, stream, range.type, () =>
    mounted.program.lock(mounted.fd(stream), { ...range, owner, wait }),
  );
}

function flock(mounted: Mounted, stream: FsStream, operation: number): number {
  const what = operation & ~LOCK_NB;
  const type = what === LOCK_SH ? 'shared' : what === LOCK_EX ? 'exclusive' : what === LOCK_UN ? 'unlock' : undefined;
  if (type === undefined) return -EINVAL;
  const wait = (operation & LOCK_NB) === 0;
  return atBorder(mounted, stream, type, () => mounted.program.flock(mounted.fd(stream), type, { wait }));
}

/** Mappings tell before a lock goes, and hear after one has come. */
function atBorder(mounted: Mounted, stream: FsStream, type: LockType, call: () => number): number {
  const { program, mappings } = mounted;
  const inode = program.file(mounted.fd(stream))?.inode;
  if (inode === undefined) return call();
  const told = type === 'unlock' ? mappings.exchange(program, inode) : 0;
  const outcome = call();
  if (outcome < 0) return outcome;
  return type === 'unlock' ? told : mappings.exchange(program, inode);
}

function getlk(
  mounted: Mounted,
  stream: FsStream,
  view: DataView,
  at: number,
  { type, start, length }: Range,
  owner: 'file' | 'process',
): number {
  const { program } = mounted;
  const file = program.file(mounted.fd(stream));
  if (file === undefined) return -EBADF;
  if (type === 'unlock') return -EINVAL;
  const found = program.as(() => findLock(file, type, { start, length, owner }));
  if (typeof found === 'number') return -found;
  view.setInt16(at, found === undefined ? F_UNLCK : found.type === 'shared' ? F_RDLCK : F_WRLCK, true);
  if (found === undefined) return 0;
  view.setInt16(at + WHENCE, SEEK_SET, true);
  view.setBigInt64(at + START, BigInt(found.start), true);
  view.setBigInt64(at + LENGTH, BigInt(found.length), true);
  view.setInt32(at + PID, found.pid, true);
  return 0;
}

function readRange(mounted: Mounted, stream: FsStream, view: DataView, at: number): Range | number {
  const type = TYPES.get(view.getInt16(at, true));
  const whence = view.getInt16(at + WHENCE, true);
  const length = Number(view.getBigInt64(at + LENGTH, true));
  let start = Number(view.getBigInt64(at + START, true));
  if (type === undefined || whence < SEEK_SET || whence > SEEK_END) return EINVAL;
  if (whence === SEEK_CUR) start += stream.position;
  if (whence === SEEK_END) start += mounted.stat(mounted.program.fstat(mounted.fd(stream))).size;
  // SPEC: fcntl(2): a negative length is the bytes before the start.
  if (length < 0) start += length;
  if (start < 0) return EINVAL;
  return Number.isSafeInteger(start + Math.abs(length)) ? { type, start, length: Math.abs(length) } : EOVERFLOW;
}
