/**
 * Reading and writing: each byte is copied once, between the page it is in and the program's memory.
 *
 * A vector is read or written piece by piece, as if by one call: it ends at the first short piece. Only what goes to
 * the end of a file or into a stream is gathered first, because somebody else may write between two pieces.
 */
import { EFBIG, EINVAL } from '../../wire/errno.ts';
import { O_APPEND } from '../../wire/mode.ts';
import { FAULT, R, SPIPE, SUCCESS, wasiErrno } from './abi.ts';
import type { Program } from './program.ts';
import type { Ram } from './ram.ts';
import type { WasiStream } from './streams.ts';
import { type FileEntry, isFile } from './table.ts';

const GATHER_MAX = 65536;
/** At the position, wherever that is. */
const HERE = -1;

export function fd_read(program: Program, fd: number, iovs: number, count: number, result: number): number {
  return transfer(program, fd, R.FD_READ, iovs, count, HERE, result);
}

export function fd_write(program: Program, fd: number, iovs: number, count: number, result: number): number {
  return transfer(program, fd, R.FD_WRITE, iovs, count, HERE, result);
}

export function fd_pread(p: Program, fd: number, iovs: number, count: number, pos: bigint, result: number): number {
  return transfer(p, fd, R.FD_READ | R.FD_SEEK, iovs, count, position(pos), result);
}

export function fd_pwrite(p: Program, fd: number, iovs: number, count: number, pos: bigint, result: number): number {
  return transfer(p, fd, R.FD_WRITE | R.FD_SEEK, iovs, count, position(pos), result);
}

/** An offset as unsigned; too large a one stays too large. */
export function position(offset: bigint): number {
  return Number(BigInt.asUintN(64, offset));
}

function transfer(
  program: Program,
  fd: number,
  rights: number,
  iovs: number,
  count: number,
  pos: number,
  result: number,
): number {
  const { ram } = program;
  const entry = program.table.get(fd);
  // A stream has no position, whatever its rights.
  if (entry !== undefined && !isFile(entry) && pos !== HERE) return SPIPE;
  const found = program.entry(fd, rights);
  if (typeof found === 'number') return found;
  const errno = ram.iovecs(iovs >>> 0, count >>> 0);
  if (errno !== SUCCESS) return errno;
  if (!ram.has(result >>> 0, 4)) return FAULT;
  const isRead = (rights & R.FD_READ) !== 0;
  const n = isFile(found)
    ? pos > Number.MAX_SAFE_INTEGER
      ? -(isRead ? EINVAL : EFBIG)
      : moveFile(ram, found, isRead, pos)
    : isRead
      ? moveStream(ram, found.stream.read?.bind(found.stream))
      : writeStream(ram, found.stream);
  return n < 0 ? wasiErrno(n) : ram.put32(result >>> 0, n);
}

function moveFile(ram: Ram, entry: FileEntry, isRead: boolean, pos: number): number {
  const { places, sizes, bytes } = ram;
  // Of no length: the errno of a descriptor that cannot do it all the same.
  if (places.length === 0) return moveOnce(entry, isRead, bytes, 0, 0, pos);
  if (!isRead && places.length > 1 && isAppending(entry)) return append(ram, entry, pos);
  let done = 0;
  for (let i = 0; i < places.length; i++) {
    const size = sizes[i] as number;
    const n = moveOnce(entry, isRead, bytes, places[i] as number, size, pos === HERE ? HERE : pos + done);
    if (n < 0) return done > 0 ? done : n;
    done += n;
    if (n < size) break;
  }
  return done;
}

function moveOnce(
  { owner, fd }: FileEntry,
  isRead: boolean,
  bytes: Uint8Array,
  at: number,
  size: number,
  pos: number,
): number {
  if (pos === HERE) return isRead ? owner.read(fd, bytes, at, size) : owner.write(fd, bytes, at, size);
  return isRead ? owner.pread(fd, bytes, at, size, pos) : owner.pwrite(fd, bytes, at, size, pos);
}

function isAppending({ owner, fd }: FileEntry): boolean {
  return ((owner.file(fd)?.flags ?? 0) & O_APPEND) !== 0;
}

function append(ram: Ram, entry: FileEntry, pos: number): number {
  return moveOnce(entry, false, gather(ram), 0, ram.total, pos);
}

function gather(ram: Ram): Uint8Array {
  const gathered = new Uint8Array(ram.total);
  let at = 0;
  for (const [i, place] of ram.places.entries()) {
    const size = ram.sizes[i] as number;
    gathered.set(ram.bytes.subarray(place, place + size), at);
    at += size;
  }
  return gathered;
}

/** A short vector is one write, as writev(2) is: what others write does not come between. */
function writeStream(ram: Ram, stream: WasiStream): number {
  const write = stream.write?.bind(stream);
  const isGathered = ram.places.length > 1 && ram.total <= GATHER_MAX;
  return isGathered && write !== undefined ? write(gather(ram)) : moveStream(ram, write);
}

function moveStream(ram: Ram, move: ((bytes: Uint8Array) => number) | undefined): number {
  if (move === undefined) return -EINVAL;
  let done = 0;
  for (const [i, place] of ram.places.entries()) {
    const size = ram.sizes[i] as number;
    const n = move(ram.bytes.subarray(place, place + size));
    if (n < 0) return done > 0 ? done : n;
    done += n;
    if (n < size) break;
  }
  return done;
}
