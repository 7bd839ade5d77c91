/** Attributes and times, between a guest's inodes and a program's memory. */
import type { TimeChange } from '../../guest/attr-calls.ts';
import type { Inode } from '../../guest/inode.ts';
import * as a from './abi.ts';
import type { Ram } from './ram.ts';
import type { StreamEntry } from './table.ts';

const NSEC_PER_SEC = 1_000_000_000n;

/** Stores a `filestat`; the place was checked. */
export function putFilestat({ bytes, view }: Ram, at: number, inode: Inode): void {
  clearFilestat(bytes, at);
  // One number for all that a guest mounted: paths on two mounts are never compared by the host.
  view.setBigUint64(at, 1n, true);
  view.setBigUint64(at + 8, BigInt(inode.ino), true);
  view.setUint8(at + 16, a.fileType(inode.mode));
  view.setBigUint64(at + 24, BigInt(inode.nlink), true);
  view.setBigUint64(at + 32, BigInt(inode.size), true);
  view.setBigUint64(at + 40, timestamp(inode.atime, inode.atimensec), true);
  view.setBigUint64(at + 48, timestamp(inode.mtime, inode.mtimensec), true);
  view.setBigUint64(at + 56, timestamp(inode.ctime, inode.ctimensec), true);
}

export function putStreamStat({ bytes, view }: Ram, at: number, entry: StreamEntry): void {
  clearFilestat(bytes, at);
  view.setUint8(at + 16, streamType(entry));
}

export function streamType({ stream }: StreamEntry): number {
  return stream.isTerminal === true ? a.TYPE_CHARACTER_DEVICE : a.TYPE_UNKNOWN;
}

/** Nanoseconds since 1970, of which WASI's are unsigned: what was before is 0. */
export function timestamp(sec: number, nsec: number): bigint {
  return sec < 0 ? 0n : BigInt(sec) * NSEC_PER_SEC + BigInt(nsec);
}

/** What utimensat shall do with the two times; undefined: the flags contradict each other. */
export function timeChanges(atim: bigint, mtim: bigint, flags: number): readonly [TimeChange, TimeChange] | undefined {
  if ((flags & ~a.FST_ALL) !== 0) return undefined;
  const atime = timeChange(atim, (flags & a.FST_ATIM) !== 0, (flags & a.FST_ATIM_NOW) !== 0);
  const mtime = timeChange(mtim, (flags & a.FST_MTIM) !== 0, (flags & a.FST_MTIM_NOW) !== 0);
  return atime === undefined || mtime === undefined ? undefined : [atime, mtime];
}

function timeChange(time: bigint, isGiven: boolean, isNow: boolean): TimeChange | undefined {
  if (isGiven && isNow) return undefined;
  if (isNow) return 'now';
  if (!isGiven) return 'omit';
  const ns = BigInt.asUintN(64, time);
  return { sec: Number(ns / NSEC_PER_SEC), nsec: Number(ns % NSEC_PER_SEC) };
}

function clearFilestat(bytes: Uint8Array, at: number): void {
  bytes.fill(0, at, at + a.FILESTAT_SIZE);
}
