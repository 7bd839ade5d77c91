/** Loops around read(2) and write(2): bytes between the host's memory and a descriptor. */
import { readSync, writeSync, writevSync } from 'node:fs';
import type { SegmentList } from '../../virtio/chain.ts';
import { type Errno, OK } from '../../wire/errno.ts';
import { errnoOf } from './errors.ts';

/** Most buffers that one writev(2) takes. SPEC: limits.h, UIO_MAXIOV. */
const MAX_VECTORS = 1024;
/** Zeros are written in pieces of this size. */
const ZERO_SIZE = 64 * 1024;

/** Reads until `size` bytes are there or the file ends; returns how many there were. */
export function readAll(fd: number, memory: Uint8Array, at: number, size: number, pos: number): number {
  let done = 0;
  while (done < size) {
    const got = readSync(fd, memory, at + done, size - done, pos + done);
    if (got === 0) break;
    done += got;
  }
  return done;
}

/**
 * Writes all bytes, or fewer if some were written before it failed; throws if none were, unless `some` says that the
 * caller has written some before.
 */
export function writeAll(fd: number, memory: Uint8Array, at: number, size: number, pos: number, some = false): number {
  let done = 0;
  while (done < size) {
    const put = tryWrite(fd, memory, at + done, size - done, pos + done, some || done > 0);
    if (put <= 0) break;
    done += put;
  }
  return done;
}

/** Writes all segments, or fewer bytes if some were written before it failed; throws if none were. */
export function writeSegments(fd: number, memory: Uint8Array, from: SegmentList, pos: number): number {
  if (from.count === 0) return 0;
  if (from.count === 1) return writeAll(fd, memory, from.at(0), from.size, pos);
  let done = 0;
  if (from.count <= MAX_VECTORS) {
    done = writevSync(fd, viewsOf(memory, from), pos);
    if (done === from.size) return done;
  }
  return writeRest(fd, memory, from, pos, done);
}

/** Writes `size` zeros at `pos`. */
export function writeZeros(fd: number, pos: number, size: number): Errno {
  const zeros = new Uint8Array(Math.min(size, ZERO_SIZE));
  for (let done = 0; done < size; ) {
    try {
      done += writeSync(fd, zeros, 0, Math.min(zeros.length, size - done), pos + done);
    } catch (error) {
      return errnoOf(error);
    }
  }
  return OK;
}

function viewsOf(memory: Uint8Array, from: SegmentList): Uint8Array[] {
  const views: Uint8Array[] = [];
  for (let i = 0; i < from.count; i++) views.push(memory.subarray(from.at(i), from.at(i) + from.length(i)));
  return views;
}

function writeRest(fd: number, memory: Uint8Array, from: SegmentList, pos: number, written: number): number {
  let done = written;
  let start = 0;
  for (let i = 0; i < from.count; i++) {
    const end = start + from.length(i);
    if (done < end) {
      const put = writeAll(fd, memory, from.at(i) + done - start, end - done, pos + done, done > 0);
      done += put;
      if (done < end) return done;
    }
    start = end;
  }
  return done;
}

/** One write(2). A failure after some bytes were written is a short count: the caller hears the reason next time. */
function tryWrite(fd: number, memory: Uint8Array, at: number, size: number, pos: number, some: boolean): number {
  try {
    return writeSync(fd, memory, at, size, pos);
  } catch (error) {
    if (!some) throw error;
    errnoOf(error);
    return -1;
  }
}
