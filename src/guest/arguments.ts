/** Turns what programs pass to system calls into what the calls inside take. Throws TypeError and RangeError. */

import * as m from '../wire/mode.ts';
import type { TimeChange } from './attr-calls.ts';

export type PathLike = string | Uint8Array;

/**
 * A time to set: seconds (number, as in Node), exact nanoseconds (bigint), a Date, or the two parts; `now` and `omit`
 * as in utimensat(2).
 */
export type TimeLike = number | bigint | Date | TimeChange;

const NSEC_PER_SEC = 1_000_000_000n;

/** The words for flags of node:fs. */
export const OPEN_FLAGS: Readonly<Record<string, number>> = {
  r: m.O_RDONLY,
  rs: m.O_RDONLY | m.O_SYNC,
  'r+': m.O_RDWR,
  'rs+': m.O_RDWR | m.O_SYNC,
  w: m.O_WRONLY | m.O_CREAT | m.O_TRUNC,
  wx: m.O_WRONLY | m.O_CREAT | m.O_TRUNC | m.O_EXCL,
  'w+': m.O_RDWR | m.O_CREAT | m.O_TRUNC,
  'wx+': m.O_RDWR | m.O_CREAT | m.O_TRUNC | m.O_EXCL,
  a: m.O_WRONLY | m.O_CREAT | m.O_APPEND,
  ax: m.O_WRONLY | m.O_CREAT | m.O_APPEND | m.O_EXCL,
  as: m.O_WRONLY | m.O_CREAT | m.O_APPEND | m.O_SYNC,
  'a+': m.O_RDWR | m.O_CREAT | m.O_APPEND,
  'ax+': m.O_RDWR | m.O_CREAT | m.O_APPEND | m.O_EXCL,
  'as+': m.O_RDWR | m.O_CREAT | m.O_APPEND | m.O_SYNC,
};

export function openFlags(flags: string | number): number {
  if (typeof flags === 'number') return flags;
  const number = OPEN_FLAGS[flags];
  if (number === undefined) throw new TypeError(`unknown open flags: ${JSON.stringify(flags)}`);
  return number;
}

/** Returns an exact, non-negative number of bytes. */
export function bytePosition(name: string, value: number | bigint): number {
  const number = Number(value);
  if (!Number.isSafeInteger(number) || number < 0) {
    throw new RangeError(`"${name}" must be an integer from 0 to 2^53 - 1, not ${String(value)}`);
  }
  return number;
}

/** Returns an exact number of bytes, which may be negative. */
export function byteOffset(name: string, value: number | bigint): number {
  const number = Number(value);
  if (!Number.isSafeInteger(number)) throw new RangeError(`"${name}" must be an exact integer, not ${String(value)}`);
  return number;
}

/** Checks [offset, offset + length) against a buffer. */
export function checkRange(buffer: Uint8Array, offset: number, length: number): void {
  const isInside = Number.isInteger(offset) && Number.isInteger(length) && offset >= 0 && length >= 0;
  if (!isInside || offset + length > buffer.length) {
    throw new RangeError(`offset ${offset} and length ${length} do not lie in a buffer of ${buffer.length} bytes`);
  }
}

export function timeChange(time: TimeLike): TimeChange {
  if (typeof time === 'bigint') return ofNanoseconds(time);
  if (typeof time === 'number') return ofMilliseconds(time * 1000);
  return time instanceof Date ? ofMilliseconds(time.getTime()) : time;
}

function ofNanoseconds(time: bigint): TimeChange {
  const nsec = ((time % NSEC_PER_SEC) + NSEC_PER_SEC) % NSEC_PER_SEC;
  return { sec: Number((time - nsec) / NSEC_PER_SEC), nsec: Number(nsec) };
}

/** A double cannot hold today's nanoseconds: microseconds are what it gives. */
function ofMilliseconds(time: number): TimeChange {
  const sec = Math.floor(time / 1000);
  return { sec, nsec: Math.min(999_999, Math.round((time - sec * 1000) * 1000)) * 1000 };
}
