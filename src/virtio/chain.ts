/**
 * A request as a virtqueue carries it: segments of guest memory the device reads, then segments it writes.
 *
 * A `SegmentList` is a byte stream scattered over memory. How it is cut into segments means nothing.
 * SPEC: virtio 1.3, 2.7.4.1: the device makes no assumption about the arrangement of descriptors.
 * Lists are made once and refilled: `clear` keeps their room, so a request allocates nothing.
 */
import { assert } from '../base/assert.ts';
import type { GuestMemory } from './memory.ts';

/** An ordered list of (address, length). INVARIANT: no segment is empty; `size` is the sum of the lengths. */
export class SegmentList {
  readonly #at: number[] = [];
  readonly #length: number[] = [];
  #count = 0;
  #size = 0;

  /** How many segments. */
  get count(): number {
    return this.#count;
  }

  /** Total bytes. */
  get size(): number {
    return this.#size;
  }

  at(i: number): number {
    assert(i < this.#count, 'no such segment');
    return this.#at[i] as number;
  }

  length(i: number): number {
    assert(i < this.#count, 'no such segment');
    return this.#length[i] as number;
  }

  /** Appends a segment; an empty one adds no bytes and is left out. */
  push(at: number, length: number): void {
    if (length === 0) return;
    this.#at[this.#count] = at;
    this.#length[this.#count] = length;
    this.#count++;
    this.#size += length;
  }

  clear(): void {
    this.#count = 0;
    this.#size = 0;
  }

  /** Throws if an invariant does not hold. */
  checkInvariants(): void {
    let size = 0;
    for (let i = 0; i < this.#count; i++) {
      assert(this.length(i) > 0, 'a segment is empty');
      size += this.length(i);
    }
    assert(size === this.#size, 'the size is not the sum of the lengths');
  }
}

/** One request, as taken from a queue; refilled by every take. */
export class Chain {
  /** The descriptor index that names the chain in its queue until it is put back. */
  head = 0;
  readonly readable = new SegmentList();
  readonly writable = new SegmentList();
}

/** Copies up to `size` bytes at `pos` of the stream to `into[from …]`; returns how many there were. */
export function readSegments(
  memory: GuestMemory,
  list: SegmentList,
  pos: number,
  into: Uint8Array,
  from: number,
  size: number,
): number {
  let skip = pos;
  let done = 0;
  for (let i = 0; i < list.count && done < size; i++) {
    const length = list.length(i);
    if (skip >= length) {
      skip -= length;
      continue;
    }
    const part = Math.min(length - skip, size - done);
    memory.read(list.at(i) + skip, into, from + done, part);
    done += part;
    skip = 0;
  }
  return done;
}

/** Copies up to `size` bytes of `bytes[from …]` to `pos` of the stream; returns how many there was room for. */
export function writeSegments(
  memory: GuestMemory,
  list: SegmentList,
  pos: number,
  bytes: Uint8Array,
  from: number,
  size: number,
): number {
  let skip = pos;
  let done = 0;
  for (let i = 0; i < list.count && done < size; i++) {
    const length = list.length(i);
    if (skip >= length) {
      skip -= length;
      continue;
    }
    const part = Math.min(length - skip, size - done);
    memory.write(list.at(i) + skip, bytes, from + done, part);
    done += part;
    skip = 0;
  }
  return done;
}

/** Makes `into` the part of `list` that starts after `skip` bytes and has at most `size` bytes. */
export function slice(list: SegmentList, skip: number, into: SegmentList, size = Number.POSITIVE_INFINITY): void {
  assert(list !== into, 'a list cannot be sliced into itself');
  into.clear();
  let before = skip;
  let left = size;
  for (let i = 0; i < list.count && left > 0; i++) {
    const length = list.length(i);
    if (before < length) {
      const part = Math.min(length - before, left);
      into.push(list.at(i) + before, part);
      left -= part;
    }
    before = Math.max(0, before - length);
  }
}

/** Returns the address of bytes `pos … pos + size − 1` if they lie in one segment, else −1. */
export function contiguousAt(list: SegmentList, pos: number, size: number): number {
  let skip = pos;
  for (let i = 0; i < list.count; i++) {
    const length = list.length(i);
    if (skip < length) return skip + size <= length ? list.at(i) + skip : -1;
    skip -= length;
  }
  return -1;
}
